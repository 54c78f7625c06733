"""Steps that work beside each other, and re-runs that differ from the record."""

import itertools
from pathlib import Path
from textwrap import dedent

import pytest

from mai.agents import events
from mai.agents.context import Refusal
from mai.agents.events import Begun, EffectIntent, Stepped
from mai.agents.organisation import Agent, Tool
from tests.lone import COUNTED, TOOL, Lone, desk, organisation

# each waits until the other has begun: one after the other they would never end
MEET = "cd $MAI_FILES; echo x >> $1; until [ -s $2 ]; do sleep 0.01; done; echo '\"'$1'\"'"
PAIR = (
    Tool(name="left", command=("/bin/sh", "-c", MEET, "sh", "l", "r"), files="write", effect="idempotent"),
    Tool(name="right", command=("/bin/sh", "-c", MEET, "sh", "r", "l"), files="write", effect="idempotent"),
)
MIXED = """
async def desk(ctx, task):
    one, reply, two, other, _ = await ctx.all(
        ctx.tool("count", what="a"), ctx.ask("sales.pipeline", quarter=1), ctx.tool("count", what="b"),
        ctx.ask("sales.pipeline", quarter=2), ctx.remember("k", 1),
    )
    return {"counts": [one, two], "totals": [reply.value["total"], other.value["total"]]}
"""
THREE = """
async def desk(ctx, task):
    try:
        await ctx.all(*(ctx.ask("sales.pipeline", quarter=n) for n in range(3)))
    except Refusal as refusal:
        first = f"{refusal.state}: {refusal.reason}"
        return {"first": first, "all": [str(getattr(one, "value", one)) for one in refusal.answers]}
"""


def test_commands_work_beside_each_other(tmp_path: Path) -> None:
    """Two that wait for one another both end; their steps have the numbers of their calls."""
    code = "async def desk(ctx, task): return {'both': await ctx.all(ctx.tool('left'), ctx.tool('right'))}"
    lone = Lone(tmp_path, desk(tmp_path, code, tools=PAIR))
    assert lone.ask().value == {"both": ["l", "r"]}
    assert [(one.n, one.tool) for one in lone.of_kind(EffectIntent)] == [(1, "left"), (2, "right")]
    lone.check()
    lone.close()


@pytest.mark.parametrize("order", list(itertools.product((0, 1), (False, True))))
def test_each_step_keeps_its_own_outcome_over_a_kill(tmp_path: Path, order: tuple[int, bool]) -> None:
    """One answer there, one open, in either order, killed after a commit or before it: nothing is asked or done twice."""
    first, committed = order
    lone = Lone(tmp_path, desk(tmp_path, COUNTED + MIXED, tools=(TOOL,)))
    lone.task()
    lone.settle()
    asked = lone.asked()
    assert sorted((one.n, one.call) for one in lone.of_kind(Stepped)) == [(1, "tool"), (3, "tool"), (5, "remember")]
    for one in (asked[first], asked[1 - first]):
        lone.reply(one, {"total": one.input["quarter"] * 10})
        if committed:
            lone.settle()
        lone = lone.again()
        lone.settle()
        if not committed:  # Mai says again what was not acknowledged
            lone.reply(one, {"total": one.input["quarter"] * 10})
            lone.settle()
    assert lone.result().value == {"counts": [1, 1], "totals": [10, 20]}
    assert lone.of_kind(EffectIntent) == [], "no effect begins again"
    lone.check()
    lone.close()


def test_one_refused_step_does_not_lose_the_others(tmp_path: Path) -> None:
    """All have their end before the first Refusal is raised, which holds what came of each in its place."""
    lone = Lone(tmp_path, desk(tmp_path, THREE))
    lone.task()
    lone.settle()
    zero, one, two = lone.asked()
    lone.reply(one, {}, "refused", "the till is closed")
    lone.settle()
    lone.reply(zero, {"total": 1})
    lone.settle()
    lone = lone.again()
    lone.settle()
    lone.reply(two, {"total": 3})
    lone.settle()
    value = lone.result().value
    assert value == {"first": "refused: the till is closed", "all": ["{'total': 1}", "the till is closed", "{'total': 3}"]}
    assert Refusal("x").answers == ()
    lone.close()


