"""The built-in behaviour of boards and coordinators: where a task goes on, and what becomes of its result. Pure.

A board gives a task to the coordinator of whoever serves it, checks the reply against the contract and signs it with
its address. A coordinator gives it to the worker, and to the next who fits if that one fails or gives it up. Both pass
what their workers ask of other departments upwards: worker, coordinator, board, Mai.
"""

from typing import TYPE_CHECKING

import msgspec

from mai.agents import approvals, escalating, standby, triggers
from mai.agents.decider import Send
from mai.agents.events import Event, Hopped
from mai.agents.plain import readable
from mai.agents.state import Done, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

KEPT = "{}; it is not handed on to another, because something was changed for it, or may have been, and would be done again"


def above(department: "DepartmentDecider", agent: str) -> str:
    """Whom an agent turns to when it needs something from outside: its coordinator, the board, or "mai"."""
    found = department.own.agent(agent)
    match found.rank if found else "":
        case "board":
            return "mai"
        case "coordinator":
            return department.own.board.name
    return department.table.coordinator_of(department.own.name, agent)


def consider(department: "DepartmentDecider", work: Work, now_ms: int) -> list[Event | Send]:
    """What the agent of this work does first. Where its own code does it nothing happens here: the runner starts that."""
    if department.coded(work.agent, work.contract, work.plea):
        return []
    if work.approves:
        return department.end(work, approvals.by_rule(department, work))
    if work.plea:
        return escalating.consider(department, work, now_ms)
    if work.contract and not department.owns(work.contract):
        up = above(department, work.agent)
        return department.ask_mai(work, now_ms) if up == "mai" else department.hand(work, up, now_ms)
    return _onwards(department, work, now_ms)


def _onwards(department: "DepartmentDecider", work: Work, now_ms: int) -> list[Event | Send]:
    """To whom it fits, unless that would be a guess."""
    receiver = next_hand(department, work)
    if not receiver:
        return department.end(work, nobody(department, work))
    if why := triggers.unsure(department, work, receiver):
        return escalating.escalate(department, work, 0, why, "doubt")
    return department.hand(work, receiver, now_ms)


def nobody(department: "DepartmentDecider", work: Work) -> Done:
    """The refusal of a task that fits no agent."""
    what = f"the contract {work.contract}" if work.contract else f"{work.text[:80]!r}"
    skills = sorted({skill for agent in department.own.agents for skill in agent.skills})
    offers = f"; its skills are {', '.join(skills[:12])}" if skills else ""
    return Done("refused", "", {}, f"nobody in {department.own.name} fits {what}{offers}", department.address(work.agent), ())


def next_hand(department: "DepartmentDecider", work: Work) -> str:
    """The agent below that this work goes to now: it fits and has not had it; "" if there is none."""
    return next((hand for hand in hands(department, work) if hand not in work.tried), "")


def hands(department: "DepartmentDecider", work: Work) -> list[str]:
    """The agents below that this work may go to, best first: a board's coordinators, a coordinator's workers."""
    wanted = servers(department, work)
    if work.agent == department.own.board.name:
        wanted = [_coordinator(department, worker) for worker in wanted]
    return [name for name in dict.fromkeys(wanted) if name != work.agent]


def _coordinator(department: "DepartmentDecider", worker: str) -> str:
    found = department.own.agent(worker)
    return worker if found and found.rank == "coordinator" else department.table.coordinator_of(department.own.name, worker)


def servers(department: "DepartmentDecider", work: Work) -> list[str]:
    """Who may do this work, best first: who serves the contract and the backups, or whose skills fit the text."""
    if work.contract:
        contract = department.own.contract(work.contract.partition(".")[2])
        return with_backups(department, [contract.served_by]) if contract else []
    workers = tuple(a.name for a in department.own.agents if a.rank in ("specialist", "operator") and a.name != work.sender)
    fitting = list(dict.fromkeys((*(name for name in work.ranked if name in workers), *department.fit(work.text, workers))))
    mine = [name for name in fitting if department.table.coordinator_of(department.own.name, name) == work.agent]
    return with_backups(department, mine + [name for name in fitting if name not in mine])


