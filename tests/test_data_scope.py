"""What may leave a department: by type, by field, by subject, and in free texts; held by who answers and by who asked."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents.contracts import Contracts
from mai.agents.data_scope import Scopes, Way, is_department
from mai.agents.events import HopRefused, ReplyBreached
from mai.agents.inputs import Answered, Arrived, Call
from mai.agents.leaves import Leaves, covered, declared, paths, withheld_by
from mai.agents.messages import Result, Task
from mai.agents.organisation import Agent, Contract, Department, Organisation
from tests.test_department import LIMIT_MS, NOW_MS, Desk

CLERK = Agent(name="clerk", rank="operator", handler="w.py:c")
ANALYST = Agent(name="analyst", rank="specialist", handler="w.py:a")
BUILT_IN = (Agent(name="board", rank="board"), Agent(name="coordinator", rank="coordinator"))
HR = Leaves(withheld=("salary", "*.iban"), subjects=("employee/*",))
SALARY = 54321


def company(leaves: Leaves = HR) -> Organisation:
    """People may be asked by the client and by finance, and asks finance."""
    who = Contract(
        name="who", about="", served_by="clerk", may_ask=("client", "finance"), subject="employee",
        request={"employee": "int"}, reply={"employee": "int", "name": "str", "more": "any?"},
    )  # fmt: skip
    pay = Contract(name="pay", about="", served_by="clerk", may_ask=("people",), request={"to": "any"}, reply={"paid": "int"})
    return Organisation(
        name="Test", clients=("acme",),
        departments=(
            Department(name="people", charter="", agents=(*BUILT_IN, CLERK, ANALYST), contracts=(who,), leaves=leaves),
            Department(name="finance", charter="", agents=(*BUILT_IN, CLERK), contracts=(pay,), leaves=Leaves(withheld=("key",))),
        ),
    )  # fmt: skip


def people(asker: str = "acme/finance/clerk", contract: str = "people.who", leaves: Leaves = HR, **input_: Any) -> Desk:
    """People with an open task, which its clerk has."""
    desk = Desk(company(leaves), "people")
    desk.fitting = ["clerk"]
    given_ = input_ or {"employee": 7}
    desk.feed(Arrived(Task("r/1", "r", asker, contract, "who is it", given_, 9), NOW_MS + LIMIT_MS))
    return desk


# -- patterns
@pytest.mark.parametrize(
    ("pattern", "value", "found"),
    [
        ("salary", {"salary": 1}, True),
        ("salary", {"staff": [{"name": "x"}, {"salary": 1}]}, True),
        ("salary", {"staff": {"old": {"salary": {"sum": 1}}}}, True),
        ("salary", {"salary_band": 1, "name": "salary"}, False),
        ("*salary*", {"salary_band": 1}, True),
        ("*.iban", {"iban": 1}, False),
        ("*.iban", {"bank": {"iban": 1}}, True),
        ("bank.iban", {"old": {"bank": [[{"iban": 1}]]}}, True),
        ("bank.iban", {"bank": {"one": {"iban": 1}}}, False),
    ],
)
def test_what_is_withheld_is_found_wherever_it_stands(pattern: str, value: dict[str, Any], found: bool) -> None:
    """At any depth, in lists, below names that are known at run time only; nothing else is taken for it."""
    assert bool([path for path, _ in paths(value) if withheld_by((pattern,), path)]) is found


@given(st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner) | st.lists(inner), max_leaves=9))
def test_every_field_of_a_value_is_looked_at(value: Any) -> None:
    """Whatever a value is, a field that is somewhere in it has a path, and is covered by the pattern that is this path."""
    found = [path for path, _ in paths(value)]
    names = [name for path in found for name in path[-1:]]
    assert sorted(names) == sorted(_names(value))
    assert all(covered([".".join(path)], path) and withheld_by([path[-1]], path) for path in found)


def _names(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(name for one in value.values() for name in _names(one))]
    return [name for one in value for name in _names(one)] if isinstance(value, list) else []


def test_a_declaration_names_its_fields() -> None:
    """Tables, lists of them, and what is open to names that only the run knows."""
    assert declared({"a": "int", "b": [{"c": "str"}], "d": "dict[int]", "e": {"f": "any?"}}) == [
        (("a",), True), (("b",), False), (("b", "c"), True), (("d",), False), (("d", "*"), True), (("e",), False),
        (("e", "f"), False), (("e", "f", "*"), True),
    ]  # fmt: skip


def test_fields_that_may_leave_are_all_that_leave() -> None:
    """Where they are listed, a field that is not on the list does not leave, whatever the contract says of it."""
    whole = company(Leaves(fields=("employee", "name", "more.phone")))
    scopes = Scopes(whole, Contracts(whole).fault)
    way = Way("people", "people.who", "acme/client", {"employee": 7})
    fine: dict[str, Any] = {"employee": 7, "name": "Ann"}
    assert not scopes.breach(way, {**fine, "more": {"phone": [1, 2]}}, "Ann")
    for more in (5, {"fax": 1}, [{"phone": 1}, 2], {}, [], {"phone": 1, "x": {"y": 1}}):
        assert scopes.breach(way, {**fine, "more": more}, "") == "it has a field that may not leave people"


def test_who_asks_from_another_department() -> None:
    """Agents and departments are, the client and Mai are not."""
    assert [is_department(one) for one in ("acme/client", "acme/mai", "acme/sales", "acme/sales/mai", "", "client")] == [
        False, False, True, True, False, False,
    ]  # fmt: skip


# -- who answers
@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ({"name": "Ann", "employee": 7, f"s{SALARY}": SALARY}, "it has a field that people.who does not name"),
        ({"name": 5, "employee": 7}, "the reply of people.who: name: expected a text, found int"),
        ({"name": "Ann", "employee": 7, "more": {"salary": SALARY}}, "people withholds salary"),
        ({"name": "Ann", "employee": 7, "more": [{"bank": {"iban": "DE1"}}]}, "people withholds *.iban"),
        ({"name": "Ann", "employee": 8}, "it tells of another employee than it was asked about"),
    ],
)
def test_a_reply_that_may_not_leave_stays_inside(value: dict[str, Any], rule: str) -> None:
    """Mai gets the rule and a sentence, the department's journal has the whole of it."""
    desk = people()
    desk.report("clerk", value=value, text="said")
    result = desk.results()[0]
    assert (result.state, result.value, result.text, result.breach) == ("failed", {}, "", rule)
    assert result.reason == "people withholds its reply, which does not keep to its contract people.who"
    assert str(SALARY) not in str(result) and "DE1" not in str(result)
    (breached,) = [event for event in desk.events if isinstance(event, ReplyBreached)]
    assert breached.rule == rule and breached.withheld == {"text": "said", "value": value, "reason": ""}
    assert desk.folds()


