"""The ledger: a chain that its own file defends, turns that are there whole or not at all, faults that say what to do."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pysqlite3 as sqlite3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import BLOB_BYTES, GENESIS, Ledger, chain, connect, digest_of
from mai.sandbox.place import FORMAT
from mai.sandbox.schema import TRIGGERS

WRITER = """
import sys
from pathlib import Path
from mai.sandbox.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), "acme/support")
while True:
    turn = ledger.commits + 1
    for part in range(3):
        ledger.append("part", b'{"turn": %d}' % turn)
    ledger.save("turn", "last", b"%d" % turn)
    ledger.append("large", b'"' + b"x" * 20_000 + b'"')
    ledger.commit()
    print(turn, flush=True)
"""
GROWING = """
import resource, signal, sys
from pathlib import Path
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), "acme/support")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    while True:
        ledger.append("part", b'"' + b"x" * 10_000 + b'"')
        ledger.commit()
        print(ledger.seq, flush=True)
except LedgerFault as fault:
    print(fault.sentence, "|", fault.hint)
    try:
        ledger.commit()
    except LedgerFault as again:
        print("again" if again is fault else "another")
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger with five records, a piece of state and a blob."""
    made = Ledger(tmp_path / "ledger.db", "acme/support")
    for number in range(5):
        made.append("note", b'{"n":%d}' % number, request="r", task="t", agent="a")
    made.append("large", b'"' + b"x" * BLOB_BYTES + b'"')
    made.save("task", "t", b"{}")
    made.commit()
    return made


def test_records_are_chained(ledger: Ledger) -> None:
    """Numbers are contiguous from 1, each record holds the digest of the one before, and the head is the last one's."""
    records = list(ledger.records())
    assert [record.seq for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record.prev for record in records] == [GENESIS, *(record.digest for record in records[:-1])]
    assert all(record.digest == digest_of(record) for record in records)
    assert ledger.durable == (ledger.seq, ledger.head) == (6, records[-1].digest)


