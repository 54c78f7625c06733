"""Durable steps: a task that was interrupted goes on where it was, and an effect is never repeated silently."""

import os
from pathlib import Path
from typing import Any

import pytest

from mai.agents.events import Asked, Begun, EffectIntent, EffectUnknown, Interrupted, Stepped
from mai.agents.organisation import Limits, Organisation, Tool
from tests.lone import COUNTED, TOOL, Lone, desk

LONG = """
async def desk(ctx, task):
    await ctx.remember("seen", (await ctx.recall("seen") or 0) + 1)
    at, chance = ctx.now(), ctx.random()
    first = await ctx.tool("count", what="first")
    reply = await ctx.ask("sales.pipeline", quarter=1)
    second = await ctx.tool("count", what="second")
    seen = await ctx.recall("seen")
    return {"at": at, "chance": chance, "counts": [first, second], "seen": seen, "total": reply.value["total"]}
"""


def test_an_interrupted_task_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed after every turn, it still asks once, uses each tool once, and ends with the values of its first life."""
    lone = Lone(tmp_path, desk(tmp_path, COUNTED + LONG, tools=(TOOL,)))
    lone.task()
    lone.settle()
    (asked,) = lone.asked()
    first = [event.value for event in lone.of_kind(Stepped) if event.call in ("now", "random")]
    for _ in range(3):
        lone = lone.again()
        lone.settle()
        assert lone.of_kind(Asked) == [] and list(lone.sent.values()) == [asked]  # the same message, not a second one
    lone.reply(asked, {"total": 7})
    lone = lone.again()  # the answer was not committed: Mai says it again
    lone.reply(asked, {"total": 7})
    lone.settle()
    value = lone.result().value
    assert value == {"at": first[0], "chance": first[1], "counts": [1, 1], "seen": 1, "total": 7}
    assert [event.attempt for event in lone.of_kind(Begun)] == [1]
    lone.check()
    lone.close()


def test_a_kill_before_the_commit_undoes_the_whole_turn(tmp_path: Path) -> None:
    """What a turn did inside is not there in the next life, and it is done then."""
    lone = Lone(tmp_path, desk(tmp_path, "async def desk(ctx, task):\n    await ctx.remember('a', 1)\n    return 'done'"))
    lone.shell.commit(all_of_it=True)
    lone.task()
    lone.runner.run()
    assert not lone.sent
    lone = lone.again()
    assert not lone.decider.state.work and not lone.sent
    assert lone.ask().text == "done"
    lone.close()


def test_a_step_that_was_refused_at_once_is_the_same_step_again(tmp_path: Path) -> None:
    """A hand-on that the table refuses is on record as what it was: a task that is interrupted behind it goes on."""
    code = """
    async def desk(ctx, task):
        try:
            await ctx.hand("nobody")
        except Refusal as refusal:
            return {"why": refusal.reason, "total": (await ctx.ask("sales.pipeline", quarter=1)).value["total"]}
    """
    lone = Lone(tmp_path, desk(tmp_path, code))
    lone.task()
    lone.settle()
    lone = lone.again()
    lone.settle()
    (asked,) = lone.asked()
    lone.reply(asked, {"total": 7})
    lone.settle()
    result = lone.result()
    assert result.state == "answered" and result.value["total"] == 7, result
    assert {event.call for event in lone.of_kind(Stepped)} == {"ask"}
    lone.check()
    lone.close()


def test_memory_of_the_client_is_asked_for_once(tmp_path: Path) -> None:
    """A task that waits for Mai's memory over a death goes on with her answer: its record is no divergence."""
    code = """
    async def desk(ctx, task):
        await ctx.remember("a", {"b": 1}, level="client")
        return {"was": await ctx.recall("a", level="client")}
    """
    lone = Lone(tmp_path, desk(tmp_path, code))
    lone.task()
    for _ in range(2):
        lone.settle()
        ident = lone.asked()[-1].id
        lone = lone.again()
        lone.settle()
        lone.recalled(ident, {"b": 1})
    lone.settle()
    assert lone.result().value == {"was": {"b": 1}}
    lone.check()
    lone.close()


def test_changed_code_stops_the_task_and_says_so(tmp_path: Path) -> None:
    """A step that is not the recorded one goes to a person with both named; that the file was changed is said."""
    code = "async def desk(ctx, task):\n    await ctx.remember('KEY', 1)\n    await ctx.ask('sales.pipeline', quarter=1)"
    lone = Lone(tmp_path, desk(tmp_path, code.replace("KEY", "old")))
    lone.task()
    lone.settle()
    desk(tmp_path, code.replace("KEY", "new"))
    lone = lone.again()
    lone.settle()
    (asked,) = lone.escalations()
    reason = asked.plea.reason
    assert "'old'" in reason and "'new'" in reason and "its code has changed since then" in reason
    lone.check()
    lone.close()


