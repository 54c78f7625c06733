"""`mai sla` over journals that are written by hand: which ends count, when, and what is made of them."""

import random
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from mai.agents.events import Event
from mai.daemon import outcomes
from mai.daemon.account import away, held_s
from mai.daemon.availability import Client, Study, since_of
from mai.daemon.cancel import RequestCancelled
from mai.daemon.records import ContractChecked, ContractEnded, RequestEnded
from mai.daemon.sla_commands import percent, render
from mai.daemon.status import NONE
from mai.daemon.turned import DoorRefused
from mai.sandbox.errors import UsageFault
from tests.promised import NOW_MS, ROOM, Book, accepted, asked, organisation, part, started

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class DepartmentHeld(Event, frozen=True, kw_only=True):
    """As another part of Mai writes it; it is known here by its kind alone."""

    kind: ClassVar[str] = "department.held"
    department: str
    how: str
    by: str = "root"
    why: str = ""


class DepartmentFreed(Event, frozen=True, kw_only=True):
    """The same."""

    kind: ClassVar[str] = "department.freed"
    department: str
    by: str = "root"


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    """Empty journals."""
    return Book(tmp_path, monkeypatch)


def found(book: Book, since_ms: int | None = None, until_ms: int = NOW_MS) -> Client:
    """The figures at a time."""
    return Study(book.place, "acme", since_ms, until_ms).read()


def counted(client: Client, scope: str = "") -> dict[str, int]:
    """How many ends there were of each outcome, without those that there were none of."""
    line = next(line for line in (client.line, *client.departments) if line.scope == f"acme/{scope}".rstrip("/"))
    return {outcome: count for outcome, count in line.ends.items() if count}


@pytest.mark.parametrize(
    ("state", "reason", "how", "by_mai", "outcome"),
    [
        ("answered", "", "paused", True, "answered"),
        ("refused", "the budget is secret", "", False, "refused"),
        ("refused", ROOM, "", False, "unavailable"),
        ("refused", "acme/sales is failed", "failed", True, "unavailable"),
        ("refused", "not allowed", "failed", False, "refused"),
        ("failed", ROOM, "", False, "failed"),
        ("failed", "it broke", "paused", True, "failed"),
        ("escalated", "a person has to look", "", False, "failed"),
        ("expired", "", "", True, "expired"),
        ("expired", "", "paused", True, "maintenance"),
        ("expired", "", "failed", True, "expired"),
        ("refused", "it is paused", "draining", True, "maintenance"),
        ("refused", "the budget is secret", "paused", False, "refused"),
    ],
)
def test_each_end_has_one_outcome(state: str, reason: str, how: str, by_mai: bool, outcome: str) -> None:
    """State, reason and how the department is held give the outcome, as the table in outcomes.py says."""
    assert outcomes.of(state, reason, how, by_mai=by_mai) == outcome
    assert len(outcomes.OUTCOMES) == len(outcomes.GOOD | outcomes.BAD) + 2 == len(set(outcomes.OUTCOMES))


def test_availability_is_good_by_good_and_bad(book: Book) -> None:
    """Answered and refused by policy is good; failed, expired, refused for lack of room is bad; each department has its own."""
    at_ms = NOW_MS - HOUR_MS
    book.write(chain.from_iterable([
        *(asked(f"a{n}", at_ms + n, to="sales" if n % 2 else "support") for n in range(990)),
        *(asked(f"p{n}", at_ms, "refused", "it is secret") for n in range(6)),
        asked("f", at_ms, "failed", "it broke"),
        asked("e", at_ms, "expired", took_ms=10_000, to="sales"),
        asked("u", at_ms, "refused", ROOM),
        asked("x", at_ms, "escalated", "a person"),
    ]))  # fmt: skip
    client = found(book)
    assert counted(client) == {"answered": 990, "refused": 6, "failed": 2, "expired": 1, "unavailable": 1}
    assert counted(client, "sales") == {"answered": 495, "expired": 1}
    assert counted(client, "support") == {"answered": 495, "refused": 6, "failed": 2, "unavailable": 1}
    line, support, sales = client.line, *reversed(client.departments)
    assert (line.good, line.bad, line.availability, line.met) == (996, 4, 0.996, False)
    assert (support.met, sales.met, sales.objectives.availability) == (False, True, 0.9)
    assert line.burn["window"] == pytest.approx(4.0) and line.budget.left == pytest.approx(-3)
    assert [line.budget.requests, line.budget.requests_left] == pytest.approx([1.0, -3.0])
    assert [line.budget.minutes, line.budget.minutes_left] == pytest.approx([43.2, -129.6])
    assert client.open == 0


