"""One ledger under examination by `mai verify`: is it whole, and is its journal the one that was written?

The records are read in portions, each a short transaction of its own, and only up to a number that was fixed before: a
journal only grows, so that is the same as one long snapshot, without keeping the write-ahead log from its checkpoints.
What the bodies of messages say is handed to `witness.Ends`, to be compared with the other ends of their links.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pysqlite3 as sqlite3

from mai.agents.events import Acked, Asked, ProcessStarted, Received, Sent, Stepped
from mai.agents.link import Link
from mai.daemon.reader import Reader
from mai.daemon.witness import Ends, Finding
from mai.sandbox import made, words
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import GENESIS, Record, chain
from mai.sandbox.place import FORMAT, Place
from mai.sandbox.schema import TABLES, crc

LOOKED_AT = frozenset({Sent.kind, Received.kind, Acked.kind, ProcessStarted.kind})  # kinds whose bodies matter here
BLOB = '{"blob":'  # how a body begins that lies elsewhere
THOUGHTS = frozenset({Asked.kind, Stepped.kind})  # kinds that may name what a model was asked and has answered
PAGE_BLOBS = 100  # in one SELECT
RESTORE = "put the ledger back from a backup; `mai verify` on the backup tells whether it is sound"
REBUILD = "keep the file as evidence; if its journal is sound, stop the process and make its state anew with `mai rebuild`"
OTHER = "verify it with the version that wrote it"
OLDER = "start the daemon once: each process brings its own ledger up to date"
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
        self.seq, self._head = 0, GENESIS  # of the last record that was read
        self._bad_what, self._bad_more = "", 0
        self._referred: dict[str, int] = {}  # blob -> the first record that points to it

    def found(self, seq: int, what: str, hint: str = TAMPERED) -> None:
        """Note that something is wrong; `seq` is the record, 0 if it is about none."""
        self.findings.append(Finding(self.process, seq, what, hint))

    # -- the file
    def open(self, place: Place) -> None:
        """Open it. Raises NotFound, LedgerFault."""
        self.reader = Reader(place, self.process)

    def close(self) -> None:
        """Close it, if it was opened."""
        if hasattr(self, "reader"):
            self.reader.close()

    def snapshot(self, *, whole: bool) -> None:
        """Fix how far is looked, and read the state as it stood then: all of it, or only the links."""
        db = self.reader.connection
        db.execute("BEGIN")
        try:
            self.upto = self.reader.last()
            self._check_values()
            if self.format == FORMAT:
                self._words()
            rows = db.execute("SELECT noun, key, value FROM state WHERE ? OR noun = 'link'", (whole,)).fetchall()
        finally:
            db.execute("ROLLBACK")
        self.state = {(noun, key): value for noun, key, value in rows}

    def _check_values(self) -> None:
        """Hold every row of state against its check value; an older format has none."""
        db = self.reader.connection
        self.format = db.execute("PRAGMA user_version").fetchone()[0]
        for noun, key, value, check in db.execute("SELECT noun, key, value, crc FROM state") if self.format == FORMAT else ():
            if crc(noun, key, value) != check:
                self.found(0, f"the row {noun} {key!r} of the state is not what was written: its check value differs", RESTORE)

    def _words(self) -> None:
        """What memory is found by is what stands in its rows. Whether the index itself is whole, SQLite's own check says."""
        db = self.reader.connection
        try:
            due, held = words.due(db.execute("SELECT noun, key, value FROM state WHERE noun LIKE 'version/%'")), words.held(db)
        except (ValueError, KeyError, TypeError) as error:  # of a row whose check value has told
            self.found(0, f"the full-text index of memory cannot be compared with the state: {error}", REBUILD)
            return
        for shelf, key in sorted(row for row in due.keys() | held.keys() if due.get(row) != held.get(row)):
            self.found(0, f"the full-text index of the memory {shelf} does not say of {key!r} what the state says", REBUILD)

    def file(self) -> None:
        """SQLite's own check, the format, whose ledger it is, and the tables and triggers.

        The check is the one long read here; while it runs the write-ahead log of a busy process grows.
        """
        db = self.reader.connection
        said = [row[0] for row in db.execute("PRAGMA quick_check(5)")]
        if said != ["ok"]:
            self.found(0, f"the file is damaged: {'; '.join(said)}", RESTORE)
        if self.format < FORMAT:
            self.found(0, f"the ledger is of format {self.format}, this version writes {FORMAT}", OLDER)
        elif self.format > FORMAT:
            self.found(0, f"the ledger is of format {self.format}, this version knows {FORMAT}", OTHER)
        else:
            self._schema()
        had = made.had(self.reader.path) or 0
        if had > (last := self.reader.last()):
            self.found(last + 1, f"the journal ends with record {last}, and had {had}: it was cut, or is an older copy")
        owner = db.execute("SELECT value FROM meta WHERE key='process'").fetchone()
        self._owned(owner[0] if owner else "nobody", 0)

    def _schema(self) -> None:
        indexes = [name.removeprefix(words.TABLE) for name in words.indexed(self.reader.connection)]
        ours, theirs = schema(sqlite3.connect(":memory:"), create=True, indexes=indexes), schema(self.reader.connection)
        for name in sorted(ours.keys() - theirs.keys()):
            self.found(0, f"the {name} was dropped")
        for name in sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]):
            self.found(0, f"the {name} is not the one that mai made")
        for name in sorted(theirs.keys() - ours.keys()):
            self.found(0, f"the {name} was added", "if it is yours, drop it: it may act on whatever is written")

    def _owned(self, owner: str, seq: int) -> None:
        if owner != self.process and self.usable:
            self.usable = False
            self.found(seq, f"this is the ledger of {owner}", "put each ledger back in its place")

    # -- the journal
    def journal(self, upto: int, progress: Callable[[int], None]) -> None:
        """Read on to this record: numbers, digests, and what the bodies of messages say."""
        while self.seq < upto and (rows := self._rows(upto)):
            self._chain(rows)
            self.records += len(rows)
            progress(self.seq)
        if self.seq < upto:  # the last ones went while we looked
            self._bad(self.seq + 1, f"the records from {self.seq + 1} to {upto} are missing")

    def _rows(self, upto: int) -> list[Row]:
        try:
            return self.reader.portion(self.seq, upto)
        except sqlite3.OperationalError as error:
            if "UTF-8" not in str(error) or self.reader.connection.text_factory is not str:
                raise
            # A byte was changed into one that no text has: the record will be named by its digest.
            self.reader.connection.text_factory = _lenient
            return self._rows(upto)

    def _chain(self, rows: list[Row]) -> None:
        """Hold each record against the one before. A million of them pass here, hence the locals."""
        last, head = self.seq, self._head
        for row in rows:
            seq, at_ns, term, _, kind, _, _, _, body, prev, digest = row
            try:
                fits = chain(prev, seq, at_ns, term, row[3:9]) == digest
            except (struct.error, UnicodeEncodeError):  # a number or a text that the ledger could never have written
                fits = False
            if not fits or prev != head or seq != last + 1:
                self._misfit(seq, last + 1, fits)
            last, head = seq, digest
            if kind in LOOKED_AT or body.startswith(BLOB) or (kind in THOUGHTS and '"call":"model"' in body):
                self._body(row)
        self.seq, self._head = last, head

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
            self.found(self.bad_seq, self._bad_what + (f" ({self._bad_more} more do not fit)" if self._bad_more else ""))

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

    def _body(self, row: Row) -> None:
        seq, kind, body, digest = row[0], row[4], row[8], row[10]
        try:
            if body.startswith(BLOB):
                self._referred.setdefault(msgspec.json.decode(body)["blob"], seq)
                if kind not in LOOKED_AT and kind not in THOUGHTS:
                    return
                body = self.reader.body(Record(*row), trust=True)
            if kind in THOUGHTS:
                self._thought(seq, msgspec.json.decode(body))
            elif kind == ProcessStarted.kind:
                self._owned(msgspec.json.decode(body)["process"], seq)
            elif (gap := self.ends.add(kind, seq, digest, body)) and not self.bad_seq:
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
            inquiry.get("tools"),
            inquiry.get("schema"),
            (body.get("value") or {}).get("answer"),
        ]
        for address in filter(None, named):
            self._referred.setdefault(address, seq)

    def witnessed(self, seq: int) -> int:
        """The number of the sender's record that a received message of ours names."""
        (row,) = self.reader.portion(seq - 1, seq)
        return int(msgspec.json.decode(self.reader.body(Record(*row), trust=True))["head_seq"])

    def blob(self) -> None:
        """Every blob is what its address says, and every one that a record points to is there."""
        for address, value in self._all_blobs():
            self.blobs += 1
            seq = self._referred.pop(address, 0)
            if hashlib.sha256(value).hexdigest() != address:
                whose = f" of record {seq}" if seq else ""
                self.found(seq, f"the blob {address[:12]}{whose} was changed: its digest is not its address")
        for address, seq in self._referred.items():
            if self.reader.archive.blob(address) is not None:
                continue
            self.found(seq, f"the blob {address[:12]} of record {seq} is missing")

    def _all_blobs(self) -> Iterator[tuple[str, bytes]]:
        after = ""
        query = f"SELECT address, value FROM blob WHERE address > ? ORDER BY address LIMIT {PAGE_BLOBS}"
        while rows := self.reader.connection.execute(query, (after,)).fetchall():
            yield from rows
            after = rows[-1][0]


def schema(db: sqlite3.Connection, *, create: bool = False, indexes: Sequence[str] = ()) -> dict[str, str]:
    """What a database is made of, `trigger journal_insert` -> its SQL; without SQLite's own. `indexes`: shelves that have one."""
    if create:
        db.executescript(TABLES)
        for shelf in indexes:
            db.execute(words.create(shelf))
    rows = db.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    return {f"{type_} {name}": sql for type_, name, sql in rows}


def _lenient(data: bytes) -> str:
    return data.decode(errors="replace")
