"""Tools as a worker uses them: functions with types, and commands, which run beside the loop."""

import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from mai.agents.errand_messages import Use, Used
from mai.agents.events import EffectIntent, EffectUnknown, Stepped
from mai.agents.messages import Result
from mai.agents.organisation import Limits, Tool
from tests.conftest import alive
from tests.lone import Lone, desk, struck
from tests.wired import waited

USE = """
async def desk(ctx, task):
    if task.text == "desk, quickly":
        return "quick"
    try:
        return {"value": await ctx.tool("act", **task.input)}
    except Refusal as refusal:
        return f"{refusal.state}: {refusal.reason}"
"""


def script(base: Path, text: str, name: str = "act.py") -> tuple[str, ...]:
    """A command that runs this Python text, in the department's data if it may see it."""
    (base / name).write_text(f"import os; os.chdir(os.environ.get('MAI_FILES', '.'))\n{text}")
    return sys.executable, "-S", name


def told(lone: Lone) -> Any:
    """What the desk says of its tool, called with an order; the department ends."""
    try:
        result = lone.ask(given={"order": 1})
        lone.check()
        return result.text or result.value["value"]
    finally:
        lone.close()


def loose(base: Path, text: str, limits: Limits | None = None, **tool: Any) -> Lone:
    """A desk that uses the command `act` with the task's input, whatever that is."""
    act = Tool(name="act", command=script(base, text), files="write", **tool)
    return Lone(base, desk(base, USE, tools=(act,), limits=limits))


# -- functions
def test_a_typed_function(tmp_path: Path) -> None:
    """It gets what it is annotated with; a fault names the argument and leaves no intent; what it takes is described."""
    code = """
    import datetime
    def act(files, day: datetime.date, *, key: str) -> str:
        '''What day it is.'''
        return day.strftime("%A")
    async def desk(ctx, task):
        said = [await ctx.tool("act", day="2025-03-31")]
        for wrong in ({}, {"day": 1}, {"day": "2025-03-31", "key": "k"}):
            try:
                await ctx.tool("act", **wrong)
            except Refusal as refusal:
                said.append(f"{refusal.state}: {refusal.reason}")
        return {"said": said, "tools": await ctx.describe_tools()}
    """
    lone = Lone(tmp_path, desk(tmp_path, code, tools=(Tool(name="act", handler="w.py:act", effect="opaque"),)))
    value = lone.ask().value
    assert value["said"] == [
        "Monday",
        "failed: the tool act: day: missing",
        "failed: the tool act: day: expected date, found int",
        "failed: the tool act: key: no argument of the tool",
    ]
    (described,) = value["tools"]
    assert (described["name"], described["about"], described["effect"]) == ("act", "What day it is.", "opaque")
    assert described["schema"]["properties"] == {"day": {"type": "string", "format": "date"}}
    assert len(lone.of_kind(EffectIntent)) == 1
    lone.check()
    lone.close()


def test_the_description_is_a_step(tmp_path: Path) -> None:
    """A task that runs again sees what it saw, although its file says something else by now."""
    code = """
    def act(files, WORD: int): pass
    async def desk(ctx, task):
        tools = await ctx.describe_tools()
        await ctx.ask("sales.pipeline", quarter=1)
        return {"names": list(tools[0]["schema"]["properties"])}
    """
    lone = Lone(tmp_path, desk(tmp_path, code.replace("WORD", "old"), tools=(Tool(name="act", handler="w.py:act"),)))
    lone.task()
    lone.settle()
    (asked,) = lone.asked()
    desk(tmp_path, code.replace("WORD", "new"))
    lone = lone.again()
    lone.reply(asked, {"total": 1})
    lone.settle()
    assert lone.result().value == {"names": ["old"]}
    lone.check()
    lone.close()


def test_a_function_that_cannot_be_a_tool(tmp_path: Path) -> None:
    """Is described with its fault, and refuses its calls with it; the others are there."""
    code = """
    def act(files, size: complex): pass
    async def desk(ctx, task):
        tools = await ctx.describe_tools()
        try:
            await ctx.tool("act", size=1)
        except Refusal as refusal:
            return {"fault": tools[0]["fault"], "refusal": refusal.reason}
    """
    lone = Lone(tmp_path, desk(tmp_path, code, tools=(Tool(name="act", handler="w.py:act"),)))
    value = lone.ask().value
    assert value["fault"] == value["refusal"] and "the annotation of size cannot be used" in value["fault"]
    lone.close()


