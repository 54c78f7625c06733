"""What the models process puts on record of each attempt: the exact bytes that went out and came back. Pure."""

from typing import TYPE_CHECKING, ClassVar, Literal

from mai.agents.errand_messages import Transcript
from mai.agents.events import Event, register

if TYPE_CHECKING:
    from mai.daemon.calling import Attempt, Call


class ModelRequest(Event, frozen=True, kw_only=True):
    """The request that an attempt is about to make. Its bytes are those of its pieces, one after the other."""

    kind: ClassVar[str] = "model.request"
    request: str
    task: str  # the call's id
    agent: str
    n: int  # which attempt
    url: str
    digest: str  # SHA-256 of all bytes, in hexadecimal digits
    size: int
    like: int = 0  # an earlier such record, with whose first `same` pieces it begins; 0: none
    same: int = 0
    pieces: tuple[str, ...] = ()  # blobs: those that follow
    life: int = 0  # the record of the start of the process that asks: version, libraries; 0 in older journals


class ModelResponse(Event, frozen=True, kw_only=True):
    """What came back, before anything is made of it."""

    kind: ClassVar[str] = "model.response"
    request: str
    task: str
    agent: str
    n: int
    record: int  # the request that it answers
    status: int  # of HTTP
    digest: str  # SHA-256 of the bytes that are kept
    size: int  # of all that came
    kept: str = ""  # a blob
    coding: Literal["", "zlib"] = ""  # of the blob
    cut: bool = False  # it is no answer, and only its beginning is kept
    masked: bool = False  # a key stood in it, and is stars now


register(ModelRequest, ModelResponse)


def fold(calls: "dict[str, Call]", event: Event, seq: int) -> "Call | None":
    """Fold one fact, if it is such; the call as it stands now."""
    if not isinstance(event, ModelRequest | ModelResponse):
        return None
    call = calls.get(event.task)
    if call is None or call.attempt is None:
        return None
    if isinstance(event, ModelRequest):
        call.attempt.asked, call.attempt.request = seq, event.digest
    else:
        call.attempt.heard, call.attempt.response = seq, event.digest
    return call


def transcript(call: "Call", attempt: "Attempt") -> Transcript | None:
    """Where an attempt's bytes are; None in journals from before they were kept."""
    process = f"{call.peer.partition('/')[0]}/models"
    return Transcript(process, attempt.asked, attempt.request, attempt.heard, attempt.response) if attempt.asked else None
