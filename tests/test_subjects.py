"""Of whom a department may ask, and what others see of its work, as Mai decides it."""

from typing import Any

import msgspec
import pytest

from mai.agents.decider import Send
from mai.agents.leaves import Leaves, Shows
from mai.agents.messages import Result, Task
from mai.agents.organisation import Agent, Contract, Department, Organisation
from mai.daemon import returning
from mai.daemon.desk import Asked, Returned
from mai.daemon.mai_folding import evolve
from mai.daemon.records import ContractChecked, ContractEnded, PartPlan, RequestEnded
from tests.test_mai import UNTIL_MS, Mai, result

AGENTS = (Agent(name="board", rank="board"), Agent(name="clerk", rank="operator", handler="x.py:x"))


def company(shows: Shows = "result", **leaves: Any) -> Organisation:
    """Support may ask sales about an order, and finance about a customer that it was given; finance may ask support."""
    order = Contract(
        name="order", about="", served_by="clerk", may_ask=("support", "client"), subject="order",
        request={"order": "int"}, reply={"order": "int", "customer": "int", "others": "any?"},
    )  # fmt: skip
    everybody = Contract(name="all", about="", served_by="clerk", may_ask=("support",), reply={"customer": "list[int]"})
    owes = Contract(
        name="owes", about="", served_by="clerk", may_ask=("support", "client"), bound=("support",), subject="customer",
        request={"customer": "any?"}, reply={"cents": "int"},
    )  # fmt: skip
    tell = Contract(name="tell", about="", served_by="clerk", may_ask=("finance",), request={"customer": "int"})
    made = {"support": (tell,), "sales": (order, everybody), "finance": (owes,)}
    departments = tuple(
        Department(
            name=name, charter="", agents=AGENTS, contracts=contracts,
            leaves=Leaves(**leaves) if name == "finance" else Leaves(), shows=shows if name == "finance" else "result",
        )
        for name, contracts in made.items()
    )  # fmt: skip
    return Organisation(name="Test", clients=("acme",), departments=departments)


def asked(text: str, whole: Organisation | None = None, contract: str = "", **input_: Any) -> Mai:
    """Mai with a request that support has."""
    mai = Mai(whole or company())
    mai.feed(Asked("R", "acme/client", text, UNTIL_MS, False, (PartPlan("support", text, contract, input_, ""),)))
    return mai


def owes(mai: Mai, customer: Any, task: str = "R/1.1.m1") -> str:
    """The rule by which support is told nothing of a customer; "" if it is."""
    (checked,), _ = _crossed(mai, task, "finance.owes", {"customer": customer})
    return "" if checked.allowed else checked.rule


def _crossed(mai: Mai, task: str, contract: str, given: Any, peer: str = "acme/support") -> tuple[list[Any], list[Send]]:
    return mai.crossing(peer, task=task, contract=contract, input=given)


# -- subjects
@pytest.mark.parametrize(
    ("text", "customer", "given"),
    [
        ("what does customer 211 owe", 211, True),
        ("what does customer 1,211 owe", 1211, True),
        ("what does customer 211 owe", 11, False),
        ("what does customer 2110 owe", 211, False),
        ("what does it owe", 211, False),
        ("what does Ann Lee owe?", "ann lee", True),
        ("what does Joann Leery owe?", "Ann Lee", False),
        ("what does customer 211 owe", None, False),
        ("what does customer 211 owe", [211], False),
        ("what does customer 211 owe", {"x": 211}, False),
    ],
)
def test_a_department_asks_only_about_whom_it_was_given(text: str, customer: Any, given: bool) -> None:
    """What the client's words name it may ask about; all else is refused, on record, with the rule and without the value."""
    rule = owes(asked(text), customer)
    assert rule == ("" if given else "finance.owes tells support only of a customer that it was given for this request")


def test_a_typed_request_gives_what_it_says() -> None:
    """Where the part's own input names the subject, a number that happens to stand in the text is none."""
    assert not owes(asked("tell customer 7 about 8", contract="support.tell", customer=7), 7)
    assert owes(asked("tell customer 7 about 8", contract="support.tell", customer=7), 8)


def test_a_reply_about_a_given_subject_gives_others() -> None:
    """Whose order it is support may learn, and ask about this customer then, and about no other; and nobody else may."""
    mai = asked("why is order 500 late")
    _crossed(mai, "R/1.1.m1", "sales.order", {"order": 500})
    assert owes(mai, 211, "R/1.1.m2")
    value = {"order": 500, "customer": 211, "others": [{"customer": "Ann"}, {"customer": [9, True]}]}
    (ended,), _ = mai.feed(Returned("acme/sales", result("R/1.1.m1", value=value, by="acme/sales/clerk")))
    assert isinstance(ended, ContractEnded) and ended.subjects == ("order/500", "customer/211", "customer/Ann", "customer/9")
    assert [owes(mai, one, f"R/1.1.m{n}") for n, one in enumerate((211, "Ann", 9), 3)] == ["", "", ""]
    assert owes(mai, 212, "R/1.1.m9")
    mai.feed(Asked("Q", "acme/client", "hello", UNTIL_MS, False, (PartPlan("support", "hello", "", {}, ""),)))
    (checked,), _ = mai.crossing(task="Q/1.1.m1", request="Q", contract="finance.owes", input={"customer": 211})
    assert isinstance(checked, ContractChecked) and not checked.allowed


