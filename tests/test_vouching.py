"""Calls that a policy gives to a board, as they come to Mai: she takes no department's word for what she can see herself."""

from typing import Any

import pytest
from msgspec.structs import replace

from mai.agents.approval_messages import Word
from mai.agents.board_scope import Rule
from mai.agents.claim_messages import Claim
from mai.agents.decider import Tick
from mai.agents.events import MessageRefused
from mai.agents.judging import PolicyJudged
from mai.agents.messages import Task
from mai.agents.pleas import bound, claimed, digest_of
from mai.agents.policy_scope import Policy
from mai.daemon.dispute_records import Asserted, ClaimNoted
from mai.daemon.pending import ApprovalPassed
from tests import test_mai
from tests.test_approving import careful
from tests.test_errands import NOW_MS, UNTIL_MS, Mai

CLERK, BOARD = "acme/support/clerk", "acme/support/board"


def cared(verdict: Any = "board", *, rules: tuple[Rule, ...] = (), coded: bool = True) -> Mai:
    """A policy gives what the clerk searches to the board, which has code, or these rules."""
    mai = careful(verdict)
    whole = mai.decider.mandate.organisation
    board = replace(whole.departments[0].board, handler="x.py:board" if coded else "", kind="python" if coded else "")
    agents = tuple(board if one.rank == "board" else one for one in whole.departments[0].agents)
    support = replace(whole.departments[0], agents=agents, rules=rules)
    mai.decider.mandate = replace(mai.decider.mandate, organisation=replace(whole, departments=(support, *whole.departments[1:])))
    return mai


def word(**more: Any) -> Word:
    """What support says of its board's approval of the search in step 1 of R/1.2."""
    given: dict[str, Any] = {
        "agent": CLERK, "input": {"q": 1}, "organisation": "d", "task": "R/1.2", "n": 1, "count": 1, "by": (BOARD,), **more,
    }  # fmt: skip
    arguments = digest_of({"tool": "search", "input": given["input"]})
    step = (given["task"], given["n"], given["count"])
    ident = bound(given["agent"], step, "tool", "support.search", arguments, given["organisation"])
    return Word(ident, *step, given["by"], NOW_MS)


def test_what_its_board_approves_passes_once() -> None:
    """The same call again, which did not happen, too; another that bears the same word does not."""
    mai = cared()
    assert mai.use(word=word())[0].to == "acme/tools"
    passed = mai.last(ApprovalPassed)
    assert (passed.by, passed.approval, passed.task) == (BOARD, word().id, "R/1.2.m1")
    assert mai.use(id="R/1.2.m1r1", word=word())[0].to == "acme/tools"
    assert "was done already" in mai.use(id="R/1.2.m2", word=word())[0].body.refused.replace("has been", "was")
    assert sum(isinstance(one, ApprovalPassed) for one in mai.events) == 1


def test_a_word_is_for_its_own_step() -> None:
    """Not for what another step asks whose id only begins like this one's."""
    (send,) = (mai := cared()).use(id="R/1.20.m1", word=word())
    assert "what was approved is another call" in send.body.refused
    assert mai.use(word=word())[0].to == "acme/tools"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (None, "its board has not said so"),
        (word(by=()), "it has to be acme/support/board that says so"),
        (word(by=("acme/finance/board",)), "and acme/finance/board does"),
        (word(by=(BOARD, BOARD)), "it has to be acme/support/board that says so"),
        (word(input={"q": 2}), "what was approved is another call"),
        (word(agent=BOARD), "what was approved is another call"),
        (word(organisation="other"), "what was approved is another call"),
        (word(task="R/1.3"), "what was approved is another call"),
        (replace(word(), count=2), "what was approved is another call"),
        (replace(word(), id="f" * 64), "what was approved is another call"),
    ],
)
def test_what_its_board_has_not_approved_does_not_pass(said: Word | None, why: str) -> None:
    """No word, another's, one for another call: refused, on record, and nothing goes on."""
    mai = cared()
    (send,) = mai.use(word=said)
    assert send.to == "acme/support" and why in send.body.refused
    assert mai.last(PolicyJudged).verdict == "board" and not any(isinstance(one, ApprovalPassed) for one in mai.events)


