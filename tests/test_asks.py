"""What the client asks for and a policy wants approved, as Mai decides about it: it waits, and goes out once, or not."""

from functools import partial
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from mai.agents.approval_messages import Consult, Opinion
from mai.agents.approval_records import ApprovalAsked, ApprovalDecided, ApprovalExpired, ApprovalReferred, ApprovalUsed
from mai.agents.approval_scope import Approvals
from mai.agents.events import MessageRefused
from mai.agents.judging import PolicyJudged
from mai.agents.link import Flight
from mai.agents.messages import Result, Task
from mai.agents.organisation import Contract, Organisation
from mai.agents.policy_scope import Policy
from mai.daemon import pending
from mai.daemon.asks import Opined, Outdated
from mai.daemon.cover import CoverGiven
from mai.daemon.desk import Asked, Cancels, Returned
from mai.daemon.pending import ApprovalClosed, ApprovalRaised, Vote, Voting
from mai.daemon.records import PartPlan, RequestEnded
from tests.test_conflicts import NOW_MS, Mai, department, kinds

ASKER, ANN, BOB = 1000, 1001, 1002
BOARD = "acme/sales/board"
USED, ENDED, PART = "approval.used", "request.ended", "part.ended"


def whole(verdict: Any, *, undecided: Any = "person", backup: Any = "", **more: Any) -> Organisation:
    """Sales and finance; a policy wants approved what the client asks of sales, and another judges finance in its place."""
    sales, finance = department("sales"), department("finance")
    pay = Contract(name="pay", about="", served_by="expert", may_ask=("client", "finance"), request={"cents": "int"})
    sales = replace(sales, contracts=(replace(pay, backups=("finance.pay",) if backup else ()),))
    finance = replace(finance, contracts=(pay,))
    policies = [Policy(name="first", verdict=verdict, contracts=("sales.pay",), when={"cents": {"above": 5}}, **more)]
    policies += [Policy(name="second", verdict=backup, contracts=("finance.pay",))] if backup else []
    return Organisation(
        name="x", clients=("acme",), departments=(sales, finance), policies=tuple(policies), digest="d",
        approvals=Approvals(undecided=undecided),
    )  # fmt: skip


def asked(verdict: Any, cents: int = 9, *, also: bool = False, twice: bool = False, busy: bool = False, **more: Any) -> Mai:
    """The client asks sales to pay, or to do so twice, and finance for something else. `busy`: sales takes nothing more."""
    mai = Mai(whole(verdict, **more))
    mai.state.transit("acme/sales").waiting.extend([Flight(n, n, b"") for n in range(2 * mai.decider.limits.queue * busy)])
    parts = [PartPlan("sales", "pay!", "sales.pay", {"cents": cents}, "")] * (1 + twice)
    parts += [PartPlan("finance", "look", "", {}, "")] if also else []
    mai.feed(Asked("R", "acme/client", "pay!", NOW_MS + 30_000, False, tuple(parts), "asker", ASKER, "client"))
    return mai


def tasks(mai: Mai) -> list[Task]:
    """What departments were given."""
    return [send.body for send in mai.sent if isinstance(send.body, Task)]


def of(mai: Mai, kind: type) -> list[Any]:
    """The facts of a kind."""
    return [one for one in mai.facts if isinstance(one, kind)]


def stored(mai: Mai, noun: str) -> dict[str, bytes]:
    """Rows of hers, as a ledger has them."""
    rows = mai.state.changes.items()
    return {ident: msgspec.json.encode(row) for (name, ident), row in rows if name == noun and row is not None}


def say(mai: Mai, uid: int, approved: bool = True) -> list[Any]:
    """A user says it of the only approval that persons were asked for."""
    (raised,) = of(mai, ApprovalRaised)
    vote = Vote({ASKER: "asker", ANN: "ann", BOB: "bob"}[uid], uid, "operator", approved, "as agreed", mai.now_ms)
    return mai.feed(Voting(raised.approval.id, vote))


