"""Values destroyed in place: a record keeps its number, its columns and its digest, and says something else in their stead.

A redacted row no longer fits its digest. Which rows may say so, and what each of them says now, stands in a record of the same
journal (agents/erased.py); rows of state of the noun `redacted` are the fold of those records, and tell whoever reads one row.
`mai verify` trusts the records alone.
"""

import json
from typing import Any

import pysqlite3 as sqlite3

from mai.sandbox.record import ERASED, REDACTED, Record, digest_of, key_of


def redacted(db: sqlite3.Connection, record: Record) -> bool:
    """Does this record, which does not fit its digest, say what an erasure has left of it?"""
    try:
        row = db.execute("SELECT value FROM state WHERE noun = ? AND key = ?", (REDACTED, key_of(record.seq))).fetchone()
    except sqlite3.OperationalError:  # a ledger whose state is gone: its journal is asked
        return [record.digest.hex(), digest_of(record).hex()] in _listed(db, record.seq)
    return bool(row) and json.loads(row[0])["digest"] == digest_of(record).hex()


def _listed(db: sqlite3.Connection, seq: int) -> list[list[str]]:
    """What the records of erasures say of one record."""
    bodies = (json.loads(body) for (body,) in db.execute("SELECT body FROM journal WHERE kind = ?", (ERASED,)).fetchall())
    whole = (_fetched(db, one["blob"]) if "blob" in one else one for one in bodies)
    return [[before, now] for one in whole for number, before, now in one.get("records", ()) if number == seq]


def _fetched(db: sqlite3.Connection, address: str) -> dict[str, Any]:
    (data,) = db.execute("SELECT value FROM blob WHERE address = ?", (address,)).fetchone()
    found: dict[str, Any] = json.loads(data)
    return found
