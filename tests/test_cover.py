"""Contracts that stand in for another: who has the task, who gets it next, and when nobody may."""

from typing import Any

import msgspec
import pytest

from mai.agents import fallback
from mai.agents.breaker import FAILURES, FIRST_MS
from mai.agents.decider import Input, Send, Tick
from mai.agents.events import Escalated, Event
from mai.agents.fallback import BreakerProbed, FallbackReturned, FallbackSwitched
from mai.agents.messages import Result, Task
from mai.agents.organisation import Agent, Contract, Department, Organisation, Tool
from mai.daemon.cover import harmless
from mai.daemon.desk import Asked, Crossing, Returned, Turn, first, origin
from mai.daemon.records import ContractEnded, PartEnded, PartPlan, RequestEnded
from mai.daemon.told import Told
from tests.test_mai import LIMITS, NOW_MS, UNTIL_MS, Mai

KEY = fallback.key("contract", "stock.count")
ASKERS = ("client", "sales")


def organisation(*, effect: Any = "none") -> Organisation:
    """Stock counts; archive and then museum stand in, the first from the books of yesterday. Sales may ask."""
    fields: dict[str, Any] = {"request": {"item": "int"}, "reply": {"pieces": "int"}}
    agents = (Agent(name="board", rank="board"), Agent(name="clerk", rank="operator", handler="x.py:x"))

    def contract(backups: tuple[str, ...] = (), quality: str = "") -> Contract:
        return Contract(
            name="count", about="Counts.", served_by="clerk", may_ask=ASKERS, backups=backups, quality=quality, **fields
        )

    tool = Tool(name="shelf", handler="x.py:y", effect=effect)
    return Organisation(
        name="Test", clients=("acme",), limits=LIMITS,
        departments=(
            Department(name="stock", charter="", agents=agents, tools=(tool,), contracts=(contract(("archive.count",)),)),
            Department(name="archive", charter="", agents=agents, contracts=(contract(("museum.count",), "as of yesterday"),)),
            Department(name="museum", charter="", agents=agents, contracts=(contract(),)),
            Department(name="sales", charter="", agents=agents),
        ),
    )  # fmt: skip


