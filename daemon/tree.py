"""One request as a tree of tasks with their times, and how it is drawn. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from mai.agents.body import Fields
from mai.daemon.status import painted
from mai.daemon.summary import clean, inputs, short

OPEN = "open"
LAPSED = "lapsed"  # of a case: its ruling is not valid any longer, or no two sides of it are

WIDEST = 84  # of the tree before the times
HIDDEN = ("now", "random")  # steps that only a replay cares for
WAITS = ("approval", "escalation", "held", "conflict")  # calls of a Step that is a time of waiting
COLOURS = {
    "answered": 32, "done": 90, OPEN: 36, "expired": 33, "refused": 33, "failed": 31, "escalated": 33, "in doubt": 31,
    "approved": 32, "denied": 33, "withdrawn": 33, "ruled": 32, LAPSED: 90,
}  # fmt: skip


class Try(msgspec.Struct):
    """One attempt of a step: a provider that was asked, or a tool that was begun once more."""

    at_ms: float
    who: str  # "main/gpt-5-mini", or the tool
    ms: float | None = None
    why: str = ""  # it gave nothing
    tokens: int = 0
    cost_nano: int = 0
    request: str = ""  # the record of the bytes that went out
    url: str = ""
    status: int = 0  # of HTTP


class Step(msgspec.Struct):
    """One step of a worker's code, or something that its task waited for."""

    n: int  # 0: it is no step of the code
    call: str
    what: str
    started_ms: float  # since the request; where only the end is on record: since the record of the task before it
    ms: float | None = None
    state: str = OPEN  # done, refused, in doubt; of an approval: approved, denied, expired; of an escalation as its answer
    note: str = ""  # why refused, or what it gave
    record: str = ""  # of its end, else of its beginning: "acme/sales:57"
    by: str = ""  # who gave it: a provider and its model, an agent, a user
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0
    tries: list[Try] = []


class Note(msgspec.Struct):
    """Something out of the ordinary on the way."""

    at_ms: float
    text: str
    what: str = ""  # of which kind: a value of trace_notes.py
    record: str = ""


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
    record: str = ""  # where it is handed on
    ended: str = ""  # the record of its end
    decision: str = ""  # the seal of that, for `mai replay`
    code: str = ""  # the digest of the code that worked on it last
    tokens: int = 0  # of its own questions to models
    cost_nano: int = 0


class Trace(msgspec.Struct):
    """One request from end to end."""

    request: str
    client: str
    asker: str = ""
    text: str = ""
    state: str = OPEN
    answer: str = ""
    accepted_ns: int = 0
    started_ms: float = 0.0  # of a case: since the request was accepted
    ms: float | None = None
    records: int = 0
    tokens: int = 0  # that models took
    cost_nano: int = 0  # and what they cost
    notes: list[Note] = []
    tasks: list[Node] = []
    steps: list[Step] = []  # Mai's own: what she asked a model, whom she waited for
    cases: list["Trace"] = []  # claims for it that contradicted others: each with its boards' tasks
    record: str = ""  # of its acceptance
    ended: str = ""  # of its end
    decisions: int = 0  # that are sealed
    restarts: int = 0  # of Mai, while it was open
    thread: str = ""  # the conversation that it belongs to


def nodes(of: Trace | Node) -> Iterator[Node]:
    """All tasks below, each before its own; without those of cases."""
    for node in of.tasks:
        yield node
        yield from nodes(node)


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
    last = f"{painted(trace.state, COLOURS.get(trace.state, 0), colour)}{took}, {trace.records} records of {trace.client}"
    return "\n".join([painted(head, 1, colour), *(_line(row, width, colour) for row in drawn), last + spent(trace)])


def spent(of: Trace | Node) -> str:
    """`, 1,234 tokens of models for 0.0021`; "" for nothing."""
    money = f" for {of.cost_nano / 1e9:.6f}".rstrip("0").rstrip(".") if of.cost_nano else ""
    return f", {of.tokens:,} tokens of models{money}" if of.tokens else ""


