"""Workers' code under the runner: whatever it does, its task gets one answer and the process goes on."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mai.agents.escalation_messages import Escalate, Ruled, Withdrawn
from mai.agents.events import Ended
from mai.agents.messages import Result, Task
from mai.agents.organisation import Agent, Limits, Tool
from tests.lone import COUNTED, TOOL, Lone, desk, organisation

QUICK = Limits(turn_s=0.2)
BAD = {
    "an exception": ("raise ValueError('no luck')", "desk failed: ValueError: no luck"),
    "the end of the process": ("sys.exit(3)", "desk failed: SystemExit: 3"),
    "an interrupt": ("raise KeyboardInterrupt", "desk failed: KeyboardInterrupt"),
    "the end of a generator": ("raise GeneratorExit", "desk failed: GeneratorExit"),
    "an exception of no class that one expects": ("class E(BaseException): pass\n    raise E('x')", "desk failed: E: x"),
    "an exception that cannot speak": (
        "class E(Exception):\n        def __str__(self): raise E\n    raise E",
        "desk failed: E: it does not say why",
    ),
    "half a character in an exception": ("raise ValueError('\\ud800')", "desk failed: ValueError: ?"),
    "a fault that is ours to raise": (
        "from mai.sandbox.errors import LedgerFault\n    raise LedgerFault('gone')",
        "desk failed: LedgerFault: gone",
    ),
    "a refusal with a number": ("raise Refusal(5, 7)", "5"),
    "a refusal without anything": (
        "class R(Refusal):\n        def __init__(self): pass\n    raise R",
        "it gives no reason",
    ),
    "a number": ("return 5", "desk returned int; it has to return an Answer, a str or a dict"),
    "nothing": ("return None", "desk returned NoneType; it has to return an Answer, a str or a dict"),
    "a generator": ("return (x for x in [])", "desk returned generator; it has to return an Answer, a str or a dict"),
    "a text that is none": (
        "return Answer(5)",
        "desk returned what cannot be an answer: Expected `str`, got `int` - at `$.text`",
    ),
    "a value that is none": ("return Answer('', [])", "desk returned what cannot be an answer: Expected `object`, got `array`"),
    "half a character": ("return 'a\\ud800'", "desk returned what cannot be an answer: a value that JSON cannot hold"),
    "no number": ("return {'a': float('nan')}", "desk returned what cannot be an answer: the number nan"),
    "an infinite number": ("return {'a': [1e400]}", "desk returned what cannot be an answer: the number inf"),
    "a huge number": ("return {'a': 2 ** 70}", "desk returned what cannot be an answer: a value that JSON cannot hold: Overflow"),
    "an object": ("return {'a': object()}", "desk returned what cannot be an answer: a value that JSON cannot hold"),
    "keys that are no texts": ("return {(1, 2): 3}", "desk returned what cannot be an answer: a value that JSON cannot hold"),
    "itself": ("d = {}\n    d['d'] = d\n    return d", "desk returned what cannot be an answer: a value more than 64 deep"),
    "depths": (
        "d = []\n    for _ in range(70): d = [d]\n    return {'d': d}",
        "desk returned what cannot be an answer: a value more",
    ),
    "too much": ("return 'é' * 600_000", "desk returned what cannot be an answer: a value of 12000"),
    "too much as a message": ("return {'a': [0.1] * 200_000}", "desk returned what cannot be an answer: a value of 1800"),
    "an await of something else": (
        "import types\n    @types.coroutine\n    def other(): yield 5\n    await other()",
        "desk awaited int; it may await only what its own ctx gives",
    ),
    "an await of another loop": ("import asyncio\n    await asyncio.sleep(0)", "desk awaited NoneType"),
    "an await that cannot be ended": (
        "import asyncio\n    try: await asyncio.sleep(0)\n    finally: raise SystemExit",
        "desk awaited NoneType",
    ),
    "a busy loop": ("while True: pass", "desk worked 0.2 s without a step, which is its limit"),
    "a busy loop below ctx.all": ("async def f():\n        while True: pass\n    await ctx.all(f())", "desk worked 0.2 s"),
    "a sleep": ("time.sleep(60)", "desk worked 0.2 s without a step, which is its limit"),
    "a busy loop that holds on": (
        "for _ in range(3):\n        try:\n            while True: pass\n        except BaseException: pass\n"
        "    raise Refusal('let go')",
        "",
    ),
    "endless depth": ("def f(): f()\n    f()", "desk failed: RecursionError"),
    "endless depth of coroutines": (
        "async def f():\n        ctx.now()\n        await f()\n    await f()",
        "desk failed: RecursionError",
    ),
    "endless depth below a step": ("def f():\n        ctx.now()\n        f()\n    f()", "desk failed: RecursionError"),
    "a standard error that is closed": (
        "import io\n    sys.stderr = io.StringIO(); sys.stderr.close()\n    raise ValueError('x')",
        "desk failed: ValueError: x",
    ),
    "steps without end": ("while True: ctx.now()", ""),
    "an unknown memory": (
        "await ctx.recall('a', 'world')",
        "there is no memory level 'world'; the levels are agent, department, cl",
    ),
    "a key that is no text": ("await ctx.remember(5, 5)", "a key has to be a str, not int"),
    "a text that is no text": ("await ctx.ask('board', text=5)", "the text of a question has to be a str, not int"),
    "a conclusion without sense": (
        "await ctx.conclude('a', 'b', 1, confidence='x')",
        "a confidence has to be a number from 0 to 1",
    ),
    "an unknown tool": ("await ctx.tool('drill')", "desk may not use the tool drill; its tools are: none"),
    "a question that is too long": ("await ctx.ask('sales.pipeline', quarter=1, text='x' * 2_000_000)", "a value of 2000"),
    "a memory that is too long": ("await ctx.remember('k', 'x' * 2_000_000, level='client')", "a value of 2000"),
    "a ctx in another thread": (
        "import threading\n    said = []\n    def f():\n"
        "        try: ctx.now()\n        except RuntimeError as e: said.append(e)\n"
        "    t = threading.Thread(target=f); t.start(); t.join()\n    raise said[0]",
        "desk failed: RuntimeError: a ctx may be used by its own task alone",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_workers_fault_is_one_answer(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its task fails with a sentence that says why, the journal folds to the state, and the next life starts."""
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    code, reason = BAD[what]
    lone = Lone(tmp_path, desk(tmp_path, f"async def desk(ctx, task):\n    {code}\n", limits=QUICK))
    result = lone.ask()
    assert result.state in ("failed", "refused")
    assert reason in result.reason
    lone.check()
    assert not lone.decider.state.work
    lone.again().close()


