"""Tools that stand in for others: on what evidence, only where nothing has happened, and under their own policies."""

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mai.agents.approval_records import ApprovalAsked
from mai.agents.breaker import FAILURES, WINDOW
from mai.agents.errand_messages import Use, Used
from mai.agents.events import EffectIntent, EffectQueried
from mai.agents.fallback import BreakerProbed, FallbackReturned, FallbackSwitched
from mai.agents.judging import PolicyJudged
from mai.agents.organisation import Tool
from mai.agents.policy_scope import Policy
from mai.agents.shell import now_ms
from mai.sandbox.points import arm
from tests.lone import Lone, desk
from tests.test_approvals import pleas, say

CODE = """
from pathlib import Path
def _act(files, name, key):
    with open(files / "acts", "a") as file:
        file.write(f"{name}:{key} ")
    return name
def broken(files, *, key=""):
    raise ValueError("the first is broken")
def halfway(files, *, key):
    _act(files, "first", key)
    raise ValueError("the first is broken")
def slow(files, *, key=""):
    time.sleep(0.004)
    return "slow"
def mended(files, *, key=""):
    if not (files / "mended").exists():
        raise ValueError("not yet")
    return "first"
def other(files, *, key):
    return _act(files, "other", key)
def third(files, *, key):
    return _act(files, "third", key)
def acted(files, key):
    acts = (files / "acts").read_text().split() if (files / "acts").exists() else []
    return next((name for name, _, of in (act.partition(":") for act in acts) if of == key), None)
async def desk(ctx, task):
    try:
        return {"value": await ctx.tool("first")}
    except Refusal as refusal:
        return {"refused": refusal.reason, "state": refusal.state}
"""
KEY = "r/1.1.1/1"


def place(base: Path, handler: str, effect: Any = "none", *, policies: Any = (), more: Any = (), **first: Any) -> Any:
    """A desk with a tool of this handler, behind which another stands."""
    asked_by = "w.py:acted" if effect == "queryable" else ""
    one = Tool(name="first", handler=f"w.py:{handler}", effect=effect, asked_by=asked_by, backup="second", **first)
    two = Tool(name="second", handler="w.py:other", effect=effect, asked_by=asked_by, quality="it is older")
    made = desk(base, CODE, tools=(one, two, *more))
    support = replace(made.departments[0], policies=tuple(policies))
    return replace(made, departments=(support, *made.departments[1:]), policies=() if policies else made.policies)


def acts(base: Path) -> list[str]:
    """Which tools have done something, under which key."""
    file = base / "files" / "acts"
    return file.read_text().split() if file.exists() else []


def ask(lone: Lone, number: int = 1) -> Any:
    """One more task; what comes of it."""
    lone.task(ident=f"r/{number}")
    lone.settle()
    return lone.result(f"r/{number}").value


def switches(lone: Lone) -> list[FallbackSwitched]:
    """The receipts."""
    return lone.of_kind(FallbackSwitched)


# -- on what evidence
def test_who_fails_is_bypassed_and_after_a_while_not_called(tmp_path: Path) -> None:
    """Each failure has its receipt; then the breaker is open, and the receipt says why; what is given up stands in it."""
    lone = Lone(tmp_path, place(tmp_path, "broken"))
    for number in range(1, FAILURES + 2):
        assert ask(lone, number) == {"value": "other"}
    found = switches(lone)
    assert [one.tried for one in found] == [True] * FAILURES + [False]
    assert found[0].evidence == "the tool first failed: ValueError: the first is broken" and found[0].gives_up == "it is older"
    assert "not called after 5 failures in a row" in found[-1].evidence
    assert all((one.what, one.name, one.to) == ("tool", "first", "second") for one in found)
    lone.check()


def test_who_is_slow_is_bypassed_in_time(tmp_path: Path) -> None:
    """It answers, late each time: those answers count; then the other is called."""
    lone = Lone(tmp_path, place(tmp_path, "slow", slow_s=0.001))
    values = [ask(lone, number)["value"] for number in range(1, WINDOW + 2)]
    assert values[0] == "slow" and values[-1] == "other"
    assert "calls were slow" in switches(lone)[-1].evidence and not switches(lone)[-1].tried
    lone.check()


