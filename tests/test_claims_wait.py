"""Claims that a policy wants approved: they wait as a tool's call does, and are made once, just as they were asked for."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mai.agents.approval_messages import Approval, Decided, Word
from mai.agents.approval_records import ApprovalAsked, ApprovalUsed
from mai.agents.canonical import digest
from mai.agents.claim_messages import CaseTold, Claim
from mai.agents.claims import Claimed
from mai.agents.events import Stepped
from mai.agents.judging import PolicyJudged
from mai.agents.leaves import Leaves
from mai.agents.pleas import digest_of
from mai.agents.policy_scope import Policy
from mai.agents.shell import now_ms
from tests.lone import Lone, desk
from tests.test_approvals import BOARD, kinds, pleas, say

CODE = """
async def desk(ctx, task):
    seen = await ctx.remember("seen", 1)
    try:
        claim = await ctx.conclude("customer/1", "cents", 7_043_211, confidence=0.9, grounds=["task", "step:1"], why="I counted")
        return {"value": claim["claim"]}
    except Refusal as refusal:
        return {"refused": refusal.reason, "state": refusal.state}
"""
ASKED, DECIDED, USED = "approval.asked", "approval.decided", "approval.used"


def place(base: Path, verdict: Any = "person", *, word: str = "", shown: bool = True, **more: Any) -> Any:
    """A desk that concludes what a policy wants approved; its board says that word."""
    made = desk(base, CODE + (BOARD.replace("WORD", repr(word)).replace("'cents'", "'value'") if word else ""))
    support = made.departments[0]
    policy = Policy(name="large", verdict=verdict, claims=("cents",), when={"value": {"above": 500}}, **more)
    coded = {"handler": "w.py:board", "kind": "python"} if word else {}
    agents = tuple(replace(one, **(coded if one.rank == "board" else {})) for one in support.agents)
    leaves = Leaves() if shown else Leaves(withheld=("cents",))
    return replace(made, departments=(replace(support, policies=(policy,), agents=agents, leaves=leaves), *made.departments[1:]))


def begun(base: Path, verdict: Any = "person", **more: Any) -> Lone:
    """The desk has concluded it."""
    lone = Lone(base, place(base, verdict, **more))
    lone.task()
    lone.settle()
    return lone


def claims(lone: Lone) -> list[Claim]:
    """What Mai was told."""
    return [body for body in lone.sent.values() if isinstance(body, Claim)]


def test_it_waits_and_is_made_once(tmp_path: Path) -> None:
    """Nothing is claimed before; then just that is, with the word that lets it pass at Mai; a second word comes too late."""
    lone = begun(tmp_path)
    (plea,) = pleas(lone)
    assert (plea.call, plea.name, plea.given["value"]) == ("conclude", "customer/1 cents", 7_043_211)
    assert kinds(lone) == [ASKED] and not claims(lone) and not lone.decider.state.claims
    (judged,) = lone.of_kind(PolicyJudged)
    assert (judged.what, judged.verdict, judged.clause) == ("claim", "person", "support.large")
    say(lone, True)
    assert lone.result().value == {"value": "r/1.1.1/2"} and kinds(lone) == [ASKED, DECIDED, USED]
    (claim,), (used,) = claims(lone), lone.of_kind(ApprovalUsed)
    assert claim.word == Word(used.id, "r/1.1.1", 2, 1, ("ann (1001)",), lone.of_kind(ApprovalAsked)[0].at_ms)
    (claimed,) = lone.of_kind(Claimed)
    assert [ground.name for ground in claimed.found] == ["task", "step:1"] and all(ground.seq for ground in claimed.found)
    say(lone, True)
    assert len(claims(lone)) == 1
    lone.check()


def test_what_is_denied_is_never_claimed(tmp_path: Path) -> None:
    """The code hears who has denied it, and why."""
    lone = begun(tmp_path)
    say(lone, False)
    assert lone.result().value["refused"] == "customer/1 cents was not approved: ann (1001) denies it: as agreed"
    assert not claims(lone) and not lone.of_kind(Claimed)
    lone.check()


def test_it_survives_each_death(tmp_path: Path) -> None:
    """Killed while it waits, and after the word, before the claim: asked once, made once, with its grounds."""
    lone = begun(tmp_path).again()
    lone.settle()
    (plea,) = pleas(lone)
    lone.say(Decided(plea.id, plea.request, plea.task, plea.n, plea.agent, True, ("ann (1001)",), "", now_ms()))
    lone.shell.commit(all_of_it=True)
    lone = lone.again()
    lone.settle()
    assert kinds(lone) == [ASKED, DECIDED, USED] and lone.result().state == "answered"
    lone = lone.again()
    lone.settle()
    assert kinds(lone).count(USED) == 1 and len(lone.decider.state.claims) == 1
    lone.check()


def test_it_expires(tmp_path: Path) -> None:
    """By the policy's time; Mai hears that nobody waits."""
    lone = begun(tmp_path, expires_s=0.05)
    lone.expire()
    assert lone.result().value["state"] == "expired" and not claims(lone)
    assert [body.over for body in lone.sent.values() if isinstance(body, Approval)] == ["", "nobody has decided in time"]
    lone.check()


@pytest.mark.parametrize("word", ["approve", "deny", "person", "raise"])
def test_a_board_decides_about_it(tmp_path: Path, word: str) -> None:
    """It sees the claim, also what does not leave the department; where it does not decide a person is asked."""
    lone = begun(tmp_path, "board", word=word, shown=False)
    assert len(claims(lone)) == (word == "approve") and len(pleas(lone)) == (word in ("person", "raise"))
    if word == "approve":
        assert claims(lone)[0].word and claims(lone)[0].word.by == ("acme/support/board",)  # type: ignore[union-attr]  # just so
    lone.check()


def test_persons_see_no_more_than_may_leave(tmp_path: Path) -> None:
    """A value that is withheld is in nothing that Mai gets, and the approval is bound to it all the same."""
    lone = begun(tmp_path, shown=False)
    (plea,) = pleas(lone)
    assert plea.given == {"subject": "customer/1", "attribute": "cents", "confidence": 0.9}
    assert "7043211" not in str(plea) and plea.arguments != digest_of(plea.given)
    say(lone, True)
    assert claims(lone)[0].word and not claims(lone)[0].shown
    lone.check()


def test_what_has_lost_meanwhile_is_not_claimed(tmp_path: Path) -> None:
    """A ruling that comes while it waits: the approval is not used."""
    lone = begun(tmp_path)
    until_ms = now_ms() + 60_000
    lost = CaseTold("c", "case-1", "customer/1", "cents", winner="x", lost=("x",), digest="y", until_ms=until_ms)
    lone.say(replace(lost, lost=(digest(7_043_211),)))
    say(lone, True)
    assert "lost the case" in lone.result().value["refused"] and kinds(lone) == [ASKED, DECIDED] and not claims(lone)
    lone.check()


def test_another_organisation_judges_anew(tmp_path: Path) -> None:
    """What was asked under the old one is asked again, or just done."""
    lone = begun(tmp_path)
    for verdict, done in (("person", False), ("allow", True)):
        lone.close()
        lone = Lone(tmp_path, replace(place(tmp_path, verdict), digest=f"other {verdict}"))
        lone.settle()
        assert bool(claims(lone)) == done
    assert kinds(lone) == [ASKED, "approval.expired", ASKED, "approval.expired"]
    assert [step.call for step in lone.of_kind(Stepped)] == ["conclude"]
    lone.check()
