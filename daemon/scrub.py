"""One journal under examination by `mai verify`: is it the one that was written?

The records are read in portions, each a short transaction of its own, and only up to a number that was fixed before: a
journal only grows, so that is the same as one long snapshot, without keeping the write-ahead log from its checkpoints.
What the bodies of messages say is handed to `witness.Ends`, to be compared with the other ends of their links. What the file
is made of beside its records is filecheck.py's.

A scrub can begin behind the records that an earlier one has read, at a `Mark`, and leave one.
"""

import hashlib
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import pysqlite3 as sqlite3

from mai.agents.erased import Values
from mai.agents.events import Acked, Asked, ProcessStarted, Received, Sent, Stepped
from mai.agents.link import Link
from mai.agents.rotation_events import SegmentRemoved
from mai.agents.sealing import Sealed
from mai.daemon.hearsay import HEARSAY, Hearsay
from mai.daemon.reader import Reader
from mai.daemon.redacted import Erasures, erasures
from mai.daemon.transcript_records import ModelRequest, ModelResponse
from mai.daemon.verified import MOST_WAITING, Mark, Way
from mai.daemon.witness import Ends, Finding, Strand
from mai.sandbox.bodies import REMOVED
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import GENESIS, Record, chain, digest_of
from mai.sandbox.place import FORMAT, Place
from mai.sandbox.record import BLOB
from mai.sandbox.segment import Entry

TRANSCRIPTS = frozenset({ModelRequest.kind, ModelResponse.kind})  # kinds that name the bytes of what models were asked
LOOKED_AT = (
    TRANSCRIPTS
    | HEARSAY
    | {
        Sent.kind,
        Received.kind,
        Acked.kind,
        ProcessStarted.kind,
    }
)  # kinds whose bodies matter here
THOUGHTS = frozenset({Asked.kind, Stepped.kind})  # kinds that may name what a model was asked and has answered
BLOBS = "SELECT address, value FROM blob WHERE address > ? ORDER BY address LIMIT 100"
SCOPE: Final = '"scope":"'  # in the body of a seal: the address of a blob stands behind it
ADDRESS: Final = 64
ADDRESSED: Final = re.compile(r"[0-9a-f]{64}")
BACK_NS: Final = 1_000_000_000  # that the clock may go back before it is named
BACK_TOLD: Final = 5  # times in one journal
CLOCK = "look at the host's clock (chronyc tracking, timedatectl), and who has set it: times on record and deadlines go by it"
RESTORE = "put the ledger back from a backup; `mai verify` on the backup tells whether it is sound"
REBUILD = "keep the file as evidence; if its journal is sound, stop the process and make its state anew with `mai rebuild`"
OTHER = "verify it with the version that wrote it"
OLDER = "start the daemon once: each process brings its own ledger up to date"
ERASE = "somebody has put it back: keep the file as evidence, and erase again with `mai erase`"
TAMPERED = "somebody has changed the file: keep it as evidence, and put the ledger back from a backup"

Row = tuple[Any, ...]
State = dict[tuple[str, str], str]  # noun and key -> JSON