# -- commands
def test_a_command_is_a_tool(tmp_path: Path) -> None:
    """Its arguments are on its standard input, its key in the environment, which is clean; its value is on its output."""
    text = "import json, os, sys; print(json.dumps({'given': json.load(sys.stdin), 'cwd': os.getcwd(), 'env': dict(os.environ)}))"
    os.environ["MAI_TEST_SECRET"] = "s"
    try:
        value = told(loose(tmp_path, text, effect="idempotent"))
    finally:
        del os.environ["MAI_TEST_SECRET"]
    assert value["given"] == {"order": 1} and value["cwd"] == str(tmp_path / "home" / "files")
    assert value["env"]["MAI_KEY"] == "r/1.1.1/1" and "MAI_TEST_SECRET" not in value["env"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("print('two words')", "two words"),
        ("", None),
        ("print(5)", 5),
        ("import sys; sys.stdin.close(); print('{}')", {}),
        ("import sys; print('a', file=sys.stderr); sys.exit('no such order')",
         "failed: the command of the tool act exited with status 1: no such order"),
        ("import os; os.kill(os.getpid(), 9)", "failed: the command of the tool act was ended by signal 9"),
        ("print('x' * 40000)\nwhile True: print('x' * 9999)",
         "failed: the command of the tool act wrote more than 12288 bytes, which is the limit"),
        ("print(2 ** 70)", "failed: the command of the tool act returned a value that JSON cannot hold:"),
    ],
)  # fmt: skip
def test_what_a_command_gives(tmp_path: Path, text: str, value: Any) -> None:
    """JSON, or a text, or the reason why not."""
    found = told(loose(tmp_path, text, Limits(message_bytes=1 << 14)))
    assert found == value or (isinstance(value, str) and value.endswith(":") and found.startswith(value))


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    """Is refused as one that cannot be started."""
    lone = Lone(tmp_path, desk(tmp_path, USE, tools=(Tool(name="act", command=("nonesuch-program",)),)))
    assert "the command of the tool act cannot be started: FileNotFoundError" in lone.ask().text
    lone.close()


def test_the_declared_input_of_a_command(tmp_path: Path) -> None:
    """Is checked before it runs, and described."""
    code = """
    async def desk(ctx, task):
        tools = await ctx.describe_tools()
        try:
            await ctx.tool("act", order="x")
        except Refusal as refusal:
            return {"reason": refusal.reason, "schema": tools[0]["schema"]}
    """
    tool = Tool(name="act", command=script(tmp_path, "open('ran', 'w')"), files="write", input={"order": "int"})
    lone = Lone(tmp_path, desk(tmp_path, code, tools=(tool,)))
    value = lone.ask().value
    assert value["reason"] == "the tool act: order: expected int, found a text"
    assert value["schema"]["properties"] == {"order": {"type": "integer"}}
    assert not (tmp_path / "files" / "ran").exists()
    lone.close()


WAIT = """
import os, subprocess, sys
sub = subprocess.Popen(["sleep", "1000"])
with open("pids", "a") as file: print(os.getpid(), sub.pid, file=file)
os.open("gate", os.O_RDONLY)
print(1)
"""


@pytest.mark.parametrize(("effect", "unknown"), [("none", 0), ("idempotent", 0), ("opaque", 1)])
def test_a_command_that_hangs(tmp_path: Path, effect: Any, unknown: int) -> None:
    """Is ended after its time with what it started; nobody knows whether it happened, if that matters."""
    lone = loose(tmp_path, WAIT, timeout_s=0.5, effect=effect)
    os.mkfifo(tmp_path / "files" / "gate")
    lone.task(given={"order": 1})
    lone.settle()
    why = "the command of the tool act did not end within 0.5 s"
    assert [event.why for event in lone.of_kind(EffectUnknown)] == [why] * unknown
    assert bool(unknown) or why in lone.result().text
    ended(tmp_path)
    lone.check()
    lone.close()


def pids(base: Path) -> list[int]:
    """Of the commands that have begun, and of what they started."""
    found = base / "files" / "pids"
    return [int(word) for word in found.read_text().split()] if found.exists() else []


def begun(lone: Lone, count: int) -> None:
    """So many processes of commands run."""

    def look() -> bool:
        lone.turn()
        return len(pids(lone.home)) == count

    waited(look, "the commands begin")


def ended(base: Path) -> None:
    """None of them runs any more."""
    running = [psutil.Process(pid) for pid in pids(base) if psutil.pid_exists(pid)]
    waited(lambda: not any(alive(one) for one in running), "they end")


def test_others_work_meanwhile(tmp_path: Path) -> None:
    """While commands run, at most so many at once, another task of the department is answered; then all are."""
    lone = loose(tmp_path, WAIT, Limits(running=2), timeout_s=60)
    os.mkfifo(tmp_path / "files" / "gate")
    for n in range(3):
        lone.task(given={"order": n}, ident=f"r/{n}")
    begun(lone, 4)
    lone.task("desk, quickly", ident="r/9")
    while not any(isinstance(body, Result) for body in lone.sent.values()):
        lone.turn()
    assert lone.result("r/9").text == "quick"
    assert len(lone.runner.toolbox._jobs) == 2
    gate = os.open(tmp_path / "files" / "gate", os.O_RDWR)  # opens for all who wait; they read until it is closed
    lone.settle()
    os.close(gate)
    assert len(pids(tmp_path)) == 6
    assert [step.value for step in lone.of_kind(Stepped) if step.call == "tool"] == [1, 1, 1]
    lone.check()
    lone.close()


