"""Steps that wait for an approval, in a department with its real ledger and code: asked, decided and used once, or over."""

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mai.agents.approval_messages import Approval, Decided
from mai.agents.approval_records import ApprovalAsked, ApprovalDecided, ApprovalReferred, ApprovalUsed
from mai.agents.approval_scope import Approvals
from mai.agents.approvals import KEY
from mai.agents.errand_messages import Think
from mai.agents.events import EffectIntent, Hopped
from mai.agents.messages import Task
from mai.agents.organisation import Agent, Tool
from mai.agents.policy_scope import Policy
from mai.agents.shell import now_ms
from mai.sandbox.points import arm
from tests.lone import Lone, desk

CODE = """
def act(files, cents, *, key):
    with open(files / "acts", "a") as file:
        file.write(f"{key}:{cents} ")
    return cents
def look(files, cents):
    with open(files / "looks", "a") as file:
        file.write("x")
    return cents
def acted(files, key):
    acts = (files / "acts").read_text().split() if (files / "acts").exists() else []
    return 5 if any(act.startswith(key) for act in acts) else None
async def desk(ctx, task):
    try:
        return {"value": await ctx.tool("look" if "look" in task.text else "act", cents=5)}
    except Refusal as refusal:
        return {"refused": refusal.reason, "state": refusal.state}
"""
BOARD = """
async def board(ctx, task):
    call = task.input.get("approval")
    if call is None:
        reply = await ctx.hand("coordinator")
        return Answer(reply.text, reply.value)
    word = WORD
    if word == "escalate":
        await ctx.escalate("I dare not")
    if word == "raise":
        raise ValueError("no idea")
    if word == "refuse":
        raise Refusal("not now")
    if word == "hand":
        return (await ctx.hand("coordinator")).value
    if word == "act":
        return {"decision": "approve", "note": str(await ctx.tool("act", cents=1))}
    return {"decision": word, "note": f"{call['name']} {call['input']['cents']}"}
"""
WORDS = ("escalate", "raise", "refuse", "hand", "silence", "")
KEY_1 = "r/1.1.1/1"


def place(base: Path, verdict: Any, *, word: str = "", effect: Any = "idempotent", undecided: Any = "person", **more: Any) -> Any:
    """A desk that acts and looks, which a policy wants approved; its board says that word, if it has code."""
    asked_by = "w.py:acted" if effect == "queryable" else ""
    tools = (Tool(name="act", handler="w.py:act", effect=effect, asked_by=asked_by), Tool(name="look", handler="w.py:look"))
    code = CODE + (BOARD.replace("WORD", repr(word)) if word else "")
    made = desk(base, code, tools=tools)
    support = made.departments[0]
    policy = Policy(name="large", verdict=verdict, tools=("act", "look"), when={"cents": {"above": 1}}, **more)
    coded = {"handler": "w.py:board", "kind": "python", "tools": ("act",)} if word else {}
    agents = tuple(replace(one, **(coded if one.rank == "board" else {})) for one in support.agents)
    support = replace(support, policies=(policy, Policy(name="rest", verdict="allow", tools=("*",))), agents=agents)
    return replace(made, policies=(), departments=(support, *made.departments[1:]), approvals=Approvals(undecided=undecided))


def pleas(lone: Lone) -> list[Approval]:
    """What Mai was asked for."""
    return [body for body in lone.sent.values() if isinstance(body, Approval) and not body.over]


def say(lone: Lone, approved: bool, plea: Approval | None = None, **more: Any) -> None:
    """Persons have said it."""
    one = plea or pleas(lone)[-1]
    body = Decided(one.id, one.request, one.task, one.n, one.agent, approved, ("ann (1001)",), "as agreed", now_ms())
    lone.say(replace(body, **more))
    lone.settle()


def acts(base: Path) -> list[str]:
    """The effects that there were."""
    file = base / "files" / "acts"
    return file.read_text().split() if file.exists() else []


def kinds(lone: Lone) -> list[str]:
    """What is on record of approvals and effects, in order."""
    lone.shell.commit(all_of_it=True)
    return [record.kind for record in lone.ledger.records() if record.kind.startswith(("approval.", "effect."))]


def begun(base: Path, verdict: Any, **more: Any) -> Lone:
    """The desk has asked for it."""
    lone = Lone(base, place(base, verdict, **more))
    lone.task()
    lone.settle()
    return lone


