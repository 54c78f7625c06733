"""Records of one request, in the order of each journal, become its tree. Pure.

What a task is and how it ended is folded from the events themselves; what else is worth a line is told as its record is
(trace_notes.py). Records of the client's Mai come first: the departments' own know better, and are folded over hers.
"""

import re
from typing import Any, Final

import msgspec

from mai.agents import events
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
from mai.agents.messages import Result, Task
from mai.daemon.records import (
    ContractChecked,
    ContractEnded,
    PartEnded,
    RequestAccepted,
    RequestEnded,
    RequestPlanned,
    WordingDropped,
)
from mai.daemon.summary import asked, happened, plain, thought
from mai.daemon.trace_errands import Errands, whose
from mai.daemon.trace_notes import PASSED, noted
from mai.daemon.trace_waits import Waits
from mai.daemon.tree import LAPSED, OPEN, Node, Note, Step, Trace
from mai.daemon.turn_ids import first
from mai.sandbox.record import Record

FOLDED: Final = {
    event.kind: event for event in (
        RequestAccepted, RequestPlanned, RequestEnded, Sent, Received, ContractChecked, ContractEnded, PartEnded, Asked,
        EffectIntent, EffectUnknown, Stepped, EffectQueried, EffectResolved, WordingDropped, Hopped, HopRefused, Begun,
        Interrupted, ReplyBreached, Escalated, Ended,
    )
}  # fmt: skip
STOPPED: Final = (  # folded as they stand in the journal: who has their types has half of the deciders
    "request.cancelled", "cancel.answered", "task.cancelled", "undo.planned", "undo.intent", "undo.done", "undo.unknown",
    "task.quarantined", "task.released",
)  # fmt: skip
SEAL: Final = "decision"
_PARENT = re.compile(r"\.m?\d+\Z")


class Sealing(msgspec.Struct):
    """As much of a seal as the tree needs."""

    record: int


