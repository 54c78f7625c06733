"""A board that is asked about claims that contradict each other: by rule, code or model it says the same kind of thing."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mai.agents.canonical import digest
from mai.agents.claim_messages import CaseTold, Claim, Side, Vote, Weigh
from mai.agents.claims import Claimed, RulingTold
from mai.agents.conflict_scope import Precedence
from mai.agents.errand_messages import Think
from mai.agents.organisation import Agent, Organisation
from mai.agents.shell import now_ms
from tests.lone import Lone, organisation

CODE = """
from mai.agents.context import Answer, Refusal
async def desk(ctx, task):
    await ctx.conclude("c/1", "risk", task.text.partition(" ")[2], why="I looked")
    return "done"
async def board(ctx, task):
    if not task.case: return (await ctx.hand("coordinator")).text
    claims = {one["value"]: one["claim"] for one in task.input["claims"] if one["shown"]}
    if "refuse" in claims: raise Refusal("not today")
    return {"claim": claims.get("high", "none of them"), "why": f"{task.input['subject']} in {task.case}"}
"""
THEIRS = Side(2, "q/1.1/1", "sales", "acme/sales/clerk", "operator", 0.9, 7, True, "high")


def place(base: Path, kind: str, precedence: tuple[Precedence, ...] = ()) -> Organisation:
    """Support with a board of this kind."""
    (base / "w.py").write_text(CODE)
    made = organisation(base, Agent(name="desk", rank="operator", handler="w.py:desk"))
    more: dict[str, Any] = {"python": {"handler": "w.py:board"}, "model": {"kind": "model"}}.get(kind, {})
    support = made.departments[0]
    agents = (Agent(name="board", rank="board", **more), *support.agents[1:])
    support = msgspec.structs.replace(support, agents=agents, precedence=precedence)
    return msgspec.structs.replace(made, departments=(support, *made.departments[1:]))


def weigh(lone: Lone, *sides: Side, ruling: str = "") -> None:
    """Mai asks."""
    lone.say(Weigh("case-1/1", "case-1", now_ms() + 60_000, "c/1", "risk", sides, ruling, "q/1.1/1" if ruling else ""))
    lone.settle()


def vote(lone: Lone) -> Vote:
    """What it says."""
    (found,) = [body for body in lone.sent.values() if isinstance(body, Vote)]
    return found


def ours(value: str = "low", ident: str = "r/1.1.1/1") -> Side:
    """A claim of its own, as Mai knows it: without the value."""
    return Side(1, ident, "support", "acme/support/desk", "operator", 0.5, 5)


@pytest.mark.parametrize("kind", ["rule", "python", "model"])
def test_each_kind_of_board_votes_in_the_same_form(tmp_path: Path, kind: str) -> None:
    """Rule, code or model: one Vote with a claim of the case, the reason and the board's address; and its journal folds."""
    lone = Lone(tmp_path, place(tmp_path, kind, (Precedence(name="sure", by=("votes", "confidence")),)))
    weigh(lone, ours(), THEIRS)
    lone.think(lambda asked: {"ruling": "q/1.1/1", "reason": "they are sure"})
    said = vote(lone)
    assert (said.task, said.request, said.state, said.claim, said.by) == (
        "case-1/1",
        "case-1",
        "answered",
        "q/1.1/1",
        "acme/support/board",
    )
    assert said.why and not lone.decider.state.work
    lone.check()
    lone.close()


@pytest.mark.parametrize(("kind", "value"), [("rule", "x"), ("python", "refuse"), ("python", "x"), ("model", "x")])
def test_who_cannot_say_is_undecided(tmp_path: Path, kind: str, value: str) -> None:
    """No rule that tells, a refusal, a claim that is none, a model that is not to be had: a vote for nobody, with the reason."""
    lone = Lone(tmp_path, place(tmp_path, kind, (Precedence(name="rank", by=("rank",)),)))
    weigh(lone, msgspec.structs.replace(THEIRS, side=1, value=value), msgspec.structs.replace(THEIRS, claim="z/1", value="y"))
    for asked in [one for one in lone.sent.values() if isinstance(one, Think)]:
        lone.unthought(asked, "failed", "the provider is away")
    lone.settle()
    assert vote(lone).claim == "" and vote(lone).why
    lone.close()


def test_a_board_that_dies_is_asked_again_by_its_journal(tmp_path: Path) -> None:
    """The question is a task like any other: after a death it goes on, and is answered once."""
    lone = Lone(tmp_path, place(tmp_path, "model"))
    weigh(lone, ours(), THEIRS)
    lone = lone.again()
    lone.settle()
    lone.think(lambda asked: {"ruling": "q/1.1/1", "reason": "they are sure"})
    assert vote(lone).claim == "q/1.1/1"
    lone.check()
    lone.close()


def test_its_own_claims_are_shown_to_it_whole(tmp_path: Path) -> None:
    """Also a value that does not leave the department: Mai has its digest, the board sees it, and says for which it is."""
    lone = Lone(tmp_path, place(tmp_path, "python"))
    lone.ask("desk high")
    (claimed,) = lone.of_kind(Claimed)
    (told,) = [body for body in lone.sent.values() if isinstance(body, Claim)]
    assert (told.value, told.why, told.digest) == (None, "", digest("high"))
    weigh(lone, ours(ident=claimed.id), msgspec.structs.replace(THEIRS, shown=False, value=None))
    assert vote(lone).claim == claimed.id
    lone.check()
    lone.close()


def test_what_has_lost_is_not_concluded_again(tmp_path: Path) -> None:
    """As long as the ruling is valid here; another value is, and after the ruling's end, or an appeal, the same."""
    lone = Lone(tmp_path, place(tmp_path, "rule"))
    body = CaseTold(
        "i", "case-1", "c/1", "risk", winner="q/1.1/1", losers=("r/0",), digest=digest("high"), lost=(digest("low"),), shown=True,
        value="high", clause="sure: confidence", why="they are sure", by="acme/mai", until_ms=now_ms() + 60_000,
    )  # fmt: skip
    lone.say(body)
    refused = lone.ask("desk low")
    assert refused.state == "refused" and 'case-1 to "high"' in refused.reason and "sure: confidence" in refused.reason
    assert not lone.of_kind(Claimed) and len(lone.of_kind(RulingTold)) == 1
    lone.task("desk high", ident="r/2")
    lone.say(CaseTold("j", "case-1", "c/1", "risk", open=True))
    lone.task("desk low", ident="r/3")
    lone.settle()
    assert [one.value for one in lone.of_kind(Claimed)] == ["high", "low"]
    lone.check()
    lone.close()
