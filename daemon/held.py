"""Departments that take no new tasks now: what is for them waits at Mai, or is refused at once. Pure.

    paused, stopped            by an operator or a remedy: tasks wait here, unnumbered, until it is free or their deadline comes
    draining                   the same; but what belongs to a request that was accepted before passes, so that it can be finished
    switched                   by a remedy: contracts with backups go to these, others to it as ever
    failed                     given up by the watchdog: what waits and what is new ends at once, unless it has a backup

Replies, cancels and what is on its way already pass as ever. What is held is on record (`task.held`) in the place of its
sending; when the department is freed, all that is still wanted goes to it in the order in which it came.
"""

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from mai.agents.decider import Input, Send, sooner_ms
from mai.agents.events import Event, register
from mai.agents.messages import Result, Task
from mai.agents.organisation import SERVICES
from mai.agents.plain import readable
from mai.daemon.desk import Held, Hold, MaiState, Returned, first

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

FAILED: Final = "failed"
SWITCHED: Final = "switched"
DRAINING: Final = "draining"
HOW: Final = {
    "pause": "paused",
    "switch": SWITCHED,
    "drain": DRAINING,
    "stop": "stopped",
}  # what is wanted of it, and how that is called


class DepartmentHeld(Event, frozen=True, kw_only=True):
    """A department gets no new tasks from now on."""

    kind: ClassVar[str] = "department.held"
    department: str
    how: str  # paused, draining, stopped or failed
    by: str = ""
    why: str = ""
    at_ms: int = 0


class DepartmentFreed(Event, frozen=True, kw_only=True):
    """It gets tasks again; what has waited for it follows."""

    kind: ClassVar[str] = "department.freed"
    department: str
    by: str = ""
    at_ms: int = 0


class TaskHeld(Event, frozen=True, kw_only=True):
    """A task waits for its department."""

    kind: ClassVar[str] = "task.held"
    request: str
    task: str
    to: str  # its process
    deadline_ms: int
    body: Task


EVENTS: Final = (DepartmentHeld, DepartmentFreed, TaskHeld)
register(*EVENTS)


class Heed(Input, frozen=True):
    """The watchdog has told something that may hold or free a department."""


# -- decide
def heed(mai: "MaiDecider", now_ms: int) -> list[Event | Send]:
    """Hold and free what the watchdog says."""
    due, known = _due(mai), mai.state.held
    found: list[Event | Send] = []
    for name, hold in due.items():
        if not hold.same(known.get(name)):
            found.append(DepartmentHeld(department=name, how=hold.how, by=hold.by, why=hold.why, at_ms=now_ms))
    for name in known.keys() - due.keys():
        found += _free(mai, name, now_ms)
    return found


def _due(mai: "MaiDecider") -> dict[str, Hold]:
    """What should be held now."""
    watched, due = mai.state.watched, dict[str, Hold]()
    for department in _departments(mai):
        process = f"{mai.mandate.client}/{department}"
        if process in watched.failed:
            due[department] = Hold(FAILED, "the watchdog", watched.failed[process])
        elif how := HOW.get(watched.wanted.get(process, "run")):
            due[department] = Hold(how, *watched.whose.get(process, ("", "")))
    return due


def _departments(mai: "MaiDecider") -> list[str]:
    """All that there are, and those that are no part of the organisation any more."""
    ours = [department.name for department in mai.mandate.organisation.departments]
    gone = [name_of(process) for process in mai.state.watched.failed if process.startswith(f"{mai.mandate.client}/")]
    return list(dict.fromkeys((*ours, *(name for name in gone if name not in ("mai", *SERVICES)))))


def _free(mai: "MaiDecider", department: str, now_ms: int) -> list[Event | Send]:
    process = f"{mai.mandate.client}/{department}"
    freed: list[Event | Send] = [DepartmentFreed(department=department, at_ms=now_ms)]
    for one in waiting(mai.state, department):
        holding = mai.holding(one.task)
        if holding and holding.process == process and one.deadline_ms > now_ms:
            freed.append(Send(process, one.task, sooner_ms(now_ms, holding.deadline_ms), one.body))
    return freed


def divert(mai: "MaiDecider", found: list[Event | Send]) -> list[Event | Send]:
    """The same, with a record in the place of each task whose department is held."""
    return [_diverted(mai, one) for one in found] if mai.state.held else found


