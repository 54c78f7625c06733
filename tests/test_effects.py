"""Effects of tools: killed at every named point, asked by their key, resolved by a person; and never tried elsewhere."""

import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mai.agents.errand_messages import Use, Used
from mai.agents.events import EffectIntent, EffectQueried, EffectResolved, EffectUnknown, Ended, Stepped
from mai.agents.messages import Result, Task
from mai.agents.order_messages import Doubt
from mai.agents.organisation import Agent, Limits, Organisation, Tool
from mai.sandbox.points import arm
from tests.lone import Lone, desk, struck
from tests.test_toolbox import script

CODE = """
def act(files, *, key):
    with open(files / "acts", "a") as file:
        file.write(key + " ")
    return {"acts": len((files / "acts").read_text().split())}
def acted(files, key):
    acts = (files / "acts").read_text().split() if (files / "acts").exists() else []
    return {"found": acts.index(key) + 1} if key in acts else None
def confused(files, key):
    (files / "asked").touch()
    raise OSError("the books are closed")
def slow(files, *, key):
    act(files, key=key)
    while True: pass
def vain(files, *, key):
    with open(files / "tries", "a") as file:
        file.write("x")
    while True: pass
async def desk(ctx, task):
    return {"value": await ctx.tool("act")}
async def clerk(ctx, task):
    return "the clerk did it"
"""
KEY = "r/1.1.1/1"
POINTS = ("effect.intended", "effect.called", "effect.recorded")
CLASSES = ("none", "idempotent", "queryable", "opaque")


def tool(effect: Any, **more: Any) -> Tool:
    """The tool `act`."""
    asked = {"asked_by": "w.py:acted"} if effect == "queryable" else {}
    return Tool(**{"name": "act", "handler": "w.py:act", "effect": effect, **asked, **more})


def place(base: Path, effect: Any, **more: Any) -> Organisation:
    """A desk with that tool."""
    return desk(base, CODE, tools=(tool(effect, **more),))


def begun(base: Path, organisation: Organisation) -> None:
    """The task is on the disk, its code has not begun."""
    lone = Lone(base, organisation)
    lone.task()
    lone.shell.commit()
    lone.close()


def killed(base: Path, organisation: Organisation, point: str, nth: int = 1) -> bool:
    """One life, that ends when it is at this point for the nth time; false if it does not come there."""
    pid = os.fork()
    if pid == 0:
        try:
            left = [nth]

            def trap(name: str) -> None:
                left[0] -= name == point
                if not left[0]:
                    os._exit(9)

            arm(trap)
            Lone(base, organisation).settle()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def acts(base: Path) -> list[str]:
    """The keys of what has happened."""
    path = base / "files" / "acts"
    return path.read_text().split() if path.exists() else []


def outcomes(lone: Lone) -> None:
    """At rest each intent has one outcome; an unknown is resolved once at most; a query or a person's no allows one more."""
    open_: dict[str, str] = {}
    for record in lone.ledger.records():
        body = lone.ledger.body(record)
        key = f"{record.task}/{msgspec.json.decode(body).get('n', 0)}"
        match record.kind:
            case EffectIntent.kind:
                assert open_.get(key, "free") == "free", f"{key} is begun while it is {open_[key]}"
                open_[key] = "begun"
            case EffectQueried.kind:
                assert open_[key] == "begun"
                open_[key] = "begun" if '"found":true' in body else "free"
            case EffectUnknown.kind:
                assert open_[key] == "begun"
                open_[key] = "unknown"
            case EffectResolved.kind:
                assert open_[key] == "unknown"
                open_[key] = "settled" if '"happened":true' in body else "free"
            case Stepped.kind if key in open_:
                assert open_.pop(key) in ("begun", "free", "settled")
    resting = {key: how for key, how in open_.items() if key.rpartition("/")[0] not in lone.decider.state.work}
    assert "begun" not in resting.values(), resting


