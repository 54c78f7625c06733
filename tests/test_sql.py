"""`mai sql`: it answers, it changes nothing whatever is asked, and it takes no more than it may."""

import csv
import io
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pysqlite3 as sqlite3
import pytest

from mai.daemon import apart, sql_form
from mai.daemon.reader import NotFound
from mai.daemon.sql import Found, ask
from mai.sandbox.errors import USAGE, Expired, LedgerFault, MaiError, Refused, UsageFault
from mai.sandbox.ledger import BLOB_BYTES, Ledger, connect
from mai.sandbox.place import Place
from mai.sandbox.rotation import Rotation
from tests.formats import format_1
from tests.small import MAI, environment, until
from tests.wired import Wired

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
LARGE = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 100) SELECT "


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A company that has answered two requests."""
    return Wired(tmp_path_factory.mktemp("sql")).asked("r1", "r2").close().place


def asked(place: Place, query: str, what: str = "acme/mai", **more: Any) -> Found:
    """The answer of one ledger."""
    return ask(place, [what], query, **more)


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM journal", "UPDATE state SET value = '1'", "INSERT INTO meta VALUES('a', 'b')", "DROP TRIGGER journal_update",
        "DROP VIEW requests", "CREATE TABLE t(a)", "CREATE TEMP TABLE t(a)", "CREATE TEMP VIEW v AS SELECT 1",
        "ATTACH ':memory:' AS x", "DETACH temp", "VACUUM",
        "VACUUM INTO '/tmp/mai-sql-never'", "REINDEX", "ANALYZE", "BEGIN", "COMMIT", "SAVEPOINT a",
        "PRAGMA query_only=OFF", "PRAGMA writable_schema=ON", "PRAGMA wal_checkpoint", "PRAGMA journal_mode=DELETE",
        "PRAGMA locking_mode=EXCLUSIVE", "PRAGMA user_version=9", "SELECT load_extension('x')", "SELECT fts3_tokenizer('simple')",
        "INSERT INTO \"words client\"(\"words client\") VALUES('delete-all')", "WITH a AS (SELECT 1) DELETE FROM blob",
    ],
)  # fmt: skip
def test_nothing_is_changed(place: Place, query: str) -> None:
    """Whatever would change the file, the connection or another file is refused; the file is what it was."""
    path = place.ledger("acme/mai")
    before = path.read_bytes()
    with pytest.raises((Refused, UsageFault)):
        asked(place, query)
    assert path.read_bytes() == before and not Path("/tmp/mai-sql-never").exists()


def test_what_a_reader_needs_is_there(place: Place) -> None:
    """Views, tables, full text, JSON, what the schema is, plans, values of their own."""
    assert asked(place, "SELECT request, state FROM requests ORDER BY 1").rows == [("r1", "answered"), ("r2", "answered")]
    assert asked(place, "SELECT count(*) FROM requests WHERE request = ?", given=["r2"]).rows == [(1,)]
    assert asked(place, "SELECT value FROM json_each('[7]')").rows == [(7,)]
    assert "seq" in [row[1] for row in asked(place, "PRAGMA table_info(journal)").rows]
    assert ("body",) in asked(place, "SELECT name FROM pragma_table_info('records')").rows
    assert asked(place, "EXPLAIN QUERY PLAN SELECT * FROM journal").rows
    found = asked(place, 'SELECT key FROM "words agent/planner" WHERE "words agent/planner" MATCH \'campaign\'', "acme/marketing")
    assert found.rows == [("last",)]


def test_several_ledgers_are_asked_one_after_the_other(place: Place) -> None:
    """Of a client's ledgers each is asked, its name stands in the first column, and the bound is one for all."""
    processes = ["acme/mai", "acme/marketing", "acme/sales"]
    found = ask(place, processes, "SELECT count(*) > 0 AS some FROM messages")
    assert found.columns == ("process", "some") and found.rows == [(name, 1) for name in processes] and not found.more
    some = ask(place, processes, "SELECT seq FROM records", rows=5)
    assert len(some.rows) == 5 and some.more and {row[0] for row in some.rows} == {"acme/mai"}