def test_who_works_again_gets_its_calls_again(tmp_path: Path) -> None:
    """One call tries, when the while is over; the breaker survives a death of the process."""
    lone = Lone(tmp_path, place(tmp_path, "mended"))
    for number in range(1, FAILURES + 1):
        ask(lone, number)
    lone = lone.again()
    known = lone.decider.state.breakers["tool first"]
    assert ask(lone, 20) == {"value": "other"} and not switches(lone)[-1].tried
    (tmp_path / "files" / "mended").touch()
    known.until_ms = now_ms() - 1
    assert ask(lone, 21) == {"value": "first"} and lone.of_kind(BreakerProbed) and lone.of_kind(FallbackReturned)
    assert ask(lone, 22) == {"value": "first"}


def test_a_trial_that_nobody_waits_for_does_not_bar_the_next(tmp_path: Path) -> None:
    """The task that tries ends before its call: another may try."""
    lone = Lone(tmp_path, place(tmp_path, "mended"))
    for number in range(1, FAILURES + 1):
        ask(lone, number)
    known = lone.decider.state.breakers["tool first"]
    known.until_ms, known.trial = now_ms() - 1, "r/30.1.1/1"
    lone.task(ident="r/30")
    lone.settle()
    assert not known.trial or known.trial != "r/30.1.1/1"


def test_where_nobody_is_left_the_step_fails_with_all_evidence(tmp_path: Path) -> None:
    """Both are shut: neither is called."""
    third = Tool(name="third", handler="w.py:broken")
    made = place(tmp_path, "broken", more=(third,))
    tools = tuple(
        replace(one, handler="w.py:broken", backup="third") if one.name == "second" else one for one in made.departments[0].tools
    )
    lone = Lone(tmp_path, replace(made, departments=(replace(made.departments[0], tools=tools), *made.departments[1:])))
    value = ask(lone)
    assert value["state"] == "failed" and [(one.name, one.to) for one in switches(lone)] == [
        ("first", "second"),
        ("second", "third"),
    ]
    lone.check()


# -- only where nothing has happened
@pytest.mark.parametrize("effect", ["idempotent", "opaque"])
def test_what_may_have_happened_is_not_done_by_another(tmp_path: Path, effect: Any) -> None:
    """The step fails, and says why; nothing was done twice."""
    lone = Lone(tmp_path, place(tmp_path, "halfway", effect))
    value = ask(lone)
    assert "its backup second is not called, because it may have happened" in value["refused"]
    assert acts(tmp_path) == [f"first:{KEY}"] and not switches(lone)
    lone.check()


@pytest.mark.parametrize("effect", ["idempotent", "queryable", "opaque"])
def test_what_could_not_be_begun_another_does(tmp_path: Path, effect: Any) -> None:
    """There is no such function: that is known to have done nothing."""
    lone = Lone(tmp_path, place(tmp_path, "missing", effect))
    assert ask(lone) == {"value": "other"} and acts(tmp_path) == [f"other:{KEY}"]
    assert [intent.tool for intent in lone.of_kind(EffectIntent)] == ["second"] and switches(lone)[0].clear
    lone.check()


@pytest.mark.parametrize(("handler", "value", "done"), [("broken", "other", "other"), ("halfway", "first", "first")])
def test_a_queryable_tool_is_asked_first(tmp_path: Path, handler: str, value: str, done: str) -> None:
    """It says that it did not happen: another does it. Or that it did: that is the value, and nobody else is called."""
    lone = Lone(tmp_path, place(tmp_path, handler, "queryable"))
    assert ask(lone) == {"value": value} and acts(tmp_path) == [f"{done}:{KEY}"]
    (queried,) = lone.of_kind(EffectQueried)
    assert queried.found == (handler == "halfway") and len(switches(lone)) == (handler == "broken")
    lone.check()


@pytest.mark.parametrize("effect", ["none", "idempotent", "queryable", "opaque"])
@pytest.mark.parametrize("point", ["effect.intended", "effect.called", "effect.recorded"])
def test_a_death_on_the_way_leaves_it_done_once(tmp_path: Path, effect: Any, point: str) -> None:
    """Killed at each point, the second time that it comes there if the first tool comes first."""
    handler = "broken" if effect in ("none", "queryable") else "missing"
    made = place(tmp_path, handler, effect)
    if not (pid := os.fork()):
        child, count = Lone(tmp_path, made), [1 if handler == "missing" else 2]

        def strike(name: str) -> None:
            if name == point:
                count[0] -= 1
                if not count[0]:
                    os._exit(9)

        arm(strike)
        child.task()
        child.settle()
        os._exit(0)
    os.waitpid(pid, 0)
    after = Lone(tmp_path, made)
    after.settle()
    if after.decider.state.link("acme/mai").received == 0:
        after.task()
        after.settle()
    for doubt in after.doubts():
        assert doubt.tool == "second"
        after.resolve(point != "effect.intended", "other")
        after.settle()
    assert after.result().value == {"value": "other"}
    twice = effect == "idempotent" and point == "effect.called"  # the tool sees by its key that it was done
    assert set(acts(tmp_path)) <= {f"other:{KEY}"} and len(acts(tmp_path)) <= 1 + (twice or point == "effect.recorded")
    after.check()


