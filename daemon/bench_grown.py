"""Big ledgers for measurements: what a client's processes have on record of some requests, repeated under new ids.

A **scene** is what all journals of a client have written between two moments of rest. `grow` writes scenes again and again
through the processes' own `Ledger`, so that what comes out could have been written: the ids of the requests, the numbers on the
links, the heads that a message carries of its sender's journal, and the seals of decisions are made anew, and the watchdog
signs where the journals end. The state is what the processes' own deciders make of the journals.
"""

import gc
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from random import Random
from typing import Final, NamedTuple

import msgspec

from mai.agents.events import Acked, ProcessStarted, Received, Sent
from mai.agents.sealing import Sealed, of_runs, runs
from mai.daemon import refold
from mai.daemon.heads import HeadsSigned
from mai.daemon.reader import BATCH, Reader
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import WATCHDOG, Place
from mai.sandbox.record import Record
from mai.sandbox.signing import Signer

IN_COMMIT: Final = 4000  # records of a process, about
SIGNED: Final = 20_000  # records of all processes between two signatures of the watchdog
DIGITS: Final = 12  # of a request's new id
HOLE: Final = b"\0"  # in a template, where a number or a digest of the new record stands; JSON has none

Progress = Callable[[int], None]  # how many records there are
Counts = dict[tuple[str, str, str], int]  # process, "sent" or "received", peer -> how many messages
Heads = dict[tuple[str, str, int], tuple[int, str]]  # sender, receiver, number of a message -> the sender's record and its digest


class _Names(msgspec.Struct):
    """As much of a record of a message as is made anew."""

    to: str = ""
    sender: str = ""
    peer: str = ""
    lseq: int = 0
    received: int = 0
    head_seq: int = 0
    head: str = ""


class Line(NamedTuple):
    """One record of a scene. The numbers of a message are those within the scene, from 1."""

    process: str
    kind: str
    body: bytes  # with a HOLE where something is made anew
    request: str
    task: str
    agent: str
    names: tuple[str, ...] = ()  # requests that it names
    peer: str = ""  # of a message
    lseq: int = 0
    seal: Sealed | None = None  # its records' numbers are those within the scene, from 1


class Scene(NamedTuple):
    """Some requests, from one rest to the next, in an order in which each message is sent before it is received."""

    lines: tuple[Line, ...]
    requests: tuple[str, ...]
    messages: Counts

    @property
    def records(self) -> int:
        """How many records it has in all journals."""
        return len(self.lines)


def marks(place: Place, client: str) -> dict[str, int]:
    """Where the journals of a client's processes end: said at rest."""
    found = {}
    for process in [one for one in place.processes() if one.startswith(f"{client}/")]:
        with closing(Reader(place, process)) as reader:
            found[process] = reader.last()
    return found


def scene(place: Place, begin: Mapping[str, int], end: Mapping[str, int]) -> Scene:
    """What these journals have written between two marks. Raises LedgerFault."""
    told: dict[str, list[Line]] = {}
    base = _counts(place, begin)
    for process, first in begin.items():
        with closing(Reader(place, process)) as reader:
            rows = [Record(*row) for row in reader.portion(first, end[process])]
            told[process] = [_line(process, row, reader.body(row), first, base) for row in rows]
    requests = sorted({line.request for lines in told.values() for line in lines if line.request}, key=len, reverse=True)
    lines = tuple(line._replace(names=tuple(_named(line, requests))) for line in _ordered(told))
    counts = {at: count - base.get(at, 0) for at, count in _counts(place, end).items()}
    return Scene(lines, tuple(requests), counts)


def _named(line: Line, requests: list[str]) -> Iterator[str]:
    for request in requests:
        if request.encode() in line.body or request in line.request or request in line.task:
            yield request


def _counts(place: Place, upto: Mapping[str, int]) -> Counts:
    """How many messages each end of each link has by then."""
    found: Counts = {}
    for process, last in upto.items():
        with closing(Reader(place, process)) as reader:
            after = 0
            while records := reader.of_kinds((Sent.kind, Received.kind), after, last, BATCH):
                for record in records:
                    names = msgspec.json.decode(reader.body(record, trust=True), type=_Names)
                    way = "sent" if record.kind == Sent.kind else "received"
                    found[process, way, names.to or names.sender] = names.lseq
                after = records[-1].seq
    return found