@pytest.mark.parametrize(("effect", "unknown"), [("none", 0), ("opaque", 1)])
def test_a_command_ends_with_its_task(tmp_path: Path, effect: Any, unknown: int) -> None:
    """The deadline passes while it runs: it is ended, and put on record as unknown if it has an effect."""
    lone = loose(tmp_path, WAIT, timeout_s=60, effect=effect)
    os.mkfifo(tmp_path / "files" / "gate")
    lone.task(given={"order": 1}, limit_ms=3000)
    begun(lone, 2)
    lone.expire()
    lone.settle()
    assert len(lone.of_kind(EffectUnknown)) == unknown
    ended(tmp_path)
    lone.check()
    lone.close()


@pytest.mark.parametrize("effect", ["none", "idempotent", "queryable", "opaque"])
def test_a_command_in_doubt(tmp_path: Path, effect: Any) -> None:
    """The department is killed while it runs: what may be repeated is, with the same key; the rest is unknown."""
    text = """
import os
with open("keys", "a") as file: file.write(os.environ["MAI_KEY"] + " ")
if not os.path.exists("again"):
    open("again", "w").close()
    os.read(os.open("never", os.O_RDONLY), 1)
print(5)
"""
    act = Tool(name="act", command=script(tmp_path, text), files="write", effect=effect, timeout_s=60)
    place = desk(tmp_path, USE, tools=(act,))
    lone = Lone(tmp_path, place)
    os.mkfifo(tmp_path / "files" / "never")
    lone.task()
    lone.shell.commit()
    lone.close()
    assert struck(tmp_path, place, tmp_path / "files" / "again") == -9
    lone = Lone(tmp_path, place)
    lone.settle()
    keys = (tmp_path / "files" / "keys").read_text().split()
    if effect in ("none", "idempotent"):
        assert keys == ["r/1.1.1/1"] * 2 and lone.result().value == {"value": 5}
    else:
        assert keys == ["r/1.1.1/1"] and len(lone.of_kind(EffectUnknown)) == 1 and "r/1" in lone.decider.state.work
    lone.check()
    lone.close()


# -- tools that need the network, as far as a department sees them
NET = Tool(name="act", handler="w.py:act", hosts=("api.example.com",), effect="opaque")


@pytest.mark.parametrize("effect", ["none", "opaque"])
def test_a_network_tool_goes_through_mai(tmp_path: Path, effect: Any) -> None:
    """The intent and what goes to Mai are one commit; a death while it waits asks nobody twice; the answer is the value."""
    code = "def act(files, order): os._exit(9)\n" + USE
    lone = Lone(
        tmp_path, desk(tmp_path, code, tools=(Tool(name="act", handler="w.py:act", hosts=("a.example",), effect=effect),))
    )
    lone.task(given={"order": 1})
    for _ in range(3):
        lone.settle()
        assert lone.asked() == [Use("r/1.1.1.m1", "r", "acme/support/desk", "support.act", "r/1.1.1/1", {"order": 1})]
        lone = lone.again()
    lone.settle()
    lone.say(Used("r/1.1.1.m1", "r", {"cents": 5}))
    lone.settle()
    (step,) = lone.of_kind(Stepped)
    assert (step.call, step.value, step.refused) == ("tool", {"cents": 5}, "")
    lone.check()
    lone.close()


@pytest.mark.parametrize(("effect", "unknown"), [("idempotent", 0), ("opaque", 1)])
def test_a_network_tool_in_doubt(tmp_path: Path, effect: Any, unknown: int) -> None:
    """Is put on record as unknown, if it may not be repeated."""
    tool = Tool(name="act", handler="w.py:act", hosts=("a.example",), effect=effect)
    lone = Lone(tmp_path, desk(tmp_path, USE, tools=(tool,)))
    lone.task()
    lone.settle()
    lone.say(Used("r/1.1.1.m1", "r", None, "its process died", doubt=True))
    lone.settle()
    assert len(lone.of_kind(EffectUnknown)) == unknown
    if unknown:
        assert "r/1" in lone.decider.state.work
    else:
        assert lone.result().text.startswith("failed: its process died")
    lone.check()
    lone.close()


def test_a_network_tool_out_of_scope(tmp_path: Path) -> None:
    """Nothing goes to Mai."""
    place = desk(tmp_path, USE.replace('"act"', '"other"'), tools=(NET,))
    lone = Lone(tmp_path, place)
    assert lone.ask().text == "refused: desk may not use the tool other; its tools are: act"
    assert lone.asked() == []
    lone.close()