def test_what_is_cancelled_or_open_does_not_count(book: Book) -> None:
    """An operator's cancel, and what nobody waits for any more, is neither good nor bad; an open request has no end yet."""
    at_ms = NOW_MS - HOUR_MS
    cancelled = [
        (at_ms, ContractChecked(request="c", task="c/1.1.m1", asking="acme/support", contract="sales.x", allowed=True, rule="")),
        (at_ms, RequestCancelled(request="c", by="root", to=("acme/support",))),
        (at_ms, RequestEnded(request="c", state="refused", answer="", parts=(part("", "refused"),), elapsed_ms=5)),
        (at_ms, ContractEnded(request="c", task="c/1.1.m1", state="expired")),
    ]
    book.write([*accepted("c", at_ms, "support"), *cancelled, *accepted("o", at_ms, "support")])
    client = found(book)
    assert counted(client) == counted(client, "support") == counted(client, "sales") == {"cancelled": 1}
    assert client.open == 1 and client.line.availability is None and client.line.met is None


def test_what_mai_asks_herself_is_no_request_of_the_client(book: Book) -> None:
    """An incident that she gives the operations department is not what the client was promised."""
    (at_ms, taken), *others = asked("i", NOW_MS - HOUR_MS, to="operations")
    book.write([*asked("r", NOW_MS - HOUR_MS), (at_ms, msgspec.structs.replace(taken, asker="acme/mai")), *others])
    assert counted(found(book)) == {"answered": 1}


def test_a_pause_on_purpose_is_counted_apart(book: Book) -> None:
    """What expires for a paused or drained department is maintenance, also through a contract; for a failed one it is bad."""
    at_ms = NOW_MS - HOUR_MS
    task: dict[str, Any] = {"request": "via", "task": "via/1.1.m1"}
    book.write([
        (at_ms, DepartmentHeld(department="sales", how="paused")),
        *asked("p", at_ms, "expired", to="sales"),
        *asked("well", at_ms, "answered", to="sales"),  # it was at work already
        *accepted("via", at_ms, "support"),
        (at_ms, ContractChecked(**task, asking="acme/support", contract="sales.x", allowed=True, rule="")),
        (at_ms + 1, ContractEnded(**task, state="expired")),
        (at_ms + 60_000, DepartmentFreed(department="acme/sales")),
        *asked("via", at_ms, "failed", "sales did not answer")[2:],
        *asked("own", at_ms, "failed", "it broke", to="sales"),
        (at_ms + 90_000, DepartmentHeld(department="sales", how="failed")),
        *asked("gone", at_ms, "expired", to="sales"),
    ])  # fmt: skip
    client = found(book)
    assert counted(client) == {"answered": 1, "maintenance": 2, "failed": 1, "expired": 1}
    assert counted(client, "sales") == {"answered": 1, "maintenance": 2, "failed": 1, "expired": 1}
    assert [(pause.department, pause.seconds) for pause in client.maintenance] == [("acme/sales", 60.0)]


def test_a_hold_from_before_the_span_still_counts(book: Book) -> None:
    """A pause that began weeks ago excuses what expires today."""
    book.write([
        (NOW_MS - 20 * DAY_MS, DepartmentHeld(department="sales", how="paused")),
        *asked("p", NOW_MS - 1000, "expired", to="sales", took_ms=500),
    ])  # fmt: skip
    assert counted(found(book, NOW_MS - HOUR_MS)) == {"maintenance": 1}