# -- killed at each point
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("effect", CLASSES)
def test_a_kill_at_each_point(tmp_path: Path, effect: str, point: str) -> None:
    """None and idempotent are done again with the same key, queryable is asked, opaque waits for a person."""
    organisation = place(tmp_path, effect)
    begun(tmp_path, organisation)
    assert killed(tmp_path, organisation, point) == (effect != "none")
    lone = Lone(tmp_path, organisation)
    lone.settle()
    happened = point != "effect.intended"
    match effect:
        case "none":
            assert lone.of_kind(EffectIntent) == [] and lone.result().state == "answered"
        case "idempotent":
            assert acts(tmp_path) == [KEY] * (1 + happened) and lone.result().state == "answered"
        case "queryable":
            (queried,) = lone.of_kind(EffectQueried)
            assert queried.found == happened and acts(tmp_path) == [KEY]
            assert lone.result().value == {"value": {"found": 1} if happened else {"acts": 1}}
            assert len(lone.of_kind(EffectIntent)) == (not happened)
        case "opaque":
            assert acts(tmp_path) == [KEY] * happened
            (doubt,) = lone.doubts()
            assert (doubt.key, doubt.tool, doubt.given, doubt.ended, doubt.count) == (KEY, "act", {}, False, 1)
            assert doubt.at_ms > 0 and doubt.why == "the process died while it was used"
            lone.resolve(happened, {"said": 1} if happened else None)
            lone.settle()
            assert acts(tmp_path) == [KEY] and lone.result().value == {"value": {"said": 1} if happened else {"acts": 1}}
    outcomes(lone)
    lone.check()
    lone.close()


def test_a_doubt_outlives_its_process(tmp_path: Path) -> None:
    """Killed again while it waits, the department waits on; it tells of the same doubt once, and resolves it once."""
    organisation = place(tmp_path, "opaque")
    begun(tmp_path, organisation)
    assert killed(tmp_path, organisation, "effect.called")
    lone = Lone(tmp_path, organisation)
    for _ in range(3):
        lone.settle()
        assert len(lone.doubts()) == 1  # the same message, until it is acknowledged
        lone = lone.again()
    lone.acknowledge()
    doubt = lone.doubts()[0]
    lone.resolve(False)
    lone.shell.commit(all_of_it=True)
    lone = lone.again()  # what the person said is on record, the tool not called
    lone.settle()
    assert acts(tmp_path) == [doubt.key] * 2 and lone.result().state == "answered"
    assert [record.kind for record in lone.ledger.records() if record.kind.startswith("effect")] == [
        "effect.intent", "effect.unknown", "effect.resolved", "effect.intent",
    ]  # fmt: skip
    lone.check()
    lone.close()


BOTH = """
async def both(ctx):
    asked = ctx.ask("sales.pipeline", quarter=1)
    done = await ctx.tool("act")
    return {"act": done, "total": (await asked).value["total"]}
"""


def test_others_of_the_task_go_on(tmp_path: Path) -> None:
    """While one step waits for a person, what the task has asked of others comes back and counts."""
    code = CODE.replace('{"value": await ctx.tool("act")}', "await both(ctx)") + BOTH
    organisation = desk(tmp_path, code, tools=(tool("opaque"),))
    begun(tmp_path, organisation)
    assert killed(tmp_path, organisation, "effect.called")
    lone = Lone(tmp_path, organisation)
    lone.settle()
    (asked,) = (body for body in lone.asked() if isinstance(body, Task))
    lone.reply(asked, {"total": 7})
    lone.settle()
    assert [event.call for event in lone.of_kind(Stepped)] == ["ask"]
    lone.resolve(True, 5)
    lone.settle()
    assert lone.result().value == {"act": 5, "total": 7}
    lone.check()
    lone.close()


def test_what_a_person_says_before_the_code_has_come_so_far(tmp_path: Path) -> None:
    """In its next life a task's code has first to get to the step in doubt: then the tool is called, once."""
    text = """
import os
with open("acts", "a") as file: file.write(os.environ["MAI_KEY"] + " ")
if not os.path.exists("again"):
    open("again", "w").close()
    os.read(os.open("never", os.O_RDONLY), 1)
"""
    code = CODE.replace('return {"value": await', 'time.sleep(0.15)\n    return {"value": await')
    act = Tool(name="act", command=script(tmp_path, text), files="write", effect="opaque", timeout_s=30)
    organisation = desk(tmp_path, code, tools=(act,))
    begun(tmp_path, organisation)
    os.mkfifo(tmp_path / "files" / "never")
    assert struck(tmp_path, organisation, tmp_path / "files" / "again") == -9
    lone = Lone(tmp_path, organisation)
    lone.settle()
    lone = lone.again()
    lone.turn()  # the code has slept, and lets others have their turn
    lone.resolve(False)
    lone.settle()
    assert acts(tmp_path) == [KEY] * 2 and lone.result().state == "answered" and len(lone.doubts()) == 1
    outcomes(lone)
    lone.check()
    lone.close()


