"""A department's own database as its tools see it: rows as dicts in, rows as dicts out."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pysqlite3 as sqlite3
from company.common import TODAY, Row

DATABASE = "company.db"
BUSY_S = 10.0  # how long a tool waits for another tool's transaction


def _bound(named: dict[str, Any]) -> dict[str, Any]:
    """Parameters as SQLite takes them: lists as JSON for json_each, and `:today` always at hand."""
    return {"today": TODAY.isoformat()} | {k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in named.items()}


def _open(files: Path, mode: str) -> Any:
    connection = sqlite3.connect(f"file:{files / DATABASE}?mode={mode}", uri=True, timeout=BUSY_S, isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


def rows(files: Path, sql: str, **named: Any) -> list[Row]:
    """All rows of a question; nothing can be written through it."""
    with closing(_open(files, "ro")) as connection:
        return [dict(row) for row in connection.execute(sql, _bound(named))]


def row(files: Path, sql: str, **named: Any) -> Row | None:
    """The first row of a question, or None."""
    return next(iter(rows(files, sql, **named)), None)


class Writing:
    """One transaction of an effect."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def row(self, sql: str, **named: Any) -> Row | None:
        """The first row of a question inside the transaction, or None."""
        found = self._connection.execute(sql, _bound(named)).fetchone()
        return dict(found) if found else None

    def change(self, sql: str, **named: Any) -> int:
        """Do one statement; returns how many rows it changed."""
        return int(self._connection.execute(sql, _bound(named)).rowcount)


@contextmanager
def writing(files: Path) -> Iterator[Writing]:
    """A transaction that holds the write lock from its start, so that what it reads is still true when it writes."""
    with closing(_open(files, "rw")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield Writing(connection)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
