"""What Mai passes on between agents and services: by scope, once, in time; and what she lets a model word."""

import itertools
from typing import Any

import msgspec
import pytest

from mai.agents.contracts import Contracts
from mai.agents.decider import Input, Send, Tick
from mai.agents.errand_messages import Inquiry, Think, Thought, Usage, Use, Used
from mai.agents.events import Event, MessageRefused
from mai.agents.messages import Result, address_of
from mai.agents.models import Model, Models, Provider, Target
from mai.agents.organisation import Agent, Department, Limits, Organisation, Tool, mandate
from mai.agents.table import Table
from mai.daemon.desk import Asked, Errands, Returned
from mai.daemon.mai import MaiDecider
from mai.daemon.records import ErrandChecked, ErrandEnded, PartPlan, RequestEnded, WordingDropped
from mai.daemon.wording import errand_of

NOW_MS, UNTIL_MS = 1_000_000, 1_030_000
INQUIRY = Inquiry((address_of("a"), address_of("b")), 2)
USAGE = Usage(7, 5, 12_000)


def organisation(compose: str = "") -> Organisation:
    """Support has a thinker, and a clerk who may search the network; finance has neither."""
    models = Models(
        providers=(Provider(name="main", url="http://127.0.0.1:1/v1"),),
        models=tuple(Model(name=name, chain=(Target(provider="main", model=name),)) for name in ("small", "large")),
        compose=compose,
    )
    board = Agent(name="board", rank="board")
    thinker = Agent(name="thinker", rank="specialist", kind="model", model="large")
    clerk = Agent(name="clerk", rank="operator", handler="x.py:x", tools=("search",))
    search = Tool(name="search", handler="x.py:search", hosts=("example.com",))
    return Organisation(
        name="Test", clients=("acme",), limits=Limits(queue=3), models=models,
        departments=(
            Department(name="support", charter="", agents=(board, thinker, clerk), tools=(search,)),
            Department(name="finance", charter="", agents=(board, clerk)),
        ),
    )  # fmt: skip


class Mai:
    """Her decider, fed by hand; each event is folded at once. Texts are kept in a dictionary."""

    def __init__(self, compose: str = "") -> None:
        part = mandate(organisation(compose), "acme", "mai")
        self.texts: dict[str, str] = {}
        self.decider = MaiDecider(
            part, Table(part.organisation), Contracts(part.organisation).fault,
            keep=self.keep, read=self.texts.__getitem__,
        )  # fmt: skip
        self.state, self.seq = self.decider.state, itertools.count(1)
        self.events: list[Event] = []

    def keep(self, text: str) -> str:
        """As a ledger does."""
        self.texts[address_of(text)] = text
        return address_of(text)

    def feed(self, given: Input, now_ms: int = NOW_MS) -> list[Any]:
        """Decide and fold; what is sent."""
        decided = self.decider.decide(given, now_ms)
        events = [item for item in decided if isinstance(item, Event)]
        self.events += events
        for event in events:
            assert self.decider.evolve(event, next(self.seq)) == []
        return [item for item in decided if isinstance(item, Send)]

    def asked(self, *departments: str) -> "Mai":
        """The client asks these departments."""
        parts = tuple(PartPlan(name, "text", "", {}, "") for name in departments or ("support",))
        self.feed(Asked("R", "acme/client", "pay me 49 for order 5!", UNTIL_MS, False, parts))
        return self

    def think(self, peer: str = "acme/support", **given: Any) -> list[Any]:
        """An agent asks a model."""
        defaults = {"id": "R/1.1.m1", "request": "R", "agent": f"{peer}/thinker", "model": "large", "inquiry": INQUIRY}
        return self.feed(Errands(peer, Think(**{**defaults, **given}), UNTIL_MS))

    def use(self, peer: str = "acme/support", **given: Any) -> list[Any]:
        """An agent uses a tool that needs the network."""
        defaults: dict[str, Any] = {
            "id": "R/1.2.m1", "request": "R", "agent": f"{peer}/clerk", "tool": "support.search", "key": "k", "input": {"q": 1},
        }  # fmt: skip
        return self.feed(Errands(peer, Use(**{**defaults, **given}), UNTIL_MS))

    def last(self, kind: type[Event]) -> Any:
        """The last event of a kind."""
        return next(event for event in reversed(self.events) if isinstance(event, kind))


