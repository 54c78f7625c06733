"""Ledgers of older formats, made as the versions that wrote them did."""

import hashlib
import struct
import zlib
from collections.abc import Mapping
from typing import Any

# The tables of format 1, as that version made them.
TABLES_1 = """
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
CREATE TABLE blob(address TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE state(noun TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(noun, key)) STRICT, WITHOUT ROWID;
CREATE TRIGGER journal_insert BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'journal: not the next record')
  WHERE NEW.seq IS NOT (SELECT COALESCE(MAX(seq), (SELECT upto FROM rotated), 0) + 1 FROM journal)
     OR NEW.prev IS NOT COALESCE((SELECT digest FROM journal WHERE seq = NEW.seq - 1), (SELECT head FROM rotated), zeroblob(32));
END;
CREATE TRIGGER journal_update BEFORE UPDATE ON journal BEGIN SELECT RAISE(ABORT, 'journal: append only'); END;
CREATE TRIGGER journal_delete BEFORE DELETE ON journal WHEN OLD.seq > COALESCE((SELECT upto FROM rotated), 0)
  BEGIN SELECT RAISE(ABORT, 'journal: append only'); END;
CREATE TRIGGER blob_update BEFORE UPDATE ON blob BEGIN SELECT RAISE(ABORT, 'blob: never changed'); END;
CREATE TRIGGER blob_insert BEFORE INSERT ON blob WHEN EXISTS(SELECT 1 FROM blob WHERE address = NEW.address)
  BEGIN SELECT RAISE(ABORT, 'blob: is there'); END;
CREATE VIEW task AS SELECT key AS task, value->>'request' AS request, value->>'agent' AS agent, value->>'contract' AS contract,
  value->>'deadline_ms' AS deadline_ms FROM state WHERE noun = 'task';
CREATE VIEW link AS SELECT key AS peer, value->>'sent' AS sent, value->>'acked' AS acked, value->>'received' AS received
  FROM state WHERE noun = 'link';
CREATE VIEW memory AS SELECT key, value FROM state WHERE noun = 'memory';
"""


def format_1(db: Any, process: str, rows: int) -> None:
    """A ledger of format 1, in an empty database: so many records, and as many rows of state."""
    db.execute("PRAGMA journal_mode=WAL").fetchall()
    db.executescript(f"BEGIN; {TABLES_1} COMMIT")
    db.execute("INSERT INTO meta VALUES('process', ?), ('created_ns', '1')", (process,))
    head = bytes(32)
    for seq in range(1, rows + 1):
        texts = ("b007", "note", "", "", "", "{}")
        parts = [b"mai-journal-v1\0", head, struct.pack(">QQQ", seq, 1, 1)]
        for text in texts:
            parts += (len(text).to_bytes(4, "big"), text.encode())
        digest = hashlib.sha256(b"".join(parts)).digest()
        db.execute("INSERT INTO journal VALUES(?,?,?,?,?,?,?,?,?,?,?)", (seq, 1, 1, *texts, head, digest))
        db.execute("INSERT INTO state VALUES('task', ?, ?)", (f"t{seq:03}", '{"request":"r"}'))
        head = digest
    db.execute("PRAGMA user_version=1")
    db.close()


# What format 2 had otherwise.
STATE_2 = """CREATE TABLE state(noun TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  crc INTEGER NOT NULL,  -- of the three others; SQLite's pages have no check value of their own
  PRIMARY KEY(noun, key)) STRICT, WITHOUT ROWID;"""
COLUMNS = "noun TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(noun, key)"
STATE_1 = f"CREATE TABLE state({COLUMNS}) STRICT, WITHOUT ROWID;"


def format_2(db: Any, process: str, memory: Mapping[tuple[str, str, str], str]) -> None:
    """A ledger of format 2, in an empty database, whose agents have remembered this: level, owner and key -> JSON.

    Its records are those that that version wrote: `memory.written`, without numbers and times.
    """
    db.execute("PRAGMA journal_mode=WAL").fetchall()
    db.executescript(f"BEGIN; {TABLES_1.replace(STATE_1, STATE_2)} COMMIT")
    db.execute("INSERT INTO meta VALUES('process', ?), ('created_ns', '1')", (process,))
    head = bytes(32)
    for seq, ((level, owner, key), value) in enumerate(memory.items(), 1):
        body = f'{{"agent":"{owner}","level":"{level}","key":"{key}","value":{value}}}'
        texts = ("b007", "memory.written", "", "", owner, body)
        parts = [b"mai-journal-v1\0", head, struct.pack(">QQQ", seq, 1, 1)]
        for text in texts:
            parts += (len(text.encode()).to_bytes(4, "big"), text.encode())
        digest = hashlib.sha256(b"".join(parts)).digest()
        db.execute("INSERT INTO journal VALUES(?,?,?,?,?,?,?,?,?,?,?)", (seq, 1, 1, *texts, head, digest))
        row = ("memory", f"{level}/{owner}/{key}", f'{{"value":{value}}}')
        db.execute("INSERT INTO state VALUES(?,?,?,?)", (*row, zlib.crc32("\0".join(row).encode())))
        head = digest
    db.execute("PRAGMA user_version=2")
    db.close()
