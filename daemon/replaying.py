"""`mai replay DECISION`: the context that an agent had when he decided, rebuilt from journal and blobs alone.

No state table, no organisation file and no code is read: a ledger that was carried to another machine is enough. Each record
is held against its digest and each text against its address; then the digest of the context is computed again, seal by seal,
and compared with what was sealed when the decision was made (agents/sealing.py). Nothing is asked, nothing is called.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from mai.agents.sealing import Bound, Sealed, Threads, of_runs
from mai.daemon.decisions import decisions, name_of, one, sealed_in
from mai.daemon.reader import NotFound, Reader, opened
from mai.daemon.redacted import Erasures, Touched, erasures
from mai.daemon.seals import SEALED
from mai.daemon.summary import summary
from mai.daemon.verbatim import Lost, Verbatim, Verbatims, fault, transcript_of
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Record
from mai.sandbox.place import Place
from mai.sandbox.record import digest_of

ADDRESS: Final = re.compile(r"[0-9a-f]{64}")
REQUESTS: Final = 256  # whose seals are at hand
RECORDS: Final = 100_000  # of which is known what is wrong with them
Found = Literal["verified", "redacted", "differs"]


class Item(msgspec.Struct, frozen=True):
    """One record of a context, or of what it led to."""

    seq: int
    at_ms: int
    kind: str
    agent: str
    task: str
    said: str  # in one line
    body: dict[str, Any]
    texts: dict[str, str]  # by address: what the body names and the ledger keeps
    verbatim: Verbatim | None = None  # what a model was asked for it and has answered, as it went over the wire
    erased: str = ""  # when the values in it were, and by whom


class Replayed(msgspec.Struct, frozen=True):
    """One decision, and all that it was based on, in order."""

    decision: str  # "acme/support:1234"
    what: str
    verdict: Found
    request: str
    task: str
    agent: str
    at_ms: int
    term: int
    context: str  # its digest, as it was sealed
    code: str
    context_items: tuple[Item, ...]
    decided: Item | None
    led: tuple[Item, ...]
    life: Item | None  # the start of the process: version, libraries, organisation, walls
    scope: dict[str, Any]  # who decided, and what he might do
    faults: tuple[str, ...] = ()  # what differs from what was sealed
    erased: tuple[str, ...] = ()  # when values of it were, and by whom; all else of it is as it was sealed


# -- replaying it
class Source(Protocol):
    """One ledger, as far as a replay reads it."""

    process: str

    def record(self, seq: int) -> Record | None:
        """The record of this number."""

    def removed(self, seq: int) -> str:
        """Since when and why a record, or its body, is not kept any more; "" if it is."""

    def of_request(self, request: str) -> Iterator[Record]:
        """All records of a request, in order."""

    def records(self, where: str, *given: object) -> Sequence[Record]:
        """The next records for which some SQL holds, in order."""

    def body(self, record: Record, *, trust: bool = False) -> str:
        """Its JSON, wherever that lies. Raises LedgerFault."""

    def blob(self, address: str) -> bytes | None:
        """What lies there, whatever it is."""


class Judged(NamedTuple):
    """What is wrong with a record, and what was said of its erasure."""

    faults: tuple[str, ...]
    erased: tuple[str, ...]


class Replays:
    """One ledger, whose decisions are replayed. `source` stays the caller's."""

    def __init__(self, source: Source, verbatims: Verbatims | None = None) -> None:
        """`verbatims`: of the place where the models process's ledger lies; without it only this ledger is looked at."""
        self._source, self._verbatims = source, verbatims
        self._bounds: OrderedDict[str, dict[int, Bound]] = OrderedDict()  # by request: what each of its seals has to say
        self._judged: OrderedDict[int, Judged] = OrderedDict()  # what is wrong with a record, for who asks for no more
        self._erasures: Erasures | None = None
        self._erased: dict[str, None] = {}  # what was said of erasures, in the replay at hand

    def replay(self, sealed: Sealed, seq: int, *, whole: bool = True) -> Replayed:
        """One decision; `whole` with all that was known, else only what is wrong with it."""
        faults, self._erased = list[str](), {}
        context, numbers = self._context(sealed, seq, faults)
        if context != sealed.context:
            faults.append(f"the context's digest is {context[:16]}…, and {sealed.context[:16]}… was sealed")
        if not whole:
            return self._judge(sealed, seq, numbers, faults)
        items = tuple(item for number in numbers if (item := self._item(number, faults)))
        decided = self._item(sealed.record, faults)
        if decided and (record := self._source.record(sealed.record)) and record.digest.hex() != sealed.digest:
            faults.append(f"record {sealed.record}, the decision, is not the one that was sealed")
        led = tuple(item for number in of_runs(sealed.led) if (item := self._item(number, faults)))
        life, scope = self._item(sealed.life, faults), self._scope(sealed.scope, faults)
        own = self._source.record(seq)
        return msgspec.structs.replace(
            self._replayed(sealed, seq, faults), term=own.term if own else 0, context_items=items, decided=decided, led=led,
            life=life, scope=scope,
        )  # fmt: skip

    def _judge(self, sealed: Sealed, seq: int, numbers: tuple[int, ...], faults: list[str]) -> Replayed:
        """What is wrong with a decision; each record is looked at once, however many rest on it."""
        for number in (*numbers, sealed.record, *of_runs(sealed.led), sealed.life):
            if number not in self._judged:
                found, before = list[str](), self._erased
                self._erased = {}
                self._item(number, found, whole=False)
                self._judged[number], self._erased = Judged(tuple(found), tuple(self._erased)), before
                if len(self._judged) > RECORDS:
                    self._judged.popitem(last=False)
            faults += self._judged[number].faults
            self._erased.update(dict.fromkeys(self._judged[number].erased))
        if (record := self._source.record(sealed.record)) and record.digest.hex() != sealed.digest:
            faults.append(f"record {sealed.record}, the decision, is not the one that was sealed")
        self._scope(sealed.scope, faults)
        return self._replayed(sealed, seq, faults)

    def _replayed(self, sealed: Sealed, seq: int, faults: list[str]) -> Replayed:
        return Replayed(
            name_of(self._source.process, seq), sealed.what, "differs" if faults else "redacted" if self._erased else "verified",
            sealed.request, sealed.task, sealed.agent, sealed.at_ms, 0, sealed.context, sealed.code, (), None, (), None, {},
            tuple(dict.fromkeys(faults)), tuple(self._erased),
        )  # fmt: skip

    def _context(self, sealed: Sealed, seq: int, faults: list[str]) -> tuple[str, tuple[int, ...]]:
        """The digest of a context as the journal gives it now, and its records; from the first seal on."""
        bounds = self._bounds.pop(sealed.request, None) or dict(self._folded(sealed.request))
        self._bounds[sealed.request] = bounds
        if len(self._bounds) > REQUESTS:
            self._bounds.popitem(last=False)
        bound = bounds.get(seq, Bound("", (), 0))
        if bound.records != sealed.records:
            faults.append(
                f"since the seal before, its records are {named(bound.records)}, and {named(sealed.records)} were sealed"
            )
        if bound.before != sealed.before:
            faults.append(f"the seal before is record {bound.before}, and {sealed.before} was sealed")
        numbers, at = [bound.records], bound.before
        while at in bounds:
            numbers.append(bounds[at].records)
            at = bounds[at].before
        return bound.context, tuple(number for records in reversed(numbers) for number in of_runs(records))

    def _folded(self, request: str) -> Iterator[tuple[int, Bound]]:
        """What each seal of a request has to say, by its number."""
        threads = Threads(self._source.process.endswith("/mai"))
        for record in self._source.of_request(request):
            try:
                if bound := threads.recalled(record, self._source.body(record, trust=True)):
                    yield record.seq, bound
            except (LedgerFault, msgspec.MsgspecError):
                threads.add(record.task, "", record.seq, record.digest)  # it was changed, and its reader says so

    def _item(self, seq: int, faults: list[str], *, whole: bool = True) -> Item | None:
        record = self._source.record(seq)
        if gone := self._source.removed(seq):
            faults.append(f"record {seq} {gone}" if record is None else f"the body of record {seq} {gone}")
            return None
        if record is None:
            faults.append(f"record {seq} is missing")
            return None
        erased = ""
        if digest_of(record) != record.digest:
            if touched := self._touched(record):
                erased = touched.words
                self._erased[erased] = None
            else:
                faults.append(f"record {seq} is not what was written")
        try:
            body = msgspec.json.decode(self._source.body(record, trust=True), type=dict[str, Any])
        except (LedgerFault, msgspec.MsgspecError) as error:
            faults.append(f"record {seq} cannot be read: {getattr(error, 'sentence', error)}")
            return None
        texts = dict(self._texts(seq, body, faults)) if SEALED not in body else {}
        said, verbatim = (
            (summary(record.kind, body) if whole else ""),
            None if erased else self._verbatim(body, faults, whole=whole),
        )
        kept = texts if whole else {}
        return Item(seq, record.at_ns // 1_000_000, record.kind, record.agent, record.task, said, body, kept, verbatim, erased)

    def _touched(self, record: Record) -> Touched | None:
        """Which erasure has left of it what it says."""
        if self._erasures is None:
            self._erasures = erasures(self._source)
        return self._erasures.of(record)

    def _verbatim(self, body: dict[str, Any], faults: list[str], *, whole: bool) -> Verbatim | None:
        transcript = transcript_of(body)
        if transcript is None or self._verbatims is None:
            return None
        if whole:
            return self._verbatims.rebuild(transcript, faults, self._erased)
        self._verbatims.judge(transcript, faults, self._erased)
        return None

    def _texts(self, seq: int, body: dict[str, Any], faults: list[str]) -> Iterator[tuple[str, str]]:
        for address in dict.fromkeys(addresses(body)):
            data = self._source.blob(address)
            if data is None:
                continue  # another digest, or a text that another process keeps
            if hashlib.sha256(data).hexdigest() != address:
                faults.append(f"the text {address[:12]} of record {seq} is not what was written")
            yield address, data.decode(errors="replace")

    def _scope(self, address: str, faults: list[str]) -> dict[str, Any]:
        if not address:
            return {}
        data = self._source.blob(address)
        if data is None or hashlib.sha256(data).hexdigest() != address:
            faults.append(f"the scope {address[:12]} is {'missing' if data is None else 'not what was written'}")
            return {}
        found: dict[str, Any] = msgspec.json.decode(data)
        return found


def named(records: tuple[int, ...]) -> str:
    """Runs of records for a sentence: `3-5, 9`."""
    ends = iter(records)
    said = (f"{first}-{first + count - 1}" if count > 1 else str(first) for first, count in zip(ends, ends, strict=True))
    return ", ".join(said) or "none"


def addresses(value: Any) -> Iterator[str]:
    """What in a body can be the address of a text."""
    match value:
        case str() if ADDRESS.fullmatch(value):
            yield value
        case dict():
            for one_ in value.values():
                yield from addresses(one_)
        case list():
            for one_ in value:
                yield from addresses(one_)


def replay(place: Place, what: str) -> Replayed:
    """The one decision that is meant, with all that was known. Raises NotFound, LedgerFault."""
    process, sealed, seq = one(place, what)
    with closing(Reader(place, process)) as reader, closing(Verbatims(place)) as verbatims:
        return Replays(reader, verbatims).replay(sealed, seq)


def raw(place: Place, what: str, which: str) -> bytes:
    """The exact bytes of the request or of the response on which a decision rests, its last one.

    Raises NotFound, LedgerFault, Erased.
    """
    process, sealed, seq = one(place, what)
    with closing(Reader(place, process)) as reader, closing(Verbatims(place)) as verbatims:
        found = Replays(reader, verbatims).replay(sealed, seq)
        items = (*found.context_items, *([found.decided] if found.decided else []))
        transcripts = [transcript for item in items if (transcript := transcript_of(item.body))]
        if not transcripts:
            raise NotFound(f"{what} rests on no answer of a model", f"see what it rests on: mai replay {what}")
        try:
            return (verbatims.request if which == "request" else verbatims.response)(transcripts[-1])[1]
        except Lost as lost:
            raise fault(lost, which) from None


class Swept(msgspec.Struct, frozen=True):
    """All decisions of some processes, replayed."""

    verified: int
    redacted: int  # values of them were erased; all else is as it was sealed
    wrong: tuple[Replayed, ...]  # those that differ, without their contexts
    processes: Sequence[str]

    @property
    def count(self) -> int:
        """How many there are."""
        return self.verified + self.redacted + len(self.wrong)


def sweep(place: Place, what: str | None) -> Swept:
    """Replay all decisions of a request, a process, a client, or of all (None). Raises NotFound, LedgerFault."""
    verified = redacted = 0
    wrong: list[Replayed] = []
    processes = place.processes() if what is None else sorted({process for process, _, _ in decisions(place, what)})
    with closing(Verbatims(place)) as verbatims:
        for reader in opened(place, [process for process in processes if "/" in process]):
            replays = Replays(reader, verbatims)
            for sealed, seq in _all_of(place, reader, what):
                found = replays.replay(sealed, seq, whole=False)
                verified += found.verdict == "verified"
                redacted += found.verdict == "redacted"
                if found.verdict == "differs":
                    wrong.append(found)
    return Swept(verified, redacted, tuple(wrong), processes)


def _all_of(place: Place, reader: Reader, what: str | None) -> Iterator[tuple[Sealed, int]]:
    if what is None or what in (reader.process, reader.process.partition("/")[0]):
        for seq, sealed in sealed_in(reader):
            yield sealed, seq
        return
    for process, sealed, seq in decisions(place, what):
        if process == reader.process:
            yield sealed, seq
