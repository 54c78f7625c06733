"""Who stands in for whom inside a department: by breakers before, by failures after; never twice for what changed something."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mai.agents import fallback
from mai.agents.breaker import FAILURES, FIRST_MS, WINDOW
from mai.agents.escalation_messages import Escalate
from mai.agents.events import Ended, Escalated, Hopped
from mai.agents.fallback import BreakerNoted, BreakerProbed, FallbackReturned, FallbackSwitched
from mai.agents.organisation import Agent
from tests import lone as lones
from tests.lone import TOOL, Lone, desk

CODE = """
BROKEN = ("broken",)
async def desk(ctx, task):
    if task.text.startswith(BROKEN): raise ValueError("the desk is broken")
    if task.text.startswith("touch"):
        await ctx.tool("count", what="touched")
        raise ValueError("after it had done it")
    if task.text.startswith("no"): raise Refusal("not for us")
    if task.text.startswith("asks"): await ctx.ask("sales.pipeline", quarter=1)
    return Answer(f"desk did {task.text}", {"cents": 1} if task.contract else {})
async def clerk(ctx, task):
    if task.text.endswith("all"): raise ValueError("the clerk is ill")
    return Answer(f"clerk did {task.text}", {"cents": 2} if task.contract else {})
"""
KEY = fallback.key("agent", "desk")


@pytest.fixture
def department(tmp_path: Path) -> Iterator[Callable[..., Lone]]:
    """A desk with a clerk behind it (or nobody), and a tool that changes something."""
    begun: list[Lone] = []

    def make(*, backups: tuple[str, ...] = ("clerk",), **more: Any) -> Lone:
        clerk = Agent(name="clerk", rank="operator", handler="w.py:clerk", quality="by hand, without the price list")
        whole = desk(tmp_path, CODE + lones.COUNTED, clerk, tools=(TOOL,))
        while begun:  # an earlier life
            begun.pop().close()
        first = whole.departments[0]
        found = first.agent("desk")
        assert found is not None
        mine = msgspec.structs.replace(found, backups=backups, skills=("broken", "touch", "asks"), **more)
        agents = tuple(mine if agent.name == "desk" else agent for agent in first.agents)
        support = msgspec.structs.replace(first, agents=agents)
        made = Lone(tmp_path, msgspec.structs.replace(whole, departments=(support, *whole.departments[1:])))
        begun.append(made)
        return made

    yield make
    for one in begun:
        one.check()
        one.close()


def ask(lone: Lone, text: str, number: int) -> Any:
    """One more task, for the desk by its contract."""
    ident = f"r/{number}"
    lone.task(text, "support.refund", {"order": number}, ident=ident, ranked=("desk",))
    lone.settle()
    return lone.result(ident)


def given_up(lone: Lone, text: str, number: int) -> Escalate:
    """The same, of a task that nobody can do."""
    lone.task(text, "support.refund", {"order": number}, ident=f"r/{number}", ranked=("desk",))
    lone.settle()
    return lone.escalations()[-1]


def shut(lone: Lone) -> None:
    """Let the desk fail until it is not asked any more."""
    for number in range(1, FAILURES + 1):
        ask(lone, "broken", number)


def test_what_fails_goes_to_the_backup_with_a_receipt(department: Callable[..., Lone]) -> None:
    """The asker sees who answered; the receipt says on what evidence, and what is given up."""
    lone = department()
    result = ask(lone, "broken", 1)
    assert (result.state, result.by, result.value) == ("answered", "acme/support/clerk", {"cents": 2})
    (receipt,) = lone.of_kind(FallbackSwitched)
    assert (receipt.what, receipt.name, receipt.to) == ("agent", "desk", "clerk")
    assert "the desk is broken" in receipt.evidence and receipt.gives_up == "by hand, without the price list"
    assert ask(lone, "fine", 2).by == "acme/support/desk"
    (returned,) = lone.of_kind(FallbackReturned)
    assert (returned.name, returned.to, returned.switches) == ("desk", "clerk", 1)


def test_an_open_breaker_sends_tasks_to_the_backup_at_once(department: Callable[..., Lone]) -> None:
    """The desk is not even begun, and that survives a restart of the process."""
    lone = department()
    shut(lone)
    lone = department()
    assert ask(lone, "fine", 10).by == "acme/support/clerk"
    assert [hop.agent for hop in lone.of_kind(Hopped)] == ["board", "coordinator", "clerk"]
    (receipt,) = lone.of_kind(FallbackSwitched)
    assert f"{FAILURES} failures in a row" in receipt.evidence


def test_one_probe_at_a_time(department: Callable[..., Lone]) -> None:
    """When the pause is over one task tries; others go to the backup until it has answered, then all go to the desk."""
    lone = department()
    shut(lone)
    lone.decider.state.breakers[KEY].until_ms -= FIRST_MS
    lone.task("asks", "support.refund", {"order": 1}, ident="r/11")
    lone.settle()
    (probe,) = lone.of_kind(BreakerProbed)
    assert ask(lone, "fine", 12).by == "acme/support/clerk"
    (asked,) = [body for body in lone.asked() if getattr(body, "contract", "") == "sales.pipeline"]
    lone.reply(asked, {"total": 1})
    lone.settle()
    assert lone.result("r/11").by == "acme/support/desk" and probe.attempt.startswith("r/11")
    assert lone.of_kind(FallbackReturned)[-1].name == "desk" and KEY not in lone.decider.state.breakers
    assert ask(lone, "fine", 13).by == "acme/support/desk"
    lone.decider.state.changes.clear()  # the pause was not waited for


def test_nobody_takes_over_what_has_changed_something(department: Callable[..., Lone]) -> None:
    """A failure after an effect is told as it is; the backup does not do it again."""
    lone = department()
    result = ask(lone, "touch", 1)
    assert result.state == "failed" and "would be done again" in result.reason
    assert not lone.of_kind(FallbackSwitched) and "clerk" not in [hop.agent for hop in lone.of_kind(Hopped)]


def test_a_refusal_is_an_answer(department: Callable[..., Lone]) -> None:
    """What an agent refuses no other is asked, and it speaks against nobody."""
    lone = department()
    assert ask(lone, "no", 1).state == "refused"
    assert not lone.of_kind(FallbackSwitched) and not lone.of_kind(BreakerNoted)


def test_a_chain_that_is_used_up_escalates(department: Callable[..., Lone]) -> None:
    """With the evidence of every link; nothing is silent."""
    lone = department()
    reason = given_up(lone, "broken all", 1).plea.reason
    assert "desk: desk failed: ValueError: the desk is broken" in reason and "the clerk is ill" in reason
    assert [event.agent for event in lone.of_kind(Escalated)] == ["coordinator", "board"]


def test_an_open_breaker_without_backups_escalates_at_once(department: Callable[..., Lone]) -> None:
    """The task is not given to who fails again and again, and the answer says why."""
    lone = department(backups=())
    shut(lone)
    assert f"{FAILURES} failures in a row" in given_up(lone, "fine", 10).plea.reason
    assert [event.agent for event in lone.of_kind(Ended)].count("desk") == FAILURES


def test_another_s_failure_does_not_count(department: Callable[..., Lone]) -> None:
    """Who only passes on that another department failed is no worse for it."""
    lone = department()
    for number in range(1, FAILURES + 1):
        lone.task("asks", "support.refund", {"order": 1}, ident=f"r/{number}")
        lone.settle()
        asked = [body for body in lone.asked() if getattr(body, "contract", "") == "sales.pipeline"][-1]
        lone.reply(asked, {}, "failed", "sales is down")
        lone.settle()
    assert not lone.of_kind(BreakerNoted) and not lone.decider.state.breakers[KEY].until_ms


def test_the_slow_share_opens(department: Callable[..., Lone]) -> None:
    """More than half of the last calls over the limit: the backup is quicker."""
    lone = department(slow_s=0.000_001)
    for number in range(1, WINDOW + 1):
        lone.task("fine", "support.refund", {"order": 1}, ident=f"r/{number}")
        work = next(one for one in lone.decider.state.work.values() if one.agent == "desk")
        work.since_ms -= 1000
        lone.settle()
    assert ask(lone, "fine", WINDOW + 1).by == "acme/support/clerk"
    assert "were slow" in lone.of_kind(FallbackSwitched)[0].evidence


def test_the_backup_has_time(department: Callable[..., Lone]) -> None:
    """Who has backups and no time of its own gets half of what is left."""
    lone = department()
    lone.task("fine", "support.refund", {"order": 1}, limit_ms=10_000)
    hop = next(hop for hop in lone.of_kind(Hopped) if hop.agent == "desk")
    above = next(hop for hop in lone.of_kind(Hopped) if hop.agent == "coordinator")
    assert hop.deadline_ms - hop.at_ms <= (above.deadline_ms - above.at_ms + 1) // 2
    lone.settle()