# -- persons
def test_a_person_approves_and_the_call_is_made_once(tmp_path: Path) -> None:
    """Nothing happens before; the intent names the approval, which is bound to the call; a second word comes too late."""
    lone = begun(tmp_path, "person")
    (plea,) = pleas(lone)
    assert (plea.name, plea.given, plea.persons, plea.agent) == ("support.act", {"cents": 5}, 1, "acme/support/desk")
    assert acts(tmp_path) == [] and kinds(lone) == ["approval.asked"]
    say(lone, True)
    assert lone.result().value == {"value": 5} and acts(tmp_path) == [f"{KEY_1}:5"]
    assert kinds(lone) == ["approval.asked", "approval.decided", "approval.used", "effect.intent"]
    (intent,), (used,) = lone.of_kind(EffectIntent), lone.of_kind(ApprovalUsed)
    assert intent.approval == used.id == plea.id == lone.of_kind(ApprovalAsked)[0].id
    say(lone, False)
    late = lone.of_kind(ApprovalDecided)[-1]
    assert late.late == "nothing waits for it any more" and len(acts(tmp_path)) == 1
    lone.check()


def test_a_person_denies(tmp_path: Path) -> None:
    """The step is refused with who said so and why; its code goes on, and nothing happens."""
    lone = begun(tmp_path, "person")
    say(lone, False)
    refused = lone.result().value["refused"]
    assert refused == "support.act was not approved: ann (1001) denies it: as agreed" and acts(tmp_path) == []
    assert kinds(lone) == ["approval.asked", "approval.decided"]
    lone.check()


@pytest.mark.parametrize("other", [{"id": "f" * 64}, {"n": 2}, {"task": "r/1.1"}, {"task": "r/9"}])
def test_what_is_said_of_another_call_counts_for_nothing(tmp_path: Path, other: dict[str, Any]) -> None:
    """Another id, another step, another task: it is on record as too late, and the call goes on waiting."""
    lone = begun(tmp_path, "person")
    say(lone, True, **other)
    assert acts(tmp_path) == [] and lone.of_kind(ApprovalDecided)[-1].late
    say(lone, True)
    assert acts(tmp_path) == [f"{KEY_1}:5"] and lone.result().state == "answered"
    lone.check()


def test_reads_may_need_one_too(tmp_path: Path) -> None:
    """A tool without an effect waits as well; it has no intent, and what is on record says that it was used."""
    lone = Lone(tmp_path, place(tmp_path, "person"))
    lone.task("desk look")
    lone.settle()
    assert not (tmp_path / "files" / "looks").exists()
    say(lone, True)
    assert lone.result().value == {"value": 5} and kinds(lone) == ["approval.asked", "approval.decided", "approval.used"]
    lone.check()


def test_it_survives_each_death(tmp_path: Path) -> None:
    """Killed while it waits, and after the word, before the call: asked once, done once."""
    lone = begun(tmp_path, "person").again()
    lone.settle()
    (plea,) = pleas(lone)
    assert acts(tmp_path) == []
    one = Decided(plea.id, plea.request, plea.task, plea.n, plea.agent, True, ("ann (1001)",), "", now_ms())
    lone.say(one)
    lone.shell.commit(all_of_it=True)
    lone = lone.again()
    lone.settle()
    assert acts(tmp_path) == [f"{KEY_1}:5"] and lone.result().value == {"value": 5}
    assert kinds(lone) == ["approval.asked", "approval.decided", "approval.used", "effect.intent"]
    lone.check()


