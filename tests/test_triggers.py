"""What goes up without a word of an agent's code: refusals, deadlines, doubts; how far, and what comes back."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mai.agents.escalation_scope import Escalations
from mai.agents.events import Ended, Escalated, Hopped
from mai.agents.messages import Result, Task
from mai.agents.organisation import Agent, Organisation
from tests.lone import COUNTED, TOOL, Lone, desk

FOREIGN = 'async def desk(ctx, task):\n    await ctx.tool("safe")\n'
JUNIOR = Agent(name="junior", rank="specialist", skills=("desk",), handler="w.py:junior")
HELPS = 'async def junior(ctx, task):\n    return f"{task.tried[0].what}: {task.escalated}"\n'
SLOW = "async def desk(ctx, task):\n    await ctx.ask('sales.pipeline', quarter=1)\n"
REDS = "async def red(ctx, task): return 'red'\nasync def blue(ctx, task): return 'blue'\n"
PAIR = tuple(Agent(name=name, rank="specialist", skills=(f"parcels {name}",), handler=f"w.py:{name}") for name in ("red", "blue"))


def settled(organisation: Organisation, agents: Any = None, **settings: Any) -> Organisation:
    """The same organisation with these settings, and its agents as `agents` makes them."""
    support, *others = organisation.departments
    if agents:
        support = msgspec.structs.replace(support, agents=tuple(map(agents, support.agents)))
    return msgspec.structs.replace(organisation, departments=(support, *others), escalation=Escalations(**settings))


def ended(lone: Lone, agent: str = "desk") -> Ended:
    """How an agent's task has ended."""
    found: list[Ended] = [event for event in lone.of_kind(Ended) if event.agent == agent]
    return found[0]


def climbed(lone: Lone) -> list[tuple[str, str, str]]:
    """Who gave it up, to whom, why."""
    return [(event.agent, event.to, event.cause) for event in lone.of_kind(Escalated)]


# -- refusals
@pytest.mark.parametrize("to", ["safe", "a contract", "a hop"])
def test_what_was_refused_and_not_handled_goes_up(tmp_path: Path, to: str) -> None:
    """A tool, a contract, a hop: to the board, and where nobody decides the task ends as it would have."""
    calls = {"safe": 'tool("safe")', "a contract": 'ask("sales.secret")', "a hop": 'ask("board")'}
    lone = Lone(tmp_path, desk(tmp_path, f"async def desk(ctx, task):\n    await ctx.{calls[to]}\n"))
    result = lone.ask()
    assert climbed(lone) == [("desk", "coordinator", "refusal"), ("coordinator", "board", "fallback")]
    assert (result.state, result.by) == ("refused", "acme/support/desk")
    assert (
        result.reason == ended(lone).reason
        and {"safe": "tool", "a contract": "contract", "a hop": "operator"}[to] in result.reason
    )
    lone.check()
    lone.close()


def test_a_person_answers_for_who_was_refused(tmp_path: Path) -> None:
    """Each step up adds what was tried; the answer comes down the same way and is the task's; over a death at any turn."""
    lone = Lone(tmp_path, settled(desk(tmp_path, FOREIGN), refusal="person"))
    lone.task()
    for _ in range(6):
        lone.turn()
        lone = lone.again()
    lone.settle()
    from mai.agents import events
    from mai.agents.escalation_messages import Escalate

    bodies = [events.decode(record.kind, lone.ledger.body(record)).body for record in lone.ledger.records(kind="message.sent")]  # type: ignore[attr-defined]
    (asked,) = [body for body in bodies if isinstance(body, Escalate)]
    assert asked.plea.cause == "refusal" and "may not use the tool safe" in asked.plea.reason
    assert [one.who.rpartition("/")[2] for one in asked.plea.tried] == ["desk", "coordinator", "board"]
    lone.sent[1] = asked
    lone.rule("I have done it")
    lone.settle()
    assert (lone.result().state, lone.result().text, lone.result().by) == ("answered", "I have done it", "acme/person/ann")
    lone.check()
    lone.close()


def test_another_may_do_what_one_was_refused(tmp_path: Path) -> None:
    """A coordinator gives it to whom it fits, who sees why; unless something was changed for it."""
    lone = Lone(tmp_path, desk(tmp_path, FOREIGN + HELPS, JUNIOR))
    lone.task(ranked=("desk",))
    lone.settle()
    assert lone.result().text == "refused it: desk may not use the tool safe; its tools are: none"
    lone.close()
    other = tmp_path / "other"
    other.mkdir()
    code = COUNTED + 'async def desk(ctx, task):\n    await ctx.tool("count", what="x")\n    await ctx.tool("safe")\n' + HELPS
    lone = Lone(other, desk(other, code, JUNIOR, tools=(TOOL,)))
    lone.task(ranked=("desk",))
    lone.settle()
    assert lone.result().state == "refused" and "junior" not in [hop.agent for hop in lone.of_kind(Hopped)]
    lone.close()


