"""Quarantine: tasks that killed their process again and again, kept with their steps until a person has looked. Pure.

    task.quarantined → its end, refused → task.released, by `retry`: it runs again over its recorded steps; by `drop`: it is gone

Who asked has had a refusal, so what a retried task gives is on record and goes to nobody. A step of it that had no answer gets
none any more; an effect that may be repeated is called again with its key.
"""

from typing import TYPE_CHECKING, ClassVar, Final

from mai.agents.decider import Send
from mai.agents.events import Event, Stepped, register
from mai.agents.inputs import Free, Poisoned, Withheld
from mai.agents.order_messages import Release, Released
from mai.agents.plain import readable
from mai.agents.state import Done, Quarantined, State, Step, Suspect, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

MOST: Final = 100  # tasks of one department; beyond it the oldest one makes room
TRACES: Final = 3  # of the last deaths
TRACE_CHARS: Final = 4096  # of each
NO_TRACE: Final = "no traceback was left: the process was killed (SIGKILL), or ended by itself (os._exit)"
SIMPLY: Final = ("none", "idempotent")  # effects that may be repeated


class TaskQuarantined(Event, frozen=True, kw_only=True):
    """The process died so often while this task's code ran that it is not run again by itself; its end follows."""

    kind: ClassVar[str] = "task.quarantined"
    request: str
    task: str
    agent: str
    attempts: int
    traces: tuple[str, ...] = ()  # of the last deaths, oldest first
    at_ms: int = 0


class TaskReleased(Event, frozen=True, kw_only=True):
    """It has left the quarantine: to run again, or for good."""

    kind: ClassVar[str] = "task.released"
    request: str
    task: str
    agent: str
    how: str  # retry, drop
    by: str
    why: str = ""
    deadline_ms: int = 0  # of the retry
    again: tuple[int, ...] = ()  # steps without an outcome that are begun anew


class TaskSuspected(Event, frozen=True, kw_only=True):
    """The process died while this task's code ran, and before anything of the task was on the disk: it will come again."""

    kind: ClassVar[str] = "task.suspected"
    request: str
    task: str
    traceback: str = ""


register(TaskQuarantined, TaskReleased, TaskSuspected)


# -- decide


def decide(decider: "DepartmentDecider", given: Poisoned | Withheld | Free, now_ms: int) -> list[Event | Send]:
    """A task that kills, one that a remedy puts away, or the end of a quarantine."""
    match given:
        case Free(body=order):
            return release(decider, order, now_ms)
        case Withheld(task=task, by=by, why=why) if work := decider.state.work.get(task):
            return quarantine(decider, work, now_ms, f"{by} has put it away: {why}")
        case Poisoned(task=task) if work := decider.state.work.get(task):
            return quarantine(decider, work, now_ms)
    return []


def quarantine(decider: "DepartmentDecider", work: Work, now_ms: int, why: str = "") -> list[Event | Send]:
    """Put a task away, and refuse it to who asked; `why` if it is not for its deaths."""
    held, found = decider.state.quarantine, list[Event | Send]()
    if len(held) >= MOST:
        oldest = min(held.values(), key=lambda one: one.at_ms).work
        why = f"{MOST} tasks were in quarantine, which is the limit, and this was the oldest"
        found.append(_released(oldest, "drop", f"{decider.mandate.client}/{decider.own.name}", why))
    found.append(
        TaskQuarantined(
            request=work.request, task=work.task, agent=work.agent, attempts=work.attempts, traces=work.traces, at_ms=now_ms
        )
    )
    why = why or f"the process died {work.attempts} times while {work.agent} worked on this"
    why = readable(f"{why}; it is in quarantine")
    return found + decider.end(work, Done("refused", "", {}, why, decider.address(work.agent), ()))


def _released(work: Work, how: str, by: str, why: str = "") -> TaskReleased:
    return TaskReleased(request=work.request, task=work.task, agent=work.agent, how=how, by=by, why=why)


def dropped(decider: "DepartmentDecider", request: str, by: str) -> list[Event | Send]:
    """A cancelled request leaves nothing in quarantine: what it had done is being undone."""
    works = [one.work for one in decider.state.quarantine.values() if one.work.request == request]
    return [_released(work, "drop", by, "its request was cancelled") for work in works]