def test_a_request_of_several_parts_counts_by_its_gravest(book: Book) -> None:
    """Two parts, one of which fails: the request is bad, and only the department at fault."""
    at_ms = NOW_MS - HOUR_MS
    whole = asked("two", at_ms)[2:]
    good, bad = part("support", "answered", by="acme/support/clerk"), part("sales", "failed", by="acme/sales/clerk")
    ended = RequestEnded(request="two", state="failed", answer="", parts=(good, bad), elapsed_ms=9)
    late = msgspec.structs.replace(ended, request="late", state="expired", parts=(good, part("sales", "expired")))
    parts = {
        request: [(at_ms, msgspec.structs.replace(whole[0][1], request=request, task=f"{request}/1"))]
        for request in ("two", "late")
    }
    sales = msgspec.structs.replace(whole[0][1], task="two/2", answer=bad)
    book.write([
        *accepted("two", at_ms, "support", "sales"), *parts["two"], (at_ms, sales), (at_ms, ended),
        *accepted("late", at_ms, "support", "sales"), *parts["late"], (at_ms, late),
    ])  # fmt: skip
    client = found(book)
    assert counted(client) == {"failed": 1, "expired": 1}
    assert counted(client, "support") == {"answered": 2} and counted(client, "sales") == {"failed": 1, "expired": 1}


def test_what_is_refused_before_it_is_handed_on_is_charged_to_who_takes_nothing(book: Book) -> None:
    """A department whose mail nobody takes is unavailable, though it was never handed the task; its companion is not."""
    at_ms = NOW_MS - HOUR_MS
    why = "2000 messages wait for acme/sales, which does not take them; ask again later"
    ended = RequestEnded(request="r", state="refused", answer="", parts=(part("", "refused", why, "acme/mai"),), elapsed_ms=0)
    single = msgspec.structs.replace(ended, request="s")
    nothing = RequestEnded(request="n", state="refused", answer="", parts=(part("", "refused", "it fits nothing"),), elapsed_ms=0)
    book.write([
        *accepted("r", at_ms, "support", "sales"), (at_ms, ended), *accepted("s", at_ms, "sales"), (at_ms, single),
        *accepted("n", at_ms), (at_ms, nothing),
    ])  # fmt: skip
    client = found(book)
    assert counted(client) == {"unavailable": 2, "refused": 1}
    assert counted(client, "sales") == {"unavailable": 2} and counted(client, "support") == {}


def test_who_is_turned_away_at_the_door_counts(book: Book) -> None:
    """Requests that Mai had no room for are bad, as many as she has on record."""
    book.write([*asked("a", NOW_MS - 1000), (NOW_MS - 900, DoorRefused(count=3, why="full", at_ms=NOW_MS - 900))])
    assert counted(found(book)) == {"answered": 1, "unavailable": 3}


def test_the_span_takes_what_ended_in_it(book: Book) -> None:
    """An end counts by its own time, whenever its request began; burn rates are of the last hours whatever the span is."""
    long = asked("long", NOW_MS - 10 * HOUR_MS, "failed", took_ms=6 * HOUR_MS)  # ended four hours ago
    book.write([*asked("old", NOW_MS - 40 * DAY_MS, "failed"), *long, *asked("new", NOW_MS - MINUTE_MS, took_ms=1)])
    whole = found(book)
    assert (whole.line.good, whole.line.bad) == (1, 1)
    assert whole.line.burn == {"5min": 0.0, "30min": 0.0, "1h": 0.0, "6h": 500.0, "window": 500.0}
    assert counted(found(book, NOW_MS - HOUR_MS)) == {"answered": 1}
    assert counted(found(book, NOW_MS - 5 * HOUR_MS)) == {"answered": 1, "failed": 1}
    assert counted(found(book, NOW_MS - 60 * DAY_MS)) == {"answered": 1, "failed": 2}


