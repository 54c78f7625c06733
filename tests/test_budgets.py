"""Budgets of a request and of a day: what is spent stays spent over crashes and clocks that go back; stops are on record."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mai.agents.allowance import BudgetStopped, DayBegun, ToolCounted
from mai.agents.amounts import UNBOUNDED, Amounts
from mai.agents.budget_scope import DayLimits, RequestLimits
from mai.agents.decider import Tick
from mai.agents.escalation_messages import Escalate, Ruled
from mai.agents.events import Event, Hopped, HopRefused
from mai.agents.inputs import Arrived, Raised
from mai.agents.messages import Result, Task
from mai.agents.organisation import Limits, Organisation
from mai.agents.shell import now_ms
from mai.agents.zones import offsets
from mai.daemon.desk import Asked, Returned
from mai.daemon.granting import BudgetGranted, BudgetReturned
from mai.daemon.records import PartPlan
from tests.lone import COUNTED, TOOL, Lone, desk
from tests.small import ORGANISATION, Daemon
from tests.test_department import CLERK, LIMIT_MS, Desk, staff
from tests.test_mai import UNTIL_MS, Mai, organisation, result

DAY_MS = 86_400_000
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2


def with_day(whole: Organisation, **limits: Any) -> Organisation:
    """Support has so much in a day."""
    own = msgspec.structs.replace(whole.departments[0], day=DayLimits(**limits))
    return msgspec.structs.replace(whole, departments=(own, *whole.departments[1:]))


def stops(events: list[Event]) -> list[BudgetStopped]:
    """What was stopped."""
    return [event for event in events if isinstance(event, BudgetStopped)]


def arrive(desk: Desk, ident: str, **given: Any) -> None:
    """A task from Mai."""
    desk.feed(Arrived(Task(ident, "r", "acme/client", "support.refund", "", {"order": 1}, 20, **given), desk.now_ms + LIMIT_MS))


# -- a day
def test_a_department_takes_up_so_many_tasks_a_day() -> None:
    """The next one is refused, on record; at midnight in the organisation's zone there are new ones."""
    whole = msgspec.structs.replace(staff(CLERK), offsets=offsets("America/New_York"))
    desk = Desk(with_day(whole, tasks=2))
    desk.now_ms = 20_000 * DAY_MS + 3 * 3_600_000  # in UTC the day is three hours old, in New York it is 22 or 23 o'clock
    for number in range(3):
        arrive(desk, f"r/{number}")
    (stop,) = stops(desk.events)
    assert (stop.what, stop.scope, stop.limit, stop.used) == ("tasks", "day", 2, 2)
    assert [body.state for body in desk.results()] == ["escalated"] and desk.results()[0].reason == stop.why
    desk.now_ms += 3 * 3_600_000
    arrive(desk, "r/4")
    assert len(stops(desk.events)) == 1
    assert [event.day for event in desk.events if isinstance(event, DayBegun)] == ["2024-10-03", "2024-10-04"] and desk.folds()


def test_a_clock_that_goes_back_gives_no_second_budget() -> None:
    """What was spent under the later date still counts."""
    desk = Desk(with_day(staff(CLERK), tasks=1))
    desk.now_ms = NOON_MS
    arrive(desk, "r/1")
    desk.now_ms -= DAY_MS
    arrive(desk, "r/2")
    assert len(stops(desk.events)) == 1


def test_hops_of_a_day_name_who_handed_to_whom() -> None:
    """The one that is too much is escalated, with its chain."""
    desk = Desk(with_day(staff(CLERK), hops=3))
    desk.now_ms = NOON_MS
    arrive(desk, "r/1")
    arrive(desk, "r/2")
    (stop,) = stops(desk.events)
    assert stop.chain == ("acme/support/board", "acme/support/coordinator", "acme/support/clerk")
    assert "board → acme/support/coordinator → acme/support/clerk" in stop.why
    (asked,) = [send.body for send in desk.sends if isinstance(send.body, Escalate)]
    assert asked.plea.cause == "budget" and asked.request == "r" and isinstance(desk.refused(), HopRefused) and desk.folds()


def test_a_day_without_a_hop_left_is_seen_when_a_task_comes() -> None:
    """It is not taken up to stop at the board; Mai hears at once that nothing is left."""
    desk = Desk(with_day(staff(CLERK), hops=2))
    desk.now_ms = NOON_MS
    arrive(desk, "r/1")
    arrive(desk, "r/2")
    (stop,) = stops(desk.events)
    assert (stop.what, stop.used, stop.task) == ("hops", 2, "r/2") and [body.state for body in desk.results()] == ["escalated"]
    assert not [event for event in desk.events if isinstance(event, Hopped) and event.task == "r/2"] and desk.folds()


