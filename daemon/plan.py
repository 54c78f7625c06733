"""How Mai finds the department for a request, and splits one that needs several. Pure.

In this order: the text names a department (`@sales …`, `sales: …`); it says a phrase of a contract that the client may
ask for; its words fit the descriptions of a department. What fits nothing is said to fit nothing. A text is split only
where each piece finds its department by itself, and never before a piece that limits the one before it ("but only if").
"""

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from mai.agents.messages import Fields
from mai.daemon.records import PartPlan

MOST_PARTS = 8
_NAMED = re.compile(r"\s*(?:@([a-z][a-z0-9_-]*)[\s:,]|([a-z][a-z0-9_-]*)\s*:)\s*(\S.*)", re.IGNORECASE | re.DOTALL)
_SENTENCES = re.compile(r"(?<=[.?!;])\s+|\n+|;\s*")
_AND = re.compile(r",?\s+(?:and|then|also|plus)\s+(?:also\s+|then\s+)?", re.IGNORECASE)
_LIMITS = frozenset("but only if unless except not don't dont however provided otherwise because as since".split())


class Fitting(Protocol):
    """A department whose description fits."""

    @property
    def name(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def coverage(self) -> float: ...


class Said(Protocol):
    """A contract whose phrase a text says."""

    @property
    def contract(self) -> str: ...
    @property
    def input(self) -> Fields: ...


class Planner:
    """`phrase(text)` is the contract that a text asks for word by word, `fits(text)` the departments it fits, best first."""

    def __init__(
        self, departments: Sequence[str], phrase: Callable[[str], Said | None], fits: Callable[[str], Sequence[Fitting]]
    ) -> None:
        self._departments = frozenset(departments)
        self._phrase, self._fits = phrase, fits

    def plan(self, text: str) -> tuple[PartPlan, ...]:
        """The parts of a request; none if it fits nothing."""
        whole = self._surely(text)
        if whole is not None:
            return (whole,)
        for pieces, find in ((_pieces(_AND, text), self._surely), (_pieces(_SENTENCES, text), self._anyhow)):
            if 1 < len(pieces) <= MOST_PARTS and (parts := _each(find, pieces)):
                return parts
        by_fit = self._by_fit(text)
        return (by_fit,) if by_fit else ()

    def _surely(self, text: str) -> PartPlan | None:
        return self._named(text) or self._by_phrase(text)

    def _anyhow(self, text: str) -> PartPlan | None:
        return self._surely(text) or self._by_fit(text)

    def _named(self, text: str) -> PartPlan | None:
        found = _NAMED.match(text)
        name = (found[1] or found[2]).lower() if found else ""
        if found is None or name not in self._departments:
            return None
        said = self._phrase(found[3])
        if said is not None and said.contract.startswith(f"{name}."):
            why = f"the request names {name} and says a phrase of {said.contract}"
            return PartPlan(name, found[3], said.contract, said.input, why)
        return PartPlan(name, found[3], "", {}, f"the request names {name}")

    def _by_phrase(self, text: str) -> PartPlan | None:
        said = self._phrase(text)
        if said is None:
            return None
        why = f"the request says a phrase of {said.contract}"
        return PartPlan(said.contract.partition(".")[0], text, said.contract, said.input, why)

    def _by_fit(self, text: str) -> PartPlan | None:
        fitting = self._fits(text)
        if not fitting:
            return None
        shown = ", ".join(f"{one.name} {one.coverage:.0%} of the words, rank {one.score:.2f}" for one in fitting[:3])
        return PartPlan(fitting[0].name, text, "", {}, f"best fit of the descriptions: {shown}")


def _each(find: Callable[[str], PartPlan | None], pieces: list[str]) -> tuple[PartPlan, ...]:
    """A part for each piece; none at all if one of them finds no department, and then the rest is not looked at."""
    parts = []
    for piece in pieces:
        if (part := find(piece)) is None:
            return ()
        parts.append(part)
    return tuple(parts)


def _pieces(between: re.Pattern[str], text: str) -> list[str]:
    """The pieces of a text; just one if a piece limits what stands before it."""
    pieces = [piece.strip(" \t,") for piece in between.split(text)]
    pieces = [piece for piece in pieces if re.search(r"\w", piece)]
    if any(piece.split()[0].lower().strip(",") in _LIMITS for piece in pieces[1:]):
        return [text]
    return pieces
