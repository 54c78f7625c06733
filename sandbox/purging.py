"""Rows of a ledger that are changed in place, and the bytes that they leave behind, gone: what only an erasure may do."""

from collections.abc import Iterable, Iterator
from typing import Final

import pysqlite3 as sqlite3

from mai.sandbox.bodies import fault
from mai.sandbox.ledger import Ledger
from mai.sandbox.schema import PRAGMAS

BUSY_MS: Final = next(int(found) for name, _, found in PRAGMAS if name == "busy_timeout")
TRIGGER: Final = "journal_update"  # lifted for the one statement that changes records, inside its transaction


def blobs(ledger: Ledger) -> Iterator[tuple[str, bytes]]:
    """All texts that the ledger keeps, with their addresses."""
    after = ""
    while row := ledger.connection.execute("SELECT address, value FROM blob WHERE address > ? LIMIT 1", (after,)).fetchone():
        yield row[0], bytes(row[1])
        after = row[0]


def redact(ledger: Ledger, bodies: Iterable[tuple[int, str]], gone: Iterable[str]) -> None:
    """Put other bodies in the place of those of some records, and remove blobs, in the transaction that `commit` will end."""
    ledger.stage()
    db = ledger.connection
    try:
        db.execute("PRAGMA secure_delete=ON")
        (trigger,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (TRIGGER,)).fetchone()
        db.execute(f"DROP TRIGGER {TRIGGER}")
        db.executemany("UPDATE journal SET body = ?2 WHERE seq = ?1", bodies)
        db.execute(trigger)
        db.executemany("DELETE FROM blob WHERE address = ?", ((address,) for address in gone))
    except sqlite3.Error as error:
        raise fault(ledger.path, error) from error


def purge(ledger: Ledger, *, wait_ms: int = BUSY_MS) -> bool:
    """Write the file anew, so that nothing is left in free pages, and empty the write-ahead log; False if a reader is in the way
    for so long.

    SQLite leaves what it frees where it lies: rows that were changed long ago as well. Raises LedgerFault.
    """
    db = ledger.connection
    try:
        db.execute("PRAGMA secure_delete=ON")
        db.execute("VACUUM")
        db.execute(f"PRAGMA busy_timeout={wait_ms}").fetchall()
        busy: int = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        db.execute(f"PRAGMA busy_timeout={BUSY_MS}").fetchall()
    except sqlite3.Error as error:
        raise fault(ledger.path, error) from error
    return not busy