def consult(mai: Mai) -> Consult:
    """What the board was asked, the last time."""
    return [send.body for send in mai.sent if isinstance(send.body, Consult)][-1]


def opine(mai: Mai, word: str, **more: Any) -> list[Any]:
    """The board says so."""
    one = consult(mai)
    body = Opinion(one.task, one.request, one.id, "answered", word, "because", BOARD)
    return mai.feed(Opined("acme/sales", replace(body, **more)))


# -- persons
def test_it_waits_for_a_person_and_goes_out_once() -> None:
    """Nothing goes out before; then the task does, in the commit of the word; a second word counts for nothing."""
    mai = asked("person")
    assert not tasks(mai) and of(mai, PolicyJudged)[0].agent == "acme/client/client"
    (raised,) = of(mai, ApprovalRaised)
    assert (raised.process, raised.uid, raised.approval.name, raised.approval.given) == (
        "acme/mai", ASKER, "sales.pay", {"cents": 9},
    )  # fmt: skip
    assert kinds(say(mai, ASKER)) == []  # who asks does not approve
    assert kinds(say(mai, ANN)) == ["approval.voted", "approval.decided", USED]
    (task,) = tasks(mai)
    assert (task.task, task.input) == ("R/1", {"cents": 9}) and not mai.state.approving.asks
    assert of(mai, ApprovalDecided)[0].by == ("ann (uid 1001)",)
    assert kinds(say(mai, BOB)) == [] and len(tasks(mai)) == 1
    mai.answer("sales", "R/1")
    assert mai.ended().state == "answered"


def test_what_is_below_the_limit_goes_out_at_once() -> None:
    """Nobody is asked."""
    mai = asked("person", 5)
    assert len(tasks(mai)) == 1 and not of(mai, ApprovalAsked)


def test_four_eyes_are_two_users() -> None:
    """One is not enough."""
    mai = asked("person", four_eyes=True)
    assert kinds(say(mai, ANN)) == ["approval.voted"] and not tasks(mai)
    assert USED in kinds(say(mai, BOB)) and len(tasks(mai)) == 1


def test_what_is_denied_ends_its_part_alone() -> None:
    """The answer says who has denied it; the other part is answered as ever."""
    mai = asked("person", also=True)
    assert [task.task for task in tasks(mai)] == ["R/2"]
    assert kinds(say(mai, ANN, False)) == ["approval.voted", "approval.decided", PART]
    mai.answer("finance", "R/2")
    parts = mai.ended().parts
    assert [part.state for part in parts] == ["refused", "answered"] and len(tasks(mai)) == 1
    assert parts[0].reason == "sales.pay was not approved: ann (uid 1001) denies it: as agreed"


def test_it_expires_by_the_policys_time() -> None:
    """Its part ends as expired; a late word finds nothing."""
    mai = asked("person", also=True, expires_s=10)
    assert mai.decider.next_deadline_ms() == NOW_MS + 10_000
    assert kinds(mai.later(10_000)) == ["approval.closed", "approval.expired", PART]
    assert kinds(say(mai, ANN)) == [] and [task.task for task in tasks(mai)] == ["R/2"]
    mai.answer("finance", "R/2")
    assert mai.ended().parts[0].reason == "sales.pay was not approved: nobody has decided in time"


@pytest.mark.parametrize(("verdict", "more"), [("person", {}), ("board", {"undecided": "deny"})])
def test_parts_whose_time_is_over_together_make_the_request_whole(verdict: Any, more: Any) -> None:
    """The second one's end comes in the next look, which is due at once, and the answer with it."""
    mai = asked(verdict, twice=True, expires_s=10, **more)
    assert mai.later(10_000 if verdict == "person" else 5_000)[-1].kind == PART and not of(mai, RequestEnded)
    assert mai.decider.next_deadline_ms() <= mai.now_ms
    assert kinds(mai.later(0))[-2:] == [PART, ENDED] and not mai.state.approving.asks
    assert {part.state for part in mai.ended().parts} == {"expired" if verdict == "person" else "refused"}