@pytest.mark.parametrize("effect", ["none", "idempotent", "queryable", "opaque"])
@pytest.mark.parametrize("point", ["effect.intended", "effect.called", "effect.recorded"])
def test_a_death_around_the_call_uses_it_once(tmp_path: Path, effect: Any, point: str) -> None:
    """One approval, one use on record, however the effect is taken up again; each intent names it."""
    lone = begun(tmp_path, "person", effect=effect)
    (plea,) = pleas(lone)
    lone.close()
    if not (pid := os.fork()):
        child = Lone(tmp_path, lone.organisation)
        arm(lambda name: os._exit(9) if name == point else None)
        say(child, True, plea)
        os._exit(0)
    os.waitpid(pid, 0)
    after = Lone(tmp_path, lone.organisation)
    after.settle()
    for word in after.doubts():
        after.resolve(point != "effect.intended", 5)
        after.settle()
        assert word.tool == "act"
    if not (found := kinds(after)).count("approval.decided"):  # it died before the word was on the disk
        say(after, True, plea)
        found = kinds(after)
    twice = effect == "idempotent" and point != "effect.intended"  # the tool sees by its key that it was done
    assert after.result().value == {"value": 5} and len(acts(tmp_path)) == 1 + twice
    assert found.count("approval.used") == 1 and found.count("approval.asked") == 1
    intents = [event for event in _events(after) if isinstance(event, EffectIntent)]
    assert all(intent.approval == plea.id for intent in intents) and bool(intents) == (effect != "none")
    after.check()


def _events(lone: Lone) -> list[Any]:
    from mai.agents import events

    return [events.decode(record.kind, lone.ledger.body(record)) for record in lone.ledger.records()]


def test_another_organisation_judges_anew(tmp_path: Path) -> None:
    """What was asked under the old one counts for nothing; under the new one it is asked again, denied, or just done."""
    lone = begun(tmp_path, "person")
    (plea,) = pleas(lone)
    for verdict, done in (("person", False), ("allow", True)):
        lone.close()
        changed = replace(place(tmp_path, verdict), digest=f"other {verdict}")
        lone = Lone(tmp_path, changed)
        lone.settle()
        over = [body for body in lone.sent.values() if isinstance(body, Approval) and body.over]
        assert over[-1].id == plea.id and "judged anew" in over[-1].over
        assert bool(acts(tmp_path)) == done
        if not done:
            old, plea = plea, pleas(lone)[-1]
            assert plea.id != old.id and plea.organisation == changed.digest
            say(lone, True, old)
            assert acts(tmp_path) == []
    assert lone.result().value == {"value": 5} and len(acts(tmp_path)) == 1
    lone.check()


def test_another_organisation_takes_an_approval_back(tmp_path: Path) -> None:
    """Approved, killed before the call, and the organisation says no now: it is not done."""
    lone = begun(tmp_path, "person")
    (plea,) = pleas(lone)
    lone.say(Decided(plea.id, plea.request, plea.task, plea.n, plea.agent, True, ("ann (1001)",), "", now_ms()))
    lone.shell.commit(all_of_it=True)
    lone.close()
    lone = Lone(tmp_path, replace(place(tmp_path, "deny"), digest="other"))
    lone.settle()
    assert acts(tmp_path) == [] and "denies it" in lone.result().value["refused"]
    lone.check()


def test_it_expires_by_the_sooner_deadline(tmp_path: Path) -> None:
    """The policy's: the step is refused, and the code goes on; Mai hears that nobody waits. Or the task's, which ends."""
    lone = begun(tmp_path, "person", expires_s=0.05)
    lone.expire()
    value = lone.result().value
    assert value == {"refused": "support.act was not approved: nobody has decided in time", "state": "expired"}
    (over,) = [body for body in lone.sent.values() if isinstance(body, Approval) and body.over]
    assert over.id == pleas(lone)[0].id and kinds(lone) == ["approval.asked", "approval.expired"]
    say(lone, True)
    assert lone.of_kind(ApprovalDecided)[-1].late and acts(tmp_path) == []
    lone.check()


def test_the_end_of_its_task_says_what_it_waited_for(tmp_path: Path) -> None:
    """Whoever waits is told which approval nobody has given; it is over on record before the end."""
    lone = Lone(tmp_path, place(tmp_path, "person", expires_s=600))
    lone.task(limit_ms=300)
    lone.settle()
    lone.expire()
    result = lone.result()
    assert result.state == "expired" and "support.act waited for an approval that nobody has given" in result.reason
    assert f"mai approvals show {pleas(lone)[0].id[:16]}" in result.reason
    assert kinds(lone) == ["approval.asked", "approval.expired"]
    lone.check()


