"""The ledger: the one SQLite file of one process, its journal and its state together, changed in one transaction.

`append` and `save` collect what one turn of the loop brings; `commit` writes it all at once and makes it durable
(group commit: the fsync is the whole cost). Nothing of a turn may leave the process before its commit. Records are
chained by SHA-256 over every column, and rows of state carry a check value, because SQLite's pages have none: both are
looked at whenever they are read. On any error of the disk the process ends: an fsync is never tried again.

One SQLite library in every process: pysqlite3 with SQLite 3.51.3 or later, because earlier ones can lose committed
transactions in WAL mode (sqlite.org/wal.html#walresetbug). Two libraries on one file drop each other's POSIX locks.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain as chain_of
from pathlib import Path

import pysqlite3 as sqlite3

from mai.sandbox import beside, made
from mai.sandbox.archive import Archive
from mai.sandbox.bodies import REMOVED, RESTORE, blob_of, body_of, damaged, fault, read, sound
from mai.sandbox.bounds import Bounds
from mai.sandbox.errors import LedgerFault
from mai.sandbox.opening import look
from mai.sandbox.place import FORMAT
from mai.sandbox.points import reach
from mai.sandbox.record import GENESIS, Record, chain, digest_of
from mai.sandbox.schema import PRAGMAS, TERM, crc
from mai.sandbox.segment import Entry
from mai.sandbox.upgrade import create, upgrade
from mai.sandbox.words import Words, found

__all__ = (
    "BLOB_BYTES", "GENESIS", "Ledger", "Record", "blob_of", "body_of", "chain", "connect", "damaged", "digest_of", "fault",
    "read", "sound",
)  # fmt: skip

OLDEST_SQLITE = (3, 51, 3)
BLOB_BYTES = 16 << 10  # a record's body above this is stored once, by its content
ABANDONED = 10  # connections that are kept open after an error of the disk
UPSERT = "INSERT INTO state VALUES(?,?,?,?) ON CONFLICT DO UPDATE SET value=excluded.value, crc=excluded.crc"
_abandoned: list[sqlite3.Connection] = []


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open a ledger with every pragma set and read back. Raises LedgerFault, saying what to do."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise LedgerFault(f"SQLite {sqlite3.sqlite_version} can lose committed records", "install pysqlite3 0.6.1 or later")
    try:
        if not write:
            beside.lay(path)
        name = f"{path.absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
        db = sqlite3.connect(name, uri=True, isolation_level=None, timeout=5)
        if not write:
            db.execute("PRAGMA query_only=ON")
            db.execute("SELECT 1 FROM sqlite_schema").fetchall()
            return db
        for name, value, found in PRAGMAS:
            db.execute(f"PRAGMA {name}={value}").fetchall()
            if (actual := db.execute(f"PRAGMA {name}").fetchone()[0]) != found:
                text = f"{path}: {name} is {actual}, it has to be {found}"
                raise LedgerFault(text, "is the file system one that SQLite supports?")
        return db
    except sqlite3.Error as error:
        raise fault(path, error) from error
    except UnicodeDecodeError as error:  # SQLite quotes the file where it says what is wrong with it
        raise LedgerFault(f"the ledger {path} cannot be used: it is malformed", RESTORE) from error


class Ledger:
    """One process's ledger, open for writing. The directory's lock has to be held before it is opened."""

    def __init__(self, path: Path, process: str) -> None:
        self.path = path
        self.process = process
        self.boot = os.urandom(6).hex()
        self.commits = 0
        self.read_back = 0  # rows and records that were read
        look(path, process, connect)
        self._db = connect(path, write=True)
        self._records: list[tuple[object, ...]] = []
        self._blobs: dict[str, bytes] = {}
        self._saved: dict[tuple[str, str], str | None] = {}
        self._segments: list[Entry] = []
        self.watched: Callable[[str], None] | None = None  # is told of all that is written, see sweeping.py
        self.sweeps = 0  # how often blobs have left: an address that was kept before may have to be kept again
        self._words = Words(self._db)
        self._fault: LedgerFault | None = None
        try:
            self._create()
            last = self._db.execute("SELECT seq, digest FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
            last = last or self._db.execute("SELECT upto, head FROM rotated").fetchone() or (0, GENESIS)
            self.archive = Archive(self._db, path.parent, strict=False)
        except sqlite3.Error as error:
            raise fault(path, error) from error
        self.seq: int = last[0]
        self.head: bytes = last[1]
        self.durable: tuple[int, bytes] = (self.seq, self.head)  # the last record that the disk has: what others may be told
        self._remember()

    def _remember(self) -> None:
        """Leave word that there is a ledger. Who has no peers has no other witness of how far it had come."""
        had = made.had(self.path) or 0
        if "/" not in self.process and had > self.seq:
            self._db.close()
            raise LedgerFault(
                f"the ledger {self.path} is an older copy of itself: it ends with record {self.seq} and had {had}, "
                f"{self.seq + 1} to {had} are missing here",
                made.way_out(self.path),
            )
        made.remember(self.path, self.seq)

    def _create(self) -> None:
        """Make the tables, or bring those of an older format up to date: either is done whole or not at all."""
        format_ = self._db.execute("PRAGMA user_version").fetchone()[0]
        if format_ == 0:
            create(self._db, self.process)
        elif format_ < FORMAT:
            upgrade(self._db, format_)

    # -- writing: collected until commit
    def append(self, kind: str, body: bytes, *, request: str = "", task: str = "", agent: str = "") -> int:
        """Add one record to the journal; returns its number. It is durable after the next commit."""
        text = body.decode() if len(body) <= BLOB_BYTES else self._blob(body)
        if self.watched:
            self.watched(text)
        seq, at_ns = self.seq + 1, time.time_ns()
        digest = chain(self.head, seq, at_ns, TERM, (self.boot, kind, request, task, agent, text))
        self._records.append((seq, at_ns, TERM, self.boot, kind, request, task, agent, text, self.head, digest))
        self.seq, self.head = seq, digest
        return seq

    def _blob(self, body: bytes) -> str:
        return f'{{"blob":"{self.keep(body)}","bytes":{len(body)}}}'

    def keep(self, data: bytes) -> str:
        """Store bytes once, by their content, with the next commit; returns their address: SHA-256 in hexadecimal digits."""
        address = hashlib.sha256(data).hexdigest()
        if not self.has(address):
            self._blobs[address] = data
        if self.watched:
            self.watched(address)
            self.watched(data.decode(errors="replace"))
        return address

    def has(self, address: str) -> bool:
        """Is a blob in the ledger itself, not only in a segment?"""
        return self._db.execute("SELECT 1 FROM blob WHERE address=?", (address,)).fetchone() is not None

    def segment(self, entry: Entry, kind: str, body: bytes) -> None:
        """Write down what there is of a segment, with the record that says so, in the next commit."""
        self._segments.append(entry._replace(seq=self.append(kind, body)))

    def save(self, noun: str, key: str, value: bytes | None) -> None:
        """Set one piece of state (JSON), or remove it."""
        self._saved[noun, key] = text = None if value is None else value.decode()
        if self.watched and text:
            self.watched(text)

    @property
    def connection(self) -> sqlite3.Connection:
        """For who rotates, between two turns."""
        return self._db

    @property
    def failed(self) -> LedgerFault | None:
        """Why nothing is written any more."""
        return self._fault

    @property
    def pending(self) -> bool:
        """Is there anything that a commit would write?"""
        return bool(self._records or self._saved or self._blobs) or self._db.in_transaction

    def commit(self) -> None:
        """Write all that was collected in one transaction, and wait until the disk has it.

        Raises LedgerFault; from then on always, since nobody knows what the disk has.
        """
        if self._fault:
            raise self._fault
        if not self.pending:
            return
        reach("commit.before")
        try:
            self._write()
        except sqlite3.Error as error:
            self._fault = fault(self.path, error)
            raise self._fault from error
        self._records.clear()
        self._blobs.clear()
        if self._segments:
            self._segments.clear()
            self.archive.refresh()
        self.durable = (self.seq, self.head)
        self.commits += 1
        reach("commit.after")

    def _write(self) -> None:
        db = self._db
        self._rows_of_state()
        if self._blobs:
            db.executemany(
                "INSERT OR IGNORE INTO blob SELECT ?1, ?2 WHERE NOT EXISTS(SELECT 1 FROM blob WHERE address=?1)",
                self._blobs.items(),
            )
        db.executemany("INSERT INTO journal VALUES(?,?,?,?,?,?,?,?,?,?,?)", self._records)
        db.executemany("INSERT OR REPLACE INTO segment VALUES(?,?,?,?,?,?,?,?,?,?,?)", self._segments)
        reach("commit.inside")
        db.execute("COMMIT")

    def put(self, blobs: Mapping[str, bytes]) -> None:
        """Blobs come back from a segment that is about to go, with the next commit."""
        self._blobs.update(blobs)

    def cut(self, upto: int, head: bytes) -> None:
        """Take the records up to this one, which are in a segment, out of the journal. Raises LedgerFault."""
        self._at_once(
            ("INSERT OR REPLACE INTO rotated VALUES(1, ?, ?)", (upto, head)), ("DELETE FROM journal WHERE seq <= ?", (upto,))
        )
        self.archive.refresh()

    def move(self, addresses: list[str], upto: int = 0) -> None:
        """Take blobs that are in a segment out of the ledger; `upto`: there are no more of segments up to this record."""
        self._at_once(
            *(("DELETE FROM blob WHERE address = ?", (address,)) for address in addresses),
            ("INSERT OR REPLACE INTO meta VALUES('moved', ?)", (str(upto or self.moved()),)),
        )

    def moved(self) -> int:
        """The record up to which segments have taken their blobs with them. Raises LedgerFault."""
        row = self._db.execute("SELECT value FROM meta WHERE key = 'moved'").fetchone()
        return int(row[0]) if row else 0

    def _at_once(self, *statements: tuple[str, tuple[object, ...]]) -> None:
        """A transaction of its own, between two turns: what the next one commits comes after it."""
        assert not self.pending, "a turn is not over"
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for statement, given in statements:
                self._db.execute(statement, given)
            reach("rotation.inside")
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._fault = fault(self.path, error)
            raise self._fault from error

    def stage(self) -> None:
        """Write what was collected of the state into the transaction that `commit` will end. Raises LedgerFault."""
        if self._fault:
            raise self._fault
        try:
            self._rows_of_state()
        except sqlite3.Error as error:
            self._fault = fault(self.path, error)
            raise self._fault from error

    def clear_words(self) -> None:
        """Drop the full-text indexes, for who writes all of the state anew with this commit."""
        self.stage()
        self._words.clear()

    def _rows_of_state(self) -> None:
        """The state that was collected, and its words, in an open transaction. What goes, goes first: see words.py."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        removed = [row for row, value in self._saved.items() if value is None]
        kept = [(*row, value) for row, value in self._saved.items() if value is not None]
        if removed:
            self._db.executemany("DELETE FROM state WHERE noun=? AND key=?", removed)
        if kept:
            self._db.executemany(UPSERT, ((*row, crc(*row)) for row in kept))
        self._words.write(removed, kept)
        self._saved.clear()

    # -- reading
    def find(self, shelf: str, asked: str) -> list[tuple[str, int, float]]:
        """Keys, versions and scores of what fits on a shelf, best first, of all that is staged. Raises LedgerFault."""
        try:
            return found(self._db, shelf, asked)
        except sqlite3.Error as error:
            raise fault(self.path, error) from error

    def count(self, noun: str) -> int:
        """How many rows of state a noun has, of all that are staged. Raises LedgerFault."""
        try:
            return int(self._db.execute("SELECT COUNT(*) FROM state WHERE noun=?", (noun,)).fetchone()[0])
        except sqlite3.Error as error:
            raise fault(self.path, error) from error

    def behind(self, noun: str, after: str, count: int) -> list[tuple[str, bytes]]:
        """The next rows of one noun behind a key, in the order of keys, of all that are staged. Raises LedgerFault."""
        return self._rows(noun, "key > ? ORDER BY key LIMIT ?", after, count)

    def get(self, noun: str, key: str) -> bytes | None:
        """One piece of state, with what is not committed yet."""
        if (noun, key) in self._saved:
            value = self._saved[noun, key]
            return None if value is None else value.encode()
        rows = self._rows(noun, "key=?", key)
        return rows[0][1] if rows else None

    def blob(self, address: str) -> bytes | None:
        """The bytes at an address, also if they are not committed yet; None if there are none. Raises LedgerFault."""
        if address in self._blobs:
            return self._blobs[address]
        try:
            found = blob_of(self._db, address)
            return self.archive.blob(address) if found is None and self.archive.entries else found
        except sqlite3.Error as error:
            raise fault(self.path, error) from error

    def load(self, noun: str) -> dict[str, bytes]:
        """All committed state of one noun, in the order of its keys. Raises LedgerFault."""
        return dict(self._rows(noun, "1 ORDER BY key"))

    def nouns(self) -> list[str]:
        """All nouns that have committed state. Raises LedgerFault."""
        try:
            return [noun for (noun,) in self._db.execute("SELECT DISTINCT noun FROM state ORDER BY noun")]
        except sqlite3.Error as error:
            raise fault(self.path, error) from error

    def latest(self, noun: str, count: int) -> list[bytes]:
        """The values with the greatest keys of one noun, oldest first. Raises LedgerFault."""
        return [value for _, value in self._rows(noun, "1 ORDER BY key DESC LIMIT ?", count)][::-1]

    def _rows(self, noun: str, where: str, *given: object) -> list[tuple[str, bytes]]:
        """Keys and values of committed state, each held against its check value."""
        try:
            rows = self._db.execute(f"SELECT key, value, crc FROM state WHERE noun=? AND {where}", (noun, *given)).fetchall()
        except sqlite3.Error as error:
            raise fault(self.path, error) from error
        self.read_back += len(rows)
        for key, value, check in rows:
            if crc(noun, key, value) != check:
                raise damaged(self._db, f"the row {noun} {key!r} of its state is not what was written")
        return [(key, value.encode()) for key, value, _ in rows]

    def records(self, after: int = 0, kind: str = "") -> Iterator[Record]:
        """Committed records in order; `body` puts blobs back in their place. Raises LedgerFault."""
        for record in self._read(Bounds(after, kinds=frozenset({kind}) if kind else None)):
            self.read_back += 1
            yield record

    def live(self, wanted: Bounds) -> Iterator[Record]:
        """Committed records that are not in segments alone."""
        return read(self._db, wanted)

    def of_request(self, request: str) -> Iterator[Record]:
        """Committed records of one request, in order. Raises LedgerFault."""
        return self._read(Bounds(request=request))

    def _read(self, wanted: Bounds) -> Iterator[Record]:
        """Records of the archive, then of the journal that goes on: only who writes cuts it, so neither changes meanwhile."""
        try:
            yield from (one for one in self.archive.whole(wanted) if one.body != REMOVED)
        except sqlite3.Error as error:
            raise fault(self.path, error) from error

    def place_of(self, seq: int) -> tuple[int, bytes] | None:
        """Number and digest of a record, also of one that is not committed yet; None if there is none. Raises LedgerFault."""
        if self._records and seq >= int(str(self._records[0][0])):
            return next(((seq, bytes(one[10])) for one in self._records if one[0] == seq), None)  # type: ignore[call-overload]
        return next(((record.seq, record.digest) for record in self._read(Bounds(seq - 1, seq))), None)

    def last_of(self, request: str, task: str, kind: str, n: int = 0) -> tuple[int, bytes] | None:
        """The newest record of this kind of a task, of its step `n`, as `place_of` gives it."""
        wanted = Bounds(kinds=frozenset({kind}), request=request, task=task)
        fresh = (Record(*one) for one in reversed(self._records))  # type: ignore[arg-type]  # columns in their order
        kept = (one for one in reversed([*read(self._db, wanted)]))
        for record in chain_of(fresh, kept, self.archive.records(wanted, newest=True)):
            if (record.kind, record.task) == (kind, task) and (not n or f'"n":{n},' in record.body):
                return record.seq, record.digest
        return None

    def body(self, record: Record) -> str:
        """The JSON text of a record's body. Raises LedgerFault."""
        return body_of(self._db, record, elsewhere=self.archive.blob)

    def close(self) -> None:
        """Close the file; what was not committed is forgotten.

        After an error of the disk it is only let go: to close it would write and sync once more (see `run_process`).
        """
        if self._fault and "I/O" in self._fault.sentence and len(_abandoned) < ABANDONED:
            _abandoned.append(self._db)
        else:
            self.archive.close()
            self._db.close()
