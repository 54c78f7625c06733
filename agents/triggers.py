"""What goes up without a word of an agent's code: a refusal that it does not handle, a deadline, a doubt. Pure.

    refusal    a step was refused at once (a hop, a contract, a tool; by the department or by Mai), and the code ends with that
    deadline   who was given a task has not ended in his time, nobody stands in for him, and who waits for him has time left
    doubt      two workers fit a free text about as well

How far each goes says `[escalation]`: to the board, or on to a person. Where it ends there undecided, the task ends as it would
have ended without.
"""

from typing import TYPE_CHECKING, Final

from mai.agents import duty
from mai.agents.body import Outcome
from mai.agents.decider import Send
from mai.agents.escalation_messages import Cause, Plea
from mai.agents.events import Event
from mai.agents.plain import readable
from mai.agents.state import Done, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

LEAST_MS: Final = 1000  # that who waits has left: with less nobody above could do anything
ENDS: Final[dict[Cause, Outcome]] = {"refusal": "refused", "deadline": "expired", "doubt": "refused"}  # others: failed
UNSURE: Final = "it is not clear whom it is for: {}"
TO: Final = "to"  # the field of an answer that says so
TOLD: Final = 5  # who it might be for


def ends_here(department: "DepartmentDecider", plea: Plea) -> bool:
    """Does an escalation end with the board, which has not decided it?"""
    return department.mandate.organisation.escalation.level(plea.cause) != "person"


def undecided(department: "DepartmentDecider", work: Work, plea: Plea) -> list[Event | Send]:
    """Its end there: as if nobody had been asked."""
    done = Done(ENDS.get(plea.cause, "failed"), "", {}, plea.reason, plea.agent, ())
    return department.end(work, done)


# -- an end of code by a step
def cause(department: "DepartmentDecider", work: Work, n: int) -> Cause:
    """Why it goes up that code ends by what came of its step `n`; "" if it does not. What others have decided does not."""
    step = department.state.steps.get(work.task, {}).get(n)
    if step is None or not step.refused or work.approves or work.case:
        return ""
    if step.state == "expired" and step.call == "hand" and step.by == department.address(step.given["to"]):
        return "deadline" if not (work.given_up or work.plea) and _has_time(department, work) else ""
    at_once = not step.state and step.call != "escalate" and step.approval is None and step.by in ("", department.mai)
    return "refusal" if at_once and department.mandate.organisation.escalation.refusal != "no" else ""


# -- deadline
def late(department: "DepartmentDecider", work: Work, done: Done) -> bool:
    """Does it go up that what a built-in coordinator or board has handed on was not done in time?"""
    passed_by = work.approves or work.case or (work.contract and not department.owns(work.contract))
    return done.state == "expired" and not passed_by and _has_time(department, work)


def _has_time(department: "DepartmentDecider", work: Work) -> bool:
    settings = department.mandate.organisation.escalation
    patient = settings.deadline == "person" and settings.person_s > 0
    return settings.deadline != "no" and (patient or work.deadline_ms - department.now_ms >= LEAST_MS)


# -- doubt
def unsure(department: "DepartmentDecider", work: Work, receiver: str) -> str:
    """Among whom a coordinator would have to guess, in words; "" if it would not."""
    settings = department.mandate.organisation.escalation
    own = department.own.agent(work.agent)
    if settings.doubt == "no" or work.contract or work.ranked or own is None or own.rank != "coordinator":
        return ""
    rivals = tuple(one for one in _below(department, work) if one == receiver or not _alike(department, one, receiver))
    shares = department.shares(work.text, rivals)
    best = shares.get(receiver, 0.0)
    near = [name for name, share in shares.items() if name != receiver and best - share < settings.margin]
    if receiver not in shares or not near:
        return ""
    said = [f"{name} ({shares[name]:.0%} of its words)" for name in (receiver, *near)[:TOLD]]
    return readable(UNSURE.format(" or ".join(said)))


def _below(department: "DepartmentDecider", work: Work) -> list[str]:
    """The workers to whom a coordinator may hand what comes to it."""
    table, own = department.table, department.own
    names = [one.name for one in own.agents if one.rank in ("specialist", "operator")]
    return [
        name for name in names if table.coordinator_of(own.name, name) == work.agent and name not in (work.sender, *work.tried)
    ]


def _alike(department: "DepartmentDecider", one: str, other: str) -> bool:
    """Is it the same who of these two gets it? They are of a team, stand in for each other, or can do the same."""
    agents = department.own.agent(one), department.own.agent(other)
    first, second = agents
    if first is None or second is None:
        return True
    stands_in = one in second.backups or other in first.backups or one in duty.team(department.own.shifts, other)
    return stands_in or {*first.skills} == {*second.skills}


def chosen(department: "DepartmentDecider", work: Work, done: Done) -> str:
    """Whom those above have named for a task that was in doubt; "" if nobody who may have it."""
    name = done.value.get(TO)
    if not work.unsure or done.state != "answered" or not isinstance(name, str) or name in work.tried:
        return ""
    verdict = department.table.hop(department.own.name, work.agent, name)
    return name if verdict.allowed and department.own.agent(name) else ""
