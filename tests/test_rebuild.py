"""`mai rebuild`: a state that was lost or damaged is made anew from the journal, and the company goes on."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pysqlite3 as sqlite3
import pytest

from mai.agents.decider import fold_counted
from mai.agents.events import Acked, Received, Sent, decode
from mai.daemon import refold
from mai.daemon.reader import Reader
from mai.daemon.rebuild import Rebuilt, rebuild, render
from mai.daemon.terminal import count
from mai.daemon.verify import verify
from mai.sandbox.errors import LedgerFault, UsageFault
from mai.sandbox.lock import Lock
from mai.sandbox.place import Place
from mai.sandbox.schema import crc
from tests.test_verify import MAI, MARKETING, SALES, anew, tamper
from tests.wired import Wired

DAMAGES = [
    "DELETE FROM state",
    "DELETE FROM state WHERE noun='link'",
    "UPDATE state SET value='garbage'",
    "UPDATE state SET value=json_set(value, '$.oldest', 7) WHERE noun='link'",
    "INSERT INTO state VALUES('task', 'r9/1', '{}', 0)",
]
PROCESSES = (MAI, MARKETING, SALES)


@pytest.fixture(scope="module")
def open_work() -> Iterator[Place]:
    """A company that was killed in the middle of a request, after two others; tests copy it."""
    directory = Path(tempfile.mkdtemp(prefix="mai-rebuild-"))
    company = Wired(directory).asked("r1", "r2")
    company.ask("r3")
    while not company.desks[SALES].waiting:
        company.turn()
    yield company.close().place
    shutil.rmtree(directory)


@pytest.fixture
def place(open_work: Place, tmp_path: Path) -> Place:
    """A copy of it."""
    shutil.copytree(open_work.state, tmp_path / "state")
    return Place(tmp_path / "state", tmp_path / "run")


def rows(place: Place, process: str) -> list[tuple[str, str, str]]:
    """All of a process's state."""
    db = sqlite3.connect(str(place.ledger(process)))
    try:
        found: list[tuple[str, str, str]] = db.execute("SELECT noun, key, value FROM state ORDER BY noun, key").fetchall()
        return found
    finally:
        db.close()


def records(place: Place, process: str) -> int:
    """How many records a journal has."""
    reader = Reader(place, process)
    try:
        return reader.last()
    finally:
        reader.close()


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_what_it_was(place: Place, process: str, damage: str) -> None:
    """Whatever happened to the rows, the journal gives every one of them back, and the ledger is sound again."""
    before = rows(place, process)
    tamper(place, process, damage)
    damaged = rows(place, process)
    assert not verify(place, [process], state=True).sound
    rebuilt = rebuild(place, process, count)
    assert rows(place, process) == before
    assert verify(place, state=True).sound
    assert rebuilt.rows == len(before) and rebuilt.wrong > 0
    assert kept(rebuilt) == damaged


def kept(rebuilt: Rebuilt) -> list[tuple[str, str, str]]:
    """The rows that were put aside."""
    lines = [json.loads(line) for line in Path(rebuilt.kept).read_text().splitlines()]
    return sorted((line["noun"], line["key"], line["value"]) for line in lines)


def test_the_company_goes_on_after_all_state_was_lost(tmp_path: Path) -> None:
    """With every state rebuilt, the request that was under way is answered, and the next one too."""
    company = Wired(tmp_path)
    company.ask("r1")
    while not company.desks[SALES].waiting:
        company.turn()
    for process in PROCESSES:
        company.kill(process)
    for process in PROCESSES:
        tamper(company.place, process, "DELETE FROM state")
        rebuild(company.place, process, count)
    for process in PROCESSES:
        company.start(process)
    company.settle()
    company.ask("r2")
    company.settle()
    assert [json.loads(row[2])["state"] for row in rows(company.place, MAI) if row[0] == "answer"] == ["answered"] * 2
    company.close()
    assert verify(company.place, state=True).sound


