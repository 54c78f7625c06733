"""Calls that wait for persons, as Mai decides about them: who may say what, how often, until when; and ten thousand of them."""

from typing import Any

import pytest
from msgspec.structs import replace

from mai.agents.approval_messages import Approval, Decided
from mai.agents.decider import Send, Tick
from mai.agents.events import MessageRefused
from mai.agents.pleas import digest_of
from mai.agents.policies import Act
from mai.agents.policy_scope import Policy
from mai.daemon.desk import Asked
from mai.daemon.pending import (
    Announced,
    ApprovalClosed,
    ApprovalPassed,
    ApprovalRaised,
    ApprovalVoted,
    Pleaded,
    Settled,
    Vote,
    Voting,
)
from mai.daemon.records import PartPlan
from tests.test_errands import NOW_MS, UNTIL_MS, Mai

ASKER, ANN, BOB = 1000, 1001, 1002
CALL = Approval(
    "a" * 64, "R", "R/1.1", 2, "acme/support/clerk", "tool", "support.pay", {"cents": 5}, "b" * 64, "d", "support.large", "p",
    NOW_MS, UNTIL_MS - 5000,
)  # fmt: skip


def asked(**more: Any) -> Mai:
    """A request that a user has made, and a call that waits for it."""
    mai = Mai()
    parts = (PartPlan("support", "text", "", {}, ""),)
    mai.feed(Asked("R", "acme/client", "pay!", UNTIL_MS, False, parts, "asker", ASKER, "client"))
    assert mai.feed(Pleaded("acme/support", "R/1.1/2@1", replace(CALL, **more))) == []
    return mai


def say(mai: Mai, uid: int, approved: bool = True, *, now_ms: int = NOW_MS, note: str = "") -> list[Any]:
    """A user says it; what is sent."""
    vote = Vote({ASKER: "asker", ANN: "ann", BOB: "bob"}[uid], uid, "operator", approved, note, now_ms)
    return mai.feed(Voting(CALL.id, vote), now_ms)


def test_one_word_decides_and_goes_to_the_department_once() -> None:
    """The row goes with it; a second word finds none, and who was first stays on record."""
    mai = asked()
    raised = mai.last(ApprovalRaised)
    assert (raised.uid, raised.by, raised.process) == (ASKER, "asker", "acme/support")
    (send,) = say(mai, ANN, note="as agreed")
    assert (send.to, send.id) == ("acme/support", "R/1.1/2@1=")
    assert send.body == Decided(CALL.id, "R", "R/1.1", 2, "acme/support/clerk", True, ("ann (uid 1001)",), "as agreed", NOW_MS)
    assert say(mai, BOB) == [] and say(mai, BOB, False) == [] and not mai.state.approving.rows
    assert sum(isinstance(event, ApprovalVoted) for event in mai.events) == 1
    settled = mai.state.changes["settled", CALL.id]
    assert isinstance(settled, Settled) and settled.state == "approved" and settled.pending.votes[0].who == "ann (uid 1001)"


def test_a_call_is_told_of_once() -> None:
    """The same word again, which cannot come over a link, changes nothing."""
    mai = asked()
    assert mai.feed(Pleaded("acme/support", "R/1.1/2@1", CALL)) == []
    assert sum(isinstance(event, ApprovalRaised) for event in mai.events) == 1


def test_who_asks_does_not_approve() -> None:
    """By the number of the user, whatever name he has; to deny his own request's call is his right."""
    mai = asked()
    assert say(mai, ASKER) == [] and mai.state.approving.rows
    other_name = Vote("somebody else", ASKER, "administrator", True, "", NOW_MS)
    assert mai.feed(Voting(CALL.id, other_name)) == [] and mai.state.approving.rows
    (send,) = say(mai, ASKER, False, note="never mind")
    assert not send.body.approved and send.body.note == "never mind"


def test_four_eyes_are_two_numbers() -> None:
    """The same user under two names is one pair; the second pair decides, and one who denies is enough."""
    mai = asked(persons=2)
    assert say(mai, ANN, note="fine") == [] and mai.state.approving.rows[CALL.id].left == 1
    assert mai.feed(Voting(CALL.id, Vote("bob", ANN, "operator", True, "", NOW_MS))) == []
    assert mai.state.approving.rows[CALL.id].left == 1
    (send,) = say(mai, BOB, note="and mine")
    assert send.body.approved and send.body.by == ("ann (uid 1001)", "bob (uid 1002)") and send.body.note == "fine; and mine"
    other = asked(persons=2)
    assert say(other, ANN) == []
    (send,) = say(other, BOB, False, note="no")
    assert not send.body.approved and send.body.by == ("bob (uid 1002)",)


