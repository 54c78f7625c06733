"""`mai trace REQUEST`: the tree of hops of one request, put together from the journals of all of a client's processes.

The ids of tasks derive from their cause, so that they say the tree: `request/1` is the first part of a request, `.2`
behind a task the second that was handed on from it, `.m3` what its third step asked for through Mai. The times are those
of the records; all processes of a client read the same clock.
"""

import re
from typing import Any, NamedTuple

import msgspec

from mai.agents import events
from mai.agents.allowance import BudgetStopped
from mai.agents.cancelling import CancelTaken, TaskCancelled, UndoDone, UndoIntent, UndoPlanned, UndoUnknown
from mai.agents.duty import ShiftAssigned, ShiftWaits, TaskHanded
from mai.agents.events import (
    Asked,
    Begun,
    EffectIntent,
    EffectQueried,
    EffectResolved,
    EffectUnknown,
    Ended,
    Escalated,
    Event,
    Hopped,
    HopRefused,
    Interrupted,
    Received,
    ReplyBreached,
    Sent,
    Stepped,
)
from mai.agents.fallback import BreakerProbed, FallbackSwitched
from mai.agents.guards import GuardStopped
from mai.agents.messages import Result, Task
from mai.agents.quarantine import TaskQuarantined, TaskReleased
from mai.daemon.cancel import CancelAnswered, RequestCancelled
from mai.daemon.desk import first
from mai.daemon.reader import NotFound, Reader, chosen, listed, opened
from mai.daemon.records import (
    ContractChecked,
    ContractEnded,
    ErrandEnded,
    PartEnded,
    RequestAccepted,
    RequestEnded,
    RequestPlanned,
    WordingDropped,
)
from mai.daemon.summary import asked, happened, plain, summary, thought
from mai.daemon.tree import OPEN, Node, Note, Step, Trace
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Record
from mai.sandbox.place import Place

NOTED = (FallbackSwitched, BreakerProbed, GuardStopped, BudgetStopped, ShiftAssigned, ShiftWaits, TaskHanded)
NOTED = (FallbackSwitched, BreakerProbed, GuardStopped, BudgetStopped, ShiftAssigned, ShiftWaits, TaskHanded)
MOST = 20_000  # records of one request in one ledger
RECENT = 5  # requests that an error names
# `<> ''` lets SQLite use the index, which holds only records with a request.
OF_REQUEST = "SELECT * FROM journal WHERE request = ? AND request <> '' ORDER BY seq LIMIT ?"
BEGINNING = "SELECT DISTINCT request FROM journal WHERE request >= ? AND request < ? AND request <> '' ORDER BY request LIMIT ?"
_PARENT = re.compile(r"\.m?\d+\Z")


class Known(NamedTuple):
    """A request by its whole name."""

    client: str
    request: str


# -- finding it
def find(place: Place, name: str) -> Known:
    """The request that is meant by an id, by a beginning that no other has, or by `client/id`. Raises NotFound."""
    client, slash, start = name.rpartition("/")
    mais = [process for process in chosen(place, client if slash else None) if process.endswith("/mai")]
    found = [Known(reader.process.partition("/")[0], one) for reader in opened(place, mais) for one in _matching(reader, start)]
    exact = [known for known in found if known.request == start]
    match exact or found:
        case [one]:
            return one
        case []:
            recent = [one for reader in opened(place, mais) for one in _recent(reader)]
            hint = f"recent ones are {listed(recent)}" if recent else "nobody has asked anything yet"
            raise NotFound(f"no request begins with {start!r}", hint)
        case several:
            names = [f"{known.client}/{known.request}" for known in several]
            raise NotFound(f"{start!r} is not enough to tell which request", f"there are {listed(names)}")


def _matching(reader: Reader, start: str) -> list[str]:
    """The requests that begin so; the one that is named just so is the first in this order."""
    return [row["request"] for row in reader.select(BEGINNING, start, f"{start}\U0010ffff", RECENT)] if start else []


def _recent(reader: Reader) -> list[str]:
    """The last requests that were answered here, newest first."""
    query = "SELECT request FROM journal WHERE kind = 'request.ended' ORDER BY seq DESC LIMIT ?"
    return [row["request"] for row in reader.select(query, RECENT)]


def trace(place: Place, name: str) -> Trace:
    """The whole tree of a request. Raises NotFound, LedgerFault."""
    known = find(place, name)
    fold = _Fold(known)
    processes = sorted(chosen(place, known.client), key=lambda process: not process.endswith("/mai"))  # first who accepted it
    for reader in opened(place, processes):
        for row in reader.select(OF_REQUEST, known.request, MOST):
            record = Record(**row)
            try:
                fold.add(reader.process, record, events.decode(record.kind, reader.body(record)))
            except (msgspec.MsgspecError, LedgerFault):
                continue  # of another version, or changed: `mai verify` says so
    return fold.whole()