def _line(process: str, row: Record, text: str, first: int, base: Counts) -> Line:
    body, columns = text.encode(), (row.request, row.task, row.agent)
    if row.kind == Sealed.kind:
        return Line(process, row.kind, b"", *columns, seal=_placed(msgspec.json.decode(text, type=Sealed), -first))
    if row.kind not in (Sent.kind, Received.kind, Acked.kind):
        return Line(process, row.kind, body, *columns)
    names = msgspec.json.decode(text, type=_Names)
    peer, number = names.to or names.sender or names.peer, names.lseq or names.received
    name = b"received" if row.kind == Acked.kind else b"lseq"
    body = body.replace(b'"%b":%d' % (name, number), b'"%b":%b' % (name, HOLE), 1)
    if row.kind == Received.kind:
        head = b'"head_seq":%d,"head":"%b"'
        body = body.replace(head % (names.head_seq, names.head.encode()), b'"head_seq":%b,"head":"%b"' % (HOLE, HOLE), 1)
    way = "received" if row.kind == Received.kind else "sent"
    return Line(process, row.kind, body, *columns, peer=peer, lseq=number - base.get((process, way, peer), 0))


def _placed(seal: Sealed, by: int) -> Sealed:
    """A seal whose records have numbers that are so much greater."""
    return msgspec.structs.replace(
        seal, record=seal.record + by, before=max(0, seal.before + by), records=runs(one + by for one in of_runs(seal.records)),
        led=runs(one + by for one in of_runs(seal.led)),
    )  # fmt: skip


def _ordered(told: dict[str, list[Line]]) -> Iterator[Line]:
    """All lines; who receives waits until the sender has written."""
    sent: set[tuple[str, str, int]] = set()
    left = {process: iter(lines) for process, lines in told.items()}
    ahead = {process: next(lines, None) for process, lines in left.items()}
    while any(ahead.values()):
        ready = [process for process, line in ahead.items() if line and _may_come(process, line, sent)]
        assert ready, "the marks were not set at rest"
        for process in ready:
            line = ahead[process]
            while line and _may_come(process, line, sent):
                if line.kind == Sent.kind:
                    sent.add((process, line.peer, line.lseq))
                yield line
                line = next(left[process], None)
            ahead[process] = line


def _may_come(process: str, line: Line, sent: set[tuple[str, str, int]]) -> bool:
    return line.kind != Received.kind or (line.peer, process, line.lseq) in sent


