"""A department's budgets: of what Mai grants with a task of a request, and of its own for a day. Pure.

What Mai has granted with a task (`Task.allow`) she has put on record as gone; the department counts for all that derives from
the task here, and tells with the result what was used, so that the rest can be had by others. So the sum over all departments
never exceeds the request's limit, whoever dies when.

The day is one on the wall of the organisation (`clock.py`). It begins with the first thing that is counted in it (`day.begun`),
and a clock that was set back begins none. Seconds are reserved up to each task's deadline; what it does not take is given back.
"""

from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, TypeVar

import msgspec

from mai.agents.amounts import Amounts
from mai.agents.clock import wall
from mai.agents.events import Asked, EffectIntent, Ended, Event, Hopped, Stepped, register
from mai.agents.guards import named, path, works
from mai.agents.messages import Task
from mai.agents.plain import readable
from mai.agents.state import Day, State, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

WORDS: Final = {
    "hops": "tasks handed on", "steps": "steps", "tool_calls": "calls of tools", "tasks": "tasks", "seconds": "seconds of tasks",
    "asks": "asks for contracts", "turns": "questions to models",
}  # fmt: skip


class DayBegun(Event, frozen=True, kw_only=True):
    """A day of the organisation's begins in this department's account."""

    kind: ClassVar[str] = "day.begun"
    day: str  # 2026-11-28


class ToolCounted(Event, frozen=True, kw_only=True):
    """A tool is about to be called, and that is counted."""

    kind: ClassVar[str] = "tool.counted"
    request: str
    task: str
    agent: str
    n: int


class BudgetStopped(Event, frozen=True, kw_only=True):
    """Something would take more than a budget has; what is refused because of it follows."""

    kind: ClassVar[str] = "budget.stopped"
    request: str
    task: str
    agent: str  # "mai": an ask for a contract or of a service
    what: str  # hops, steps, tool_calls, tasks, seconds, asks, turns
    scope: str  # request, day
    limit: int
    used: int
    chain: tuple[str, ...] = ()  # who handed it to whom
    why: str


register(DayBegun, ToolCounted, BudgetStopped)


E = TypeVar("E")


class Admitted(NamedTuple):
    """A task from Mai may be taken up until then; or not, and why."""

    until_ms: int
    stopped: BudgetStopped | None = None


# -- the day
def today(decider: "DepartmentDecider", now_ms: int) -> Day:
    """The account of the day that it is; of one that is over nothing counts any more."""
    name, known = wall(decider.mandate.organisation.offsets, now_ms).date, decider.state.day
    return known if name <= known.day else Day(name)


def reserved_ms(state: State) -> int:
    """The time that open tasks may still take, with what they have taken."""
    return sum(max(0, work.deadline_ms - work.since_ms) for work in _from_mai(state))


def _from_mai(state: State) -> list[Work]:
    return [work for work in state.work.values() if not (work.parent or work.released)]


def turned(decider: "DepartmentDecider", found: list[E], now_ms: int) -> list[E | Event]:
    """The same, behind the beginning of a day, if something of it is counted and it has not begun."""
    if not decider.own.day.counted or not any(isinstance(one, Hopped | Ended | ToolCounted) for one in found):
        return [*found]
    day = today(decider, now_ms)
    return [*found] if day is decider.state.day else [DayBegun(day=day.day), *found]


# -- what may go on
def admit(decider: "DepartmentDecider", body: Task, until_ms: int, now_ms: int) -> Admitted:
    """May a task from Mai be taken up today, and until when?"""
    limits, day, board = decider.own.day, today(decider, now_ms), decider.own.board.name
    if limits.tasks and day.tasks >= limits.tasks:
        return Admitted(0, _of_day(decider, body, ("tasks", limits.tasks, day.tasks), board))
    if limits.hops and day.hops >= limits.hops and not decider.coded(board, body.contract):  # the board can hand it to nobody
        return Admitted(0, _of_day(decider, body, ("hops", limits.hops, day.hops), board))
    if not limits.seconds:
        return Admitted(until_ms)
    taken_ms = day.ms + reserved_ms(decider.state)
    left_ms = int(limits.seconds * 1000) - taken_ms
    if left_ms <= 0:
        counted = "seconds", int(limits.seconds), taken_ms // 1000
        return Admitted(0, _of_day(decider, body, counted, board))
    return Admitted(min(until_ms, now_ms + left_ms))


def took_ms(decider: "DepartmentDecider", work: Work) -> int:
    """What the end of a work takes of the day: never more than was reserved, however late it is noticed."""
    if work.parent or work.released or not decider.own.day.seconds:
        return 0
    return max(0, min(decider.now_ms, work.deadline_ms) - work.since_ms)


