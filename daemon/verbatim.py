"""The exact bytes of what a model was asked and has answered, rebuilt from the models process's journal and blobs alone.

Each record on the way is held against its digest, each piece against its address, and all pieces together against the digest of
the whole, which is also what the record says of whose decision it was (agents/errand_messages.Transcript).
"""

import hashlib
import zlib
from collections import OrderedDict
from typing import Any, Final, TypeVar

import msgspec

from mai.agents.errand_messages import Transcript
from mai.agents.events import ProcessStarted
from mai.daemon.reader import NotFound, Reader
from mai.daemon.redacted import Erasures, erasures
from mai.daemon.transcript_records import ModelRequest, ModelResponse
from mai.sandbox.errors import Erased, LedgerFault, MaiError
from mai.sandbox.ledger import Record
from mai.sandbox.place import Place
from mai.sandbox.record import digest_of

LONG: Final = ("system", "response_format", "output_config")  # what of a request is no parameter, besides its lists
KEPT: Final = 256  # requests whose pieces are at hand: the next one of the same talk begins with them


Kind = TypeVar("Kind", ModelRequest, ModelResponse, ProcessStarted)


class Verbatim(msgspec.Struct, frozen=True):
    """A question to a model, as it went over the wire."""

    process: str
    asked: int  # its record of the request
    url: str
    request: str
    request_bytes: int
    request_digest: str
    heard: int  # its record of the response
    status: int  # of HTTP
    response: str  # what is no text in it is shown as such: --raw gives it as it is
    response_bytes: int
    response_digest: str
    masked: bool  # a key that stood in the response is stars
    cut: bool  # it was no answer, and only its beginning is kept
    parameters: dict[str, Any]  # of the request: all but its messages, tools and schema
    libraries: dict[str, str]  # what the process that asked ran on, with versions; mai is itself


class Lost(Exception):  # it is caught where it is raised
    """Why something cannot be rebuilt, in words."""


class Gone(Lost):
    """The same, where an erasure has taken it: when, and by whom."""


def fault(lost: Lost, which: str) -> MaiError:
    """The error for who wants the bytes of a request or a response: damage, or an erasure."""
    if isinstance(lost, Gone):
        return Erased(f"its {which} is not there any more: {lost}", "mai replay shows what is left of it")
    return LedgerFault(f"its {which} cannot be rebuilt: {lost}", "run `mai verify`")


