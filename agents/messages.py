"""All that crosses a process border: one Envelope around one of a closed set of bodies, as msgpack. Pure.

The decoder is typed and made once. Bytes that are no message raise `Malformed`, which the loop answers and journals.
"""

import hashlib
from collections.abc import Callable

import msgspec

from mai.agents import talks
from mai.agents.amounts import Amounts
from mai.agents.approval_messages import Approval, Consult, Decided, Opinion, Word
from mai.agents.body import Body, Fields, Outcome
from mai.agents.claim_messages import CaseTold, Claim, Vote, Weigh
from mai.agents.errand_messages import Think, Thought, Use, Used
from mai.agents.escalation_messages import Escalate, Parked, Ruled, Withdrawn
from mai.agents.memory_messages import Browse, Forget, Recall, Recalled, Remember
from mai.agents.order_messages import Cancel, Cancelled, Doubt, Notice, Release, Released, Remedied, Remedy, Resolve
from mai.agents.shift_messages import ShiftOrder
from mai.sandbox.errors import MaiError


class Hello(Body, frozen=True, tag="hello"):
    """On every (re)connection, both ways: how far I have received your link, and which start of mine this is."""

    received: int
    boot: str


class Ack(Body, frozen=True, tag="ack"):
    """All up to this number is committed here."""

    received: int


class Task(Body, frozen=True, tag="task"):
    """Work for the receiver. From a board to Mai it asks for another department's contract."""

    task: str  # its id, derived from its cause
    request: str  # the client's request that it belongs to
    asker: str  # an address: "acme/client", "acme/marketing/planner"
    contract: str  # "sales.pipeline", or "" for a free text
    text: str
    input: Fields
    hops: int  # how often it may still be handed on
    watch: bool = False  # somebody looks on: tell Mai of each hop
    ranked: tuple[str, ...] = ()  # agents of the receiver that a free text seems to be for, best first; a hint
    correction: str = ""  # a reply to it was sent back: why, and what would be allowed
    allow: Amounts | None = None  # what the receiver may take for it of the request's budget; None: no limit
    word: Word | None = None  # to Mai: who has approved that it is asked


class Result(Body, frozen=True, tag="result"):
    """The one answer to a task."""

    task: str
    request: str
    state: Outcome
    text: str  # for a person
    value: Fields  # for a program; only what the contract names
    reason: str  # why not, unless answered
    by: str  # the address that did the work
    sources: tuple[str, ...] = ()  # departments that the answer rests on
    changed: bool = False  # something was changed for it, or may have been: not to be tried elsewhere
    breach: str = ""  # there was an answer, and this rule keeps it from leaving its department (data_scope.py)
    used: Amounts | None = None  # of what was granted with the task


class Hop(Body, frozen=True, tag="hop"):
    """A notice for who looks on: a task was handed on, or came back. Never numbered, never journaled, may be lost."""

    request: str
    task: str
    sender: str
    receiver: str
    note: str
    at_ms: int


class Complaint(Body, frozen=True, tag="complaint"):
    """What you sent was refused as a message: malformed, forged, or out of its place."""

    why: str
    detail: str


Numbered = (  # over the link, journaled on both sides
    Task
    | Result
    | Recall
    | Remember
    | Forget
    | Browse
    | Recalled
    | Think
    | Thought
    | Use
    | Used
    | Cancel
    | Cancelled
    | Doubt
    | Resolve
    | Release
    | Released
    | Remedy
    | Remedied
    | Notice
    | ShiftOrder
    | Approval
    | Decided
    | Consult
    | Opinion
    | Escalate
    | Parked
    | Ruled
    | Withdrawn
    | Claim
    | Weigh
    | Vote
    | CaseTold
)
Any_Body = Numbered | Hello | Ack | Hop | Complaint


def addresses(body: Any_Body, text_of: Callable[[str], str]) -> tuple[str, ...]:
    """The blobs that a body names and its envelope carries: SHA-256 of each in hexadecimal digits, without repetition.

    `text_of` gives the lists that a question refers to. Raises MsgspecError if one is none, and what `text_of` raises.
    """
    match body:
        case Think(inquiry=inquiry):
            return talks.named(inquiry, text_of)
        case Thought(answer=answer) if answer:
            return (answer,)
    return ()


def address_of(text: str) -> str:
    """Where a text lies: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """One message on its way between a department and Mai."""

    sender: str  # "acme/sales"
    to: str
    lseq: int  # number on the link, from 1; 0 for what is outside the link (Hello, Ack, Hop, Complaint)
    id: str
    organisation: str  # digest of the organisation that the sender works under
    deadline_ms: int  # wall clock since 1970; 0 for none
    head_seq: int  # the sender's journal as it stood with this message in it
    head: bytes
    body: Any_Body
    texts: dict[str, str] = {}  # address -> text: what the body names; journals hold the body alone


class Malformed(MaiError):
    """Bytes that are no Envelope."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)


def encode(envelope: Envelope) -> bytes:
    """The bytes of one frame."""
    return _encoder.encode(envelope)


def decode(frame: bytes, limit_bytes: int) -> Envelope:
    """One frame, checked against its type and the limit. Raises Malformed."""
    if len(frame) > limit_bytes:
        raise Malformed(f"a message of {len(frame)} bytes, the limit is {limit_bytes}")
    try:
        return _decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a message: {error}") from error