def test_time_of_a_day_is_reserved_up_to_the_deadline_and_given_back() -> None:
    """Together open tasks never may take more than the day has; who ends early leaves the rest to others."""
    desk = Desk(with_day(staff(CLERK), seconds=40))
    desk.now_ms = NOON_MS
    arrive(desk, "r/1")
    arrive(desk, "r/2")
    deadlines = {work.task: work.deadline_ms - desk.now_ms for work in desk.decider.state.work.values() if not work.parent}
    assert deadlines == {"r/1": 30_000, "r/2": 10_000}
    arrive(desk, "r/3")
    assert stops(desk.events)[0].what == "seconds"
    desk.now_ms += 1000
    desk.report("clerk", value={"cents": 1})
    arrive(desk, "r/4")
    assert max(work.deadline_ms for work in desk.decider.state.work.values()) - desk.now_ms == 29_000
    desk.now_ms += 3 * LIMIT_MS  # the process was away: what it could not have used is not booked
    desk.feed(Tick())
    assert desk.decider.state.day.ms == 40_000 and desk.folds()


# -- a request
def test_what_mai_grants_is_never_more_than_there_is() -> None:
    """Parts get shares, an ask the half of what is left; what was not used comes back and can be granted again."""
    whole = msgspec.structs.replace(organisation(), limits=Limits(hops=6, queue=8, request=RequestLimits(hops=10)))
    mai = Mai(whole)
    parts = tuple(PartPlan(name, f"ask {name}", "", {}, "") for name in ("support", "finance"))
    events, sends = mai.feed(Asked("R", "acme/client", "text", UNTIL_MS, False, parts))
    granted = [event.allow.hops for event in events if isinstance(event, BudgetGranted)]
    assert granted == [4, 4] and {send.body.allow for send in sends if isinstance(send.body, Task)} == {
        Amounts(4, UNBOUNDED, UNBOUNDED)
    }
    events, (sent,) = mai.crossing()
    assert isinstance(sent.body, Task) and sent.body.allow and sent.body.allow.hops == 1
    assert sent.body.allow == mai.state.granted["R"].open["R/1.1.m1"].allow
    answer = result("R/1.1.m1", by="acme/finance/clerk", value={"refund": 1}, used=Amounts(hops=1))
    events, (back,) = mai.feed(came("acme/finance", answer))
    assert any(isinstance(event, BudgetReturned) and event.used.hops == 1 for event in events)
    assert isinstance(back.body, Result) and back.body.used is None
    mai.feed(came("acme/finance", result("R/2", by="acme/finance/clerk", used=Amounts(hops=400))))
    assert mai.state.granted["R"].used == Amounts(hops=5)  # a department that says more is taken at what it was granted
    mai.feed(came("acme/support", result("R/1", used=Amounts(hops=2))))
    assert not mai.state.granted


def came(peer: str, body: Result) -> Returned:
    """A department answers."""
    return Returned(peer, body, 9, "ab")


def test_asks_of_a_request_are_counted_over_all_departments() -> None:
    """The one too many is refused with who asked whom."""
    whole = msgspec.structs.replace(organisation(), limits=Limits(hops=6, queue=8, request=RequestLimits(asks=1)))
    mai = Mai(whole)
    mai.asked("R", "support", "finance")
    mai.crossing()
    events, (back,) = mai.crossing("acme/finance", task="R/2.1.m1", contract="sales.name", input={"id": 1})
    (stop,) = stops(events)
    assert stop.what == "asks" and stop.chain[-2:] == ("acme/finance/clerk", "sales.name")
    assert isinstance(back.body, Result) and back.body.reason == stop.why


@pytest.mark.parametrize("asks", [0, 9])
def test_nothing_is_asked_for_a_request_that_has_ended(asks: int) -> None:
    """Whose task is still open is told why, whatever the budget: nobody counts it any more."""
    whole = msgspec.structs.replace(organisation(), limits=Limits(hops=6, queue=8, request=RequestLimits(asks=asks)))
    mai = Mai(whole)
    mai.asked()
    mai.crossing()
    mai.feed(came("acme/support", result("R/1")))
    assert not mai.state.requests and "R/1.1.m1" in mai.state.passages
    why = mai.refused("acme/finance", task="R/1.1.m1.1.m1", contract="sales.name", input={"id": 1})
    assert why == "its request has ended, and nobody counts any more what is asked for it"
    assert "no open task" in mai.refused(task="R/1.1.m1.1.m2")