def test_questions_have_bounds(place: Place) -> None:
    """Rows, time, the size of the answer and the memory that it takes: each bound holds and is said."""
    assert asked(place, "SELECT 1 UNION ALL SELECT 2", rows=2) == Found(("1",), [(1,), (2,)], False)
    assert asked(place, "SELECT 1 UNION ALL SELECT 2", rows=1) == Found(("1",), [(1,)], True)
    with pytest.raises(Expired, match=r"longer than 0\.2 s"):
        asked(place, ENDLESS, seconds=0.2)
    with pytest.raises(Refused, match="larger than 64 MiB"):
        asked(place, LARGE + "zeroblob(1000000) FROM n")
    with pytest.raises(Refused, match="more memory"):
        asked(place, "SELECT zeroblob(900000000)")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT 1; SELECT 2", "more than one statement"), ("", "no question"),
        ("SELECT unknown FROM requests", "no such column"), ("SELEKT 1", "syntax error"), ("SELECT ?", "number of bindings"),
    ],
)  # fmt: skip
def test_a_wrong_question_is_explained(place: Place, query: str, words: str) -> None:
    """What SQLite says of it, in one sentence."""
    with pytest.raises(UsageFault, match=words):
        asked(place, query)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is somebody else")
def test_root_asks_as_nobody() -> None:
    """Who works on the question has no user of ours, no group, and sees no file by its name; he is gone afterwards."""

    def work(ready: Callable[[], None]) -> list[object]:
        before = os.geteuid()
        ready()
        return [before, *os.getresuid(), *os.getresgid(), os.getgroups(), os.path.exists("/etc")]

    assert apart.done(work) == [0, *[apart.NOBODY] * 6, [], False]
    assert not psutil.Process().children()

    def bad(ready: Callable[[], None]) -> None:
        raise Refused("no", "never")

    def worse(ready: Callable[[], None]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    for work_, words in ((bad, "no"), (worse, "ended the process")):
        with pytest.raises(MaiError, match=words):
            apart.done(work_)


def broken(error: Exception) -> Callable[[Callable[[], None]], None]:
    """Work that ends so, as nobody."""

    def work(ready: Callable[[], None]) -> None:
        ready()
        raise error

    return work


def test_what_goes_wrong_is_the_same_for_root(capfd: pytest.CaptureFixture[str]) -> None:
    """An error of ours keeps its kind and exit status, one of the host its number and path; a bug leaves its traceback."""
    with pytest.raises(NotFound, match="nothing") as missing:
        apart.done(broken(NotFound("nothing", "look")))
    assert (missing.value.code, missing.value.hint) == (USAGE, "look")
    with pytest.raises(PermissionError, match="denied: '/x'"):
        apart.done(broken(PermissionError(13, "denied", "/x")))
    assert capfd.readouterr().err == ""
    with pytest.raises(LedgerFault if os.geteuid() == 0 else ZeroDivisionError):
        apart.done(broken(ZeroDivisionError("a bug")))
    assert os.geteuid() or "ZeroDivisionError: a bug" in capfd.readouterr().err


def test_the_views_are_this_versions(tmp_path: Path) -> None:
    """A ledger of an older format has all views; one whose view was exchanged shows what is on record, not what the view says."""
    place = Place(tmp_path / "state", tmp_path / "run")
    for process in ("acme/old", "acme/forged"):
        place.home(process).mkdir(parents=True, exist_ok=True)
    format_1(sqlite3.connect(str(place.ledger("acme/old")), isolation_level=None), "acme/old", 3)
    assert asked(place, "SELECT seq, kind FROM records WHERE seq = 3", "acme/old").rows == [(3, "note")]
    forged = Ledger(place.ledger("acme/forged"), "acme/forged")
    forged.append("note", b'{"text":"true"}')
    forged.commit()
    forged.close()
    db = connect(place.ledger("acme/forged"), write=True)
    db.execute("DROP VIEW records")
    db.execute("CREATE VIEW records AS SELECT 'nothing happened' AS body")
    db.close()
    assert asked(place, "SELECT body FROM records", "acme/forged").rows == [('{"text":"true"}',)]


def reads(pid: int, place: Place) -> bool:
    """Has the command, or its child, the index of a ledger's log in its memory?"""
    command = psutil.Process(pid)
    return any(str(place.state) in Path("/proc", str(one.pid), "maps").read_text() for one in (command, *command.children()))


def test_ctrl_c_ends_a_question(place: Place) -> None:
    """SIGINT in the middle of a question ends the command at once, without a word about SQLite."""
    query = f"{ENDLESS} WHERE x = -1 UNION ALL SELECT seq FROM records"
    command = [*MAI, "--state", str(place.state), "sql", "acme/mai", query, "--seconds", "100"]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        until(lambda: reads(process.pid, place), "it has begun to read")
        process.send_signal(signal.SIGINT)
        assert process.stderr and (process.wait(60), process.stderr.read().strip()) == (1, "Aborted!")


def test_the_command(place: Place) -> None:
    """The same answer as a table, as JSON, as CSV; a question from standard input; the views where none is asked."""

    def ran(*words: str, asks: str = "") -> str:
        command = [*MAI, "--state", str(place.state), "sql", *words]
        done = subprocess.run(command, env=environment(), input=asks, capture_output=True, text=True, check=True)
        return done.stdout

    query = "SELECT request, state, NULL AS none FROM requests ORDER BY 1"
    assert json.loads(ran("acme/mai", "-", "--json", asks=query)) == [
        {"request": name, "state": "answered", "none": None} for name in ("r1", "r2")
    ]
    rows = list(csv.reader(io.StringIO(ran("acme", "--csv", query))))
    assert rows[:2] == [["process", "request", "state", "none"], ["acme/mai", "r1", "answered", ""]]
    assert ran("acme/mai", query).splitlines()[1].split() == ["r1", "answered"]
    assert "requests (Mai): What the client asked" in ran()


def test_tables_fit_and_lie_nothing() -> None:
    """Columns of numbers stand right, wide ones are cut to the width, control characters are marks, bytes are digits."""
    columns, rows = ("n", "text", "n"), [(5, "a" * 60, b"\xff"), (17, "\x1b[31m", None)]
    shown = sql_form.table(columns, rows, colour=False, width=40).splitlines()
    assert [len(line) <= 40 for line in shown] == [True] * 3 and shown[1].startswith(" 5  aaaa") and "…" in shown[1]
    assert "\x1b" not in "".join(shown) and shown[1].endswith("ff")
    assert sql_form.objects(columns, rows)[0] == {"n": 5, "text": "a" * 60, "n_3": "ff"}
    assert sql_form.table(("a",), [], colour=False) == "a"


def test_archived_segments_are_asked_too(tmp_path: Path) -> None:
    """What has left the journal is asked as if it had not, large bodies too; with `live` it is left out, and that is said."""
    place = Wired(tmp_path).asked("r1", "r2").close().place
    long = Ledger(place.ledger("acme/mai"), "acme/mai")
    long.append("step.asked", b'{"request":"r2","given":"%s"}' % (b"x" * BLOB_BYTES), request="r2")
    long.commit()
    upto = long.seq
    for word in range(5):
        long.append("note", b'{"text":"%d"}' % word)
    long.commit()
    long.close()
    queries = (
        "SELECT request, at, state, answer FROM requests ORDER BY 1",
        "SELECT seq, kind, body, digest FROM records WHERE kind <> 'rotated'",
        "SELECT * FROM messages WHERE request = 'r1'",
        "SELECT peer, sent FROM links",
    )
    before = [asked(place, query) for query in queries]
    with closing(Ledger(place.ledger("acme/mai"), "acme/mai")) as ledger:
        rotation = Rotation(ledger, upto)
        while rotation.step():
            pass
        assert not rotation.fault and ledger.archive.upto == upto
    assert [asked(place, query) for query in queries] == before
    plan = asked(place, "EXPLAIN QUERY PLAN SELECT * FROM requests WHERE request = 'r1'").rows
    assert not any(str(row[3]).startswith("SCAN") for row in plan), plan
    live = asked(place, "SELECT count(*) FROM records", live=True)
    assert live.rows == [(5 + 1,)] and f"records 1 to {upto}" in live.notes[0]  # with the record of the rotation
    assert not list(Path(tempfile.gettempdir()).glob("mai-*/journal.db"))
