"""The ledger: the one SQLite file of one process, its journal and its state together, changed in one transaction.

`append` and `save` collect what one turn of the loop brings; `commit` writes it all at once and makes it durable
(group commit: the fsync is the whole cost). Nothing of a turn may leave the process before its commit. Records are
chained by SHA-256 over every column. On any error of the disk the process ends: an fsync is never tried again.

One SQLite library in every process: pysqlite3 with SQLite 3.51.3 or later, because earlier ones can lose committed
transactions in WAL mode (sqlite.org/wal.html#walresetbug). Two libraries on one file drop each other's POSIX locks.
"""

import hashlib
import os
import struct
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pysqlite3 as sqlite3

from mai.sandbox.errors import DiskFault, LedgerFault
from mai.sandbox.place import FORMAT
from mai.sandbox.points import reach
from mai.sandbox.schema import PRAGMAS, TABLES, TERM

OLDEST_SQLITE = (3, 51, 3)
PASSING = ("full", "I/O", "locked", "readonly")  # in SQLite's words for what may be better at the next start
BLOB_BYTES = 16 << 10  # a record's body above this is stored once, by its content
GENESIS = bytes(32)  # what comes before the first record
_NUMBERS = struct.Struct(">QQQ")
_COLUMNS = "seq, at_ns, term, boot, kind, request, task, agent, body, prev, digest"


class Record(NamedTuple):
    """One line of a journal, as it stands in the file."""

    seq: int
    at_ns: int
    term: int
    boot: str
    kind: str
    request: str
    task: str
    agent: str
    body: str
    prev: bytes
    digest: bytes


def chain(prev: bytes, seq: int, at_ns: int, term: int, texts: tuple[str, ...]) -> bytes:
    """The digest of a record: SHA-256 over its predecessor's and every column, each text with its length before it."""
    boot, kind, request, task, agent, body = texts
    data = body.encode()
    return hashlib.sha256(
        b"mai-journal-v1\0%b%b%b%b%b%b%b%b%b" % (
            prev, _NUMBERS.pack(seq, at_ns, term), _measured(boot), _measured(kind), _measured(request), _measured(task),
            _measured(agent), len(data).to_bytes(4, "big"), data,
        )
    ).digest()  # fmt: skip


@lru_cache(1024)
def _measured(text: str) -> bytes:
    """A text as the digest has it, its length before it; most stand in many records."""
    data = text.encode()
    return len(data).to_bytes(4, "big") + data


def digest_of(record: Record) -> bytes:
    """What the digest of this record has to be."""
    return chain(record.prev, record.seq, record.at_ns, record.term, record[3:9])


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open a ledger with every pragma set and read back. Raises LedgerFault, saying what to do."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise LedgerFault(f"SQLite {sqlite3.sqlite_version} can lose committed records", "install pysqlite3 0.6.1 or later")
    try:
        name = f"{path.absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
        db = sqlite3.connect(name, uri=True, isolation_level=None, timeout=5)
        if not write:
            db.execute("PRAGMA query_only=ON")
            db.execute("SELECT 1 FROM sqlite_schema").fetchall()
            return db
        for name, value, found in PRAGMAS:
            db.execute(f"PRAGMA {name}={value}").fetchall()
            if (actual := db.execute(f"PRAGMA {name}").fetchone()[0]) != found:
                raise LedgerFault(
                    f"{path}: {name} is {actual}, it has to be {found}", "is the file system one that SQLite supports?"
                )
        return db
    except sqlite3.Error as error:
        raise fault(path, error) from error


def fault(path: Path, error: sqlite3.Error) -> LedgerFault:
    """Say in one sentence what SQLite said."""
    text = str(error)
    hints = {
        "full": "make room on the disk and start again; nothing that was acknowledged is lost",
        "readonly": "give the user of the daemon the right to write there",
        "unable to open": "does the directory exist, and may the user of the daemon write there?",
        "not a database": "put the file back from a backup",
        "malformed": "put the file back from a backup",
        "locked": "another program holds the file: end it",
    }
    hint = next((hint for word, hint in hints.items() if word in text), "look at the disk, then start again")
    kind = DiskFault if any(word in text for word in PASSING) else LedgerFault
    return kind(f"the ledger {path} cannot be used: {text}", hint)