def test_a_reply_about_what_was_not_given_gives_nothing() -> None:
    """A list of all customers, or an order that nobody has spoken of, is no leave to ask about them."""
    mai = asked("hello")
    _crossed(mai, "R/1.1.m1", "sales.all", {})
    mai.feed(Returned("acme/sales", result("R/1.1.m1", value={"customer": [211]}, by="acme/sales/clerk")))
    _crossed(mai, "R/1.1.m2", "sales.order", {"order": 500})
    mai.feed(Returned("acme/sales", result("R/1.1.m2", value={"order": 500, "customer": 211}, by="acme/sales/clerk")))
    assert owes(mai, 211, "R/1.1.m3") and not mai.state.subjects


def test_what_was_asked_under_a_contract_is_given() -> None:
    """Support, asked by finance about a customer, may ask about this one; the text of an ask gives nothing."""
    mai = Mai(company())
    mai.feed(Asked("R", "acme/client", "do", UNTIL_MS, False, (PartPlan("finance", "do", "", {}, ""),)))
    mai.crossing("acme/finance", task="R/1.1.m1", contract="support.tell", input={"customer": 7}, text="customer 8")
    assert not owes(mai, 7, "R/1.1.m1.1.m1") and owes(mai, 8, "R/1.1.m1.1.m2")


def test_what_a_task_was_told_of_ends_with_it() -> None:
    """Nothing of it stays in Mai's state, which is the fold of her journal."""
    mai = asked("order 500")
    _crossed(mai, "R/1.1.m1", "sales.order", {"order": 500})
    mai.feed(Returned("acme/sales", result("R/1.1.m1", value={"order": 500, "customer": 211}, by="acme/sales/clerk")))
    assert mai.state.subjects
    events, _ = mai.feed(Returned("acme/support", result("R/1")))
    assert isinstance(events[-1], RequestEnded) and not mai.state.subjects
    late = ContractEnded(request="R", task="R/1.1.m8", state="answered", subjects=("customer/1",))
    evolve(mai.state, late, 99)
    assert not mai.state.subjects


# -- what others see
@pytest.mark.parametrize(
    ("shows", "by", "sources", "text"),
    [
        ("result", "acme/finance/clerk", ("finance", "sales"), "all of it"),
        ("summary", "acme/finance", ("finance", "sales"), "finance.owes has answered"),
        ("nothing", "acme/finance", ("finance",), ""),
    ],
)
def test_others_see_as_much_as_a_department_shows(shows: Shows, by: str, sources: tuple[str, ...], text: str) -> None:
    """Who asked gets what the contract names; who has made it, on whom it rests, and its text are shown or not."""
    mai = asked("customer 7", company(shows, text=True))
    assert not owes(mai, 7)
    body = result("R/1.1.m1", value={"cents": 5}, text=text, by="acme/finance/clerk", sources=("finance", "sales"))
    _, (back,) = mai.feed(Returned("acme/finance", body))
    assert isinstance(back.body, Result) and (back.body.state, back.body.value) == ("answered", {"cents": 5})
    assert (back.body.by, back.body.sources, back.body.text) == (by, sources, text)


def test_who_looks_on_sees_as_much_as_a_department_shows() -> None:
    """The notices of a task on its way, and the client's provenance."""
    seen = {}
    for shows in ("result", "summary", "nothing"):
        mai = Mai(company(shows))
        given = Task("R/1", "R", "acme/client", "", "what do I owe", {}, 9)
        under = msgspec.structs.replace(given, contract="finance.owes")
        begun = [returning.begun(mai.decider, "finance", one) for one in (given, under)]
        done = returning.done(mai.decider, "finance", result("R/1", "refused"))
        mai.feed(Asked("R", "acme/client", "x", UNTIL_MS, False, (PartPlan("finance", "x", "", {}, ""),)))
        body = result("R/1", text="5 euros", by="acme/finance/clerk", sources=("finance", "sales"))
        ended = mai.feed(Returned("acme/finance", body))[0][-1]
        assert isinstance(ended, RequestEnded)
        seen[shows] = [*begun, done, ended.answer]
    assert seen == {
        "result": ["what do I owe", "finance.owes", "refused", "5 euros\n   [finance/clerk, with sales]"],
        "summary": ["", "finance.owes", "refused", "5 euros\n   [finance, with sales]"],
        "nothing": ["", "", "done", "5 euros\n   [finance]"],
    }
