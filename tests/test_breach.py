"""Mai's watch over her objectives: what she counts from her own facts, when she says that one is breached, and when no longer."""

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents.check import load
from mai.agents.decider import Send, Tick
from mai.agents.events import Event
from mai.agents.faults import Faulty
from mai.agents.objectives import Objectives
from mai.agents.organisation import mandate
from mai.agents.table import Table
from mai.daemon import breach
from mai.daemon.breach import ObjectiveBreached, ObjectiveKept, incident
from mai.daemon.burn import FAST, LEAST_BAD, SLOW, Tally, breached, budget, days, kept, recovered_ms, within
from mai.daemon.desk import Asked
from mai.daemon.mai import MaiDecider
from mai.daemon.records import PartPlan
from mai.daemon.turned import DoorRefused, TurnedAway
from tests.promised import NOW_MS, Timed, asked, organisation

MINUTE_MS = 60_000
FILE = """[organisation]
clients = ["acme"]
[departments.support]
charter = "Helps."
[[departments.support.agents]]
name = "desk"
rank = "operator"
command = ["sh"]
"""
PROMISED = Objectives(availability=0.99)
COUNTS = st.dictionaries(st.integers(0, 800), st.builds(Tally, st.integers(0, 50), st.integers(0, 9)), max_size=30)


class Mai:
    """Her decider, fed with facts at their times; what it says of its own stays in `said`."""

    def __init__(self, **objectives: Any) -> None:
        part = mandate(organisation(**objectives), "acme", "mai")
        self.decider = MaiDecider(part, Table(part.organisation), lambda *_: "")
        self.said: list[Event] = []
        self.rows: dict[str, bytes] = {}
        self.seq = 0

    def fold(self, at_ms: int, event: Event) -> None:
        """One fact, and all that follows from it."""
        self.seq += 1
        for given_ in self.decider.evolve(event, self.seq):
            self.feed(given_, at_ms)

    def feed(self, given_: Any, at_ms: int) -> None:
        """Decide; what she says is folded at once."""
        for one in self.decider.decide(given_, at_ms):
            assert not isinstance(one, Send)
            self.said.append(one)
            self.fold(at_ms, one)

    def live(self, facts: list[Timed]) -> "Mai":
        """All of these."""
        for at_ms, event in facts:
            self.fold(at_ms, event)
        return self

    def save(self) -> dict[str, bytes]:
        """The rows of her objectives, as her ledger would have them."""
        changes = self.decider.state.changes
        for (noun, key), value in changes.items():
            if noun == breach.NOUN:
                self.rows.pop(key, None)
                self.rows |= {key: msgspec.json.encode(value)} if value is not None else {}
        changes.clear()
        return self.rows


def many(count: int, at_ms: int, state: str = "failed", **more: Any) -> list[Timed]:
    """So many requests that end one after the other."""
    return [fact for n in range(count) for fact in asked(f"{state}{at_ms}{n}", at_ms, state, took_ms=0, **more)]


def test_a_fast_burn_is_said_once_for_each_scope_and_span() -> None:
    """Enough failures breach the client's objective and the department's, over both spans; more of them say nothing new."""
    mai = Mai().live([*many(100, NOW_MS, "answered"), *many(LEAST_BAD - 1, NOW_MS)])
    assert mai.said == []
    mai.live(many(20, NOW_MS + 1000))
    said = [(one.scope, one.window_s) for one in mai.said if isinstance(one, ObjectiveBreached)]
    assert sorted(said) == [("acme", 3600), ("acme", 21_600), ("acme/support", 3600), ("acme/support", 21_600)]
    first = mai.said[0]
    assert isinstance(first, ObjectiveBreached)
    assert (first.good, first.bad, first.objective, first.at_ms) == (100, 3, 0.999, NOW_MS + 1000)
    assert first.burn == pytest.approx(3 / 103 / 0.001, abs=0.01)


def test_a_department_that_promises_less_is_not_breached() -> None:
    """The client's objective is, and the department that failed keeps its own: 0.9."""
    mai = Mai().live([*many(100, NOW_MS, "answered", to="sales"), *many(5, NOW_MS + 1, to="sales")])
    assert {one.scope for one in mai.said if isinstance(one, ObjectiveBreached)} == {"acme"}


