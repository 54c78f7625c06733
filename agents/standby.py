"""Who stands in for whom inside a department: by the breakers before a task is handed on, by its end afterwards. Pure.

A worker whose breaker is open gets no task but the one that tries; its backups get the others, in their order, theirs behind
them. Where nobody is left the task is escalated, with what speaks against each. What the ranks forbid stays forbidden.

A failure counts against an agent if it is its own: no step of its task failed or is open, and it had its time.
"""

from typing import TYPE_CHECKING, NamedTuple

from mai.agents import breaker, duty, escalating, fallback
from mai.agents.breaker import SLOW_SHARE, How
from mai.agents.decider import Send
from mai.agents.events import Event, Stepped
from mai.agents.fallback import FallbackSwitched, key
from mai.agents.inputs import Call
from mai.agents.organisation import Agent
from mai.agents.plain import readable
from mai.agents.state import Done, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

WORKERS = ("specialist", "operator")
DEEP = ("ask", "hand", "model", "tool", "escalate")  # steps whose failure is another's
USED_UP = "nobody is left who could do it: {}"


class Route(NamedTuple):
    """To whom a task goes, and what goes on record of that before it does; or why it goes to nobody."""

    to: str
    events: list[Event | Send]
    why: str = ""


# -- whom a task goes to
def route(department: "DepartmentDecider", work: Work, receiver: str, now_ms: int, call: Call | None) -> Route:
    """The receiver, or who is on for it, if it may be asked now; else the first of its backups that may. To nobody: it waits."""
    turn = duty.assign(department, work, receiver, now_ms, call)
    if not turn.to:
        return Route("", [*turn.events], turn.why)
    receiver, events = turn.to, list[Event | Send](turn.events)
    spoken: list[str] = []
    for name in (receiver, *chain(department, work, receiver)):
        known = breaker.of(department.state.breakers, key("agent", name))
        if not known.lets(now_ms) and _works(department, name):
            spoken.append(f"{name}: {known.evidence()}")
            continue
        if spoken:
            why = breaker.of(department.state.breakers, key("agent", receiver)).evidence()
            events.append(receipt(department, work, receiver, name, evidence=f"not asked after {why}", tried=False))
        task = f"{work.task}.{work.children + 1}"
        events += fallback.probe(department.state, "agent", name, task, request=work.request, task=work.task)
        return Route(name, events)
    return Route("", [], readable(USED_UP.format("; ".join((*work.switched, *spoken)))))


def _works(department: "DepartmentDecider", name: str) -> bool:
    agent = department.own.agent(name)
    return agent is not None and agent.rank in WORKERS


def chain(department: "DepartmentDecider", work: Work, name: str) -> list[str]:
    """All who could stand in for an agent, in their order: its backups, then theirs; nobody who has had the task."""
    found: list[str] = []
    queue = [name]
    while queue:
        agent = department.own.agent(queue.pop(0))
        for backup in agent.backups if agent else ():
            if backup not in (name, work.agent, work.sender, *found):
                found.append(backup)
                queue.append(backup)
    fresh = (one for one in found if one not in work.tried)
    return [one for one in fresh if department.table.hop(department.own.name, work.agent, one).allowed]


