"""Which records a tail or an export shows: conditions that all have to hold."""

from typing import NamedTuple

from mai.daemon.levels import INFO, from_level

Term = tuple[str, tuple[object, ...]]  # a condition in SQL, and its values


class Wanted(NamedTuple):
    """Nothing said: all of them. `agent` is a name or an address, or the end of one: `planner`, `sales/analyst`."""

    kind: str = ""  # how the kind begins, `message`, `request.ended`; several with commas
    request: str = ""
    agent: str = ""
    client: str = ""
    department: str = ""  # of whatever client
    level: str = INFO  # at least

    def of(self, process: str) -> bool:
        """Is this process among them?"""
        client, _, department = process.partition("/")
        return self.client in ("", client if department else "\0") and self.department in ("", department or "\0")

    @property
    def about(self) -> str:
        """Whose records these are, in words."""
        return " ".join(filter(None, (self.client, self.department)))

    def where(self, process: str) -> Term:
        """The condition on records of this process as SQL, with its values."""
        terms: list[Term] = [("TRUE", ())]
        if kinds := tuple(filter(None, self.kind.split(","))):
            begins = " OR ".join("substr(kind, 1, ?) = ?" for _ in kinds)
            terms.append((f"({begins})", tuple(value for kind in kinds for value in (len(kind), kind))))
        if (levelled := from_level(self.level)) is not None:
            terms.append((f"kind IN ({','.join('?' * len(levelled))})", levelled))
        if self.request:
            terms.append(("request = ? AND request <> ''", (self.request,)))  # the second half makes the partial index fit
        if self.agent:
            end = f"/{self.agent}"
            terms.append(("substr('/' || ? || '/' || agent, ?) = ?", (process, -len(end), end)))
        return " AND ".join(term for term, _ in terms), tuple(value for _, values in terms for value in values)
