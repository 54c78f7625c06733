"""What Mai gives to a person herself: backups that are used up, budgets of a day, departments that were late."""

from typing import Any

import msgspec
import pytest

from mai.agents.decider import Send, Tick
from mai.agents.escalation_messages import Parked
from mai.agents.escalation_scope import Escalations
from mai.agents.messages import Result, Task
from mai.daemon.cancel import RequestCancelled
from mai.daemon.desk import Asked, Cancels, Crossing, Planned
from mai.daemon.escalations import AFTER_MS, Answering, EscalationAnswered, EscalationEnded, EscalationRaised, RequestPending
from mai.daemon.examination import examine
from mai.daemon.invariants import Fact
from mai.daemon.records import ContractEnded, PartEnded, PartPlan, RequestEnded, RequestPlanned
from tests.test_cover import Covered
from tests.test_mai import NOW_MS, UNTIL_MS

ID, PASSED = "R/1.em", "R/1.1.m2"
LAWS = ("escalations", "requests", "verdicts")


def settled(**settings: Any) -> Covered:
    """Mai over the organisation of test_cover.py, with these settings."""
    mai = Covered()
    part = mai.decider.mandate
    mai.decider.mandate = msgspec.structs.replace(
        part, organisation=msgspec.structs.replace(part.organisation, escalation=Escalations(**settings))
    )
    return mai


def used_up(mai: Covered, states: tuple[str, ...] = ("failed", "failed", "failed")) -> None:
    """All three have had it."""
    (sent,) = mai.ask()
    for state in states:
        (sent, *_) = mai.answer(sent, state) or [sent]


def person(text: str = "three, I have counted", value: Any = None, ident: str = ID, state: Any = "answered") -> Answering:
    """What ann says."""
    return Answering(ident, state, text, value or {"pieces": 3}, "", "ann", 1000, "operator")


def lawful(mai: Covered) -> list[str]:
    """What her journal breaks of these laws, as far as it can be said without her messages."""
    facts = [Fact("acme/mai", seq, event, seq * 1_000_000, "b") for seq, event in enumerate(mai.events, 1)]
    return [one.what for one in examine(facts).findings if one.law == "escalations"]


def test_a_person_is_asked_once_nobody_is_left() -> None:
    """He sees what became of each; his answer is held against nothing less, and is the client's."""
    mai = settled()
    used_up(mai)
    (raised,) = mai.of(EscalationRaised)
    assert (raised.id, raised.process, raised.body.plea.cause, raised.body.final) == (ID, "acme/mai", "fallback", True)
    assert [one.who for one in raised.body.plea.tried] == [
        "acme/stock.count",
        "acme/archive.count",
        "acme/museum/clerk",
        "acme/mai",
    ]
    assert raised.due_ms == NOW_MS + 3_600_000 and mai.of(RequestPending)[0].deadline_ms > raised.due_ms
    assert mai.of(RequestEnded) == [] and mai.state.requests["R"].deadline_ms == raised.due_ms + 2 * AFTER_MS
    mai.feed(person())
    (ended,) = mai.of(RequestEnded)
    assert (ended.state, ended.parts[0].by, ended.parts[0].value) == ("answered", "acme/person/ann", {"pieces": 3})
    assert lawful(mai) == [] and not list(mai.state.parking.open())
    mai.feed(person("no"))
    assert len(mai.of(EscalationAnswered)) == len(mai.of(PartEnded)) == 1


def test_who_asked_under_a_contract_has_more_time_and_the_answer() -> None:
    """A passage between departments waits as well, and what its asker waits with."""
    mai = settled()
    mai.feed(Asked("R", "acme/client", "t", UNTIL_MS, False, (PartPlan("sales", "t", "", {}, ""),)))
    body = Task(PASSED, "R", "acme/sales/clerk", "stock.count", "", {"item": 1}, 4)
    _, (sent,) = mai.feed(Crossing("acme/sales", body, UNTIL_MS))
    for _ in range(2):
        (sent,) = mai.answer(sent, "failed")
    (told,) = mai.answer(sent, "failed")
    assert told.to == "acme/sales" and isinstance(told.body, Parked) and told.body.task == "R/1.1"
    (raised,) = mai.of(EscalationRaised)
    assert mai.state.passages[PASSED].deadline_ms > raised.due_ms
    _, (back,) = mai.feed(person(ident=raised.id))
    assert isinstance(back.body, Result) and (back.body.state, back.body.by) == ("answered", "acme/person/ann")
    assert mai.of(ContractEnded)[0].state == "answered" and lawful(mai) == []


@pytest.mark.parametrize("how", ["time", "refusal", "cancel", "no"])
def test_without_an_answer_the_result_stands(how: str) -> None:
    """When his time is over, or he refuses; and nobody is asked where the organisation does not want that."""
    mai = settled(fallback="no" if how == "no" else "person")
    used_up(mai)
    if how == "time":
        mai.feed(Tick(), NOW_MS + 3_600_001)
        assert mai.of(EscalationEnded)[0].state == "expired"
    elif how == "refusal":
        mai.feed(person("", {}, state="refused"))
    elif how == "cancel":
        mai.feed(Cancels("R", "ann", "", "o", ()))
        assert mai.of(RequestCancelled) and not list(mai.state.parking.open())
    (ended,) = mai.of(RequestEnded)
    assert ended.state == {"time": "failed", "refusal": "refused", "cancel": "refused", "no": "failed"}[how]
    assert ("has not answered in time" in ended.answer) == (how == "time")
    assert lawful(mai) == []