class Grower:
    """Writes scenes into the ledgers of a client. Nothing else may have them open."""

    def __init__(self, place: Place, client: str, seed: int = 0) -> None:
        self.place = place
        self._random, self._stack = Random(seed), ExitStack()
        self._counts = _counts(place, marks(place, client))
        self._ledgers = {process: self._open(process) for process in marks(place, client)}
        self._lives = {process: self._life(ledger) for process, ledger in self._ledgers.items()}
        self.records = self._signed = sum(ledger.seq for ledger in self._ledgers.values())
        place.home(WATCHDOG).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._signer, self._book = Signer(place.home(WATCHDOG)), self._open(WATCHDOG)

    def _open(self, process: str) -> Ledger:
        return self._stack.enter_context(closing(Ledger(self.place.ledger(process), process)))

    def _life(self, ledger: Ledger) -> int:
        """Begin a life like the last one; the number of the record that says so."""
        *_, last = ledger.records(kind=ProcessStarted.kind)
        return ledger.append(last.kind, ledger.body(last).encode())

    def write(self, scene: Scene) -> None:
        """Once more, under new ids."""
        new = {old: f"{self._random.getrandbits(4 * DIGITS):0{DIGITS}x}" for old in scene.requests}
        first = {process: ledger.seq for process, ledger in self._ledgers.items()}
        heads: Heads = {}
        digests: dict[tuple[str, int], bytes] = {}
        contexts: dict[tuple[str, str, str], bytes] = {}
        for line in scene.lines:
            ledger, process = self._ledgers[line.process], line.process
            body, request, task = line.body, line.request, line.task
            if line.seal:
                body = self._sealed(line, line.seal, first[process], digests, contexts)
            elif line.lseq:
                body = self._numbered(line, heads)
            for old in line.names:
                body = body.replace(old.encode(), new[old].encode())
                request, task = request.replace(old, new[old]), task.replace(old, new[old])
            seq = ledger.append(line.kind, body, request=request, task=task, agent=line.agent)
            digests[process, seq] = ledger.head
            if line.kind == Sent.kind:
                heads[process, line.peer, line.lseq] = seq, ledger.head.hex()
        for at, count in scene.messages.items():
            self._counts[at] = self._counts.get(at, 0) + count
        self.records += scene.records

    def _numbered(self, line: Line, heads: Heads) -> bytes:
        """The body of a message's record, with its number and the head of its sender."""
        way = "received" if line.kind == Received.kind else "sent"
        before, *others = line.body.split(HOLE)
        number = b"%d" % (self._counts.get((line.process, way, line.peer), 0) + line.lseq)
        if line.kind != Received.kind:
            return before + number + others[0]
        seq, head = heads[line.peer, line.process, line.lseq]
        return b"%b%b%b%d%b%b%b" % (before, number, others[0], seq, others[1], head.encode(), others[2])

    def _sealed(
        self, line: Line, seal: Sealed, first: int, digests: dict[tuple[str, int], bytes],
        contexts: dict[tuple[str, str, str], bytes],
    ) -> bytes:  # fmt: skip
        """The body of a seal, as sealing.py computes it."""
        seal, thread = _placed(seal, first), (line.process, seal.request, seal.task)
        told = hashlib.sha256(contexts.get(thread, b""))
        for seq in of_runs(seal.records):
            told.update(seq.to_bytes(8, "big") + digests[line.process, seq])
        contexts[thread] = told.digest()
        new = msgspec.structs.replace(
            seal, digest=digests[line.process, seal.record].hex(), context=told.hexdigest(),
            before=seal.before if seal.before > first else 0, life=self._lives[line.process],
        )  # fmt: skip
        return msgspec.json.encode(new)

    def commit(self) -> None:
        """Make all of it durable, and have the watchdog sign it if it is time."""
        for ledger in self._ledgers.values():
            ledger.commit()
        if self.records - self._signed >= SIGNED:
            self.sign()

    def sign(self) -> None:
        """The watchdog signs where the journals end."""
        heads = {process: (ledger.seq, ledger.head.hex()) for process, ledger in self._ledgers.items()}
        if self._book.seq:
            heads[WATCHDOG] = (self._book.seq, self._book.head.hex())
        told = HeadsSigned(at_ms=time.time_ns() // 1_000_000, heads=heads, key=self._signer.public)
        signed = msgspec.structs.replace(told, signature=self._signer.sign(told.statement()))
        self._book.append(signed.kind, msgspec.json.encode(signed))
        self._book.commit()
        self._signed = self.records

    def settle(self) -> None:
        """Write the state that the journals give."""
        for process, ledger in self._ledgers.items():
            with closing(Reader(self.place, process)) as reader:
                rows = refold.fold(refold.fresh(self.place, process), reader, ledger.seq)
            ledger.clear_words()
            for (noun, key), value in rows.items():
                ledger.save(noun, key, msgspec.json.encode(value))
            ledger.commit()

    def close(self) -> None:
        """Close the ledgers."""
        self._stack.close()


def grow(
    place: Place, client: str, scenes: Sequence[Scene], records: int, *, seed: int = 0, progress: Progress = lambda done: None
) -> int:
    """Write scenes, in an order that the seed draws, until a client's journals have so many records together; how many then."""
    random, grower = Random(seed), Grower(place, client, seed)
    collecting = gc.isenabled()
    gc.disable()  # nothing here goes in circles
    try:
        since = grower.records
        while grower.records < records:
            grower.write(random.choice(scenes))
            if grower.records - since >= IN_COMMIT * 3:
                grower.commit()
                progress(grower.records)
                since = grower.records
        grower.commit()
        grower.sign()
        grower.settle()
        return grower.records
    finally:
        grower.close()
        if collecting:
            gc.enable()
