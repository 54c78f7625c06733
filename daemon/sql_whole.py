"""A journal as SQL sees it when a part of it lies in sealed segments: whole again, in a file that has no name.

Records of segments are packed, and SQLite cannot look into them. So the whole journal is laid down beside the ledger with its
index, and the tables `journal` and `blob` of that are what the views and a question mean. The file is unlinked as soon as it is
open: it goes with the process, however that ends.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from mai.daemon.reader import Reader
from mai.sandbox.record import BLOB, COLUMNS

SCHEMA: Final = "whole"
MADE: Final = (
    f"PRAGMA {SCHEMA}.journal_mode=OFF",
    f"PRAGMA {SCHEMA}.synchronous=OFF",
    f"CREATE TABLE {SCHEMA}.journal(seq INTEGER PRIMARY KEY, {COLUMNS.removeprefix('seq, ')})",
    f"CREATE TABLE {SCHEMA}.blob(address TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)
READ: Final = (
    f"CREATE INDEX {SCHEMA}.journal_request ON journal(request) WHERE request <> ''",
    f"CREATE TEMP VIEW journal AS SELECT * FROM {SCHEMA}.journal",
    f"CREATE TEMP VIEW blob AS SELECT address, value FROM main.blob UNION ALL SELECT address, value FROM {SCHEMA}.blob",
)

Progress = Callable[[str, int, int], None]
Row = tuple[Any, ...]  # a record's columns


def lay(reader: Reader, progress: Progress) -> None:
    """Lay the journal down, on a connection that has no authorizer and may write elsewhere. Raises LedgerFault, sqlite3.Error."""
    db = reader.connection
    with tempfile.TemporaryDirectory(prefix="mai-") as room:
        db.execute(f"ATTACH ? AS {SCHEMA}", (f"{Path(room, 'journal.db').as_uri()}?mode=rwc",))
        db.execute(MADE[0]).fetchall()  # before the file has no name: SQLite would look for it
        for statement in MADE[1:]:
            db.execute(statement)
    _fill(reader, progress)
    for statement in READ:
        db.execute(statement)


def _fill(reader: Reader, progress: Progress) -> None:
    db, last = reader.connection, reader.last()

    def here(address: str) -> bool:
        return bool(reader.plain("SELECT 1 FROM main.blob WHERE address = ? LIMIT 1", address))

    db.execute("BEGIN")
    try:
        for rows, values in portions(reader, last, here):
            db.executemany(f"INSERT INTO {SCHEMA}.journal VALUES(?,?,?,?,?,?,?,?,?,?,?)", rows)
            db.executemany(f"INSERT OR IGNORE INTO {SCHEMA}.blob VALUES(?, ?)", values)
            progress(reader.process, rows[-1][0], last + 1)
        progress(reader.process, last, last)
    finally:
        db.execute("COMMIT")


def portions(reader: Reader, upto: int, here: Callable[[str], bool]) -> Iterator[tuple[list[Row], Iterator[tuple[str, bytes]]]]:
    """The records up to one, some thousand at a time, with the values of bodies that lie elsewhere and are not `here`.

    They are read one by one, for all of a portion may be more than memory holds. A value that bodies of two portions share comes
    with each, unless it is here by then.
    """
    after = 0
    while rows := reader.portion(after, upto):
        named = dict.fromkeys(msgspec.json.decode(row[8])["blob"] for row in rows if row[8].startswith(BLOB))
        found = ((address, reader.blob(address)) for address in named if not here(address))
        yield rows, ((address, value) for address, value in found if value is not None)
        after = rows[-1][0]
