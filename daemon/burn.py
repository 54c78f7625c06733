"""How fast an error budget is spent, and what is left of it. Pure.

The budget is the share of requests that may be bad: 1 - availability. The burn rate of a span of time is its share of bad
requests in units of the budget: at 1 the budget is spent exactly when the objective's window is over. When an objective is
breached is told by two pairs of spans, after the SRE workbook (sre.google/workbook/alerting-on-slos, "multiwindow,
multi-burn-rate alerts"): a long one, so that one failure says nothing, and a short one, so that it ends when the failures do.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from mai.agents.objectives import DAY_S, Objectives

MINUTE_MS: Final = 60_000
LEAST_BAD: Final = 3  # bad ends in the long span; with few requests one of them is a large share


class Pace(NamedTuple):
    """A long and a short span, and which share of the window's budget may go in the long one."""

    name: str
    long_s: int
    short_s: int
    share: float

    def threshold(self, window_s: int) -> float:
        """The burn rate above which it is breached: 14.4 and 6 for a window of 30 days."""
        return max(1.0, self.share * window_s / self.long_s)


FAST: Final = Pace("fast", 3600, 300, 0.02)
SLOW: Final = Pace("slow", 21_600, 1800, 0.05)
PACES: Final = (FAST, SLOW)
LONGEST_MINUTES: Final = max(pace.long_s for pace in PACES) // 60


class Tally(msgspec.Struct):
    """How many ends were good, bad, and not counted."""

    good: int = 0
    bad: int = 0
    apart: int = 0

    @property
    def counted(self) -> int:
        """Those that count."""
        return self.good + self.bad

    @property
    def availability(self) -> float | None:
        """good / (good + bad); None if nothing counts."""
        return self.good / self.counted if self.counted else None

    def burn(self, objectives: Objectives) -> float:
        """The burn rate; 0 if nothing counts."""
        return self.bad / self.counted / (1 - objectives.availability) if self.counted else 0.0


class Budget(msgspec.Struct, frozen=True):
    """The error budget of a span: how many requests may be bad, and the minutes that stand for them."""

    requests: float
    requests_left: float  # below 0: overspent
    minutes: float
    minutes_left: float
    left: float  # the share that is left, 1 for all of it


def budget(tally: Tally, objectives: Objectives, span_s: float) -> Budget:
    """What is left. Minutes are the same shares of the time that may be lost: 43.2 of 30 days at 99.9 %."""
    allowed = 1 - objectives.availability
    requests, minutes = tally.counted * allowed, span_s / 60 * allowed
    left = 1 - tally.burn(objectives)
    figures = (requests, requests - tally.bad, minutes, minutes * left, left)
    return Budget(*(round(figure, 6) for figure in figures))


Minutes = dict[int, Tally]  # minute since the epoch -> what ended in it


def within(minutes: Minutes, minute: int, span_s: int) -> Tally:
    """The sum of the last minutes, that one included."""
    first, total = minute - span_s // 60, Tally()
    for at, one in minutes.items():
        if first < at <= minute:
            total = Tally(total.good + one.good, total.bad + one.bad, total.apart + one.apart)
    return total


def breached(minutes: Minutes, minute: int, objectives: Objectives, pace: Pace) -> float:
    """The burn rate of the long span if both spans are above the threshold; else 0."""
    limit = pace.threshold(objectives.window_s)
    long = within(minutes, minute, pace.long_s)
    if long.bad < LEAST_BAD or long.burn(objectives) <= limit:
        return 0.0
    return long.burn(objectives) if within(minutes, minute, pace.short_s).burn(objectives) > limit else 0.0


def kept(minutes: Minutes, minute: int, objectives: Objectives, pace: Pace) -> bool:
    """Has the short span recovered?"""
    return within(minutes, minute, pace.short_s).burn(objectives) <= pace.threshold(objectives.window_s)


def recovered_ms(minutes: Minutes, pace: Pace) -> int:
    """When the short span will have recovered if nothing more happens."""
    last = max((at for at, one in minutes.items() if one.bad), default=0)
    return (last + pace.short_s // 60) * MINUTE_MS


def outdated(minutes: Iterable[int], minute: int) -> list[int]:
    """The minutes that no span reaches any more."""
    return [at for at in minutes if at <= minute - LONGEST_MINUTES]


def days(seconds: float) -> str:
    """A span in words: 30 days, 6 h, 90 min."""
    for size, unit in ((DAY_S, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and not seconds % size):
            return f"{seconds / size:.3g} {'day' if size == DAY_S and seconds < 2 * size else unit}"
    return f"{seconds:.3g} s"