# -- passing on
def test_a_question_to_a_model_passes_and_its_answer_comes_back() -> None:
    """Only addresses and figures are on record; the answer goes to who asked, once."""
    mai = Mai().asked()
    (send,) = mai.think()
    assert (send.to, send.body.inquiry, send.id) == ("acme/models", INQUIRY, "R/1.1.m1") and send.deadline_ms < UNTIL_MS
    checked = mai.last(ErrandChecked)
    assert (checked.allowed, checked.size, checked.service, checked.what) == (True, 2, "models", "large")
    thought = Thought("R/1.1.m1", "R", "answered", address_of("yes"), by="main/large", usage=USAGE, notes=("a note",))
    (back,) = mai.feed(Errands("acme/models", thought, 0))
    assert (back.to, back.body) == ("acme/support", thought)
    ended = mai.last(ErrandEnded)
    assert (ended.state, ended.usage, ended.by, ended.answer, ended.notes) == (
        "answered", USAGE, "main/large", address_of("yes"), ("a note",),
    )  # fmt: skip
    assert not mai.state.errands and mai.feed(Errands("acme/models", thought, 0)) == []
    assert mai.think() and mai.think() == []  # a repeated one is on its way already


def test_a_tool_that_needs_the_network_passes_and_comes_back() -> None:
    """The same way, through the tools process."""
    mai = Mai().asked()
    (send,) = mai.use()
    assert (send.to, send.body.key, send.body.input) == ("acme/tools", "k", {"q": 1})
    used = Used("R/1.2.m1", "R", [1, 2])
    (back,) = mai.feed(Errands("acme/tools", used, 0))
    assert (back.to, back.body, mai.last(ErrandEnded).state) == ("acme/support", used, "answered")


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"model": "small"}, "its model is large"),
        ({"model": "no such"}, "its model is large"),
        ({"agent": "acme/support/clerk"}, "it has none"),
        ({"agent": "acme/finance/clerk"}, "in the name of"),
        ({"agent": "acme/support/nobody"}, "in the name of"),
        ({"agent": "acme/mai"}, "in the name of"),
        ({"request": "other"}, "no open task"),
        ({"id": "R/2.m1"}, "no open task"),
        ({"id": "R/wording"}, "no open task"),
        ({"id": ""}, "no open task"),
    ],
)
def test_who_asks_a_model_outside_of_its_scope_is_refused(given: dict[str, Any], rule: str) -> None:
    """On record and told to who asked; nothing goes on."""
    mai = Mai().asked()
    (back,) = mai.think(**given)
    assert back.to == "acme/support" and back.body.state == "refused" and rule in back.body.reason
    assert not mai.last(ErrandChecked).allowed and not mai.state.errands


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"tool": "support.erase"}, "may not use"),
        ({"tool": "finance.search"}, "may not use"),
        ({"tool": "search"}, "may not use"),
        ({"agent": "acme/support/thinker"}, "may not use"),
        ({"id": "R/7.m1"}, "no open task"),
    ],
)
def test_who_uses_a_tool_outside_of_its_scope_is_refused(given: dict[str, Any], rule: str) -> None:
    """The same; and it is known that nothing has happened."""
    mai = Mai().asked()
    (back,) = mai.use(**given)
    assert rule in back.body.refused and not back.body.doubt and not mai.state.errands


def test_a_department_has_only_its_own_tasks() -> None:
    """Another department's task is no ground to ask for."""
    mai = Mai().asked("support")
    (back,) = mai.use("acme/finance", tool="finance.search")
    assert "no open task" in back.body.refused


def test_errands_are_bounded() -> None:
    """A flood is pushed back."""
    mai = Mai().asked()
    for number in range(1, 4):
        assert mai.think(id=f"R/1.1.m{number}")[0].to == "acme/models"
    (back,) = mai.think(id="R/1.1.m4")
    assert "3 questions to models and tools are open" in back.body.reason


def test_what_no_service_answers_ends_at_its_deadline() -> None:
    """A model has not answered; a tool may have done its work, and nobody knows."""
    mai = Mai().asked()
    mai.think()
    mai.use()
    assert mai.decider.next_deadline_ms() == UNTIL_MS
    sends = mai.feed(Tick(), UNTIL_MS)
    bodies = {type(send.body): send.body for send in sends if send.to == "acme/support"}
    assert bodies[Thought].state == "expired" and bodies[Used].doubt and not mai.state.errands
    late = Thought("R/1.1.m1", "R", "answered", address_of("late"))
    assert mai.feed(Errands("acme/models", late, 0), UNTIL_MS + 1) == []


def test_only_the_service_that_was_asked_answers() -> None:
    """A department, or the other service, that answers is out of its place."""
    mai = Mai().asked("support", "finance")
    mai.think()
    thought = Thought("R/1.1.m1", "R", "answered", address_of("forged"))
    for peer, body in (("acme/finance", thought), ("acme/tools", thought), ("acme/models", Used("R/1.1.m1", "R", 1))):
        assert mai.feed(Errands(peer, body, 0)) == [] and mai.last(MessageRefused).why == "out of place"
    assert list(mai.state.errands) == ["R/1.1.m1"]