def release(decider: "DepartmentDecider", body: Release, now_ms: int) -> list[Event | Send]:
    """What an operator has ordered, and the answer."""
    held = decider.state.quarantine.get(body.task)
    found: list[Event | Send] = []
    if held is None:
        refused = f"{body.task} is not in quarantine"
    elif body.how == "drop":
        refused, found = "", [_released(held.work, "drop", body.by)]
    elif decider.own.agent(held.work.agent) is None:
        refused = f"{held.work.agent} is no longer in the organisation"
    elif len(decider.state.work) >= decider.limits.queue:
        refused = f"{decider.own.name} has {decider.limits.queue} open tasks, which is its limit; try again later"
    else:
        refused, found = "", _retry(decider, held, body.by, now_ms)
    return [*found, Send(decider.mai, f"{body.id}=", 0, Released(body.id, body.request, body.task, refused))]


def _retry(decider: "DepartmentDecider", held: Quarantined, by: str, now_ms: int) -> list[Event | Send]:
    work, left = held.work, [step for step in held.steps if not step.done]
    agent = decider.own.agent(work.agent)
    task_s = (agent.task_s if agent else 0) or decider.limits.task_s
    simple = {tool.name for tool in decider.own.tools if tool.effect in SIMPLY and not tool.far}
    again = tuple(step.n for step in left if step.key and step.tool in simple)
    released = TaskReleased(
        request=work.request, task=work.task, agent=work.agent, how="retry", by=by,
        deadline_ms=now_ms + int(task_s * 1000), again=again,
    )  # fmt: skip
    return [released, *(_lost(work, step) for step in left if step.n not in again)]


def _lost(work: Work, step: Step) -> Stepped:
    """The outcome of a step whose answer came when nobody waited, or never."""
    why = "nobody waited for its outcome while the task was in quarantine"
    if step.key:
        why = f"nobody knows whether it happened (key {step.key}), and it may not be repeated"
    return Stepped(
        request=work.request, task=work.task, agent=work.agent, n=step.n, call=step.call, refused=readable(why), state="failed"
    )


# -- evolve
def fold(state: State, event: Event) -> None:
    """Fold what concerns the quarantine."""
    match event:
        case TaskQuarantined(task=task) if task in state.work:
            state.quarantine[task] = Quarantined(state.work[task], (), event.traces, event.at_ms)
            state.changed("quarantine", task, state.quarantine[task])
        case TaskSuspected(task=task):
            _suspect(state, task, event.traceback)
        case TaskReleased(task=task) if task in state.quarantine:
            held = state.quarantine.pop(task)
            state.changed("quarantine", task, None)
            if event.how == "retry":
                _restore(state, held, event)


def _restore(state: State, held: Quarantined, event: TaskReleased) -> None:
    work = held.work
    work.attempts, work.traces, work.deadline_ms, work.released = 0, (), event.deadline_ms, True
    arrived(state, work)
    state.work[work.task] = work
    state.changed("task", work.task, work)
    for step in held.steps:
        if step.n not in event.again:
            state.steps.setdefault(work.task, {})[step.n] = step
            state.changed("step", f"{work.task}/{step.n}", step)


def _suspect(state: State, task: str, traceback: str) -> None:
    known = state.suspects.pop(task, None) or Suspect(task)
    known.deaths, known.traces = known.deaths + 1, _last(known.traces, traceback)
    state.suspects[task] = known
    state.changed("suspect", task, known)
    if len(state.suspects) > MOST:  # the one that has not come again for longest
        del state.suspects[oldest := next(iter(state.suspects))]
        state.changed("suspect", oldest, None)


def arrived(state: State, work: Work) -> None:
    """A task is taken up: deaths before it was on the disk count as well."""
    if known := state.suspects.pop(work.task, None):
        work.attempts, work.traces = known.deaths, known.traces
        state.changed("suspect", work.task, None)


def _last(traces: tuple[str, ...], traceback: str) -> tuple[str, ...]:
    return (*traces, traceback or NO_TRACE)[-TRACES:]


def ended(state: State, work: Work) -> None:
    """A task ends: if it goes into quarantine, its steps go with it."""
    if held := state.quarantine.get(work.task):
        held.steps = tuple(state.steps.get(work.task, {}).values())
        state.changed("quarantine", work.task, held)


def interrupted(work: Work, traceback: str) -> None:
    """The process died while this task's code ran."""
    work.attempts += 1
    work.traces = _last(work.traces, traceback)
