"""A department's tasks and their steps: received is handled once, each task and each step ends once. Pure.

A task from Mai is taken up by one hop or refused by one result; each hop has one end, and the end of a task that came from
Mai is told to her in one result, in the same commit. Nothing is done for a task that has ended.
"""

from mai.agents.approval_messages import Consult, Opinion
from mai.agents.approval_records import ApprovalAsked
from mai.agents.claim_messages import Vote, Weigh
from mai.agents.decider import VIA_MAI
from mai.agents.effects import AGAIN
from mai.agents.errand_messages import Think, Thought, Use, Used
from mai.agents.escalating import EscalationParked
from mai.agents.events import Asked, EffectIntent, EffectUnknown, Ended, Event, Hopped, Received, Sent, Stepped
from mai.agents.fallback import FallbackSwitched
from mai.agents.memory_messages import Browse, Forget, Recall, Recalled, Remember
from mai.agents.messages import Result, Task
from mai.agents.remembering import CALLS
from mai.daemon.invariants import End, Handler, Ids, Invariant, Notes

OF_OPEN_TASKS = (
    "task.begun",
    "task.interrupted",
    "escalated",
    "claim",
    "hop.refused",
    "policy.judged",
    "memory.written",
    "memory.forgotten",
)
ENDING = ("task.cancelled", "task.quarantined", "task.handed")  # what the task's end follows in the same commit
ASKED_FIRST = ("ask", "hand", "escalate")  # calls that are on record before their outcome, always
UNAWAITED = "if its code awaits all that it asks for, keep a copy of the state directory, and report it"


class OpenTask:
    """A task between its hop and its end."""

    __slots__ = ("approves", "asked", "awaited", "deadline_ms", "done", "parent", "pleads", "released", "seq", "step")

    def __init__(self, seq: int, hop: Hopped) -> None:
        self.seq, self.parent, self.step, self.deadline_ms = seq, hop.parent, hop.step, hop.deadline_ms
        self.approves = hop.approves  # a board's, about an approval: what follows from it is another law's
        self.pleads: set[int] = set()  # steps that wait for an approval, or have it, and were not begun since
        self.released = 0  # the record that let it out of quarantine: who asked has had an answer then
        self.asked: dict[int, tuple[int, str]] = {}  # step -> its record and call, without an outcome
        self.awaited: dict[int, str] = {}  # step -> the id of what was asked of Mai for it last; 0: for the task itself
        self.done: dict[int, int] = {}  # step -> the record of its outcome


