"""The files of segments: made under a name that nobody reads, synced, named; opened by readers as what never changes.

A segment is one SQLite file, so that it is found in by its indexes and any tool opens it. It is never written again: what
replaces it has another name.
"""

import contextlib
import os
import re
from pathlib import Path
from typing import Any, Final

import pysqlite3 as sqlite3

from mai.sandbox import durable

PART: Final = ".part"
PAGE_BYTES: Final = 1024  # small ones: a block ends in the middle of one
_NAME: Final = re.compile(r"ledger\.\d{12}-\d{12}(?:\.\d+)?\.segment(?:\.part)?(?:\.gone)?")
TABLES: Final = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE block(
  first    INTEGER PRIMARY KEY,  -- number of its first record
  last     INTEGER NOT NULL,
  since_ns INTEGER NOT NULL,     -- the earliest time in it
  until_ns INTEGER NOT NULL,     -- the latest
  prev     BLOB NOT NULL,        -- digest of the record before it
  head     BLOB NOT NULL,        -- digest of its last record
  data     BLOB NOT NULL) STRICT;  -- see block.py
CREATE TABLE place(what TEXT NOT NULL, name TEXT NOT NULL, blocks TEXT NOT NULL,  -- JSON: the numbers of their first records
  PRIMARY KEY(what, name)) STRICT, WITHOUT ROWID;  -- what: kind, request
CREATE TABLE blob(address TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;  -- packed by zlib
"""


def name(first: int, last: int, n: int = 1) -> str:
    """Of the file with these records, the n-th such: a thinned one has another name than what it replaces."""
    return f"ledger.{first:012}-{last:012}{f'.{n}' if n > 1 else ''}.segment"


def begin(path: Path) -> Any:
    """A new file in the making, in the place of any older attempt. Raises what SQLite raises, OSError."""
    part = path.with_name(path.name + PART)
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:  # an administrator rotates for a process that has a user of its own
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    os.close(descriptor)
    db = sqlite3.connect(str(part), isolation_level=None)
    db.execute(f"PRAGMA page_size={PAGE_BYTES}")
    db.execute("PRAGMA journal_mode=OFF").fetchall()  # one that is not whole has no name
    db.execute("PRAGMA synchronous=OFF")
    db.executescript(f"BEGIN; {TABLES} COMMIT")
    return db


def sync(path: Path) -> None:
    """What was written of the file in the making is on the disk. Raises OSError."""
    durable.sync(path.with_name(path.name + PART))


def seal(path: Path) -> None:
    """It is whole: from now on it has its name. Raises OSError."""
    sync(path)
    os.replace(path.with_name(path.name + PART), path)
    durable.sync(path.parent)


def read(path: Path, at: int, count: int, *, part: bool = False) -> bytes:
    """Bytes of a segment, or of one in the making: for its digest. Raises OSError."""
    descriptor = os.open(path.with_name(path.name + PART) if part else path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, count, at)
    finally:
        os.close(descriptor)


def look(path: Path, *, part: bool = False) -> Any:
    """A segment to be read from, or one in the making to be looked over. Raises FileNotFoundError, what SQLite raises."""
    file = path.with_name(path.name + PART) if part else path
    if not file.exists():
        raise FileNotFoundError(str(file))
    db = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    db.execute("PRAGMA query_only=ON")
    db.execute("PRAGMA trusted_schema=OFF")
    return db


def remove(path: Path) -> None:
    """It is not needed any more. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def found(directory: Path) -> list[str]:
    """The names of all segments in a directory, those in the making and in destruction too. Raises OSError."""
    return sorted(one.name for one in directory.iterdir() if _NAME.fullmatch(one.name))