class Ledger:
    """One process's ledger, open for writing. The directory's lock has to be held before it is opened."""

    def __init__(self, path: Path, process: str) -> None:
        self.path = path
        self.process = process
        self.boot = os.urandom(6).hex()
        self.commits = 0
        self._db = connect(path, write=True)
        self._records: list[tuple[object, ...]] = []
        self._blobs: dict[str, bytes] = {}
        self._saved: dict[tuple[str, str], str | None] = {}
        self._fault: LedgerFault | None = None
        try:
            self._create()
            last = self._db.execute("SELECT seq, digest FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
            last = last or self._db.execute("SELECT upto, head FROM rotated").fetchone() or (0, GENESIS)
        except sqlite3.Error as error:
            raise fault(path, error) from error
        self.seq: int = last[0]
        self.head: bytes = last[1]
        self.durable: tuple[int, bytes] = (self.seq, self.head)  # the last record that the disk has: what others may be told

    def _create(self) -> None:
        format_ = self._db.execute("PRAGMA user_version").fetchone()[0]
        if format_ > FORMAT:
            raise LedgerFault(
                f"the ledger {self.path} is of format {format_}, this version reads up to {FORMAT}",
                "install the newer version again",
            )
        if format_ == 0:
            meta = f"INSERT INTO meta VALUES('process', '{self.process}'), ('created_ns', '{time.time_ns()}')"
            self._db.executescript(f"BEGIN IMMEDIATE; {TABLES} {meta}; PRAGMA user_version={FORMAT}; COMMIT")
        owner = self._db.execute("SELECT value FROM meta WHERE key='process'").fetchone()[0]
        if owner != self.process:
            raise LedgerFault(
                f"the ledger {self.path} belongs to {owner}, not to {self.process}", "put each ledger back in its place"
            )

    # -- writing: collected until commit
    def append(self, kind: str, body: bytes, *, request: str = "", task: str = "", agent: str = "") -> int:
        """Add one record to the journal; returns its number. It is durable after the next commit."""
        text = body.decode() if len(body) <= BLOB_BYTES else self._blob(body)
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
        if self._db.execute("SELECT 1 FROM blob WHERE address=?", (address,)).fetchone() is None:
            self._blobs[address] = data
        return address

    def save(self, noun: str, key: str, value: bytes | None) -> None:
        """Set one piece of state (JSON), or remove it."""
        self._saved[noun, key] = None if value is None else value.decode()

    @property
    def pending(self) -> bool:
        """Is there anything that a commit would write?"""
        return bool(self._records or self._saved or self._blobs)

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
        self._saved.clear()
        self.durable = (self.seq, self.head)
        self.commits += 1
        reach("commit.after")

    def _write(self) -> None:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        if self._blobs:
            db.executemany(
                "INSERT OR IGNORE INTO blob SELECT ?1, ?2 WHERE NOT EXISTS(SELECT 1 FROM blob WHERE address=?1)",
                self._blobs.items(),
            )
        db.executemany("INSERT INTO journal VALUES(?,?,?,?,?,?,?,?,?,?,?)", self._records)
        gone = [key for key, value in self._saved.items() if value is None]
        kept = [(*key, value) for key, value in self._saved.items() if value is not None]
        if kept:
            db.executemany("INSERT INTO state VALUES(?,?,?) ON CONFLICT DO UPDATE SET value=excluded.value", kept)
        if gone:
            db.executemany("DELETE FROM state WHERE noun=? AND key=?", gone)
        reach("commit.inside")
        db.execute("COMMIT")

    # -- reading
    def get(self, noun: str, key: str) -> bytes | None:
        """One piece of state, with what is not committed yet."""
        if (noun, key) in self._saved:
            value = self._saved[noun, key]
            return None if value is None else value.encode()
        row: tuple[str] | None = self._db.execute("SELECT value FROM state WHERE noun=? AND key=?", (noun, key)).fetchone()
        return row[0].encode() if row else None

    def blob(self, address: str) -> bytes | None:
        """The bytes at an address, also if they are not committed yet; None if there are none."""
        if address in self._blobs:
            return self._blobs[address]
        row = self._db.execute("SELECT value FROM blob WHERE address=?", (address,)).fetchone()
        return bytes(row[0]) if row else None

    def load(self, noun: str) -> dict[str, bytes]:
        """All committed state of one noun, in the order of its keys."""
        return {
            key: value.encode()
            for key, value in self._db.execute("SELECT key, value FROM state WHERE noun=? ORDER BY key", (noun,))
        }

    def latest(self, noun: str, count: int) -> list[bytes]:
        """The values with the greatest keys of one noun, oldest first."""
        query = "SELECT value FROM state WHERE noun=? ORDER BY key DESC LIMIT ?"
        return [value.encode() for (value,) in self._db.execute(query, (noun, count))][::-1]

    def records(self, after: int = 0, kind: str = "") -> Iterator[Record]:
        """Committed records in order, blobs put back in their place."""
        return read(self._db, after, "kind = ?" if kind else "", (kind,) if kind else ())

    def of_request(self, request: str) -> Iterator[Record]:
        """Committed records of one request, in order. `<> ''` lets SQLite use the index."""
        return read(self._db, 0, "request = ? AND request <> ''", (request,))

    def body(self, record: Record) -> str:
        """The JSON text of a record's body."""
        return body_of(self._db, record)

    def close(self) -> None:
        """Close the file; what was not committed is forgotten."""
        self._db.close()


def read(db: sqlite3.Connection, after: int = 0, where: str = "", given: tuple[object, ...] = ()) -> Iterator[Record]:
    """Records of a journal with a number above `after`; bodies that were stored as blobs are put back. `where` is SQL."""
    query = f"SELECT {_COLUMNS} FROM journal WHERE seq > ? {'AND ' + where if where else ''} ORDER BY seq"
    for row in db.execute(query, (after, *given)):
        yield Record(*row)


def body_of(db: sqlite3.Connection, record: Record) -> str:
    """The JSON text of a record's body, fetched from its blob if it lies there."""
    if not record.body.startswith('{"blob":'):
        return record.body
    address = record.body.split('"')[3]
    row = db.execute("SELECT value FROM blob WHERE address=?", (address,)).fetchone()
    if row is None:
        raise LedgerFault(f"record {record.seq} points to the blob {address[:12]}, which is missing", "run `mai verify`")
    return bytes(row[0]).decode()
