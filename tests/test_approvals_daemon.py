"""`mai approvals`, `approve`, `deny`, end to end: a payment waits over the death of every process; it is made, or not, once."""

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from mai.sandbox.errors import REFUSED, USAGE
from tests import guests
from tests.guests import Guest, only_root
from tests.small import ORGANISATION, Daemon, until

OPERATOR, OTHER, CLIENT, AUDITOR = (Guest(uid) for uid in range(64_200, 64_204))
POLICIES = f"""
[[policies]]
name = "odd"
verdict = "person"
tools = ["finance.pay"]
when = {{ order = {{ below = 100 }} }}

[[policies]]
name = "large"
verdict = "person"
tools = ["finance.pay"]
when = {{ order = {{ at_least = 100 }} }}
four_eyes = true

[[policies]]
name = "asked"
verdict = "board"
contracts = ["support.refund"]
departments = ["client"]
when = {{ order = {{ at_least = 900 }} }}

[[doors]]
role = "operator"
users = ["{OPERATOR.uid}", "{OTHER.uid}"]
[[doors]]
role = "auditor"
users = ["{AUDITOR.uid}"]
[[doors]]
role = "client"
users = ["{CLIENT.uid}", "{OTHER.uid}"]
clients = ["acme"]
"""


class Careful(Daemon):
    """The small daemon, whose payments persons have to approve."""

    def asking(self, order: int, timeout_s: float = 60) -> tuple[Thread, list[dict[str, Any]]]:
        """Ask beside the test, as the user who runs it."""
        answers: list[dict[str, Any]] = []
        thread = Thread(target=lambda: answers.append(self.ask(f"refund order {order}", f"R{order}", timeout_s)))
        thread.start()
        return thread, answers

    def waiting(self, order: int) -> dict[str, Any]:
        """The approval that a request waits for, once it does."""
        return until(lambda: [one for one in self.approvals() if one["request"] == f"R{order}"], f"R{order} waits")[0]

    def approvals(self) -> list[dict[str, Any]]:
        """What `mai approvals` says."""
        ran = self.mai("approvals", "--json")
        assert ran.returncode == 0, ran.stderr
        return list(json.loads(ran.stdout))

    def again(self, process: str, pid: int) -> bool:
        """Is it there again, and all with it?"""
        return self.pids().get(process, [pid]) != [pid] and self.ready()

    def settled(self) -> None:
        """Every journal is whole, means what it should, and the state is what it gives."""
        until(self.ready, "everything")
        self.down()
        verified = self.mai("verify", "--state", "--deep")
        assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.fixture
def daemon(state: Path) -> Iterator[Careful]:
    """It is up, and down afterwards."""
    state.chmod(0o711)
    head, allowed, rest = ORGANISATION.partition("[[policies]]")
    fresh = Careful(state, head + POLICIES + allowed + rest)
    try:
        fresh.up()
        yield fresh
    finally:
        fresh.mai("down")


@pytest.mark.seconds(240)
def test_who_asks_may_deny_and_not_approve(daemon: Careful) -> None:
    """The command says what waits and until when; who made the request is refused, on record; his no is taken, and said back."""
    thread, answers = daemon.asking(7)
    one = daemon.waiting(7)
    ident = one["id"][:16]
    shown = daemon.mai("approvals", "show", ident).stdout
    for word in ("finance.pay of acme/finance/clerk waits for an approval", '{"order": 7}', "uid", "mai approve", "odd", "until"):
        assert word in shown, shown
    assert ident in daemon.mai("approvals", "acme").stdout
    for wrong, code, said in (
        (("approve", ident), REFUSED, "who asks does not approve"),
        (("approve", "x"), USAGE, "no id of an approval"),
        (("approve", "f" * 16), REFUSED, "no approval of acme begins"),
        (("deny", ident), USAGE, "--reason"),
        (("deny", ident, "--reason", " "), USAGE, "it is not said why"),
    ):
        ran = daemon.mai(*wrong)
        assert ran.returncode == code and said in ran.stderr, (wrong, ran.stderr)
    assert daemon.refunds() == []
    ran = daemon.mai("deny", ident, "--reason", "never mind")
    assert ran.returncode == 0 and "finance.pay is denied" in ran.stdout, ran.stderr
    thread.join(60)
    assert answers[0]["state"] == "refused" and "never mind" in answers[0]["answer"] and daemon.refunds() == []
    ran = daemon.mai("deny", ident, "--reason", "once more")
    assert ran.returncode == REFUSED and "was first: finance.pay is denied already" in ran.stderr
    until(lambda: any("who asks" in body["why"] for _, body in daemon.journal("acme/mai", "door.denied")), "it is on record")
    client_asks(daemon)
    daemon.settled()


def client_asks(daemon: Careful) -> None:
    """What the client asks for waits at Mai over her death: for a board without code, which leaves it to a person, who denies."""
    thread, answers = daemon.asking(900)
    one = daemon.waiting(900)
    assert (one["process"], one["agent"], one["name"]) == ("acme/mai", "acme/client/client", "support.refund")
    (pid,) = daemon.pids()["acme/mai"]
    os.kill(pid, signal.SIGKILL)
    until(partial(daemon.again, "acme/mai", pid), "Mai is back")
    assert daemon.waiting(900)["id"] == one["id"] and not daemon.journal("acme/finance", "approval.asked")[1:]
    assert daemon.mai("approve", one["id"]).returncode == REFUSED
    assert daemon.mai("deny", one["id"], "--reason", "too much").returncode == 0
    thread.join(60)
    assert answers[0]["state"] == "refused" and "too much" in answers[0]["answer"] and daemon.refunds() == []
    (referred,) = [body for _, body in daemon.journal("acme/mai", "approval.referred")]
    assert (referred["how"], referred["by"]) == ("left", "acme/support/board")


