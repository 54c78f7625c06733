"""`mai effects`, end to end: a department is killed in the middle of a payment that may not be repeated, and a person decides."""

import json
import os
import pwd
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from mai.agents.events import MessageRefused
from mai.agents.order_messages import Doubt, Resolve
from mai.daemon.desk import Raised, Resolving, origin
from mai.daemon.doubts import DoubtRaised, DoubtResolved, late
from mai.sandbox.errors import FAILED, REFUSED, USAGE
from tests.small import HANDLERS, ORGANISATION, Daemon, until
from tests.test_errands import UNTIL_MS, Mai

DYING = """
def pay(files, order, *, key):
    import os
    with sqlite3.connect(files / "finance.db") as db:
        if not (files / "before").exists():
            db.execute("INSERT INTO refunds(key, \\"order\\") VALUES(?, ?)", (key + os.urandom(4).hex(), order))
        found = db.execute("SELECT count(*) FROM refunds").fetchone()[0]
    for word in ("before", "after"):
        if (files / word).exists():
            (files / word).unlink()
            db.close()
            os._exit(9)  # the first process of a namespace cannot kill itself
    return found
"""


class Paying(Daemon):
    """The small daemon, whose payments are opaque and die where a file says so: `before` they happen, or `after`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, ORGANISATION.replace('effect = "idempotent"', 'effect = "opaque"'))
        (self.file.parent / "small.py").write_text(HANDLERS.replace("def pay(", "def _(") + DYING)

    def dies(self, when: str) -> None:
        """In the middle of the next payment."""
        (self.place.home("acme/finance") / "files" / when).touch()

    def asking(self, text: str, request: str, timeout_s: float = 60) -> tuple[Thread, list[dict[str, Any]]]:
        """Ask beside the test."""
        answers: list[dict[str, Any]] = []
        thread = Thread(target=lambda: answers.append(self.ask(text, request, timeout_s)))
        thread.start()
        return thread, answers

    def in_doubt(self, request: str) -> dict[str, Any]:
        """The effect of a request that is in doubt, once it is."""
        return until(lambda: [one for one in self.effects() if one["request"] == request], f"{request} is in doubt")[0]

    def effects(self, *more: str) -> list[dict[str, Any]]:
        """What `mai effects list` says."""
        ran = self.mai("effects", "list", "--json", *more)
        assert ran.returncode == 0, ran.stderr
        return list(json.loads(ran.stdout))


@pytest.fixture
def daemon(state: Path) -> Iterator[Paying]:
    """It is up, and down afterwards."""
    fresh = Paying(state)
    try:
        fresh.up()
        yield fresh
    finally:
        fresh.mai("down")


def settled(daemon: Paying) -> None:
    """Every journal is whole, and the state is what it gives."""
    until(daemon.ready, "everything")
    daemon.down()
    for process in ("acme/mai", "acme/finance", "acme/support"):
        daemon.check_ledger(process)
    verified = daemon.mai("verify", "--state", "--deep")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.seconds(240)
def test_a_person_decides(daemon: Paying) -> None:
    """Happened: the task goes on with the value. Did not: it is paid once more. Twice, or wrongly: refused, with a hint."""
    me = pwd.getpwuid(os.getuid()).pw_name
    daemon.dies("after")
    thread, answers = daemon.asking("refund order 7", "R7")
    key = daemon.in_doubt("R7")["key"]
    for wrong, code, said in (
        ((key,), USAGE, "it is not said whether it happened"),
        ((key, "--happened", "--value", "{"), USAGE, "is not JSON"),
        ((key, "--happened", "--value", "NaN"), USAGE, "is not JSON"),
        ((key, "--happened", "--value", str(2**70)), USAGE, "a value that JSON cannot hold"),
        ((key, "--did-not", "--value", "5"), USAGE, "has no value"),
        ((key + "9", "--happened"), REFUSED, "no effect of acme with the key"),
    ):
        ran = daemon.mai("effects", "resolve", *wrong)
        assert ran.returncode == code and said in ran.stderr and "hint: " in ran.stderr, ran.stderr
    shown = daemon.mai("effects", "show", key).stdout
    for word in (
        "pay of acme/finance/clerk is in doubt",
        "the process died while it was used",
        '{"order": 7}',
        "opaque, called 1 time ",
    ):
        assert word in shown, shown
    assert "pay" in daemon.mai("effects", "list", "acme").stdout
    ran = daemon.mai("effects", "resolve", key, "--happened", "--value", "70", "--note", "it is in the books")
    assert ran.returncode == 0 and f"pay happened, says {me}; its task goes on with 70" in ran.stdout, ran.stderr
    thread.join(60)
    assert answers[0]["state"] == "answered" and answers[0]["parts"][0]["value"] == {"refund": 70}
    assert daemon.refunds() == [7] and daemon.effects() == []
    ran = daemon.mai("effects", "resolve", key, "--did-not")
    assert ran.returncode == REFUSED and f"{me} has said already that pay happened" in ran.stderr
    daemon.dies("before")
    thread, answers = daemon.asking("refund order 8", "R8")
    second = daemon.in_doubt("R8")["key"]
    assert daemon.refunds() == [7]
    ran = daemon.mai("effects", "resolve", second, "--did-not", "--json")
    assert ran.returncode == 0 and json.loads(ran.stdout)["state"] == "did not happen"
    thread.join(60)
    assert answers[0]["state"] == "answered" and daemon.refunds() == [7, 8]
    assert {one["key"]: (one["state"], one["by"]) for one in daemon.effects("--all")} == {
        key: ("happened", me), second: ("did not happen", me),
    }  # fmt: skip
    resolved = [(body["key"], body["happened"], body["by"]) for _, body in daemon.journal("acme/finance", "effect.resolved")]
    assert resolved == [(key, True, me), (second, False, me)]
    assert [body["key"] for _, body in daemon.journal("acme/finance", "effect.intent")] == [key, second, second]
    settled(daemon)


@pytest.mark.seconds(240)
def test_a_decision_survives_both(daemon: Paying) -> None:
    """The department is away when it is said, Mai is killed after it: it arrives, once. After the end it is on record only."""
    daemon.dies("after")
    thread, answers = daemon.asking("refund order 7", "R7")
    key = daemon.in_doubt("R7")["key"]
    assert daemon.mai("stop", "acme/finance").returncode == 0
    assert daemon.mai("effects", "resolve", key, "--happened", "--value", "1").returncode == 0
    (pid,) = daemon.pids()["acme/mai"]
    os.kill(pid, signal.SIGKILL)
    until(
        lambda: daemon.pids().get("acme/mai", [pid]) != [pid] and daemon.status()["acme/mai"]["state"] == "ready", "her next life"
    )
    until(lambda: daemon.raw({"do": "effects"}), "Mai is back")
    assert daemon.effects() == []
    assert daemon.mai("start", "acme/finance").returncode == 0
    thread.join(60)
    assert answers[0]["state"] == "answered" and daemon.refunds() == [7]
    assert len(daemon.journal("acme/finance", "effect.resolved")) == 1
    daemon.dies("after")
    thread, answers = daemon.asking("refund order 8", "R8", timeout_s=8)
    late = daemon.in_doubt("R8")["key"]
    thread.join(60)
    assert answers[0]["state"] in ("expired", "failed")
    assert f"nobody knows whether pay (key {late}) happened" in answers[0]["answer"]
    assert f"mai effects show {late}" in answers[0]["answer"]
    until(lambda: has_ended(daemon, late), "Mai hears that nobody waits any more")
    ran = daemon.mai("effects", "resolve", late, "--did-not")
    assert ran.returncode == 0 and "its task had ended: this is on record, and nothing follows" in ran.stdout
    until(lambda: len(daemon.journal("acme/finance", "effect.resolved")) == 2, "it is on record")
    assert daemon.refunds() == [7, 8]
    assert daemon.mai("effects", "show", "R9/1").returncode == REFUSED != FAILED
    settled(daemon)


def has_ended(daemon: Paying, key: str) -> bool:
    """Does Mai know that its task has ended?"""
    return any(one["key"] == key and one["ended"] for one in daemon.effects())


# -- what Mai decides
DOUBT = Doubt("R/1.1/2", "R", "R/1.1", "acme/support/clerk", "pay", "opaque", {"cents": 5}, 1000, "it died", 1, UNTIL_MS, False)


def told(mai: Mai, doubt: Doubt, ident: str, peer: str = "acme/support") -> None:
    """A department tells her."""
    assert mai.feed(Raised(peer, ident, doubt)) == []


def test_mai_keeps_a_doubt_until_it_is_resolved() -> None:
    """Then it goes to the department that has it, once; a doubt of the same key later on is another one."""
    mai = Mai()
    told(mai, DOUBT, "d1")
    assert late(mai.state, "R").endswith("mai effects show R/1.1/2") and late(mai.state, "S") == "no answer before the deadline"
    saying = Resolving("R/1.1/2", False, None, "ann", "I looked")
    (send,) = mai.feed(saying)
    assert (send.to, send.id) == ("acme/support", "d1=")
    assert send.body == Resolve("R/1.1/2", "R", "R/1.1", "acme/support/clerk", False, None, "ann", "I looked")
    assert mai.feed(saying) == [] and mai.state.doubts == {}
    told(mai, DOUBT, "d2")
    assert [send.id for send in mai.feed(saying)] == ["d2="]
    assert [type(event) for event in mai.events] == [DoubtRaised, DoubtResolved] * 2


def test_the_end_of_a_task_in_doubt() -> None:
    """Mai notes that nobody waits any more; if it was resolved meanwhile, the doubt does not come back."""
    mai, ended = Mai(), msgspec.structs.replace(DOUBT, ended=True, known=True)
    told(mai, DOUBT, "d1")
    told(mai, ended, "d1.")
    assert mai.state.doubts["R/1.1/2"].doubt.ended
    assert len(mai.feed(Resolving("R/1.1/2", True, 5, "ann", ""))) == 1
    told(mai, ended, "d1.")
    assert mai.state.doubts == {}


def test_a_doubt_of_anothers_agent() -> None:
    """Is refused on record."""
    mai = Mai()
    told(mai, DOUBT, "d1", "acme/finance")
    assert [type(event) for event in mai.events] == [MessageRefused] and mai.state.doubts == {}


def test_the_id_of_a_tool_that_is_called_again() -> None:
    """Derives from the same task of Mai's."""
    assert origin("R/1.2.1.m4") == origin("R/1.2.1.m4r1") == origin("R/1.2.1.m4r12") == "R/1"
    assert origin("R/1.2.1.mr1") == origin("R/1.2.1.m4r") == origin("R/1.2.1.m4rx") == origin("R/1.2.1.m4x") == ""
