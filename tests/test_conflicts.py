"""Claims that contradict each other: Mai's and the departments' deciders, fed by hand, with the boards as they are."""

from collections import deque
from typing import Any

import msgspec
import pytest

from mai.agents.canonical import digest
from mai.agents.claim_messages import CaseTold, Claim, Vote, Weigh
from mai.agents.conflict_scope import Conflicts, Precedence
from mai.agents.contracts import Contracts
from mai.agents.decider import Input, Send, Tick
from mai.agents.events import Event, MessageRefused
from mai.agents.messages import Result, Task
from mai.agents.organisation import Agent, Contract, Department, Organisation, mandate
from mai.agents.precedence import choose
from mai.agents.table import Table
from mai.daemon.desk import Asked, Returned
from mai.daemon.dispute import LOST, OPEN, PERSON, RULED, STANDING, WON, Case, case_id
from mai.daemon.dispute_records import (
    Asserted,
    CaseAppealed,
    CaseAsked,
    CaseExpired,
    CaseOpened,
    CaseReopened,
    CaseRuled,
    CaseVoted,
    ClaimNoted,
    Ordered,
    Voted,
)
from mai.daemon.mai import MaiDecider
from mai.daemon.records import PartEnded, PartPlan, RequestEnded
from mai.daemon.resting import AnswerHeld, AnswerReturned

NOW_MS, UNTIL_MS = 1_000_000, 1_030_000
LONG_MS = 10_000_000
FINANCE_WINS = (Precedence(name="money first", attribute="standing", by=("votes", "finance")),)


def department(name: str, *, kind: str = "", precedence: tuple[Precedence, ...] = ()) -> Department:
    """A department of a board, a coordinator and two workers."""
    board = Agent(name="board", rank="board", handler="b.py:board" if kind else "")
    workers = (Agent(name="clerk", rank="operator", handler="w.py:w"), Agent(name="expert", rank="specialist", handler="w.py:w"))
    reply = Contract(name="tell", about="", served_by="expert", may_ask=("client",), reply={"standing": "str"})
    agents = (board, Agent(name="coordinator", rank="coordinator"), *workers)
    return Department(name=name, charter="", agents=agents, contracts=(reply,), precedence=precedence)


def organisation(precedence: tuple[Precedence, ...] = FINANCE_WINS, *, kind: str = "") -> Organisation:
    """Sales, finance and legal."""
    departments = tuple(department(name, kind=kind) for name in ("sales", "finance", "legal"))
    conflicts = Conflicts(settle_s=5, person_s=100, valid_s=9000, precedence=precedence)
    return Organisation(name="x", clients=("acme",), departments=departments, conflicts=conflicts, digest="d")


