"""What the invariants of `mai verify --deep` have in common: facts in, findings out, and small memories for both. Pure.

A journal's committed part ends where a commit ends. What a decision makes follow at once (a verdict, the answer to a
refusal) stands in the commit of its cause: at the end of a journal nothing of that kind may be owed. What takes its time
(a message on its way, an open task) is no fault, unless the caller says that the company is at rest, or it is long overdue.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import ClassVar, NamedTuple

from mai.agents.events import Event
from mai.daemon.witness import Finding

MOST = 50  # findings of one law about one process; the rest is counted
GRACE_MS = 60_000  # that something may be open after its deadline, in a process that works
CAUSE = "either mai has a fault, or somebody wrote this journal: keep a copy of the state directory, and report it"


class Fact(NamedTuple):
    """One record of one process. `event` is None if nothing is known of it but that it is there."""

    process: str
    seq: int
    event: Event | None
    at_ns: int = 0
    boot: str = ""
    term: int = 1
    kind: str = ""  # where there is no event


class End(NamedTuple):
    """How a journal stands at its end."""

    at_rest: bool  # the caller says that nothing is under way in the whole company
    awake_ms: int  # since when its process has worked without a long pause
    last_ms: int  # when it wrote its last record

    def overdue(self, deadline_ms: int) -> bool:
        """Should this long be over? Not if the process slept, or was not there."""
        return deadline_ms > 0 and self.last_ms - max(deadline_ms, self.awake_ms) > GRACE_MS


class Notes:
    """What was found."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.warnings: list[Finding] = []
        self._count: Counter[tuple[str, str]] = Counter()

    def found(self, law: str, process: str, seq: int, what: str, *also: tuple[str, int], hint: str = CAUSE) -> None:
        """A law is broken by this record, together with others."""
        self._count[law, process] += 1
        if self._count[law, process] <= MOST:
            self.findings.append(Finding(process, seq, what, hint, law, tuple(f"{who} {number}" for who, number in also)))

    def warn(self, law: str, process: str, seq: int, what: str, hint: str) -> None:
        """Something that is strange and breaks no law."""
        self._count["", process] += 1
        if self._count["", process] <= MOST:
            self.warnings.append(Finding(process, seq, what, hint, law))

    def more(self) -> None:
        """Say how many were left out."""
        for (law, process), count in self._count.items():
            if law and count > MOST:
                self.findings.append(Finding(process, 0, f"{count - MOST} more findings of this kind: {law}", CAUSE, law))


Handler = Callable[[int, Event], None]


class Invariant:
    """One family of laws about one journal. A subclass says which kinds of records it looks at, and what it makes of them."""

    law: ClassVar[str] = ""

    def __init__(self, process: str, notes: Notes) -> None:
        self.process, self.notes = process, notes
        self.client = process.partition("/")[0]
        self.dues = Dues()

    def handlers(self) -> dict[str, Handler]:
        """Kind -> what takes such a record: its number and its event."""
        return {}

    def close(self, end: End) -> None:
        """Look at what is left at the end of the journal."""
        for due in self.dues.left():
            self.found(due.seq, f"record {due.seq}: {due.what}")

    def under_way(self) -> dict[str, int]:
        """How much of what is open, by its name in the plural."""
        return {}

    def found(self, seq: int, what: str, *also: int, hint: str = CAUSE) -> None:
        """This record breaks the law, together with others of the same journal; those of number 0 are not known."""
        self.notes.found(self.law, self.process, seq, what, *((self.process, one) for one in also if one), hint=hint)

    def left_open(self, end: End, seq: int, what: str, deadline_ms: int) -> None:
        """Something is open at the end: a finding if all is said to be at rest, or if it is long overdue."""
        if end.at_rest:
            self.found(seq, f"record {seq}: {what} is still open, and all is at rest")
        elif end.overdue(deadline_ms):
            late_s = (end.last_ms - deadline_ms) // 1000
            self.found(seq, f"record {seq}: {what} is still open {late_s} s after its deadline, and its process works")


class Due(NamedTuple):
    """Something that has to follow in the same commit."""

    seq: int  # of the cause
    what: str  # what is wrong if it does not


class Dues:
    """What is owed at once."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, ...], Due] = {}
        self._never: list[Due] = []

    def owe(self, key: tuple[str, ...], seq: int, what: str) -> None:
        """This has to follow."""
        if before := self._open.get(key):
            self._never.append(before)
        self._open[key] = Due(seq, what)

    def settle(self, key: tuple[str, ...]) -> Due | None:
        """It follows; None if nobody was waiting for it."""
        return self._open.pop(key, None)

    def drop(self, which: Callable[[tuple[str, ...]], bool]) -> None:
        """What is owed is refused instead."""
        for key in [key for key in self._open if which(key)]:
            del self._open[key]

    def __len__(self) -> int:
        return len(self._open)

    def left(self) -> Iterator[Due]:
        """What did not follow."""
        yield from self._never
        yield from self._open.values()


class Ids:
    """Names that may come once, with their records: 16 bytes each, however long they are.

    The names themselves are not kept but Python's own hashes of them, whose key is random and ends with this process.
    """

    def __init__(self) -> None:
        self._names = array("q")
        self._seqs = array("q")

    def add(self, name: str, seq: int) -> None:
        """This name came."""
        self._names.append(hash(name))
        self._seqs.append(seq)

    def seq_of(self, name: str) -> int:
        """The record in which it came first, 0 if it did not. Slow: for what is wrong already."""
        try:
            return self._seqs[self._names.index(hash(name))]
        except ValueError:
            return 0

    def twice(self) -> Iterator[tuple[int, int]]:
        """Pairs of records that have the same name: each later one with the first."""
        repeated = {one for one, other in pairwise(sorted(self._names)) if one == other}
        if not repeated:
            return
        first: dict[int, int] = {}
        for name, seq in zip(self._names, self._seqs, strict=True):
            if name in first:
                yield first[name], seq
            elif name in repeated:
                first[name] = seq
