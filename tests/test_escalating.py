"""Escalations inside a department: up the ranks with all that was tried, back down the same way, over any death."""

from pathlib import Path

import pytest

from mai.agents.escalation_messages import Parked, Withdrawn
from mai.agents.events import EffectIntent, Ended, Escalated, Hopped, Stepped
from mai.agents.messages import Task
from mai.agents.organisation import Agent, Limits, Tool
from mai.agents.shell import now_ms
from tests.lone import COUNTED, Lone, desk, organisation

ASKS = """
async def desk(ctx, task):
    reply = await ctx.escalate("too hard")
    return Answer(f"as {reply.by} says: {reply.text}", {"cents": reply.value.get("cents", 0)} if task.contract else {})
"""
MANY = """
async def senior(ctx, task):
    raise Refusal(f"not I; before me: {[one.who.split('/')[2] for one in task.tried]}")
async def junior(ctx, task):
    if "helps" in task.text:
        return Answer(f"{task.escalated}? so: {len(task.tried)}", {})
    raise ValueError("the junior is ill")
"""
SENIOR = Agent(name="senior", rank="specialist", skills=("desk",), handler="w.py:senior")
JUNIOR = Agent(name="junior", rank="specialist", skills=("desk", "somebody helps"), handler="w.py:junior")


def test_the_answer_comes_down_and_the_code_goes_on(tmp_path: Path) -> None:
    """Worker, coordinator, board, Mai; the person's words are the step's outcome, and the code's answer is its own."""
    lone = Lone(tmp_path, desk(tmp_path, ASKS))
    asked = lone.given_up()
    assert [(hop.sender, hop.agent) for hop in lone.of_kind(Hopped)][-2:] == [("desk", "coordinator"), ("coordinator", "board")]
    assert (asked.plea.agent, asked.plea.reason, asked.plea.cause) == ("acme/support/desk", "too hard", "choice")
    lone.rule("pay it")
    lone.settle()
    assert (lone.result().text, lone.result().by) == ("as acme/person/ann says: pay it", "acme/support/desk")
    lone.check()
    lone.close()


def test_killed_at_every_turn_a_person_is_asked_once(tmp_path: Path) -> None:
    """Ids derive from the cause: a re-run finds its step on record, and a second answer finds nobody who waits."""
    lone = Lone(tmp_path, desk(tmp_path, ASKS + MANY, SENIOR))
    lone.task()
    for _ in range(8):
        lone.turn()
        lone = lone.again()
    lone.settle()
    (record,) = [record for record in lone.ledger.records(kind="message.sent") if '"is":"escalate"' in lone.ledger.body(record)]
    ident = lone.ledger.body(record).partition('"id":"')[2].partition('"')[0]
    from mai.agents.escalation_messages import Ruled

    for text in ("yes", "no"):
        lone.say(Ruled(ident, "r", ident.rpartition(".e")[0], "answered", text, {}, "", "acme/person/ann"))
        lone.turn()
        lone = lone.again()
    lone.settle()
    (sent,) = [record for record in lone.ledger.records(kind="message.sent") if '"is":"result"' in lone.ledger.body(record)]
    assert "as acme/person/ann says: yes" in lone.ledger.body(sent)
    lone.check()
    lone.close()


def test_others_are_tried_before_a_person_and_told_of_each_other(tmp_path: Path) -> None:
    """A coordinator gives it to those whom it fits; each sees what was tried, and the person sees it all."""
    lone = Lone(tmp_path, desk(tmp_path, ASKS + MANY, SENIOR, JUNIOR))
    tried = [(one.who.rpartition("/")[2], one.why) for one in lone.given_up().plea.tried]
    assert tried[0][0] == "desk" and sorted(who for who, _ in tried[1:3]) == ["junior", "senior"]
    assert [who for who, _ in tried[3:]] == ["coordinator", "board"]
    assert dict(tried)["junior"] == "junior failed: ValueError: the junior is ill"
    assert dict(tried)["senior"].startswith("not I; before me: ['desk'")
    lone.check()
    lone.close()


def test_another_agent_may_solve_it(tmp_path: Path) -> None:
    """Its answer goes to the code that gave it up, and no person hears of it."""
    lone = Lone(tmp_path, desk(tmp_path, ASKS + MANY, JUNIOR))
    lone.task("somebody helps", ranked=("desk",))
    lone.settle()
    result = lone.result()
    assert result.text == "as acme/support/junior says: too hard? so: 1" and not lone.escalations()
    lone.close()


def test_a_refusal_comes_down_as_one(tmp_path: Path) -> None:
    """The code hears why, and may answer for itself."""
    code = """
    async def desk(ctx, task):
        try: await ctx.escalate("too hard")
        except Refusal as refusal: return f"{refusal.state}: {refusal.reason}"
    """
    lone = Lone(tmp_path, desk(tmp_path, code))
    lone.given_up()
    lone.rule(state="refused", reason="not without a receipt")
    lone.settle()
    assert lone.result().text == "refused: not without a receipt"
    lone.close()


def test_code_that_does_not_look_at_the_answer_does_nothing_more(tmp_path: Path) -> None:
    """What was written as if `escalate` did not return calls no tool behind it: the answer is the task's."""
    code = COUNTED + 'async def desk(ctx, task):\n    await ctx.escalate("too much")\n    await ctx.tool("count", what="x")\n'
    lone = Lone(tmp_path, desk(tmp_path, code, tools=(Tool(name="count", handler="w.py:count", effect="opaque"),)))
    lone.given_up()
    lone.rule("leave it")
    lone.settle()
    assert (lone.result().text, lone.result().by) == ("leave it", "acme/person/ann")
    assert not lone.of_kind(EffectIntent)
    lone.close()