class Mai:
    """Her decider, fed by hand: what follows is decided at once; facts and sends are kept, and fold to the same state."""

    def __init__(self, whole: Organisation | None = None) -> None:
        part = mandate(whole or organisation(), "acme", "mai")
        self.decider = MaiDecider(part, Table(part.organisation), Contracts(part.organisation).fault)
        self.state, self.part = self.decider.state, part
        self.facts: list[Event] = []
        self.sent: list[Send] = []
        self.now_ms = NOW_MS

    def feed(self, *given: Input) -> list[Event]:
        """The facts that come of it."""
        queue, first = deque(given), len(self.facts)
        while queue:
            for item in self.decider.decide(queue.popleft(), self.now_ms):
                if isinstance(item, Send):
                    self.sent.append(item)
                else:
                    self.facts.append(item)
                    queue.extend(self.decider.evolve(item, len(self.facts)))
        return self.facts[first:]

    def ask(self, *departments: str, request: str = "R") -> None:
        """The client asks them; each has a part."""
        parts = tuple(PartPlan(name, f"ask {name}", "", {}, "") for name in departments)
        self.feed(Asked(request, "acme/client", "text", self.now_ms + 30_000, False, parts))

    def claim(self, name: str, value: Any, task: str = "", n: int = 1, *, shown: bool = True, **given: Any) -> list[Event]:
        """An expert of a department concludes the standing of customer/1."""
        defaults: dict[str, Any] = {
            "id": f"{task or name}/{n}", "request": task.partition("/")[0], "task": task, "agent": f"acme/{name}/expert",
            "subject": "customer/1", "attribute": "standing", "digest": digest(value), "confidence": 0.5, "from_ms": self.now_ms,
            "until_ms": LONG_MS, "at_ms": self.now_ms, "shown": shown, "value": value if shown else None,
        }  # fmt: skip
        return self.feed(Asserted(f"acme/{name}", Claim(**{**defaults, **given})))

    def answer(self, name: str, task: str, text: str = "so it is", state: Any = "answered", **given: Any) -> list[Event]:
        """A department answers its part."""
        body = Result(task, task.partition("/")[0], state, text, {}, "", f"acme/{name}/expert", (name,), **given)
        return self.feed(Returned(f"acme/{name}", body, screened=True))

    def weighs(self) -> list[tuple[str, Weigh]]:
        """What boards were asked."""
        return [(send.to, send.body) for send in self.sent if isinstance(send.body, Weigh)]

    def vote(self, name: str, claim: str, why: str = "because") -> list[Event]:
        """A board says so to the last question that it had."""
        task = [body.task for to, body in self.weighs() if to == f"acme/{name}"][-1]
        return self.feed(Voted(f"acme/{name}", Vote(task, self.case().id, "answered", claim, why, f"acme/{name}/board")))

    def case(self) -> Case:
        """The only one."""
        (case,) = self.state.conflicts.cases.values()
        return case

    def told(self, name: str) -> list[CaseTold]:
        """What a department was told of rulings."""
        return [send.body for send in self.sent if isinstance(send.body, CaseTold) and send.to == f"acme/{name}"]

    def stands(self) -> dict[str, str]:
        """Claim -> how it stands."""
        return {ident: one.state for ident, one in self.state.conflicts.claims.items()}

    def ended(self) -> RequestEnded:
        """The only answer."""
        (ended,) = [one for one in self.facts if isinstance(one, RequestEnded)]
        return ended

    def later(self, ms: int) -> list[Event]:
        """Time goes by."""
        self.now_ms += ms
        return self.feed(Tick())


def kinds(facts: list[Event]) -> list[str]:
    """Their kinds."""
    return [one.kind for one in facts]


def disputed(whole: Organisation | None = None) -> Mai:
    """Sales and finance have a part each, and contradict each other; the boards are asked."""
    mai = Mai(whole)
    mai.ask("sales", "finance")
    mai.claim("sales", "good", "R/1.1.1")
    mai.claim("finance", "poor", "R/2.1.1")
    return mai


# -- claims
def test_what_is_the_same_is_no_conflict() -> None:
    """A claim that repeats a value stands beside it, in whatever form it is written; so does another attribute, or subject."""
    mai = Mai()
    for n, value in enumerate(("good", " good ", "good")):
        assert kinds(mai.claim("sales" if n % 2 else "finance", value, n=n)) == ["claim.noted"]
    assert kinds(mai.claim("legal", "poor", n=9, attribute="mood")) == ["claim.noted"]
    assert kinds(mai.claim("legal", "poor", n=10, subject="customer/2")) == ["claim.noted"]
    assert set(mai.stands().values()) == {STANDING} and not mai.state.conflicts.cases


@pytest.mark.parametrize(("value", "other"), [(1, 1.0), ([1, {"a": 2.0}], [1.0, {"a": 2}]), ("\u00e9", "e\u0301"), (" x", "x\n")])
def test_the_same_value_has_one_digest(value: Any, other: Any) -> None:
    """Whole floats and whole numbers, composed letters, blanks around a text."""
    assert digest(value) == digest(other) != digest("something else")


def test_what_is_not_valid_at_the_same_time_is_no_conflict() -> None:
    """One ends where the other begins; one that is over already stands for nothing."""
    mai = Mai()
    mai.claim("sales", "good", until_ms=NOW_MS + 10)
    assert kinds(mai.claim("finance", "poor", from_ms=NOW_MS + 10)) == ["claim.noted"]
    mai.now_ms += 20
    assert kinds(mai.claim("legal", "great", until_ms=NOW_MS + 15)) == ["claim.noted"]


def test_an_agent_may_change_its_mind() -> None:
    """Its new claim takes the place of the old one, unless an answer waits that rests on that."""
    mai = Mai()
    mai.claim("sales", "good")
    (noted,) = mai.claim("sales", "poor", n=2)
    assert isinstance(noted, ClaimNoted) and noted.replaces == ("sales/1",) and list(mai.stands()) == ["sales/2"]
    mai.ask("sales")
    mai.claim("sales", "good", "R/1.1.1")
    assert "case.opened" in kinds(mai.claim("sales", "poor", "R/1.1.1", n=2))


