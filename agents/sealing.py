"""Sealed decisions: one record for each, which binds by digest all that it was based on. Pure.

What somebody knew when he decided is what his journal has of the same task (Mai's: of the same request) before that record:
the message that brought it, what was read from memory, what tools and models gave, what was asked and answered. Each seal
goes on from the one before it, so that a long talk costs its new records and not all of them again:

    context = SHA-256(context of the seal before, or nothing; then number and digest of each record since, in order)

The journal's chain says that those records are as they were written; the seal says which of them were the context, whose
scope and which code decided, and what it led to. It stands in the transaction of the decision, so nothing leaves without it.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Final, NamedTuple, Protocol

import msgspec

from mai.agents.decider import VIA_MAI
from mai.agents.events import Begun, Event, Hopped, ProcessStarted, Stepped, register
from mai.agents.organisation import Mandate

DECISIONS: Final[dict[str, str]] = {  # kind of record -> what kind of decision it is
    "hop": "route",
    "hop.refused": "refusal",
    "task.ended": "answer",
    "claim": "claim",
    "escalated": "escalation",
    "effect.intent": "effect",
    "step": "model",  # of a model alone: what it has put out
    "request.planned": "route",
    "contract.checked": "verdict",
    "errand.checked": "verdict",
    "request.ended": "answer",
    "doubt.resolved": "ruling",
    "remedy.checked": "remedy",
    "policy.judged": "verdict",
    "approval.decided": "approval",
    "approval.voted": "approval",
    "escalation.answered": "ruling",
    "case.voted": "vote",
    "case.ruled": "ruling",
    "case.appealed": "order",
    "shift.assigned": "route",
    "budget.stopped": "refusal",
    "request.cancelled": "order",
    "release.ordered": "order",
}
MOST_LED: Final = 64  # records that a seal names as what came of it
KEPT: Final = 4096  # contexts at hand; the others are read from the journal again


class Sealed(Event, frozen=True, kw_only=True):
    """A decision, and what it was based on."""

    kind: ClassVar[str] = "decision"
    request: str
    task: str  # of the context; "" at Mai, whose context is the request
    agent: str
    what: str  # a value of DECISIONS
    record: int  # the decision itself
    digest: str  # of that record, in hexadecimal digits
    context: str  # as above, of all records before it
    before: int = 0  # the seal that it goes on from; 0: it is the first
    records: tuple[int, ...] = ()  # what has come to the context since: first and count of each run
    led: tuple[int, ...] = ()  # what came of it in the same turn: first and count of each run
    life: int = 0  # the record of the process's start: version, libraries, organisation, walls
    scope: str = ""  # a blob: who decided, and what he might do; "" for Mai's own
    code: str = ""  # digest of the code that decided, "" for the built-in behaviour of a rank
    at_ms: int = 0


register(Sealed)


class Kept(Protocol):
    """As much of a ledger as the seals need. `sweeps`: how often blobs have left it."""

    sweeps: int

    def of_request(self, request: str) -> Iterable[Any]:
        """The committed records of a request, in order."""

    def body(self, record: Any) -> str:
        """The JSON of one of them."""

    def keep(self, data: bytes) -> str:
        """Put a blob there; its address."""


class Bound(NamedTuple):
    """What a seal has to say of a context."""

    context: str
    records: tuple[int, ...]  # runs
    before: int


class Thread:
    """What one task, or one request at Mai, rests on so far."""

    def __init__(self) -> None:
        self.context = b""  # of the last seal
        self.seal = 0  # its record
        self.code = ""  # that works on the task; "" before it is begun, and where a rank's behaviour does it
        self.since: list[tuple[int, bytes]] = []  # records that came after what it has bound

    def bind(self, upto: int) -> Bound:
        """Bind all records before this one; what the seal has to say."""
        bound, rest = self.since, list[tuple[int, bytes]]()
        if bound and bound[-1][0] >= upto:
            bound, rest = [one for one in bound if one[0] < upto], [one for one in bound if one[0] >= upto]
        told = b"".join([seq.to_bytes(8, "big") + digest for seq, digest in bound])
        self.context, self.since = hashlib.sha256(self.context + told).digest(), rest
        return Bound(self.context.hex(), runs([seq for seq, _ in bound]), self.seal)


class Threads:
    """The contexts of one request in one process. At Mai (`whole`) it is one for all of it, else one for each task."""

    def __init__(self, whole: bool) -> None:
        self._whole = whole
        self._of: dict[str, Thread] = {}

    def task(self, task: str) -> str:
        """Whose context it is: what a step asked through Mai is its task's."""
        if self._whole:
            return ""
        above = task.rpartition(VIA_MAI)[0]
        return above if above in self._of else task

    def of(self, task: str) -> Thread:
        """What this task rests on."""
        found = self._of.get(task)
        if found is None:
            found = self._of[task] = Thread()
        return found

    def add(self, task: str, above: str, seq: int, digest: bytes) -> None:
        """A record of a task, or of its being handed on by who works on the one `above`."""
        own = self.task(task)
        self.of(own).since.append((seq, digest))
        if above and (whose := self.task(above)) != own:
            self.of(whose).since.append((seq, digest))

    def _sealed(self, sealed: Sealed, seq: int) -> Bound:
        thread = self.of(sealed.task)
        bound = thread.bind(sealed.record)
        thread.seal = seq
        return bound

    def recalled(self, row: Any, body: str) -> Bound | None:
        """A record as the journal has it, with its JSON; what it has to say if it is a seal. Raises MsgspecError."""
        if row.kind == Sealed.kind:
            return self._sealed(msgspec.json.decode(body, type=Sealed), row.seq)
        self.add(row.task, above_of(row.kind, body), row.seq, row.digest)
        if row.kind == Begun.kind:
            self.of(self.task(row.task)).code = msgspec.json.decode(body, type=Coded).code
        return None