def test_a_breach_ends_when_the_short_span_has_recovered() -> None:
    """She wants to be woken at that time, says once that it is over, and may then say the next one."""
    mai = Mai().live(many(10, NOW_MS))
    assert len(mai.said) == 4
    due_ms = mai.decider.next_deadline_ms()
    assert due_ms == NOW_MS + FAST.short_s * 1000
    mai.feed(Tick(), due_ms - 1)
    assert len(mai.said) == 4
    mai.feed(Tick(), due_ms)
    over = mai.said[4:]
    assert [type(one) for one in over] == [ObjectiveKept] * 2 and {one.window_s for one in over} == {3600}  # type: ignore[attr-defined]
    assert mai.decider.next_deadline_ms() == NOW_MS + SLOW.short_s * 1000
    mai.feed(Tick(), NOW_MS + SLOW.short_s * 1000)
    assert len(mai.said) == 8 and mai.decider.next_deadline_ms() == 0
    mai.live(many(3, NOW_MS + 7200_000))
    assert len(mai.said) == 12


def test_good_traffic_ends_a_breach_sooner() -> None:
    """A minute that begins while it goes on is enough to look again."""
    mai = Mai().live([*many(3, NOW_MS), *many(1000, NOW_MS + MINUTE_MS, "answered")])
    assert [one for one in mai.said if isinstance(one, ObjectiveKept)] == []  # looked at when the minute began
    mai.live(many(1, NOW_MS + 2 * MINUTE_MS, "answered"))
    assert {one.window_s for one in mai.said if isinstance(one, ObjectiveKept)} == {3600, 21_600}


def test_who_is_turned_away_burns_the_budget() -> None:
    """What is refused at the door is on record, and breaches the client's objective alone."""
    mai = Mai()
    mai.feed(TurnedAway(4, "full"), NOW_MS)
    assert mai.said[0] == DoorRefused(count=4, why="full", at_ms=NOW_MS)
    assert {one.scope for one in mai.said if isinstance(one, ObjectiveBreached)} == {"acme"}


def test_a_request_that_expires_is_counted_when_it_does() -> None:
    """Through her own deciding: three that nobody answers breach the objective when their deadline is over."""
    mai = Mai()
    for n in range(3):
        plan = (PartPlan("support", "", "", {}, ""),)
        for one in mai.decider.decide(Asked(f"r{n}", "acme/client", "x", NOW_MS + 5000, False, plan), NOW_MS):
            if not isinstance(one, Send):
                mai.fold(NOW_MS, one)
    mai.feed(Tick(), NOW_MS + 5000)
    assert sum(isinstance(one, ObjectiveBreached) for one in mai.said) == 4


@pytest.mark.parametrize("seed", range(5))
def test_a_restart_changes_no_count(seed: int) -> None:
    """Rows that were saved and loaded again, at any place, go on as if nothing had been: the same counts and the same words."""
    dice = random.Random(seed)
    facts: list[Timed] = []
    for n in range(150):
        at_ms = NOW_MS + n * dice.randrange(1, 5) * MINUTE_MS
        facts += asked(f"r{n}", at_ms, dice.choice(("answered", "failed", "expired")), took_ms=dice.randrange(1, 200_000))
    whole, parts = Mai().live(facts), Mai()
    whole_rows = whole.save()
    said: list[Event] = []
    for first in range(0, len(facts), 37):
        before, parts = parts, Mai()
        state, rows = parts.decider.state, before.save()
        state.requests = before.decider.state.requests
        breach.load(state, rows)
        parts.rows = rows
        parts.live(facts[first : first + 37])
        said += parts.said
    assert said == whole.said and parts.save() == whole_rows and whole.said


def test_old_minutes_leave_no_rows() -> None:
    """What no span reaches any more is gone from the state: there are never more rows than minutes in the longest span."""
    mai = Mai()
    for n in range(900):
        mai.live(many(1, NOW_MS + n * MINUTE_MS, "answered"))
    assert sum(key.startswith("minute//") for key in mai.save()) == SLOW.long_s // 60
    assert len(mai.decider.state.pulse.minutes[""]) == SLOW.long_s // 60


# -- the arithmetic
def test_the_thresholds_are_those_of_the_workbook() -> None:
    """14.4 and 6 for 30 days; never below 1, where a budget lasts."""
    assert [FAST.threshold(30 * 86_400), SLOW.threshold(30 * 86_400)] == pytest.approx([14.4, 6.0])
    assert FAST.threshold(86_400) == 1.0


def test_a_span_holds_its_last_minutes_and_no_more() -> None:
    """A minute that began so many minutes ago is out."""
    minutes = {100: Tally(1, 0), 104: Tally(0, 2), 105: Tally(0, 0, 4)}
    assert within(minutes, 104, 300) == Tally(1, 2) and within(minutes, 105, 300) == Tally(0, 2, 4)
    assert within(minutes, 99, 300) == Tally()


