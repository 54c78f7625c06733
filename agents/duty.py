"""Who is on duty in a department: to whom a task goes, what waits for the next shift, and what is handed over. Pure.

    shift.set       a person has said that an agent is on, off or paused, or that the calendar counts again
    shift.assigned  of a team one got the task: who is on and has least to do; with all who were asked about
    shift.waits     nobody is on; the task waits for the next shift, with the coordinator, up to its own deadline
    task.handed     a task changes hands, with what was done for it; its end and the successor's hop follow in the same commit

A task is handed over where nothing was changed for it, and between two of its steps: who is in the middle of one ends that first.
What has changed something stays with who did it, as in behaviour.KEPT: it would be done again.
"""

from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from mai.agents import allowance, shifts
from mai.agents.events import Ended, Event, Hopped, register
from mai.agents.handover import MOST, Handover, short
from mai.agents.handover import Done as DoneStep
from mai.agents.inputs import Call, Relieve, Rostered
from mai.agents.plain import readable
from mai.agents.shift_scope import Shift
from mai.agents.state import Assigned, Done, Duty, Parked, State, Work

if TYPE_CHECKING:
    from mai.agents.decider import Input, Send
    from mai.agents.department import DepartmentDecider
    from mai.agents.organisation import Department

HARMLESS: Final = ("model", "tools", "recall", "recall_all", "search", "versions", "now", "random")  # while they wait
TOLD: Final = 6  # colleagues that a record names with what they have


class ShiftSet(Event, frozen=True, kw_only=True):
    """A person's word about an agent."""

    kind: ClassVar[str] = "shift.set"
    agent: str
    how: str  # on, off, pause; "" for the calendar's
    until_ms: int
    by: str
    uid: int
    why: str = ""
    at_ms: int = 0


class ShiftAssigned(Event, frozen=True, kw_only=True):
    """One of a team got a task, and why he."""

    kind: ClassVar[str] = "shift.assigned"
    request: str
    task: str  # of who hands it on
    agent: str
    wanted: str
    to: str
    why: str
    at_ms: int


class ShiftWaits(Event, frozen=True, kw_only=True):
    """Nobody is on who could have it."""

    kind: ClassVar[str] = "shift.waits"
    request: str
    task: str  # of who hands it on, and keeps it so long
    agent: str
    wanted: str
    n: int  # the step that waits; 0: the task as a whole
    until_ms: int  # when the next shift begins; 0: nobody knows
    why: str
    deadline_ms: int = 0  # of the task
    at_ms: int = 0


class TaskHanded(Event, frozen=True, kw_only=True):
    """A task changes hands."""

    kind: ClassVar[str] = "task.handed"
    request: str
    task: str
    agent: str
    to: str
    successor: str  # the id under which he has it
    why: str
    at_ms: int


register(ShiftSet, ShiftAssigned, ShiftWaits, TaskHanded)


class Turn(NamedTuple):
    """Whom a task goes to; or nobody, and it waits, or has no way on."""

    to: str
    events: list[Event]
    why: str = ""


class Roster:
    """What a department need not work out anew each turn."""

    def __init__(self) -> None:
        self.change_ms = 0  # when somebody comes or goes next; 0: to be found out
        self.leaving = False  # somebody who has gone is in the middle of a step

    def wants(self, own: "Department", state: State, now_ms: int) -> bool:
        """Is it to be looked who has gone, and what waits?"""
        return bool(own.shifts or state.duty) and (self.leaving or now_ms >= self.change_ms)


# -- who is on
def word(state: State, agent: str, now_ms: int) -> Duty | None:
    """What a person has said of an agent, as far as it holds."""
    said = state.duty.get(agent)
    return said if said and (not said.until_ms or now_ms < said.until_ms) else None


def off(state: State, calendar: tuple[Shift, ...], agent: str, now_ms: int) -> str:
    """Why somebody has no new tasks now; "" if he is on. Who stands in no shift always is."""
    said = word(state, agent, now_ms)
    if said:
        how = "paused" if said.how == "pause" else said.how
        return "" if said.how == "on" else f"{agent} is {how} by {said.by}" + f": {said.why}" * bool(said.why)
    mine = [one for one in calendar if agent in one.operators]
    return "" if not mine or shifts.on(mine, agent, now_ms)[0] else f"{agent} is not on"


def team(calendar: tuple[Shift, ...], agent: str) -> list[str]:
    """All who do the same work as an agent, by the shifts; empty if he stands in none."""
    teams = {one.team for one in calendar if agent in one.operators}
    return list(dict.fromkeys(name for one in calendar if one.team in teams for name in one.operators))