@pytest.mark.parametrize("how", ["handled", "its own", "not wanted", "of another department"])
def test_what_is_no_trigger_ends_as_it_is(tmp_path: Path, how: str) -> None:
    """Code that handles a refusal, or refuses by itself; an organisation that wants none; what another has answered."""
    code = {
        "handled": "try: await ctx.tool('safe')\n    except Refusal as refusal: return refusal.reason",
        "its own": "raise Refusal('not I')", "not wanted": "await ctx.tool('safe')",
        "of another department": "await ctx.ask('sales.pipeline', quarter=1)",
    }[how]  # fmt: skip
    organisation = settled(
        desk(tmp_path, f"async def desk(ctx, task):\n    {code}\n"), refusal="no" if how == "not wanted" else "board"
    )
    lone = Lone(tmp_path, organisation)
    lone.task()
    lone.settle()
    if how == "of another department":
        lone.reply(next(body for body in lone.sent.values() if isinstance(body, Task)), {}, "refused", "not now")
        lone.settle()
    assert lone.result().state == ("answered" if how == "handled" else "refused") and climbed(lone) == []
    lone.close()


def test_what_mai_refuses_goes_up(tmp_path: Path) -> None:
    """A passage that she does not let through is a refusal; what the other department says is an answer."""
    lone = Lone(tmp_path, desk(tmp_path, SLOW))
    lone.task()
    lone.settle()
    asked = next(body for body in lone.sent.values() if isinstance(body, Task))
    lone.say(Result(asked.task, "r", "refused", "", {}, "there is no room", "acme/mai", ()))
    lone.settle()
    assert lone.result().reason == "there is no room" and climbed(lone)[0] == ("desk", "coordinator", "refusal")
    lone.close()


# -- deadlines
def late(base: Path, **settings: Any) -> Lone:
    """A desk that waits longer than its own time, and then has had it."""
    quick = settled(
        desk(base, SLOW), lambda one: msgspec.structs.replace(one, task_s=0.1) if one.name == "desk" else one, **settings
    )
    lone = Lone(base, quick)
    lone.task()
    while not [event for event in lone.of_kind(Ended) if event.agent == "desk"]:
        lone.turn()
    lone.settle()
    return lone


def test_who_is_late_is_told_of_to_those_above(tmp_path: Path) -> None:
    """Who waits for it has time left, and gives it up; the board decides nothing, so it ends as late."""
    lone = late(tmp_path)
    assert climbed(lone) == [("coordinator", "board", "deadline")]
    assert (lone.result().state, lone.result().reason) == ("expired", ended(lone).reason)
    lone.check()
    lone.close()


def test_a_person_answers_for_who_is_late(tmp_path: Path) -> None:
    """He sees who had it; his answer is the task's."""
    lone = late(tmp_path, deadline="person")
    (asked,) = lone.escalations()
    assert asked.plea.cause == "deadline"
    said = [(one.who.rpartition("/")[2], one.what) for one in asked.plea.tried]
    assert said == [("desk", "did not end in time"), ("coordinator", "waited for it"), ("board", "passed it on")]
    lone.rule("done by hand")
    lone.settle()
    assert lone.result().text == "done by hand"
    lone.check()
    lone.close()


def test_nobody_is_asked_whom_no_time_is_left(tmp_path: Path) -> None:
    """A second before the whole is late it ends as it is; persons who have time of their own are asked all the same."""
    for person_s, asked in ((0, False), (60, True)):
        base = tmp_path / str(asked)
        base.mkdir()
        lone = Lone(base, settled(desk(base, SLOW), deadline="person", person_s=person_s))
        lone.task(limit_ms=300)
        while not lone.of_kind(Ended):
            lone.turn()
        lone.settle()
        assert bool(lone.escalations()) == asked
        lone.close()


# -- doubts
def unsure(base: Path, text: str = "parcels", board: str = "", **settings: Any) -> Lone:
    """Two who could do it about as well."""
    code = REDS + board
    rules = (
        (lambda one: Agent(name="board", rank="board", handler="w.py:board", escalations=True) if one.rank == "board" else one)
        if board
        else None
    )
    lone = Lone(base, settled(desk(base, "async def desk(ctx, task): return 'desk'\n" + code, *PAIR), rules, **settings))
    lone.task(text)
    lone.settle()
    return lone


def test_a_coordinator_does_not_guess(tmp_path: Path) -> None:
    """Where two fit about as well it says so, if the organisation wants that; where one fits better, that one gets it."""
    for doubt, text, state in (
        ("no", "parcels", "answered"),
        ("board", "parcels", "refused"),
        ("board", "parcels blue", "answered"),
    ):
        base = tmp_path / f"{doubt} {text}"
        base.mkdir()
        lone = unsure(base, text, doubt=doubt)
        assert lone.result().state == state
        if state == "refused":
            assert lone.result().reason == "it is not clear whom it is for: blue (100% of its words) or red (100% of its words)"
            assert climbed(lone) == [("coordinator", "board", "doubt")]
        lone.close()


@pytest.mark.parametrize("value", [{"to": "blue"}, {}, {"to": "nobody"}])
def test_who_is_asked_says_whom_it_is_for_or_answers(tmp_path: Path, value: Any) -> None:
    """A name below the coordinator goes on there; else the answer is the task's."""
    lone = unsure(tmp_path, doubt="person")
    (asked,) = lone.escalations()
    assert asked.plea.cause == "doubt"
    lone = lone.again()
    lone.sent[1] = asked
    lone.rule("as I say", value)
    lone.settle()
    assert lone.result().text == ("blue" if value == {"to": "blue"} else "as I say")
    lone.check()
    lone.close()


def test_a_board_of_code_says_whom_it_is_for(tmp_path: Path) -> None:
    """If it takes escalations, its word is as good as a person's."""
    board = """
async def board(ctx, task):
    return {'to': 'blue'} if task.escalated else (await ctx.hand('coordinator')).text
"""
    lone = unsure(tmp_path, board=board, doubt="board")
    assert lone.result().text == "blue"
    lone.close()
