"""A request's tree as the rows of a timeline: what is drawn, when, how long, and where on the axis. Pure.

Where a request waited long (for a person, for a shift), that wait would make all else a hair's breadth: the axis is cut
there, and says so.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from mai.daemon.summary import clean
from mai.daemon.tree import Node, Note, Step, Trace, below, duration, label, step_text

LONGEST: Final = 400  # characters of what is told of a bar
CUT_MS: Final = 1000.0  # no shorter wait is cut from the axis
CUT_TIMES: Final = 3.0  # nor one that is not so many times as long as all the rest
CUT_SHARE: Final = 0.08  # of the axis, for each cut
MOST_CUTS: Final = 8
TICKS: Final = 8
APART: Final = 0.07  # of the axis, between what is written at it
KINDS: Final = {  # of a step's call -> what it is drawn as
    "tool": "tool", "tools": "tool", "model": "model", "ask": "ask", "undo": "undo", "conclude": "claim",
    "recall": "memory", "remember": "memory", "forget": "memory", "recall_all": "memory", "search": "memory",
    "versions": "memory", "approval": "wait", "escalation": "wait", "held": "wait", "conflict": "wait",
}  # fmt: skip


class Mark(NamedTuple):
    """Something out of the ordinary, at one moment."""

    at_ms: float
    what: str
    text: str


class Bar(NamedTuple):
    """One row: a request, a task, a step or a wait."""

    depth: int
    what: str  # request, case, task, step, or a value of KINDS
    label: str
    from_ms: float
    ms: float | None  # None: it is open
    state: str
    detail: tuple[str, ...]
    record: str
    marks: tuple[Mark, ...] = ()


def bars(trace: Trace) -> list[Bar]:
    """All rows from the top to the bottom."""
    return [*_request(trace, "request", 0)]


def _request(trace: Trace, what: str, depth: int) -> Iterator[Bar]:
    said = f"case {trace.request}: {trace.text}" if what == "case" else trace.text or trace.request
    detail = _detail(f"{trace.asker} asks" if trace.asker else "", trace.answer)
    yield Bar(depth, what, clean(said), trace.started_ms, trace.ms, trace.state, detail, trace.record, tuple(_marks(trace.notes)))
    for node in trace.tasks:
        yield from _node(node, depth + 1, (trace.text, "", {}))
    yield from (_step(step, depth + 1) for step in trace.steps)
    for case in trace.cases:
        yield from _request(case, "case", depth)


def _node(node: Node, depth: int, said: tuple[object, ...]) -> Iterator[Bar]:
    what = (node.text, node.contract, node.input)
    detail = _detail(node.agent, node.rule, node.reason)
    yield Bar(
        depth, "task", label(node, said), node.started_ms, node.ms, node.state, detail, node.ended or node.record,
        tuple(_marks(node.notes)),
    )  # fmt: skip
    for one in below(node):
        if isinstance(one, Node):
            yield from _node(one, depth + 1, what)
        elif isinstance(one, Step):
            yield _step(one, depth + 1)


def _step(step: Step, depth: int) -> Bar:
    tries = [f"{one.who}: {one.why or 'answered'}" for one in step.tries]
    tokens = f"{step.input_tokens:,} + {step.output_tokens:,} tokens" if step.input_tokens or step.output_tokens else ""
    marks = tuple(Mark(one.at_ms, "fallback", f"{one.who}: {one.why}") for one in step.tries if one.why)
    detail = _detail(step.note, step.by, tokens, *tries)
    what = KINDS.get(step.call, "step")
    return Bar(depth, what, clean(step_text(step)), step.started_ms, step.ms, step.state, detail, step.record, marks)


def _marks(notes: list[Note]) -> Iterator[Mark]:
    yield from (Mark(note.at_ms, note.what, clean(note.text, LONGEST)) for note in notes)


def _detail(*lines: str) -> tuple[str, ...]:
    return tuple(clean(line, LONGEST) for line in lines if line)


# -- the axis
class Tick(NamedTuple):
    """A line of the axis."""

    share: float
    text: str


class Axis:
    """Where a moment stands, as a share of the width from 0 to 1."""

    def __init__(self, rows: list[Bar]) -> None:
        moments = {0.0}
        for bar in rows:
            moments |= {bar.from_ms, bar.from_ms + (bar.ms or 0.0), *(mark.at_ms for mark in bar.marks)}
        self._at = sorted(moments)
        self.first_ms, self.last_ms = self._at[0], max(self._at[-1], self._at[0] + 0.001)
        self.cuts = _cuts(self._at)
        self._knots = self._laid()

    def _laid(self) -> list[tuple[float, float]]:
        """Moments and their places: straight lines between them."""
        rest = (self.last_ms - self.first_ms) - sum(to - from_ for from_, to in self.cuts)
        share = (1.0 - CUT_SHARE * len(self.cuts)) / max(rest, 0.001)
        knots, at, place = [(self.first_ms, 0.0)], self.first_ms, 0.0
        for from_, to in self.cuts:
            place += (from_ - at) * share
            knots += [(from_, place), (to, place + CUT_SHARE)]
            at, place = to, place + CUT_SHARE
        return [*knots, (self.last_ms, 1.0)]

    def place(self, at_ms: float) -> float:
        """A share from 0 to 1; what lies beyond the ends is drawn at them."""
        if at_ms <= self.first_ms:
            return 0.0
        index = bisect_right(self._knots, (at_ms, 2.0)) - 1
        if index >= len(self._knots) - 1:
            return 1.0
        (from_ms, from_), (to_ms, to) = self._knots[index : index + 2]
        return from_ + (to - from_) * ((at_ms - from_ms) / (to_ms - from_ms) if to_ms > from_ms else 0.0)

    def ticks(self) -> list[Tick]:
        """Round times, as many as there is room for, and none where the axis is cut."""
        span = self.last_ms - self.first_ms - sum(to - from_ for from_, to in self.cuts)
        step = _round(span / TICKS)
        found = [Tick(self.place(0.0), "0")]
        said = [(self.place(from_) + self.place(to)) / 2 for from_, to in self.cuts]  # where it says how much is cut
        at = step * (self.first_ms // step + 1)
        while at <= self.last_ms and len(found) < 50 * TICKS:
            cut = next((cut for cut in self.cuts if cut[0] < at < cut[1]), None)
            if cut:
                at = step * (cut[1] // step + 1)
                continue
            if self.place(at) - found[-1].share >= APART and not any(abs(self.place(at) - one) < APART for one in said):
                found.append(Tick(self.place(at), duration(at)))
            at += step
        return found


def _cuts(at: list[float]) -> list[tuple[float, float]]:
    """The waits that are cut from the axis, in order."""
    gaps = sorted(pairwise(at), key=lambda gap: gap[0] - gap[1])
    rest, found = at[-1] - at[0], list[tuple[float, float]]()
    for from_, to in gaps[:MOST_CUTS]:
        if to - from_ < CUT_MS or to - from_ < CUT_TIMES * (rest - (to - from_)):
            break
        rest -= to - from_
        found.append((from_, to))
    return sorted(found)


def _round(ms: float) -> float:
    """1, 2 or 5 times a power of ten, not below this."""
    size = 0.001
    while True:
        for times in (1, 2, 5):
            if size * times >= ms:
                return size * times
        size *= 10
