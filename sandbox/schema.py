"""The tables of a ledger, and the triggers in the file that keep its journal append-only for every program. Pure.

Triggers stop accidents, not an owner of the file who drops them: that is seen by the chain and by the heads that other
processes hold. An insert trigger that demands the next number and the right predecessor also stops INSERT OR REPLACE,
which plain UPDATE and DELETE triggers let through (sqlite.org/lang_createtrigger.html, recursive_triggers).
"""

import zlib

from mai.sandbox.views import STATEMENTS

TERM = 1  # the number of the active facility; stands in every record

PRAGMAS = (  # per connection, then read back: (name, value to set, value to find)
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("recursive_triggers", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("cell_size_check", "ON", 1),
    ("mmap_size", "0", 0),  # an I/O error becomes an error, not a SIGBUS
    ("busy_timeout", "5000", 5000),
    ("wal_autocheckpoint", "1000", 1000),
    ("journal_size_limit", str(64 << 20), 64 << 20),
)

SEGMENT = """
CREATE TABLE segment(  -- sealed pieces of the journal, in files beside the ledger; see segment.py
  first    INTEGER PRIMARY KEY,  -- number of its first record
  last     INTEGER NOT NULL,
  prev     BLOB NOT NULL,     -- digest of the record before it
  head     BLOB NOT NULL,     -- digest of its last record
  since_ns INTEGER NOT NULL,  -- the earliest time in it
  until_ns INTEGER NOT NULL,  -- the latest
  file     TEXT NOT NULL,
  bytes    INTEGER NOT NULL,
  sha256   TEXT NOT NULL,
  kept     TEXT NOT NULL,     -- all, some, none
  seq      INTEGER NOT NULL) STRICT;  -- of the record that says so
"""
STATE = """
CREATE TABLE state(noun TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  crc INTEGER NOT NULL,  -- of the three others; SQLite's pages have no check value of their own
  PRIMARY KEY(noun, key)) STRICT, WITHOUT ROWID;
"""
BLOB = (  # with a rowid: without one all that is above a quarter of a page takes a page of its own
    "CREATE TABLE blob(address TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;",
    "CREATE TRIGGER blob_update BEFORE UPDATE ON blob BEGIN SELECT RAISE(ABORT, 'blob: never changed'); END;",
    """CREATE TRIGGER blob_insert BEFORE INSERT ON blob WHEN EXISTS(SELECT 1 FROM blob WHERE address = NEW.address)
  BEGIN SELECT RAISE(ABORT, 'blob: is there'); END;""",
)
TABLES = (
    """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE rotated(one INTEGER PRIMARY KEY CHECK(one=1), upto INTEGER NOT NULL, head BLOB NOT NULL) STRICT;
CREATE TABLE journal(
  seq     INTEGER PRIMARY KEY,  -- contiguous from 1
  at_ns   INTEGER NOT NULL,     -- wall clock, recorded: replay never reads a clock
  term    INTEGER NOT NULL,
  boot    TEXT NOT NULL,        -- which start of the process
  kind    TEXT NOT NULL,
  request TEXT NOT NULL,        -- "" where it belongs to none
  task    TEXT NOT NULL,
  agent   TEXT NOT NULL,
  body    TEXT NOT NULL,        -- JSON; {"blob": address, "bytes": n} where it is large
  prev    BLOB NOT NULL,
  digest  BLOB NOT NULL) STRICT;
CREATE INDEX journal_request ON journal(request) WHERE request<>'';
CREATE TRIGGER journal_insert BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'journal: not the next record')
  WHERE NEW.seq IS NOT (SELECT COALESCE(MAX(seq), (SELECT upto FROM rotated), 0) + 1 FROM journal)
     OR NEW.prev IS NOT COALESCE((SELECT digest FROM journal WHERE seq = NEW.seq - 1), (SELECT head FROM rotated), zeroblob(32));
END;
CREATE TRIGGER journal_update BEFORE UPDATE ON journal BEGIN SELECT RAISE(ABORT, 'journal: append only'); END;
CREATE TRIGGER journal_delete BEFORE DELETE ON journal WHEN OLD.seq > COALESCE((SELECT upto FROM rotated), 0)
  BEGIN SELECT RAISE(ABORT, 'journal: append only'); END;
"""
    + "\n".join(BLOB)
    + SEGMENT
    + STATE
    + "".join(f"{statement};\n" for statement in STATEMENTS)
)
TRIGGERS = ("blob_insert", "blob_update", "journal_delete", "journal_insert", "journal_update")


def crc(noun: str, key: str, value: str) -> int:
    """The check value of a row of state: finds what a disk has changed, not what somebody has who can compute it too."""
    return zlib.crc32(f"{noun}\0{key}\0{value}".encode())
