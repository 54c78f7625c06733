"""The runner: workers' code inside the department's loop, one coroutine for each task.

There is no event loop: a coroutine may await what `ctx` offers and nothing else, and the runner resumes it when the
answer is on record. A turn of a worker's code is bounded in time (bounded.py); what cannot be broken, a long call into
C, the watchdog ends with the process. A byte range shared with the file system names the task whose code is running, so
that after such a death the next start knows which it was.
"""

import contextlib
import hashlib
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec

from mai.agents import channels
from mai.agents.approval_records import ApprovalDecided, ApprovalExpired
from mai.agents.bounded import OURS, bounded
from mai.agents.carrying import carry
from mai.agents.cells import Cells
from mai.agents.command import Line, Programs, Seat
from mai.agents.context import Assignment, Context, Waiting
from mai.agents.decider import Tick, room_bytes
from mai.agents.department import ATTEMPTS, DepartmentDecider
from mai.agents.ending import Endings
from mai.agents.events import Begun, EffectResolved, Ended, Event, Hopped, Interrupted, Stepped
from mai.agents.fallback import FallbackSwitched
from mai.agents.handlers import Broken, Handlers, run, show
from mai.agents.inputs import Outdated, Poisoned, Relieve, Report
from mai.agents.mark import Mark
from mai.agents.medic import heal
from mai.agents.organisation import Agent
from mai.agents.pipes import Pipe
from mai.agents.plain import readable
from mai.agents.quarantine import TRACE_CHARS, TaskReleased, TaskSuspected
from mai.agents.remedies import HANDLER
from mai.agents.shell import Shell, now_ms
from mai.agents.state import Done, Work
from mai.agents.toolbox import Toolbox
from mai.agents.undoing import Undoing
from mai.sandbox.points import reach
from mai.sandbox.version import VERSION

OVERDUE_S: Final = 0.05  # a task's turn that lasted so long ends at its next step
ROUND_S: Final = 0.1  # all turns between two commits, with them; the last may be longer
STACK: Final = 200  # frames that a step of a worker's may need of us
NEAR: Final = 30  # frames between a turn's begin and a step, at which the stack is not looked at
CO_COROUTINE: Final = 0x80  # in a code's flags; `inspect` has the name and takes long to import
CLOSE_S: Final = 0.1  # for the `finally` of code that was ended from outside


class Running:
    """One task whose code has begun."""

    def __init__(self, work: Work, context: Context, coroutine: Coroutine[Any, None, Any]) -> None:
        self.work, self.context, self.coroutine = work, context, coroutine
        self.waiting: Waiting | Line | Seat | None = None  # None: it has not had a turn yet

    def owns(self, awaited: object) -> bool:
        """Is this something that ctx gave to this task to await?"""
        match awaited:
            case Waiting(context=context):
                return context is self.context
            case Line(program=program):
                return program.task == self.work.task
            case Seat(task=task):
                return task == self.work.task
        return False