# -- asked by its key
@pytest.mark.parametrize(
    ("handler", "asked_by", "tries", "end"),
    [
        ("slow", "acted", 0, "answered"),
        ("vain", "acted", 3, "failed"),
        ("slow", "confused", 0, "doubt"),
        ("slow", "nowhere", 0, "doubt"),
    ],
)
def test_a_queryable_call_that_is_ended_by_force(tmp_path: Path, handler: str, asked_by: str, tries: int, end: str) -> None:
    """It is asked in the same life: done, or called again three times at most; who cannot tell leaves a doubt."""
    lone = Lone(tmp_path, place(tmp_path, "queryable", handler=f"w.py:{handler}", asked_by=f"w.py:{asked_by}", timeout_s=0.1))
    lone.task()
    lone.settle()
    found = tmp_path / "files" / "tries"
    assert (len(found.read_text()) if found.exists() else 0) == tries
    if end == "answered":
        assert lone.result().value == {"value": {"found": 1}} and acts(tmp_path) == [KEY]
    elif end == "failed":
        assert "it did not happen, 3 times in a row" in lone.result().reason
        assert len(lone.of_kind(EffectIntent)) == len(lone.of_kind(EffectQueried)) == 3 and not lone.doubts()
    else:
        (doubt,) = lone.doubts()
        assert "did not return within 0.1 s; asked whether it happened: " in doubt.why and acts(tmp_path) == [KEY]
        assert ("the books are closed" in doubt.why) == (asked_by == "confused")
        (tmp_path / "files" / "asked").unlink(missing_ok=True)
        lone = lone.again()  # it is a person's now: it is not asked once more
        lone.settle()
        assert not lone.of_kind(EffectQueried) and len(lone.doubts()) == 1
        assert len(list(lone.ledger.records(kind=EffectUnknown.kind))) == 1 and not (tmp_path / "files" / "asked").exists()
    outcomes(lone)
    lone.check()
    lone.close()


@pytest.mark.parametrize(("said", "value"), [("echo '{\"id\": 5}'", {"id": 5}), ("true", None), ("exit 3", "doubt")])
def test_a_command_is_asked(tmp_path: Path, said: str, value: Any) -> None:
    """Another command with the key in its environment: its value; nothing, and it is called again; else nobody knows."""
    text = """
import os
with open("acts", "a") as file: file.write(os.environ["MAI_KEY"] + " ")
if not os.path.exists("again"):
    open("again", "w").close()
    os.kill(os.getpid(), 9)
print('"again"')
"""
    asking = tmp_path / "asked.sh"
    asking.write_text(f'test "$MAI_ASK" = "$MAI_KEY" || exit 4; cat >"$MAI_FILES/asked"; {said}\n')
    command, asked_by = script(tmp_path, text), ("sh", "asked.sh")
    act = Tool(name="act", command=command, files="write", effect="queryable", asked_by=asked_by, timeout_s=30)
    organisation = desk(tmp_path, CODE, tools=(act,))
    lone = Lone(tmp_path, organisation)
    lone.task()
    lone.settle()
    if value == "doubt":
        assert "was ended by signal 9; asked whether it happened: the command of the tool act exited" in lone.doubts()[0].why
    else:
        assert lone.result().value == {"value": value or "again"}
    assert acts(tmp_path) == [KEY] * (1 + (value is None)) and (tmp_path / "files" / "asked").read_text() == "{}"
    outcomes(lone)
    lone.check()
    lone.close()


# -- the end of a task
HANG = """
import os
with open("begun", "a") as file: file.write("x")
os.read(os.open("gate", os.O_RDONLY), 1)
"""


