"""How Mai finds the department for a request, and splits one that needs several. Pure.

In this order: the text names a department (`@sales …`, `sales: …`, `for sales: …`); it says a phrase of a contract that
the client may ask for; it is close to the descriptions of a department, or its words fit them. What fits nothing is said
to fit nothing, and where it is not clear which department is meant, Mai asks back. A text is split only where each piece
finds its department by itself, and never before a piece that limits the one before it ("but only if").
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from mai.agents.body import Fields
from mai.daemon.closeness import SHOWN, Verdict
from mai.daemon.records import PartPlan

MOST_PARTS = 8
LEAST_WORDS = 3  # of a sentence that is a request by itself; "Order 10612." belongs to the one before it
CHARTER = 120  # characters of a charter in a question
_NAMED = re.compile(r"\s*(?:@([a-z][a-z0-9_-]*)[\s:,]|(?:for\s+)?([a-z][a-z0-9_-]*)\s*:)\s*(\S.*)", re.IGNORECASE | re.DOTALL)
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


class Plan(NamedTuple):
    """The parts of a request; if there are none, why, and what Mai asks back ("" if nothing is near)."""

    parts: tuple[PartPlan, ...]
    why: str = ""
    question: str = ""


class Planner:
    """Finds the departments.

    `departments` has their charters by name, `phrase(text)` is the contract that a text asks for word by word,
    `fits(text)` the departments that its words fit, best first; where these are within `margin` of a text's words it is not clear
    which one is meant.
    """

    def __init__(
        self,
        departments: Mapping[str, str],
        phrase: Callable[[str], Said | None],
        fits: Callable[[str], Sequence[Fitting]],
        margin: float = 0.0,
    ) -> None:
        self._departments = departments
        self._phrase, self._fits, self._margin = phrase, fits, margin

    def plan(self, text: str) -> tuple[PartPlan, ...]:
        """The parts of a request, by its words alone; none if it fits nothing."""
        if sure := self.sure(text):
            return sure
        pieces = _pieces(_SENTENCES, text)
        if 1 < len(pieces) <= MOST_PARTS and (parts := _each(self._anyhow, pieces)):
            return parts
        by_fit = self._by_fit(text)
        return (by_fit,) if by_fit else ()

    def worded(self, text: str) -> Plan:
        """The same, and what is asked back where it is not clear which department is meant."""
        parts, near = self.plan(text), self._near(self._fits(text))
        if parts or not near:
            return Plan(parts)
        shown = ", ".join(f"{one.name} {one.coverage:.0%}" for one in near)
        return Plan((), f"its words fit several about as well: {shown}", self._question([one.name for one in near]))

    def by_words(self, text: str, because: str) -> Plan:
        """The plan by words alone where closeness should have said it, and why it did not."""
        plan = self.worded(text)
        parts = tuple(msgspec.structs.replace(part, why=f"{part.why}; {because}") for part in plan.parts)
        return Plan(parts, "" if parts else f"{plan.why or 'no words in common'}; {because}", plan.question)

    def sure(self, text: str) -> tuple[PartPlan, ...]:
        """The parts of a request that leaves no doubt: by names and phrases, the whole or each piece; none if it leaves some."""
        whole = self._surely(text)
        if whole is not None:
            return (whole,)
        pieces = _pieces(_AND, text)
        return _each(self._surely, pieces) if 1 < len(pieces) <= MOST_PARTS else ()

    def doubtful(self, text: str) -> list[str]:
        """The texts whose verdicts `judged` needs for a request that is not sure: itself, and its sentences."""
        return list(dict.fromkeys((text, *(piece for piece in _sentences(text) if self._surely(piece) is None))))

    def judged(self, text: str, verdicts: Mapping[str, Verdict]) -> Plan:
        """The plan by closeness. Sentences are parts if each has a department and these are not all the same."""

        def near(piece: str) -> PartPlan | None:
            return self._surely(piece) or _by_closeness(piece, verdicts[piece])

        parts = _each(near, _sentences(text))
        if len({part.department for part in parts}) > 1:
            return Plan(parts)
        verdict = verdicts[text]
        if part := _by_closeness(text, verdict):
            return Plan((part,))
        return Plan((), f"closeness: {verdict.why}", self._question(verdict.departments) if verdict.state == "unclear" else "")

    def _question(self, departments: Sequence[str]) -> str:
        """Which of some departments is meant, in words."""
        named = [f"{name} ({charter})" if (charter := self._charter(name)) else name for name in departments]
        return (
            f"it is not clear whom it is for: is it for {' or for '.join(named)}? "
            f"Say it in other words, or name the department: “{departments[0]}: …”"
        )

    def _charter(self, name: str) -> str:
        charter = self._departments[name].strip().rstrip(".")
        return charter if len(charter) <= CHARTER else f"{charter[: CHARTER - 1]}…"

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

    def _near(self, fitting: Sequence[Fitting]) -> list[Fitting]:
        """Those among which one would have to guess; none if the first is the one."""
        near = [one for one in fitting if fitting[0].coverage - one.coverage < self._margin][:SHOWN]
        return near if len(near) > 1 else []

    def _by_fit(self, text: str) -> PartPlan | None:
        fitting = self._fits(text)
        if not fitting or self._near(fitting):
            return None
        shown = ", ".join(f"{one.name} {one.coverage:.0%} of the words, rank {one.score:.2f}" for one in fitting[:3])
        return PartPlan(fitting[0].name, text, "", {}, f"best fit of the descriptions: {shown}")


def _by_closeness(text: str, verdict: Verdict) -> PartPlan | None:
    if verdict.state != "sure":
        return None
    return PartPlan(verdict.departments[0], text, "", {}, f"closest to the descriptions: {verdict.why}", verdict.agents)


def _each(find: Callable[[str], PartPlan | None], pieces: Collection[str]) -> tuple[PartPlan, ...]:
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


def _sentences(text: str) -> list[str]:
    """The sentences of a text, too short ones with those before them; none if there is just one, or too many."""
    found: list[str] = []
    for piece in _pieces(_SENTENCES, text):
        if found and len(re.findall(r"\w+", piece)) < LEAST_WORDS:
            found[-1] = f"{found[-1]} {piece}"
        else:
            found.append(piece)
    return found if 1 < len(found) <= MOST_PARTS else []
