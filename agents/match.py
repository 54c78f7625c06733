"""Which of some descriptions fit a text: SQLite's FTS5, in memory, with a floor below which nothing fits.

A description fits if it shares enough of the text's words (stemmed, without the common ones); among those that fit
BM25 gives the order. The same descriptions and text always give the same answer.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import pysqlite3 as sqlite3

COVERAGE = 0.3  # the least share of a text's words that a description has to contain
LONGEST = 24  # words of a text that are looked at
_WORD = re.compile(r"[^\W\d_]{2,}")
_COMMON = frozenset(
    "a about all also an and any are as ask at be been by can could did do does each else every for from further get give "
    "given go had has have hello her here hi his how i if in into is it its just know last let like list long look made "
    "make many may me mine more most much my need next no not now of off on one only or other our out over own please right "
    "say see shall she should show so some still such take tell than thank thanks that the their them then there these they "
    "this those through to too under until up us very want was we were what when where which while who whom whose why will "
    "with without would yes you your".split()
)


class Fit(NamedTuple):
    """A description that fits: its name, its rank (greater is better), the share of the text's words that it has."""

    name: str
    score: float
    coverage: float


def words(text: str) -> list[str]:
    """The words of a text that say something, each once, in order."""
    found = dict.fromkeys(word for word in _WORD.findall(text.lower()) if word not in _COMMON)
    return list(found)[:LONGEST]


class Matcher:
    """A set of named descriptions that texts are held against."""

    def __init__(self, descriptions: Mapping[str, str]) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.execute(
            "CREATE VIRTUAL TABLE d USING fts5(name UNINDEXED, text, tokenize='porter unicode61 remove_diacritics 2')"
        )
        self._db.executemany("INSERT INTO d VALUES(?, ?)", descriptions.items())

    def fits(self, text: str) -> list[Fit]:
        """Those that fit, best first; equal ones by name."""
        asked = words(text)
        if not asked:
            return []
        shared: dict[str, int] = {}
        for word in asked:
            for (name,) in self._db.execute("SELECT name FROM d WHERE d MATCH ?", (f'text:"{word}"',)):
                shared[name] = shared.get(name, 0) + 1
        query = " OR ".join(f'"{word}"' for word in asked)
        ranked = self._db.execute("SELECT name, -bm25(d) FROM d WHERE d MATCH ?", (f"text:({query})",)).fetchall()
        found = [Fit(name, round(score, 6), shared.get(name, 0) / len(asked)) for name, score in ranked]
        fitting = [fit for fit in found if fit.coverage >= COVERAGE]
        return sorted(fitting, key=lambda fit: (-round(fit.coverage, 3), -fit.score, fit.name))
