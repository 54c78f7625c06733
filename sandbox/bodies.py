"""Records and blobs as they lie in a journal: read, and held against their digests and addresses."""

import hashlib
import struct
from collections.abc import Iterator

import pysqlite3 as sqlite3

from mai.sandbox.errors import LedgerFault
from mai.sandbox.record import Record, digest_of

RESTORE = "put it back from a backup (mai restore); `mai verify` says what else is wrong"
_COLUMNS = "seq, at_ns, term, boot, kind, request, task, agent, body, prev, digest"


def read(db: sqlite3.Connection, after: int = 0, where: str = "", given: tuple[object, ...] = ()) -> Iterator[Record]:
    """Records of a journal with a number above `after`; bodies that were stored as blobs are put back. `where` is SQL."""
    query = f"SELECT {_COLUMNS} FROM journal WHERE seq > ? {'AND ' + where if where else ''} ORDER BY seq"
    for row in db.execute(query, (after, *given)):
        yield Record(*row)


def damaged(db: sqlite3.Connection, what: str) -> LedgerFault:
    """The error for what is there and is not what was written."""
    path = next((row[2] for row in db.execute("PRAGMA database_list") if row[1] == "main"), "")
    return LedgerFault(f"the ledger {path} is damaged: {what}", RESTORE)


def sound(db: sqlite3.Connection, record: Record) -> None:
    """Is the record the one that was written? Raises LedgerFault if not."""
    try:
        fits = digest_of(record) == record.digest
    except (struct.error, UnicodeEncodeError, TypeError, AttributeError):  # a number or a text that no ledger could have written
        fits = False
    if not fits:
        raise damaged(db, f"record {record.seq} is not what was written, its digest does not fit")


def blob_of(db: sqlite3.Connection, address: str, *, trust: bool = False) -> bytes | None:
    """The bytes at an address; None if there are none. Raises LedgerFault if they are not those that were written."""
    row = db.execute("SELECT value FROM blob WHERE address=?", (address,)).fetchone()
    if row and not trust and hashlib.sha256(row[0]).hexdigest() != address:
        raise damaged(db, f"the blob {address[:12]} is not what was written, its digest is not its address")
    return bytes(row[0]) if row else None


def body_of(db: sqlite3.Connection, record: Record, *, trust: bool = False) -> str:
    """The JSON text of a record's body, fetched from its blob if it lies there.

    Raises LedgerFault if either is not what was written, unless who asks has seen to that (`trust`).
    """
    if not trust:
        sound(db, record)
    if not record.body.startswith('{"blob":'):
        return record.body
    address = record.body.split('"')[3]
    data = blob_of(db, address, trust=trust)
    if data is None:
        raise LedgerFault(f"record {record.seq} points to the blob {address[:12]}, which is missing", "run `mai verify`")
    return data.decode()