class Runner:
    """All workers' code of one department."""

    contexts: type[Context] = Context  # of which each task has one

    def __init__(self, decider: DepartmentDecider, home: Path, left: str = "", secret: tuple[Path, ...] = ()) -> None:
        """`left`: the traceback that the last death of this process left, if it was one; `secret`: what no program may see."""
        self.decider, self.state, self.limits, self._left = decider, decider.state, decider.limits, left
        self.shell: Shell  # set by the process, which makes the shell after us
        self.files = home / "files"
        self.files.mkdir(mode=0o700, exist_ok=True)
        self.value_bytes = room_bytes(self.limits.message_bytes)
        base = Path(decider.mandate.organisation.base)
        self.endings = Endings(decider, self.value_bytes)
        self.handlers = Handlers(base, self.files, self.limits.turn_s, self.value_bytes)
        cells = Cells(home, base, secret)
        self.programs = Programs(cells, self.limits.running, self.wake)
        self.toolbox = Toolbox(decider.own, self.handlers, cells, running=self.limits.running, limit_bytes=self.value_bytes)
        self.undoing = Undoing(self)
        self._ready: OrderedDict[str, None] = OrderedDict()  # tasks that can begin or go on, in order
        self._running: dict[str, Running] = {}
        self._freed: list[str] = []  # from quarantine; they begin when that is on the disk
        self._gone: list[Running] = []  # ended from outside
        self._once_more: list[tuple[str, int]] = []  # steps whose effect did not happen, says a person, or which are approved
        self._mark = Mark(home / "running")
        self._turn_of: Context | None = None
        self._turn_s = 0.0  # when it began
        self._thread = threading.get_ident()

    # -- which tasks run
    def seen(self, event: Event) -> None:
        """Note what an event means for the code: a task to begin, a step to go on from, a task to drop."""
        match event:
            case Hopped(agent=agent, contract=contract, plea=plea) if self.decider.coded(agent, contract, plea):
                self.wake(event.task)
            case Stepped(task=task) if task in self._running and self._turn_of is not self._running[task].context:
                self.wake(task)
            case TaskReleased(task=task, how="retry"):
                self._freed.append(task)
            case Ended(task=task) if task in self._running:
                self._gone.append(self._running.pop(task))
            case FallbackSwitched(what="tool", n=n):
                self._once_more.append((event.task, n))
            case EffectResolved(happened=False) | ApprovalDecided(approved=True, late="") | ApprovalExpired(again=True):
                self._once_more.append((event.task, event.n))

    def wake(self, task: str) -> None:
        """A task's code can go on."""
        self._ready[task] = None

    @property
    def busy(self) -> bool:
        """Is there code that can go on at once?"""
        return bool(self._ready or self._gone or self._once_more or self.toolbox.ended or self.undoing.busy)

    def resume(self) -> None:
        """Begin again all open tasks of workers; the one that was running when the process died is counted."""
        marked = self._mark.task
        trace = readable(self._left, TRACE_CHARS)
        if marked and not any(map(self._mark.names, self.state.work)):  # its hop was not on the disk yet
            self.shell.apply(TaskSuspected(request=marked.partition("/")[0], task=marked, traceback=trace))
        for work in list(self.state.work.values()):
            if self.decider.own.agent(work.agent) is None:
                why = f"{work.agent} is no longer in the organisation"
                self.shell.feed(Report(work.task, self.endings.done(work, "failed", reason=why)))
            elif self.decider.coded(work.agent, work.contract, work.plea) and not work.given_up:
                self._resume(work, self._mark.names(work.task), trace)
        reach("start.resumed")
        self.shell.commit(all_of_it=True)  # what the mark says is on record: it may go
        self._mark.clear()

    def _resume(self, work: Work, died: bool, trace: str) -> None:
        for n in [n for n, step in self.state.steps.get(work.task, {}).items() if step.approval]:
            self.shell.feed(Outdated(work.task, n))
        if died:
            self.shell.apply(Interrupted(request=work.request, task=work.task, agent=work.agent, traceback=trace))
        self.wake(work.task)

    def run(self) -> None:
        """Give the tasks that can go on a turn each, for a while."""
        self._take_tools()
        if self.decider.roster.wants(self.decider.own, self.state, now_ms()):
            self.shell.feed(Relieve())
        until_s = time.monotonic() + ROUND_S
        while (self._ready or self._gone) and time.monotonic() < until_s:
            if self._gone:
                self._close(self._gone.pop())
                continue
            task, _ = self._ready.popitem(last=False)
            if task in self.state.work and self._late(self.state.work[task]):
                self.shell.feed(Tick())  # it waited for others too long: it ends, and its code has no turn any more
                if task in self.state.work:
                    self.wake(task)  # the clock was set back just now
            elif task in self._running:
                self._turn(self._running[task])
            elif task in self.state.work and not self.state.work[task].given_up:
                self._begin(self.state.work[task])
        if not self._gone:
            self.undoing.turn()
        for task in self._freed:
            self.wake(task)
        self._freed.clear()

    def _take_tools(self) -> None:
        """What tools that run beside the loop have given goes on record; what waits for tasks that have ended does not begin."""
        for running in self._gone:
            running.context.tools.drop()
        self.toolbox.tend()
        for task, n, used in self.toolbox.finished():
            if task in self._running:
                self._running[task].context.tools.finished(n, used)
            else:
                self.undoing.finished(task, used)
        again, self._once_more = self._once_more, []
        for task, n in again:
            if task in self._running:
                self._running[task].context.again(n)

    def pipes(self) -> list[Pipe]:
        """What the loop has to wait for besides the wire."""
        return [*self.programs.pipes(), *self.toolbox.pipes()]

    def close(self) -> None:
        """End all that runs for workers' code."""
        self.programs.close()
        self.toolbox.close()

    # -- one task
    def _begin(self, work: Work) -> None:
        agent = self.decider.own.agent(work.agent)
        assert agent is not None, "a worker that the organisation does not know"
        if work.attempts >= ATTEMPTS:
            self.shell.feed(Poisoned(work.task))
            return
        try:
            with self._at_work(work.task):  # to load a file may be the end of us
                begin, code = self._code(agent, work)
        except Broken as fault:
            self.shell.feed(Report(work.task, self.endings.done(work, "failed", reason=f"{work.agent}: {fault.sentence}")))
            return
        context = self.contexts(self, work, code)
        given = Assignment(
            work.task, work.request, work.asker, work.contract, work.text, work.input, work.deadline_ms, work.correction,
            work.plea.reason if work.plea else "", work.plea.tried if work.plea else (), work.case,
            work.handover,
        )  # fmt: skip
        coroutine = begin(context, given)
        self.shell.apply(Begun(request=work.request, task=work.task, agent=work.agent, attempt=work.attempts + 1, code=code))
        self._running[work.task] = Running(work, context, coroutine)
        self._turn(self._running[work.task])

    def _code(self, agent: Agent, work: Work) -> tuple[Callable[[Context, Assignment], Coroutine[Any, None, Any]], str]:
        """How an agent's code is begun, and the digest of that code. Raises Broken."""
        if agent.handler == HANDLER:
            return (lambda context, given: run(heal, context, given)), _digest(HANDLER, VERSION)
        if agent.handler == channels.HANDLER:
            ours = self.decider.mandate.organisation.channels
            return (lambda context, given: run(carry, context, given, ours)), _digest(channels.HANDLER, VERSION)
        if agent.handler:
            function, code = self.handlers.function(agent.handler)
            return (lambda context, given: run(function, context, given)), code
        if agent.command:
            return (lambda context, given: self.programs.work(agent, context, given)), self.programs.digest(agent)
        return self._mind(agent, work)

    def _mind(self, agent: Agent, work: Work) -> tuple[Callable[[Context, Assignment], Coroutine[Any, None, Any]], str]:
        """The same of an agent that thinks."""
        from mai.agents import leader, talk, thinker, weigher  # only a department with such agents needs them

        brief = talk.brief(self.decider, work, agent)
        code = _digest(msgspec.json.encode(brief, order="deterministic").decode())
        if work.case:
            return (lambda context, given: weigher.weigh(context, given, brief)), code
        if agent.rank in ("board", "coordinator"):
            return (lambda context, given: leader.lead(context, given, brief, self.decider, work)), code
        return (lambda context, given: thinker.think(context, given, brief)), code

    def _turn(self, running: Running) -> None:
        if running.waiting is not None and not running.waiting.ready():
            return
        with self._at_work(running.work.task, running.context):
            try:
                done = self._go_on(running)
            except BaseException as error:  # what it raised or returned breaks when it is looked at
                done = self.endings.done(running.work, "failed", reason=f"{running.work.agent} failed: {type(error).__name__}")
        if done is not None:
            self._running.pop(running.work.task, None)
            self.programs.release(running.work.task)
            running.context.tools.drop()
            self.shell.feed(Report(running.work.task, done))
        elif running.waiting is not None and running.waiting.ready():
            self.wake(running.work.task)

    def _go_on(self, running: Running) -> Done | None:
        """Let the code go on to its next pause; how it ended, if it did."""
        try:
            awaited = bounded(self.limits.turn_s, running.coroutine.send, None)
        except StopIteration as stop:
            told = self.endings.told(running.context, stop.value)
            return self.endings.same(running.context, told or self.endings.answered(running.work, stop.value))
        except BaseException as error:  # a worker's fault is an answer; a fault of the ledger comes again at the commit
            return self.endings.same(running.context, self.endings.failed(running.work, error))
        if running.owns(awaited):
            running.waiting = awaited
            return None
        self._gone.append(running)
        reason = f"{running.work.agent} awaited {type(awaited).__name__}; it may await only what its own ctx gives"
        return self.endings.done(running.work, "failed", reason=reason)

    def _close(self, running: Running) -> None:
        """Let code that was ended from outside clean up; it has no ctx any more."""
        with self._at_work(running.work.task):
            try:
                bounded(CLOSE_S, running.coroutine.close)
            except BaseException as error:
                show(error)
        self.programs.kill(running.work.task)
        running.context.tools.drop()

    # -- what a context asks of us
    def has_turn(self, context: Context) -> bool:
        """Is it this context's task whose code is running, here and now, and is there stack enough to serve it?"""
        if not _near(sys._getframe(1)):
            _deep(STACK)
        return self._turn_of is context and threading.get_ident() == self._thread

    @property
    def overdue(self) -> bool:
        """Has the present turn lasted long, or beyond the deadline of its task?"""
        return time.monotonic() - self._turn_s > OVERDUE_S or (self._turn_of is not None and self._late(self._turn_of.work))

    def _late(self, work: Work) -> bool:
        return work.deadline_ms <= now_ms()

    def has_field(self, contract: str, name: str) -> bool:
        """Does the request of a contract declare a field of this name?"""
        department, _, word = str(contract).partition(".")
        offering = self.decider.mandate.organisation.department(department)
        found = offering.contract(word) if offering else None
        return found is not None and name in found.request

    @contextlib.contextmanager
    def _at_work(self, task: str, context: Context | None = None) -> Iterator[None]:
        """While this lasts, the task's code is running: should the process die, it was this one."""
        self._mark.set(task)
        self._turn_of, self._turn_s = context, time.monotonic()
        try:
            yield
        finally:
            self._turn_of = None
            self._mark.clear()


def _near(frame: FrameType | None) -> bool:
    """Is it only a few frames of ours and of coroutines down to the turn's begin? There the stack is as good as empty.

    Worth a look: to try it out takes longer than all that a step costs otherwise.
    """
    for _ in range(NEAR):
        if frame is None or not (frame.f_code.co_flags & CO_COROUTINE or frame.f_code.co_filename.startswith(OURS)):
            return False
        if frame.f_code is Runner._go_on.__code__:
            return True
        frame = frame.f_back
    return False


def _deep(frames: int) -> None:
    """Raise RecursionError here and not in the middle of a change of state, where a worker has used the stack up."""
    if frames:
        _deep(frames - 1)


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