class Scrub:
    """A ledger, what was found in it so far, and its ends of the links."""

    reader: Reader  # since `open`

    def __init__(self, process: str) -> None:
        self.process = process
        self.findings: list[Finding] = []
        self.ends = Ends(process)
        self.upto = 0  # the last record of the snapshot
        self.state: State = {}  # as it was with that record
        self.records = self.blobs = 0  # how many were looked at
        self.seconds = 0.0  # that it took
        self.readable = True  # no error of SQLite has ended the examination
        self.usable = True  # its messages can be compared with others'
        self.bad_seq = 0  # the first record that does not fit into the chain
        self.format = FORMAT
        self.seq, self.head, self.at_ns = 0, GENESIS, 0  # of the last record that was read
        self.known = 0  # records that an earlier run has read
        self.warnings: list[Finding] = []
        self.hearsay = Hearsay()  # what it was told of the watchdog's journal
        self._bad_what, self._bad_more = "", 0
        self._back = 0  # how often the clock went back
        self._hashed: set[int] = set()  # the beginnings of addresses of blobs that were looked at
        self._erasures: Erasures | None = None
        self._erasing = False  # was one read in this run?
        self.touched: dict[int, str] = {}  # records that an erasure has touched, with their requests

    def found(self, seq: int, what: str, hint: str = TAMPERED, good_seq: int = 0) -> None:
        """Note that something is wrong; `seq` is the record, 0 if it is about none. Up to `good_seq` the journal is good."""
        self.findings.append(Finding(self.process, seq, what, hint, good_seq=good_seq))

    def warn(self, seq: int, what: str, hint: str) -> None:
        """Note what need not be wrong."""
        self.warnings.append(Finding(self.process, seq, what, hint))

    # -- the file
    def open(self, place: Place) -> None:
        """Open it. Raises NotFound, LedgerFault."""
        self.reader = Reader(place, self.process)

    def close(self) -> None:
        """Close it, if it was opened."""
        if hasattr(self, "reader"):
            self.reader.close()

    def owned(self, owner: str, seq: int) -> None:
        """Somebody says whose ledger this is."""
        if owner != self.process and self.usable:
            self.usable = False
            self.found(seq, f"this is the ledger of {owner}", "put each ledger back in its place")

    # -- the journal
    def journal(self, upto: int, progress: Callable[[int], None]) -> None:
        """Read on to this record: numbers, digests, and what the bodies of messages say."""
        while self.step(upto):
            progress(self.seq)

    def step(self, upto: int) -> bool:
        """Read the next portion on the way to this record; false if it is reached."""
        if self.seq >= upto:
            return False
        if gap := self.reader.archive.gap(self.seq + 1):
            self._removed(gap)
            return True
        rows = self._rows(upto)
        if not rows:  # the last ones went while we looked
            self._bad(self.seq + 1, f"the records from {self.seq + 1} to {upto} are missing")
            return False
        self._chain(rows)
        self.records += len(rows)
        return True

    def _removed(self, gap: Entry) -> None:
        """Retention has removed these records: their segment's first predecessor and last digest are left of them."""
        if gap.prev != self.head:
            self._bad(gap.first, f"the removed records {gap.first} to {gap.last} do not follow record {self.seq}")
        self.seq, self.head = gap.last, gap.head
        said = self.reader.record(gap.seq)
        if said and said.kind == SegmentRemoved.kind:
            self.ends.go_on_from(msgspec.json.decode(self.reader.body(said), type=SegmentRemoved).links)

    def _rows(self, upto: int) -> list[Row]:
        try:
            return self.reader.portion(self.seq, self.reader.archive.unbroken(self.seq, upto))
        except sqlite3.OperationalError as error:
            if "UTF-8" not in str(error) or self.reader.connection.text_factory is not str:
                raise
            # A byte was changed into one that no text has: the record will be named by its digest.
            self.reader.connection.text_factory = _lenient
            return self._rows(upto)

    def _chain(self, rows: list[Row]) -> None:
        """Hold each record against the one before. A million of them pass here, hence the locals."""
        last, head, clock_ns = self.seq, self.head, self.at_ns - BACK_NS
        for row in rows:
            seq, at_ns, term, _, kind, _, _, _, body, prev, digest = row
            try:
                fits = chain(prev, seq, at_ns, term, row[3:9]) == digest
            except (struct.error, UnicodeEncodeError, AttributeError, TypeError):  # what the ledger could never have written
                fits = False
            left = not fits and self._left(row)
            fits = fits or left or (body == REMOVED and self.reader.archive.thinned(seq) is not None)
            if not fits or prev != head or seq != last + 1:
                self._misfit(seq, last + 1, fits)
            if fits:
                if at_ns < clock_ns:
                    self._went_back(seq, at_ns, clock_ns + BACK_NS)
                clock_ns = at_ns - BACK_NS
            last, head = seq, digest
            if body == REMOVED or (not fits and not (isinstance(kind, str) and isinstance(body, str))):
                continue
            if kind == Values.kind:
                self._erasures, self._erasing = None, True  # there is one more
            if kind in LOOKED_AT or body.startswith(BLOB) or (kind in THOUGHTS and '"call":"model"' in body and not left):
                self._body(row, left=left)
            elif kind == Sealed.kind and (place := body.find(SCOPE)) > 0:
                self._refer(body[place + len(SCOPE) : place + len(SCOPE) + ADDRESS], seq)
        self.seq, self.head, self.at_ns = last, head, clock_ns + BACK_NS

    def _went_back(self, seq: int, at_ns: int, before_ns: int) -> None:
        """The first times are told one by one."""
        self._back += 1
        if self._back <= BACK_TOLD:
            back_s = (before_ns - at_ns) / 1e9
            self.warn(seq, f"record {seq} was written {back_s:,.1f} s before record {seq - 1}: the clock was set back", CLOCK)

    def _left(self, row: Row) -> bool:
        """Does a record that does not fit its digest say what an erasure has left of it?"""
        try:
            if self.erasures.of(Record(*row)) is None:
                return False
        except (struct.error, UnicodeEncodeError, AttributeError, TypeError):  # what the ledger could never have written
            return False
        self.touched[row[0]] = row[5]
        return True

    @property
    def erasures(self) -> Erasures:
        """What the journal says of erasures. Read when it is first needed: most journals have none."""
        if self._erasures is None:
            self._erasures = erasures(self.reader)
        return self._erasures

    @property
    def redacted(self) -> int:
        """How many records were found that an erasure has touched."""
        return len(self.touched)

    def spared(self) -> None:
        """What an erasure says that it has destroyed, and has not: records that still say what they said."""
        for seq, touched in self.erasures.touched.items() if self._erasing else ():
            if self.known < seq <= self.seq and seq not in self.touched and seq != self.bad_seq:
                self.found(seq, f"record {seq} was erased by record {touched.said}, and still says what it said", ERASE)

    def _misfit(self, seq: int, due: int, fits: bool) -> None:
        """Say in which way a record is not the next one of the chain."""
        if seq > due:
            self._bad(due, f"record {due} is missing" if seq == due + 1 else f"the records from {due} to {seq - 1} are missing")
        elif not fits:
            self._bad(seq, f"record {seq} was changed: its digest does not fit what it says")
        else:
            self._bad(seq, f"record {seq} does not follow record {seq - 1}: one of them was replaced")

    def _bad(self, seq: int, what: str) -> None:
        if not self.bad_seq:
            self.bad_seq, self._bad_what = seq, f"{what}; the last good one is {seq - 1}" if seq > 1 else what
        else:
            self._bad_more += 1

    def broken(self) -> None:
        """Report the first bad record of the chain; what comes behind it may be bad only because of it."""
        if self.bad_seq:
            more = f" ({self._bad_more} more do not fit)" if self._bad_more else ""
            self.found(self.bad_seq, self._bad_what + more, good_seq=self.bad_seq - 1)

    # -- what bodies say
    def claim(self) -> None:
        """What was read so far is the snapshot: its links are what the state says, and what it claims of others is fixed."""
        self.ends.claim(self.bad_seq)
        for peer, counts in self.ends.counts().items():
            text = self.state.get(("link", peer))
            try:
                link = msgspec.json.decode(text, type=Link) if text else Link(peer)
            except msgspec.MsgspecError:
                self.found(0, f"the state of the link with {peer} is none", REBUILD)
                continue
            if (link.sent, link.acked, link.received) != counts and not self.bad_seq:
                state = f"{link.sent} sent, {link.acked} acknowledged, {link.received} received"
                due = ", ".join(map(str, counts))
                self.found(0, f"the state of the link with {peer} ({state}) is not what the journal says ({due})", REBUILD)

    def _body(self, row: Row, *, left: bool = False) -> None:
        seq, kind, body, digest = row[0], row[4], row[8], row[10]
        try:
            if body.startswith(BLOB):
                self._refer(str(msgspec.json.decode(body)["blob"]), seq)
                if kind not in LOOKED_AT and kind not in THOUGHTS:
                    return
                body = self.reader.body(Record(*row), trust=True)
            if kind in TRANSCRIPTS:
                told = msgspec.json.decode(body)
                for address in filter(None, (*told.get("pieces", ()), told.get("kept"))):
                    self._refer(address, seq)
            elif kind in THOUGHTS and not left:
                self._thought(seq, msgspec.json.decode(body))
            elif kind in HEARSAY:
                if not left:
                    self.hearsay.add(kind, seq, body)
            elif kind == ProcessStarted.kind:
                self.owned(msgspec.json.decode(body)["process"], seq)
            elif kind in LOOKED_AT and (gap := self.ends.add(kind, seq, digest, body, cut=left)) and not self.bad_seq:
                self.found(seq, gap, "the numbers of a link run from 1 without a gap")
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
            self.found(seq, f"record {seq} cannot be read: its body is no {kind}")
        except LedgerFault as error:
            self.found(seq, error.sentence)

    def _thought(self, seq: int, body: dict[str, Any]) -> None:
        """What a step of a model's names lies beside it: the messages that it was asked with, and its answer."""
        if body["call"] != "model":
            return
        inquiry = (body.get("given") or {}).get("inquiry") or {}
        named = [
            *inquiry.get("messages", ()),
            inquiry.get("talk"),
            inquiry.get("tools"),
            inquiry.get("schema"),
            (body.get("value") or {}).get("answer"),
        ]
        for address in filter(None, named):
            self._refer(address, seq)

    def _refer(self, address: str, seq: int) -> None:
        """What a record points to is there, and is what its address says."""
        if (begin := int(address[:16], 16)) in self._hashed:
            return
        self._hashed.add(begin)
        self.blobs += 1
        value = self.reader.blob(address)
        if value is None and address in self.erasures.gone:
            return
        if value is None:
            self.found(seq, f"the blob {address[:12]} of record {seq} is missing")
        elif hashlib.sha256(value).hexdigest() != address:
            self.found(seq, f"the blob {address[:12]} of record {seq} was changed: its digest is not its address")

    def witnessed(self, seq: int) -> int:
        """The number of the sender's record that a received message of ours names."""
        (row,) = self.reader.portion(seq - 1, seq)
        return int(msgspec.json.decode(self.reader.body(Record(*row), trust=True))["head_seq"])

    def blob(self, after: str = "") -> Iterator[str]:
        """Blobs that no record points to (that we know of): each is what its address says. Gives how far it is, in portions."""
        while rows := self.reader.connection.execute(BLOBS, (after,)).fetchall():
            for address, value in rows:
                if not ADDRESSED.fullmatch(address) or int(address[:16], 16) not in self._hashed:
                    self.blobs += 1
                    if hashlib.sha256(value).hexdigest() != address:
                        self.found(0, f"the blob {address[:12]} was changed: its digest is not its address")
            after = rows[-1][0]
            yield after

    # -- from run to run
    def resume(self, mark: Mark, when: str) -> bool:
        """Go on behind what was read before, if the journal still is that one; false if it has to be read anew."""
        rows = self.reader.portion(mark.seq - 1, mark.seq)
        if mark.seq and not (rows and rows[0][10].hex() == mark.digest):
            last = self.reader.last()
            if rows or mark.seq <= last:
                said = f"record {mark.seq} is not the one that was verified {when}: the journal was written anew"
            else:
                upto = f"was verified up to record {mark.seq} {when}"
                said = f"the journal ends with record {last}, and {upto}: it was cut, or is an older copy"
            self.found(min(mark.seq, last + 1), said)
            return False
        self.seq, self.head, self.at_ns, self.known = mark.seq, bytes.fromhex(mark.digest), mark.at_ns, mark.seq
        self.ends.acked |= mark.acked
        for strands, ways in ((self.ends.sent, mark.sent), (self.ends.received, mark.received)):
            for peer, way in ways.items():
                strands[peer] = Strand(way.count, way.good)
        return all(self._wait(row) for ways in (mark.sent, mark.received) for way in ways.values() for row in way.waits)

    def anew(self) -> None:
        """Read it from the first record on, whatever was known."""
        self.seq, self.head, self.at_ns, self.known, self.ends = 0, GENESIS, 0, 0, Ends(self.process)

    def _wait(self, waiting: tuple[int, str]) -> bool:
        """A message that the other end was not held against yet."""
        seq, due = waiting
        for row in self.reader.portion(seq - 1, seq):
            record = Record(*row)
            if record.digest.hex() == due and (due == digest_of(record).hex() or self.erasures.of(record)):
                cut = due != digest_of(record).hex()
                self.ends.add(record.kind, seq, record.digest, self.reader.body(record, trust=True), cut=cut)
                return True
        self.found(seq, f"record {seq} is not the one that was verified before")
        return False

    def mark(self, vouched: int) -> Mark | None:
        """How far it is; None if too much waits for the other ends."""
        sent, received = (
            {peer: self._way(strand) for peer, strand in strands.items()} for strands in (self.ends.sent, self.ends.received)
        )
        if any(way is None for way in (*sent.values(), *received.values())):
            return None
        return Mark(
            seq=self.seq, digest=self.head.hex(), at_ns=self.at_ns, vouched=vouched, acked=dict(self.ends.acked),
            sent={peer: way for peer, way in sent.items() if way}, received={peer: way for peer, way in received.items() if way},
        )  # fmt: skip

    def _way(self, strand: Strand) -> Way | None:
        if len(strand.seqs) > MOST_WAITING or not strand.whole:
            return None
        rows = (self.reader.portion(seq - 1, seq)[0] for seq in strand.seqs)
        return Way(strand.base, strand.good, tuple((row[0], row[10].hex()) for row in rows))


def _lenient(data: bytes) -> str:
    return data.decode(errors="replace")
