"""Who is on duty: tasks go to who is on and has least, wait for the next shift, and change hands with what was done for them."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mai.agents.decider import Tick
from mai.agents.duty import ShiftAssigned, ShiftWaits, TaskHanded
from mai.agents.events import EffectIntent, Ended, Escalated, Event, Hopped, Stepped
from mai.agents.inputs import Arrived, Relieve, Rostered
from mai.agents.messages import Result, Task
from mai.agents.organisation import Agent, Limits, Organisation
from mai.agents.shift_messages import ShiftOrder
from mai.agents.shift_scope import Shift
from mai.daemon.examination import examine
from mai.daemon.invariants import Fact
from tests.lone import Lone
from tests.lone import desk as lone_desk
from tests.test_department import ANALYST, CLERK, Desk, coded, staff

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
MIDNIGHT_MS = 20_000 * DAY_MS  # in UTC
EARLY = Shift(name="early", operators=("clerk", "second"), begins="06:00", ends="14:00")
LATE = Shift(name="late", operators=("third",), begins="14:00", ends="22:00")
SECOND, THIRD = coded("second", "operator"), coded("third", "operator")


def on_shifts(*shifts: Shift, more: Limits | None = None) -> Organisation:
    """Support with three operators on these shifts, and an analyst who is on none."""
    limits = more or Limits(task_s=DAY_MS / 1000)
    whole = staff(CLERK, SECOND, THIRD, ANALYST, limits=limits)
    own = msgspec.structs.replace(whole.departments[0], shifts=shifts)
    return msgspec.structs.replace(whole, departments=(own, *whole.departments[1:]))


def at(hour: float, *shifts: Shift) -> Desk:
    """Support at that hour."""
    desk = Desk(on_shifts(*(shifts or (EARLY, LATE))))
    desk.now_ms = MIDNIGHT_MS + int(hour * HOUR_MS)
    return desk


def arrive(desk: Desk, ident: str = "r/1", hours: float = 20, contract: str = "support.refund", text: str = "") -> None:
    """A task with a deadline far away."""
    given = {"order": 1} if contract else {}
    desk.feed(Arrived(Task(ident, "r", "acme/client", contract, text, given, 20), desk.now_ms + int(hours * HOUR_MS)))


def of(desk: Desk, kind: type[Event]) -> list[Any]:
    """The records of a kind."""
    return [event for event in desk.events if isinstance(event, kind)]


def who(desk: Desk) -> list[str]:
    """The workers who have something, in the order in which they got it."""
    return [event.agent for event in of(desk, Hopped) if event.agent not in ("board", "coordinator")]


def sound(desk: Desk) -> bool:
    """No law of the journal is broken, but for those about messages, which such a desk does not journal; and it folds."""
    facts = [Fact("acme/support", seq, event) for seq, event in enumerate(desk.events, 1)]
    found = [one for one in examine(facts).findings if one.law in ("shifts", "guards", "budgets")]
    assert not found, found
    return desk.folds()


# -- whom a task goes to
def test_who_is_on_and_has_least_gets_the_next_task() -> None:
    """Of the team; at a tie who had his turn longest ago. Each choice is on record with what the others have."""
    desk = at(8)
    for number in range(4):
        arrive(desk, f"r/{number}")
    assert who(desk) == ["clerk", "second", "clerk", "second"]
    assert of(desk, ShiftAssigned)[1].why == "of those who are on clerk has 1 open, second has 0 open" and sound(desk)


def test_the_late_shift_gets_what_is_meant_for_the_early_one() -> None:
    """Who serves the contract is not on; who is does it."""
    desk = at(15)
    arrive(desk)
    assert who(desk) == ["third"] and "clerk is not on" in of(desk, ShiftAssigned)[0].why and sound(desk)


def test_without_shifts_nothing_changes() -> None:
    """All are always on, and nothing of it is on record."""
    desk = Desk(staff(CLERK, SECOND))
    desk.arrive("", "support.refund", {"order": 1})
    assert who(desk) == ["clerk"] and not of(desk, ShiftAssigned)


def test_who_stands_in_no_shift_is_always_on() -> None:
    """A specialist works at night."""
    desk = at(3)
    desk.fitting = ["analyst"]
    arrive(desk, contract="", text="how many")
    assert who(desk) == ["analyst"]


def test_who_fits_best_goes_first_among_those_who_have_as_little() -> None:
    """The order of the team counts only where nobody fits better."""
    desk = at(8)
    desk.fitting = ["second", "clerk"]
    arrive(desk, contract="", text="refunds")
    assert who(desk) == ["second"]


# -- nobody is on
def test_a_task_waits_for_the_next_shift() -> None:
    """With the coordinator, on record until when; who is on then gets it, and the asker notices nothing."""
    desk = at(23)
    arrive(desk)
    (waits,) = of(desk, ShiftWaits)
    assert (waits.agent, waits.until_ms) == ("coordinator", MIDNIGHT_MS + DAY_MS + 6 * HOUR_MS) and not who(desk)
    desk.feed(Relieve())
    assert desk.decider.next_deadline_ms() == waits.until_ms and not who(desk)
    desk.now_ms = waits.until_ms
    desk.feed(Tick(), Relieve())
    assert who(desk) == ["clerk"] and not desk.decider.state.parked
    desk.report("clerk", value={"cents": 1})
    assert desk.results()[0].state == "answered" and sound(desk)


def test_what_cannot_wait_is_given_up_to_those_above() -> None:
    """Where the next shift begins after the deadline, with who is not on."""
    desk = at(23)
    arrive(desk, hours=2)
    assert not who(desk) and not of(desk, ShiftWaits)
    assert "the next shift begins after its deadline" in of(desk, Escalated)[0].reason and sound(desk)


def test_a_step_waits_for_the_next_shift_too() -> None:
    """An agent that asks its coordinator for somebody of the shift waits as for any answer."""
    desk = at(23)
    desk.fitting = ["analyst"]
    arrive(desk, contract="", text="how many")
    desk.fitting = ["third"]
    desk.ask("analyst", "coordinator", text="count")
    assert of(desk, ShiftWaits) and not of(desk, Stepped)
    desk.now_ms += 8 * HOUR_MS
    desk.feed(Relieve())
    assert who(desk)[1:] == ["clerk"] and sound(desk)


# -- a person's word
def order(desk: Desk, agent: str, how: str, until_ms: int = 0) -> None:
    """What Mai brings of it."""
    desk.feed(Rostered(ShiftOrder("o", agent, how, until_ms, "ann", 1000, "ill", desk.now_ms)))


def test_a_person_goes_before_the_calendar_until_the_time_is_over() -> None:
    """On at night, off by day; then the calendar counts again."""
    desk = at(3)
    order(desk, "third", "on", desk.now_ms + HOUR_MS)
    arrive(desk)
    assert who(desk) == ["third"]
    desk.now_ms += 4 * HOUR_MS
    order(desk, "clerk", "off")
    arrive(desk, "r/2")
    assert who(desk)[1:] == ["second", "second"]  # third has gone, too, and what he had goes on
    assert "clerk is off by ann: ill" in of(desk, ShiftAssigned)[-1].why
    order(desk, "clerk", "")
    arrive(desk, "r/3")
    assert who(desk)[3:] == ["clerk"] and sound(desk)


def test_who_is_paused_gets_nothing_and_comes_back() -> None:
    """Also somebody in no shift: his backups have his tasks; without one they wait until he is back."""
    desk = Desk(staff(coded("clerk", "operator", "second"), SECOND))
    order(desk, "clerk", "pause")
    desk.arrive("", "support.refund", {"order": 1})
    order(desk, "second", "pause")
    desk.arrive("", "support.refund", {"order": 2}, ident="r/2")
    assert who(desk) == ["second"] and of(desk, ShiftWaits)[0].until_ms == 0
    order(desk, "clerk", "")
    assert who(desk)[-1] == "clerk" and sound(desk)


# -- hand-over
def test_a_running_task_changes_hands_when_the_shift_ends() -> None:
    """The successor has the task with what was done; who had it has an end; the answer goes the way it came."""
    desk = at(13.9)
    arrive(desk)
    first = desk.work("clerk")
    desk.feed_steps(first, ("conclude", {"subject": "a", "attribute": "b", "value": 1}), ("recall", {"key": "k"}))
    desk.now_ms += HOUR_MS
    desk.feed(Relieve())
    (handed,) = of(desk, TaskHanded)
    (hop,) = [event for event in of(desk, Hopped) if event.handover]
    assert (handed.agent, handed.to, hop.task, hop.parent) == ("clerk", "third", handed.successor, first.parent)
    assert hop.handover.by == "acme/support/clerk" and [step.call for step in hop.handover.steps] == ["conclude", "recall"]
    assert hop.handover.claims[0]["subject"] == "a" and hop.deadline_ms == first.deadline_ms and hop.input == {"order": 1}
    assert [event.agent for event in of(desk, Ended)] == ["clerk"] and not desk.results()
    desk.report("third", value={"cents": 5})
    assert desk.results()[0].value == {"cents": 5} and sound(desk)


def test_who_is_in_the_middle_of_a_step_ends_it_first() -> None:
    """What another does for it goes on, and its answer goes with the task."""
    desk = at(13.9)
    arrive(desk)
    desk.ask("clerk", "sales.pipeline", {"quarter": 1})
    desk.now_ms += HOUR_MS
    desk.feed(Relieve())
    assert not of(desk, TaskHanded) and desk.decider.roster.leaving
    desk.answered("r/1.1.1.m1", {"total": 7})
    desk.feed(Relieve())
    (hop,) = [event for event in of(desk, Hopped) if event.handover]
    assert hop.handover.steps[0].value == {"total": 7} and sound(desk)


def test_what_has_changed_something_stays_with_who_did_it() -> None:
    """It would be done again."""
    desk = at(13.9)
    arrive(desk)
    work = desk.work("clerk")
    intent = EffectIntent(
        request="r",
        task=work.task,
        agent="clerk",
        n=1,
        key=f"{work.task}/1",
        tool="pay",
        effect="idempotent",
        given={"tool": "pay"},
    )
    desk.put(intent, Stepped(request="r", task=work.task, agent="clerk", n=1, call="tool", value=1))
    desk.now_ms += HOUR_MS
    desk.feed(Relieve())
    assert not of(desk, TaskHanded)
    desk.report("clerk", value={"cents": 5})
    assert desk.results()[0].state == "answered" and sound(desk)


def test_who_has_no_colleague_on_keeps_what_he_has() -> None:
    """After the last shift of the day he finishes it."""
    desk = at(21.9)
    arrive(desk)
    desk.now_ms += HOUR_MS
    desk.feed(Relieve())
    assert who(desk) == ["third"] and not of(desk, TaskHanded)


def test_a_pause_hands_over_at_once() -> None:
    """All that the agent has, each to who has least."""
    desk = at(8)
    for number in range(3):
        arrive(desk, f"r/{number}")
    order(desk, "clerk", "pause")
    assert [(event.agent, event.to) for event in of(desk, TaskHanded)] == [("clerk", "second")] * 2
    assert {work.agent for work in desk.decider.state.work.values()} == {"board", "coordinator", "second"} and sound(desk)


CODE = """
async def desk(ctx, task):
    await ctx.remember("seen", task.text)
    reply = await ctx.ask("sales.pipeline", quarter=1)
    return Answer("desk", {"total": reply.value["total"]})


