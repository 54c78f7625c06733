"""`mai escalations`: what Mai keeps of them, and end to end with a daemon whose processes are killed while a person thinks."""

import json
import os
import pwd
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mai.agents.decider import Tick
from mai.agents.escalation_messages import Escalate, Parked, Plea, Ruled, Try, Withdrawn
from mai.agents.escalation_scope import Escalations
from mai.agents.events import MessageRefused
from mai.daemon.desk import Crossing, Returned
from mai.daemon.escalations import (
    AFTER_MS,
    Answering,
    EscalationAnswered,
    EscalationEnded,
    EscalationRaised,
    Pled,
    RequestPending,
    TakenBack,
    root,
)
from mai.sandbox.errors import EXPIRED, REFUSED, USAGE
from tests.small import HANDLERS, ORGANISATION, Daemon, until
from tests.test_mai import NOW_MS, UNTIL_MS, Mai, organisation, result

PLEA = Plea("acme/support/clerk", "too hard", "choice", (Try("acme/support/clerk", "gave it up", "too hard", NOW_MS),))


def escalate(task: str = "R/1.1.1.1.1", request: str = "R", **more: Any) -> Escalate:
    """What support's board says."""
    given: dict[str, Any] = {"asker": "acme/client", "contract": "", "text": "do", "input": {}, "plea": PLEA, **more}
    return Escalate(f"{task}.e0", request, task, deadline_ms=UNTIL_MS, **given)


def said(ident: str = "R/1.1.1.1.1.e0", state: Any = "answered", text: str = "yes", reason: str = "") -> Answering:
    """What a person says."""
    return Answering(ident, state, text, {}, reason, "ann", 1000, "operator")


def patient(person_s: float = 3600, **more: Any) -> Mai:
    """A Mai whose organisation gives persons time, with an open request that support has."""
    mai = Mai(msgspec.structs.replace(organisation(), escalation=Escalations(person_s=person_s, **more)))
    mai.asked()
    return mai


# -- what she keeps
def test_a_person_is_asked_once_and_answers_once() -> None:
    """A row from the department's word on; the answer goes back in the transaction of its record, to that task alone."""
    mai = patient(0)
    (raised, pending), () = mai.feed(Pled("acme/support", escalate()))
    assert isinstance(raised, EscalationRaised) and raised.body.plea == PLEA and NOW_MS < raised.due_ms < UNTIL_MS
    assert isinstance(pending, RequestPending) and (pending.owner, pending.deadline_ms) == ("person", UNTIL_MS)
    assert mai.feed(Pled("acme/support", escalate())) == ([], [])
    (answered,), (send,) = mai.feed(said())
    assert isinstance(answered, EscalationAnswered) and answered.by == "acme/person/ann"
    assert send.body == Ruled("R/1.1.1.1.1.e0", "R", "R/1.1.1.1.1", "answered", "yes", {}, "", "acme/person/ann")
    assert mai.feed(said(text="no")) == ([], [])


def test_who_may_sign_as_a_person() -> None:
    """An answer in a person's name is taken only if that person has answered for this request."""
    for by, taken in (("acme/person/ann", True), ("acme/person/bob", False)):
        mai = patient()
        mai.feed(Pled("acme/support", escalate()))
        mai.feed(said())
        body = mai.decider.screen("acme/support", result("R/1", by=by))
        assert bool(body.breach) != taken  # type: ignore[union-attr]


def test_what_is_not_its_own_a_department_cannot_escalate() -> None:
    """In another's name, or for a task that it has not."""
    mai = patient()
    other = msgspec.structs.replace(PLEA, agent="acme/finance/clerk")
    (refused,), () = mai.feed(Pled("acme/support", escalate(plea=other)))
    assert isinstance(refused, MessageRefused)
    for peer, body in (("acme/support", escalate("S/1.1")), ("acme/support", escalate("R/2.1"))):
        events, (send,) = mai.feed(Pled(peer, body))
        assert not events and isinstance(send.body, Ruled) and send.body.reason == "nobody waits for it"


