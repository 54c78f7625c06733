"""The calendar of shifts, over midnight, weekends, holidays and both changes of the clock; compared with zoneinfo's own."""

import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents import shifts
from mai.agents.shift_scope import Shift
from mai.agents.zones import offsets

BERLIN = offsets("Europe/Berlin")
HOUR_MS = 3_600_000


def ms(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> int:
    """A time on the wall, by zoneinfo."""
    return round(datetime.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def shift(begins: str, ends: str, **more: object) -> Shift:
    """One of ann's in Berlin."""
    return Shift(name="s", operators=("ann",), begins=begins, ends=ends, offsets=BERLIN, **more)  # type: ignore[arg-type]


def on(one: Shift, at_ms: int) -> bool:
    """Is ann on?"""
    return bool(shifts.on([one], "ann", at_ms)[0])


def test_a_shift_of_a_day() -> None:
    """It begins with its first minute and has ended with its last; others are not in it."""
    early = shift("08:00", "16:00")
    assert [on(early, ms(f"2026-11-27 {time}")) for time in ("07:59", "08:00", "15:59", "16:00")] == [False, True, True, False]
    assert shifts.on([early], "bob", ms("2026-11-27 09:00")) == ("", 0)
    assert shifts.on([early], "ann", ms("2026-11-27 09:00")) == ("s", ms("2026-11-27 16:00"))


def test_a_shift_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    """Friday night lasts into Saturday, also where Saturday has none; a holiday takes the night that begins on it."""
    night = shift("22:00", "06:00", days=("friday",), holidays=("2026-12-25",))
    assert on(night, ms("2026-11-27 23:00")) and on(night, ms("2026-11-28 05:59")) and not on(night, ms("2026-11-28 06:00"))
    assert not on(night, ms("2026-11-28 23:00")) and not on(night, ms("2026-11-27 05:00"))
    assert not on(night, ms("2026-12-25 23:00")) and not on(night, ms("2026-12-26 05:00"))


def test_days_off_and_days_on() -> None:
    """Exceptions go before the days of the week."""
    one = shift("08:00", "16:00", days=("monday",), holidays=("2026-11-30",), also=("2026-11-29",))
    assert on(one, ms("2026-11-29 09:00")) and not on(one, ms("2026-11-30 09:00")) and on(one, ms("2026-12-07 09:00"))


def test_a_whole_day() -> None:
    """From midnight to midnight, one after the other, there is always somebody."""
    assert all(on(shift("00:00", "00:00"), ms("2026-03-28 12:00") + hours * HOUR_MS) for hours in range(48))


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])  # in Berlin the clock goes from 2 to 3, and from 3 to 2
@pytest.mark.parametrize("turn", ["01:59", "02:00", "02:30", "03:00"])
def test_two_that_follow_each_other_leave_no_gap_when_the_clock_is_changed(day: str, turn: str) -> None:
    """In each minute of that night one of them is on, and never both."""
    night, day_ = shift("18:00", turn), shift(turn, "18:00")
    start = ms(f"{day} 00:00") - 3 * HOUR_MS
    assert all(on(night, start + m * 60_000) != on(day_, start + m * 60_000) for m in range(10 * 60))


def test_the_length_of_a_night_in_which_the_clock_is_changed() -> None:
    """One hour less, one hour more than the clock on the wall says."""
    night = shift("22:00", "06:00")
    for text, hours in (("2026-03-28 23:00", 7), ("2026-10-24 23:00", 9), ("2026-11-27 23:00", 8)):
        span = shifts.span_at(night, ms(text))
        assert span and (span.ends_ms - span.begins_ms) / HOUR_MS == hours


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia")
TIMES = st.times().map(lambda one: f"{one:%H:%M}")


@given(st.sampled_from(ZONES), st.dates(datetime.date(2021, 1, 2), datetime.date(2059, 12, 1)), TIMES)
def test_the_time_on_the_wall_as_zoneinfo_has_it(zone: str, date: datetime.date, time: str) -> None:
    """The first instant that the wall shows so; where there is none the moment of the change."""
    at_ms = shifts.instant_ms(_offsets(zone), date, time)
    wanted = ms(f"{date} {time}", zone)
    back = datetime.datetime.fromtimestamp(wanted / 1000, ZoneInfo(zone))
    if f"{back:%Y-%m-%d %H:%M}" == f"{date} {time}":
        assert at_ms == wanted
    else:
        before = datetime.datetime.fromtimestamp(at_ms / 1000 - 1, ZoneInfo(zone))
        after = datetime.datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone))
        assert f"{before:%Y-%m-%d %H:%M}" < f"{date} {time}" < f"{after:%Y-%m-%d %H:%M}"


_kept: dict[str, object] = {}


def _offsets(zone: str) -> tuple[tuple[int, int], ...]:
    return _kept.setdefault(zone, offsets(zone))  # type: ignore[return-value]


@given(st.integers(0, 365 * 24 * 60), TIMES, TIMES)
def test_nothing_changes_before_the_next_change(minute: int, begins: str, ends: str) -> None:
    """Whoever is on now is on up to the moment that is told, and something is different then."""
    one, at_ms = shift(begins, ends), ms("2026-01-01 00:00") + minute * 60_000
    next_ms = shifts.changes_ms([one], at_ms)
    assert next_ms > at_ms and on(one, next_ms - 1) == on(one, at_ms)
    assert on(one, next_ms) != on(one, at_ms) or begins == ends