# -- putting it together
class _Fold:
    """Events of one request, in the order of each journal, become a tree."""

    def __init__(self, known: Known) -> None:
        self.trace = Trace(known.request, known.client)
        self._nodes: dict[str, Node] = {}
        self._parents: dict[str, str] = {}  # as the hop says; else it is read off the id
        self._before: dict[str, float] = {}  # the last record of a task
        self._boots: dict[tuple[str, str], set[str]] = {}  # of a process, during a task

    def _ms(self, record: Record) -> float:
        if not self.trace.accepted_ns:
            self.trace.accepted_ns = record.at_ns  # the acceptance itself, unless it is missing
        return round((record.at_ns - self.trace.accepted_ns) / 1e6, 3)

    def _node(self, task: str, at_ms: float) -> Node:
        if task not in self._nodes:
            self._nodes[task] = Node(task, started_ms=at_ms)
        return self._nodes[task]

    def add(self, process: str, record: Record, event: Event) -> None:
        """Fold one record."""
        at_ms = self._ms(record)
        self.trace.records += 1
        match event:
            case RequestAccepted() | RequestPlanned() | RequestEnded():
                self._request(event, at_ms)
            case Sent() | Received() | ContractChecked() | ContractEnded() | PartEnded():
                self._crossing(process, event, at_ms)
            case Asked() | EffectIntent() | EffectUnknown() | Stepped():
                self._step(event, at_ms)
            case EffectQueried() | EffectResolved():
                self._settled(event, at_ms)
            case ErrandEnded():
                self.trace.tokens += event.usage.tokens
                self.trace.cost_nano += event.usage.cost_nano
            case RequestCancelled() | CancelAnswered() | CancelTaken():
                self._cancel(process, event, at_ms)
            case WordingDropped():
                self.trace.notes.append(Note(at_ms, f"the words of {event.by} for the answer were not taken: {event.why}"))
            case _:
                self._task(process, event, at_ms)
        if not process.endswith("/mai") and not isinstance(event, Sent | Received) and record.task:
            self._before[record.task] = at_ms
            self._boots.setdefault((record.task, process), set()).add(record.boot)

    def _request(self, event: RequestAccepted | RequestPlanned | RequestEnded, at_ms: float) -> None:
        match event:
            case RequestAccepted():
                self.trace.asker, self.trace.text = event.asker, event.text
            case RequestPlanned():
                for number, part in enumerate(event.parts, 1):
                    self._node(f"{event.request}/{number}", at_ms).rule = part.why
            case RequestEnded():
                self.trace.state, self.trace.answer, self.trace.ms = event.state, event.answer, at_ms

    def _cancel(self, process: str, event: Event, at_ms: float) -> None:
        """That the whole was cancelled, and who has stopped."""
        match event:
            case RequestCancelled():
                self.trace.notes.append(Note(at_ms, f"cancelled by {event.by}" + (f": {event.reason}" if event.reason else "")))
            case CancelAnswered():
                said = ", ".join(f"{one.tool} {one.state}" for one in event.body.undone)
                self.trace.notes.append(Note(at_ms, f"{event.process} has stopped" + (f"; {said}" if said else "")))

    def _undo(self, event: Event, at_ms: float) -> None:
        """What was undone, at the task that had done it."""
        match event:
            case UndoPlanned():
                for one in event.effects:
                    if one.state:
                        self._node(one.task, at_ms).notes.append(Note(at_ms, f"{one.tool} is not undone: {one.note}"))
            case UndoIntent(n=n, tool=tool, undoes=key, attempt=1):
                self._node(event.task, at_ms).steps.append(Step(n, "undo", f"{tool} {key}", at_ms))
            case UndoDone() | UndoUnknown():
                steps = (one for one in self._node(event.task, at_ms).steps if (one.n, one.call) == (event.n, "undo"))
                step = next(steps, None) or Step(event.n, "undo", f"{event.tool} {event.undoes}", at_ms)
                step.ms = round(at_ms - step.started_ms, 3)
                if isinstance(event, UndoUnknown):
                    step.state, step.note = "in doubt", event.why
                else:
                    step.state, step.note = "refused" if event.refused else "done", event.refused

    def _crossing(self, process: str, event: Event, at_ms: float) -> None:
        """What Mai's journal, or a board's message to her, tells of a task that goes from one process to another."""
        match event:
            case Sent(body=Task() as body):
                node = self._node(body.task, at_ms)
                node.agent, node.sender = node.agent or event.to, node.sender or process
                node.contract, node.text, node.input = body.contract, body.text, body.input
            case Sent(body=Result() as body) | Received(body=Result() as body):
                self._end(self._node(body.task, at_ms), at_ms, body.state, body.reason)
            case ContractChecked():
                node = self._node(event.task, at_ms)
                node.sender, node.contract, node.rule = event.asking, event.contract, event.rule
                if not event.allowed:
                    node.agent = f"{self.trace.client}/mai"
                    self._end(node, at_ms, "refused", event.rule)
            case ContractEnded(state=state, reason=reason) | PartEnded(answer=msgspec.Struct(state=state, reason=reason)):
                self._end(self._node(event.task, at_ms), at_ms, state, reason)

    def _end(self, node: Node, at_ms: float, state: str, reason: str) -> None:
        """How a task ended, as far as others know; what its own department says counts for more."""
        if node.state == OPEN:
            node.state, node.reason, node.ms = state, reason, round(at_ms - node.started_ms, 3)

    def _task(self, process: str, event: Event, at_ms: float) -> None:
        """What the journal of its department tells of a task."""
        match event:
            case Hopped():
                self._hop(process, event, at_ms)
            case HopRefused():
                self._node(event.task, at_ms).notes.append(Note(at_ms, f"may not hand it to {event.receiver}: {event.rule}"))
            case Begun():
                self._node(event.task, at_ms).attempts += 1
            case Interrupted():
                node = self._node(event.task, at_ms)
                node.crashes += 1
                node.notes.append(Note(at_ms, f"the process died while {event.agent} worked on this"))
            case TaskQuarantined():
                said = f"put into quarantine after {event.attempts} deaths of the process"
                self._node(event.task, at_ms).notes.append(Note(at_ms, said))
            case TaskReleased():
                node = self._node(event.task, at_ms)
                node.notes.append(Note(at_ms, f"{event.how} from quarantine by {event.by}{': ' * bool(event.why)}{event.why}"))
                node.steps = [step for step in node.steps if step.n not in event.again]
            case TaskCancelled():
                self._node(event.task, at_ms).notes.append(Note(at_ms, f"stopped by {event.by}"))
            case UndoPlanned() | UndoIntent() | UndoDone() | UndoUnknown():
                self._undo(event, at_ms)
            case _ if isinstance(event, NOTED):
                self._node(event.task, at_ms).notes.append(Note(at_ms, summary(event.kind, msgspec.to_builtins(event))))
            case ReplyBreached():
                said = "comes back to its board" if event.again else "does not leave"
                self._node(event.task, at_ms).notes.append(Note(at_ms, f"the reply {said}: {event.rule}"))
            case Escalated():
                self._node(event.task, at_ms).notes.append(Note(at_ms, f"given up: {event.reason}"))
            case Ended():
                self._ended(self._node(event.task, at_ms), event, at_ms)

    def _ended(self, node: Node, event: Ended, at_ms: float) -> None:
        if node.state not in (OPEN, event.state):
            node.notes.append(Note(at_ms, f"who asked was told {node.state}: {node.reason}"))
        node.state, node.reason, node.ms = event.state, event.reason, round(at_ms - node.started_ms, 3)

    def _hop(self, process: str, event: Hopped, at_ms: float) -> None:
        node = self._node(event.task, at_ms)
        node.agent, node.sender = f"{process}/{event.agent}", f"{process}/{event.sender}"
        if event.sender == "mai":
            node.sender = f"{self.trace.client}/mai"
        node.contract, node.text, node.input, node.step = event.contract, event.text, event.input, event.step
        node.rule, node.started_ms = node.rule or event.rule, at_ms
        self._parents[event.task] = event.parent

    def _step(self, event: Asked | EffectIntent | EffectUnknown | Stepped, at_ms: float) -> None:
        node = self._node(event.task, at_ms)
        step = next((one for one in node.steps if one.n == event.n and one.call != "undo"), None)
        if step is None:
            start_ms = self._before.get(event.task, at_ms) if isinstance(event, Stepped) else at_ms
            step = Step(event.n, "tool" if isinstance(event, EffectIntent | EffectUnknown) else event.call, "", start_ms)
            node.steps.append(step)
        match event:
            case Asked() | EffectIntent():
                step.what = asked(event.given)
            case EffectUnknown():
                step.state, step.what = "in doubt", step.what or event.tool
                node.notes.append(Note(at_ms, f"nobody knows whether {event.tool} happened (key {event.key})"))
            case Stepped():
                step.ms, step.what = round(at_ms - step.started_ms, 3), step.what or asked(event.given)
                step.state = step.state if step.state == "in doubt" else "refused" if event.refused else "done"
                given = thought(event.value) if event.call == "model" else "" if event.value is None else plain(event.value)
                step.note = event.refused or event.text or given

    def _settled(self, event: EffectQueried | EffectResolved, at_ms: float) -> None:
        """Somebody knows whether an effect in doubt happened."""
        node = self._node(event.task, at_ms)
        who, it = ("its tool", event.found) if isinstance(event, EffectQueried) else (event.by, event.happened)
        node.notes.append(Note(at_ms, f"{who} says that it {happened(it)} (key {event.key})"))
        for step in node.steps:
            step.state = "" if step.n == event.n else step.state

    def whole(self) -> Trace:
        """The tree; a task whose parent is on no record hangs from the request itself."""
        for (task, _), boots in self._boots.items():
            if task in self._nodes:
                self._nodes[task].restarts += len(boots) - 1
        for node in sorted(self._nodes.values(), key=lambda node: (node.started_ms, node.task)):
            again = first(node.task) if first(node.task) in self._nodes else node.task  # another turn hangs from the first
            parent = self._parents.get(node.task) or (again if again != node.task else _PARENT.sub("", node.task))
            above = self._nodes.get(parent) if parent != node.task else None
            (above or self.trace).tasks.append(node)
        return self.trace


def fields(found: Trace) -> dict[str, Any]:
    """The trace as scripts read it."""
    data: dict[str, Any] = msgspec.to_builtins(found)
    return data
