"""The full-text index of a ledger is a projection of its state, through writes, deaths, an upgrade and a rebuild."""

import random
from pathlib import Path
from typing import Any

import pysqlite3 as sqlite3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mai.daemon.rebuild import rebuild
from mai.daemon.verify import verify
from mai.sandbox import words
from mai.sandbox.ledger import Ledger, connect
from mai.sandbox.place import Place
from tests.formats import format_2
from tests.lone import Lone, desk, fold
from tests.test_verify import MARKETING, tamper
from tests.wired import Wired

ME = "acme/support"
REMEMBERED = {
    ("agent", "desk", "a"): '"late payment"', ("agent", "desk", "a/b//c"): '{"deep":["Zürich",7]}',
    ("agent", "other", "a"): '"soon"', ("department", "", "a"): "null", ("department", "", "/1"): '[1,2]',
}  # fmt: skip


def same(ledger: Ledger) -> bool:
    """Does the index hold what the rows say, and is it whole?"""
    db: Any = ledger._db
    rows = db.execute("SELECT noun, key, value FROM state").fetchall()
    assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    return words.due(rows) == words.held(db)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1 << 32))
def test_the_index_follows_the_rows(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """New versions, old ones that go, keys that go whole and begin anew, in one commit or several, staged or not, lost or not."""
    dice, path = random.Random(seed), tmp_path_factory.mktemp("w") / "ledger.db"
    ledger, newest, oldest = Ledger(path, ME), dict[str, int](), dict[str, int]()
    for _ in range(40):
        key = dice.choice("abc")
        if dice.random() < 0.3 and key in newest:
            for n in range(oldest[key], newest.pop(key) + 1):
                ledger.save("version/agent/desk", f"{key}/{n}", None)
        else:
            newest[key] = newest.get(key, 0) + 1
            oldest[key] = max(1, newest[key] - 2)
            ledger.save("version/agent/desk", f"{key}/{newest[key]}", b'{"value":"%d"}' % dice.randrange(9))
            ledger.save("version/agent/desk", f"{key}/{oldest[key] - 1}", None)
        ledger.append("note", b"{}")
        match dice.randrange(4):
            case 0:
                ledger.stage()
                assert same(ledger)
            case 1:
                ledger.commit()
                assert same(ledger)
    ledger.commit()
    assert same(ledger) and {key for key, _, _ in ledger.find("agent/desk", "a b c")} == set(newest)
    ledger.save("version/agent/desk", "lost/1", b'{"value":"lost"}')
    ledger.stage()
    ledger.close()
    again = Ledger(path, ME)
    assert same(again) and not again.find("agent/desk", "lost")
    again.close()


def test_a_shelf_is_searched_alone(tmp_path: Path) -> None:
    """Each has its own table: what lies on one is not found on another, whatever their names."""
    ledger = Ledger(tmp_path / "ledger.db", ME)
    names = ("agent/a", "agent/a-b", "agent/ab", "department", 'a"b', "x' OR 1")
    for name in names:
        ledger.save(f"version/{name}", "k/1", b'{"value":"late"}')
    ledger.commit()
    assert [[key for key, _, _ in ledger.find(name, "late")] for name in names] == [["k"]] * len(names)
    assert not ledger.find("agent/none", "late") and not ledger.find("agent", "late") and same(ledger)
    ledger.close()


# -- the change of format
def test_memory_of_format_2_is_brought_up_to_date(tmp_path: Path) -> None:
    """Each value is the first version of its key, on its own shelf, found by its words; the old journal folds to the same."""
    lone = Lone(
        tmp_path, desk(tmp_path, "async def desk(ctx, task): return {'saw': [one.key for one in await ctx.search('zurich')]}")
    )
    lone.close()
    for file in lone.home.glob("ledger.*"):
        file.unlink()
    format_2(sqlite3.connect(str(lone.home / "ledger.db"), isolation_level=None), ME, REMEMBERED)
    lone = Lone(tmp_path, lone.organisation)
    assert lone.ledger.load("memory/agent/desk") == dict.fromkeys(("a", "a/b//c"), b'{"n":1,"oldest":1}')
    assert lone.ledger.load("version/department") == {"/1/1": b'{"value":[1,2]}', "a/1": b'{"value":null}'}
    assert same(lone.ledger) and not lone.ledger.load("memory")
    rows = {row for row in fold(lone.make_decider(), lone.ledger) if row[0].startswith(("memory/", "version/"))}
    assert len(rows) == 2 * len(REMEMBERED)
    lone.check()
    lone.task()
    lone.settle()
    assert lone.result().value == {"saw": ["a/b//c"]}
    lone.close()


def test_a_version_follows_on_what_format_2_kept(tmp_path: Path) -> None:
    """What had no number was the first; the next one is the second, and both can be read."""
    (tmp_path / "home").mkdir()
    format_2(sqlite3.connect(str(tmp_path / "home" / "ledger.db"), isolation_level=None), ME, REMEMBERED)
    code = """
    async def desk(ctx, task):
        was = await ctx.recall("a")
        n = await ctx.remember("a", "new")
        return {"saw": [was, n, await ctx.recall("a", version=1), await ctx.recall("a")]}
    """
    lone = Lone(tmp_path, desk(tmp_path, code))
    lone.task()
    lone.settle()
    assert lone.result().value == {"saw": ["late payment", 2, "late payment", "new"]}
    lone.check()
    lone.close()


# -- lost and found
def shelves(place: Place, process: str) -> dict[tuple[str, str], tuple[int, str]]:
    """What the indexes of a process hold."""
    db = connect(place.ledger(process), write=False)
    try:
        return words.held(db)
    finally:
        db.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A company whose planner has remembered something twice, and is at rest."""
    return Wired(tmp_path).asked("r1", "r2").close().place


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM state WHERE noun LIKE 'version/%' OR noun LIKE 'memory/%'",
        'DELETE FROM "words agent/planner"',
        "UPDATE \"words agent/planner\" SET text = 'other'",
        "INSERT INTO \"words agent/planner\"(rowid, key, n, text) VALUES(1, 'more', 1, 'more')",
    ],
)
def test_an_index_that_was_changed_is_named_and_made_anew(place: Place, harm: str) -> None:
    """`mai verify` compares it with the rows; `mai rebuild` makes it of the journal, to what it was."""
    before = shelves(place, MARKETING)
    assert before and verify(place, state=True).sound
    tamper(place, MARKETING, harm)
    report = verify(place, state=True)
    assert not report.sound and {one.process for one in report.findings} == {MARKETING}
    rebuild(place, MARKETING, lambda *_: None)
    assert verify(place, state=True).sound and shelves(place, MARKETING) == before


def test_a_table_that_looks_like_an_index_is_no_hiding_place(place: Place) -> None:
    """One of the name of an index that is none is named, whatever it holds."""
    tamper(place, MARKETING, 'CREATE TABLE "words agent/planted"(key, n, text)')
    found = verify(place).findings
    assert [one.what for one in found] == ["the table words agent/planted was added"]
