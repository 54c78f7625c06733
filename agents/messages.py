"""All that crosses a process border: one Envelope around one of a closed set of bodies, as msgpack. Pure.

The decoder is typed and made once. Bytes that are no message raise `Malformed`, which the loop answers and journals.
"""

import hashlib
from typing import Any, Literal

import msgspec

from mai.sandbox.errors import MaiError

Outcome = Literal["answered", "refused", "failed", "expired", "escalated"]  # the last: between ranks only, never to a client
Fields = dict[str, Any]  # values of a contract's request or reply, as JSON has them


class Body(msgspec.Struct, frozen=True, tag_field="is"):
    """What all bodies share: a map whose `is` names the kind, so that a journal reads well."""


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


class Hop(Body, frozen=True, tag="hop"):
    """A notice for who looks on: a task was handed on, or came back. Never numbered, never journaled, may be lost."""

    request: str
    task: str
    sender: str
    receiver: str
    note: str
    at_ms: int


class Recall(Body, frozen=True, tag="recall"):
    """A department reads the client's memory, which Mai keeps."""

    id: str
    agent: str
    key: str
    version: int = 0  # 0: the newest


class Remember(Body, frozen=True, tag="remember"):
    """A department writes the client's memory."""

    id: str
    agent: str
    key: str
    value: Any
    expires_ms: int = 0  # on the wall clock; 0: never


class Forget(Body, frozen=True, tag="forget"):
    """A department has a key of the client's memory forgotten."""

    id: str
    agent: str
    key: str


class Browse(Body, frozen=True, tag="browse"):
    """A department looks through the client's memory."""

    id: str
    agent: str
    call: str  # recall_all, search, versions
    given: Fields  # {"prefix", "after", "limit"}, {"text", "limit"}, {"key"}


class Recalled(Body, frozen=True, tag="recalled"):
    """Mai's answer to Recall, Remember, Forget and Browse."""

    id: str
    found: bool
    value: Any
    refused: str = ""
    n: int = 0  # the version that was read or written


class Inquiry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model is asked, by the addresses of its pieces: a long talk shares most of them with its last turn."""

    messages: tuple[str, ...]  # blobs, each one message as chat completions have it
    size: int  # bytes of all its pieces, each counted as often as it is named
    tools: str = ""  # a blob: the list of tools that it may call
    schema: str = ""  # a blob: {"name", "schema"} that the answer has to fit
    output_tokens: int = 0  # most of the answer; 0: as the model's own bound


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an answer cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0  # billionths of the currency that the prices are in
    estimated: bool = False  # an upper bound: the provider did not say

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


class Think(Body, frozen=True, tag="think"):
    """An agent asks a model, through Mai."""

    id: str  # derives from the task and the step
    request: str
    agent: str  # an address
    model: str  # a name in the organisation
    inquiry: Inquiry


class Thought(Body, frozen=True, tag="thought"):
    """What came of Think."""

    id: str
    request: str
    state: Outcome  # answered, refused, failed, expired
    answer: str = ""  # a blob: {"text", "calls": [{"id", "name", "arguments"}], "finish"}
    reason: str = ""
    by: str = ""  # "main/gpt-5-mini"
    usage: Usage = Usage()  # of all attempts
    notes: tuple[str, ...] = ()  # why others were not asked or did not answer; that a budget is nearly spent
    advice: bool = False  # it is on record, and counts for nothing


class Use(Body, frozen=True, tag="use"):
    """An agent uses a tool that needs the network, through Mai."""

    id: str
    request: str
    agent: str
    tool: str  # "support.search"
    key: str  # the same for each try of one effect
    input: Fields


class Used(Body, frozen=True, tag="used"):
    """What came of Use."""

    id: str
    request: str
    value: Any = None
    refused: str = ""
    doubt: bool = False  # it may have happened


class Remedy(Body, frozen=True, tag="remedy"):
    """An agent of the operations department wants something healed, by a remedy of the list (remedies.py)."""

    id: str  # derives from the task and the step
    request: str
    agent: str  # an address
    remedy: str
    target: str  # a process
    given: Fields
    why: str


class Remedied(Body, frozen=True, tag="remedied"):
    """What came of Remedy: what was done, or why not."""

    id: str
    request: str
    value: Any = None
    refused: str = ""
    doubt: bool = False  # it may have been done


class Notice(Body, frozen=True, tag="notice"):
    """To a department: what has happened to it, for the coordinators whom that concerns."""

    id: str
    request: str  # under which it is healed
    process: str
    what: str
    text: str
    waits: int  # messages that waited for it at Mai
    replayed: int  # records that its start had to read


class Cancel(Body, frozen=True, tag="cancel"):
    """All that is done for a request is to stop, and what can be undone of it is to be undone."""

    request: str
    by: str  # the user who said so
    reason: str


class Undone(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one effect of a request that was cancelled."""

    key: str
    tool: str
    state: str  # undone, failed, doubt (of the undoing), unknown (whether there is anything to undo), stays (nothing undoes it)
    undo: str = ""  # the tool that undoes it
    note: str = ""


class Cancelled(Body, frozen=True, tag="cancelled"):
    """The answer to Cancel: what was stopped and undone."""

    request: str
    stopped: tuple[str, ...]  # ids of tasks, calls or uses
    undone: tuple[Undone, ...] = ()
    more: int = 0  # so many of either are left out here


class Doubt(Body, frozen=True, tag="doubt"):
    """An effect is in doubt, with all that is known of it: a person has to say whether it happened."""

    key: str
    request: str
    task: str
    agent: str  # an address
    tool: str
    effect: str
    given: Any  # what it was called with; cut if it is long
    at_ms: int  # when it was about to be called
    why: str  # it is in doubt
    count: int  # how often it was called, this time with it
    deadline_ms: int  # of the task that waits for it
    ended: bool  # the task has ended, and waits no more
    known: bool = False  # it was told before; only its task has ended since


class Resolve(Body, frozen=True, tag="resolve"):
    """What a person has said of an effect in doubt."""

    key: str
    request: str
    task: str
    agent: str  # an address
    happened: bool
    value: Any
    by: str
    note: str


class Release(Body, frozen=True, tag="release"):
    """A task is to leave the quarantine: to be run again, or to be dropped."""

    id: str  # of the order
    request: str
    task: str
    how: str  # retry, drop
    by: str


class Released(Body, frozen=True, tag="released"):
    """The answer to Release."""

    id: str
    request: str
    task: str
    refused: str = ""


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
)
Any_Body = Numbered | Hello | Ack | Hop | Complaint


def addresses(body: Any_Body) -> tuple[str, ...]:
    """The blobs that a body names and its envelope carries: SHA-256 of each in hexadecimal digits, without repetition."""
    match body:
        case Think(inquiry=inquiry):
            return tuple(dict.fromkeys(one for one in (*inquiry.messages, inquiry.tools, inquiry.schema) if one))
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