def test_coroutines_of_ones_own_are_numbered_the_same_each_time(tmp_path: Path) -> None:
    """They go one after the other, whichever could go on first: a re-run after a kill is no divergence."""
    code = """
    async def desk(ctx, task):
        async def part(n):
            total = (await ctx.ask("sales.pipeline", quarter=n)).value["total"]
            return [total, await ctx.tool("count", what=str(n))]
        return {"parts": await ctx.all(part(1), ctx.tool("count", what="0"), part(2))}
    """
    lone = Lone(tmp_path, desk(tmp_path, COUNTED + dedent(code), tools=(TOOL,)))
    lone.task()
    lone.settle()
    for _ in range(2):
        lone = lone.again()
        lone.settle()
        (asked,) = lone.asked()[-1:]
        lone.reply(asked, {"total": asked.input["quarter"]})
        lone.settle()
    assert lone.result().value == {"parts": [[1, 1], 1, [2, 1]]}
    lone.check()
    lone.close()


def record_code(lone: Lone, at: int) -> str:
    """The digest of the code that began the desk's task in its first life, or its second."""
    codes = [events.decode(one.kind, lone.ledger.body(one)) for one in lone.ledger.records(kind=Begun.kind)]
    return [one.code for one in codes if isinstance(one, Begun) and one.agent == "desk"][at]


def rerun(tmp_path: Path, before: str, after: str) -> Lone:
    """A task that waits for sales under one code, and is gone on with under another."""
    lone = Lone(tmp_path, desk(tmp_path, f"async def desk(ctx, task):\n{before}"))
    lone.task()
    lone.settle()
    desk(tmp_path, f"async def desk(ctx, task):\n{after}")
    lone = lone.again()
    lone.settle()
    return lone


ASKS = "    await ctx.remember('k', 1)\n    return (await ctx.ask('sales.pipeline', quarter=1)).value\n"


@pytest.mark.parametrize(
    "after",
    [
        "    return 'early'\n",
        "    await ctx.remember('k', 1)\n    return 'early'\n",
        "    raise Refusal('early')\n",
        "    try: await ctx.remember('k', 2)\n    except BaseException: return 'kept'\n",
    ],
)
def test_what_differs_from_the_record_is_escalated(tmp_path: Path, after: str) -> None:
    """Another step or none where one is recorded, caught or not: both are named, and the digests of the code."""
    lone = rerun(tmp_path, ASKS, after)
    (asked,) = lone.escalations()
    first, second = (record_code(lone, at) for at in (0, 1))
    assert "before the interruption" in asked.plea.reason
    assert f"its code has changed since then, from {first} to {second}" in asked.plea.reason
    lone.close()


def test_changed_code_with_the_same_steps_goes_on(tmp_path: Path) -> None:
    """Other words around the same steps are no difference."""
    lone = rerun(tmp_path, ASKS, "    # reworded\n" + ASKS)
    lone.reply(lone.asked()[0], {"total": 5})
    lone.settle()
    assert lone.result().value == {"total": 5}
    lone.close()


def test_a_changed_command_is_named_as_such(tmp_path: Path) -> None:
    """The digest of a command is of its file, not of its name alone; its other step is escalated."""
    says = '#!/bin/sh\nread task\necho \'{"call": "remember", "key": "a", "value": "V"}\'\nread x\n'
    says += 'echo \'{"call": "ask", "to": "sales.pipeline", "input": {"quarter": 1}}\'\nread x\necho \'{"text": "y"}\'\n'
    program = tmp_path / "clerk.sh"
    program.write_text(says.replace('"V"', '"old"'))
    program.chmod(0o755)
    lone = Lone(tmp_path, organisation(tmp_path, Agent(name="desk", rank="operator", command=("clerk.sh",))))
    lone.task()
    lone.settle()
    program.write_text(says.replace('"V"', '"new"'))
    lone = lone.again()
    lone.settle()
    (asked,) = lone.escalations()
    assert "'old'" in asked.plea.reason and "'new'" in asked.plea.reason
    assert "its code has changed since then" in asked.plea.reason
    lone.close()


def test_steps_cost_no_commit_of_their_own(tmp_path: Path) -> None:
    """A hundred steps inside the process and a question: one turn, one commit, and the question leaves after it."""
    code = """
    async def desk(ctx, task):
        for n in range(100):
            await ctx.remember("k", n)
        await ctx.ask("sales.pipeline", quarter=1)
    """
    lone = Lone(tmp_path, desk(tmp_path, dedent(code)))
    lone.task()
    before = lone.ledger.commits
    lone.runner.run()
    assert lone.asked() == [] and lone.ledger.commits == before, "nothing leaves before its commit"
    lone.settle()
    assert len(lone.of_kind(Stepped)) == 100 and len(lone.asked()) == 1
    assert lone.ledger.commits - before < 10
    lone.close()