BROKEN = {
    "a file that raises": ("raise ValueError('at once')", "w.py cannot be loaded: ValueError: at once"),
    "a file that ends the process": ("sys.exit()", "w.py cannot be loaded: SystemExit"),
    "a file that is no Python": ("def", "w.py cannot be loaded: SyntaxError"),
    "a file that never ends": ("while True: pass", "w.py cannot be loaded: TooLong"),
    "a file without the function": ("clerk = 5", "w.py has no function desk"),
    "a name that is no function": ("desk = 5", "w.py has no function desk"),
    "another number of arguments": ("async def desk(): pass", "desk failed: TypeError: desk() takes 0 positional arguments"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_code_that_cannot_be_loaded_fails_its_tasks(tmp_path: Path, what: str) -> None:
    """An import that fails is an answer, each time it is tried, and not the end of the process."""
    code, reason = BROKEN[what]
    lone = Lone(tmp_path, desk(tmp_path, code, limits=QUICK))
    assert reason in lone.ask().reason
    lone.task(ident="r/2")
    lone.settle()
    assert reason in lone.result("r/2").reason
    lone.check()
    lone.close()


GOOD = {
    "a coroutine": "async def desk(ctx, task): return Answer('yes', {'a': 1})",
    "a function": "def desk(ctx, task): return Answer('yes', {'a': 1})",
    "a function that returns a coroutine": "async def f(): return Answer('yes', {'a': 1})\ndef desk(ctx, task): return f()",
    "one that prints": "def desk(ctx, task):\n    print('hello')\n    return Answer('yes', {'a': 1})",
}


@pytest.mark.parametrize("kind", GOOD)
def test_the_kinds_of_functions(tmp_path: Path, kind: str) -> None:
    """A coroutine function, a plain one, and one that is wrapped into something else."""
    lone = Lone(tmp_path, desk(tmp_path, GOOD[kind]))
    result = lone.ask()
    assert (result.state, result.text, result.value) == ("answered", "yes", {"a": 1})
    lone.close()


# -- turns
def test_long_turns_let_others_have_theirs(tmp_path: Path) -> None:
    """A worker that calls slow tools one after the other pauses between them: the loop goes on, heartbeats with it."""
    code = """
    def nap(files):
        time.sleep(0.06)
    async def desk(ctx, task):
        for _ in range(5):
            await ctx.tool("nap")
        return "awake"
    """
    lone = Lone(tmp_path, desk(tmp_path, code, tools=(Tool(name="nap", handler="w.py:nap"),)))
    lone.task()
    turns = 0
    while lone.decider.state.work:
        lone.turn()
        turns += 1
    assert turns >= 3
    assert lone.result().text == "awake"
    lone.close()


def test_a_waiting_task_costs_no_turns(tmp_path: Path) -> None:
    """While a hundred tasks wait for an answer there is nothing to do: the loop may sleep."""
    code = "async def desk(ctx, task):\n    return {'total': (await ctx.ask('sales.pipeline', quarter=1)).value['total']}"
    lone = Lone(tmp_path, desk(tmp_path, code, limits=Limits(running=1)))
    for n in range(100):
        lone.task(ident=f"r/{n}")
    lone.settle()
    assert not lone.runner.busy and len(lone.asked()) == 100  # those that wait for others are not at work
    for asked in lone.asked():
        lone.reply(asked, {"total": 1})
    lone.settle()
    assert not lone.decider.state.work
    lone.check()
    lone.close()


def test_a_task_that_expires_is_dropped(tmp_path: Path) -> None:
    """Its code is ended where it waits, may clean up, and can do nothing any more through its ctx."""
    code = """
    async def desk(ctx, task):
        try:
            await ctx.recall("a", level="client")  # Mai never says
        finally:
            (ctx.files / "cleaned").touch()
            try:
                ctx.now()
            except RuntimeError:
                (ctx.files / "refused").touch()
            while True: pass
    """
    lone = Lone(tmp_path, desk(tmp_path, code))
    lone.task(limit_ms=60)
    lone.expire()
    lone.settle()
    assert lone.result().state == "expired"
    assert {path.name for path in lone.runner.files.iterdir()} == {"cleaned", "refused"}
    assert [event.agent for event in lone.of_kind(Ended)] == ["desk", "coordinator", "board"]  # each before the one above it
    lone.check()
    lone.close()


def test_a_ctx_is_its_own_tasks(tmp_path: Path) -> None:
    """A worker that keeps the ctx of an earlier task cannot act in that one's name."""
    code = """
    kept = []
    async def desk(ctx, task):
        kept.append(ctx)
        if len(kept) == 1:
            await ctx.ask("sales.pipeline", quarter=1)
        await kept[0].remember("a", 1)
    """
    lone = Lone(tmp_path, desk(tmp_path, code))
    lone.task(ident="r/1")
    lone.settle()
    lone.task(ident="r/2")
    lone.settle()
    assert "a ctx may be used by its own task alone" in lone.result("r/2").reason
    assert len(lone.decider.state.steps["r/1.1.1"]) == 1
    lone.check()
    lone.close()


def test_an_agent_that_left_the_organisation(tmp_path: Path) -> None:
    """Its open tasks fail at the next start, and say why."""
    lone = Lone(tmp_path, desk(tmp_path, "async def desk(ctx, task): await ctx.ask('sales.pipeline', quarter=1)"))
    lone.task()
    lone.settle()
    lone.organisation = organisation(tmp_path, Agent(name="clerk", rank="operator", handler="w.py:desk"))
    lone = lone.again()
    lone.settle()
    assert lone.result().reason == "desk is no longer in the organisation"
    lone.check()
    lone.close()


# -- anything at all
TEXTS = st.text(st.characters(), max_size=6)  # half characters, too
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS | st.binary(max_size=3) | st.builds(object),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.integers() | st.none(), inner, max_size=3),
    max_leaves=6,
)
LEVELS = st.sampled_from(["agent", "department", "client", "world", 5])
NAMES = st.sampled_from(
    ["desk", "clerk", "coordinator", "board", "mai", "sales.pipeline", "sales.secret", "support.refund", "count"]
)
CALLS = st.one_of(
    st.tuples(
        st.just("ask"), st.tuples(NAMES | TEXTS | VALUES), st.fixed_dictionaries({}, optional={"text": VALUES, "quarter": VALUES})
    ),
    st.tuples(st.just("tool"), st.tuples(NAMES | VALUES), st.fixed_dictionaries({}, optional={"what": VALUES, "key": VALUES})),
    st.tuples(st.just("remember"), st.tuples(TEXTS | VALUES, VALUES), st.fixed_dictionaries({}, optional={"level": LEVELS})),
    st.tuples(st.just("recall"), st.tuples(TEXTS | VALUES), st.fixed_dictionaries({}, optional={"level": LEVELS})),
    st.tuples(st.just("conclude"), st.tuples(VALUES, VALUES, VALUES), st.fixed_dictionaries({}, optional={"grounds": VALUES})),
    st.tuples(st.just("escalate"), st.tuples(VALUES), st.just({})),
    st.tuples(st.sampled_from(["now", "random"]), st.just(()), st.just({})),
)
ENDS = st.one_of(
    st.tuples(st.just("return"), VALUES),
    st.tuples(st.just("answer"), VALUES, VALUES),
    st.tuples(st.just("refuse"), VALUES, VALUES),
    st.tuples(st.just("yield"), VALUES),
)
SCRIPTED = (
    COUNTED
    + """
import types
SCRIPT = []
@types.coroutine
def other(value): return (yield value)
async def desk(ctx, task):
    calls, careful, end = SCRIPT
    for name, args, kwargs in calls:
        try:
            awaitable = getattr(ctx, name)(*args, **kwargs)
            if hasattr(awaitable, "__await__"):
                await awaitable
        except Exception:
            if not careful: raise
    if end[0] == "answer": return Answer(*end[1:])
    if end[0] == "refuse": raise Refusal(*end[1:])
    if end[0] == "yield": await other(end[1])
    return end[1]
async def clerk(ctx, task): return "yes"
"""
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(calls=st.lists(CALLS, max_size=4), careful=st.booleans(), end=ENDS, deaths=st.booleans())
def test_whatever_a_worker_does(tmp_path: Path, calls: Any, careful: bool, end: Any, deaths: bool) -> None:
    """Any calls with any values, then any end: one answer that Mai can read, and a journal that folds to the state."""
    base = Path(tempfile.mkdtemp(dir=tmp_path))
    clerk = Agent(name="clerk", rank="specialist", handler="w.py:clerk")
    lone = Lone(base, desk(base, SCRIPTED, clerk, tools=(TOOL,), limits=Limits(message_bytes=1 << 14)))
    lone.runner.handlers.function("w.py:desk")[0].__globals__["SCRIPT"] = (calls, careful, end)
    lone.task(contract="support.refund", given={"order": 1})
    answered: set[str] = set()
    lone.settle()
    while lone.decider.state.work:
        lone.check()
        asked = [body for body in lone.asked() if not isinstance(body, Withdrawn)]
        waiting = next(body for body in asked if (body.task if isinstance(body, Task) else body.id) not in answered)
        answered.add(waiting.task if isinstance(waiting, Task) else waiting.id)
        if deaths:
            lone = lone.again()
            lone.runner.handlers.function("w.py:desk")[0].__globals__["SCRIPT"] = (calls, careful, end)
        if isinstance(waiting, Task):
            lone.reply(waiting, {"total": 1})
        elif isinstance(waiting, Escalate):
            lone.say(Ruled(waiting.id, "r", waiting.task, "answered", "so", {"cents": 2}, "", "acme/person/ann"))
        else:
            lone.recalled(waiting.id, None)
        lone.settle()
    assert isinstance(lone.result(), Result)
    lone.check()
    lone.again().close()


def test_an_import_is_never_broken_half_way(tmp_path: Path) -> None:
    """Code that is ended after a long import leaves the module whole for whoever imports it next."""
    (tmp_path / "mai_test_slow.py").write_text("import time\ntime.sleep(0.5)\nDONE = 'whole'\n")
    code = "async def desk(ctx, task):\n    import mai_test_slow as m\n    while 'long' in task.text: pass\n    return m.DONE"
    lone = Lone(tmp_path, desk(tmp_path, code, limits=QUICK))
    for ident, text in (("r/1", "desk long"), ("r/2", "desk")):
        lone.task(text, ident=ident)
        lone.settle()
    assert lone.result("r/1").state == "failed"
    assert lone.result("r/2").text == "whole"
    lone.close()