def test_a_sound_state_stays(place: Place) -> None:
    """Nothing is wrong, nothing changes but the record that says so."""
    before, had = rows(place, SALES), records(place, SALES)
    rebuilt = rebuild(place, SALES, count)
    assert (rebuilt.wrong, rebuilt.records, rows(place, SALES)) == (0, had, before)
    assert "all were as they should be" in render(rebuilt)
    reader = Reader(place, SALES)
    last = reader.records("1", newest=True, limit=1)[0]
    assert (last.seq, last.kind, reader.fields(last)["upto"]) == (had + 1, "state.rebuilt", had)
    reader.close()


def test_texts_on_their_way_stay(place: Place) -> None:
    """No journal holds them: a parcel whose texts are what their addresses say is kept, another is not."""
    good = '{"texts":{"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824":"hello"}}'
    for key, value in (("good", good), ("bad", good.replace("hello", "hallo")), ("worse", "garbage")):
        tamper(place, SALES, "INSERT INTO state VALUES('parcel', ?, ?, ?)", key, value, crc("parcel", key, value))
    rebuild(place, SALES, count)
    assert [row for row in rows(place, SALES) if row[0] == "parcel"] == [("parcel", "good", good)]


def test_a_running_process_is_left_alone(place: Place) -> None:
    """Who holds the directory writes the state: nothing is touched, and it is said how to stop it."""
    tamper(place, SALES, "DELETE FROM state")
    lock = Lock(place.home(SALES))
    with pytest.raises(UsageFault) as raised:
        rebuild(place, SALES, count)
    lock.release()
    assert "mai stop acme/sales" in raised.value.hint and rows(place, SALES) == []
    assert rebuild(place, SALES, count).wrong > 0


def test_nothing_is_made_of_a_broken_journal(place: Place) -> None:
    """A record that is not the one that was written is named, and the state stays as it is."""
    before = rows(place, SALES)
    tamper(place, SALES, "UPDATE journal SET agent='x' WHERE seq=7")
    with pytest.raises(LedgerFault, match="broken at record 7"):
        rebuild(place, SALES, count)
    assert rows(place, SALES) == before and not list(place.home(SALES).glob("state-before*"))


def test_a_record_that_cannot_be_folded_is_named(place: Place) -> None:
    """A whole chain of which this version knows not every kind: nothing is changed."""

    def change(db: sqlite3.Connection) -> None:
        db.execute("UPDATE journal SET kind='of.tomorrow' WHERE seq=7")
        anew(db, 7)

    before = rows(place, SALES)
    tamper(place, SALES, change)
    with pytest.raises(LedgerFault, match="record 7 of acme/sales cannot be folded"):
        rebuild(place, SALES, count)
    assert rows(place, SALES) == before


def test_the_watchdog_has_no_state_to_rebuild(place: Place) -> None:
    """What is no client's process is refused."""
    shutil.copytree(place.home(SALES), place.watchdog, dirs_exist_ok=True)
    with pytest.raises(UsageFault, match="the watchdog keeps nothing"):
        rebuild(place, "watchdog", count)


@pytest.mark.parametrize("process", PROCESSES)
def test_the_quick_fold_of_messages_is_the_whole_one(place: Place, process: str) -> None:
    """Links folded from undecoded messages are, after each record, those that the decider folds from the messages."""
    reader = Reader(place, process)
    whole, quick = refold.fresh(place, process), refold.fresh(place, process)
    passed = 0
    for seq, kind, body in reader.bodies(0, reader.last()):
        event = decode(kind, body)
        whole.evolve(event, seq)
        if fold_counted(quick.state, kind, body, seq):
            passed += 1
            assert isinstance(event, Sent | Received | Acked)
        else:
            assert not isinstance(event, Sent | Received | Acked)
            quick.evolve(event, seq)
        assert quick.state.links == whole.state.links
        assert quick.state.changes == whole.state.changes
    reader.close()
    assert passed > 10
