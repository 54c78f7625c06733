"""Full-text search in a ledger: one FTS5 table for each shelf of memory, made of rows of state and of nothing else.

A row of the noun `version/SHELF` with the key `KEY/N` holds version N of what lies under KEY, as {"value": ...}. The newest
version of each key is found by its words and those of its key. The index is written where the rows are, in the same
transaction; whoever writes all rows anew (an upgrade, `mai rebuild`) makes it anew with them.

Each shelf has a table of its own, and no query names two: how rare a word is elsewhere would else show in the scores.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import pysqlite3 as sqlite3

NOUN: Final = "version/"  # how the nouns begin whose rows are found by their words
TABLE: Final = "words "  # how the tables are named
LONGEST: Final = 32  # words or phrases of a query that are looked for
_ASKED = re.compile(r'"([^"]*)"|(\w+)')
_WORD = re.compile(r"\w+")

Row = tuple[str, str]  # noun and key


def table(shelf: str) -> str:
    """The name of a shelf's table, as SQL has it."""
    name = f"{TABLE}{shelf}".replace('"', '""')
    return f'"{name}"'


def create(shelf: str) -> str:
    """The statement that makes it."""
    columns = "key UNINDEXED, n UNINDEXED, text, tokenize='unicode61 remove_diacritics 2'"
    return f"CREATE VIRTUAL TABLE {table(shelf)} USING fts5({columns})"


def text_of(key: str, value: str) -> str:
    """What a row is found by: its key, and all texts and numbers of its value (JSON)."""
    return " ".join((key, *_texts(json.loads(value)["value"])))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case bool() | None:
            return
        case str():
            yield value
        case int() | float():
            yield str(value)
        case list():
            for one in value:
                yield from _texts(one)
        case dict():
            for name, one in value.items():
                yield name
                yield from _texts(one)


def query_of(asked: str) -> str:
    """What somebody asks for as FTS5 takes it: any of the words, and phrases in quotes; "" if there is no word in it.

    All is put in quotes, so that no sign, NEAR, column name or star of the asker's is FTS5's.
    """
    found = (" ".join(_WORD.findall(phrase)) or word for phrase, word in _ASKED.findall(asked))
    return " OR ".join(f'"{one}"' for one in list(dict.fromkeys(filter(None, found)))[:LONGEST])


def split(key: str) -> tuple[str, int]:
    """Key and number of a version, of its row's key."""
    name, _, n = key.rpartition("/")
    return name, int(n)


class Words:
    """The index of one ledger that is open for writing. Methods raise what SQLite raises."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._made: set[str] = set()

    def write(self, gone: Iterable[Row], kept: Iterable[tuple[str, str, str]]) -> None:
        """Follow rows that were removed, and then rows that were written."""
        for noun, key in gone:
            if noun.startswith(NOUN):
                self._forget(noun.removeprefix(NOUN), key)
        for noun, key, value in kept:
            if noun.startswith(NOUN):
                self._learn(noun.removeprefix(NOUN), key, value)

    def clear(self) -> None:
        """Drop all indexes: who writes all rows anew makes them anew."""
        for name in indexed(self._db):
            self._db.execute(f"DROP TABLE {table(name.removeprefix(TABLE))}")
        self._made.clear()

    def _forget(self, shelf: str, key: str) -> None:
        name, n = split(key)
        if self._there(shelf) and self._newest(shelf, name) == n:
            self._db.execute(f"DELETE FROM {table(shelf)} WHERE rowid = ?", (_rowid(name),))

    def _learn(self, shelf: str, key: str, value: str) -> None:
        name, n = split(key)
        if not self._there(shelf):
            self._db.execute(create(shelf))
            self._made.add(shelf)
        if n >= self._newest(shelf, name):
            row = (_rowid(name), name, n, text_of(name, value))
            self._db.execute(f"INSERT OR REPLACE INTO {table(shelf)}(rowid, key, n, text) VALUES(?,?,?,?)", row)

    def _newest(self, shelf: str, name: str) -> int:
        row = self._db.execute(f"SELECT n FROM {table(shelf)} WHERE rowid = ?", (_rowid(name),)).fetchone()
        return int(row[0]) if row else 0

    def _there(self, shelf: str) -> bool:
        if shelf not in self._made and exists(self._db, shelf):
            self._made.add(shelf)
        return shelf in self._made


def exists(db: sqlite3.Connection, shelf: str) -> bool:
    """Has this shelf an index?"""
    named = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?"
    return db.execute(named, (f"{TABLE}{shelf}",)).fetchone() is not None


def found(db: sqlite3.Connection, shelf: str, asked: str) -> list[tuple[str, int, float]]:
    """Key, version and score of what fits, best first, equal ones by key. A greater score is better."""
    query = query_of(asked)
    if not query or not exists(db, shelf):
        return []
    name = table(shelf)
    best = f"SELECT key, n, -bm25({name}) AS score FROM {name} WHERE {name} MATCH ? ORDER BY score DESC, key"
    rows = db.execute(best, (query,))
    return [(key, int(n), round(score, 6)) for key, n, score in rows]


def due(rows: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], tuple[int, str]]:
    """What all indexes have to hold, of the rows of state (noun, key, value): shelf and key -> version and text."""
    newest: dict[tuple[str, str], tuple[int, str]] = {}
    for noun, key, value in rows:
        if noun.startswith(NOUN):
            name, n = split(key)
            at = (noun.removeprefix(NOUN), name)
            if n > newest.get(at, (0, ""))[0]:
                newest[at] = n, text_of(name, value)
    return newest


def held(db: sqlite3.Connection) -> dict[tuple[str, str], tuple[int, str]]:
    """What the indexes hold, likewise."""
    shelves = [name.removeprefix(TABLE) for name in indexed(db)]
    return {(s, k): (int(n), text) for s in shelves for k, n, text in db.execute(f"SELECT key, n, text FROM {table(s)}")}


def indexed(db: sqlite3.Connection) -> list[str]:
    """Names of the tables of all indexes."""
    virtual = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE ? AND sql LIKE 'CREATE VIRTUAL%' ORDER BY name"
    return [name for (name,) in db.execute(virtual, (f"{TABLE}%",))]


def _rowid(key: str) -> int:
    """63 bits of a key's digest: a row is found by its key without an index beside the index."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1
