"""Which records somebody asks for, as far as an index can tell: what of a condition in SQL is so simple. Pure.

A segment cannot be asked in SQL without unpacking all of it. So the terms of a condition that say which numbers, kinds,
requests or times are meant are understood here, and choose the blocks; any other term is left to SQLite, over the records that
these leave. A condition that is not plainly terms with AND between them gives no bounds: all is unpacked, and the
answer is the same.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

LAST: Final = 2**63 - 1  # greater than any number of a record
_TERM: Final = re.compile(r"(seq|at_ns|kind|request|task)\s*(=|<>|>=|<=|>|<)\s*(\?|'[^'?]*'|\d+)")
_AMONG: Final = re.compile(r"kind\s+IN\s*\(\s*\?(?:\s*,\s*\?)*\s*\)", re.IGNORECASE)
_EITHER: Final = re.compile(r"\bOR\b|;|--|/\*", re.IGNORECASE)


class Bounds(NamedTuple):
    """Records with a number above `after`, up to `upto`, of one of these kinds, of this request and task, in this time."""

    after: int = 0
    upto: int = LAST
    kinds: frozenset[str] | None = None  # None: of any kind
    request: str = ""  # "": of any, or of none
    task: str = ""
    since_ns: int = 0
    until_ns: int = LAST

    def holds(self, seq: int, at_ns: int, kind: str, request: str, task: str) -> bool:
        """Is a record with these columns meant?"""
        return (
            self.after < seq <= self.upto
            and (self.kinds is None or kind in self.kinds)
            and (not self.request or request == self.request)
            and (not self.task or task == self.task)
            and self.since_ns <= at_ns <= self.until_ns
        )

    def met(self, first: int, last: int) -> bool:
        """Is any of these numbers meant?"""
        return first <= self.upto and last > self.after


ALL: Final = Bounds()


def sql(wanted: Bounds) -> tuple[str, tuple[object, ...]]:
    """The same as a condition in SQL, with its values. `<> ''` lets SQLite use the index over what has a request."""
    terms: list[tuple[str, tuple[object, ...]]] = [("seq > ?", (wanted.after,))]
    if wanted.upto != LAST:
        terms.append(("seq <= ?", (wanted.upto,)))
    if wanted.kinds is not None:
        terms.append((f"kind IN ({', '.join('?' * len(wanted.kinds))})", tuple(sorted(wanted.kinds))))
    if wanted.request:
        terms.append(("request = ? AND request <> ''", (wanted.request,)))
    if wanted.task:
        terms.append(("task = ?", (wanted.task,)))
    if (wanted.since_ns, wanted.until_ns) != (0, LAST):
        terms.append(("at_ns >= ? AND at_ns <= ?", (wanted.since_ns, wanted.until_ns)))
    return " AND ".join(term for term, _ in terms), tuple(value for _, values in terms for value in values)


def bounds(where: str, given: Sequence[object] = ()) -> tuple[Bounds, bool]:
    """The bounds that a condition sets, and whether it says nothing else."""
    terms = re.split(r"\s+AND\s+", where.strip(), flags=re.IGNORECASE)
    if _EITHER.search(where) or any(term.count("(") != term.count(")") for term in terms):
        return ALL, False
    found, whole, left = ALL, True, list(given)
    for term in terms:
        values = [left.pop(0) for _ in range(min(term.count("?"), len(left)))]
        narrower = _narrowed(found, term.strip(), values)
        whole = whole and narrower is not None
        found = narrower or found
    return found, whole


def _narrowed(found: Bounds, term: str, values: list[object]) -> Bounds | None:
    """With one more term; None if it is not one of those that are understood."""
    if term.upper() == "TRUE":
        return found
    if _AMONG.fullmatch(term):
        return _of_kinds(found, frozenset(map(str, values)))
    if not (said := _TERM.fullmatch(term)):
        return None
    name, how, literal = said.groups()
    value = values[0] if literal == "?" and values else literal.strip("'") if literal[0] == "'" else int(literal)
    if name in ("seq", "at_ns"):
        return _in_order(found, name, how, value) if isinstance(value, int) else None
    if isinstance(value, str) and value and how == "=":
        return _named(found, name, value)
    return found if (name, how, value) == ("request", "<>", "") and found.request else None


def _named(found: Bounds, name: str, value: str) -> Bounds | None:
    if name == "kind":
        return _of_kinds(found, frozenset({value}))
    if name == "task":
        return found._replace(task=value) if found.task in ("", value) else None
    return found._replace(request=value) if found.request in ("", value) else None


def _of_kinds(found: Bounds, kinds: frozenset[str]) -> Bounds:
    return found._replace(kinds=kinds if found.kinds is None else found.kinds & kinds)


def _in_order(found: Bounds, name: str, how: str, value: int) -> Bounds | None:
    least = {">": value + 1, ">=": value, "=": value}.get(how)
    most = {"<": value - 1, "<=": value, "=": value}.get(how)
    if how == "<>":
        return None
    if name == "seq":
        after = found.after if least is None else max(found.after, least - 1)
        return found._replace(after=after, upto=found.upto if most is None else min(found.upto, most))
    since_ns = found.since_ns if least is None else max(found.since_ns, least)
    return found._replace(since_ns=since_ns, until_ns=found.until_ns if most is None else min(found.until_ns, most))