def limit_ms(department: "DepartmentDecider", work: Work, agent: Agent, now_ms: int) -> int:
    """Until when an agent has a task: who has backups, and no time of its own, leaves half of what is left to them."""
    if agent.task_s:
        return now_ms + int(agent.task_s * 1000)
    whole_ms = now_ms + int(department.limits.task_s * 1000)
    if not chain(department, work, agent.name):
        return whole_ms
    return min(whole_ms, now_ms + (work.deadline_ms - now_ms) // 2)


def used_up(department: "DepartmentDecider", work: Work, why: str, call: Call | None) -> list[Event | Send]:
    """The end of a chain: those above are told, with the evidence of every link."""
    if call is None:
        return escalating.escalate(department, work, 0, why, "fallback")
    stepped = Stepped(
        request=work.request, task=work.task, agent=work.agent, n=call.n, call=call.call, refused=why,
        state="escalated" if call.call == "hand" else "failed",
    )  # fmt: skip
    return [stepped]


# -- receipts
def receipt(
    department: "DepartmentDecider", work: Work, name: str, to: str, *, evidence: str, tried: bool = True
) -> FallbackSwitched:
    """Who gets what was another's to do, on what evidence, and what is given up with that."""
    return FallbackSwitched(
        request=work.request, task=work.task, what="agent", name=name, to=to, evidence=fallback.evidence(evidence),
        gives_up=gives_up(department.own.agent(name), department.own.agent(to)), at_ms=department.now_ms, tried=tried,
    )  # fmt: skip


def gives_up(left: Agent | None, to: Agent | None) -> str:
    """What an answer may lack that comes from another, as far as the organisation file says it."""
    if to is None or left is None:
        return ""
    if to.quality:
        return to.quality
    said = []
    if _how(left) != _how(to):
        said.append(f"{_how(to)} answers instead of {_how(left)}")
    if left.rank != to.rank:
        said.append(f"of rank {to.rank} instead of {left.rank}")
    if missing := [skill for skill in left.skills if skill not in to.skills]:
        said.append(f"without the skills {', '.join(missing[:5])}")
    return "; ".join(said)


def _how(agent: Agent) -> str:
    match agent.kind:
        case "model":
            return f"the model {agent.model}" if agent.model else "a model"
        case "command":
            return "a program"
        case "python":
            return "a function"
    return "the built-in behaviour"


def after(department: "DepartmentDecider", work: Work, call: Call) -> list[Event | Send]:
    """The receipt for a task that code of a coordinator hands on again, after it has failed with somebody."""
    steps = department.state.steps.get(work.task, {})
    before = [step for n, step in sorted(steps.items()) if step.call == "hand" and step.done and n < call.n]
    if call.call != "hand" or not before or not before[-1].state:
        return []
    last = before[-1]
    return [receipt(department, work, str(last.given["to"]), call.to, evidence=last.refused or last.state)]


# -- how a task went
def noted(department: "DepartmentDecider", work: Work, done: Done, now_ms: int) -> list[Event]:
    """What goes on record of an agent when its task ends."""
    how = _how_it_went(department, work, done, now_ms)
    if not how:
        return []
    why = done.reason if how == "sick" else f"it took {now_ms - work.since_ms} ms"
    state, name = department.state, work.agent
    return fallback.note(state, "agent", name, work.task, how=how, now_ms=now_ms, request=work.request, task=work.task, why=why)


def _how_it_went(department: "DepartmentDecider", work: Work, done: Done, now_ms: int) -> How | None:
    """Well, slow or sick; None if its end says nothing of the agent."""
    agent = department.own.agent(work.agent)
    if agent is None or agent.rank not in WORKERS or not department.coded(work.agent, work.contract, work.plea):
        return None
    own_ms = (agent.task_s or department.limits.task_s / (2 if agent.backups else 1)) * 1000
    slow_ms = agent.slow_s * 1000 or own_ms * SLOW_SHARE
    took_ms = now_ms - work.since_ms if work.since_ms else 0
    match done.state:
        case "answered":
            return "slow" if agent.backups and took_ms > slow_ms else "well"
        case "refused":
            return "well"
        case "failed" if _own(department, work) and (agent.backups or not done.breach):  # who only says too much works
            return "sick"
        case "expired" if _own(department, work) and took_ms >= min(slow_ms, own_ms * SLOW_SHARE):
            return "sick"
    return None


def _own(department: "DepartmentDecider", work: Work) -> bool:
    """Is it the agent's own failure? Not if something that it asked for has failed, or has not come."""
    steps = department.state.steps.get(work.task, {}).values()
    return not any(step.call in DEEP and (not step.done or step.state) for step in steps)