def test_what_a_department_was_granted_counts_for_all_that_derives_from_the_task() -> None:
    """Hops and what they lead to take from one allowance; the result says how much was used."""
    desk = Desk(staff(CLERK))
    arrive(desk, "r/1", allow=Amounts(2, UNBOUNDED, UNBOUNDED))
    desk.report("clerk", value={"cents": 1})
    arrive(desk, "r/2", allow=Amounts(1, UNBOUNDED, UNBOUNDED))
    (asked,) = [send.body for send in desk.sends if isinstance(send.body, Escalate)]
    desk.feed(Raised(Ruled(asked.id, "r", asked.task, "refused", "", {}, "not today", "acme/person/ann")))
    first, second = desk.results()
    assert first.used == Amounts(hops=2) and second.used == Amounts(hops=1) and second.reason == "not today"
    assert "1 tasks handed on were left to support" in stops(desk.events)[0].why and desk.folds()


CALLS = (
    """
async def desk(ctx, task):
    done = 0
    try:
        for _ in range(5):
            done = await ctx.tool("count", what="x")
    except Refusal as refusal:
        return Answer(str(refusal), {"done": done})
"""
    + COUNTED
)


@pytest.mark.parametrize("what", ["steps", "tool_calls"])
def test_steps_and_calls_of_tools_end_where_the_allowance_does(tmp_path: Path, what: str) -> None:
    """What is refused is a step like others, so that the code can answer with what it has; a second life goes on counting."""
    limits = {"steps": UNBOUNDED, "tool_calls": UNBOUNDED, what: 3}
    lone = Lone(tmp_path, desk(tmp_path, CALLS, tools=(TOOL,)))
    lone.say(Task("r/1", "r", "acme/client", "", "desk", {}, 20, allow=Amounts(UNBOUNDED, **limits)), now_ms() + 60_000)
    lone.settle()
    (stop,) = stops(lone.seen)
    answer = next(body for body in lone.sent.values() if isinstance(body, Result))
    assert answer.value["done"] == 3 and "the budget of the request is spent" in answer.text and stop.what == what
    assert answer.used and getattr(answer.used, what) == 3
    assert (tmp_path / "home" / "files" / "x").read_text() == "xxx"


def test_calls_of_tools_of_a_day_are_on_the_disk_before_they_begin(tmp_path: Path) -> None:
    """Two tasks share what the day has, and a new life knows what the one before has taken."""
    whole = with_day(desk(tmp_path, CALLS, tools=(TOOL,)), tool_calls=7)
    lone = Lone(tmp_path, whole)
    lone.task()
    lone.settle()
    lone.ledger.close()
    lone = Lone(tmp_path, whole)
    lone.task(ident="r/2")
    lone.settle()
    assert (tmp_path / "home" / "files" / "x").read_text() == "x" * 7 and stops(lone.seen)[0].scope == "day"
    assert sum(isinstance(event, ToolCounted) for event in lone.seen) == 2


# -- the command
def test_mai_budgets_shows_what_is_taken_and_left(state: Path) -> None:
    """From the command line: a department's day, as its ledger has it, and a refusal beyond it."""
    day = "day = { tasks = 1, hops = 50, seconds = 600 }\n"
    limited = ORGANISATION.replace("[departments.finance]\n", f"[departments.finance]\n{day}")
    daemon = Daemon(state, limited + '\n[escalation]\nbudget = "no"\n').up()
    try:
        assert daemon.ask("refund order 5", "r1")["state"] == "answered"
        refused = daemon.ask("refund order 6", "r2")
        assert refused["state"] != "answered" and "the budget of finance for the day is spent: 1 of 1 tasks" in refused["answer"]
        ran = daemon.mai("budgets", "acme", "--json")
        assert ran.returncode == 0, ran.stderr
        taken = {one["what"]: one for one in json.loads(ran.stdout)["taken"] if one["scope"] == "acme/finance"}
        assert (taken["tasks"]["used"], taken["tasks"]["left"], taken["hops"]["used"]) == (1, 0, 2)
        assert taken["seconds"]["reserved"] == 0 and 599 < taken["seconds"]["left"] <= 600
        assert "acme/finance" in daemon.mai("budgets").stdout
        (stop,) = [body for _, body in daemon.journal("acme/finance", "budget.stopped")]
        assert stop["what"] == "tasks" and "! the budget of finance for the day is spent" in daemon.mai("trace", "r2").stdout
        assert daemon.mai("verify", "--deep").returncode == 0
    finally:
        daemon.down()
