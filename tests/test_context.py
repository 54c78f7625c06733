"""What `ctx` offers to a worker, as it uses it."""

from pathlib import Path
from typing import Any

import pytest

from mai.agents.canonical import digest
from mai.agents.claim_messages import Claim
from mai.agents.claims import Claimed
from mai.agents.events import HopRefused, Stepped
from mai.agents.memory_messages import Recall, Remember
from mai.agents.organisation import Agent, Tool
from mai.agents.plain import DEEPEST, NotPlain, plain
from tests.lone import Lone, desk


def told(tmp_path: Path, body: str, *others: Agent, tools: tuple[Tool, ...] = ()) -> Lone:
    """A department whose desk does this; it has run until it waits or has ended."""
    lines = body.strip().splitlines()
    code = "async def desk(ctx, task):\n" + "\n".join(f"    {line}" for line in lines)
    (tmp_path / "clerk.py").write_text(
        "async def clerk(ctx, task): return {'asker': task.asker, 'text': task.text, **task.input}"
    )
    lone = Lone(tmp_path, desk(tmp_path, code, *others, tools=tools))
    lone.task()
    lone.settle()
    return lone


CLERK = Agent(name="clerk", rank="coordinator", handler="clerk.py:clerk")


def test_a_colleague_is_asked_by_name(tmp_path: Path) -> None:
    """By those whose rank allows it; text and values arrive, and the reply says who answered."""
    lone = told(
        tmp_path,
        """
reply = await ctx.ask("clerk", text="look", order=1)
return Answer(reply.by, reply.value)
""",
        CLERK,
    )
    result = lone.result()
    assert (result.text, result.value) == ("acme/support/clerk", {"asker": "acme/support/desk", "text": "look", "order": 1})
    lone.close()


def test_several_are_asked_at_once(tmp_path: Path) -> None:
    """All questions are out before the first answer; the answers come in the order of the questions."""
    lone = told(
        tmp_path,
        """
replies = await ctx.all(*(ctx.ask("sales.pipeline", quarter=n) for n in range(4)))
return {"totals": [reply.value["total"] for reply in replies]}
""",
    )
    asked = lone.asked()
    assert [task.input["quarter"] for task in asked] == [0, 1, 2, 3]
    for task in reversed(asked):
        lone.reply(task, {"total": task.input["quarter"] * 10})
    lone.settle()
    assert lone.result().value == {"totals": [0, 10, 20, 30]}
    lone.check()
    lone.close()


def test_a_field_of_a_contract_may_be_called_text(tmp_path: Path) -> None:
    """Where the request declares it, `text` is that field, else it is for the agent to read; `to` is never in the way."""
    lone = told(tmp_path, 'await ctx.all(ctx.ask("sales.pipeline", quarter=1, text="a"))')
    (asked,) = lone.asked()
    assert (asked.text, asked.input) == ("", {"quarter": 1, "text": "a"})
    lone.close()
    other = tmp_path / "other"
    other.mkdir()
    lone = told(other, 'return (await ctx.ask("clerk", text="a", to="b", self="c")).value', CLERK)
    assert lone.result().value == {"asker": "acme/support/desk", "text": "a", "to": "b", "self": "c"}
    lone.close()


def test_a_forbidden_question_says_what_is_allowed(tmp_path: Path) -> None:
    """The Refusal that a worker catches names those whom it may ask; the refusal is on record."""
    lone = told(
        tmp_path,
        """
said = []
for to in ("board", "sales.secret"):
    try:
        await ctx.ask(to)
    except Refusal as refusal:
        said.append(f"{refusal.state}: {refusal.reason}")
return " / ".join(said)
""",
    )
    assert lone.result().text == (
        "refused: an operator may hand a task to a coordinator only, not to the board: ask coordinator / "
        "refused: no contract sales.secret is open to support; it may ask for sales.pipeline"
    )
    assert [event.receiver for event in lone.of_kind(HopRefused)] == ["board", "sales.secret"]
    lone.close()


@pytest.mark.parametrize("state", ["refused", "failed", "expired"])
def test_a_refusal_says_how_it_ended(tmp_path: Path, state: str) -> None:
    """And uncaught it ends the task in the same way, with the same reason."""
    lone = told(tmp_path, 'await ctx.ask("sales.pipeline", quarter=1)')
    lone.reply(lone.asked()[0], {}, state, "the till is closed")
    lone.settle()
    assert (lone.result().state, lone.result().reason) == (state, "the till is closed")
    lone.close()