class Verbatims:
    """Those of one place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._readers: dict[str, Reader | None] = {}
        self._requests: OrderedDict[tuple[str, int], tuple[ModelRequest, tuple[str, ...]]] = OrderedDict()
        self._judged: dict[Transcript, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._erasures: dict[str, Erasures] = {}

    def close(self) -> None:
        """Let go of the ledgers."""
        for reader in self._readers.values():
            if reader:
                reader.close()

    def judge(self, transcript: Transcript, faults: list[str], erased: dict[str, None]) -> None:
        """As `rebuild`, looked at once, however often it is asked."""
        if transcript not in self._judged:
            found, gone = list[str](), dict[str, None]()
            self.rebuild(transcript, found, gone)
            self._judged[transcript] = tuple(found), tuple(gone)
        faults += self._judged[transcript][0]
        erased.update(dict.fromkeys(self._judged[transcript][1]))

    def rebuild(self, transcript: Transcript, faults: list[str], erased: dict[str, None]) -> Verbatim | None:
        """All of it; what differs is added to the faults, when it was erased to `erased`. None if nothing can be shown."""
        try:
            asked, request = self.request(transcript)
            heard, response = self.response(transcript)
        except Gone as gone:
            erased[str(gone)] = None
            return None
        except Lost as lost:
            faults.append(str(lost))
            return None
        told = (
            ("the request", transcript.asked, request, {asked.digest, transcript.request}),
            ("the response", transcript.heard, response, {heard.digest, transcript.response}),
        )
        for what, seq, data, digests in told:
            if {hashlib.sha256(data).hexdigest()} != digests:
                faults.append(f"{what} in record {seq} of {transcript.process} is not the one that the decision was based on")
        if heard.record != transcript.asked:
            faults.append(f"record {transcript.heard} of {transcript.process} answers another request")
        return Verbatim(
            transcript.process, transcript.asked, asked.url, request.decode(errors="replace"), len(request), asked.digest,
            transcript.heard, heard.status, response.decode(errors="replace"), heard.size, heard.digest, heard.masked, heard.cut,
            parameters(request), self._libraries(transcript.process, asked.life, faults),
        )  # fmt: skip

    def request(self, transcript: Transcript) -> tuple[ModelRequest, bytes]:
        """The record of a request, and its bytes. Raises Lost."""
        asked, pieces = self._request(transcript.process, transcript.asked)
        return asked, b"".join(self._blob(transcript.process, one, transcript.asked) for one in pieces)

    def response(self, transcript: Transcript) -> tuple[ModelResponse, bytes]:
        """The same of a response. Raises Lost."""
        heard = self._record(transcript.process, transcript.heard, ModelResponse)
        data = self._blob(transcript.process, heard.kept, transcript.heard) if heard.kept else b""
        try:
            return heard, zlib.decompressobj().decompress(data, heard.size + 1) if heard.coding else data
        except zlib.error:
            raise Lost(f"the response in record {transcript.heard} of {transcript.process} cannot be unpacked") from None

    def _request(self, process: str, seq: int) -> tuple[ModelRequest, tuple[str, ...]]:
        """A request and the addresses of all its pieces. Raises Lost."""
        chain: list[tuple[int, ModelRequest]] = []
        pieces: tuple[str, ...] = ()
        at = seq
        while at:
            if (known := self._requests.get((process, at))) is not None:
                pieces = known[1]
                break
            made = self._record(process, at, ModelRequest)
            if made.like >= at:
                raise Lost(f"record {at} of {process} refers to one that is not before it")
            chain.append((at, made))
            at = made.like
        for number, made in reversed(chain):
            if made.same > len(pieces):
                raise Lost(f"record {number} of {process} begins as record {made.like}, which is shorter")
            pieces = (*pieces[: made.same], *made.pieces)
            self._requests[process, number] = made, pieces
            if len(self._requests) > KEPT:
                self._requests.popitem(last=False)
        return (chain[0][1], pieces) if chain else self._requests[process, seq]

    def _libraries(self, process: str, life: int, faults: list[str]) -> dict[str, str]:
        """What the life of a models process that asked ran on."""
        try:
            started = self._record(process, life, ProcessStarted) if life else None
        except Lost as lost:
            faults.append(str(lost))
            return {}
        return {"mai": started.version, **started.libraries} if started else {}

    def _record(self, process: str, seq: int, kind: type[Kind]) -> Kind:
        """A record of a models process. Raises Lost."""
        reader = self._reader(process)
        record: Record | None = reader.record(seq)
        if removed := reader.removed(seq):
            raise Lost(f"record {seq} of {process} {removed}")
        if record is None:
            raise Lost(f"record {seq} of {process} is missing")
        if digest_of(record) != record.digest:
            raise Lost(f"record {seq} of {process} is not what was written")
        try:
            return msgspec.json.decode(reader.body(record, trust=True), type=kind)
        except (LedgerFault, msgspec.MsgspecError) as error:
            raise Lost(f"record {seq} of {process} cannot be read: {getattr(error, 'sentence', error)}") from None

    def _blob(self, process: str, address: str, seq: int) -> bytes:
        """One piece. Raises Lost."""
        data = self._reader(process).blob(address)
        if data is None and (words := self._erased(process, address)):
            raise Gone(words)
        if data is None:
            raise Lost(f"the piece {address[:12]} of record {seq} of {process} is missing")
        if hashlib.sha256(data).hexdigest() != address:
            raise Lost(f"the piece {address[:12]} of record {seq} of {process} is not what was written")
        return data

    def _erased(self, process: str, address: str) -> str:
        """When and by whom the text of an address was erased; "" if it was not."""
        if process not in self._erasures:
            self._erasures[process] = erasures(self._reader(process))
        return self._erasures[process].gone.get(address, "")

    def _reader(self, process: str) -> Reader:
        if process not in self._readers:
            try:
                self._readers[process] = Reader(self._place, process)
            except NotFound:
                self._readers[process] = None
        if (reader := self._readers[process]) is None:
            raise Lost(f"what went over the wire is in the ledger of {process}, which is not here")
        return reader


def transcript_of(body: dict[str, Any]) -> Transcript | None:
    """Where the bytes are on which a record rests: a step that has asked a model, or an errand to one; None for others."""
    value = body.get("value")
    found = body.get("transcript") or (body.get("call") == "model" and isinstance(value, dict) and value.get("transcript"))
    return msgspec.convert(found, Transcript) if found else None


def parameters(request: bytes) -> dict[str, Any]:
    """What a request says beside its messages; nothing if it is no JSON object."""
    try:
        asked = msgspec.json.decode(request, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}
    return {name: value for name, value in asked.items() if not isinstance(value, list) and name not in LONG}