def test_a_claim_in_the_name_of_others_is_refused() -> None:
    """Of another department, or of nobody; one for a task that another has counts for no answer."""
    mai = Mai()
    mai.ask("finance")
    assert kinds(mai.feed(Asserted("acme/sales", mai_claim("acme/finance/expert")))) == [MessageRefused.kind]
    assert kinds(mai.feed(Asserted("acme/sales", mai_claim("acme/sales/nobody")))) == [MessageRefused.kind]
    (noted,) = mai.claim("sales", "good", "R/1.1.1")
    assert isinstance(noted, ClaimNoted) and noted.claim.under == ()


def mai_claim(agent: str) -> Claim:
    """A claim of somebody."""
    return Claim("x/1", "", "x", agent, "s", "a", digest(1), 1.0, NOW_MS, LONG_MS, NOW_MS)


# -- cases
def test_a_contradiction_opens_a_case_and_the_boards_are_asked() -> None:
    """Each with both claims; the case has an owner and a deadline, and the client's request is part of it."""
    mai = disputed()
    (opened,) = [one for one in mai.facts if isinstance(one, CaseOpened)]
    assert opened.claims == ("R/1.1.1/1", "R/2.1.1/1") and opened.of == "R"
    assert [to for to, _ in mai.weighs()] == ["acme/sales", "acme/finance"]
    assert [(side.claim, side.value) for side in mai.weighs()[0][1].sides] == [("R/1.1.1/1", "good"), ("R/2.1.1/1", "poor")]
    case = mai.case()
    assert (case.state, case.owner, case.deadline_ms) == (OPEN, "boards", NOW_MS + 5000)
    assert set(mai.stands().values()) == {OPEN}


def test_the_boards_agree() -> None:
    """More than half of those who were asked: the ruling names clause, grounds, winner and loser, and is told to both."""
    mai = disputed()
    mai.vote("sales", "R/2.1.1/1", "they know better")
    facts = mai.vote("finance", "R/2.1.1/1")
    (ruled,) = [one for one in facts if isinstance(one, CaseRuled)]
    assert (ruled.ruling.winner, ruled.ruling.losers, ruled.ruling.clause) == ("R/2.1.1/1", ("R/1.1.1/1",), "money first: votes")
    assert "they know better" not in ruled.ruling.why and ruled.votes["sales"].why == "they know better"
    assert mai.stands() == {"R/1.1.1/1": LOST, "R/2.1.1/1": WON} and mai.case().state == RULED
    for name in ("sales", "finance"):
        (body,) = mai.told(name)
        assert (body.winner, body.losers, body.value, body.lost) == ("R/2.1.1/1", ("R/1.1.1/1",), "poor", (digest("good"),))


@pytest.mark.parametrize("silent", [(), ("sales",), ("sales", "finance")])
def test_precedence_decides_where_the_boards_do_not(silent: tuple[str, ...]) -> None:
    """Undecided, or late: it is on record, and the organisation's clause has the last word."""
    mai = disputed()
    for name in {"sales", "finance"} - set(silent):
        mai.vote(name, "R/1.1.1/1" if name == "sales" else "")
    facts = mai.later(5000) if silent else mai.facts
    (ruled,) = [one for one in facts if isinstance(one, CaseRuled)]
    assert (ruled.ruling.winner, ruled.ruling.clause, ruled.ruling.by) == ("R/2.1.1/1", "money first: finance", "acme/mai")
    assert all(f"{name} did not answer in time" in ruled.ruling.why for name in silent)


def test_what_nothing_decides_is_a_persons() -> None:
    """With a deadline; who does not rule in time is asked again, and the case stays open until its claims are over."""
    mai = disputed(organisation(()))
    mai.vote("sales", "R/1.1.1/1")
    facts = mai.vote("finance", "R/2.1.1/1")
    (asked,) = [one for one in facts if isinstance(one, CaseAsked)]
    assert (asked.owner, asked.deadline_ms) == (PERSON, NOW_MS + 100_000)
    (again,) = [one for one in mai.later(100_000) if isinstance(one, CaseAsked)]
    assert again.owner == PERSON and again.deadline_ms == mai.now_ms + 100_000 and mai.case().state == OPEN
    assert [one.kind for one in mai.later(LONG_MS) if isinstance(one, CaseExpired)] == ["case.expired"]


