"""What a journal holds: facts, one Struct for each kind of record. Pure.

`decide` yields events, `evolve` folds them; a record's `kind` is the class's, its body the Struct as JSON. Fields named
`request`, `task` and `agent` also stand in columns of their own.
"""

from typing import Any, ClassVar

import msgspec

from mai.agents.amounts import Amounts
from mai.agents.body import Fields, Outcome
from mai.agents.escalation_messages import Cause, Plea
from mai.agents.handover import Handover
from mai.agents.messages import Numbered


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fact that has happened; folding it never fails."""

    kind: ClassVar[str] = ""


class ProcessStarted(Event, frozen=True, kw_only=True):
    """This process began; all that it does until the next such record it does under this organisation."""

    kind: ClassVar[str] = "process.started"
    process: str
    version: str
    organisation: str
    pid: int
    walls: str = ""  # how it is walled: "full", or "partial" with what is missing and why
    policies: str = ""  # of a department: the digest of those that concern it; "" in journals from before there were any
    libraries: dict[str, str] = {}  # what its code runs on, with versions


class ProcessStopped(Event, frozen=True, kw_only=True):
    """This process ended because it was asked to."""

    kind: ClassVar[str] = "process.stopped"
    why: str


class StateRebuilt(Event, frozen=True, kw_only=True):
    """The stored state was replaced by what the journal up to `upto` gives; the old rows lie in the file `kept`."""

    kind: ClassVar[str] = "state.rebuilt"
    upto: int
    rows: int
    wrong: int  # rows that were missing, too many, or not what the journal gives
    kept: str


class Sent(Event, frozen=True, kw_only=True):
    """A message is owed to a peer. Its number on the link is `lseq`; the record's own digest is the head it carries."""

    kind: ClassVar[str] = "message.sent"
    to: str
    lseq: int
    id: str
    request: str
    task: str
    deadline_ms: int
    body: Numbered


class Received(Event, frozen=True, kw_only=True):
    """A message was taken in; `head_seq` and `head` witness the sender's journal."""

    kind: ClassVar[str] = "message.received"
    sender: str
    lseq: int
    id: str
    request: str
    task: str
    organisation: str
    deadline_ms: int
    head_seq: int
    head: str
    body: Numbered


class Acked(Event, frozen=True, kw_only=True):
    """The peer has committed all up to this number."""

    kind: ClassVar[str] = "message.acked"
    peer: str
    received: int


class MessageRefused(Event, frozen=True, kw_only=True):
    """Bytes that were no message, or a message that its sender may not send."""

    kind: ClassVar[str] = "message.refused"
    peer: str
    why: str  # malformed, forgery, gap, amnesia, out of place, not allowed
    detail: str


class Hopped(Event, frozen=True, kw_only=True):
    """A task was handed to an agent, under a rule of the table."""

    kind: ClassVar[str] = "hop"
    request: str
    task: str
    parent: str
    sender: str  # an agent of this department, or "mai"
    agent: str  # the receiver
    asker: str
    contract: str
    text: str
    input: Fields
    deadline_ms: int
    hops: int
    rule: str
    watch: bool = False
    ranked: tuple[str, ...] = ()  # whom Mai thinks the text is for
    step: int = 0  # the parent's step that waits for it; 0 for a hand-on by rank
    at_ms: int = 0  # when that was
    correction: str = ""  # why a reply to it came back
    approves: str = ""  # to a board: the id of the approval that it is to decide about
    allow: Amounts | None = None  # what Mai has granted with it
    plea: Plea | None = None  # it is an escalation, or was one
    up: bool = False  # it goes to who is above, because it was given up: no budget counts that, nor what a board is to approve
    case: str = ""  # of a board that is asked about it: the case
    handover: Handover | None = None  # what was done for it by who had it before


class HopRefused(Event, frozen=True, kw_only=True):
    """A hand-on that the table forbids."""

    kind: ClassVar[str] = "hop.refused"
    request: str
    task: str
    sender: str
    receiver: str
    rule: str
    instead: tuple[str, ...] = ()


class Begun(Event, frozen=True, kw_only=True):
    """A worker's code took the task up; `code` is the digest of the file that it is written in."""

    kind: ClassVar[str] = "task.begun"
    request: str
    task: str
    agent: str
    attempt: int
    code: str


class Interrupted(Event, frozen=True, kw_only=True):
    """The process died while this task's code was running."""

    kind: ClassVar[str] = "task.interrupted"
    request: str
    task: str
    agent: str
    traceback: str = ""  # that the death left, as far as it left one


class Stepped(Event, frozen=True, kw_only=True):
    """One step of a worker: what it asked for, and what it got."""

    kind: ClassVar[str] = "step"
    request: str
    task: str
    agent: str
    n: int
    call: str  # tool, tools, recall, remember, forget, recall_all, search, versions, now, random, conclude, rulings, ask …
    given: Any = None  # None: as its Asked or EffectIntent says
    value: Any = None
    refused: str = ""
    state: str = ""  # of what was refused, if it failed or expired
    text: str = ""
    by: str = ""
    sources: tuple[str, ...] = ()
    changed: bool = False  # something was changed for it elsewhere, or may have been; hand: for the task
    breach: str = ""  # hand: the rule by which the answer may not leave
    version: int = 0  # recall, remember: of the memory that was read or written; 0: there was none


