"""The invariants of a company, held against the records of all its processes, in any number of journals. Pure.

    report = examine(Fact(process, seq, event) for …)          # all journals, each in its own order

`Examination` is the same for who reads by and by. Records of different processes may come in any order.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import permutations
from typing import Final

import msgspec

from mai.agents.events import Event, ProcessStarted, Sent
from mai.daemon.invariant_approvals import Pleas, Votes
from mai.daemon.invariant_asks import AskedFirst
from mai.daemon.invariant_budgets import Budgeted
from mai.daemon.invariant_conflicts import Disputes
from mai.daemon.invariant_decisions import Decisions
from mai.daemon.invariant_effects import Effects
from mai.daemon.invariant_escalations import Asked, Climbed
from mai.daemon.invariant_guards import Guarded
from mai.daemon.invariant_holds import Holds
from mai.daemon.invariant_keys import Keys
from mai.daemon.invariant_links import Ends, compare
from mai.daemon.invariant_lives import Lives
from mai.daemon.invariant_memory import Memory
from mai.daemon.invariant_orders import Ordered, Orders
from mai.daemon.invariant_policies import Judged, JudgedAtMai
from mai.daemon.invariant_requests import Requests
from mai.daemon.invariant_scopes import ScopesAtMai, ScopesInside
from mai.daemon.invariant_services import Calls, Uses
from mai.daemon.invariant_shifts import Handed
from mai.daemon.invariant_tasks import Tasks
from mai.daemon.invariant_undoing import Undoing
from mai.daemon.invariant_verdicts import Verdicts
from mai.daemon.invariant_voice import Voices
from mai.daemon.invariants import End, Fact, Handler, Ids, Invariant, Notes
from mai.daemon.witness import Finding

ROLES: Final[dict[str, tuple[type[Invariant], ...]]] = {
    "mai": (
        Requests,
        Verdicts,
        Orders,
        Asked,
        Holds,
        Keys,
        Memory,
        ScopesAtMai,
        Guarded,
        Budgeted,
        Voices,
        Votes,
        AskedFirst,
        JudgedAtMai,
        Decisions,
        Disputes,
    ),
    "models": (Calls,),
    "tools": (Uses,),
    "": (
        Tasks,
        Effects,
        Undoing,
        Ordered,
        Climbed,
        Memory,
        ScopesInside,
        Guarded,
        Budgeted,
        Pleas,
        Judged,
        Decisions,
        Handed,
    ),  # a department
}


class Verdict(msgspec.Struct, frozen=True):
    """What the examination has found."""

    findings: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    under_way: dict[str, int]  # messages, requests, tasks … -> how many are open or on their way
    records: int

    @property
    def sound(self) -> bool:
        """Is nothing wrong?"""
        return not self.findings


class Journal:
    """What the laws about one journal make of its records."""

    def __init__(self, process: str, notes: Notes) -> None:
        self.process, self.notes, self.records = process, notes, 0
        self.whole = True  # could all of it be read?
        self.lives, self.ends, self.sent = Lives(process, notes), Ends(process, notes), Ids()
        role = process.partition("/")[2]
        families = ROLES.get(role, ROLES[""]) if role else ()  # the watchdog's journal holds no decisions
        self.invariants = [family(process, notes) for family in families]
        self._handlers: dict[str, list[Handler]] = {Sent.kind: [self._sent], ProcessStarted.kind: [self._started]}
        for handlers in (self.ends.handlers(), *(one.handlers() for one in self.invariants)):
            for kind, handler in handlers.items():
                self._handlers.setdefault(kind, []).append(handler)

    def take(self, fact: Fact) -> None:
        """The next record."""
        event = fact.event
        kind = event.kind if event is not None else fact.kind
        self.records += 1
        self.lives.take(fact, kind)
        if event is not None:
            for handler in self._handlers.get(kind, ()):
                handler(fact.seq, event)

    def answer(self, fact: Fact) -> None:
        """A record behind those that are examined: it only answers what other journals claim."""
        if fact.event is not None and (handler := self.ends.handlers().get(fact.event.kind)):
            handler(fact.seq, fact.event)

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        self.sent.add(event.id, seq)

    def _started(self, seq: int, event: Event) -> None:
        assert isinstance(event, ProcessStarted)
        if event.process != self.process:
            what = f"record {seq} is the start of {event.process}, in the journal of {self.process}"
            self.notes.found("lives", self.process, seq, what)

    def close(self, *, at_rest: bool) -> None:
        """What is left at the end."""
        for first, seq in self.sent.twice():
            what = f"record {seq} sends a message whose id record {first} has sent"
            self.notes.found("ids", self.process, seq, what, (self.process, first))
        end = End(at_rest, self.lives.awake_ns // 1_000_000, self.lives.last_ns // 1_000_000)
        for invariant in self.invariants:
            invariant.close(end)


class Examination:
    """All journals of one or several clients."""

    def __init__(self) -> None:
        self.notes = Notes()
        self.journals: dict[str, Journal] = {}

    def journal(self, process: str) -> Journal:
        """The journal of a process, empty at first."""
        if process not in self.journals:
            self.journals[process] = Journal(process, self.notes)
        return self.journals[process]

    def take(self, fact: Fact) -> None:
        """The next record of its process."""
        self.journal(fact.process).take(fact)

    def unreadable(self, process: str, seq: int, what: str, hint: str) -> None:
        """A record cannot be read: what it says is not known to its peers' laws either."""
        self.journal(process).whole = False
        self.notes.found("readable", process, seq, what, hint=hint)

    def fix(self) -> None:
        """All that the journals claim of each other was taken; what follows, with `answer`, only answers that."""
        for journal in self.journals.values():
            journal.ends.fix()

    def verdict(self, *, at_rest: bool = False) -> Verdict:
        """What was found. `at_rest`: the caller knows that nothing is under way, so that all must have ended."""
        under_way: Counter[str] = Counter()
        for journal in self.journals.values():
            journal.close(at_rest=at_rest)
            for invariant in journal.invariants:
                under_way.update(invariant.under_way())
        for sender, receiver in permutations((journal for journal in self.journals.values() if journal.whole), 2):
            if receiver.process in sender.ends.peers() or sender.process in receiver.ends.peers():
                under_way["messages"] += compare(sender.ends, receiver.ends, self.notes, at_rest=at_rest)
        self.notes.more()
        records = sum(journal.records for journal in self.journals.values())
        return Verdict(tuple(self.notes.findings), tuple(self.notes.warnings), dict(under_way), records)


def examine(facts: Iterable[Fact], *, at_rest: bool = False) -> Verdict:
    """Hold all these records against the invariants; of each process from its first record on, up to a commit."""
    examination = Examination()
    for fact in facts:
        examination.take(fact)
    return examination.verdict(at_rest=at_rest)