class Tasks(Invariant):
    """The tasks of one department."""

    law = "tasks"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.open: dict[str, OpenTask] = {}
        self.held: dict[str, OpenTask] = {}  # in quarantine
        self.hopped, self.ended = Ids(), Ids()

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Received.kind: self._received,
            Sent.kind: self._sent,
            Hopped.kind: self._hopped,
            Ended.kind: self._ended,
            Asked.kind: self._asked,
            EffectIntent.kind: self._asked,
            EffectUnknown.kind: self._doubted,
            Stepped.kind: self._stepped,
            "task.released": self._released,
            ApprovalAsked.kind: self._pleads,
            FallbackSwitched.kind: self._switched,
            EscalationParked.kind: self._parked,
            **dict.fromkeys(OF_OPEN_TASKS, self._of_open),
            **dict.fromkeys(ENDING, self._ending),
        }

    # -- in and out
    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        match event.body:
            case Task(task=task) | Weigh(task=task) | Consult(task=task) if task not in self.open:
                self.dues.owe(("taken", task), seq, f"the task {task} was received, and neither taken up nor refused")
            case Result(task=ident):
                self._reply(seq, ident, ("ask",))
            case Recalled(id=ident):
                self._reply(seq, ident, CALLS)
            case Thought(id=ident):
                self._reply(seq, ident, ("model",))
            case Used(id=ident, doubt=False):  # one in doubt may have to be asked about first
                self._reply(seq, ident, ("tool",))

    def _reply(self, seq: int, ident: str, calls: tuple[str, ...]) -> None:
        """A reply to a step that waits for it is its outcome; one to an earlier call of the same step comes too late."""
        name, n = asked_by(ident)
        task = self.open.get(name)
        if task is None or task.awaited.get(n) != ident:
            return
        if n == 0:
            self.dues.owe(("back", name), seq, f"the reply to {name} was received, and nothing is done about it")
        elif n in task.asked and task.asked[n][1] in calls:
            self.dues.owe(("step", name, str(n)), seq, f"the reply to step {n} of {name} was received, and is not its outcome")

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        match event.body:
            case Result(task=task, state=state) | Vote(task=task, state=state) | Opinion(task=task, state=state):
                self._result(seq, task, state)
            case Task(task=ident) | Think(id=ident) | Use(id=ident):
                self._asks(seq, ident)
            case Recall(id=ident) | Remember(id=ident) | Forget(id=ident) | Browse(id=ident):
                self._asks(seq, ident)

    def _asks(self, seq: int, ident: str) -> None:
        """A task asks Mai for something: a step of it waits for that, or the task itself."""
        name, n = asked_by(ident)
        task = self.open.get(name)
        if task is None:
            self._over(seq, name, f"asks for something as {ident}")
        elif n and n not in task.asked:
            self.found(seq, f"record {seq} asks for something as {ident}, which no step of the task waits for")
        else:
            task.awaited[n] = ident

    def _result(self, seq: int, task: str, state: str) -> None:
        if due := self.dues.settle(("result", task)):
            ended = due.what.rpartition(" ")[2]
            if ended != state:
                self.found(seq, f"record {seq} says that {task} was {state}; it has {ended} in record {due.seq}", due.seq)
        elif not self.dues.settle(("taken", task)):
            self._over(seq, task, "is one more result")

    # -- tasks
    def _hopped(self, seq: int, event: Event) -> None:
        assert isinstance(event, Hopped)
        self.hopped.add(event.task, seq)
        parent = self.open.get(event.parent)
        if not event.parent and not self.dues.settle(("taken", event.task)):
            self.found(seq, f"record {seq} takes up {event.task}, and nobody has just sent it", self.hopped.seq_of(event.task))
        elif event.parent and parent is None:
            self._over(seq, event.parent, f"hands {event.task} on from it")
        elif parent and event.step and event.step not in parent.asked:
            self.found(seq, f"record {seq} hands {event.task} on for step {event.step} of {event.parent}, which does not wait")
        self.dues.settle(("back", event.parent))
        if event.handover:  # a step waits on for who has it now
            self.dues.settle(("step", event.parent, str(event.step)))
        self.open[event.task] = OpenTask(seq, event)

    def _ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, Ended)
        task = self.open.pop(event.task, None)
        if task is None:
            self._over(seq, event.task, "is one more end")
            return
        self.ended.add(event.task, seq)
        self.dues.settle(("back", event.task))
        for n in task.asked:  # both were late at once: nobody waits any more
            self.dues.settle(("step", event.task, str(n)))
        if (due := self.dues.settle(("ended", event.task))) and event.state != "refused":
            self.found(seq, f"record {seq}: {event.task} was {event.state}, it had to be refused", due.seq)
        if task.released:
            pass  # what it gives goes to nobody
        elif not task.parent:
            self.dues.owe(("result", event.task), seq, f"{event.task} has ended, and Mai is not told that it was {event.state}")
        elif (parent := self.open.get(task.parent)) and not task.approves:
            self._back(seq, event, task, parent)
        if event.state == "answered":
            self._whole(seq, event.task, task)

    def _whole(self, seq: int, name: str, task: OpenTask) -> None:
        """A task that was answered has an outcome of each step; or its code did not wait for it, which is no fault of ours."""
        for n, (asked, call) in task.asked.items():
            what = f"record {seq}: {name} was answered while step {n} ({call}, record {asked}) had no outcome"
            self.notes.warn(self.law, self.process, seq, what, UNAWAITED)
        most = max(task.done, default=0)
        if most > len(task.done) + len(task.asked):
            n = next(n for n in range(1, most) if n not in task.done and n not in task.asked)
            what = f"record {seq}: {name} was answered in {most} steps, and step {n} is not on record"
            self.notes.warn(self.law, self.process, seq, what, UNAWAITED)

    def _back(self, seq: int, event: Ended, task: OpenTask, parent: OpenTask) -> None:
        """The end of what was handed on brings the task above on: its step has an outcome, or it ends or goes elsewhere."""
        if not task.step:
            self.dues.owe(("back", task.parent), seq, f"{event.task} has come back, and nothing is done about {task.parent}")
        elif task.step in parent.asked:
            why = f"{event.task} has ended, and step {task.step} of {task.parent}, which waits for it, has no outcome"
            self.dues.owe(("step", task.parent, str(task.step)), seq, why)

    # -- steps
    def _asked(self, seq: int, event: Event) -> None:
        assert isinstance(event, Asked | EffectIntent)
        task = self.open.get(event.task)
        if task is None:
            self._over(seq, event.task, f"begins step {event.n}")
        elif event.n in task.done:
            self.found(
                seq, f"record {seq} begins step {event.n} of {event.task} again, whose outcome is on record", task.done[event.n]
            )
        elif isinstance(event, Asked) and event.n in task.asked and event.n not in task.pleads:
            self.found(seq, f"record {seq} asks again for step {event.n} of {event.task}", task.asked[event.n][0])
        else:
            task.pleads.discard(event.n)
            task.asked[event.n] = (seq, event.call if isinstance(event, Asked) else "tool")

    def _pleads(self, seq: int, event: Event) -> None:
        """A step waits for an approval before it begins, or before it begins again; what came of it was settled with that."""
        assert isinstance(event, ApprovalAsked)
        task = self.open.get(event.task)
        if task is None:
            self._over(seq, event.task, f"wants an approval for step {event.n}")
        elif event.n in task.done:
            self.found(
                seq, f"record {seq} wants an approval for step {event.n} of {event.task}, which is done", task.done[event.n]
            )
        else:
            task.asked[event.n] = (seq, event.call)
            task.pleads.add(event.n)

    def _switched(self, seq: int, event: Event) -> None:
        """Another tool has a step: it begins again, and what comes of the first one now is too late."""
        assert isinstance(event, FallbackSwitched)
        task = self.open.get(event.task) if event.what == "tool" else None
        if task and event.n in task.asked:
            task.pleads.add(event.n)
            task.awaited.pop(event.n, None)
            self.dues.settle(("step", event.task, str(event.n)))

    def _doubted(self, seq: int, event: Event) -> None:
        """What comes of it now is too late: a person has to say."""
        assert isinstance(event, EffectUnknown)
        if task := self.open.get(event.task):
            task.awaited.pop(event.n, None)
            self.dues.settle(("step", event.task, str(event.n)))

    def _stepped(self, seq: int, event: Event) -> None:
        assert isinstance(event, Stepped)
        task, n = self.open.get(event.task), event.n
        if task is None:
            self._over(seq, event.task, f"is the outcome of step {n}")
            return
        asked = task.asked.pop(n, None)
        if n in task.done:
            self.found(seq, f"record {seq} is one more outcome of step {n} of {event.task}", task.done[n])
        elif asked is None and event.call in ASKED_FIRST:
            self.found(seq, f"record {seq} is the outcome of step {n} of {event.task} ({event.call}), which was not asked for")
        elif asked and asked[1] != event.call:
            self.found(seq, f"record {seq}: step {n} of {event.task} was {asked[1]} and is {event.call} now", asked[0])
        task.done.setdefault(n, seq)
        task.awaited.pop(n, None)
        self.dues.settle(("step", event.task, str(n)))

    def _of_open(self, seq: int, event: Event) -> None:
        name: str = getattr(event, "task", "")
        if name and name not in self.open:
            self._over(seq, name, f"is a {event.kind}")

    def _ending(self, seq: int, event: Event) -> None:
        name: str = getattr(event, "task", "")
        self._of_open(seq, event)
        if name in self.open:
            if event.kind == "task.quarantined":
                self.held[name] = self.open[name]
            self.dues.owe(("ended", name), seq, f"{name} is stopped by a {event.kind}, and has no end")

    def _released(self, seq: int, event: Event) -> None:
        """A task leaves the quarantine: to run again over its recorded steps, or for good."""
        name: str = getattr(event, "task", "")
        task = self.held.pop(name, None)
        if task is None or name in self.open:
            self.found(seq, f"record {seq} lets {name} out of quarantine, and it is not in it", self.ended.seq_of(name))
        elif getattr(event, "how", "") == "retry":
            task.released, task.deadline_ms = seq, getattr(event, "deadline_ms", 0)
            for n in getattr(event, "again", ()):
                task.asked.pop(n, None)
            self.open[name] = task

    def _parked(self, seq: int, event: Event) -> None:
        """What waits for a person has more time, and so have those above."""
        name, deadline_ms = str(getattr(event, "task", "")), getattr(event, "deadline_ms", 0)
        while task := self.open.get(name):
            task.deadline_ms = max(task.deadline_ms, deadline_ms)
            name = task.parent

    def _over(self, seq: int, task: str, what: str) -> None:
        """Something is done for a task that is not open."""
        if ended := self.ended.seq_of(task):
            self.found(seq, f"record {seq} {what} for {task}, which ended in record {ended}", ended)
        else:
            self.found(seq, f"record {seq} {what} for {task}, which this department never had")

    # -- the end
    def close(self, end: End) -> None:
        """Nothing is owed; no task is left, if all is at rest; each was handed out once."""
        super().close(end)
        for first, seq in self.hopped.twice():
            self.found(seq, f"record {seq} hands out a task that record {first} has handed out", first)
        for name, task in self.open.items():
            self.left_open(end, task.seq, f"the task {name}", task.deadline_ms)

    def under_way(self) -> dict[str, int]:
        """Open tasks."""
        return {"tasks": len(self.open)}


def asked_by(ident: str) -> tuple[str, int]:
    """The task and the step that ask Mai for something under this id; step 0 for a task that is handed on by rank."""
    task, _, number = ident.rpartition(VIA_MAI)
    number = number.partition(AGAIN)[0]  # behind it stands how often a tool was called again
    return task, int(number) if number.isdecimal() else 0