@given(COUNTS, st.integers(0, 900))
def test_what_is_breached_recovers_by_itself(minutes: dict[int, Tally], minute: int) -> None:
    """Whatever was counted: nothing is breached and kept at once, and at the time that is named it is kept."""
    for pace in (FAST, SLOW):
        if breached(minutes, minute, PROMISED, pace):
            assert not kept(minutes, minute, PROMISED, pace)
        assert kept(minutes, recovered_ms(minutes, pace) // MINUTE_MS, PROMISED, pace)


def test_a_budget_is_a_share_of_requests_and_of_minutes() -> None:
    """At 99.95 % over 30 days 21.6 minutes; half of it is gone when half of the bad requests that it allows were had."""
    left = budget(Tally(1999, 1), Objectives(availability=0.9995), 30 * 86_400)
    assert (left.requests, left.minutes) == (1.0, 21.6)
    assert left.left == pytest.approx(0, abs=1e-6)
    assert budget(Tally(3999, 1), Objectives(availability=0.9995), 30 * 86_400).minutes_left == pytest.approx(10.8)


def test_the_incident_says_whose_objective_it_is() -> None:
    """What leaves Mai names the department's process, or her own for the whole client; of all other facts nothing leaves."""
    mai = Mai().live(many(5, NOW_MS))
    found = [one for event in mai.said if (one := incident(event))]
    assert {(one["process"], one["what"]) for one in found} == {("acme/mai", "breach"), ("acme/support", "breach")}
    assert found[0]["text"].startswith("3 of 3 requests of the last ") and "99.9 %" in found[0]["text"]
    assert incident(ObjectiveKept(scope="acme/support", window_s=3600, burn=0.0, at_ms=1)) == {
        "process": "acme/support", "what": "recovered", "scope": "acme/support", "window_s": 3600, "burn": 0.0,
        "text": "the budget of the last 1 h burns no longer too fast: 0",
    }  # fmt: skip
    assert incident(DoorRefused(count=1, why="", at_ms=1)) is None


def test_spans_are_said_in_words() -> None:
    """As short as they can be."""
    assert [days(s) for s in (30 * 86_400, 86_400, 21_600, 5400, 90, 20)] == ["30 days", "1 day", "6 h", "90 min", "90 s", "20 s"]


@pytest.mark.parametrize(
    ("tables", "sentences"),
    [
        ("[objectives]\navailability = 0.9995\nlatency_s = 2\nlatency_share = 0.99\nwindow_days = 7", []),
        ("[departments.support.objectives]\navailability = 0.99", []),
        ("[objectives]\navailability = 1.0", ["the objectives: availability is 1.0, expected a number from 0.5 to 0.99999"]),
        ("[objectives]\nwindow_days = 0", ["the objectives: window_days is 0, expected a whole number from 1 to 366"]),
        ("[objectives]\nlatency_s = 30", ["the objectives: latency_s is 30, request_s 30"]),
        ("[objectives]\nlatency_share = 0.99", ["the objectives have a latency_share and no latency_s"]),
        ("[objectives]\nlatency = 3", ["the objectives has a key 'latency', which means nothing"]),
        (
            "[departments.support.objectives]\navailability = 0.2\nlatency_s = 40",
            [
                "the objectives of support: availability is 0.2, expected a number from 0.5 to 0.99999",
                "the objectives of support: latency_s is 40, request_s 30",
            ],
        ),
    ],
)
def test_faults_of_objectives_are_incident(tables: str, sentences: list[str], tmp_path: Path) -> None:
    """A promise that cannot be missed, or cannot be kept, or means nothing, is a fault of the file with its line."""
    file = tmp_path / "o.toml"
    file.write_text(f"{FILE}\n{tables}\n")
    try:
        load(file)
        found = []
    except Faulty as faulty:
        found = sorted(fault.sentence for fault in faulty.faults)
        assert all(fault.line > FILE.count("\n") for fault in faulty.faults)
    assert found == sentences


def test_a_department_takes_over_what_it_does_not_say_itself(tmp_path: Path) -> None:
    """Its own objectives stand before the organisation's, key by key, and those before the defaults."""
    file = tmp_path / "o.toml"
    file.write_text(
        f"{FILE}\n[departments.support.objectives]\nlatency_s = 1\n[objectives]\navailability = 0.9995\nlatency_s = 9\n"
    )
    found = load(file)
    assert found.objectives == Objectives(availability=0.9995, latency_s=9.0)
    assert found.departments[0].objectives.over(found.objectives) == Objectives(availability=0.9995, latency_s=1.0)
    assert Objectives().availability == 0.999 and Objectives().window_s == 30 * 86_400