def rows(trace: Trace) -> Iterator[Row]:
    """The lines of the drawing, without their colours."""
    for index, node in enumerate(trace.tasks):
        yield from _node(node, "", index == len(trace.tasks) - 1, (trace.text, "", {}))
    for step in trace.steps:
        yield Row("", _step(step), step.started_ms, step.ms, step.state)
    for note in trace.notes:
        yield _note("", note)
    if trace.restarts:
        yield Row("", f"! Mai was restarted {trace.restarts} times meanwhile", trace.ms or 0.0, None, "")
    if not trace.tasks and trace.answer:
        yield Row("", clean(trace.answer), trace.ms or 0.0, None, "")
    for case in trace.cases:
        yield Row("", clean(f"case {case.request}: {case.text}"), case.started_ms, case.ms, case.state)
        yield from rows(case)


def _note(branch: str, note: Note) -> Row:
    return Row(branch, f"! {clean(note.text)}", note.at_ms, None, "")


def _node(node: Node, above: str, last: bool, said: tuple[object, ...]) -> Iterator[Row]:
    what = (node.text, node.contract, node.input)
    yield Row(above + ("└─ " if last else "├─ "), label(node, said), node.started_ms, node.ms, node.state)
    if node.reason and not node.tasks:
        yield Row(above + ("   " if last else "│  ") + "   ", clean(node.reason), node.started_ms + (node.ms or 0), None, "")
    found = below(node)
    for index, one in enumerate(found):
        end = index == len(found) - 1
        inner = above + ("   " if last else "│  ")
        match one:
            case Node():
                yield from _node(one, inner, end, what)
            case Step():
                yield Row(inner + ("└╴ " if end else "├╴ "), _step(one), one.started_ms, one.ms, one.state)
            case Note():
                yield _note(inner + ("└╴ " if end else "├╴ "), one)


def label(node: Node, said: tuple[object, ...] = ()) -> str:
    """Who has a task and what it is, unless that is what was `said` above it; and what did not go smoothly, in brackets."""
    who = f"mai → {short(node.agent)}" if node.sender.endswith("/mai") else short(node.agent)
    if (node.text, node.contract, node.input) != said:
        who += f": {node.contract} {inputs(node.input)}" if node.contract else f": {node.text}"
    attempts = node.attempts if node.attempts > 1 else 0
    counts = ((attempts, "attempt", "attempts"), (node.crashes, "crash", "crashes"), (node.restarts, "restart", "restarts"))
    troubles = ", ".join(f"{count} {one if count == 1 else more}" for count, one, more in counts if count)
    return clean(who + (f" ({troubles})" if troubles else ""))


def below(node: Node) -> list[Node | Step | Note]:
    """Tasks, steps and notes in the order of their beginning; a step that handed a task on is shown by that task."""
    handed = {task.step for task in node.tasks if task.step}
    steps = [step for step in node.steps if step.n not in handed and step.call not in HIDDEN]
    found: list[tuple[float, Node | Step | Note]] = [(task.started_ms, task) for task in node.tasks]
    found += [(step.started_ms, step) for step in steps]
    found += [(note.at_ms, note) for note in node.notes]
    return [one for _, one in sorted(found, key=lambda one: one[0])]


def _step(step: Step) -> str:
    return clean(step_text(step))


def step_text(step: Step) -> str:
    """What it asked for and what it got, with all that was tried."""
    failed = [f"{one.who}: {one.why}" for one in step.tries if one.why]
    tried = f" (tried: {'; '.join(failed)})" if failed else ""
    return f"{step.call} {step.what}" + (f" → {step.note}" if step.note else "") + tried


def _line(row: Row, width: int, colour: bool) -> str:
    branch = painted(row.branch, 90, colour)
    label = clean(row.label, max(width - len(row.branch), 12))
    gap = " " * (width - len(row.branch) - len(label))
    times = f"{duration(row.at_ms):>9} {'' if row.ms is None else '+' + duration(row.ms):>9}"
    return f"{branch}{label}{gap}  {painted(times, 90, colour)}  {painted(row.state, COLOURS.get(row.state, 0), colour)}".rstrip()


def duration(ms: float) -> str:
    """0.4 ms, 67 ms, 3.2 s."""
    return f"{ms:.1f} ms" if abs(ms) < 10 else f"{ms:.0f} ms" if abs(ms) < 10_000 else f"{ms / 1000:.1f} s"