def test_code_of_a_coordinator_passes_the_rule_on() -> None:
    """Who hands a task on by code of its own, and fails as the answer may not leave, lets its board know the rule."""
    whole = company()
    lead = Agent(name="coordinator", rank="coordinator", handler="w.py:lead")
    made = msgspec.structs.replace(whole.departments[0], agents=(BUILT_IN[0], lead, CLERK))
    desk = Desk(msgspec.structs.replace(whole, departments=(made, whole.departments[1])), "people")
    desk.feed(Arrived(Task("r/1", "r", "acme/client", "people.who", "", {"employee": 7}, 9), NOW_MS + LIMIT_MS))
    desk.feed(Call(desk.work("coordinator").task, 1, "hand", {"to": "clerk"}))
    desk.report("clerk", value={"name": "Ann", "employee": 7, "salary": SALARY})
    desk.report("coordinator", "failed", reason="the clerk did not")
    result = desk.results()[0]
    assert (result.state, result.breach) == ("failed", "it has a field that people.who does not name")
    assert result.reason.startswith("people withholds its reply") and desk.folds()


def test_a_text_goes_to_the_client_and_not_to_another_department() -> None:
    """Unless the department says that its texts may leave."""
    value = {"name": "Ann", "employee": 7}
    told = {}
    for asker in ("acme/client", "acme/mai", "acme/finance/clerk"):
        for text in (False, True):
            desk = people(asker, leaves=Leaves(text=text))
            desk.report("clerk", value=value, text="Ann")
            told[asker, text] = (desk.results()[0].state, desk.results()[0].text)
    assert told == {
        ("acme/client", False): ("answered", "Ann"), ("acme/client", True): ("answered", "Ann"),
        ("acme/mai", False): ("answered", "Ann"), ("acme/mai", True): ("answered", "Ann"),
        ("acme/finance/clerk", False): ("answered", ""), ("acme/finance/clerk", True): ("answered", "Ann"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value", "leaks"),
    [
        (f"Ann earns {SALARY}", {}, True),
        ("Ann earns 54,321.00 a year", {}, True),
        ("Her account is de02 1203", {}, True),
        ("Ann is fine", {"name": "54321"}, True),
        ("Ann is fine", {"more": SALARY}, True),
        ("Ann has 3 cats, number 154321", {}, False),
    ],
)
def test_a_withheld_value_that_was_seen_is_found_in_what_is_said(text: str, value: dict[str, Any], leaks: bool) -> None:
    """Also to the client, also under another name, as a number in whatever form; and in the reason of a refusal."""
    for state in ("answered", "refused"):
        desk = people("acme/client")
        desk.ask("clerk", "coordinator", {})
        desk.fitting = ["analyst"]
        seen = {"staff": [{"salary": SALARY, "bank": {"iban": "DE02 1203"}, "cats": 3}]}
        step = next(iter(desk.decider.state.steps.values()))[1]
        step.done, step.value = True, seen
        whole = {"name": "Ann", "employee": 7, **value}
        said = {"value": whole, "text": text} if state == "answered" else {"reason": f"{text} {value}"}
        desk.report("clerk", state, **said)
        breach = desk.results()[0].breach
        assert bool(breach) is leaks and (not leaks or "withholds" in breach)
        assert not leaks or not {"54321", "54,321", "de02"} & set(str(desk.results()[0]).split())


def test_inside_its_department_nothing_is_withheld() -> None:
    """One agent tells another what it asks for; only what leaves is held against the scope."""
    desk = people()
    desk.fitting = ["analyst"]
    desk.ask("clerk", "coordinator", {})
    desk.report("analyst", value={"salary": SALARY}, text=f"it is {SALARY}")
    assert desk.stepped().value == {"salary": SALARY} and not [one for one in desk.events if isinstance(one, ReplyBreached)]


def test_of_whom_nothing_may_be_told_nothing_is_asked() -> None:
    """Whoever asks, the client as well: it is refused before anybody works on it."""
    for asker in ("acme/finance/clerk", "acme/client"):
        desk = people(asker, leaves=Leaves(subjects=("employee/1*", "employee/9")), employee=7)
        assert desk.results()[0].state == "refused"
        assert desk.results()[0].reason == "people.who tells of employee/1*, employee/9 only"
        assert not people(asker, leaves=Leaves(subjects=("employee/1*", "employee/7")), employee=7).results()


def test_a_task_that_comes_back_says_so_to_its_code() -> None:
    """The correction reaches who works on it, through all ranks, and not those whom it asks for something else."""
    desk = people()
    body = Task("r/1c1", "r", "acme/client", "people.who", "", {"employee": 7}, 9, correction="because")
    desk.feed(Arrived(body, NOW_MS + LIMIT_MS))
    works = {work.agent: work for work in desk.decider.state.work.values() if work.task.startswith("r/1c1")}
    assert [works[name].correction for name in ("board", "coordinator", "clerk")] == ["because"] * 3


# -- who asks
def test_what_is_withheld_is_not_put_into_a_question_either() -> None:
    """A request that holds a withheld field, or says a withheld value, does not go to another department."""
    for given_, text in (({"to": {"salary": 1}}, ""), ({"to": {"x": [{"bank": {"iban": 1}}]}}, ""), ({"to": 5}, f"is {SALARY}")):
        desk = people()
        work = next(work for work in desk.decider.state.work.values() if work.agent == "clerk")
        desk.decider.state.work[work.task] = msgspec.structs.replace(work, input={"salary": SALARY})
        desk.ask("clerk", "finance.pay", given_, text=text)
        assert "withholds" in desk.stepped().refused and isinstance(desk.events[-2], HopRefused)
        assert not desk.sends
    desk.ask("clerk", "finance.pay", {"to": 5}, n=2)
    assert len(desk.sends) == 1


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({"value": {"paid": 1, "extra": "DE1"}}, "it has a field that finance.pay does not name"),
        ({"value": {"paid": "DE1"}}, "the reply of finance.pay: paid: expected int, found a text"),
        ({"value": {"paid": 1}, "text": "DE1"}, "the text of an answer does not leave finance for another department"),
    ],
)
def test_who_asked_checks_once_more(body: dict[str, Any], rule: str) -> None:
    """Should Mai let something through, it is cut before it is on the disk, on record with its rule, and used by nobody."""
    desk = people()
    desk.ask("clerk", "finance.pay", {"to": 5})
    reply = Result(desk.sends[-1].id, "r", "answered", **{"text": "", "value": {}, **body}, reason="", by="acme/finance/clerk")
    screened = desk.decider.screen("acme/mai", reply)
    assert isinstance(screened, Result) and screened.breach == rule and "DE1" not in str(screened)
    for given_ in (reply, screened):
        desk = people()
        desk.ask("clerk", "finance.pay", {"to": 5})
        desk.feed(Answered(given_, 5, "ab"))
        (breached,) = [event for event in desk.events if isinstance(event, ReplyBreached)]
        assert (breached.rule, breached.record, breached.digest, breached.withheld) == (rule, 5, "ab", None)
        assert desk.stepped().refused.startswith("finance withholds its reply") and not desk.stepped().value
        assert "DE1" not in str(desk.events)