@pytest.mark.parametrize(("effect", "doubts"), [("none", 0), ("idempotent", 0), ("queryable", 1), ("opaque", 1)])
def test_the_deadline_of_a_task_at_work(tmp_path: Path, effect: Any, doubts: int) -> None:
    """Its intents get an outcome before its end; a person is asked about what may not be repeated; what waited was not begun."""
    asked = {"asked_by": ("true",)} if effect == "queryable" else {}
    hang = Tool(name="act", command=script(tmp_path, HANG), files="write", effect=effect, timeout_s=60, **asked)  # type: ignore[arg-type]
    lone = Lone(tmp_path, desk(tmp_path, CODE, tools=(hang,), limits=Limits(running=1)))
    os.mkfifo(tmp_path / "files" / "gate")
    for ident, limit_ms in (("r/1", 2500), ("r/2", 1500)):  # the second waits for its place, and never begins
        lone.task(ident=ident, limit_ms=limit_ms)
    lone.expire()
    lone.settle()
    assert (tmp_path / "files" / "begun").read_text() == "x"
    assert [event.key for event in lone.of_kind(EffectIntent)] == [KEY] * (effect != "none")
    unknown = lone.of_kind(EffectUnknown)
    assert [event.key for event in unknown] == [KEY] * (effect != "none")
    assert [(doubt.key, doubt.ended) for doubt in lone.doubts()] == [(KEY, True)] * doubts
    kinds = [type(event) for event in lone.seen if isinstance(event, EffectUnknown | Ended) and event.task == "r/1.1.1"]
    assert kinds[0] is (EffectUnknown if unknown else Ended)
    outcomes(lone)
    lone.check()
    lone.close()


@pytest.mark.parametrize("happened", [True, False])
def test_a_doubt_that_nobody_resolves_in_time(tmp_path: Path, happened: bool) -> None:
    """The task's end names tool, key and command; Mai hears that nobody waits; what a person says later is on record, no more."""
    organisation = place(tmp_path, "opaque")
    lone = Lone(tmp_path, organisation)
    lone.task(limit_ms=3000)
    lone.shell.commit()
    lone.close()
    assert killed(tmp_path, organisation, "effect.called")
    lone = Lone(tmp_path, organisation)
    lone.settle()
    lone.expire()
    result = lone.result()
    assert result.state == "expired" and result.changed
    assert f"nobody knows whether act (key {KEY}) happened" in result.reason and f"mai effects show {KEY}" in result.reason
    told = [(body.known, body.ended) for body in lone.sent.values() if isinstance(body, Doubt)]
    assert told == [(False, False), (True, True)]
    lone.resolve(happened, 5 if happened else None)
    lone.settle()
    assert len(lone.of_kind(EffectResolved)) == 1 and acts(tmp_path) == [KEY] and len(lone.of_kind(EffectIntent)) == 0
    outcomes(lone)
    lone.check()
    lone.close()


# -- through Mai
def test_a_network_tool_is_used_again_when_a_person_says_so(tmp_path: Path) -> None:
    """Under a new intent, the same key and another id: a late answer to the first use is not taken for the second's."""
    lone = Lone(tmp_path, desk(tmp_path, CODE, tools=(tool("opaque", hosts=("a.example",)),)))
    lone.task()
    lone.settle()
    lone.say(Used("r/1.1.1.m1", "r", None, "its process died", doubt=True))
    lone.settle()
    assert lone.doubts()[0].why == "its process died"
    lone.resolve(False)
    lone = lone.again()  # not committed: said again
    lone.settle()
    lone.resolve(False)
    lone.settle()
    uses = [body for body in lone.sent.values() if isinstance(body, Use)]
    assert [(use.id, use.key) for use in uses] == [("r/1.1.1.m1", KEY), ("r/1.1.1.m1r1", KEY)]
    lone.say(Used("r/1.1.1.m1", "r", "late"))
    lone.settle()
    assert lone.of_kind(Stepped) == []
    lone.say(Used("r/1.1.1.m1r1", "r", {"id": 5}))
    lone.settle()
    assert lone.result().value == {"value": {"id": 5}}
    outcomes(lone)
    lone.check()
    lone.close()


# -- no second try by another
FAILS = """
async def desk(ctx, task):
    if "act" in task.text:
        await ctx.tool("act")
    if "ask" in task.text:
        await ctx.ask("sales.pipeline", quarter=1)
    await ctx.escalate("too hard") if "escalate" in task.text else 1 / 0
"""


