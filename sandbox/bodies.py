"""Records and blobs as they lie in a journal: read, and held against their digests and addresses."""

import hashlib
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pysqlite3 as sqlite3

from mai.sandbox.bounds import ALL, Bounds, sql
from mai.sandbox.errors import DiskFault, LedgerFault
from mai.sandbox.record import BLOB, COLUMNS, Record, digest_of
from mai.sandbox.redaction import redacted

RESTORE = "put it back from a backup (mai restore); `mai verify` says what else is wrong"
REMOVED = '{"removed":"by retention"}'  # the body of a record in a segment that was thinned
PASSING = ("full", "I/O", "locked", "readonly")  # in SQLite's words for what may be better at the next start


def read(db: sqlite3.Connection, wanted: Bounds = ALL) -> Iterator[Record]:
    """The records of a journal within these bounds, in order."""
    where, given = sql(wanted)
    for row in db.execute(f"SELECT {COLUMNS} FROM journal WHERE {where} ORDER BY seq", given):
        yield Record(*row)


def fault(path: Path, error: sqlite3.Error) -> LedgerFault:
    """Say in one sentence what SQLite said."""
    text = str(error)
    hints = {
        "full": "make room on the disk and start again; nothing that was acknowledged is lost",
        "readonly": "give the user of the daemon the right to write there",
        "unable to open": "does the directory exist, and may the user of the daemon write there?",
        "not a database": RESTORE,
        "malformed": RESTORE,
        "I/O": "look at the disk (dmesg); the daemon tries again, and reads then what is true",
        "locked": "another program holds the file: end it",
    }
    hint = next((hint for word, hint in hints.items() if word in text), "look at the disk, then start again")
    kind = DiskFault if any(word in text for word in PASSING) else LedgerFault
    return kind(f"the ledger {path} cannot be used: {text}", hint)


def damaged(db: sqlite3.Connection, what: str) -> LedgerFault:
    """The error for what is there and is not what was written."""
    path = next((row[2] for row in db.execute("PRAGMA database_list") if row[1] == "main"), "")
    return LedgerFault(f"the ledger {path} is damaged: {what}", RESTORE)


def sound(db: sqlite3.Connection, record: Record) -> None:
    """Is the record the one that was written, or what an erasure has left of it? Raises LedgerFault if not."""
    try:
        fits = digest_of(record) == record.digest
    except (struct.error, UnicodeEncodeError, TypeError, AttributeError):  # a number or a text that no ledger could have written
        fits = False
    if not fits and not redacted(db, record):
        raise damaged(db, f"record {record.seq} is not what was written, its digest does not fit")


def blob_of(db: sqlite3.Connection, address: str, *, trust: bool = False) -> bytes | None:
    """The bytes at an address; None if there are none. Raises LedgerFault if they are not those that were written."""
    row = db.execute("SELECT value FROM blob WHERE address=?", (address,)).fetchone()
    if row and not trust and hashlib.sha256(row[0]).hexdigest() != address:
        raise damaged(db, f"the blob {address[:12]} is not what was written, its digest is not its address")
    return bytes(row[0]) if row else None


def body_of(
    db: sqlite3.Connection, record: Record, *, trust: bool = False, elsewhere: Callable[[str], bytes | None] | None = None
) -> str:
    """The JSON text of a record's body, fetched from its blob if it lies there, or `elsewhere`.

    Raises LedgerFault if either is not what was written, unless who asks has seen to that (`trust`).
    """
    if not trust and record.body != REMOVED:  # of that one `mai verify` says whether it was to be so
        sound(db, record)
    if not record.body.startswith(BLOB):
        return record.body
    address = record.body.split('"')[3]
    data = blob_of(db, address, trust=trust)
    if data is None and elsewhere:
        data = elsewhere(address) or blob_of(db, address, trust=trust)  # it may have come back from there meanwhile
    if data is None:
        raise LedgerFault(f"record {record.seq} points to the blob {address[:12]}, which is missing", "run `mai verify`")
    return data.decode()
