"""The calendar of shifts: who is on at a time, and when that changes next. Pure.

A shift is a set of spans between two instants. The time on the wall is turned into an instant once, for begin and end by the
same rule: where the clock is set back the first of the two counts, where it is set forward a time that there is not is the
moment of the change. So shifts that follow each other on the wall neither leave a gap nor overlap, whatever the clock does.
"""

import datetime
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from mai.agents.clock import Offsets, wall
from mai.agents.shift_scope import Shift

AHEAD: Final = 370  # days in which the next shift has to begin
DAY: Final = datetime.timedelta(days=1)


class Span(NamedTuple):
    """From when until when a shift is."""

    begins_ms: int
    ends_ms: int


def instant_ms(offsets: Offsets, date: datetime.date, time: str) -> int:
    """The instant at which the clock on the wall shows that."""
    hour, minute = map(int, time.split(":"))
    local = int(datetime.datetime(date.year, date.month, date.day, hour, minute, tzinfo=datetime.UTC).timestamp())
    since = [second for second, _ in offsets]
    around = {max(bisect_right(since, local + hours * 3600) - 1, 0) for hours in (-26, 0, 26)}
    found = [local - offsets[index][1] for index in around]
    true = [second for second in found if wall(offsets, second * 1000)[::2] == (date.isoformat(), time)]
    if true:
        return min(true) * 1000
    return next(second for second in since if second > min(found) - 1) * 1000  # the clock was set forward over it


def spans(shift: Shift, around: datetime.date, days: int) -> Iterator[Span]:
    """Those that begin from the day before on, for so many days; in the order of time."""
    for number in range(-1, days):
        date = around + number * DAY
        name = date.isoformat()
        weekday = wall(((0, 0),), int(datetime.datetime(date.year, date.month, date.day, tzinfo=datetime.UTC).timestamp()) * 1000)
        if name not in shift.also and (weekday.weekday not in shift.days or name in shift.holidays):
            continue
        last = date if shift.ends > shift.begins else date + DAY
        span = Span(instant_ms(shift.offsets, date, shift.begins), instant_ms(shift.offsets, last, shift.ends))
        if span.ends_ms > span.begins_ms:
            yield span


def today(shift: Shift, at_ms: int) -> datetime.date:
    """The day on the shift's wall."""
    return datetime.date.fromisoformat(wall(shift.offsets, at_ms).date)


def span_at(shift: Shift, at_ms: int) -> Span | None:
    """The span in which a time lies; None if the shift is not then."""
    found = (span for span in spans(shift, today(shift, at_ms), 2) if span.begins_ms <= at_ms < span.ends_ms)
    return max(found, key=lambda span: span.ends_ms, default=None)


def next_span(shift: Shift, at_ms: int) -> Span | None:
    """The first span that begins later; None if there is none within a year."""
    return next((span for span in spans(shift, today(shift, at_ms), AHEAD) if span.begins_ms > at_ms), None)


def changes_ms(shifts: Iterable[Shift], at_ms: int) -> int:
    """When the next of these shifts begins or ends; 0 if none does."""
    found = [span.ends_ms for shift in shifts if (span := span_at(shift, at_ms))]
    found += [span.begins_ms for shift in shifts if (span := next_span(shift, at_ms))]
    return min(found, default=0)


def on(shifts: Iterable[Shift], agent: str, at_ms: int) -> tuple[str, int]:
    """The shift in which somebody is on, and until when he is; "" and 0 if he is not on."""
    found = [(span.ends_ms, shift.name) for shift in shifts if agent in shift.operators and (span := span_at(shift, at_ms))]
    ends_ms, name = max(found, default=(0, ""))
    return name, ends_ms


def begins_ms(shifts: Iterable[Shift], agents: Iterable[str], at_ms: int) -> int:
    """When the next shift begins in which one of these is on; 0 if none does."""
    wanted = set(agents)
    found = [span.begins_ms for one in shifts if wanted & set(one.operators) and (span := next_span(one, at_ms))]
    return min(found, default=0)
