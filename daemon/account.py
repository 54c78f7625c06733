"""What a client or a department has kept of its objectives in a span of time: counts, latency, burn rates, error budget. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from mai.agents.objectives import Objectives
from mai.daemon.burn import PACES, Budget, Tally, budget
from mai.daemon.outcomes import BAD, GOOD, OUTCOMES, End, Outcome

SPANS_S: Final = tuple(sorted({span for pace in PACES for span in (pace.long_s, pace.short_s)}))  # 5 and 30 min, 1 and 6 h
FIGURES: Final = 3  # of a latency that are kept: so there are at most 900 different ones in each power of ten


class Latency:
    """How long answers took, to three figures: exact enough for quantiles, and bounded however many there are."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, elapsed_ms: int) -> None:
        """Count one."""
        unit = 10 ** max(0, len(str(elapsed_ms)) - FIGURES)
        self._counts[-(-elapsed_ms // unit) * unit] += 1

    def quantile_s(self, share: float) -> float | None:
        """So many were not slower; None if there is none."""
        left = share * self._counts.total()
        for elapsed_ms in sorted(self._counts):
            left -= self._counts[elapsed_ms]
            if left <= 1e-9:
                return elapsed_ms / 1000
        return None


class Promised(msgspec.Struct, frozen=True):
    """The objectives."""

    availability: float
    latency_s: float
    latency_share: float
    window_days: int


class Took(msgspec.Struct, frozen=True):
    """How long the answered requests took. `within` is the share of them that came within the objective, None without one."""

    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    within: float | None
    met: bool | None


class Line(msgspec.Struct, frozen=True):
    """One client or department. What has no value, because nothing counts or nothing is promised, is None."""

    scope: str  # "acme", "acme/support"
    since_ms: int
    until_ms: int
    objectives: Promised
    availability: float | None
    met: bool | None
    good: int
    bad: int
    ends: dict[str, int]  # by outcome, every outcome
    burn: dict[str, float]  # "5min", "30min", "1h", "6h", "window"
    budget: Budget
    latency: Took | None  # None for a department


class Account:
    """Counts the ends of one scope between two times, in the order of the journal."""

    def __init__(self, scope: str, objectives: Objectives, since_ms: int, until_ms: int) -> None:
        self.scope, self.objectives, self.since_ms, self.until_ms = scope, objectives, since_ms, until_ms
        self.total = Tally()
        self._outcomes: Counter[Outcome] = Counter()
        self._recent = {span_s: Tally() for span_s in SPANS_S}  # these end at `until_ms`, however long the whole is
        self._latency, self._within = Latency(), 0

    def add(self, end: End, at_ms: int) -> None:
        """Count an end, if it lies in the span."""
        if not self.since_ms < at_ms <= self.until_ms:
            return
        self._outcomes[end.outcome] += end.times
        _add(self.total, end)
        for span_s, tally in self._recent.items():
            if at_ms > self.until_ms - span_s * 1000:
                _add(tally, end)
        if end.outcome == "answered" and not end.department:
            self._latency.add(end.elapsed_ms)
            self._within += end.elapsed_ms <= self.objectives.latency_s * 1000

    def line(self) -> Line:
        """The figures."""
        promised, total = self.objectives, self.total
        reached = total.availability
        burn = {span(span_s): round(tally.burn(promised), 4) for span_s, tally in self._recent.items()}
        return Line(
            self.scope, self.since_ms, self.until_ms,
            Promised(promised.availability, promised.latency_s, promised.latency_share, promised.window_days),
            reached, None if reached is None else reached >= promised.availability, total.good, total.bad,
            {outcome: self._outcomes[outcome] for outcome in OUTCOMES},
            {**burn, "window": round(total.burn(promised), 4)},
            budget(total, promised, (self.until_ms - self.since_ms) / 1000),
            None if "/" in self.scope else self._took(),
        )  # fmt: skip

    def _took(self) -> Took:
        answered, promised = self._outcomes["answered"], self.objectives
        within = self._within / answered if answered and promised.latency_s else None
        p50_s, p95_s, p99_s = (self._latency.quantile_s(share) for share in (0.5, 0.95, 0.99))
        return Took(p50_s, p95_s, p99_s, within, None if within is None else within >= promised.latency_share)


def _add(tally: Tally, end: End) -> None:
    if end.outcome in GOOD:
        tally.good += end.times
    elif end.outcome in BAD:
        tally.bad += end.times
    else:
        tally.apart += end.times


def span(span_s: int) -> str:
    """The name of a span: 5min, 6h."""
    return f"{span_s // 3600}h" if span_s >= 3600 else f"{span_s // 60}min"


# -- time in which nobody could ask
class Away(msgspec.Struct, frozen=True):
    """How long a process was not there in a span, and how many of its starts had an end before them that nobody saw."""

    seconds: float
    unwitnessed: int


def away(facts: Iterable[tuple[int, str]], since_ms: int, until_ms: int) -> Away:
    """From facts in order of time: "up", a start of it; "down", an end that was seen; "watch", a start of who watches.

    After an end that nobody saw (a power cut) only the time from the watchdog's own start on is known.
    """
    total_ms, unwitnessed = 0, 0
    down_ms = watched_ms = up_ms = None
    for at_ms, what in facts:
        if what == "down":
            down_ms = at_ms if down_ms is None else down_ms
        elif what == "watch":
            watched_ms = at_ms
        else:
            if down_ms is None and up_ms is not None:
                unwitnessed += since_ms < at_ms <= until_ms
                down_ms = watched_ms
            total_ms += _overlap_ms(at_ms if down_ms is None else down_ms, at_ms, since_ms, until_ms)
            down_ms, watched_ms, up_ms = None, None, at_ms
    if down_ms is not None:
        total_ms += _overlap_ms(down_ms, until_ms, since_ms, until_ms)
    return Away(total_ms / 1000, unwitnessed)


def held_s(facts: Iterable[tuple[int, bool]], since_ms: int, until_ms: int) -> float:
    """How long something was held in the span: facts in order of time, true where a hold begins."""
    total_ms, held_ms = 0, None
    for at_ms, held in facts:
        if held_ms is not None:
            total_ms += _overlap_ms(held_ms, at_ms, since_ms, until_ms)
        held_ms = at_ms if held else None
    if held_ms is not None:
        total_ms += _overlap_ms(held_ms, until_ms, since_ms, until_ms)
    return total_ms / 1000


def _overlap_ms(first_ms: int, last_ms: int, since_ms: int, until_ms: int) -> int:
    return max(0, min(last_ms, until_ms) - max(first_ms, since_ms))