@pytest.mark.parametrize("how", ["deadline", "cancel"])
def test_the_end_of_its_request_says_that_it_is_over(how: str) -> None:
    """Before the end, once; persons need say nothing any more."""
    mai = asked("person")
    facts = mai.later(30_000) if how == "deadline" else mai.feed(Cancels("R", "ann", "no", "o", ()))
    assert [kind for kind in kinds(facts) if kind.startswith("approval")] in (
        ["approval.closed", "approval.expired"], ["approval.expired", "approval.closed"],
    )  # fmt: skip
    assert len(of(mai, ApprovalClosed)) == 1 and not mai.state.approving.asks and not mai.state.approving.rows
    assert mai.facts.index(of(mai, ApprovalExpired)[0]) < mai.facts.index(of(mai, RequestEnded)[0])
    assert how == "cancel" or "mai approvals show" in mai.ended().parts[0].reason
    assert kinds(say(mai, ANN)) == [] and not tasks(mai)


def test_nobody_answers_what_has_not_gone_out() -> None:
    """A department that answers a part that waits is not heard."""
    mai = asked("person")
    mai.answer("sales", "R/1", "done already")
    assert not of(mai, RequestEnded) and mai.state.approving.asks


def test_a_restart_finds_it_as_it_was() -> None:
    """Her rows, as they are stored, bring back what waits for whom, and until when."""
    for verdict in ("person", "board"):
        mai, again = asked(verdict, also=True, expires_s=10), pending.Approvals()
        again.load(partial(stored, mai))
        had = mai.state.approving
        assert list(again.asks) == ["R/1"] and again.asks == had.asks and again.rows == had.rows
        assert again.soonest_ms() == had.soonest_ms() == NOW_MS + (10_000 if verdict == "person" else 5_000)


def test_another_organisation_judges_anew() -> None:
    """What was asked under the old one is over; under the new one it is asked again, goes out, or is refused."""
    for verdict, follows in (("person", "approval.raised"), ("allow", ""), ("deny", PART)):
        mai = asked("person")
        changed = replace(whole(verdict), digest="other")
        mai.decider.mandate = replace(mai.decider.mandate, organisation=changed)
        mai.decider.policing = type(mai.decider.policing)(mai.decider)
        facts = mai.feed(Outdated("R/1"))
        assert kinds(facts)[:2] == ["approval.expired", "approval.closed"]
        assert (follows in kinds(facts)) == bool(follows) and len(tasks(mai)) == (verdict == "allow")
        assert bool(mai.state.approving.asks) == (verdict == "person")
        if verdict == "person":
            assert of(mai, ApprovalAsked)[1].id != of(mai, ApprovalAsked)[0].id


# -- boards
@pytest.mark.parametrize(("word", "goes"), [("approve", True), ("deny", False)])
def test_the_board_of_who_serves_it_decides(word: str, goes: bool) -> None:
    """It is told the contract, the input, the policy; what it says is on record as of a department's call."""
    mai = asked("board")
    one = consult(mai)
    assert (one.name, one.input, one.policy, one.requester, one.task) == ("sales.pay", {"cents": 9}, "first", "client", "R/1a1")
    assert mai.decider.having("R/1a1") and not mai.decider.holding("R/1")
    facts = opine(mai, word)
    assert kinds(facts) == (["approval.decided", USED] if goes else ["approval.decided", PART, ENDED])
    assert of(mai, ApprovalDecided)[0].by == (BOARD,) and len(tasks(mai)) == goes
    assert opine(mai, word)[0].late and len(tasks(mai)) == goes