def test_restarts_change_no_figure(book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same facts in one life of Mai or in forty, with requests open over a restart, give the same figures."""
    dice = random.Random(5)
    states = ("answered", "refused", "failed", "expired")
    facts = sorted(
        chain.from_iterable(asked(f"r{n}", NOW_MS - dice.randrange(HOUR_MS), dice.choice(states)) for n in range(400)),
        key=lambda fact: fact[0],
    )
    book.write(facts)
    other = Book(tmp_path / "other", monkeypatch)
    for first in range(0, len(facts), len(facts) // 40):
        other.write([started(facts[first][0]), *facts[first : first + len(facts) // 40]])
    assert found(book).line == found(other).line and found(book).departments == found(other).departments
    assert found(book).line.good + found(book).line.bad == 400


def test_latency_is_that_of_the_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantiles and the share within the objective are of answered requests alone, to three figures."""
    book = Book(tmp_path, monkeypatch, organisation(latency_s=0.5, latency_share=0.9))
    slow = [asked(f"s{n}", NOW_MS - HOUR_MS, took_ms=60_017) for n in range(11)]
    book.write(chain.from_iterable([
        *(asked(f"f{n}", NOW_MS - HOUR_MS, took_ms=n + 1) for n in range(89)), *slow,
        asked("no", NOW_MS - HOUR_MS, "failed", took_ms=900_000),
    ]))  # fmt: skip
    took = found(book).line.latency
    assert took is not None
    assert (took.p50_s, took.p95_s, took.p99_s) == (0.05, 60.1, 60.1)
    assert (took.within, took.met) == (0.89, False)


def test_the_time_in_which_mai_was_away_is_reported(book: Book) -> None:
    """From the watchdog's record of her death to her next start; what nobody saw is said to be unknown."""
    at_ms = NOW_MS - HOUR_MS
    book.watch([
        (at_ms - 10, "started", {"pid": 1}),
        (at_ms + 5000, "incident", {"process": "acme/mai", "what": "death", "text": ""}),
        (at_ms + 6000, "incident", {"process": "acme/sales", "what": "death", "text": ""}),
        (at_ms + 20_000, "started", {"pid": 2}),
    ])  # fmt: skip
    book.write([started(at_ms), started(at_ms + 8000), started(at_ms + 20_500), *asked("a", at_ms + 21_000)])
    client = found(book)
    assert (client.away_s, client.unwitnessed) == (3.5, 1)
    assert found(book, at_ms + 10_000).away_s == 0.5
    assert "Mai was away for 3.5 s, and 1 times" in render(client, colour=False)


def test_spans_of_time_are_cut_to_what_is_asked() -> None:
    """Time away, and time held, is what overlaps with the span; what has not ended lasts until its end."""
    gone = away([(0, "up"), (50, "down"), (150, "up"), (180, "down"), (190, "down")], 100, 200)
    assert (gone.seconds, gone.unwitnessed) == (0.07, 0)
    assert held_s([(0, True), (120, True), (150, False), (190, True)], 100, 200) == 0.06


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90min", 90 * MINUTE_MS), ("6h", 6 * HOUR_MS), ("7d", 7 * DAY_MS), ("2 w", 14 * DAY_MS), ("30s", 30_000)],
)
def test_a_duration_reaches_back_from_now(text: str, expected: int) -> None:
    """A number with its unit."""
    assert since_of(text, NOW_MS) == NOW_MS - expected


@pytest.mark.parametrize("text", ["", "soon", "6 y", "-5h", "2999-01-01", "2026-13-01", "9" * 30 + "d"])
def test_what_is_no_span_is_a_wrong_argument(text: str) -> None:
    """Neither a duration nor a date, or a date that is still to come."""
    with pytest.raises(UsageFault):
        since_of(text, NOW_MS)


def test_a_date_is_of_the_local_clock() -> None:
    """A day begins at midnight here; a time may bring its own zone."""
    assert since_of("2026-11-01T08:00+00:00", NOW_MS) == 1_793_520_000_000
    assert since_of("2026-11-01", NOW_MS) == since_of("2026-11-01T00:00", NOW_MS)


def test_no_share_is_shown_as_whole_that_is_not() -> None:
    """One bad request of a million is not 100 %."""
    assert [percent(share) for share in (1.0, 0.9999999, 0.9995, 0.0, None)] == ["100 %", "99.999 %", "99.950 %", "0.000 %", NONE]