# -- to whom a task goes
def assign(decider: "DepartmentDecider", work: Work, wanted: str, now_ms: int, call: Call | None = None) -> Turn:
    """Who gets what was meant for somebody: of his team who is on, has least to do, fits best, and had his turn longest ago."""
    state, calendar = decider.state, decider.own.shifts
    names = team(calendar, wanted)
    forbidden = not decider.table.hop(decider.own.name, work.agent, wanted).allowed  # not to be had through his colleagues
    if forbidden or (not names and wanted not in state.duty):
        return Turn(wanted, [])
    mine = decider.own.agent(wanted)
    may = [name for name in names or [wanted, *(mine.backups if mine else ())] if _may(decider, work, name)]
    on = [name for name in may if not off(state, calendar, name, now_ms)]
    if not on:
        return _nobody(decider, work, (wanted, may), now_ms, call.n if call else 0)
    text = call.given["text"] if call and call.call == "ask" else "" if work.contract else work.text
    fitting = decider.fit(text, tuple(on)) if text else []
    open_ = {name: sum(one.agent == name for one in state.work.values()) for name in on}

    def order(name: str) -> tuple[int, int, int]:
        given = state.assigned.get(name)
        return open_[name], fitting.index(name) if name in fitting else len(fitting), given.seq if given else 0

    if not names:
        return Turn(on[0], [] if on[0] == wanted else [_assigned(decider, work, (wanted, on[0]), open_, now_ms)])
    to = min(on, key=order)
    return Turn(to, [_assigned(decider, work, (wanted, to), open_, now_ms)])


def _may(decider: "DepartmentDecider", work: Work, name: str) -> bool:
    return name not in (work.agent, *work.tried) and decider.table.hop(decider.own.name, work.agent, name).allowed


def _assigned(
    decider: "DepartmentDecider", work: Work, who: tuple[str, str], open_: dict[str, int], now_ms: int
) -> ShiftAssigned:
    wanted, to = who
    said = ", ".join(f"{name} has {count} open" for name, count in [*open_.items()][:TOLD])
    away = off(decider.state, decider.own.shifts, wanted, now_ms)
    why = "; ".join(filter(None, (away, f"of those who are on {said}")))
    return ShiftAssigned(
        request=work.request, task=work.task, agent=work.agent, wanted=wanted, to=to, why=readable(why), at_ms=now_ms
    )


def _nobody(decider: "DepartmentDecider", work: Work, who: tuple[str, list[str]], now_ms: int, n: int) -> Turn:
    """It waits for the next shift, if that begins before its deadline."""
    wanted, may = who
    state, calendar = decider.state, decider.own.shifts
    said = "; ".join(off(state, calendar, name, now_ms) for name in may[:TOLD]) or f"nobody of the team of {wanted} may have it"
    until_ms = back_ms(decider, may, now_ms)
    if not now_ms < until_ms < work.deadline_ms and not (may and not until_ms and wanted in state.duty):
        later = "the next shift begins after its deadline" if until_ms else "no shift is to come"
        return Turn("", [], readable(f"nobody is on: {said}; {later}"))
    why = f"nobody is on: {said}; it waits" + (" for the next shift" if until_ms else " until somebody is")
    waits = ShiftWaits(
        request=work.request,
        task=work.task,
        agent=work.agent,
        wanted=wanted,
        n=n,
        until_ms=until_ms,
        why=readable(why),
        deadline_ms=work.deadline_ms,
        at_ms=now_ms,
    )
    return Turn("", [waits])


def back_ms(decider: "DepartmentDecider", names: list[str], now_ms: int) -> int:
    """When the first of these is on again, as far as it is known; 0 if it is not."""
    found: list[int] = []
    for name in names:
        said = word(decider.state, name, now_ms)
        at_ms = said.until_ms if said else now_ms
        if not at_ms:
            continue  # until another word
        there = not any(name in one.operators for one in decider.own.shifts) or shifts.on(decider.own.shifts, name, at_ms)[0]
        found.append(at_ms if said and there else shifts.begins_ms(decider.own.shifts, [name], at_ms))
    return min(filter(None, found), default=0)


# -- what has waited, and who has gone
def decide(decider: "DepartmentDecider", given: Relieve | Rostered, now_ms: int) -> list["Event | Send"]:
    """A person's word goes on record; or it is looked who has come and gone."""
    if isinstance(given, Relieve):
        return relieve(decider, now_ms)
    said = given.body
    if decider.own.agent(said.agent) is None:
        return []
    return [
        ShiftSet(agent=said.agent, how=said.how, until_ms=said.until_ms, by=said.by, uid=said.uid, why=said.why, at_ms=said.at_ms)
    ]


def relieve(decider: "DepartmentDecider", now_ms: int) -> list["Event | Send"]:
    """The first task that has waited and can go on, or that changes hands; folding it asks for the next."""
    decider.roster.change_ms = _change_ms(decider, now_ms)
    decider.roster.leaving = False
    for parked in decider.state.parked.values():
        if found := _resumed(decider, parked, now_ms):
            return found
    for work in decider.state.work.values():
        if found := _relieved(decider, work, now_ms):
            return found
    return []