@pytest.mark.parametrize("undecided", ["person", "deny"])
@pytest.mark.parametrize("how", ["nothing", "late"])
def test_a_board_that_does_not_decide_falls_to_the_organisation(how: str, undecided: Any) -> None:
    """It says nothing, or is late: a person is asked, or it is denied; never silence."""
    mai = asked("board", undecided=undecided)
    facts = opine(mai, "") if how == "nothing" else mai.later(15_000)
    if undecided == "person":
        assert kinds(facts) == ["approval.referred", "approval.raised"] and of(mai, ApprovalReferred)[0].how == "undecided"
        assert USED in kinds(say(mai, ANN))
    else:
        assert kinds(facts) == ["approval.decided", PART, ENDED] and of(mai, ApprovalDecided)[0].who == "organisation"
    assert len(tasks(mai)) == (undecided == "person")


def test_a_board_that_takes_nothing_is_not_waited_for() -> None:
    """Where that is a denial the request is refused at once, as by a policy; else a person is asked, and who serves it is not."""
    mai = asked("board", undecided="deny", busy=True)
    assert kinds(mai.facts)[2:] == ["policy.judged", "approval.asked", "approval.decided", ENDED] and not mai.sent
    assert of(mai, ApprovalDecided)[0].who == "organisation" and not mai.state.approving.asks
    (part,) = mai.ended().parts
    assert part.state == "refused" and "sales.pay needs the board's approval: the policy first; the board decides" in part.reason
    mai = asked("board", busy=True)
    assert kinds(mai.facts)[2:] == ["policy.judged", "approval.asked", "approval.referred", "approval.raised"] and not mai.sent
    mai.state.transit("acme/sales").waiting.clear()
    assert USED in kinds(say(mai, ANN)) and len(tasks(mai)) == 1


def test_a_board_may_leave_it_to_a_person_or_be_the_first_of_two() -> None:
    """With four eyes a person has to say so, too."""
    mai = asked("board")
    assert kinds(opine(mai, "person")) == ["approval.referred", "approval.raised"]
    assert of(mai, ApprovalReferred)[0].how == "left"
    mai = asked("board", four_eyes=True)
    assert kinds(opine(mai, "approve")) == ["approval.referred", "approval.raised"] and not tasks(mai)
    assert of(mai, ApprovalRaised)[0].approval.persons == 1
    say(mai, ANN)
    assert of(mai, ApprovalDecided)[0].by == (BOARD, "ann (uid 1001)") and len(tasks(mai)) == 1


@pytest.mark.parametrize(
    ("peer", "more"),
    [("acme/finance", {}), ("acme/finance", {"by": "acme/finance/board"}), ("acme/sales", {"by": "acme/sales/expert"})],
)
def test_nobody_else_says_anything(peer: str, more: Any) -> None:
    """Another department, or another agent: out of place."""
    mai, one = asked("board"), None
    one = consult(mai)
    body = replace(Opinion(one.task, one.request, one.id, "answered", "approve", "", BOARD), **more)
    assert isinstance(mai.feed(Opined(peer, body))[-1], MessageRefused) and not tasks(mai)


def test_a_word_for_another_call_counts_for_nothing() -> None:
    """It is on record as late."""
    mai = asked("board")
    assert opine(mai, "approve", id="f" * 64)[0].late and not tasks(mai) and not of(mai, ApprovalUsed)


# -- who stands in
@pytest.mark.parametrize("verdict", ["allow", "deny", "board", "person"])
def test_a_backup_is_judged_under_its_own_name(verdict: Any) -> None:
    """What was allowed to the first is not, for that, to who stands in; a verdict that bars it is on record."""
    mai = asked("deny", 5, backup=verdict)
    assert tasks(mai)[0].contract == "sales.pay"
    mai.feed(Returned("acme/sales", Result("R/1", "R", "failed", "", {}, "broken", BOARD, ()), screened=True))
    given = [one.contract for one in of(mai, CoverGiven)]
    barred = [(one.name, one.verdict, one.task) for one in of(mai, PolicyJudged)]
    if verdict == "allow":
        assert given == ["sales.pay", "finance.pay"] and barred == []
    else:
        assert given == ["sales.pay"] and barred == [("finance.pay", verdict, "R/1b1")]
        assert mai.ended().state == "failed"
