"""A department's own code against its own journal: it has the process and the open ledger, and `mai verify` finds it out.

Each attack is made by a handler in the running process, with all digests computed anew, the triggers put back and the
process's own memory brought in line, so that the daemon itself goes on as if nothing had happened.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mai.daemon.heads import KIND
from mai.daemon.verify import Report, render, verify
from tests.small import Daemon, until

ORGANISATION = """
[organisation]
name = "Hostile"
clients = ["acme"]

[limits]
request_s = 30

[watchdog]
sign_s = 0.1

[departments.support]
charter = "Does what it is asked, and then some."

[[departments.support.agents]]
name = "desk"
rank = "specialist"
charter = "Sees to everything."
skills = ["payments"]
handler = "hostile.py:desk"
"""
HANDLERS = '''
import contextlib, gc, json, os, sys
from pathlib import Path

import pysqlite3 as sqlite3
from mai.sandbox.ledger import Ledger, chain

COLUMNS = "seq, at_ns, term, boot, kind, request, task, agent, body, prev, digest"
LEDGER = Path(sys.argv[1], "clients", sys.argv[3], "ledger.db")
OLDER = LEDGER.parent / "files" / "older.db"


def ours():
    """The process's own ledger, with nothing left to be written that would not fit afterwards."""
    ledger = next(one for one in gc.get_objects() if isinstance(one, Ledger))
    ledger.commit()
    return ledger


@contextlib.contextmanager
def without_triggers(db):
    triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type='trigger'").fetchall()
    db.execute("BEGIN IMMEDIATE")
    for name, _ in triggers:
        db.execute(f"DROP TRIGGER {name}")
    yield
    for _, sql in triggers:
        db.execute(sql)
    db.execute("COMMIT")


def settle(ledger):
    """The process takes the new end for its own."""
    ledger.seq, ledger.head = ledger._db.execute("SELECT seq, digest FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    ledger.durable = (ledger.seq, ledger.head)


def rewrite():
    """The payment was another one: its record is changed, and the chain computed anew from there on."""
    ledger = ours()
    db = ledger._db
    with without_triggers(db):
        (start,) = db.execute("SELECT MIN(seq) FROM journal WHERE body LIKE '%paid 100%'").fetchone()
        (prev,) = db.execute("SELECT digest FROM journal WHERE seq=?", (start - 1,)).fetchone()
        for row in db.execute(f"SELECT {COLUMNS} FROM journal WHERE seq >= ? ORDER BY seq", (start,)).fetchall():
            body = row[8].replace("paid 100", "paid 999")
            digest = chain(prev, row[0], row[1], row[2], (*row[3:8], body))
            db.execute("UPDATE journal SET body=?, prev=?, digest=? WHERE seq=?", (body, prev, digest, row[0]))
            prev = digest
    settle(ledger)


def cut():
    """The last ten records have never been."""
    ledger = ours()
    with without_triggers(ledger._db):
        ledger._db.execute("DELETE FROM journal WHERE seq > (SELECT MAX(seq) FROM journal) - 10")
    settle(ledger)


def append():
    """Mai has said something more, says this journal."""
    ledger = ours()
    query = "SELECT body FROM journal WHERE kind = 'message.received' ORDER BY seq DESC LIMIT 1"
    said = json.loads(ledger._db.execute(query).fetchone()[0])
    said |= {"lseq": said["lseq"] + 1, "id": "an approval that nobody gave"}
    ledger.append("message.received", json.dumps(said, separators=(",", ":")).encode())
    ledger.commit()


def keep():
    """A copy for later."""
    OLDER.parent.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(str(OLDER))) as copy:
        ours()._db.backup(copy)


def exchange():
    """The copy takes the ledger's place, and the process begins again with it."""
    os.replace(OLDER, LEDGER)
    for end in ("-wal", "-shm"):
        LEDGER.with_name(LEDGER.name + end).unlink(missing_ok=True)
    os._exit(1)


