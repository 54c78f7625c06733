"""Loops are stopped where they go round, with their chain on record; what is done again honestly is not."""

import msgspec

from mai.agents.guard_scope import Guards
from mai.agents.guards import GuardStopped, ordinal
from mai.agents.inputs import Answered, Arrived, Call, Free, Poisoned
from mai.agents.messages import Result, Task
from mai.agents.order_messages import Release
from mai.daemon.loops import chain
from tests.test_department import ANALYST, CLERK, LIMIT_MS, PORTER, Desk, coded, staff
from tests.test_mai import Mai

SECOND = coded("second", "specialist")


def stops(desk: Desk) -> list[GuardStopped]:
    """What was stopped."""
    return [event for event in desk.events if isinstance(event, GuardStopped)]


def test_two_agents_that_ask_each_other_the_same_are_stopped_with_their_chain() -> None:
    """The third time with the same input; the record and the refusal name who handed to whom."""
    desk = Desk(staff(ANALYST, SECOND))
    desk.fitting = ["analyst", "second"]
    desk.arrive("what now")
    for _ in range(10):
        work = max(desk.decider.state.work.values(), key=lambda one: len(one.task))
        if work.agent not in ("analyst", "second"):
            break
        desk.feed(Call(work.task, 1, "ask", {"to": "coordinator", "text": "what now", "input": {}}))
        if stops(desk):
            break
    (stop,) = stops(desk)
    assert (stop.guard, stop.count, stop.limit) == ("same", 3, 3)
    assert stop.chain[0] == "acme/support/analyst" and stop.chain[1] == "acme/support/second"
    assert stop.why in desk.refused().rule and "third time with the same input" in stop.why and desk.folds()


def test_one_task_that_asks_the_same_for_ever_is_stopped() -> None:
    """Whatever it is answered: the fifth ask of the same is refused, another one is not."""
    desk = Desk(staff(CLERK, PORTER))
    desk.fitting = ["clerk"]
    desk.arrive("hello")
    for n in range(1, 5):
        desk.ask("clerk", "sales.pipeline", {"quarter": 2}, n)
        desk.feed(Answered(Result(f"{desk.work('clerk').task}.m{n}", "r", "failed", "", {}, "no", "acme/sales/board")))
    assert not stops(desk)
    desk.ask("clerk", "sales.pipeline", {"quarter": 2}, 5)
    (stop,) = stops(desk)
    assert stop.guard == "repeats" and stop.chain == ("acme/support/clerk", "sales.pipeline")
    assert desk.stepped().refused == stop.why
    desk.ask("clerk", "sales.pipeline", {"quarter": 3}, 6)
    assert len(stops(desk)) == 1 and desk.folds()


def test_what_comes_back_through_another_department_is_seen_by_the_first() -> None:
    """The ids of tasks say what derives from what: the chain names the contract that was asked in between."""
    desk = Desk(staff(CLERK))
    ident = "r/1"
    for _ in range(3):
        desk.arrive("", "support.refund", {"order": 1}, ident=ident)
        work = max(desk.decider.state.work.values(), key=lambda one: len(one.task))
        if work.agent == "clerk":
            desk.feed(Call(work.task, 1, "ask", {"to": "sales.pipeline", "text": "", "input": {"quarter": 1}}))
        ident = next((send.id for send in reversed(desk.sends) if isinstance(send.body, Task)), "") + ".1.1.m1"  # sales asks
    (stop,) = stops(desk)
    assert stop.chain[:4] == ("acme/support/clerk", "sales.pipeline", "acme/support/clerk", "sales.pipeline")
    assert [result.state for result in desk.results()] == ["refused"] and stop.why in desk.results()[0].reason


def test_an_agent_to_whom_its_task_comes_back_again_and_again_is_stopped_whatever_it_says() -> None:
    """Two who word their question anew each time go to and fro only so often."""
    whole = msgspec.structs.replace(staff(ANALYST, SECOND), guards=Guards(returns=3))
    desk = Desk(whole)
    desk.fitting = ["analyst", "second"]
    desk.arrive("what now")
    for number in range(20):
        work = max(desk.decider.state.work.values(), key=lambda one: len(one.task))
        if stops(desk):
            break
        desk.feed(Call(work.task, 1, "ask", {"to": "coordinator", "text": f"question {number}", "input": {}}))
    (stop,) = stops(desk)
    assert stop.guard == "returns" and stop.count == 3 and "third time that it comes back" in stop.why


def test_mai_stops_departments_that_ask_each_other_the_same() -> None:
    """The third ask of the same contract with the same input in one chain is refused, with who asked whom."""
    mai = Mai()
    mai.asked()
    task, ring = "R/1", [("acme/support", "finance.pay"), ("acme/finance", "support.tell")] * 3
    stopped: GuardStopped | None = None
    for peer, contract in ring:
        task += ".1.m1"
        events, _ = mai.crossing(peer, task=task, contract=contract, hops=10)
        stopped = next((event for event in events if isinstance(event, GuardStopped)), None)
        if stopped:
            break
    assert stopped and stopped.guard == "same" and stopped.agent == "mai"
    assert stopped.chain[-4:] == ("acme/finance/clerk", "support.tell", "acme/support/clerk", "finance.pay")
    body = Task(task, "R", "acme/support/clerk", "finance.pay", "", {"order": 5}, 3)
    assert [ask.contract for ask in chain(mai.decider, body)][-2:] == ["support.tell", "finance.pay"]


def test_a_ring_of_new_questions_ends_at_the_last_hop_with_its_chain() -> None:
    """Where the hops of a request are used up the record says who handed to whom."""
    desk = Desk(staff(CLERK))
    desk.arrive("", "support.refund", {"order": 1}, hops=2)
    (stop,) = stops(desk)
    assert stop.guard == "hops" and stop.chain[-1] == "acme/support/clerk" and "handed on" in desk.refused().rule


def test_honest_repetition_is_not_stopped() -> None:
    """What comes back to its board for a correction, what a backup has, and what leaves quarantine is not counted."""
    whole = msgspec.structs.replace(staff(coded("clerk", "operator", "porter"), PORTER), guards=Guards(same=2, repeats=2))
    desk = Desk(whole)
    desk.arrive("", "support.refund", {"order": 1})
    desk.report("clerk", "failed", reason="no")
    assert "coordinator porter" in desk.hops()
    for correction in ("r/1c1", "r/1c2"):
        body = Task(correction, "r", "acme/client", "support.refund", "", {"order": 1}, 20, correction="it says too much")
        desk.feed(Arrived(body, desk.now_ms + LIMIT_MS))
    work = next(one for one in desk.decider.state.work.values() if one.agent == "clerk")
    desk.feed(Call(work.task, 1, "ask", {"to": "sales.pipeline", "text": "", "input": {"quarter": 1}}))
    desk.feed(Poisoned(work.task))
    desk.feed(Free(Release("o", "r", work.task, "retry", "root")))
    assert not stops(desk) and desk.folds()


def test_each_stop_reads_as_a_sentence() -> None:
    """Numbers are said as people say them."""
    said = [ordinal(n) for n in (2, 3, 7, 11, 21, 22, 112)]
    assert said == ["second", "third", "7th", "11th", "21st", "22nd", "112th"]