def hop(decider: "DepartmentDecider", work: Work, to: str) -> BudgetStopped | None:
    """What keeps a work from being handed on; None if nothing does."""
    chain = (*(decider.address(one.agent) for one in works(decider.state, work.task)), to)
    return _taken(decider, work, "hops", chain, decider.now_ms)


def step(decider: "DepartmentDecider", work: Work) -> BudgetStopped | None:
    """What keeps a work's code from another step; None if nothing does."""
    return _of_request(decider, work, "steps", ())


def tool(decider: "DepartmentDecider", work: Work, name: str, now_ms: int) -> BudgetStopped | None:
    """What keeps a work's code from calling a tool; None if nothing does."""
    return _taken(decider, work, "tool_calls", (f"the tool {name}",), now_ms)


def counts_tools(decider: "DepartmentDecider", work: Work) -> bool:
    """Does a call have to be on record before it begins?"""
    return root(decider.state, work).allow is not None or bool(decider.own.day.tool_calls)


def root(state: State, work: Work) -> Work:
    """The work that came from Mai, and from which this one derives."""
    while above := state.work.get(work.parent):
        work = above
    return work


def _taken(decider: "DepartmentDecider", work: Work, what: str, chain: tuple[str, ...], now_ms: int) -> BudgetStopped | None:
    limit, used = getattr(decider.own.day, what), getattr(today(decider, now_ms), what)
    if limit and used >= limit:
        return _of_day(decider, work, (what, limit, used), work.agent, chain)
    return _of_request(decider, work, what, chain)


def _of_request(decider: "DepartmentDecider", work: Work, what: str, chain: tuple[str, ...]) -> BudgetStopped | None:
    top = root(decider.state, work)
    if top.allow is None or getattr(top.used, what) < getattr(top.allow, what):
        return None
    limit, used = getattr(top.allow, what), getattr(top.used, what)
    chain = chain if what == "hops" else (*named(decider, works(decider.state, work.task)), *chain)
    why = (
        f"the budget of the request is spent: {used} {WORDS[what]} were left to {decider.own.name} for this, and have been taken"
    )
    return BudgetStopped(
        request=work.request, task=work.task, agent=work.agent, what=what, scope="request", limit=limit, used=used, chain=chain,
        why=with_chain(why, chain),
    )  # fmt: skip


def _of_day(
    decider: "DepartmentDecider", about: Work | Task, counted: tuple[str, int, int], agent: str, chain: tuple[str, ...] = ()
) -> BudgetStopped:
    what, limit, used = counted
    why = f"the budget of {decider.own.name} for the day is spent: {used} of {limit} {WORDS[what]}; another begins at midnight"
    return BudgetStopped(
        request=about.request, task=about.task, agent=agent, what=what, scope="day", limit=limit, used=used, chain=chain,
        why=with_chain(why, chain),
    )  # fmt: skip


def with_chain(why: str, chain: tuple[str, ...]) -> str:
    """A reason, with who handed it to whom."""
    return readable(f"{why}; {path(chain)}" if chain else why)


# -- evolve
def fold(state: State, event: Event) -> None:
    """Count one fact; before or after all else that it does, as it needs the work that it is about."""
    match event:
        case DayBegun(day=day):
            state.day = Day(day)
            state.changed("day", "", state.day)
        case Hopped():
            if event.sender == "mai":
                _day(state, tasks=1)
            elif not (event.up or event.approves):  # what policies and pleas lead to is nobody's own hand-on
                _day(state, hops=1)
                _use(state, event.parent, Amounts(hops=1))
        case ToolCounted():
            _day(state, tool_calls=1)
            _use(state, event.task, Amounts(tool_calls=1))
        case Asked():
            _use(state, event.task, Amounts(steps=1))
        case EffectIntent() | Stepped() if event.n not in state.steps.get(event.task, {}):
            _use(state, event.task, Amounts(steps=1))
        case Ended(took_ms=took_ms) if took_ms:
            _day(state, ms=took_ms)


def _day(state: State, **more: int) -> None:
    """Add to the day's account, if one has begun."""
    if state.day.day:
        state.day = msgspec.structs.replace(state.day, **{name: getattr(state.day, name) + count for name, count in more.items()})
        state.changed("day", "", state.day)


def _use(state: State, task: str, more: Amounts) -> None:
    work = state.work.get(task)
    top = root(state, work) if work else None
    if top and top.allow is not None:
        top.used = top.used + more
        state.changed("task", top.task, top)