async def desk(ctx, task):
    word = next((word for word in ("rewrite", "cut", "append", "keep", "exchange") if word in task.text), "")
    if word:
        globals()[word]()
        return f"done: {word}"
    await ctx.remember("last", "paid 100")
    return "paid"
'''


@pytest.fixture
def daemon(state: Path) -> Iterator[Daemon]:
    """A daemon whose only department is hostile, after a payment whose record is signed."""
    daemon = Daemon(state, ORGANISATION)
    (daemon.file.parent / "hostile.py").write_text(HANDLERS)
    daemon.up()
    try:
        answer = daemon.ask("support payments: pay 100", "r1")
        assert answer["state"] == "answered", answer
        signed(daemon)
        yield daemon
    finally:
        daemon.mai("down")


def signed(daemon: Daemon) -> None:
    """All that the department has on record until now is signed by the watchdog."""
    last = daemon.journal("acme/support")[-1][0].seq

    def heads() -> bool:
        return any(body["heads"].get("acme/support", [0])[0] >= last for _, body in daemon.journal("watchdog", KIND))

    until(heads, f"a signed head of record {last} or later")


def attacked(daemon: Daemon, word: str) -> Report:
    """Let it do that, and end everything; what `mai verify` says."""
    assert verify(daemon.place, state=True).sound, render(verify(daemon.place, state=True))
    answer = daemon.ask(f"support payments: {word} it", f"r-{word}", 30.0)
    assert f"done: {word}" in answer["answer"], answer
    daemon.down()
    report = verify(daemon.place)
    assert "acme/support" in {finding.process for finding in report.findings}, render(report)
    return report


def test_a_sound_department_is_signed_to_the_end(daemon: Daemon) -> None:
    """After an orderly end the last signed head is the journal's last record, and `mai verify` counts what it has held."""
    daemon.down()
    last = daemon.journal("acme/support")[-1][0]
    heads = [body["heads"].get("acme/support") for _, body in daemon.journal("watchdog", KIND)]
    assert [head for head in heads if head][-1] == [last.seq, last.digest.hex()]
    report = verify(daemon.place, state=True)
    assert report.sound and report.heads > 2 and len(report.keys) == 1


def test_a_rewritten_journal_is_found(daemon: Daemon) -> None:
    """A record changed, the chain computed anew: the signed head is not in it."""
    report = attacked(daemon, "rewrite")
    assert any("is not the one that the watchdog has signed" in finding.what for finding in report.findings), render(report)
    assert "paid 999" in str([body for _, body in daemon.journal("acme/support")])


def test_a_cut_journal_is_found(daemon: Daemon) -> None:
    """Its last records are gone, and others were written in their place."""
    report = attacked(daemon, "cut")
    assert any("the watchdog has signed" in finding.what for finding in report.findings), render(report)


def test_a_record_of_what_nobody_said_is_found(daemon: Daemon) -> None:
    """A message that Mai has never sent: both journals contradict each other, and the signed head tells whose word is false."""
    report = attacked(daemon, "append")
    assert any("was made up" in finding.what for finding in report.findings), render(report)
    assert {finding.process for finding in report.findings} == {"acme/support"}, render(report)


def test_an_older_copy_is_found_and_halts(daemon: Daemon) -> None:
    """A copy from before, put in the ledger's place by the process itself: it halts at its next start, and verify says why."""
    kept = daemon.ask("support payments: keep it", "r2")
    assert kept["state"] == "answered", kept
    daemon.ask("support payments: pay 100", "r3")
    signed(daemon)
    with subprocess.Popen(daemon.command("ask", "acme", "support payments: exchange it"), stdout=subprocess.DEVNULL) as asking:
        until(lambda: daemon.status()["acme/support"]["state"] == "failed", "it halts")
        asking.terminate()
    assert "older copy" in daemon.status()["acme/support"]["status"]
    daemon.down()
    found = [finding.what for finding in verify(daemon.place).findings if finding.process == "acme/support"]
    assert any("the watchdog has signed" in what and "older copy" in what for what in found), found