def test_a_person_rules() -> None:
    """By whom, with which number and role, is on record; late votes are, too, and change nothing."""
    mai = disputed(organisation(()))
    (ruled, *_) = mai.feed(Ordered(mai.case().id, "R/1.1.1/1", "I have asked her", "ann", 1001, "operator"))
    assert isinstance(ruled, CaseRuled) and (ruled.uid, ruled.role, ruled.ruling.by) == (1001, "operator", "ann")
    assert ruled.ruling.why == "I have asked her" and mai.stands()["R/1.1.1/1"] == WON
    (late,) = mai.vote("finance", "R/2.1.1/1")
    assert isinstance(late, CaseVoted) and late.late and mai.stands()["R/1.1.1/1"] == WON


def test_a_repetition_is_won_and_a_lost_value_is_lost() -> None:
    """As long as the ruling is valid, whoever says it; a third department that says what has lost is told so."""
    mai = disputed()
    mai.later(5000)
    mai.claim("legal", "poor", n=5)
    mai.claim("legal", "good", n=6)
    assert mai.stands()["legal/5"] == WON and mai.stands()["legal/6"] == LOST
    assert mai.case().state == RULED and len(mai.told("legal")) <= 1


def test_no_word_to_a_department_has_the_id_of_another() -> None:
    """A third department that says what has lost is told so, and of the appeal that follows at once."""
    mai = disputed()
    mai.later(5000)
    mai.claim("legal", "good", n=6)
    mai.feed(Ordered(mai.case().id, "", "it was paid", "ann", 1001, "operator"))
    ids = [send.id for send in mai.sent]
    assert len(mai.told("legal")) == 2 and len(ids) == len(set(ids))


def test_a_later_contradiction_reopens_the_case_with_its_history() -> None:
    """It is the same case; all its boards are asked anew, and the departments hear that the ruling is in force no more."""
    mai = disputed()
    mai.later(5000)
    lines = len(mai.case().history)
    facts = mai.claim("legal", "bankrupt")
    assert [one.kind for one in facts if isinstance(one, CaseReopened | CaseAsked)] == ["case.reopened", "case.asked"]
    assert len(mai.case().history) > lines and mai.case().history[0].what == "opened"
    assert set(mai.stands().values()) == {OPEN} and mai.told("sales")[-1].open
    assert {to for to, body in mai.weighs() if len(body.sides) == 3} == {"acme/sales", "acme/finance", "acme/legal"}


def test_an_appeal_is_once_and_a_persons() -> None:
    """Who does not decide it in time leaves what was ruled in force; a second one is not heard."""
    mai = disputed()
    mai.later(5000)
    (appealed, asked) = mai.feed(Ordered(mai.case().id, "", "it was paid", "ann", 1001, "operator"))
    assert isinstance(appealed, CaseAppealed) and isinstance(asked, CaseAsked) and asked.owner == PERSON
    assert set(mai.stands().values()) == {OPEN}
    (again,) = [one for one in mai.later(100_000) if isinstance(one, CaseRuled)]
    assert again.ruling.winner == "R/2.1.1/1" and "in time" in again.ruling.why and again.ruling.clause == "money first: finance"
    assert mai.feed(Ordered(mai.case().id, "", "still", "ann")) == []


def test_a_board_with_code_may_appeal() -> None:
    """Who has lost is asked whether it accepts: another vote for its own claim is an appeal."""
    mai = disputed(organisation(kind="python"))
    facts = mai.later(5000)
    assert [one.owner for one in facts if isinstance(one, CaseAsked)] == [""]
    (to, body) = mai.weighs()[-1]
    assert to == "acme/sales" and body.winner == "R/2.1.1/1" and body.ruling
    facts = mai.vote("sales", "R/1.1.1/1", "we have seen the money")
    (appealed,) = [one for one in facts if isinstance(one, CaseAppealed)]
    assert (appealed.by, appealed.why) == ("acme/sales/board", "we have seen the money") and mai.case().owner == PERSON