@pytest.mark.parametrize("end", ["deadline", "another answer", "cancel"])
def test_nobody_is_kept_busy_for_what_nobody_waits_for(tmp_path: Path, end: str) -> None:
    """When its task ends otherwise the question is taken back, once, and those on its way end with it."""
    code = 'async def desk(ctx, task):\n    asked = ctx.escalate("too hard")\n'
    code += "    await asked\n" if end != "another answer" else "    return 'never mind'\n"
    lone = Lone(tmp_path, desk(tmp_path, code))
    lone.task(limit_ms=300 if end == "deadline" else 60_000)
    lone.settle()
    if end == "cancel":
        from mai.agents.order_messages import Cancel

        lone.say(Cancel("r", "ann", ""))
    lone.expire()
    lone.turn()
    (asked,) = lone.escalations()
    assert [body.id for body in lone.sent.values() if isinstance(body, Withdrawn)] == [asked.id]
    assert len(lone.of_kind(Ended)) == len(lone.of_kind(Hopped)) == 5
    lone.rule("too late")
    lone.settle()
    lone.check()
    lone.close()


def test_a_person_gives_the_whole_chain_more_time(tmp_path: Path) -> None:
    """What waits ends before what waits for it; without a word of Mai's it keeps its time."""
    lone = Lone(tmp_path, desk(tmp_path, ASKS, limits=Limits(task_s=5)))
    asked = lone.given_up()
    until_ms = now_ms() + 3_600_000
    lone.say(Parked(asked.id, "r", asked.task, "person", until_ms - 2000, until_ms))
    lone.turn()
    chain = [lone.decider.state.work[asked.task]]
    while chain[-1].parent:
        chain.append(lone.decider.state.work[chain[-1].parent])
    assert [work.deadline_ms for work in chain] == [until_ms + n for n in range(5)]
    lone.check()
    lone = lone.again()
    assert lone.decider.next_deadline_ms() == until_ms
    lone.close()


@pytest.mark.parametrize("takes", [True, False])
def test_a_board_of_code_decides_if_it_is_said_to(tmp_path: Path, takes: bool) -> None:
    """Code that knows nothing of escalations is not given any; one that does sees what was tried."""
    code = ASKS + "async def board(ctx, task):\n    if not task.tried: return (await ctx.hand('coordinator')).text\n"
    code += "    return f'{len(task.tried)} have tried {task.escalated}'\n"
    organisation_ = desk(tmp_path, code)
    department = organisation_.departments[0]
    board = Agent(name="board", rank="board", handler="w.py:board", escalations=takes)
    agents = tuple(board if one.rank == "board" else one for one in department.agents)
    import msgspec

    changed = msgspec.structs.replace(department, agents=agents)
    lone = Lone(tmp_path, msgspec.structs.replace(organisation_, departments=(changed, *organisation_.departments[1:])))
    lone.task()
    lone.settle()
    if takes:
        assert lone.result().text == "as acme/support/board says: 2 have tried too hard"
    assert bool(lone.escalations()) != takes
    lone.close()


def test_what_a_step_asks_of_others_goes_on_meanwhile(tmp_path: Path) -> None:
    """Several at once: each has its own outcome, whichever comes first."""
    code = """
    async def desk(ctx, task):
        first, second = ctx.escalate("one"), ctx.ask("sales.pipeline", quarter=1)
        third = ctx.escalate("three")
        one, two, three = await ctx.all(first, second, third)
        return f"{one.text} {two.value['total']} {three.text}"
    """
    lone = Lone(tmp_path, desk(tmp_path, code))
    lone.task()
    lone.settle()
    assert len(lone.escalations()) == 2
    lone.rule("c")
    lone.reply(next(body for body in lone.sent.values() if isinstance(body, Task)), {"total": 5})
    lone.settle()
    first = lone.escalations()[0]
    lone.sent = {1: first}
    lone.rule("a")
    lone.settle()
    assert next(iter(lone.of_kind(Ended)[-1:])).text == "a 5 c"
    assert [event.n for event in lone.of_kind(Stepped) if event.call == "escalate"] == [3, 1]
    lone.check()
    lone.close()


def test_a_program_goes_on_with_the_answer(tmp_path: Path) -> None:
    """The call gives what was answered, or why not."""
    script = """#!/bin/sh
    read task
    echo '{"call": "escalate", "reason": "too hard"}'
    read answer
    echo "{\\"value\\": {\\"heard\\": $answer}}"
    """
    program = tmp_path / "clerk.sh"
    program.write_text("\n".join(line.strip() for line in script.splitlines()))
    program.chmod(0o755)
    lone = Lone(tmp_path, organisation(tmp_path, Agent(name="desk", rank="operator", command=("clerk.sh",))))
    lone.given_up()
    lone.rule("pay", {"cents": 7})
    lone.settle()
    assert lone.result().value == {"heard": {"value": {"cents": 7}, "text": "pay", "by": "acme/person/ann"}}
    lone.close()


def test_without_another_hand_each_rank_is_on_record(tmp_path: Path) -> None:
    """Who gave it up, at which step, to whom."""
    lone = Lone(tmp_path, desk(tmp_path, ASKS))
    lone.given_up()
    said = [(event.agent, event.n, event.to) for event in lone.of_kind(Escalated)]
    assert said == [("desk", 1, "coordinator"), ("coordinator", 0, "board"), ("board", 0, "mai")]
    lone.close()