def _change_ms(decider: "DepartmentDecider", now_ms: int) -> int:
    said = [one.until_ms for one in decider.state.duty.values() if one.until_ms > now_ms]
    changes_ms = shifts.changes_ms(decider.own.shifts, now_ms)
    return min((*said, *([changes_ms] if changes_ms else ())), default=now_ms + 86_400_000)


def next_ms(decider: "DepartmentDecider") -> int:
    """When it has to be looked at again; 0 if nothing is open."""
    return decider.roster.change_ms if decider.state.work and (decider.own.shifts or decider.state.duty) else 0


def _resumed(decider: "DepartmentDecider", parked: Parked, now_ms: int) -> list["Event | Send"]:
    work = decider.state.work.get(parked.task)
    step = decider.state.steps.get(parked.task, {}).get(parked.n)
    call = Call(parked.task, parked.n, step.call, step.given) if step and not step.done else None
    if work is None or (parked.n and call is None) or not assign(decider, work, parked.wanted, now_ms, call).to:
        return []
    return decider.hand(work, parked.wanted, now_ms, call=call)


def _relieved(decider: "DepartmentDecider", work: Work, now_ms: int) -> list["Event | Send"]:
    """A task of somebody who has gone goes to a colleague who is on."""
    parent, own = decider.state.work.get(work.parent), decider.own
    own_code = decider.coded(work.agent, work.contract, work.plea)
    if parent is None or work.handed or work.changed or work.plea or work.given_up or not own_code:
        return []
    why = off(decider.state, own.shifts, work.agent, now_ms)
    if not why:
        return []
    steps = decider.state.steps.get(work.task, {}).values()
    if any(not step.done and (step.key or step.call not in (*HARMLESS, "tool")) for step in steps):
        decider.roster.leaving = True
        return []
    turn = assign(decider, parent, work.agent, now_ms)
    if not turn.to or turn.to == work.agent or allowance.hop(decider, parent, decider.address(turn.to)):
        return []
    return _handed(decider, work, parent, turn.to, why)


def _handed(decider: "DepartmentDecider", work: Work, parent: Work, to: str, why: str) -> list["Event | Send"]:
    now_ms, successor = decider.now_ms, f"{parent.task}.{parent.children + 1}"
    handed = TaskHanded(request=work.request, task=work.task, agent=work.agent, to=to, successor=successor, why=why, at_ms=now_ms)
    said = f"{why}; {to} has it now"
    over = decider.end(work, Done("refused", "", {}, readable(said), decider.address(work.agent), ()))
    hopped = Hopped(
        request=work.request, task=successor, parent=work.parent, sender=work.sender, agent=to, asker=work.asker,
        contract=work.contract, text=work.text, input=work.input, deadline_ms=work.deadline_ms, hops=work.hops,
        rule=readable(f"handed over: {why}", 200), watch=work.watch, ranked=work.ranked, step=work.step, at_ms=now_ms,
        correction=work.correction, handover=_context(decider, work, why),
    )  # fmt: skip
    return [handed, *over, hopped]


def _context(decider: "DepartmentDecider", work: Work, why: str) -> Handover:
    """What was done so far."""
    steps = [step for _, step in sorted(decider.state.steps.get(work.task, {}).items()) if step.done]
    told = tuple(
        DoneStep(step.n, step.call, short(step.given), short(step.value), step.text[:1000], step.refused)
        for step in steps[-MOST:]
    )
    claims = tuple(short(step.given) for step in steps[-MOST:] if step.call == "conclude" and not step.refused)
    before = (*work.handover.before, work.handover.by) if work.handover else ()
    return Handover(decider.address(work.agent), why, decider.now_ms, told, claims, before)


# -- evolve
def fold(state: State, event: Event) -> list["Input"]:
    """Fold one fact, if it concerns who is on; what follows from it."""
    match event:
        case ShiftSet(agent=agent):
            state.duty.pop(agent, None)
            if event.how:
                state.duty[agent] = Duty(event.how, event.until_ms, event.by, event.uid, event.why, event.at_ms)
            state.changed("duty", agent, state.duty.get(agent))
            return [Relieve()]
        case ShiftAssigned(to=to):
            state.assigned[to] = Assigned(1 + max((one.seq for one in state.assigned.values()), default=0))
            state.changed("assigned", to, state.assigned[to])
        case ShiftWaits():
            parked = Parked(event.task, event.n, event.wanted, event.until_ms, event.deadline_ms, event.at_ms)
            state.parked[f"{event.task}/{event.n}"] = parked
            state.changed("parked", f"{event.task}/{event.n}", parked)
        case TaskHanded(task=task) if task in state.work:
            state.work[task].handed = True
            state.changed("task", task, state.work[task])
            return [Relieve()]
        case Hopped() if state.parked.pop(f"{event.parent}/{event.step}", None):
            state.changed("parked", f"{event.parent}/{event.step}", None)
            return [Relieve()]
        case Ended(task=task):
            for key in [key for key, parked in state.parked.items() if parked.task == task]:
                del state.parked[key]
                state.changed("parked", key, None)
    return []
