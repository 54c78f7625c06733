"""Policies are enforced where something is done: tools of each kind, contracts, claims, undoing; over deaths and reloads."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from mai.agents import events
from mai.agents.claims import Claimed
from mai.agents.errand_messages import Use
from mai.agents.events import EffectIntent, HopRefused, ProcessStarted, Stepped
from mai.agents.judging import PolicyJudged
from mai.agents.messages import Task
from mai.agents.order_messages import Cancel, Cancelled
from mai.agents.organisation import Organisation, Tool
from mai.agents.policy_scope import Policy
from mai.daemon.examination import Examination
from mai.daemon.invariants import Fact
from mai.sandbox.points import arm
from tests.lone import ME, Lone, desk, struck

CODE = """
def act(files, cents, *, key=""):
    with open(files / "acts", "a") as file:
        file.write(f"{cents} ")
    return {"cents": cents}
def slow(files, cents, *, key=""):
    (files / "sign").touch()
    while (files / "held").exists(): pass
    return act(files, cents)
def unact(files, undoes, input, value, *, key):
    with open(files / "acts", "a") as file:
        file.write(f"-{value['cents']} ")
async def desk(ctx, task):
    cents = task.input.get("cents", 5)
    if task.text == "desk claim":
        try:
            await ctx.conclude("customer/7", "risk", "high", confidence=cents / 10)
            return {"value": "concluded"}
        except Refusal as refusal:
            return {"refused": refusal.reason, "state": refusal.state}
    what = ctx.ask("sales.pipeline", quarter=cents) if task.text == "desk ask" else ctx.tool("act", cents=cents)
    try:
        return {"value": await what}
    except Refusal as refusal:
        return {"refused": refusal.reason, "state": refusal.state}
"""
LARGE = Policy(name="large", verdict="deny", tools=("act",), when={"cents": {"above": 9}}, why="too much")
REST = Policy(name="rest", verdict="allow", tools=("act",))


def place(base: Path, *policies: Policy, tool: Tool | None = None, code: str = CODE, more: tuple[Tool, ...] = ()) -> Organisation:
    """A desk with the tool `act`, and these policies of its department."""
    made = desk(base, code, tools=(tool or Tool(name="act", handler="w.py:act", effect="idempotent"), *more))
    return ruled(made, *policies)


def ruled(made: Organisation, *policies: Policy) -> Organisation:
    """The same organisation with other policies."""
    support = replace(made.departments[0], policies=policies)
    return replace(made, policies=(), departments=(support, *made.departments[1:]))


def kinds() -> tuple[Tool, ...]:
    """The tool in each form that a department uses itself."""
    text = 'read -r given; echo "$given" | sed "s/[^0-9]//g" | tr "\\n" " " >>"$MAI_FILES/acts"; echo 1'
    command = Tool(name="act", command=("sh", "-c", text), files="write", effect="opaque", input={"cents": "int"})
    return (Tool(name="act", handler="w.py:act", effect="idempotent"), command)


class Life(Lone):
    """A life that says by which policies it judges, as a department's process does."""

    def __init__(self, base: Path, organisation: Organisation) -> None:
        super().__init__(base, organisation)
        digest = self.decider.policies.digest
        self.shell.apply(ProcessStarted(process=ME, version="0", organisation="d", pid=1, policies=digest))


def acts(base: Path) -> list[str]:
    """What has happened outside."""
    file = base / "files" / "acts"
    return file.read_text().split() if file.exists() else []


def verdicts(lone: Lone) -> list[tuple[str, str]]:
    """The verdicts on record in this life."""
    return [(one.verdict, one.clause) for one in lone.of_kind(PolicyJudged)]