# -- boards
@pytest.mark.parametrize(("word", "done"), [("approve", True), ("deny", False)])
def test_a_board_of_code_decides(tmp_path: Path, word: str, done: bool) -> None:
    """It gets a task of its own with the call in it, and no person is asked."""
    lone = begun(tmp_path, "board", word=word)
    assert pleas(lone) == [] and bool(acts(tmp_path)) == done
    (hop,) = [event for event in lone.of_kind(Hopped) if event.approves]
    assert (hop.agent, hop.sender, hop.step, hop.input[KEY]["name"]) == ("board", "desk", 1, "support.act")
    (decided,) = lone.of_kind(ApprovalDecided)
    assert (decided.approved, decided.who, decided.by, decided.note) == (done, "board", ("acme/support/board",), "support.act 5")
    assert lone.result().value == ({"value": 5} if done else {
        "refused": "support.act was not approved: acme/support/board denies it: support.act 5", "state": "refused",
    })  # fmt: skip
    lone.check()


@pytest.mark.parametrize("word", [*WORDS, "person"])
@pytest.mark.parametrize("undecided", ["person", "deny"])
def test_a_board_that_decides_nothing_is_never_silence(tmp_path: Path, word: str, undecided: str) -> None:
    """It fails, refuses, hands on, or answers otherwise: the organisation says what that means. `person` is a decision."""
    lone = begun(tmp_path, "board", word=word, undecided=undecided)
    left = word in ("escalate", "person", "") or undecided == "person"
    assert len(pleas(lone)) == left and acts(tmp_path) == []
    if left:
        (referred,) = lone.of_kind(ApprovalReferred)
        assert referred.how == ("left" if word in ("escalate", "person", "") else "undecided") and referred.persons == 1
        say(lone, True)
        assert acts(tmp_path) == [f"{KEY_1}:5"]
    else:
        (decided,) = lone.of_kind(ApprovalDecided)
        assert (decided.approved, decided.who) == (False, "organisation")
        assert "which is a denial here" in lone.result().value["refused"]
    lone.check()


def test_a_late_board_leaves_time_for_a_person(tmp_path: Path) -> None:
    """It has half of what there is; then the organisation's word counts."""
    code = BOARD.replace("WORD", "await ctx.ask('sales.pipeline', quarter=1)")
    made = place(tmp_path, "board", word="x")
    (tmp_path / "w.py").write_text((tmp_path / "w.py").read_text().split("async def board")[0] + code)
    lone = Lone(tmp_path, made)
    lone.task(limit_ms=2000)
    lone.settle()
    while not pleas(lone):
        lone.turn()
    assert lone.of_kind(ApprovalReferred)[0].how == "undecided" and lone.decider.state.work
    say(lone, True)
    assert lone.result().value == {"value": 5}
    lone.check()


def test_four_eyes_are_the_boards_and_a_persons(tmp_path: Path) -> None:
    """After the board one person is enough; where it leaves it to persons two are needed."""
    lone = begun(tmp_path, "board", word="approve", four_eyes=True)
    (plea,) = pleas(lone)
    assert plea.persons == 1 and acts(tmp_path) == [] and lone.of_kind(ApprovalReferred)[0].how == "approved"
    say(lone, True)
    assert lone.of_kind(ApprovalDecided)[0].by == ("acme/support/board", "ann (1001)") and len(acts(tmp_path)) == 1
    lone.check()
    other = tmp_path / "other"
    other.mkdir()
    assert pleas(begun(other, "board", word="person", four_eyes=True))[0].persons == 2


def test_what_a_board_does_to_decide_needs_no_approval_itself(tmp_path: Path) -> None:
    """Else it would wait for itself: the call is denied, and on record so. Reads and small acts are open to it as to others."""
    lone = begun(tmp_path, "board", word="act")
    assert acts(tmp_path) == ["r/1.1.1.1/1:1", f"{KEY_1}:5"]  # one cent is allowed
    nested = tmp_path / "nested"
    nested.mkdir()
    made = place(nested, "board", word="act")
    (nested / "w.py").write_text((nested / "w.py").read_text().replace('"act", cents=1)', '"act", cents=9)'))
    lone = Lone(nested, made)
    lone.task()
    lone.settle()
    denied = next(event for event in lone.of_kind(ApprovalDecided))
    assert not denied.approved and "cannot wait for an approval itself" in denied.note and len(pleas(lone)) == 1
    lone.check()