async def other(ctx, task):
    done = {step.call: step.value for step in task.handover.steps}
    return Answer(f"other after {task.handover.by}", {"total": done["ask"]["total"]})
"""


@pytest.mark.parametrize("dies", [False, True])
def test_code_goes_on_with_what_its_colleague_had(tmp_path: Path, dies: bool) -> None:
    """In a real department: paused while it waits, over a kill too, the other has the answer that came, once."""
    colleague = Agent(name="other", rank="operator", handler="w.py:other")
    whole = lone_desk(tmp_path, CODE, colleague)
    calendar = (Shift(name="all", operators=("desk", "other")),)
    whole = msgspec.structs.replace(
        whole, departments=(msgspec.structs.replace(whole.departments[0], shifts=calendar), *whole.departments[1:])
    )
    lone = Lone(tmp_path, whole)
    lone.task()
    lone.settle()
    asked = next(body for body in lone.sent.values() if isinstance(body, Task))
    lone.say(ShiftOrder("o", "desk", "pause", 0, "ann", 1000))
    lone.settle()
    if dies:
        lone.ledger.close()
        lone = Lone(tmp_path, whole)
        lone.settle()
    assert not [event for event in lone.seen if isinstance(event, TaskHanded)]
    lone.reply(asked, {"total": 9})
    lone.settle()
    (result,) = [body for body in lone.sent.values() if isinstance(body, Result)]
    assert result.text == "other after acme/support/desk" and result.value == {"total": 9}