def lawful(lone: Lone) -> None:
    """Whatever has happened, no effect is without a verdict that lets it."""
    lone.check()
    examination = Examination()
    journal = examination.journal(ME)
    for record in lone.ledger.records():
        journal.take(Fact(ME, record.seq, events.decode(record.kind, lone.ledger.body(record)), kind=record.kind))
    found = [one.what for one in examination.verdict(at_rest=False).findings if one.law == "policies"]
    assert found == []


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(("cents", "verdict"), [(5, ("allow", "support.rest")), (10, ("deny", "support.large"))])
def test_a_tool_of_the_department(tmp_path: Path, which: int, cents: int, verdict: tuple[str, str]) -> None:
    """The verdict is on record before the intent; what is denied leaves no intent, and the code hears which policy denies it."""
    lone = Life(tmp_path, place(tmp_path, LARGE, REST, tool=kinds()[which]))
    result = lone.ask(given={"cents": cents})
    assert verdicts(lone) == [verdict]
    if verdict[0] == "allow":
        assert acts(tmp_path) == ["5"]
        (judged,), (intent,) = lone.of_kind(PolicyJudged), lone.of_kind(EffectIntent)
        assert lone.seen.index(judged) < lone.seen.index(intent)
        assert (judged.n, judged.policies) == (intent.n, lone.decider.policies.digest)
    else:
        assert acts(tmp_path) == [] and not lone.of_kind(EffectIntent)
        why = "desk may not use support.act: the policy support.large denies it (too much)"
        assert result.value == {"refused": why, "state": "refused"}
    lawful(lone)
    lone.close()


def test_without_any_policy_effects_are_denied_and_reads_allowed(tmp_path: Path) -> None:
    """And a read that is allowed leaves no record of its own."""
    lone = Life(tmp_path, place(tmp_path))
    assert "no policy allows it, and it has an effect" in lone.ask().value["refused"]
    assert verdicts(lone) == [("deny", "")] and acts(tmp_path) == []
    lone.close()
    other = tmp_path / "read"
    other.mkdir()
    lone = Life(other, place(other, tool=Tool(name="act", handler="w.py:act")))
    assert lone.ask().value == {"value": {"cents": 5}} and verdicts(lone) == []
    lone.close()


@pytest.mark.parametrize(("cents", "goes"), [(5, True), (10, False)])
def test_a_tool_of_another_process(tmp_path: Path, cents: int, goes: bool) -> None:
    """The use goes to Mai with its intent in one commit, or nothing does."""
    lone = Life(
        tmp_path, place(tmp_path, LARGE, REST, tool=Tool(name="act", handler="w.py:act", hosts=("a.b",), effect="opaque"))
    )
    lone.task(given={"cents": cents})
    lone.settle()
    assert bool([body for body in lone.asked() if isinstance(body, Use)]) == goes == bool(lone.of_kind(EffectIntent))
    assert verdicts(lone) == [("allow", "support.rest") if goes else ("deny", "support.large")]
    lawful(lone)
    lone.close()


@pytest.mark.parametrize(("quarter", "goes"), [(3, True), (4, False)])
def test_another_departments_contract(tmp_path: Path, quarter: int, goes: bool) -> None:
    """It is asked for, or refused on record, before anything goes up the ranks."""
    policy = Policy(name="late", verdict="deny", contracts=("sales.*",), ranks=("operator",), when={"quarter": {"above": 3}})
    lone = Life(tmp_path, place(tmp_path, policy))
    lone.task("desk ask", given={"cents": quarter})
    lone.settle()
    assert bool([body for body in lone.asked() if isinstance(body, Task)]) == goes
    if not goes:
        assert lone.result().value["refused"] == "desk may not ask for sales.pipeline: the policy support.late denies it"
        assert verdicts(lone) == [("deny", "support.late")] and len(lone.of_kind(HopRefused)) == 1
    lawful(lone)
    lone.close()


@pytest.mark.parametrize(("tenths", "holds"), [(5, True), (4, False)])
def test_a_conclusion(tmp_path: Path, tenths: int, holds: bool) -> None:
    """A claim that a policy denies is none: nothing of it is on record but that it was denied."""
    policy = Policy(
        name="sure", verdict="deny", claims=("ris*",), when={"confidence": {"below": 0.5}, "subject": {"like": "customer/*"}}
    )
    lone = Life(tmp_path, place(tmp_path, policy))
    result = lone.ask("desk claim", given={"cents": tenths})
    assert len(lone.of_kind(Claimed)) == holds and ("value" in result.value) == holds
    assert verdicts(lone) == ([] if holds else [("deny", "support.sure")])
    lawful(lone)
    lone.close()