def test_a_ruling_ends_with_its_validity() -> None:
    """And the same value may be claimed again, against which the other may be, too."""
    mai = Mai()
    mai.claim("sales", "good", until_ms=NOW_MS + 50_000)
    mai.claim("finance", "poor", until_ms=NOW_MS + 60_000)
    mai.later(5000)
    ruling = mai.case().ruling
    assert ruling is not None and ruling.until_ms == NOW_MS + 60_000
    assert [one.kind for one in mai.later(55_000)] == ["case.expired"]
    assert mai.told("sales")[-1].open
    mai.claim("sales", "good", n=7)
    assert mai.stands()["sales/7"] == STANDING
    assert kinds(mai.claim("finance", "poor", n=8))[:2] == ["claim.noted", "case.opened"]


def test_in_one_department_its_board_decides() -> None:
    """It alone is asked; without a word of it the department's own precedence decides, then the organisation's."""
    ranked = Precedence(name="experts first", by=("votes", "rank"))
    whole = organisation(())
    whole = msgspec.structs.replace(whole, departments=(department("sales", precedence=(ranked,)), *whole.departments[1:]))
    mai = Mai(whole)
    mai.claim("sales", "good", agent="acme/sales/clerk")
    mai.claim("sales", "poor", n=2)
    assert [to for to, _ in mai.weighs()] == ["acme/sales"]
    (ruled,) = [one for one in mai.later(5000) if isinstance(one, CaseRuled)]
    assert (ruled.ruling.winner, ruled.ruling.clause) == ("sales/2", "experts first: rank")


def test_what_may_not_leave_is_compared_and_not_shown() -> None:
    """Mai has the digest alone; the other board sees that there is a claim, and its own department is not told the value."""
    mai = Mai()
    mai.claim("sales", "good", shown=False)
    mai.claim("finance", "poor", shown=False)
    for _, body in mai.weighs():
        assert all(side.value is None and not side.shown for side in body.sides)
    mai.later(5000)
    assert not mai.told("sales")[0].shown and mai.told("sales")[0].value is None


# -- answers
def test_an_answer_waits_for_its_case() -> None:
    """Nothing is told while it is open; the winner's answer goes on, the loser's goes back to its board once, with the ruling."""
    mai = disputed()
    assert kinds(mai.answer("sales", "R/1")) == ["answer.held"] and kinds(mai.answer("finance", "R/2")) == ["answer.held"]
    facts = mai.later(5000)
    assert kinds(facts)[:1] == ["case.ruled"] and {"part.ended", "answer.returned"} <= set(kinds(facts))
    (again,) = [send for send in mai.sent if isinstance(send.body, Task) and send.body.task == "R/1c1"]
    assert isinstance(again.body, Task) and "poor" in again.body.correction and "money first" in again.body.correction
    assert kinds(mai.answer("sales", "R/1c1", "she is poor")) == ["part.ended", "request.ended"]
    assert mai.ended().state == "answered" and "she is poor" in mai.ended().answer and "so it is" in mai.ended().answer


def test_who_insists_is_refused() -> None:
    """A second answer that rests on what has lost is not told; the client hears why."""
    mai = disputed()
    mai.answer("sales", "R/1")
    mai.answer("finance", "R/2")
    mai.later(5000)
    mai.claim("sales", "good", "R/1c1.1.1")
    mai.answer("sales", "R/1c1", "she is good")
    assert mai.ended().state == "refused" and "she is good" not in mai.ended().answer
    assert mai.case().id in mai.ended().answer and "money first" in mai.ended().answer


def test_what_was_answered_before_the_case_is_looked_at_again() -> None:
    """A part that had ended goes back if it has lost meanwhile; the request waits for it."""
    mai = Mai()
    mai.ask("sales", "finance")
    mai.claim("sales", "good", "R/1.1.1")
    assert kinds(mai.answer("sales", "R/1")) == ["part.ended"]
    mai.claim("finance", "poor", "R/2.1.1")
    mai.answer("finance", "R/2")
    facts = mai.later(5000)
    (returned,) = [one for one in facts if isinstance(one, AnswerReturned)]
    assert returned.task == "R/1" and returned.again == "R/1c1" and not any(isinstance(one, RequestEnded) for one in mai.facts)
    mai.answer("sales", "R/1c1", "she is poor")
    assert mai.ended().state == "answered" and "so it is" in mai.ended().answer