def test_persons_are_asked_so_often_for_one_request() -> None:
    """Beyond that it is refused, with the number."""
    mai = patient(per_request=2)
    for n in range(3):
        events, sends = mai.feed(Pled("acme/support", escalate(f"R/1.{n}")))
        assert bool(events) == (n < 2)
    assert isinstance(sends[0].body, Ruled) and "2 times for this request" in sends[0].body.reason


def test_all_that_wait_have_more_time() -> None:
    """Department by department, each a little more than what it waits for; and the client's request."""
    mai = patient(person_s=3600)
    mai.feed(Crossing("acme/support", mai_task(), UNTIL_MS))
    mai.state.passages["R/1.1.m1"].deadline_ms = UNTIL_MS
    plea = msgspec.structs.replace(PLEA, agent="acme/finance/clerk")
    (raised, _), sends = mai.feed(Pled("acme/finance", escalate("R/1.1.m1.1.1", plea=plea)))
    due_ms = NOW_MS + 3_600_000
    assert isinstance(raised, EscalationRaised) and raised.due_ms == due_ms
    told = [(send.to, send.body.task, send.body.deadline_ms) for send in sends if isinstance(send.body, Parked)]
    assert told == [
        ("acme/finance", "R/1.1.m1.1.1", due_ms + AFTER_MS),
        ("acme/support", "R/1.1", due_ms + 3 * AFTER_MS),
    ]
    assert mai.state.passages["R/1.1.m1"].deadline_ms == due_ms + 2 * AFTER_MS
    assert mai.state.requests["R"].deadline_ms == due_ms + 4 * AFTER_MS
    assert len({send.id for send in sends}) == 2
    assert not mai.feed(Tick(), UNTIL_MS)[0]


def mai_task() -> Any:
    """Support asks finance."""
    from mai.agents.messages import Task

    return Task("R/1.1.m1", "R", "acme/support/clerk", "finance.pay", "", {"order": 5}, 3)


def test_nobody_answers_in_time() -> None:
    """It expires, on record, and who waits is told before its own time is over; then it is too late."""
    mai = patient(person_s=3600)
    mai.feed(Pled("acme/support", escalate()))
    at_ms = mai.decider.next_deadline_ms()
    assert at_ms == NOW_MS + 3_600_000
    (ended,), (send,) = mai.feed(Tick(), at_ms)
    assert isinstance(ended, EscalationEnded) and ended.state == "expired"
    assert isinstance(send.body, Ruled) and send.body.state == "expired" and "no person has answered" in send.body.reason
    assert mai.feed(said()) == ([], [])


def test_what_nobody_waits_for_is_taken_back() -> None:
    """By its department, or with its request; it is kept among those that are over."""
    mai = patient()
    mai.feed(Pled("acme/support", escalate("R/1.1")))
    mai.feed(Pled("acme/support", escalate("R/1.2")))
    (ended,), () = mai.feed(TakenBack("acme/support", Withdrawn("R/1.1.e0", "R", "R/1.1", "nobody waits")))
    assert isinstance(ended, EscalationEnded) and ended.state == "withdrawn"
    assert mai.feed(TakenBack("acme/finance", Withdrawn("R/1.2.e0", "R", "R/1.2", "")))[0] == []
    mai.feed(Returned("acme/support", result("R/1", "refused", reason="no")))
    assert mai.state.parking.rows == {} and mai.state.parking.soonest_ms() == 0
    row: Any = mai.state.changes["escalated", "R/1.2.e0"]
    assert (row.state, row.reason) == ("withdrawn", "its request was refused")


@pytest.mark.parametrize(
    ("ident", "task"),
    [("R/1.1.1.e0", "R/1"), ("R/1.e12", "R/1"), ("R/1.1.m4.2.1.e3", "R/1.1.m4"), ("R/1b1.1.e0", "R/1"), ("x", "")],
)
def test_the_task_that_an_escalation_derives_from(ident: str, task: str) -> None:
    """As Mai knows it, whoever has it now."""
    assert root(ident) == task


# -- end to end
ASKS = """async def desk(ctx, task):
    answer = await ctx.escalate('may I?')
    if not answer.value.get('pay'):
        return {'refund': 0}
"""
ASKING = HANDLERS.replace("async def desk(ctx, task):\n", ASKS)