def _diverted(mai: "MaiDecider", one: Event | Send) -> Event | Send:
    if not isinstance(one, Send) or not isinstance(one.body, Task):
        return one
    hold = mai.state.held.get(name_of(one.to))
    if hold is None or hold.how in (FAILED, SWITCHED):
        return one  # that one is refused where it is planned; who has no other choice left takes its chance
    request = mai.state.requests.get(one.body.request)
    if hold.how == DRAINING and request and request.accepted_ms < hold.at_ms:
        return one  # so that those who wait for it can finish, and be drained themselves
    return TaskHeld(request=one.body.request, task=one.id, to=one.to, deadline_ms=one.deadline_ms, body=one.body)


def shut(state: MaiState, process: str, most: int) -> str:
    """Why no new task may be taken for a process; "" if it may."""
    hold = state.held.get(name_of(process))
    if hold is None or hold.how == SWITCHED:
        return ""
    if hold.how == FAILED:
        return f"it is for {process}, which {_what(hold)}"
    count = len(waiting(state, name_of(process)))
    return f"{count} tasks wait for {process}, which is the limit; it {_what(hold)}" if count >= most else ""


def away(state: MaiState, process: str) -> str:
    """Why its backups have its work; "" if they have not."""
    hold = state.held.get(name_of(process))
    return f"{process} {_what(hold)}" if hold and hold.how == SWITCHED else ""


def reason(state: MaiState, task: str) -> str:
    """Why a task that waits was not begun; "" if it does not wait here."""
    one = state.waiting.get(first(task))
    hold = state.held.get(name_of(one.to)) if one else None
    return f"it was not begun, for {one.to} {_what(hold)}" if one and hold else ""


def _what(hold: Hold) -> str:
    """How people are told of it: `is paused by root: why`."""
    what = {FAILED: "was given up", DRAINING: "is being drained"}.get(hold.how, f"is {hold.how}")
    whose = f" by {hold.by}" if hold.by and hold.how != FAILED else ""
    return readable(f"{what}{whose}{': ' * bool(hold.why)}{hold.why}")


def name_of(process: str) -> str:
    """The department of a process."""
    return process.partition("/")[2]


def waiting(state: MaiState, department: str) -> list[Held]:
    """What waits for a department, in the order in which it came."""
    return sorted((one for one in state.waiting.values() if name_of(one.to) == department), key=lambda one: one.seq)


# -- evolve
def fold(state: MaiState, event: DepartmentHeld | DepartmentFreed | TaskHeld, seq: int) -> list[Input]:
    """Fold one fact; what waits for a department that is given up ends."""
    if isinstance(event, TaskHeld):
        one = Held(event.task, event.request, event.to, event.deadline_ms, event.body, seq)
        state.waiting[first(event.task)] = one
        state.changed("waiting", first(event.task), one)
        return []
    if isinstance(event, DepartmentFreed):
        state.held.pop(event.department, None)
        state.changed("held", event.department, None)
        _drop(state, waiting(state, event.department))
        return []
    hold = state.held[event.department] = Hold(event.how, event.by, event.why, event.at_ms)
    state.changed("held", event.department, hold)
    if hold.how != FAILED:
        return []
    gone = waiting(state, event.department)
    _drop(state, gone)
    return [Returned(one.to, _vain(one, f"{one.to} {_what(hold)}")) for one in gone]


def _vain(one: Held, why: str) -> Result:
    """What becomes of a task that was not begun."""
    return Result(one.task, one.request, "failed", "", {}, why, f"{one.to.partition('/')[0]}/mai", (), False)


def end(state: MaiState, task: str) -> None:
    """A task has ended: nobody waits for it."""
    if one := state.waiting.get(first(task)):
        _drop(state, [one])


def cancelled(state: MaiState, request: str) -> list[Input]:
    """A request is cancelled, and all that waits for it ends."""
    gone = [one for one in state.waiting.values() if one.request == request]
    _drop(state, gone)
    return [Returned(one.to, _vain(one, "the request was cancelled")) for one in gone]


def _drop(state: MaiState, ones: list[Held]) -> None:
    for one in ones:
        del state.waiting[first(one.task)]
        state.changed("waiting", first(one.task), None)


def load(state: MaiState, held: dict[str, bytes], rows: dict[str, bytes]) -> None:
    """From the rows of her state."""
    state.held.update({name: msgspec.json.decode(data, type=Hold) for name, data in held.items()})
    state.waiting.update({task: msgspec.json.decode(data, type=Held) for task, data in rows.items()})