def test_the_task_that_kills_its_process_is_not_run_for_ever(tmp_path: Path) -> None:
    """Three deaths while its code ran, and it fails; another task that was open meanwhile is not counted."""
    code = """
    async def desk(ctx, task):
        if task.text == "poison":
            os._exit(9)
        await ctx.ask("sales.pipeline", quarter=1)
    """
    place = desk(tmp_path, code)
    lone = Lone(tmp_path, place)
    lone.task("desk, the innocent", ident="r/2")
    lone.settle()
    lone.task("poison", "support.refund", {"order": 1})
    lone.shell.commit()
    lone.close()
    for _ in range(3):
        assert die(tmp_path, place) == 9
    lone = Lone(tmp_path, place)
    lone.settle()
    assert "the process died 3 times while desk worked on this" in lone.result().reason
    assert [work.attempts for work in lone.decider.state.work.values() if work.agent == "desk"] == [0]
    assert [record.task for record in lone.ledger.records(kind=Interrupted.kind)] == ["r/1.1.1"] * 3
    lone.check()
    lone.close()


def test_an_import_that_kills_the_process_is_counted_too(tmp_path: Path) -> None:
    """The file is loaded for a task: the death is that task's."""
    place = desk(tmp_path, "os._exit(9)")
    lone = Lone(tmp_path, place)
    lone.task()
    lone.shell.commit()
    lone.close()
    for _ in range(3):
        assert die(tmp_path, place) == 9
    lone = Lone(tmp_path, place)
    lone.settle()
    assert "the process died 3 times" in lone.result().reason
    lone.close()


def die(home: Path, place: Organisation) -> int:
    """Let the department work in a child; how that ended."""
    pid = os.fork()
    if pid == 0:
        try:
            Lone(home, place).settle()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# -- effects
@pytest.mark.parametrize("effect", ["none", "idempotent", "queryable", "opaque"])
def test_an_effect_in_doubt(tmp_path: Path, effect: Any) -> None:
    """Killed inside a tool: what may be repeated is, with the same key; the rest is unknown, never repeated, and waited for."""
    code = """
    def act(files, *, key):
        with open(files / "acts", "a") as file:
            file.write(key + " ")
        if not (files / "again").exists():
            (files / "again").touch()
            os._exit(9)
        return (files / "acts").read_text()
    async def desk(ctx, task):
        return {"keys": await ctx.tool("act")}
    """
    tool = Tool(name="act", handler="w.py:act", effect=effect)
    place = desk(tmp_path, code, tools=(tool,))
    lone = Lone(tmp_path, place)
    lone.task()
    lone.shell.commit()
    lone.close()
    assert die(tmp_path, place) == 9
    lone = Lone(tmp_path, place)
    lone.settle()
    acts = (tmp_path / "files" / "acts").read_text().split()
    if effect in ("none", "idempotent"):
        assert acts == ["r/1.1.1/1"] * 2 and lone.result().state == "answered"
    else:
        assert acts == ["r/1.1.1/1"] and "r/1" in lone.decider.state.work
        (unknown,) = lone.of_kind(EffectUnknown)
        assert unknown.why.startswith("the process died while it was used")
    lone.check()
    lone.close()


def test_an_intent_is_durable_before_its_effect(tmp_path: Path) -> None:
    """When a tool with an effect runs, the journal on the disk says already that it is about to."""
    code = """
    import pysqlite3
    def act(files):
        db = pysqlite3.connect(files.parent / "ledger.db")
        (found,) = db.execute("SELECT count(*) FROM journal WHERE kind='effect.intent'").fetchone()
        db.close()
        return found
    async def desk(ctx, task):
        return {"found": await ctx.tool("act")}
    """
    lone = Lone(tmp_path, desk(tmp_path, code, tools=(Tool(name="act", handler="w.py:act", effect="opaque"),)))
    assert lone.ask().value == {"found": 1}
    assert len(lone.of_kind(EffectIntent)) == 1
    lone.close()


@pytest.mark.parametrize(("effect", "unknown"), [("none", 0), ("opaque", 1)])
def test_a_tool_that_never_returns(tmp_path: Path, effect: Any, unknown: int) -> None:
    """It is stopped; the worker's own time does not run meanwhile; if it has an effect, nobody knows."""
    code = """
    def act(files):
        while True: pass
    async def desk(ctx, task):
        try:
            await ctx.tool("act")
        except Refusal as refusal:
            return f"{refusal.state}: {refusal.reason}"
    """
    tool = Tool(name="act", handler="w.py:act", effect=effect, timeout_s=0.4)
    lone = Lone(tmp_path, desk(tmp_path, code, tools=(tool,), limits=Limits(turn_s=0.2)))
    lone.task()
    lone.settle()
    assert [event.why for event in lone.of_kind(EffectUnknown)] == ["the tool act did not return within 0.4 s"] * unknown
    if unknown:
        assert "r/1" in lone.decider.state.work  # it waits for a person
    else:
        assert "failed:" in lone.result().text and "0.4 s" in lone.result().text
    lone.check()
    lone.close()


def test_a_tools_arguments_and_value(tmp_path: Path) -> None:
    """Wrong arguments, a value that cannot be kept, names that clash with ours: each is told to the worker."""
    code = """
    def echo(files, value, *, key): return value
    async def desk(ctx, task):
        said = []
        for more in ({}, {"value": 2**70}, {"files": 2}, {"key": 2}, {"call": 2}, {"value": 3}):
            try:
                said.append(str(await ctx.tool("echo", **{"value": 1, **more} if more else {})))
            except Refusal as refusal:
                said.append(refusal.state)
        return " ".join(said)
    """
    lone = Lone(tmp_path, desk(tmp_path, code, tools=(Tool(name="echo", handler="w.py:echo"),)))
    assert lone.ask().text == "failed failed failed failed failed 3"
    lone.close()