def test_what_has_not_begun_is_judged_by_the_policies_of_then(tmp_path: Path) -> None:
    """Killed behind a verdict and before the intent, and started with other policies: they decide, either way."""
    for first, second, happens in (((REST,), (), False), ((), (REST,), True), ((REST,), (LARGE, REST), True)):
        base = tmp_path / f"{len(first)}{len(second)}"
        base.mkdir()
        made = place(base, *first)
        lone = Life(base, made)
        lone.task()
        lone.shell.commit()
        lone.close()
        if (pid := os.fork()) == 0:
            arm(lambda name: os._exit(9) if name == "effect.intended" else None)  # its commit has not been: it is made after it
            life = Life(base, made)
            life.shell.commit = lambda **_: None  # type: ignore[method-assign]  # what it decides is lost with it
            life.settle()
            os._exit(0)
        os.waitpid(pid, 0)
        lone = Life(base, ruled(made, *second))
        lone.settle()
        assert acts(base) == ["5"] * happens, (first, second)
        assert verdicts(lone) == [("allow", "support.rest") if happens else ("deny", "")]
        lawful(lone)
        lone.close()


def test_what_has_begun_goes_on_under_its_verdict(tmp_path: Path) -> None:
    """An effect that may be repeated is, after a death in the middle of it, though the policies deny it now: it has begun."""
    tool = Tool(name="act", handler="w.py:slow", effect="idempotent")
    made = place(tmp_path, REST, tool=tool)
    lone = Life(tmp_path, made)
    lone.task()
    lone.shell.commit()
    lone.close()
    (tmp_path / "files" / "held").touch()
    assert struck(tmp_path, made, tmp_path / "files" / "sign") < 0
    (tmp_path / "files" / "held").unlink()
    lone = Life(tmp_path, ruled(made, Policy(name="none", verdict="deny", tools=("act",))))
    lone.settle()
    assert acts(tmp_path) == ["5"] and lone.result().value == {"value": {"cents": 5}} and verdicts(lone) == []
    lawful(lone)
    lone.close()


def test_a_command_that_waits_for_its_place_is_judged_when_it_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was allowed when it was called, and is not when its turn comes, is not begun."""
    day = Policy(name="day", verdict="allow", tools=("act",), when={"at": {"between": ["08:00", "18:00"]}})
    lone = Life(tmp_path, place(tmp_path, day, tool=kinds()[1]))
    clock = [17 * 3600_000]
    monkeypatch.setattr("mai.agents.tool_steps.now_ms", lambda: clock[0])
    lone.runner.toolbox._running = 0  # no place is free
    lone.task()
    lone.turn()
    assert verdicts(lone) == [("allow", "support.day")] and not lone.of_kind(EffectIntent)
    clock[0] += 3600_000
    lone.runner.toolbox._running = 1
    lone.settle()
    assert verdicts(lone) == [("allow", "support.day"), ("deny", "")] and acts(tmp_path) == []
    (step,) = lone.of_kind(Stepped)
    assert (step.state, "no policy allows it" in step.refused) == ("", True)
    lawful(lone)
    lone.close()


@pytest.mark.parametrize(
    ("policy", "undone"),
    [
        (None, True),  # what nobody allows to agents is undone all the same
        (Policy(name="stop", verdict="deny", tools=("unact",)), False),
        (Policy(name="stop", verdict="deny", tools=("unact",), when={"requester": {"is": "sales"}}), True),  # nobody can tell
        (Policy(name="stop", verdict="person", tools=("unact",)), True),  # a person has cancelled it
    ],
)
def test_undoing(tmp_path: Path, policy: Policy | None, undone: bool) -> None:
    """What a cancelled request undoes goes through, unless a policy denies that tool for certain: then a person is told."""
    tool = Tool(name="act", handler="w.py:act", effect="idempotent", undo="unact")
    unact = Tool(name="unact", handler="w.py:unact", effect="idempotent")
    code = CODE.replace("    what = ctx.ask", '    await ctx.tool("act", cents=7)\n    what = ctx.ask')
    policies = (REST, *([policy] if policy else []))
    lone = Life(tmp_path, place(tmp_path, *policies, tool=tool, code=code, more=(unact,)))
    lone.task("desk ask")
    lone.settle()
    lone.say(Cancel("r", "ann", "no more"))
    lone.settle()
    assert acts(tmp_path) == (["7", "-7"] if undone else ["7"])
    (told,) = (body for body in lone.sent.values() if isinstance(body, Cancelled))
    if undone:
        assert [one.state for one in told.undone] == ["undone"]
    else:
        assert [one.state for one in told.undone] == ["failed"]
        assert "the policy support.stop denies it: undo it by hand" in told.undone[0].note
        assert [(one.what, one.verdict) for one in lone.of_kind(PolicyJudged)][-1] == ("undo", "deny")
    lawful(lone)
    lone.close()
