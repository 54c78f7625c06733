"""The faults of an organisation file: each with its line and what would be right, all of them at once. Pure."""

import difflib
from collections.abc import Iterable

import msgspec

from mai.agents.lines import KeyPath, line_map, line_of
from mai.agents.wording import cut, printable
from mai.sandbox.errors import UsageFault

SHOWN = 48  # characters of a wrong value that a sentence shows
LONGEST = 400  # characters of a sentence
LISTED = 8  # names that a hint lists


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with an organisation file."""

    path: str
    line: int  # from 1
    sentence: str
    hint: str = ""  # what would be right

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.sentence}" + (f" ({self.hint})" if self.hint else "")


class Faulty(UsageFault):
    """An organisation file that cannot be used; `faults` holds every reason, in the order of their lines."""

    def __init__(self, faults: list[Fault]) -> None:
        first, more = faults[0], len(faults) - 1
        count = f"; and {more} further fault{'s' if more > 1 else ''}" if more else ""
        also = f"; `mai check {first.path}` shows all of them" if more else ""
        super().__init__(f"{first.path}:{first.line}: {first.sentence}{count}", f"{first.hint}{also}".removeprefix("; "))
        self.faults = faults


class Findings:
    """The faults found so far, by the path of the key that is at fault."""

    def __init__(self) -> None:
        self._found: dict[tuple[KeyPath, str], str] = {}
        self._faulty: set[KeyPath] = set()

    def add(self, where: KeyPath, sentence: str, hint: str = "") -> None:
        """Note a fault; the same one twice is one."""
        self._found.setdefault((where, sentence), hint)
        self._faulty.update((where, where[:-1]) if where and isinstance(where[-1], int) else (where,))

    def sound(self, where: KeyPath, *keys: str) -> bool:
        """Is nothing known against this table and these keys of it? So that one mistake is not reported twice."""
        return self._faulty.isdisjoint((where, *((*where, key) for key in keys)))

    def known(self) -> frozenset[KeyPath]:
        """The paths of all that is faulty."""
        return frozenset(self._faulty)

    def faults(self, path: str, text: str) -> list[Fault]:
        """All of them, in the order of their lines."""
        if not self._found:
            return []
        lines = line_map(text)
        found = [
            Fault(path, line_of(lines, where), printable(cut(sentence, LONGEST)), printable(cut(hint, LONGEST)))
            for (where, sentence), hint in self._found.items()
        ]
        return sorted(found, key=lambda fault: fault.line)


def shown(value: object) -> str:
    """A wrong value, for a sentence: in quotes, on one line, cut when long."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # a whole number of more than 4300 digits has no repr
        return "a value too large to show"
    return cut(text, SHOWN)


def nearest(word: str, known: Iterable[str], what: str) -> str:
    """A hint for a word that is not among those known: what was probably meant, else all there are."""
    names = sorted(set(known))
    if near := difflib.get_close_matches(word, names, n=1, cutoff=0.6):
        return f"did you mean {near[0]}?"
    listed = ", ".join(names[:LISTED]) + (" …" if len(names) > LISTED else "")
    return f"{what}: {listed}" if names else f"there is no {what}"