def test_a_board_of_a_model_and_one_of_code_leave_the_same_records(tmp_path: Path) -> None:
    """The same kinds with the same fields; the model sees the call, and is held to the three words."""
    bases = [tmp_path / "code", tmp_path / "model"]
    for base in bases:
        base.mkdir()
    code = begun(bases[0], "board", word="approve")
    made = place(bases[1], "board")
    support = made.departments[0]
    thinker = Agent(name="board", rank="board", kind="model", model="m")
    agents = tuple(thinker if one.name == "board" else one for one in support.agents)
    lone = Lone(bases[1], replace(made, departments=(replace(support, agents=agents), *made.departments[1:])))

    def mind(asked: Think) -> Any:
        if "to" in lone.schema(asked)["schema"]["properties"]:
            return {"to": "coordinator", "reason": ""}
        if "ruling" in lone.schema(asked)["schema"]["properties"]:
            return {"ruling": "sign", "reason": ""}
        assert lone.schema(asked)["schema"]["properties"]["decision"]["enum"] == ["approve", "deny", "person"]
        assert '"name":"support.act"' in str(lone.messages(asked)) and '"cents":5' in str(lone.messages(asked))
        return {"decision": "approve", "reason": "it is small"}

    lone.task()
    lone.think(mind)
    assert acts(bases[1]) == [f"{KEY_1}:5"] and kinds(lone) == kinds(code)
    for kind in (ApprovalAsked, ApprovalDecided, ApprovalUsed):
        (one,), (other,) = lone.of_kind(kind), code.of_kind(kind)
        assert replace(one, **_own(other)) == other
    lone.check()


def _own(event: Any) -> dict[str, Any]:
    """What differs from run to run."""
    return {name: getattr(event, name) for name in ("id", "at_ms", "expires_ms", "note", "task") if hasattr(event, name)}


def test_approval_and_hand_off_in_one_answer_both_happen(tmp_path: Path) -> None:
    """A model that wants an effect which has to be approved, and asks another department in the same answer, gets both."""
    made = place(tmp_path, "person")
    support = made.departments[0]
    thinker = Agent(name="desk", rank="specialist", kind="model", model="m", tools=("act", "sales.pipeline"))
    agents = tuple(thinker if one.name == "desk" else one for one in support.agents)
    lone = Lone(tmp_path, replace(made, departments=(replace(support, agents=agents), *made.departments[1:])))
    turns: list[Think] = []

    def mind(asked: Think) -> Any:
        turns.append(asked)
        if len(turns) == 1:
            return "", ("act", '{"cents": 5}'), ("sales.pipeline", '{"quarter": 1}')
        return {"move": {"do": "answer", "text": "both"}}

    lone.task()
    lone.think(mind)
    assert len(pleas(lone)) == 1 and acts(tmp_path) == []
    say(lone, True)
    (asked,) = [body for body in lone.sent.values() if isinstance(body, Task)]
    lone.reply(asked, {"total": 7})
    lone.think(mind)
    assert acts(tmp_path) == [f"{KEY_1.replace('/1', '/2')}:5"] or len(acts(tmp_path)) == 1
    assert lone.result().text == "both" and len(turns) == 2
    told = str(lone.messages(turns[1]))
    assert '"result":5' in told.replace("\\", "") and '"total":7' in told.replace("\\", "")
    lone.check()


# -- other departments
def test_a_contract_waits_as_a_tool_does(tmp_path: Path) -> None:
    """What is asked of another department goes only when it is approved."""
    base = desk(tmp_path, 'async def desk(ctx, task):\n    return (await ctx.ask("sales.pipeline", quarter=3)).value\n')
    policy = Policy(name="careful", verdict="person", contracts=("sales.*",))
    made = replace(base, policies=(policy,))
    lone = Lone(tmp_path, made)
    lone.task()
    lone.settle()
    (plea,) = pleas(lone)
    assert (plea.call, plea.name, plea.given) == ("ask", "sales.pipeline", {"quarter": 3})
    assert not [body for body in lone.sent.values() if isinstance(body, Task)]
    lone = lone.again()
    lone.settle()
    say(lone, True)
    (asked,) = [body for body in lone.sent.values() if isinstance(body, Task)]
    lone.reply(asked, {"total": 7})
    lone.settle()
    assert lone.result().value == {"total": 7} and kinds(lone) == ["approval.asked", "approval.decided", "approval.used"]
    lone.check()