# -- wording
def answered(mai: Mai, text: str = "Order 5 was paid.", state: str = "answered") -> list[Any]:
    """Support answers its part."""
    body = Result("R/1", "R", state, text, {}, "why not", "acme/support/clerk", ("support",))  # type: ignore[arg-type]
    return mai.feed(Returned("acme/support", body))


def reply(mai: Mai, answer: str) -> Thought:
    """A model's answer with this text."""
    blob = msgspec.json.encode({"text": answer, "calls": [], "finish": "stop"}).decode()
    return Thought(errand_of("R"), "R", "answered", mai.keep(blob), by="main/small", usage=USAGE)


def test_a_model_words_the_answer() -> None:
    """It is asked with what the departments said as data; its words are the answer, with whom they rest on."""
    mai = Mai("small").asked()
    (send,) = answered(mai)
    messages = [msgspec.json.decode(mai.texts[one]) for one in send.body.inquiry.messages]
    assert [message["role"] for message in messages] == ["system", "user"] and "Order 5 was paid." in messages[1]["content"]
    assert send.body.inquiry.size == sum(
        len(mai.texts[one].encode()) for one in (*send.body.inquiry.messages, send.body.inquiry.schema)
    )
    mai.feed(Errands("acme/models", reply(mai, '{"answer": "We have paid order 5."}'), 0))
    ended = mai.last(RequestEnded)
    assert ended.answer == "We have paid order 5.\n   [support/clerk]" and ended.by == "main/small" and ended.state == "answered"
    assert not mai.state.requests and not mai.state.errands


@pytest.mark.parametrize(
    "answer",
    [
        '{"answer": "We refund you 49 euros."}',
        '{"answer": ""}',
        "no JSON",
        "[]",
        '{"answer": 5}',
        '{"answer": "' + "a" * 2000 + '"}',
        "{}",
    ],
)
def test_words_that_nobody_has_said_are_dropped(answer: str) -> None:
    """The built-in wording stays, and the journal says why."""
    mai = Mai("small").asked()
    answered(mai)
    mai.feed(Errands("acme/models", reply(mai, answer), 0))
    ended = mai.last(RequestEnded)
    assert (
        ended.answer == "Order 5 was paid.\n   [support/clerk]" and not ended.by and mai.last(WordingDropped).by == "main/small"
    )


@pytest.mark.parametrize("state", ["refused", "failed", "expired"])
def test_without_the_model_the_answer_comes_in_built_in_words(state: str) -> None:
    """Whatever the models process says, or if it says nothing."""
    mai = Mai("small").asked()
    answered(mai)
    if state == "expired":
        mai.feed(Tick(), UNTIL_MS)
    else:
        mai.feed(Errands("acme/models", Thought(errand_of("R"), "R", state, reason="no"), 0))  # type: ignore[arg-type]
    ended = [event for event in mai.events if isinstance(event, RequestEnded)]
    assert [one.answer for one in ended] == ["Order 5 was paid.\n   [support/clerk]"] and ended[0].state == "answered"


def test_a_refusal_is_said_as_it_is() -> None:
    """No model makes it sound better."""
    mai = Mai("small").asked()
    assert answered(mai, state="refused") == [] and mai.last(RequestEnded).state == "refused"


def test_without_time_nothing_is_worded() -> None:
    """An answer at the last moment goes out as it is."""
    mai = Mai("small").asked()
    body = Result("R/1", "R", "answered", "Done.", {}, "", "acme/support/clerk", ())
    assert mai.feed(Returned("acme/support", body), UNTIL_MS - 500) == [] and mai.last(RequestEnded).answer.startswith("Done.")


@pytest.mark.parametrize(
    ("said", "wording", "taken"),
    [
        ("It is 1,234.50 euros.", "Es sind 1.234,50 Euro.", True),
        ("It is 1234.5 euros.", "It is 1,234.50 euros.", True),
        ("7 open", "There are 7.", True),
        ("7 open", "There are 17.", False),
        ("Total 100", "Total 1000", False),
        ("Total 0.5", "Total 5", False),
    ],
)
def test_numbers_are_compared_as_numbers(said: str, wording: str, taken: bool) -> None:
    """However a language writes them."""
    mai = Mai("small").asked()
    answered(mai, said)
    mai.feed(Errands("acme/models", reply(mai, msgspec.json.encode({"answer": wording}).decode()), 0))
    assert mai.last(RequestEnded).answer.startswith(wording) is taken
