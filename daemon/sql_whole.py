"""A journal as SQL sees it when a part of it lies in sealed segments: whole again, in a file that has no name.

Records of segments are packed, and SQLite cannot look into them. So the whole journal is laid down beside the ledger with its
index, and the tables `journal` and `blob` of that are what the views and a question mean. The file is unlinked as soon as it is
open: it goes with the process, however that ends.
"""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import pysqlite3 as sqlite3

from mai.daemon.reader import Reader

SCHEMA: Final = "whole"
BLOB: Final = '{"blob":'
COLUMNS: Final = "seq, at_ns, term, boot, kind, request, task, agent, body, prev, digest"
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
    db, after, last = reader.connection, 0, reader.last()
    db.execute("BEGIN")
    try:
        while rows := reader.portion(after, last):
            db.executemany(f"INSERT INTO {SCHEMA}.journal VALUES(?,?,?,?,?,?,?,?,?,?,?)", rows)
            for address in [msgspec.json.decode(row[8])["blob"] for row in rows if row[8].startswith(BLOB)]:
                _keep(reader, address)
            after = rows[-1][0]
            progress(reader.process, after, last + 1)
        progress(reader.process, last, last)
    finally:
        db.execute("COMMIT")


def _keep(reader: Reader, address: str) -> None:
    """A value that lies in a segment alone."""
    here: Any = reader.plain("SELECT 1 FROM main.blob WHERE address = ? LIMIT 1", address)
    if not here and (value := reader.archive.blob(address)) is not None:
        with contextlib.suppress(sqlite3.IntegrityError):  # it is there
            reader.connection.execute(f"INSERT INTO {SCHEMA}.blob VALUES(?, ?)", (address, value))