def test_memory_has_three_levels(tmp_path: Path) -> None:
    """An agent's own, its department's and the client's, each apart; what is not there is None."""
    lone = told(
        tmp_path,
        """
await ctx.remember("k", {"mine": [1]})
await ctx.remember("k", "ours", level="department")
read = [await ctx.recall("k"), await ctx.recall("k", level="department"), await ctx.recall("none")]
await ctx.remember("k", "theirs", level="client")
return {"read": [*read, await ctx.recall("k", level="client")]}
""",
    )
    (written,) = lone.asked()
    assert written == Remember(written.id, "acme/support/desk", "k", "theirs")
    lone.recalled(written.id, "theirs")
    lone.settle()
    read = lone.asked()[-1]
    assert isinstance(read, Recall)
    lone.recalled(read.id, "theirs")
    lone.settle()
    assert lone.result().value == {"read": [{"mine": [1]}, "ours", None, "theirs"]}
    lone.check()
    lone.close()


def test_a_conclusion_is_a_claim(tmp_path: Path) -> None:
    """With what it rests on, under the agent's name."""
    code = """
drawn = ctx.remember("k", 1)
await drawn
await ctx.conclude("customer/3", "risk", "high", confidence=0.8, grounds=["task", drawn])
return "done"
"""
    lone = told(tmp_path, code)
    (claim,) = lone.of_kind(Claimed)
    assert (claim.subject, claim.value, claim.confidence, claim.grounds) == ("customer/3", "high", 0.8, ("task", "step:1"))
    records = {record.seq: record for record in lone.ledger.records()}
    assert [records[one.seq].kind for one in claim.found] == ["hop", "step"]
    assert [records[one.seq].digest.hex() for one in claim.found] == [one.digest for one in claim.found]
    (told_of,) = [body for body in lone.sent.values() if isinstance(body, Claim)]
    assert (told_of.id, told_of.digest, told_of.shown, told_of.value) == ("r/1.1.1/2", digest("high"), False, None)
    lone.check()
    lone.close()


@pytest.mark.parametrize(
    "ground",
    ["step:2", "step:7", "step:x", "record:9999", "memory:agent/k/2", "memory:client/k/1", "claim:r/1/1", "a hunch", "task:1"],
)
def test_a_ground_that_is_not_there_is_refused(tmp_path: Path, ground: str) -> None:
    """With the word that names nothing; nothing is concluded, and it is a step like any other."""
    concluded = f'await ctx.conclude("s", "a", 1, grounds=["task", "memory:agent/k/1", {ground!r}])'
    lone = told(tmp_path, f'await ctx.remember("k", 1)\n{concluded}\nreturn "done"')
    assert lone.result().state == "failed" and f"there is no ground {ground!r}" in lone.result().reason
    assert not lone.of_kind(Claimed)
    lone.check()
    lone.close()


def test_what_was_given_up_cannot_be_kept(tmp_path: Path) -> None:
    """Code that does not look at the answer from above ends with it, whatever it would return."""
    lone = told(
        tmp_path,
        """
try:
    await ctx.escalate("too hard")
except Exception:
    pass
return "never mind"
""",
    )
    assert lone.rule("do this").plea.reason == "too hard"
    lone.settle()
    assert (lone.result().state, lone.result().text, lone.result().by) == ("answered", "do this", "acme/person/ann")
    lone.close()


def test_clock_and_chance_are_steps(tmp_path: Path) -> None:
    """What changes from run to run is on record."""
    lone = told(tmp_path, 'return {"now": ctx.now(), "chance": ctx.random()}')
    value = lone.result().value
    assert [event.value for event in lone.of_kind(Stepped)] == [value["now"], value["chance"]]
    assert 0 <= value["chance"] < 1
    lone.close()


def test_a_worker_sees_its_task(tmp_path: Path) -> None:
    """Under a contract the values are there, typed; the text is the client's."""
    answer = "Answer(f'{task.contract} {task.asker} {task.task}', {'cents': task.input['order']})"
    lone = Lone(tmp_path, desk(tmp_path, f"async def desk(ctx, task): return {answer}"))
    result = lone.ask("", "support.refund", {"order": 5})
    assert (result.text, result.value) == ("support.refund acme/client r/1.1.1", {"cents": 5})
    lone.close()


# -- values
def deep(levels: int) -> Any:
    """Lists in each other."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_plain_values_come_back_as_json_has_them() -> None:
    """So that a record of them compares equal: lists for tuples, texts for keys that are numbers."""
    assert plain({"a": (1, 2.5, None, True, "ä"), 3: {"b": []}}, 1000) == {"a": [1, 2.5, None, True, "ä"], "3": {"b": []}}
    assert plain([-(2**63), 2**64 - 1], 1000) == [-(2**63), 2**64 - 1]
    assert plain(deep(DEEPEST), 1000) == deep(DEEPEST)


@pytest.mark.parametrize(
    "value",
    [float("nan"), -float("inf"), 2**64, -(2**63) - 1, "\ud800", {"\ud800": 1}, deep(DEEPEST + 1), "x" * 1000, {1, object()}],
)
def test_other_values_are_refused(value: object) -> None:
    """With half a sentence that says why."""
    with pytest.raises(NotPlain, match=r"^(a value|the number) "):
        plain({"v": value}, 1000)