# -- under its own policies
@pytest.mark.parametrize("verdict", ["allow", "deny", "person"])
def test_who_stands_in_is_judged_under_its_own_name(tmp_path: Path, verdict: Any) -> None:
    """Allowed, denied, or waiting for its own approval, which names it; what was allowed to the first says nothing of it."""
    policies = (Policy(name="one", verdict="allow", tools=("first",)), Policy(name="two", verdict=verdict, tools=("second",)))
    lone = Lone(tmp_path, place(tmp_path, "missing", "idempotent", policies=policies))
    lone.task()
    lone.settle()
    judged = [(one.name, one.verdict) for one in lone.of_kind(PolicyJudged)]
    assert judged[-1] == ("support.second", verdict) and acts(tmp_path) == ([f"other:{KEY}"] if verdict == "allow" else [])
    if verdict == "person":
        (plea,) = pleas(lone)
        assert plea.name == "support.second"
        lone = lone.again()
        lone.settle()
        say(lone, True, plea)
        assert acts(tmp_path) == [f"other:{KEY}"]
    value = lone.result().value
    assert value == {"value": "other"} if verdict != "deny" else "two denies it" in value["refused"]
    lone.check()


def test_an_approval_of_the_first_is_none_of_the_other(tmp_path: Path) -> None:
    """One policy for both: persons are asked once more, for who stands in."""
    policies = (Policy(name="both", verdict="person", tools=("first", "second")),)
    lone = Lone(tmp_path, place(tmp_path, "broken", "queryable", policies=policies))
    lone.task()
    lone.settle()
    say(lone, True)
    first, other = pleas(lone)
    assert (first.name, other.name) == ("support.first", "support.second") and acts(tmp_path) == []
    say(lone, True, other)
    assert acts(tmp_path) == [f"other:{KEY}"] and len(lone.of_kind(ApprovalAsked)) == 2
    lone.check()


# -- of another process
def far(base: Path, effect: Any = "none", backup_hosts: tuple[str, ...] = ()) -> Lone:
    """Its first tool has the network; who stands in has it, too, or not."""
    made = place(base, "other", effect, hosts=("example.com",))
    tools = tuple(replace(one, hosts=backup_hosts) if one.name == "second" else one for one in made.departments[0].tools)
    lone = Lone(base, replace(made, departments=(replace(made.departments[0], tools=tools), *made.departments[1:])))
    lone.task()
    lone.settle()
    return lone


def uses(lone: Lone) -> list[Use]:
    """What went to Mai."""
    return [body for body in lone.sent.values() if isinstance(body, Use)]


@pytest.mark.parametrize(
    ("effect", "clear", "goes_on"),
    [("none", False, True), ("idempotent", False, False), ("idempotent", True, True), ("opaque", True, True)],
)
@pytest.mark.parametrize("hosts", [(), ("example.org",)])
def test_who_has_the_network_is_bypassed_too(tmp_path: Path, effect: Any, clear: bool, goes_on: bool, hosts: Any) -> None:
    """For a tool of the department, or another with the network, under an id of its own; over a death."""
    lone = far(tmp_path, effect, hosts)
    (first,) = uses(lone)
    lone.say(Used(first.id, "r", refused="no route", clear=clear))
    lone.settle()
    assert len(switches(lone)) == goes_on
    lone = lone.again()
    lone.settle()
    if not goes_on:
        assert "may have happened" in lone.result().value["refused"]
        return
    if hosts:
        second = uses(lone)[-1]
        assert second.tool == "support.second" and second.id != first.id and second.key == first.key
        lone.say(Used(second.id, "r", "there"))
        lone.settle()
    assert lone.result().value == {"value": "there" if hosts else "other"}
    lone.check()