def with_backups(department: "DepartmentDecider", names: list[str]) -> list[str]:
    """The same agents, each followed by its backups."""
    listed: list[str] = []
    for name in names:
        agent = department.own.agent(name)
        listed += [one for one in (name, *(agent.backups if agent else ())) if one not in listed]
    return listed


def returned(department: "DepartmentDecider", work: Work, child: str, done: Done, now_ms: int) -> list[Event | Send]:
    """What a board or coordinator does with the result of what it handed on."""
    if work.given_up or work.plea:
        return escalating.returned(department, work, child, done, now_ms)
    if done.state == "answered":
        return department.end(work, signed(department, work, done))
    name = next(iter(successors(department, work, done)), "")
    if name and (work.changed or done.changed):
        return department.end(work, kept(work, done))
    if name:
        return taken_over(department, work, child, name, done=done, now_ms=now_ms)
    return _nobody_left(department, work, child, done)


def _nobody_left(department: "DepartmentDecider", work: Work, child: str, done: Done) -> list[Event | Send]:
    """What was handed on ends so, unless it goes up."""
    if work.agent != department.own.board.name and work.switched and done.state in ("failed", "expired", "escalated"):
        return spent(department, work, child, done)
    if not triggers.late(department, work, done):
        return department.end(work, done)
    tried = escalating.tried(department, child, done)
    return escalating.escalate(department, work, 0, done.reason, "deadline", tried=(tried,), did="waited for it")


def taken_over(
    department: "DepartmentDecider", work: Work, child: str, name: str, *, done: Done, now_ms: int
) -> list[Event | Send]:
    """Another gets what one has failed at, with a receipt."""
    handed = department.hand(work, name, now_ms, rule=f"after {child}: {done.reason}"[:200])
    if not any(isinstance(one, Hopped) for one in handed):
        return handed
    return [standby.receipt(department, work, child, name, evidence=done.reason or done.state), *handed]


def spent(department: "DepartmentDecider", work: Work, child: str, done: Done) -> list[Event | Send]:
    """The chain of those who could do it is used up: those above are told what became of each."""
    last = f"{child}: {done.reason or done.state}"
    reason = readable(standby.USED_UP.format("; ".join((*work.switched, last))))
    tried = escalating.tried(department, child, done)
    return escalating.escalate(department, work, 0, reason, "fallback", tried=(tried,))


def successors(department: "DepartmentDecider", work: Work, done: Done) -> list[str]:
    """Who could have what a coordinator handed on and got back, best first."""
    if work.agent == department.own.board.name or (work.contract and not department.owns(work.contract)):
        return []
    rank = department.table.rank
    named = [name for name in follow_ups(department, work, done) if name not in (*work.tried, work.agent)]
    return [name for name in named if rank(department.own.name, name) != "board"]


def kept(work: Work, done: Done) -> Done:
    """The end of a task that another could take over, and must not: what it changed would be done again, under new keys."""
    return msgspec.structs.replace(done, reason=readable(KEPT.format(done.reason or done.state)))


def follow_ups(department: "DepartmentDecider", work: Work, done: Done) -> list[str]:
    """Who may take over: backups of those who had it, unless it was refused; after an escalation any specialist that fits."""
    if done.state == "refused":
        return []
    backups = [name for tried in work.tried if (agent := department.own.agent(tried)) for name in agent.backups]
    if done.state != "escalated" or work.contract:
        return backups
    specialists = tuple(a.name for a in department.own.agents if a.rank == "specialist")
    return backups + [name for name in department.fit(work.text, specialists) if name not in backups]


def signed(department: "DepartmentDecider", work: Work, done: Done) -> Done:
    """The department stands behind it; what may not leave is kept back at its border (leaving.py)."""
    if work.agent != department.own.board.name or not department.owns(work.contract or department.own.name + "."):
        return done
    return msgspec.structs.replace(done, sources=tuple(sorted({*done.sources, department.own.name})))
