"""Claims and the cases in which they contradict each other, as Mai keeps them: a row for each, folded from her journal. Pure.

    Claim → claim.noted, standing | it repeats what has won | it is what has lost | it contradicts: case.opened
    case.opened → case.asked (boards) → case.voted … → case.ruled | case.asked (a person) → case.ruled
    case.ruled → case.expired | case.appealed, case.reopened → case.asked …

There is one case for a subject and attribute: what comes later reopens it, and its history stays.
"""

import heapq
from typing import Any, Final

import msgspec

from mai.agents import canonical as own
from mai.agents.claim_messages import Ground, Side
from mai.agents.messages import Result

STANDING, OPEN, WON, LOST = "standing", "open", "won", "lost"  # how a claim stands
RULED, EXPIRED = "ruled", "expired"  # how a case stands, beside open
BOARDS, PERSON, NOBODY = "boards", "person", ""  # whose turn it is
MOST_CLAIMS: Final = 20_000  # of one client; one that no case and no open request needs makes room
MOST_CASES: Final = 20_000  # that are kept; the oldest that has expired makes room
MOST_OPEN: Final = 10_000  # cases; what contradicts beyond it is not taken
MOST_LINES: Final = 60  # of a case's history


class Stand(msgspec.Struct, omit_defaults=True):
    """One claim."""

    id: str
    process: str
    agent: str  # an address
    rank: str
    request: str
    subject: str
    attribute: str
    digest: str
    confidence: float
    from_ms: int
    until_ms: int
    at_ms: int
    state: str = STANDING
    case: str = ""
    shown: bool = False
    value: Any = None
    why: str = ""
    grounds: tuple[Ground, ...] = ()
    rests: tuple[str, ...] = ()
    under: tuple[str, ...] = ()  # tasks of Mai's whose answers rest on it, the nearest first
    seq: int = 0

    @property
    def department(self) -> str:
        """Whose it is."""
        return self.process.partition("/")[2]


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a case's history."""

    at_ms: int
    what: str
    who: str = ""
    why: str = ""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ruling."""

    winner: str
    losers: tuple[str, ...]
    digest: str
    lost: tuple[str, ...]  # digests
    clause: str
    why: str
    by: str
    until_ms: int
    at_ms: int


class Ballot(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a board has voted."""

    claim: str
    state: str
    why: str
    by: str


class Case(msgspec.Struct, omit_defaults=True):
    """Claims about one attribute of one subject that contradict each other."""

    id: str
    subject: str
    attribute: str
    opened_ms: int
    state: str = OPEN
    owner: str = NOBODY
    deadline_ms: int = 0
    claims: tuple[str, ...] = ()
    asked: int = 0  # questions so far: their ids derive from it
    tasks: dict[str, str] = {}  # of the last question: task -> department
    until_ms: int = 0  # when it has to be answered
    votes: dict[str, Ballot] = {}  # by department
    ruling: Verdict | None = None  # the last one, also while an appeal against it is open
    appealed: bool = False
    history: tuple[Line, ...] = ()
    lines: int = 0  # all that there ever were
    seq: int = 0


class Withheld(msgspec.Struct):
    """An answer that waits for cases; without `body` a part that has ended already."""

    task: str
    request: str
    cases: tuple[str, ...]
    body: Result | None = None