@pytest.mark.parametrize("effect", CLASSES)
@pytest.mark.parametrize("how", ["fail", "escalate"])
def test_what_changed_something_is_not_tried_by_another(tmp_path: Path, effect: str, how: str) -> None:
    """A backup takes over only what changed nothing: it would do the rest again under a key of its own."""
    code = CODE.replace("async def desk", "async def first") + FAILS
    clerk = Agent(name="clerk", rank="specialist", handler="w.py:clerk")
    organisation = desk(tmp_path, code, clerk, tools=(tool(effect),))
    agents = [one if one.name != "desk" else _backed(one) for one in organisation.departments[0].agents]
    organisation = _with(organisation, tuple(agents))
    lone = Lone(tmp_path, organisation)
    lone.task(f"desk act {how}")
    lone.settle()
    assert len(acts(tmp_path)) == 1
    if how == "escalate" and effect != "none":  # a person is asked, and told why no other was
        assert "something was changed for it" in lone.escalations()[0].plea.tried[1].why
        lone.rule("leave it")
        lone.settle()
    result = lone.result()
    if effect == "none":
        assert (result.state, result.text) == ("answered", "the clerk did it")
    elif how == "escalate":
        assert (result.text, result.by, result.changed) == ("leave it", "acme/person/ann", True)
    else:
        assert result.state != "answered" and "it is not handed on to another, because something was changed" in result.reason
        assert result.changed
    lone.check()
    lone.close()


@pytest.mark.parametrize("changed", [True, False])
def test_what_another_department_changed_is_not_asked_for_again(tmp_path: Path, changed: bool) -> None:
    """Its result says whether it changed something: then no backup asks again."""
    code = CODE.replace("async def desk", "async def first") + FAILS
    clerk = Agent(name="clerk", rank="specialist", handler="w.py:clerk")
    organisation = desk(tmp_path, code, clerk)
    agents = [one if one.name != "desk" else _backed(one) for one in organisation.departments[0].agents]
    lone = Lone(tmp_path, _with(organisation, tuple(agents)))
    lone.task("desk ask")
    lone.settle()
    (asked,) = (body for body in lone.asked() if isinstance(body, Task))
    lone.say(Result(asked.task, "r", "answered", "", {"total": 1}, "", "acme/sales/board", ("sales",), changed))
    lone.settle()
    assert (lone.result().text == "the clerk did it") == (not changed)
    assert lone.result().changed == changed
    lone.check()
    lone.close()


def _backed(agent: Agent) -> Agent:
    return msgspec.structs.replace(agent, backups=("clerk",))


def _with(organisation: Organisation, agents: tuple[Agent, ...]) -> Organisation:
    support, *others = organisation.departments
    return msgspec.structs.replace(organisation, departments=(msgspec.structs.replace(support, agents=agents), *others))


# -- whatever happens
THRICE = CODE.replace('{"value": await ctx.tool("act")}', '{"values": [await ctx.tool("act") for _ in range(3)]}')
moves = st.lists(
    st.one_of(st.sampled_from(POINTS).flatmap(lambda point: st.tuples(st.just(point), st.integers(1, 3))), st.booleans()),
    min_size=1, max_size=6,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(effect=st.sampled_from(CLASSES[1:]), moves=moves)
def test_whatever_is_killed_and_said(tmp_path: Path, effect: str, moves: list[Any]) -> None:
    """Opaque: once for each decision of a person at most. Idempotent: one key for each step. Queryable: once, exactly."""
    base = Path(tempfile.mkdtemp(dir=tmp_path))
    organisation = desk(base, THRICE, tools=(tool(effect),))
    begun(base, organisation)
    noes: Counter[str] = Counter()
    for move in moves:
        if isinstance(move, tuple):
            killed(base, organisation, *move)
            (base / "home" / "running").unlink()  # else three deaths while its code ran would end the task
            continue
        lone = Lone(base, organisation)
        lone.settle()
        if lone.decider.state.work:
            noes[lone.doubts()[-1].key] += not move
            lone.resolve(move, None)
        lone.shell.commit(all_of_it=True)
        outcomes(lone)
        lone.check()
        lone.close()
    lone = Lone(base, organisation)
    lone.settle()
    while lone.decider.state.work:
        lone.resolve(True)
        lone.settle()
    done = Counter(acts(base))
    assert lone.result().state == "answered" and set(done) <= {f"r/1.1.1/{n}" for n in (1, 2, 3)}
    match effect:
        case "idempotent":
            assert len(done) == 3
        case "queryable":
            assert sorted(done.values()) == [1, 1, 1]
        case "opaque":
            assert all(times <= 1 + noes[key] for key, times in done.items())
    outcomes(lone)
    lone.check()
    lone.close()
