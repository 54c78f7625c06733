"""Making a ledger, and bringing one of an older format up to date: each in one transaction, whole or not at all.

Format 2 has a check value in each row of state. Format 3 has memory with versions: what was one row `memory` of the key
`level/owner/key` is a row `memory/SHELF` and its first version, `version/SHELF`, which is found by its words (words.py).
Format 4 has other views, a table of the segments that were rotated out of the journal (archive.py), and a table of blobs with a
rowid: without one, what was above a quarter of a page took a page of its own.
"""

import time
from typing import Final

import pysqlite3 as sqlite3

from mai.sandbox.place import FORMAT
from mai.sandbox.schema import BLOB, SEGMENT, STATE, TABLES, crc
from mai.sandbox.views import STATEMENTS
from mai.sandbox.words import NOUN, Words

FIRST: Final = '{"n":1,"oldest":1}'  # a piece of memory that has one version, of a time that nobody knows


def create(db: sqlite3.Connection, process: str) -> None:
    """The tables of a new ledger."""
    meta = f"INSERT INTO meta VALUES('process', '{process}'), ('created_ns', '{time.time_ns()}')"
    db.executescript(f"BEGIN IMMEDIATE; {TABLES} {meta}; PRAGMA user_version={FORMAT}; COMMIT")


def upgrade(db: sqlite3.Connection, format_: int) -> None:
    """A ledger of an older format as this version has it."""
    db.execute("BEGIN IMMEDIATE")
    for (view,) in db.execute("SELECT name FROM main.sqlite_schema WHERE type = 'view'").fetchall():
        db.execute(f'DROP VIEW main."{view}"')
    if format_ < 2:
        _check_values(db)
    if format_ < 3:
        _memory(db)
    _blobs(db)
    db.execute(SEGMENT)
    for statement in STATEMENTS:
        db.execute(statement)
    db.execute(f"PRAGMA user_version={FORMAT}")
    db.execute("COMMIT")


def _check_values(db: sqlite3.Connection) -> None:
    db.execute("CREATE TEMP TABLE kept(noun TEXT, key TEXT, value TEXT, crc INTEGER)")
    rows = db.execute("SELECT noun, key, value FROM main.state")
    db.executemany("INSERT INTO temp.kept VALUES(?,?,?,?)", ((*row, crc(*row)) for row in rows))
    db.execute("DROP TABLE main.state")
    db.execute(STATE)
    db.execute("INSERT INTO main.state SELECT noun, key, value, crc FROM temp.kept ORDER BY noun, key")
    db.execute("DROP TABLE temp.kept")


def _blobs(db: sqlite3.Connection) -> None:
    for trigger in ("blob_update", "blob_insert"):
        db.execute(f"DROP TRIGGER main.{trigger}")
    db.execute("ALTER TABLE main.blob RENAME TO blob_before")
    for statement in BLOB:
        db.execute(statement)
    db.execute("INSERT INTO main.blob SELECT address, value FROM main.blob_before")
    db.execute("DROP TABLE main.blob_before")


def _memory(db: sqlite3.Connection) -> None:
    words = Words(db)
    for whole, value in db.execute("SELECT key, value FROM state WHERE noun = 'memory'").fetchall():
        level, owner, key = whole.split("/", 2)
        shelf = f"{level}/{owner}" if owner else level
        new = ((f"memory/{shelf}", key, FIRST), (f"{NOUN}{shelf}", f"{key}/1", value))
        db.executemany("INSERT INTO state VALUES(?,?,?,?)", ((*row, crc(*row)) for row in new))
        words.write((), new)
    db.execute("DELETE FROM state WHERE noun = 'memory'")