@only_root
@pytest.mark.seconds(240)
def test_others_approve_over_every_death(daemon: Careful) -> None:
    """Department, Mai and watchdog are killed while it waits; then an operator approves, and it is paid, once."""
    state = daemon.place.state
    thread, answers = daemon.asking(7)
    ident = daemon.waiting(7)["id"][:16]
    for process in ("acme/finance", "acme/mai", "watchdog"):
        (pid,) = daemon.pids()[process]
        os.kill(pid, signal.SIGKILL)
        until(partial(daemon.again, process, pid), f"{process} is back")
    assert [one["id"][:16] for one in daemon.approvals()] == [ident] and daemon.refunds() == []
    for guest, code in ((AUDITOR, REFUSED), (CLIENT, REFUSED)):
        ran = guests.mai(guest, state, "approve", ident)
        assert ran.returncode == code and daemon.refunds() == [], ran.stderr
    assert ident in guests.mai(AUDITOR, state, "approvals").stdout
    ran = guests.mai(OPERATOR, state, "approve", ident, "--note", "as agreed")
    assert ran.returncode == 0 and "is approved, says uid 64200" in ran.stdout, ran.stderr
    thread.join(60)
    assert answers[0]["state"] == "answered" and daemon.refunds() == [7]
    ran = guests.mai(OTHER, state, "approve", ident)
    assert ran.returncode == REFUSED and "uid 64200 was first" in ran.stderr
    (voted,) = [body for _, body in daemon.journal("acme/mai", "approval.voted")]
    assert (voted["uid"], voted["role"], voted["note"], voted["last"]) == (OPERATOR.uid, "operator", "as agreed", True)
    (used,) = [body for _, body in daemon.journal("acme/finance", "approval.used")]
    (intent,) = [body for _, body in daemon.journal("acme/finance", "effect.intent")]
    assert used["id"] == intent["approval"] and used["id"].startswith(ident)
    daemon.settled()


@only_root
@pytest.mark.seconds(240)
def test_four_eyes_are_two_users(daemon: Careful) -> None:
    """One user is not enough, twice neither; who follows hears of it at once, and what comes after the end is too late."""
    state = daemon.place.state
    pid, out, _ = guests.follow(AUDITOR, state, "approvals", "--follow", "--json")
    thread, answers = daemon.asking(100)
    with open(out, "rb") as heard:
        ident = json.loads(heard.readline())["id"]
        ran = guests.mai(OPERATOR, state, "approve", ident)
        assert ran.returncode == 0 and "1 of 2 approve" in ran.stdout, ran.stderr
        ran = guests.mai(OPERATOR, state, "approve", ident)
        assert ran.returncode == REFUSED and "another pair of eyes" in ran.stderr and daemon.refunds() == []
        ran = guests.mai(OTHER, state, "approve", ident)
        assert ran.returncode == 0, ran.stderr
        thread.join(60)
        assert answers[0]["state"] == "answered" and daemon.refunds() == [100]
        thread, answers = daemon.asking(8, timeout_s=3)
        late = json.loads(heard.readline())["id"]
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    thread.join(60)
    assert answers[0]["state"] == "expired" and "waited for an approval" in answers[0]["answer"].replace("waits", "waited")
    ran = guests.mai(OPERATOR, state, "approve", late)
    assert ran.returncode == REFUSED and "too late" in ran.stderr and daemon.refunds() == [100]
    daemon.settled()


ANNOUNCE = """
[approvals]
announce = ["sh", "tell.sh"]
"""


@pytest.mark.seconds(240)
def test_a_command_tells_of_new_ones(state: Path) -> None:
    """It gets the approval as a line of JSON; one that fails is tried again, on record each time, and nobody waits for it."""
    state.chmod(0o711)
    head, allowed, rest = ORGANISATION.partition("[[policies]]")
    daemon = Careful(state, head + POLICIES + ANNOUNCE + allowed + rest)
    told = daemon.file.parent / "told"
    script = f'cat >> "{told}"\n[ -e "{told}.again" ] || {{ touch "{told}.again"; exit 3; }}\n'
    (daemon.file.parent / "tell.sh").write_text(script)
    try:
        daemon.up()
        thread, answers = daemon.asking(7)
        ident = daemon.waiting(7)["id"]
        until(lambda: len(daemon.journal("acme/mai", "approval.announced")) == 2, "it is announced at the second try")
        assert [json.loads(line)["id"] for line in told.read_text().splitlines()] == [ident, ident]
        records = [body for _, body in daemon.journal("acme/mai", "approval.announced")]
        assert [(body["well"], body["tries"]) for body in records] == [(False, 1), (True, 2)] and "3" in records[0]["text"]
        assert daemon.approvals()[0]["announced"] == "the command has ended well"
        assert daemon.mai("deny", ident[:16], "--reason", "no").returncode == 0
        thread.join(60)
        assert answers[0]["state"] == "refused"
        daemon.settled()
    finally:
        daemon.mai("down")