class Asked(Event, frozen=True, kw_only=True):
    """A step that waits for another agent, a contract or the client's memory; its Stepped follows."""

    kind: ClassVar[str] = "step.asked"
    request: str
    task: str
    agent: str
    n: int
    call: str
    given: Any
    at_ms: int = 0  # of a tool


class EffectIntent(Event, frozen=True, kw_only=True):
    """A tool that changes something outside is about to be called."""

    kind: ClassVar[str] = "effect.intent"
    request: str
    task: str
    agent: str
    n: int
    key: str
    tool: str
    effect: str
    given: Any
    at_ms: int = 0
    approval: str = ""  # the id of the one that allows it, where a policy wants one


class EffectQueried(Event, frozen=True, kw_only=True):
    """An effect in doubt was asked by its key whether it happened. Found: its Stepped follows; else it may be called again."""

    kind: ClassVar[str] = "effect.queried"
    request: str
    task: str
    agent: str
    n: int
    key: str
    tool: str
    found: bool


class EffectResolved(Event, frozen=True, kw_only=True):
    """A person has said of an effect in doubt whether it happened; `by` is the user who said so."""

    kind: ClassVar[str] = "effect.resolved"
    request: str
    task: str
    agent: str
    n: int
    key: str
    happened: bool
    value: Any = None
    by: str
    note: str = ""


class EffectUnknown(Event, frozen=True, kw_only=True):
    """In doubt: nobody knows whether it happened. It is not repeated; unless it is idempotent, a person has to look."""

    kind: ClassVar[str] = "effect.unknown"
    request: str
    task: str
    agent: str
    n: int
    key: str
    tool: str
    effect: str = ""
    given: Any = None
    at_ms: int = 0  # when its intent was put on record
    why: str = ""  # it is in doubt


class Remembered(Event, frozen=True, kw_only=True):
    """A piece of memory got a new version; what follows from that is in memory.py."""

    kind: ClassVar[str] = "memory.written"
    request: str = ""
    task: str = ""
    agent: str  # at the level of agents the owner, at the client's who has written, else ""
    level: str
    key: str
    value: Any
    n: int = 0  # its number; 0: before there were versions
    oldest: int = 0  # that is kept from now on
    was: int = 0  # that was the oldest until now
    at_ms: int = 0
    expires_ms: int = 0  # 0: never
    by: str = ""


class Escalated(Event, frozen=True, kw_only=True):
    """An agent gives its task, or a step of it, up to those above. Without a cause, in old journals, the task ended with it."""

    kind: ClassVar[str] = "escalated"
    request: str
    task: str
    agent: str
    reason: str
    n: int = 0  # the step that waits for the answer; 0: the task as a whole
    cause: Cause = ""
    to: str = ""  # an agent of this department, or "mai"


class Ended(Event, frozen=True, kw_only=True):
    """The one end of a task."""

    kind: ClassVar[str] = "task.ended"
    request: str
    task: str
    agent: str
    state: Outcome
    text: str = ""
    value: Fields = {}
    reason: str = ""
    by: str = ""
    sources: tuple[str, ...] = ()
    changed: bool = False  # something was changed for it elsewhere, or may have been
    breach: str = ""  # there was an answer, and this rule keeps it from leaving
    took_ms: int = 0  # of its department's day


class ReplyBreached(Event, frozen=True, kw_only=True):
    """An answer may not leave its department, or did not: by which rule. It holds nothing of the answer but where it lies."""

    kind: ClassVar[str] = "reply.breached"
    request: str
    task: str  # as who asked knows it
    process: str  # the department that has answered
    contract: str  # "" for a free text
    rule: str
    record: int = 0  # of the journal that sent the answer: it has the whole of it
    digest: str = ""  # of that record
    again: str = ""  # the id under which the department may answer once more
    withheld: Any = None  # what it is; in the journal of the answering department alone


KINDS: dict[str, type[Event]] = {
    event.kind: event
    for event in (
        *(
            ProcessStarted,
            ProcessStopped,
            StateRebuilt,
            Sent,
            Received,
            Acked,
            MessageRefused,
            Hopped,
            HopRefused,
            Begun,
            Interrupted,
        ),
        *(
            Stepped,
            Asked,
            EffectIntent,
            EffectQueried,
            EffectUnknown,
            EffectResolved,
            Remembered,
            Escalated,
            Ended,
            ReplyBreached,
        ),
    )
}


class Counted(msgspec.Struct, frozen=True, gc=False):
    """As much of a Sent, Received or Acked as its link needs: what a message says is not decoded."""

    to: str = ""
    sender: str = ""
    peer: str = ""
    lseq: int = 0
    received: int = 0


_encoder = msgspec.json.Encoder()
counted = msgspec.json.Decoder(Counted).decode  # a record's body -> Counted
_decoders: dict[str, msgspec.json.Decoder[Event]] = {}


def register(*events: type[Event]) -> None:
    """Add the kinds of another process (Mai, the watchdog) to those that `decode` knows."""
    KINDS.update((event.kind, event) for event in events)


def encode(event: Event) -> bytes:
    """The body of the event's record."""
    return _encoder.encode(event)


def decode(kind: str, body: str | bytes) -> Event:
    """The event of a record. A kind or a shape that this version does not know raises msgspec.ValidationError."""
    if kind not in _decoders:
        if kind not in KINDS:
            raise msgspec.ValidationError(f"records of kind {kind!r} are not known to this version")
        _decoders[kind] = msgspec.json.Decoder(KINDS[kind])
    return _decoders[kind].decode(body)