def lone(mai: Covered, state: str, now_ms: int = NOW_MS, by: str = "") -> list[Send]:
    """The client asks the museum, which nobody stands in for, and it ends so."""
    part = PartPlan("museum", "count 7", "museum.count", {"item": 7}, "")
    (sent,) = mai.feed(Asked("R", "acme/client", "count 7", UNTIL_MS, False, (part,)))[1]
    return mai.answer(sent, state, now_ms)


@pytest.mark.parametrize(
    ("state", "settings", "cause"),
    [
        ("expired", {}, ""), ("expired", {"deadline": "person"}, "deadline"), ("escalated", {}, "budget"),
        ("escalated", {"budget": "no"}, ""), ("failed", {"deadline": "person"}, ""), ("refused", {"refusal": "person"}, ""),
    ],
)  # fmt: skip
def test_what_comes_back_is_given_to_a_person_as_the_organisation_says(state: str, settings: Any, cause: str) -> None:
    """A late department, and one whose budget for the day is spent; never what it has answered."""
    mai = settled(**settings)
    lone(mai, state)
    assert [raised.body.plea.cause for raised in mai.of(EscalationRaised)] == [cause] * bool(cause)
    assert bool(mai.of(RequestEnded)) != bool(cause)


def test_nobody_is_asked_whom_no_time_is_left() -> None:
    """Without time of his own, a second before the end."""
    mai = settled(deadline="person", person_s=0)
    lone(mai, "expired", UNTIL_MS - 500)
    assert mai.of(RequestEnded)[0].state == "expired" and not mai.of(EscalationRaised)


def test_two_that_nobody_answers_end_one_after_the_other() -> None:
    """Both parts of a request whose person's time is over at once: it ends with both."""
    mai = settled(deadline="person")
    parts = tuple(PartPlan("museum", f"count {n}", "museum.count", {"item": n}, "") for n in range(2))
    sent = mai.feed(Asked("R", "acme/client", "count", UNTIL_MS, False, parts))[1]
    for one in sent:
        mai.answer(one, "expired")
    for _ in range(2):
        mai.feed(Tick(), NOW_MS + 3_600_001)
    (ended,) = mai.of(RequestEnded)
    assert len(ended.parts) == 2 and all("has not answered in time" in part.reason for part in ended.parts)
    assert lawful(mai) == []


def test_what_waits_for_a_person_between_departments_ends_with_its_request() -> None:
    """Nobody is left to wait for an answer that would go nowhere: who asked has the result as it was."""
    mai = settled()
    mai.feed(Asked("R", "acme/client", "t", UNTIL_MS, False, (PartPlan("sales", "t", "", {}, ""),)))
    _, (sent,) = mai.feed(
        Crossing("acme/sales", Task(PASSED, "R", "acme/sales/clerk", "museum.count", "", {"item": 1}, 4), UNTIL_MS)
    )
    mai.answer(sent, "escalated")
    assert mai.of(EscalationRaised)
    _, sends = mai.feed(Cancels("R", "ann", "", "o", ()))
    (back,) = [one.body for one in sends if isinstance(one.body, Result)]
    assert (back.task, back.state) == (PASSED, "escalated") and not mai.state.passages and len(mai.of(ContractEnded)) == 1
    assert lawful(mai) == []


def test_what_waits_for_a_person_is_given_to_no_backup() -> None:
    """Nobody else gets it meanwhile, whatever the watchdog tells of who had it last."""
    mai = settled()
    used_up(mai)
    mai.state.breakers.clear()
    from mai.daemon.desk import Forsaken

    assert mai.feed(Forsaken("acme/museum"))[1] == [] and len(mai.of(EscalationRaised)) == 1


# -- whom a request is for
def in_doubt(**settings: Any) -> Covered:
    """A request that could be for two departments."""
    mai = settled(**settings)
    mai.feed(Asked("R", "acme/client", "count it", UNTIL_MS, False, None))
    mai.feed(Planned("R", (), "both about as well", "is it for stock or for museum?"))
    return mai


@pytest.mark.parametrize("doubt", ["no", "board", "person"])
def test_whom_a_request_is_for_is_asked_as_the_organisation_says(doubt: str) -> None:
    """The client is asked back, or a person is; he sees the question."""
    mai = in_doubt(doubt=doubt)
    if doubt != "person":
        assert mai.of(RequestEnded)[0].answer.endswith("is it for stock or for museum?") and not mai.of(EscalationRaised)
        return
    (raised,) = mai.of(EscalationRaised)
    assert (raised.id, raised.body.plea.cause, raised.body.text) == ("R.em", "doubt", "count it")
    assert raised.body.plea.reason == "is it for stock or for museum?" and not mai.of(RequestPlanned)
    mai.feed(Planned("R", (), "both about as well", "is it for stock or for museum?"))  # in her next life
    assert len(mai.of(EscalationRaised)) == 1
    _, (sent,) = mai.feed(person("", {"to": "museum"}, "R.em"))
    assert (sent.to, sent.id) == ("acme/museum", "R/1")
    assert mai.of(RequestPlanned)[0].parts[0].why == "acme/person/ann says that it is for museum"
    mai.answer(sent)
    assert mai.of(RequestEnded)[0].state == "answered" and lawful(mai) == []


@pytest.mark.parametrize("how", ["time", "refusal", "both"])
def test_what_nobody_sorts_out_is_asked_back(how: str) -> None:
    """With the question where nobody has answered, with his reason where he refuses."""
    mai = in_doubt(doubt="person")
    if how == "refusal":
        mai.feed(Answering("R.em", "refused", "", {}, "we do not count", "ann", 1000, "operator"))
    else:
        mai.feed(Tick(), NOW_MS + (3_600_001 if how == "time" else 9_999_999))
    (ended,) = mai.of(RequestEnded)
    said = {"time": "is it for stock or for museum?", "refusal": "we do not count", "both": "no department was found before"}[how]
    assert said in ended.answer and lawful(mai) == []