@given(st.tuples(*[st.text(st.characters(codec="utf-8"), max_size=3)] * 6), st.tuples(*[st.text(max_size=3)] * 6))
def test_a_digest_tells_columns_apart(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """No two different records have the same digest, wherever a letter moves from one column to the next."""
    if one != other:
        assert chain(GENESIS, 1, 2, 3, one) != chain(GENESIS, 1, 2, 3, other)
    assert chain(GENESIS, 1, 2, 3, one) != chain(GENESIS, 2, 1, 3, one)


BETWEEN = "at_ns,term,boot,kind,request,task,agent"
FORBIDDEN = {
    "change a record": "UPDATE journal SET body='{}' WHERE seq=2",
    "delete a record": "DELETE FROM journal WHERE seq=2",
    "delete the last record": "DELETE FROM journal WHERE seq=6",
    "replace a record": "INSERT OR REPLACE INTO journal SELECT seq,@,body,prev,x'00' FROM journal",
    "repeat a record": "INSERT INTO journal SELECT * FROM journal WHERE seq=6",
    "leave a gap": "INSERT INTO journal SELECT 8,@,body,digest,x'00' FROM journal WHERE seq=6",
    "forge a predecessor": "INSERT INTO journal SELECT 7,@,body,prev,x'00' FROM journal WHERE seq=6",
    "change a blob": "UPDATE blob SET value=x'00'",
    "replace a blob": "INSERT OR REPLACE INTO blob SELECT address, x'00' FROM blob",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_file_defends_its_journal(ledger: Ledger, what: str) -> None:
    """Any program that opens the file with any settings is refused."""
    db = sqlite3.connect(ledger.path, isolation_level=None)
    before = db.execute("SELECT * FROM journal").fetchall(), db.execute("SELECT * FROM blob").fetchall()
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(FORBIDDEN[what].replace("@", BETWEEN))
    assert before == (db.execute("SELECT * FROM journal").fetchall(), db.execute("SELECT * FROM blob").fetchall())
    db.close()


def test_without_its_triggers_it_could_be_changed(ledger: Ledger) -> None:
    """The triggers are what refuses: the test above can fail."""
    db = sqlite3.connect(ledger.path, isolation_level=None)
    for trigger in TRIGGERS:
        db.execute(f"DROP TRIGGER {trigger}")
    for statement in FORBIDDEN.values():
        if "seq=6" not in statement or "DELETE" in statement:
            db.execute(statement.replace("@", BETWEEN))
    db.close()


def test_the_list_of_triggers_is_complete(ledger: Ledger) -> None:
    """Who checks that none was dropped has to know all of them."""
    db = connect(ledger.path, write=False)
    assert tuple(name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type='trigger' ORDER BY name")) == TRIGGERS
    db.close()


def test_what_is_read_cannot_be_written(ledger: Ledger) -> None:
    """A connection for reading refuses to write."""
    db = connect(ledger.path, write=False)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("DELETE FROM state")
    db.close()


def test_large_bodies_are_stored_once(ledger: Ledger) -> None:
    """A body above the bound lies in a blob under its digest, is given back whole, and is there once however often it comes."""
    large = b'"' + b"x" * BLOB_BYTES + b'"'
    ledger.append("large", large)
    ledger.append("large", large)
    ledger.append("small", b'"x"')
    ledger.commit()
    records = list(ledger.records(after=5))
    assert [ledger.body(record).encode() for record in records] == [large, large, large, b'"x"']
    assert all(len(record.body) < 200 for record in records)
    db = connect(ledger.path, write=False)
    assert db.execute("SELECT count(*) FROM blob").fetchone() == (1,)
    db.close()


def test_state_as_it_stands(ledger: Ledger) -> None:
    """What was saved is seen at once, removed rows are gone, and nothing of it is on the disk before the commit."""
    ledger.save("task", "u", b"1")
    ledger.save("task", "t", None)
    assert (ledger.get("task", "u"), ledger.get("task", "t"), ledger.get("task", "v")) == (b"1", None, None)
    assert ledger.load("task") == {"t": b"{}"}
    ledger.commit()
    assert ledger.load("task") == {"u": b"1"}


def test_latest_are_the_greatest_keys(ledger: Ledger) -> None:
    """The last few of a noun, oldest first."""
    for key in ("b", "a", "d", "c"):
        ledger.save("said", key, key.encode())
    ledger.commit()
    assert ledger.latest("said", 3) == [b"b", b"c", b"d"]


def test_a_commit_of_nothing_costs_nothing(ledger: Ledger) -> None:
    """No transaction, no wait for the disk."""
    before = ledger.commits
    ledger.commit()
    assert ledger.commits == before and not ledger.pending


def test_what_was_not_committed_is_not_there(ledger: Ledger) -> None:
    """After a crash the ledger is as of its last commit, and goes on from there."""
    ledger.append("note", b"{}")
    assert ledger.durable[0] == ledger.seq - 1
    ledger.close()
    again = Ledger(ledger.path, "acme/support")
    assert again.seq == 6
    assert again.append("note", b"{}") == 7
    again.commit()
    assert again.boot != ledger.boot


def edited(path: Path, statement: str) -> None:
    """The file after somebody's statement."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(statement)
    db.close()


def truncated(path: Path) -> None:
    """The file without its end."""
    os.truncate(path, 9000)


def scribbled(path: Path) -> None:
    """Something else instead."""
    path.write_bytes(b"no ledger at all " * 1000)


def removed(path: Path) -> None:
    """A directory instead."""
    path.unlink()
    path.mkdir()


BROKEN: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "newer": (lambda path: edited(path, f"PRAGMA user_version={FORMAT + 1}"), f"format {FORMAT + 1}", "newer version"),
    "another's": (lambda path: edited(path, "UPDATE meta SET value='beta/sales'"), "belongs to beta/sales", "in its place"),
    "without its end": (truncated, "malformed", "backup"),
    "something else": (scribbled, "not a database", "backup"),
    "a directory": (removed, "cannot be used", ""),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_ledger_that_cannot_be_used(ledger: Ledger, what: str) -> None:
    """It is refused when it is opened, with what is wrong and what to do."""
    ledger.close()
    breaks, sentence, hint = BROKEN[what]
    breaks(ledger.path)
    with pytest.raises(LedgerFault) as raised:
        Ledger(ledger.path, "acme/support")
    assert sentence in raised.value.sentence and hint in raised.value.hint


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    """To open a ledger in no directory says so."""
    with pytest.raises(LedgerFault, match="unable to open") as raised:
        Ledger(tmp_path / "none" / "ledger.db", "acme/support")
    assert "does the directory exist" in raised.value.hint


def test_a_second_writer_is_told(ledger: Ledger) -> None:
    """Somebody who holds the file makes a commit fail, and after that every one: the first may or may not be there."""
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ledger._db.execute("PRAGMA busy_timeout=10")
    ledger.append("note", b"{}")
    with pytest.raises(LedgerFault, match="locked"):
        ledger.commit()
    other.execute("ROLLBACK")
    other.close()
    with pytest.raises(LedgerFault, match="locked"):
        ledger.commit()


def test_a_turn_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """Killed at any time: what was acknowledged is there, the last turn is complete, journal and state agree."""
    for number in range(5):
        path = tmp_path / f"{number}.db"
        with subprocess.Popen([sys.executable, "-P", "-c", WRITER, path], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(3 + 7 * number):
                told = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            told = max([told, *map(int, writer.stdout.read().split())])
        ledger = Ledger(path, "acme/support")
        last = int(ledger.get("turn", "last") or 0)
        records = list(ledger.records())
        assert last >= told and len(records) == ledger.seq == 4 * last
        assert all(record.digest == digest_of(record) for record in records)
        assert {record.kind for record in records[3::4]} == {"large"}
        ledger.close()


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    """The commit that finds no room fails with what to do, and so does each after it; all acknowledged before it is there."""
    path = tmp_path / "ledger.db"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    out = subprocess.run([sys.executable, "-P", "-c", GROWING, path], stdout=subprocess.PIPE, check=True, text=True).stdout.split(
        "\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == limit
    said, again = out[-3], out[-2]
    told = int(out[-4])
    assert "cannot be used" in said and ("make room" in said or "look at the disk" in said) and again == "again"
    ledger = Ledger(path, "acme/support")
    assert ledger.seq >= told > 10
    assert all(record.digest == digest_of(record) for record in ledger.records())
    ledger.close()
