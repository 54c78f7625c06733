"""One request as a tree of tasks with their times, and how it is drawn."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from mai.agents.body import Fields
from mai.daemon.status import painted
from mai.daemon.summary import clean, inputs, short

OPEN = "open"

WIDEST = 84  # of the tree before the times
HIDDEN = ("now", "random")  # steps that only a replay cares for
COLOURS = {"answered": 32, "done": 90, OPEN: 36, "expired": 33, "refused": 33, "failed": 31, "escalated": 33, "in doubt": 31}


class Step(msgspec.Struct):
    """One step of a worker's code."""

    n: int
    call: str
    what: str
    started_ms: float  # since the request; where only the end is on record: since the record of the task before it
    ms: float | None = None
    state: str = OPEN  # done, refused, in doubt
    note: str = ""  # why refused, or what it gave


class Note(msgspec.Struct):
    """Something out of the ordinary on the way."""

    at_ms: float
    text: str


class Node(msgspec.Struct):
    """One task: one agent's part in the request."""

    task: str
    agent: str = ""  # its address
    sender: str = ""  # who handed it on
    contract: str = ""
    text: str = ""
    input: Fields = {}
    rule: str = ""  # why it went this way
    step: int = 0  # of the parent, which waits for it
    started_ms: float = 0.0  # since the request was accepted
    ms: float | None = None  # None while it is open
    state: str = OPEN
    reason: str = ""
    attempts: int = 0  # how often code began on it
    crashes: int = 0  # deaths of its process while its code was running
    restarts: int = 0  # of its process, for whatever reason, while it was open
    notes: list[Note] = []
    steps: list[Step] = []
    tasks: list["Node"] = []


class Trace(msgspec.Struct):
    """One request from end to end."""

    request: str
    client: str
    asker: str = ""
    text: str = ""
    state: str = OPEN
    answer: str = ""
    accepted_ns: int = 0
    ms: float | None = None
    records: int = 0
    tokens: int = 0  # that models took
    cost_nano: int = 0  # and what they cost
    notes: list[Note] = []
    tasks: list[Node] = []


class Row(NamedTuple):
    """One line of the drawing."""

    branch: str  # the lines of the tree
    label: str
    at_ms: float
    ms: float | None
    state: str  # "" for a note


def render(trace: Trace, *, colour: bool = False) -> str:
    """The whole tree: who had the request, what each did, when (from its acceptance on) and for how long."""
    drawn = [*rows(trace)]
    width = min(WIDEST, max((len(row.branch) + len(row.label) for row in drawn), default=0))
    head = f"{trace.request}  {clean(trace.text)}"
    took = f" in {duration(trace.ms)}" if trace.ms is not None else ""
    spent = f", {trace.tokens:,} tokens of models" if trace.tokens else ""
    last = f"{painted(trace.state, COLOURS.get(trace.state, 0), colour)}{took}, {trace.records} records of {trace.client}{spent}"
    return "\n".join([painted(head, 1, colour), *(_line(row, width, colour) for row in drawn), last])


def rows(trace: Trace) -> Iterator[Row]:
    """The lines of the drawing, without their colours."""
    for index, node in enumerate(trace.tasks):
        yield from _node(node, "", index == len(trace.tasks) - 1, (trace.text, "", {}))
    for note in trace.notes:
        yield Row("", f"! {clean(note.text)}", note.at_ms, None, "")
    if not trace.tasks and trace.answer:
        yield Row("", clean(trace.answer), trace.ms or 0.0, None, "")


def _node(node: Node, above: str, last: bool, said: tuple[object, ...]) -> Iterator[Row]:
    what = (node.text, node.contract, node.input)
    label = f"mai → {short(node.agent)}" if node.sender.endswith("/mai") else short(node.agent)
    if what != said:
        label += f": {node.contract} {inputs(node.input)}" if node.contract else f": {node.text}"
    yield Row(above + ("└─ " if last else "├─ "), clean(label + _troubles(node)), node.started_ms, node.ms, node.state)
    if node.reason and not node.tasks:
        yield Row(above + ("   " if last else "│  ") + "   ", clean(node.reason), node.started_ms + (node.ms or 0), None, "")
    below = _below(node)
    for index, (_, one) in enumerate(below):
        end = index == len(below) - 1
        inner = above + ("   " if last else "│  ")
        match one:
            case Node():
                yield from _node(one, inner, end, what)
            case Step():
                yield Row(inner + ("└╴ " if end else "├╴ "), _step(one), one.started_ms, one.ms, one.state)
            case Note():
                yield Row(inner + ("└╴ " if end else "├╴ "), f"! {clean(one.text)}", one.at_ms, None, "")


def _troubles(node: Node) -> str:
    """What did not go smoothly, in brackets."""
    attempts = node.attempts if node.attempts > 1 else 0
    counts = ((attempts, "attempt", "attempts"), (node.crashes, "crash", "crashes"), (node.restarts, "restart", "restarts"))
    said = ", ".join(f"{count} {one if count == 1 else more}" for count, one, more in counts if count)
    return f" ({said})" if said else ""


def _below(node: Node) -> list[tuple[float, Node | Step | Note]]:
    """Tasks, steps and notes in the order of their beginning; a step that handed a task on is shown by that task."""
    handed = {task.step for task in node.tasks if task.step}
    steps = [step for step in node.steps if step.n not in handed and step.call not in HIDDEN]
    found: list[tuple[float, Node | Step | Note]] = [(task.started_ms, task) for task in node.tasks]
    found += [(step.started_ms, step) for step in steps]
    found += [(note.at_ms, note) for note in node.notes]
    return sorted(found, key=lambda one: one[0])


def _step(step: Step) -> str:
    return clean(f"{step.call} {step.what}" + (f" → {step.note}" if step.note else ""))


def _line(row: Row, width: int, colour: bool) -> str:
    branch = painted(row.branch, 90, colour)
    label = clean(row.label, max(width - len(row.branch), 12))
    gap = " " * (width - len(row.branch) - len(label))
    times = f"{duration(row.at_ms):>9} {'' if row.ms is None else '+' + duration(row.ms):>9}"
    return f"{branch}{label}{gap}  {painted(times, 90, colour)}  {painted(row.state, COLOURS.get(row.state, 0), colour)}".rstrip()


def duration(ms: float) -> str:
    """0.4 ms, 67 ms, 3.2 s."""
    return f"{ms:.1f} ms" if abs(ms) < 10 else f"{ms:.0f} ms" if abs(ms) < 10_000 else f"{ms / 1000:.1f} s"