@pytest.fixture
def daemon(state: Path) -> Iterator[Daemon]:
    """Its desk asks before it has an order paid back; a person has an hour, the client two seconds."""
    whole = ORGANISATION.replace("request_s = 60", "request_s = 2") + "\n[escalation]\nperson_s = 3600\n"
    started = Daemon(state, whole)
    (started.file.parent / "small.py").write_text(ASKING)
    try:
        yield started.up()
    finally:
        started.mai("down")


def is_back(daemon: Daemon, name: str, before: int) -> bool:
    """Is this process there once more, and everybody ready?"""
    return daemon.status()[name]["pid"] not in (0, None, before) and daemon.ready()


def listed(daemon: Daemon, *more: str) -> list[dict[str, Any]]:
    """What `mai escalations list` says."""
    ran = daemon.mai("escalations", "list", "--json", *more)
    assert ran.returncode == 0, ran.stderr
    return list(json.loads(ran.stdout))


def test_a_persons_answer_reaches_the_client_in_the_same_request(daemon: Daemon) -> None:
    """After its own time the client is told who has it; all are killed; the answer comes down, and the money moves once."""
    first = daemon.mai("ask", "acme", "refund order 7", "--id", "q", "--json")
    told = json.loads(first.stdout)
    assert (first.returncode, told["state"]) == (EXPIRED, "expired") and "a person was asked" in told["answer"]
    (one,) = listed(daemon)
    assert told["pending"] == [{"id": one["id"], "owner": "person", "due_ms": one["due_ms"]}]
    shown = daemon.mai("escalations", "show", "acme", one["id"]).stdout
    assert "acme/support/refund-desk gave it up: may I?" in shown and "acme/support/board passed it on" in shown
    for name in ("acme/support", "acme/mai"):
        pid = daemon.status()[name]["pid"]
        os.kill(pid, signal.SIGKILL)
        until(partial(is_back, daemon, name, pid), f"{name} is back")
        assert [each["id"] for each in listed(daemon)] == [one["id"]]
    answered = daemon.mai("escalations", "answer", "acme", one["id"], "--text", "Pay.", "--value", '{"pay": true}')
    me = pwd.getpwuid(os.getuid()).pw_name
    assert answered.stdout.startswith(f"{one['id']} is answered by acme/person/{me}"), answered.stderr
    again = daemon.mai("ask", "acme", "refund order 7", "--id", "q", "--timeout", "30")
    assert again.returncode == 0 and "Order 7 was refunded." in again.stdout
    assert daemon.refunds() == [7]
    second = daemon.mai("escalations", "answer", "acme", one["id"], "--text", "No.")
    assert second.returncode == REFUSED and "has answered it already" in second.stderr
    assert [each["state"] for each in listed(daemon, "--all")] == ["answered"] and listed(daemon) == []
    until(lambda: daemon.mai("verify", "--deep", "--rest").returncode == 0, "all is sound and at rest")


def test_what_is_wrong_is_refused_at_the_door(daemon: Daemon) -> None:
    """No answer, no JSON object, an id that is none, and what is too late because the request was cancelled."""
    daemon.mai("ask", "acme", "refund order 7", "--id", "q", "--json")
    (one,) = listed(daemon)
    for more, code, hint in (
        (["--text", " "], USAGE, "an answer has a text"),
        (["--value", "[1]"], USAGE, "an object"),
        (["--value", "{"], USAGE, "is not JSON"),
    ):
        ran = daemon.mai("escalations", "answer", "acme", one["id"], *more)
        assert ran.returncode == code and hint in ran.stderr
    assert daemon.mai("escalations", "answer", "acme", "nothing", "--text", "x").returncode == REFUSED
    assert daemon.mai("escalations", "show", "acme", "nothing").returncode == REFUSED
    assert daemon.mai("cancel", "q").returncode == 0
    late = daemon.mai("escalations", "refuse", "acme", one["id"], "--reason", "no")
    assert late.returncode == REFUSED and "too late" in late.stderr
    until(lambda: daemon.mai("verify", "--deep", "--rest").returncode == 0, "all is sound and at rest")
    assert daemon.refunds() == []