class Fold:
    """One request, or one case (whose times are those of the request that it is shown with)."""

    def __init__(self, client: str, request: str, accepted_ns: int = 0) -> None:
        self.trace = Trace(request, client, accepted_ns=accepted_ns)
        self.cases: dict[str, None] = {}  # that claims of this request are in
        self._nodes: dict[str, Node] = {}
        self._parents: dict[str, str] = {}  # as the hop says; else it is read off the id
        self._steps: dict[tuple[str, int], Step] = {}  # by task and number; undoings have a negative one
        self._before: dict[str, float] = {}  # the last record of a task
        self._boots: dict[tuple[str, str], set[str]] = {}  # of a process, during a task; of Mai, during the request
        self._notes: list[tuple[str, Note]] = []  # each with its task, "" for the request's own
        self._sealed: dict[str, str] = {}  # record -> its seal
        self._waits, self._errands = Waits(), Errands()
        self._at = ""  # the record that is being folded

    def _ms(self, record: Record) -> float:
        if not self.trace.accepted_ns:
            self.trace.accepted_ns = record.at_ns  # the acceptance itself, unless it is missing
        return round((record.at_ns - self.trace.accepted_ns) / 1e6, 3)

    def _node(self, task: str, at_ms: float) -> Node:
        if task not in self._nodes:
            self._nodes[task] = Node(task, started_ms=at_ms, record=self._at)
        return self._nodes[task]

    def _note(self, task: str, at_ms: float, what: str, text: str) -> None:
        self._notes.append((task, Note(at_ms, text, what, self._at)))

    def add(self, process: str, record: Record, body: str) -> None:
        """Fold one record. Raises MsgspecError if its body (JSON) is not of its kind's shape."""
        at_ms, mine = self._ms(record), process.endswith("/mai")
        self._at = f"{process}:{record.seq}"
        if not self.trace.records:
            self.trace.started_ms, self.trace.record = at_ms, self._at
        self.trace.records += 1
        self._boots.setdefault(("" if mine else record.task, process), set()).add(record.boot)
        if record.kind == SEAL:
            sealed = msgspec.json.decode(body, type=Sealing)
            self._sealed[f"{process}:{sealed.record}"] = self._at
            self.trace.decisions += 1
        elif record.kind in FOLDED:
            self._event(process, events.decode(record.kind, body), at_ms)
        elif record.kind not in PASSED:
            self._told(record.kind, record.task, msgspec.json.decode(body, type=dict[str, Any]), at_ms)
        self._waits.answered(record.kind, record.task, at_ms, self._at)
        if not mine and record.task and record.kind not in (Sent.kind, Received.kind, SEAL):
            self._before[record.task] = at_ms

    def _told(self, kind: str, task: str, body: dict[str, Any], at_ms: float) -> None:
        """A record that is no fact about a task as such: an errand's, a wait's, or one with words of its own."""
        if kind == "claim.noted" and (case := body["claim"].get("case")):
            self.cases[case] = None
        self._case(kind, body, at_ms)
        if kind in STOPPED:
            self._stopped(kind, body, at_ms)
            return
        if self._errands.add(kind, task, body, at_ms, self._at) or self._waits.add(kind, body, at_ms, self._at):
            return
        if found := noted(kind, body):
            what, whole, text = found
            self._note("" if whole else task, at_ms, what, text)

    def _case(self, kind: str, body: dict[str, Any], at_ms: float) -> None:
        """How a case stands: open until it is ruled, and again when that is appealed against or contradicted."""
        match kind:
            case "case.opened":
                self.trace.text, self.trace.state, self.trace.ms = f"{body['subject']} {body['attribute']}", OPEN, None
            case "case.reopened" | "case.appealed":
                self.trace.state, self.trace.ms = OPEN, None
            case "case.ruled":
                self.trace.state, self.trace.ms = "ruled", round(at_ms - self.trace.started_ms, 3)
            case "case.expired":  # not "expired", which is a deadline that nobody kept
                took_ms = round(at_ms - self.trace.started_ms, 3)
                self.trace.state, self.trace.ms = LAPSED, took_ms if self.trace.ms is None else self.trace.ms

    def _event(self, process: str, event: Event, at_ms: float) -> None:
        match event:
            case RequestAccepted() | RequestPlanned() | RequestEnded():
                self._request(event, at_ms)
            case Sent() | Received() | ContractChecked() | ContractEnded() | PartEnded():
                self._crossing(process, event, at_ms)
            case Asked() | EffectIntent() | EffectUnknown() | Stepped():
                self._step(event, at_ms)
            case EffectQueried() | EffectResolved():
                self._settled(event, at_ms)
            case WordingDropped():
                self._note("", at_ms, "wording", f"the words of {event.by} for the answer were not taken: {event.why}")
            case _:
                self._task(process, event, at_ms)

    def _request(self, event: RequestAccepted | RequestPlanned | RequestEnded, at_ms: float) -> None:
        match event:
            case RequestAccepted():
                self.trace.asker, self.trace.text, self.trace.thread = event.asker, event.text, event.thread
            case RequestPlanned():
                for number, part in enumerate(event.parts, 1):
                    self._node(f"{event.request}/{number}", at_ms).rule = part.why
            case RequestEnded():
                self.trace.state, self.trace.answer, self.trace.ms = event.state, event.answer, at_ms
                self.trace.ended = self._at

    def _stopped(self, kind: str, body: dict[str, Any], at_ms: float) -> None:
        """That the whole was cancelled, who has stopped and undone what; what was put into quarantine, and left it."""
        task, why = body.get("task", ""), f": {body['reason']}" if body.get("reason") else ""
        match kind:
            case "request.cancelled":
                self._note("", at_ms, "cancelled", f"cancelled by {body['by']}{why}")
            case "cancel.answered":
                said = ", ".join(f"{one['tool']} {one['state']}" for one in body["body"].get("undone", ()))
                self._note("", at_ms, "cancelled", f"{body['process']} has stopped" + (f"; {said}" if said else ""))
            case "task.cancelled":
                self._note(task, at_ms, "cancelled", f"stopped by {body['by']}")
            case "task.quarantined":
                self._note(task, at_ms, "crash", f"put into quarantine after {body['attempts']} deaths of the process")
            case "task.released":
                said = f": {body['why']}" if body.get("why") else ""
                self._note(task, at_ms, "crash", f"{body['how']} from quarantine by {body['by']}{said}")
                node, again = self._node(task, at_ms), set(body.get("again", ()))
                node.steps = [step for step in node.steps if step.n not in again]
                self._steps = {key: step for key, step in self._steps.items() if key[0] != task or key[1] not in again}
            case _:
                self._undo(kind, body, at_ms)

    def _undo(self, kind: str, body: dict[str, Any], at_ms: float) -> None:
        """What was undone, at the task that had done it."""
        if kind == "undo.planned":
            for one in body.get("effects", ()):
                if one.get("state"):
                    self._note(one["task"], at_ms, "undo", f"{one['tool']} is not undone: {one.get('note', '')}")
            return
        node, n = self._node(body["task"], at_ms), body["n"]
        if (step := self._steps.get((node.task, -n))) is None:
            step = self._steps[node.task, -n] = Step(n, "undo", f"{body['tool']} {body['undoes']}", at_ms, record=self._at)
            node.steps.append(step)
        if kind != "undo.intent":
            refused = body.get("refused", "")
            step.ms, step.record = round(at_ms - step.started_ms, 3), self._at
            step.state = "in doubt" if kind == "undo.unknown" else "refused" if refused else "done"
            step.note = body.get("why", "") if kind == "undo.unknown" else refused

    def _crossing(self, process: str, event: Event, at_ms: float) -> None:
        """What Mai's journal, or a board's message to her, tells of a task that goes from one process to another."""
        match event:
            case Sent(body=Task() as body):
                node = self._node(body.task, at_ms)
                node.agent, node.sender = node.agent or event.to, node.sender or process
                node.contract, node.text, node.input = body.contract, body.text, body.input
                self._waits.gone(body.task, at_ms, self._at)
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
            node.ended = self._at

    def _task(self, process: str, event: Event, at_ms: float) -> None:
        """What the journal of its department tells of a task."""
        match event:
            case Hopped():
                self._hop(process, event, at_ms)
            case HopRefused():
                self._note(event.task, at_ms, "refusal", f"may not hand it to {event.receiver}: {event.rule}")
            case Begun():
                node = self._node(event.task, at_ms)
                node.attempts, node.code = node.attempts + 1, event.code
            case Interrupted():
                self._node(event.task, at_ms).crashes += 1
                self._note(event.task, at_ms, "crash", f"the process died while {event.agent} worked on this")
            case ReplyBreached():
                said = "comes back to its board" if event.again else "does not leave"
                self._note(event.task, at_ms, "refusal", f"the reply {said}: {event.rule}")
            case Escalated():
                to = f" to {event.to}" if event.to else ""
                self._note(event.task, at_ms, "escalation", f"given up{to}: {event.reason}")
            case Ended():
                self._ended(self._node(event.task, at_ms), event, at_ms)

    def _ended(self, node: Node, event: Ended, at_ms: float) -> None:
        if node.state not in (OPEN, event.state):
            self._note(node.task, at_ms, "late", f"who asked was told {node.state}: {node.reason}")
        node.state, node.reason, node.ms = event.state, event.reason, round(at_ms - node.started_ms, 3)
        node.ended = self._at

    def _hop(self, process: str, event: Hopped, at_ms: float) -> None:
        node = self._node(event.task, at_ms)
        node.agent, node.sender = f"{process}/{event.agent}", f"{process}/{event.sender}"
        if event.sender == "mai":
            node.sender = f"{self.trace.client}/mai"
        node.contract, node.text, node.input, node.step = event.contract, event.text, event.input, event.step
        node.rule, node.started_ms, node.record = node.rule or event.rule, at_ms, self._at
        self._parents[event.task] = event.parent

    def _step(self, event: Asked | EffectIntent | EffectUnknown | Stepped, at_ms: float) -> None:
        node = self._node(event.task, at_ms)
        if (step := self._steps.get((event.task, event.n))) is None:
            start_ms = self._before.get(event.task, at_ms) if isinstance(event, Stepped) else at_ms
            step = Step(event.n, "tool" if isinstance(event, EffectIntent | EffectUnknown) else event.call, "", start_ms)
            self._steps[event.task, event.n] = step
            node.steps.append(step)
        step.record = self._at
        match event:
            case Asked() | EffectIntent():
                step.what = asked(event.given)
            case EffectUnknown():
                step.state, step.what = "in doubt", step.what or event.tool
                self._note(event.task, at_ms, "doubt", f"nobody knows whether {event.tool} happened (key {event.key})")
            case Stepped():
                step.ms, step.what, step.by = round(at_ms - step.started_ms, 3), step.what or asked(event.given), event.by
                step.state = step.state if step.state == "in doubt" else "refused" if event.refused else "done"
                given = thought(event.value) if event.call == "model" else "" if event.value is None else plain(event.value)
                step.note = event.refused or event.text or given

    def _settled(self, event: EffectQueried | EffectResolved, at_ms: float) -> None:
        """Somebody knows whether an effect in doubt happened."""
        who, it = ("its tool", event.found) if isinstance(event, EffectQueried) else (event.by, event.happened)
        self._note(event.task, at_ms, "doubt", f"{who} says that it {happened(it)} (key {event.key})")
        if step := self._steps.get((event.task, event.n)):
            step.state = ""

    # -- the whole
    def whole(self) -> Trace:
        """The tree; a task whose parent is on no record hangs from the request itself."""
        for (task, process), boots in self._boots.items():
            if process.endswith("/mai"):
                self.trace.restarts += len(boots) - 1
            elif task in self._nodes:
                self._nodes[task].restarts += len(boots) - 1
        self._costs()
        for task, step in self._waits.found:
            (self._owner(task) or self.trace).steps.append(step)
        for task, note in self._notes:
            (self._owner(task) or self.trace).notes.append(note)
        for node in sorted(self._nodes.values(), key=lambda node: (node.started_ms, node.task)):
            node.decision = self._sealed.get(node.ended, "")
            again = first(node.task) if first(node.task) in self._nodes else node.task  # another turn hangs from the first
            parent = self._parents.get(node.task) or (again if again != node.task else _PARENT.sub("", node.task))
            above = self._nodes.get(parent) if parent != node.task else None
            (above or self.trace).tasks.append(node)
        return self.trace

    def _owner(self, task: str) -> Node | None:
        """Whose record it is: the task's, or of what it asked through Mai."""
        return self._nodes.get(task) or self._nodes.get(whose(task).task) or self._nodes.get(first(task))

    def _costs(self) -> None:
        """What models took stands with the steps that asked them, their tasks, and the whole."""
        for ident, errand in self._errands.found.items():
            task, n = whose(ident)
            node, step = self._nodes.get(task), self._steps.get((task, n))
            if step is None:
                errand.call, errand.what = errand.call or "model", errand.what or ident
                (node or self.trace).steps.append(errand)
            else:
                step.tries, step.by = errand.tries, errand.by or step.by
                step.input_tokens, step.output_tokens, step.cost_nano = (
                    errand.input_tokens, errand.output_tokens, errand.cost_nano
                )  # fmt: skip
            for of in (self.trace, node):
                if of is not None:
                    of.tokens += errand.input_tokens + errand.output_tokens
                    of.cost_nano += errand.cost_nano