class Conflicts:
    """All of one client's claims and cases, and what waits for them."""

    def __init__(self) -> None:
        self.claims: dict[str, Stand] = {}
        self.same: dict[str, list[str]] = {}  # by canonical.key: ids
        self.under: dict[str, set[str]] = {}  # by task of Mai's: ids
        self.resting: dict[str, set[str]] = {}  # by claim: those that name it as a ground
        self.cases: dict[str, Case] = {}
        self.withheld: dict[str, Withheld] = {}  # by the task's first id
        self.open = 0
        self._due: list[tuple[int, str]] = []  # a heap; may name what is no longer due

    # -- claims
    def put(self, stand: Stand) -> None:
        """One more claim."""
        self.claims[stand.id] = stand
        self.same.setdefault(own.key(stand.subject, stand.attribute), []).append(stand.id)
        for task in stand.under:
            self.under.setdefault(task, set()).add(stand.id)
        for other in stand.rests:
            self.resting.setdefault(other, set()).add(stand.id)

    def drop(self, ident: str) -> None:
        """A claim goes."""
        stand = self.claims.pop(ident)
        name = own.key(stand.subject, stand.attribute)
        self.same[name].remove(ident)
        if not self.same[name]:
            del self.same[name]
        for index, names in ((self.under, stand.under), (self.resting, stand.rests)):
            for one in names:
                if one in index:
                    index[one].discard(ident)
                    if not index[one]:
                        del index[one]

    def leave(self, task: str) -> list[Stand]:
        """What was claimed for this task so far goes no further: neither its answer rests on that, nor those above it."""
        changed = [self.claims[ident] for ident in sorted(self.under.get(task, ()))]
        for stand in changed:
            self._rests(stand, stand.under[: stand.under.index(task)])
        return changed

    def _rests(self, stand: Stand, under: tuple[str, ...]) -> None:
        for task in stand.under:
            if task not in under:
                self.under[task].discard(stand.id)
                if not self.under[task]:
                    del self.under[task]
        stand.under = under

    def forget(self, task: str) -> list[Stand]:
        """This task of Mai's is over, and all below it: nothing rests on its claims any longer; the claims that change."""
        changed = [self.claims[ident] for ident in sorted(self.under.get(task, ()))]
        for stand in changed:
            self._rests(stand, ())
        return changed

    def about(self, subject: str, attribute: str) -> list[Stand]:
        """The claims about an attribute of a subject."""
        return [self.claims[ident] for ident in self.same.get(own.key(subject, attribute), ())]

    def rested(self, task: str) -> list[Stand]:
        """What the answer to a task of Mai's rests on: claims for it and for what was asked for it, and what those name."""
        found: dict[str, Stand] = {}
        queue = sorted(self.under.get(task, ()))
        while queue:
            stand = self.claims.get(ident := queue.pop())
            if stand is not None and ident not in found:
                found[ident] = stand
                queue += stand.rests
        return [found[ident] for ident in sorted(found)]

    def tasks(self, case: "Case") -> list[str]:
        """The tasks of Mai's whose answers rest on a claim of a case."""
        found: set[str] = set()
        queue, tasks = list(case.claims), set[str]()
        while queue:
            ident = queue.pop()
            if ident not in found and ident in self.claims:
                found.add(ident)
                tasks.update(self.claims[ident].under)
                queue += self.resting.get(ident, ())
        return sorted(tasks)

    # -- cases
    def of(self, case: Case) -> list[Stand]:
        """The claims of a case that are still kept."""
        return [self.claims[ident] for ident in case.claims if ident in self.claims]

    def digests(self, case: Case) -> list[str]:
        """Its sides: the first of them has the number 1."""
        return list(dict.fromkeys(one.digest for one in self.of(case)))

    def validity_ms(self, case: Case) -> int:
        """Until when a case is one: of an open one as long as two sides are valid, then its ruling."""
        if case.state == RULED and case.ruling:
            return case.ruling.until_ms
        ends: dict[str, int] = {}
        for one in self.of(case):
            ends[one.digest] = max(one.until_ms, ends.get(one.digest, 0))
        return sorted(ends.values())[-2] if len(ends) > 1 else 0

    def due_ms(self, case: Case) -> int:
        """When something has to be done about it next; 0 for never."""
        if case.state == EXPIRED:
            return 0
        ends_ms = self.validity_ms(case)
        return min(case.deadline_ms, ends_ms) if case.state == OPEN and case.deadline_ms else ends_ms

    def plan(self, case: Case) -> None:
        """Note when it is due."""
        if due_ms := self.due_ms(case):
            heapq.heappush(self._due, (due_ms, case.id))
        if len(self._due) > 1000 + 4 * len(self.cases):  # most name what is no longer due
            self._due = [(due_ms, one.id) for one in self.cases.values() if (due_ms := self.due_ms(one))]
            heapq.heapify(self._due)

    def soonest_ms(self) -> int:
        """When the first case is due; 0 for never."""
        while self._due:
            at_ms, ident = self._due[0]
            if ident in self.cases and self.due_ms(self.cases[ident]) == at_ms:
                return at_ms
            heapq.heappop(self._due)
        return 0

    def due(self, now_ms: int) -> list[Case]:
        """The cases that are."""
        if not 0 < self.soonest_ms() <= now_ms:
            return []
        named = dict.fromkeys(ident for at_ms, ident in sorted(self._due) if at_ms <= now_ms and ident in self.cases)
        return [case for ident in named if 0 < self.due_ms(case := self.cases[ident]) <= now_ms]


def case_id(subject: str, attribute: str) -> str:
    """The id of the case about this, if there is one."""
    return f"case-{own.key(subject, attribute)}"


# -- as others see it
def sides(conflicts: Conflicts, case: Case) -> list[Side]:
    """The claims of a case as Mai knows them, with the number of their side."""
    number = {digest: n for n, digest in enumerate(conflicts.digests(case), 1)}
    return [
        Side(number[one.digest], one.id, one.department, one.agent, one.rank, one.confidence, one.at_ms, one.shown, one.value,
             one.why, one.grounds)
        for one in conflicts.of(case)
    ]  # fmt: skip
