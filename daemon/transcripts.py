"""Transcripts: the exact bytes of what models are asked and answer, kept so that a talk that grows costs what is new in it.

A request is kept in pieces (posting.py), each a blob by its content. Its record names the last request of the same talk and how
many pieces they have in common, and only those that come then. Answers repeat themselves, and are kept compressed.
"""

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from mai.daemon.calling import Call
from mai.daemon.providing import Ended
from mai.daemon.transcript_records import ModelRequest, ModelResponse

TALKS: Final = 256  # whose last request is at hand; the next of any other is kept without a reference
CUT_BYTES: Final = 64 << 10  # of what is no answer


class Kept(Protocol):
    """As much of a ledger as transcripts need."""

    def keep(self, data: bytes) -> str:
        """Put a blob there; its address."""


class Last(NamedTuple):
    """The last request of a talk."""

    record: int
    pieces: tuple[str, ...]  # addresses of all of them


class Transcripts:
    """What one models process keeps."""

    def __init__(self, ledger: Kept) -> None:
        self.life = 0  # the record of the process's start
        self._ledger = ledger
        self._talks: OrderedDict[str, Last] = OrderedDict()

    def request(self, call: Call, url: str, pieces: tuple[bytes, ...], write: Callable[[ModelRequest], int]) -> None:
        """Put on record what an attempt is about to send; `write` gives the record's number."""
        assert call.attempt is not None, "an attempt that the decider has begun"
        talk = f"{call.request} {call.agent} {call.id.rpartition('.')[0]}"  # of one request: what is kept of others may go before
        addresses = tuple(hashlib.sha256(piece).hexdigest() for piece in pieces)
        last = self._talks.pop(talk, Last(0, ()))
        same = _common(last.pieces, addresses)
        for piece in pieces[same:]:
            self._ledger.keep(piece)
        whole = b"".join(pieces)
        made = ModelRequest(
            request=call.request, task=call.id, agent=call.agent, n=call.attempt.n, url=url,
            digest=hashlib.sha256(whole).hexdigest(), size=len(whole), like=last.record if same else 0, same=same,
            pieces=addresses[same:], life=self.life,
        )  # fmt: skip
        self._talks[talk] = Last(write(made), addresses)
        if len(self._talks) > TALKS:
            self._talks.popitem(last=False)

    def response(self, call: Call, ended: Ended) -> ModelResponse:
        """What came of it, for the record."""
        assert call.attempt is not None, "an attempt that the decider has begun"
        raw = ended.raw[:CUT_BYTES] if ended.failure else ended.raw
        packed = zlib.compress(raw)
        smaller = len(packed) < len(raw)
        kept = self._ledger.keep(packed if smaller else raw) if raw else ""
        return ModelResponse(
            request=call.request, task=call.id, agent=call.agent, n=ended.n, record=call.attempt.asked, status=ended.status,
            digest=hashlib.sha256(raw).hexdigest(), size=ended.size, kept=kept, coding="zlib" if smaller else "",
            cut=len(raw) < ended.size, masked=ended.masked,
        )  # fmt: skip


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many they have in common from the beginning."""
    return next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other)))