def test_a_board_does_not_approve_what_it_asks() -> None:
    """That is left to a person."""
    mai = cared()
    whole = mai.decider.mandate.organisation
    board = replace(whole.departments[0].board, tools=("search",))
    agents = tuple(board if one.rank == "board" else one for one in whole.departments[0].agents)
    departments = (replace(whole.departments[0], agents=agents), *whole.departments[1:])
    mai.decider.mandate = replace(mai.decider.mandate, organisation=replace(whole, departments=departments))
    (send,) = mai.use(agent=BOARD, word=word(agent=BOARD))
    assert "acme/support/board itself asks for it" in send.body.refused


SMALL = Rule(name="small", decision="approve", tools=("search",), when={"q": {"at_most": 1}})


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ((SMALL,), ""),
        ((), "the board has neither code nor a model nor rules"),
        ((replace(SMALL, when={"q": {"above": 1}}),), "no rule of the board says anything of it"),
        ((replace(SMALL, when={"missing": {"is": 1}}),), "no rule of the board says anything of it"),
        ((replace(SMALL, decision="deny", why="enough"), SMALL), "by the rule small: enough"),
        ((replace(SMALL, decision="person"), SMALL), "by the rule small"),
        ((replace(SMALL, decision="deny", agents=("other",)), SMALL), ""),
        ((replace(SMALL, when={"at": {"between": ["00:15", "00:17"]}}),), ""),  # when it was asked for, it was 00:16
    ],
)
def test_what_a_board_by_rule_would_not_approve_does_not_pass(rules: tuple[Rule, ...], why: str) -> None:
    """Mai asks the same rules about the same call at the same moment, whatever the department says."""
    mai = cared(rules=rules, coded=False)
    (send,) = mai.use(word=word())
    assert (send.to == "acme/tools") == (not why)
    assert not why or f"its board does not approve that: {why}" in send.body.refused


def test_what_passes_is_forgotten_with_its_request() -> None:
    """The row goes when the request ends."""
    mai = cared()
    mai.use(word=word())
    assert mai.state.approving.words == {"R": {word().id: "R/1.2.m1"}}
    mai.feed(Tick(), UNTIL_MS)
    assert not mai.state.approving.words and mai.state.changes["word", word().id] is None


def test_an_ask_bears_the_word_of_the_step_below() -> None:
    """What goes up the ranks is another task than that whose step was approved; the word is good for what derives from it."""
    whole, ident = test_mai.organisation(), "R/1.2.1.1.m0"
    support = replace(whole.departments[0], rules=(Rule(name="pay", decision="approve", contracts=("finance.pay",)),))
    pay = Policy(name="p", verdict="board", contracts=("finance.pay",))
    mai = test_mai.Mai(replace(whole, departments=(support, *whole.departments[1:]), policies=(pay,), digest="d"))
    mai.asked()
    arguments = digest_of({"to": "finance.pay", "text": "", "input": {"order": 5}})
    said = Word(bound(CLERK, ("R/1.2", 1, 1), "ask", "finance.pay", arguments, "d"), "R/1.2", 1, 1, (BOARD,), NOW_MS)
    assert "is another call" in mai.refused(task=ident, word=said, input={"order": 6})
    assert "is another call" in mai.refused(task="R/1.20.1.m0", word=said)
    events, (send,) = mai.crossing(task=ident, word=said)
    (passed,) = [one for one in events if isinstance(one, ApprovalPassed)]
    assert (passed.task, passed.approval, passed.by) == (ident, said.id, BOARD)
    assert send.to == "acme/finance" and isinstance(send.body, Task) and send.body.word is None


# -- claims
def claim(n: int = 1, *, value: Any = 7, shown: bool = True, said: Word | None = None, confidence: float = 0.5) -> Claim:
    """Support's clerk says how high the risk of c/1 is."""
    digest = f"d{value}"
    return Claim(
        f"R/1.2/{n}", "R", "R/1.2", CLERK, "c/1", "risk", digest, confidence, NOW_MS, UNTIL_MS, NOW_MS, shown,
        value if shown else None, word=said,
    )  # fmt: skip