def test_what_is_late_counts_for_nothing() -> None:
    """Mai drops it with its deadline, and takes no word for it then, even before she has noticed."""
    mai, late_ms = asked(), CALL.expires_ms
    assert mai.decider.next_deadline_ms() == late_ms
    assert say(mai, ANN, now_ms=late_ms) == [] and mai.state.approving.rows
    assert mai.feed(Tick(), late_ms) == [] and not mai.state.approving.rows
    assert mai.last(ApprovalClosed).why == "nobody has decided in time"
    assert say(mai, ANN, now_ms=late_ms) == []


def test_a_department_needs_it_no_more() -> None:
    """Its task has ended: the row goes; a word that crosses that comes to nobody."""
    mai = asked()
    over = replace(CALL, given=None, over="its task has ended")
    assert mai.feed(Pleaded("acme/finance", "x.", replace(over, agent="acme/finance/clerk"))) == [] and mai.state.approving.rows
    assert mai.feed(Pleaded("acme/support", "R/1.1/2@1.", over)) == [] and not mai.state.approving.rows
    assert mai.feed(Pleaded("acme/support", "R/1.1/2@1.", over)) == []
    assert say(mai, ANN) == []


@pytest.mark.parametrize("peer", ["acme/finance", "acme/tools"])
def test_nobody_asks_for_another(peer: str) -> None:
    """A process that wants an approval of another's agent is refused on record."""
    mai = Mai().asked()
    assert mai.feed(Pleaded(peer, "x", CALL)) == [] and isinstance(mai.events[-1], MessageRefused)
    assert not mai.state.approving.rows


@pytest.mark.parametrize("task", ["S/1.1", "R/2.1", "R", "", "x.m1"])
def test_a_request_that_is_not_open_gets_no_person(task: str) -> None:
    """Nobody is asked about it; the department hears so at once."""
    mai = Mai().asked()
    (send,) = mai.feed(Pleaded("acme/support", "i", replace(CALL, task=task)))
    assert isinstance(send, Send) and isinstance(send.body, Decided) and not send.body.approved
    assert send.body.note == "its request has ended" and not mai.state.approving.rows


def test_an_announcement_is_on_record() -> None:
    """How the command has ended stands in the row, for who looks; it is tried again four times."""
    mai = asked()
    assert (
        mai.feed(Announced(CALL.id, False, "the command ended with 2", 4)) == []
        and not mai.state.approving.rows[CALL.id].announced
    )
    assert mai.feed(Announced(CALL.id, False, "the command ended with 1", 5)) == []
    assert mai.state.approving.rows[CALL.id].announced == "the command ended with 1"
    assert mai.feed(Announced("c" * 64, True, "", 1)) == []


# -- what comes to her
CAREFUL = Policy(name="careful", verdict="person", tools=("support.search",))


def careful(verdict: Any = "person") -> Mai:
    """A request of a user's; persons, or the board, have to approve what its clerk searches in the network."""
    mai = Mai()
    whole = replace(mai.decider.mandate.organisation, policies=(replace(CAREFUL, verdict=verdict),), digest="d")
    mai.decider.mandate = replace(mai.decider.mandate, organisation=whole)
    parts = (PartPlan("support", "text", "", {}, ""),)
    mai.feed(Asked("R", "acme/client", "search!", UNTIL_MS, False, parts, "asker", ASKER, "client"))
    return mai


def test_what_persons_have_to_approve_passes_only_if_they_did() -> None:
    """Whatever a department says: just this call, with this input, under this policy; the same call again, another not."""
    mai = careful()
    assert mai.use()[0].body.refused == "support.search was not approved: no person has said so"
    ruling = mai.decider.policing.rule(ACT)
    call = replace(
        CALL, agent="acme/support/clerk", name="support.search", arguments=digest_of({"tool": "search", "input": {"q": 1}}),
        clause=ruling.clause, policies=ruling.digest,
    )  # fmt: skip
    mai.feed(Pleaded("acme/support", "R/1.1/2@1", call))
    assert "no person" in mai.use(id="R/1.2.m2")[0].body.refused
    assert len(say(mai, ANN)) == 1
    assert "no person" in mai.use(id="R/1.2.m3", input={"q": 2})[0].body.refused
    (send,) = mai.use(id="R/1.2.m4")
    assert send.to == "acme/tools" and mai.last(ApprovalPassed).approval == CALL.id
    assert "no person" in mai.use(id="R/1.2.m5")[0].body.refused
    assert mai.use(id="R/1.2.m4r1")[0].to == "acme/tools"  # it did not happen: the same call again


ACT = Act(what="tool", name="support.search", department="support", agent="clerk", rank="operator", arguments={"q": 1})