def test_the_whole_waits_for_a_part_that_had_ended() -> None:
    """A case that was opened by another request holds the answer back, also if all parts are there."""
    mai = Mai()
    mai.ask("sales", "legal")
    mai.claim("sales", "good", "R/1.1.1")
    mai.answer("sales", "R/1")
    mai.claim("finance", "poor")
    assert kinds(mai.answer("legal", "R/2")) == ["part.ended", "answer.held"]
    mai.vote("finance", "R/1.1.1/1")
    mai.vote("sales", "R/1.1.1/1")
    assert mai.ended().state == "answered"


def test_a_client_hears_that_it_is_undecided() -> None:
    """At the deadline, with who decides; nothing of what was concluded."""
    mai = disputed(organisation(()))
    mai.answer("sales", "R/1", "she is good")
    mai.answer("finance", "R/2", "she is poor")
    mai.vote("sales", "R/1.1.1/1")
    mai.vote("finance", "R/2.1.1/1")
    mai.later(40_000)
    said = mai.ended().answer
    assert mai.ended().state == "expired" and "good" not in said and "poor" not in said
    assert "undecided" in said and "a person decides" in said and mai.case().id in said and mai.case().state == OPEN


@pytest.mark.parametrize("changed", [False, True])
def test_what_has_changed_something_does_not_go_back(changed: bool) -> None:
    """It would be done again: the client hears that it was refused, and that what was done stands."""
    mai = disputed()
    mai.answer("sales", "R/1", changed=changed)
    assert [one.cases for one in mai.facts if isinstance(one, AnswerHeld)] == [(mai.case().id,)]
    facts = mai.later(5000)
    (returned,) = [one for one in facts if isinstance(one, AnswerReturned)]
    assert bool(returned.again) is not changed
    ends = [one for one in facts if isinstance(one, PartEnded)]
    assert [one.answer.state for one in ends] == (["refused"] if changed else [])
    assert not changed or "what was done for it stands" in ends[0].answer.reason


def test_an_answer_rests_on_the_grounds_of_its_claims() -> None:
    """A claim that names one that has lost is no ground to stand on."""
    mai = disputed()
    mai.ask("legal", request="S")
    mai.claim("legal", "risky", "S/1.1.1", attribute="deal", rests=("R/1.1.1/1",))
    assert kinds(mai.answer("legal", "S/1")) == ["answer.held"]
    assert "S/1c1" in [send.id for send in mai.sent] or "answer.returned" in kinds(mai.later(5000))


# -- precedence
def test_the_first_criterion_that_leaves_one_side_decides() -> None:
    """Each of them, and what none decides."""
    mai = disputed()
    mai.claim("finance", "poor", n=3, confidence=0.9, agent="acme/finance/clerk", at_ms=NOW_MS + 5)
    sides = mai.weighs()[0][1].sides
    newer = (sides[0], msgspec.structs.replace(sides[1], confidence=0.9, at_ms=NOW_MS + 5, rank="operator"))
    expected = {
        "votes": 0, "rank": 1, "confidence": 2, "newest": 2, "oldest": 1,
        "sales": 1, "finance/expert": 2, "legal": 0, "person": 0,
    }  # fmt: skip
    assert {one: choose((one,), newer, {}, 2)[0] for one in expected} == expected
    assert choose(("person", "sales"), newer, {}, 2) == (0, "")
    assert choose(("votes",), newer, {"sales": 1, "finance": 0}, 2)[0] == 0
    assert choose(("legal", "newest"), newer, {}, 2) == (2, "newest")


def test_an_answer_waits_for_a_case_that_opens_while_it_waits() -> None:
    """It is told when the last of them is ruled, and not forgotten with the first."""
    mai = Mai(organisation(precedence=()))
    mai.ask("sales", "finance")
    mai.claim("sales", "good", "R/1")
    mai.claim("sales", "high", "R/1", 2, attribute="risk")
    mai.claim("finance", "poor", "R/2")
    mai.answer("sales", "R/1")
    mai.claim("legal", "low", "S/1", 2, attribute="risk", request="S")
    cases = mai.state.conflicts.cases
    assert len(cases) == 2 and all(case.state == "open" for case in cases.values())
    for ident in (case_id("customer/1", "standing"), case_id("customer/1", "risk")):
        mai.feed(Ordered(ident, "R/1/1" if "standing" in cases[ident].attribute else "R/1/2", "I know", "ann", 1, "operator"))
    assert [one.answer.state for one in mai.facts if isinstance(one, PartEnded) and one.task == "R/1"] == ["answered"]
    assert not mai.state.conflicts.withheld