def approved(value: Any = 7) -> Word:
    """Its board has said so."""
    ident = bound(CLERK, ("R/1.2", 1, 1), "conclude", "c/1 risk", claimed("c/1", "risk", f"d{value}", 0.5), "d")
    return Word(ident, "R/1.2", 1, 1, (BOARD,), NOW_MS)


def told(policy: Policy, body: Claim, rules: tuple[Rule, ...] = ()) -> Mai:
    """Mai hears of it under this policy; its board has code, or these rules."""
    mai = cared(rules=rules, coded=not rules)
    whole = replace(mai.decider.mandate.organisation, policies=(policy,))
    mai.decider.mandate = replace(mai.decider.mandate, organisation=whole)
    mai.decider.policing = type(mai.decider.policing)(mai.decider)
    mai.feed(Asserted("acme/support", body))
    return mai


HIGH: dict[str, object] = {"value": {"above": 5}}


@pytest.mark.parametrize(
    ("verdict", "when", "body", "taken"),
    [
        ("allow", HIGH, claim(), True),
        ("deny", HIGH, claim(), False),
        ("deny", HIGH, claim(value=3), True),
        ("deny", {"confidence": {"below": 0.9}}, claim(shown=False), False),
        ("deny", {"confidence": {"below": 0.1}}, claim(shown=False), True),
        ("deny", HIGH, claim(shown=False), True),  # she cannot tell
        ("deny", {"value": {"given": False}}, claim(shown=False), True),
        ("deny", {"subject": {"is": "c/1"}}, claim(shown=False), False),
        ("board", HIGH, claim(), False),
        ("board", HIGH, claim(said=approved()), True),
        ("board", {}, claim(shown=False), False),
        ("board", {}, claim(shown=False, said=approved()), True),
        ("board", HIGH, claim(said=approved(8)), False),
        ("board", HIGH, replace(claim(said=approved()), id="R/1.20/1", task="R/1.20"), False),
        ("board", HIGH, claim(n=2, said=approved()), True),  # the step that it is of is the department's word
        ("person", HIGH, claim(said=approved()), False),
    ],
)
def test_claims_are_held_against_the_policies(verdict: Any, when: Any, body: Claim, taken: bool) -> None:
    """What a department claims against a policy, or without its approval, is no claim: it is refused on record."""
    mai = told(Policy(name="p", verdict=verdict, claims=("risk",), when=when), body)
    assert any(isinstance(one, ClaimNoted) for one in mai.events) == taken == bool(mai.state.conflicts.claims)
    if not taken:
        assert isinstance(mai.events[-1], MessageRefused) and mai.last(PolicyJudged).what == "claim"


OF_TOOLS = Rule(name="tools", decision="approve", tools=("search",), when=HIGH)
OF_CLAIMS = Rule(name="claims", decision="approve", claims=("risk",), when=HIGH)
FIRM = Rule(name="firm", decision="approve", claims=("risk",), when={"confidence": {"at_least": 0.5}})


@pytest.mark.parametrize(
    ("rules", "taken"),
    [
        ((OF_CLAIMS,), True),  # she cannot tell
        ((FIRM,), True),
        ((FIRM, OF_CLAIMS), True),
        ((replace(OF_CLAIMS, when={"input": HIGH}),), True),
        ((OF_TOOLS,), False),
        ((OF_TOOLS, replace(FIRM, decision="deny")), False),
        ((replace(FIRM, decision="deny"), OF_CLAIMS), False),
        ((replace(OF_CLAIMS, when={"confidence": {"value": {"given": True}}}),), False),
        ((replace(OF_CLAIMS, when={**HIGH, "confidence": {"above": 0.5}}),), False),
    ],
)
def test_what_a_board_by_rule_says_of_a_hidden_claim_is_asked_unless_it_hangs_on_the_value(
    rules: tuple[Rule, ...], taken: bool
) -> None:
    """A rule about other calls, or one that does not come to the value, gives no reason to believe a department."""
    mai = told(Policy(name="p", verdict="board", claims=("risk",)), claim(shown=False, said=approved()), rules)
    assert any(isinstance(one, ClaimNoted) for one in mai.events) == taken