class Covered(Mai):
    """Mai over that organisation; what a fact brings is decided as well."""

    def __init__(self, **given: Any) -> None:
        super().__init__(organisation(**given))
        self.events: list[Event] = []

    def feed(self, given: Input, now_ms: int = NOW_MS) -> tuple[list[Event], list[Send]]:
        """Decide and fold, and so on with what follows."""
        events, sends, queue = list[Event](), list[Send](), [given]
        while queue:
            for item in self.decider.decide(queue.pop(0), now_ms):
                if isinstance(item, Send):
                    sends.append(item)
                    continue
                self.seq += 1
                events.append(item)
                queue += self.decider.evolve(item, self.seq)
        self.events += events
        return events, sends

    def ask(self, request: str = "R", now_ms: int = NOW_MS, until_ms: int = UNTIL_MS) -> list[Send]:
        """The client asks for a count."""
        part = PartPlan("stock", "count 7", "stock.count", {"item": 7}, "")
        return self.feed(Asked(request, "acme/client", "count 7", until_ms, False, (part,)), now_ms)[1]

    def answer(self, sent: Send, state: Any = "answered", now_ms: int = NOW_MS, **given: Any) -> list[Send]:
        """Who has it answers."""
        value = {"pieces": 3} if state == "answered" else {}
        body = Result(sent.id, "R", state, "", value, "so" if not value else "", f"{sent.to}/clerk", (), **given)
        assert isinstance(sent.body, Task)
        body = msgspec.structs.replace(body, request=sent.body.request)
        return self.feed(Returned(sent.to, body), now_ms)[1]

    def of(self, kind: type[Any]) -> list[Any]:
        """The facts of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def mai() -> Covered:
    """Nothing has an effect."""
    return Covered()


def test_what_fails_goes_to_the_contracts_behind_it(mai: Covered) -> None:
    """One after the other, each with a receipt; the client sees one answer, and from whom."""
    (stock,) = mai.ask()
    (archive,) = mai.answer(stock, "failed")
    (museum,) = mai.answer(archive, "expired", NOW_MS + 1)
    assert [(one.to, one.id, one.body.contract) for one in (stock, archive, museum) if isinstance(one.body, Task)] == [
        ("acme/stock", "R/1", "stock.count"), ("acme/archive", "R/1b1", "archive.count"), ("acme/museum", "R/1b2", "museum.count")
    ]  # fmt: skip
    assert mai.answer(museum, now_ms=NOW_MS + 2) == []
    assert [(one.name, one.to, one.gives_up) for one in mai.of(FallbackSwitched)] == [
        ("stock.count", "archive.count", "as of yesterday"),
        ("archive.count", "museum.count", "museum.count (Counts.) answers instead of archive.count"),
    ]  # fmt: skip
    (ended,) = mai.of(RequestEnded)
    assert (ended.state, ended.parts[0].by, len(mai.of(PartEnded))) == ("answered", "acme/museum/clerk", 1)
    assert mai.state.turns == {}


def test_a_chain_that_is_used_up_is_escalated(mai: Covered) -> None:
    """A person is asked; where he does not answer the client is told what became of each."""
    (sent,) = mai.ask()
    for _ in range(2):
        (sent,) = mai.answer(sent, "failed")
    mai.answer(sent, "failed")
    assert not mai.of(RequestEnded)
    mai.feed(Tick(), NOW_MS + 3_600_001)
    (ended,) = mai.of(RequestEnded)
    assert ended.state == "failed" and ended.parts[0].state == "escalated"
    assert all(f"{name}.count: so" in ended.answer for name in ("stock", "archive", "museum"))
    assert len(mai.of(Escalated)) == 1


@pytest.mark.parametrize("state", ["failed", "expired", "escalated"])
def test_what_has_changed_something_is_not_done_again(mai: Covered, state: str) -> None:
    """The failure is told as it is, and why nobody else was asked."""
    (sent,) = mai.ask()
    assert mai.answer(sent, state, changed=True) == []
    assert "would be done again" in mai.of(RequestEnded)[0].answer and not mai.of(FallbackSwitched)


def test_a_refusal_is_an_answer(mai: Covered) -> None:
    """What one department refuses no other is asked."""
    (sent,) = mai.ask()
    assert mai.answer(sent, "refused") == []
    assert mai.of(RequestEnded)[0].state == "refused" and not mai.state.breakers


def test_a_department_that_asks_sees_the_id_that_it_knows(mai: Covered) -> None:
    """Passages, too; a late answer of the first finds nobody who waits."""
    mai.feed(Asked("R", "acme/client", "t", UNTIL_MS, False, (PartPlan("sales", "t", "", {}, ""),)))
    body = Task("R/1.1.m2", "R", "acme/sales/clerk", "stock.count", "", {"item": 1}, 4)
    _, (stock,) = mai.feed(Crossing("acme/sales", body, UNTIL_MS))
    (archive,) = mai.answer(stock, "failed")
    assert (archive.id, first(archive.id), origin(f"{archive.id}.1.m3")) == ("R/1.1.m2b1", "R/1.1.m2", "R/1.1.m2b1")
    assert mai.answer(stock) == []
    (back,) = mai.answer(archive)
    assert isinstance(back.body, Result)
    assert (back.to, back.body.task, back.body.by) == ("acme/sales", "R/1.1.m2", "acme/archive/clerk")
    assert [event.state for event in mai.of(ContractEnded)] == ["answered"]


def opened(mai: Covered, now_ms: int = NOW_MS) -> None:
    """Stock fails until it is not asked any more."""
    for number in range(FAILURES):
        stock = next(one for one in mai.ask(f"Q{number}", now_ms))
        (archive,) = mai.answer(stock, "failed", now_ms)
        mai.answer(archive, "answered", now_ms)


def test_an_open_breaker_goes_round_and_probes_with_one(mai: Covered) -> None:
    """Who fails again and again is tried by one task at a time; when it answers, traffic returns, with a receipt."""
    opened(mai)
    (sent,) = mai.ask("R1")
    assert (sent.to, sent.id) == ("acme/archive", "R1/1b1")
    later_ms = NOW_MS + FIRST_MS
    (probe,), (other,) = mai.ask("R2", later_ms, later_ms + 10_000), mai.ask("R3", later_ms, later_ms + 10_000)
    assert (probe.to, other.to, len(mai.of(BreakerProbed))) == ("acme/stock", "acme/archive", 1)
    mai.answer(probe, now_ms=later_ms + 5)
    (returned,) = [one for one in mai.of(FallbackReturned) if one.name == "stock.count"]
    assert returned.after_ms == FIRST_MS + 5 and KEY not in mai.state.breakers
    assert mai.ask("R4", later_ms + 6, later_ms + 10_000)[0].to == "acme/stock"


def given_up(mai: Covered, process: str = "acme/stock") -> list[Send]:
    """The watchdog gives a department up."""
    return mai.feed(Told(7, NOW_MS, "given_up", process, {"why": "three deaths"}))[1]


def test_what_a_failed_department_has_goes_on_if_nothing_can_have_changed(mai: Covered) -> None:
    """And new tasks go to the backup at once, with the watchdog's reason on the receipt."""
    mai.ask("R1")
    (moved,) = given_up(mai)
    assert (moved.to, moved.id) == ("acme/archive", "R1/1b1")
    (sent,) = mai.ask("R2")
    assert sent.to == "acme/archive" and "three deaths" in mai.of(FallbackSwitched)[-1].evidence