def above_of(kind: str, body: str) -> str:
    """The task that a hop comes from, of its record's body."""
    return msgspec.json.decode(body, type=Above).parent if kind == Hopped.kind else ""


class Above(msgspec.Struct):
    """As much of a hop as a context needs."""

    parent: str = ""


class Coded(msgspec.Struct):
    """As much of a beginning as a context needs."""

    code: str = ""


class Pending(NamedTuple):
    """A decision that is on record, and whose seal is due."""

    event: Event
    seq: int
    digest: bytes
    thread: Thread
    task: str
    bound: Bound


class Seals:
    """The seals of one process. What an earlier life has on record of a request is read once in each."""

    def __init__(self, mandate: Mandate, ledger: Kept) -> None:
        self._mandate, self._ledger = mandate, ledger
        self._whole = mandate.department == "mai"
        self._threads: dict[str, Threads] = {}  # by request
        self._scopes: dict[str, str] = {}
        self._pending: list[Pending] = []
        self._turn: dict[str, list[int]] = {}  # by request: its records since the last commit
        self._life = 0
        self._swept = 0

    def note(self, event: Event, request: str, task: str, seq: int, digest: bytes) -> None:
        """A record was written; if it is a decision its seal is due with the next commit."""
        if isinstance(event, ProcessStarted):
            self._life = seq
        if not request or isinstance(event, Sealed):
            return
        if request not in self._threads:
            self._threads[request] = self._recalled(request)
        threads, above = self._threads[request], getattr(event, "parent", "")
        if isinstance(event, Begun):
            threads.of(threads.task(task)).code = event.code
        if event.kind in DECISIONS and not (isinstance(event, Stepped) and (event.call != "model" or event.refused)):
            whose = threads.task(above or task)  # a task is handed on by who works on the one above
            thread = threads.of(whose)
            self._pending.append(Pending(event, seq, digest, thread, whose, thread.bind(seq)))
        threads.add(task, above, seq, digest)
        self._turn.setdefault(request, []).append(seq)

    def _recalled(self, request: str) -> Threads:
        """What an earlier life has on record of a request."""
        threads = Threads(self._whole)
        for row in self._ledger.of_request(request):
            threads.recalled(row, self._ledger.body(row))
        return threads

    def seal(self, at_ms: int, write: Callable[[Sealed], int]) -> None:
        """Seal what was decided since the last commit; `write` puts one seal on record, and gives its number."""
        pending, self._pending = self._pending, []
        for one in pending:
            one.thread.seal = write(self._sealed(one, at_ms))
        self._turn.clear()
        if len(self._threads) > KEPT:
            self._threads.clear()  # all of it is on record, and read again where it is needed

    def _sealed(self, one: Pending, at_ms: int) -> Sealed:
        event, thread = one.event, one.thread
        request, agent = getattr(event, "request", ""), getattr(event, "sender" if event.kind == Hopped.kind else "agent", "")
        numbers = self._turn[request]
        return Sealed(
            request=request, task=one.task, agent=agent, what=DECISIONS[event.kind], record=one.seq,
            digest=one.digest.hex(), context=one.bound.context, before=thread.seal, records=one.bound.records,
            led=runs(numbers[bisect_right(numbers, one.seq) :])[: 2 * MOST_LED],
            life=self._life, scope=self._scope(agent), code=thread.code, at_ms=at_ms,
        )  # fmt: skip

    def _scope(self, agent: str) -> str:
        if self._swept != self._ledger.sweeps:  # what was kept may have left with a segment
            self._scopes.clear()
            self._swept = self._ledger.sweeps
        if agent not in self._scopes:
            told = scope_of(self._mandate, agent)
            self._scopes[agent] = self._ledger.keep(msgspec.json.encode(told, order="deterministic")) if told else ""
        return self._scopes[agent]


def scope_of(mandate: Mandate, agent: str) -> dict[str, Any]:
    """Who decides and what he may do, as the organisation has it: the agent, and his department without the others."""
    own = mandate.organisation.department(mandate.department)
    found = own.agent(agent) if own else None
    if own is None or found is None:
        return {}
    alone = msgspec.structs.replace(own, agents=(found,))
    return {"client": mandate.client, "organisation": mandate.organisation.digest, "department": msgspec.to_builtins(alone)}


def runs(numbers: Iterable[int]) -> tuple[int, ...]:
    """Ascending numbers as runs: first and count of each."""
    found: list[int] = []
    for number in numbers:
        if found and number == found[-2] + found[-1]:
            found[-1] += 1
        else:
            found += [number, 1]
    return tuple(found)


def of_runs(found: Iterable[int]) -> Iterator[int]:
    """The numbers again."""
    ends = iter(found)
    for first, count in zip(ends, ends, strict=True):
        yield from range(first, first + count)