def test_what_a_failed_department_has_stays_if_something_may_have_changed() -> None:
    """Nobody knows what it had done: no second try without a word from it."""
    mai = Covered(effect="idempotent")
    assert not harmless(mai.decider.mandate.organisation, "stock.count")
    mai.ask("R1")
    assert given_up(mai) == []
    mai.feed(Tick(), NOW_MS + 9_000)
    assert not mai.of(FallbackSwitched)
    assert mai.ask("R2")[0].to == "acme/archive"


def test_silence_is_a_failure_where_nothing_can_change(mai: Covered) -> None:
    """Half of the time, then the next one; at the end the deadline is the deadline."""
    mai.ask()
    half_ms = (UNTIL_MS - NOW_MS) // 2
    assert mai.decider.next_deadline_ms() == NOW_MS + half_ms
    _, (moved,) = mai.feed(Tick(), NOW_MS + half_ms)
    assert moved.to == "acme/archive" and moved.deadline_ms < UNTIL_MS
    mai.feed(Tick(), UNTIL_MS)
    assert mai.of(RequestEnded)[0].state == "expired" and mai.state.turns == {} and mai.decider.next_deadline_ms() == 0


def test_who_has_it_may_still_answer_where_nobody_else_can(mai: Covered) -> None:
    """Its half is over, and all others are given up: it keeps the task, and nothing spins."""
    mai.ask()
    for seq, name in enumerate(("archive", "museum"), 8):
        mai.feed(Told(seq, NOW_MS, "given_up", f"acme/{name}", {}))
    half_ms = NOW_MS + (UNTIL_MS - NOW_MS) // 2
    assert mai.feed(Tick(), half_ms) == ([], [])
    assert mai.decider.next_deadline_ms() == UNTIL_MS


def test_turns_survive_a_restart(mai: Covered) -> None:
    """A turn's row is what the facts fold to, and can be read again."""
    (stock,) = mai.ask()
    mai.answer(stock, "failed")
    row = mai.state.changes["turn", "R/1"]
    assert msgspec.json.decode(msgspec.json.encode(row), type=Turn) == mai.state.turns["R/1"]
    assert mai.state.turns["R/1"].tried == ("stock.count",)
