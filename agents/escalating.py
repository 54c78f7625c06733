"""Escalations inside a department: what somebody cannot do goes up, rank by rank, and the answer comes back the same way. Pure.

    a step of code, `ctx.escalate`: escalated, and a hop to who is above → its end → the step's outcome; the code goes on
    a task as a whole (its code has ended, or is built in): the same, and what comes back is the task's end
    a board: escalated, and Escalate to Mai → escalation.parked: it may take longer → Ruled, a person's answer

Who gets it sees what was tried (`Plea.tried`), and adds what he has tried himself before he hands it up. A coordinator gives it
to others who might do it, unless something was changed for it; a board without code of its own passes it on to a person.
"""

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from mai.agents.decider import Send, sooner_ms
from mai.agents.effects import cut
from mai.agents.escalation_messages import Cause, Escalate, Parked, Plea, Ruled, Try, Withdrawn
from mai.agents.events import Escalated, Event, Hopped, register
from mai.agents.plain import readable
from mai.agents.state import Done, State, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

UP: Final = ".e"  # marks the id of what goes to Mai; behind it the step's number, 0 for the task as a whole
MOST_TRIED: Final = 40  # things that were tried, of which a plea tells
TRIED_CHARS: Final = 300  # of why each did not help
REASON_CHARS: Final = 1000
TEXT_CHARS: Final = 4000  # of a task's text that a person is shown
NO_MORE: Final = "nobody waits for it any more"
VERBS: Final[dict[str, str]] = {
    "choice": "gave it up", "refusal": "refused it", "failure": "failed at it", "deadline": "did not end in time",
    "fallback": "found nobody left who could do it", "doubt": "did not know whom it is for", "budget": "had used up its budget",
    "difference": "would have done other things than before an interruption",
}  # fmt: skip
ENDED: Final[dict[str, Cause]] = {"refused": "refusal", "failed": "failure", "expired": "deadline", "escalated": "choice"}


class EscalationParked(Event, frozen=True, kw_only=True):
    """What a task waits for is with a person: this task, and those above it, have until then."""

    kind: ClassVar[str] = "escalation.parked"
    request: str
    task: str
    id: str
    owner: str
    due_ms: int
    deadline_ms: int


register(EscalationParked)


# -- up
def escalate(
    department: "DepartmentDecider", work: Work, n: int, reason: str, cause: Cause, *, tried: tuple[Try, ...] = (), did: str = ""
) -> list[Event | Send]:
    """A work, or the step `n` of its code, goes to who is above; `tried` is what this agent has had tried, `did` what he did."""
    from mai.agents import leaving, triggers
    from mai.agents.behaviour import above

    reason = leaving.said_upwards(department, work, reason)
    if work.approves:  # what a board does not decide about goes to persons as what it is (approvals.py)
        noted = Escalated(request=work.request, task=work.task, agent=work.agent, reason=reason)
        return [noted, *department.end(work, Done("escalated", "", {}, reason, department.address(work.agent), ()))]
    me, reason = department.address(work.agent), readable(reason, REASON_CHARS)
    before = work.plea or Plea(me, reason, cause)
    said = Try(me, did or VERBS[cause], readable(reason, TRIED_CHARS), department.now_ms)
    plea = msgspec.structs.replace(before, tried=bounded((*before.tried, *stood_in(department, work), *tried, said)))
    up = above(department, work.agent) or department.own.board.name
    if up == "mai" and triggers.ends_here(department, plea):
        return triggers.undecided(department, work, plea)
    noted = Escalated(request=work.request, task=work.task, agent=work.agent, reason=reason, n=n, cause=cause, to=up)
    if up == "mai":
        return [noted, Send(department.mai, ident(work, n), 0, _to_mai(department, work, n, plea))]
    hopped = Hopped(
        request=work.request, task=f"{work.task}.{work.children + 1}", parent=work.task, sender=work.agent, agent=up,
        asker=work.asker, contract=work.contract, text=work.text, input=work.input,
        deadline_ms=sooner_ms(department.now_ms, work.deadline_ms), hops=work.hops, rule=f"{work.agent} escalates to {up}",
        watch=work.watch, step=n, at_ms=department.now_ms, correction=work.correction, plea=plea, up=True,
    )  # fmt: skip
    return [noted, hopped]


def bounded(tried: tuple[Try, ...]) -> tuple[Try, ...]:
    """The first ones say how it began, the last ones how it stands."""
    half = MOST_TRIED // 2
    return tried if len(tried) <= MOST_TRIED else (*tried[:half], *tried[-half:])


def stood_in(department: "DepartmentDecider", work: Work) -> tuple[Try, ...]:
    """Those of whom it is on record what spoke against them."""
    pairs = [one.partition(": ") for one in work.switched]
    return tuple(
        Try(department.address(who), "did not do it", readable(why, TRIED_CHARS), department.now_ms) for who, _, why in pairs
    )


def _to_mai(department: "DepartmentDecider", work: Work, n: int, plea: Plea) -> Escalate:
    from mai.agents.leaving import is_inside, shown_upwards

    whole, given = shown_upwards(department, work)
    shown = cut(given)
    given = shown if isinstance(shown, dict) else {"cut": shown}
    text = whole if len(whole) <= TEXT_CHARS else f"{whole[:TEXT_CHARS]} … ({len(whole)} characters)"
    final = n == 0 and not is_inside(department, work)
    return Escalate(
        ident(work, n), work.request, work.task, work.asker, work.contract, text, given, plea, work.deadline_ms, final
    )


def ident(work: Work, n: int) -> str:
    """The id of an escalation: a task escalates once as a whole, and once at each step."""
    return f"{work.task}{UP}{n}"


# -- who is asked
def consider(department: "DepartmentDecider", work: Work, now_ms: int) -> list[Event | Send]:
    """What the built-in behaviour of a board or coordinator does with an escalation: another hand, else those above."""
    return _next(department, work, "", None, now_ms)


def _next(department: "DepartmentDecider", work: Work, child: str, done: Done | None, now_ms: int) -> list[Event | Send]:
    """The next hand, who is told of those before; `child` is who has just failed at it, and how."""
    from mai.agents import standby

    plea, had = work.plea, (tried(department, child, done),) if done else ()
    assert plea is not None, "what is considered here has one"
    again = changed(department, work)
    name = "" if again else next(iter(solvers(department, work)), "")
    if name:
        handed = department.hand(work, name, now_ms, rule=f"{work.agent} gives it to another")
        told = msgspec.structs.replace(plea, tried=bounded((*plea.tried, *stood_in(department, work), *had)))
        hops = [msgspec.structs.replace(one, plea=told) if isinstance(one, Hopped) else one for one in handed]
        if done is None or not any(isinstance(one, Hopped) for one in hops):
            return hops
        return [standby.receipt(department, work, child, name, evidence=done.reason or done.state), *hops]
    if work.agent == department.own.board.name:
        cause = plea.cause or "choice"
        return escalate(department, work, 0, "nobody in the department decides it", cause, tried=had, did="passed it on")
    why = "something was changed for it, so no other may do it again" if again else "nobody else is left for it"
    return escalate(department, work, 0, why, "fallback", tried=had)


def solvers(department: "DepartmentDecider", work: Work) -> list[str]:
    """Whom a coordinator can still give an escalation to: backups of who gave it up, and whom a free text fits."""
    from mai.agents.behaviour import follow_ups

    if work.agent == department.own.board.name or work.plea is None or (work.contract and not department.owns(work.contract)):
        return []
    had = [*(one.who.rpartition("/")[2] for one in work.plea.tried), *work.tried]
    about = msgspec.structs.replace(work, tried=tuple(had))
    named = follow_ups(department, about, Done("escalated", "", {}, "", "", ()))
    table, own = department.table, department.own.name
    fresh = [name for name in dict.fromkeys(named) if name not in (*had, work.agent, work.sender)]
    return [name for name in fresh if table.rank(own, name) != "board" and table.hop(own, work.agent, name).allowed]


def changed(department: "DepartmentDecider", work: Work) -> bool:
    """Was anything changed for what is escalated? Then another would do it again."""
    parent = department.state.work.get(work.parent)
    return work.changed or (parent is not None and parent.changed)


def had(department: "DepartmentDecider", work: Work, receiver: str) -> str:
    """Why an escalation may not be handed to an agent; "" if it may: who has given it up does not get it again."""
    if work.plea is None or department.address(receiver) not in (one.who for one in work.plea.tried):
        return ""
    return f"{receiver} has had it, and could not do it"


# -- back
def returned(department: "DepartmentDecider", work: Work, child: str, done: Done, now_ms: int) -> list[Event | Send]:
    """What comes back to a work that was escalated as a whole is its end; what another hand gives to an escalation ends it."""
    from mai.agents import triggers
    from mai.agents.behaviour import signed

    if name := triggers.chosen(department, work, done):
        return department.hand(work, name, now_ms, rule=f"{done.by} says that it is for {name}"[:200])
    if done.state == "answered":
        return department.end(work, signed(department, work, done))
    if work.given_up:
        return department.end(work, done)
    return _next(department, work, child, done, now_ms)


def tried(department: "DepartmentDecider", child: str, done: Done) -> Try:
    """What came of what was handed to an agent."""
    why = readable(done.reason or done.state, TRIED_CHARS)
    return Try(department.address(child), VERBS[ENDED[done.state]], why, department.now_ms)


def ruled(department: "DepartmentDecider", body: Ruled) -> list[Event | Send]:
    """A person's answer, or that there is none: the step's outcome, or the end of the task that waits for it."""
    from mai.agents.behaviour import signed

    work, n = waiting(department.state, body.id)
    if work is None:
        return []  # it has ended meanwhile, and Mai was told
    done = Done(body.state, body.text, body.value, readable(body.reason), body.by, ())
    if n:
        return [department.stepped(work, n, "" if done.state == "answered" else done.reason or done.state, done)]
    answered = done.state == "answered"
    return department.end(work, signed(department, work, done) if answered else done, ruled=True)


def parked(department: "DepartmentDecider", body: Parked) -> list[Event | Send]:
    """What a task of this department waits for is with a person."""
    if body.task not in department.state.work:
        return []
    return [
        EscalationParked(
            request=body.request, task=body.task, id=body.id, owner=body.owner, due_ms=body.due_ms, deadline_ms=body.deadline_ms
        )
    ]


def waiting(state: State, ident: str) -> tuple[Work | None, int]:
    """The open work that waits for the answer to an escalation, and its step; None if nobody does."""
    task, _, number = ident.rpartition(UP)
    work, n = state.work.get(task), int(number) if number.isdecimal() else -1
    if work is None or n not in open_at_mai(state, work):
        return None, n
    return work, n


def open_at_mai(state: State, work: Work) -> tuple[int, ...]:
    """The steps of a work whose escalations are with Mai; 0 is the work as a whole."""
    return tuple(n for n in work.asked_up if n == 0 or not state.steps[work.task][n].done)


def with_persons(state: State) -> int:
    """How many open works do nothing but wait for a person, themselves or by what they have handed on."""
    found: set[str] = set()
    for work in state.work.values():
        task = work.task if work.asked_up and open_at_mai(state, work) else ""
        while task and task not in found and task in state.work:
            found.add(task)
            task = state.work[task].parent
    return len(found)


# -- the end of who waits
def left(department: "DepartmentDecider", work: Work, *, ruled: bool) -> list[Event | Send]:
    """What has to happen to a work's own escalations before its end: nobody is kept busy for what nobody waits for."""
    state, found = department.state, list[Event | Send]()
    for n in () if ruled else open_at_mai(state, work):
        found.append(Send(department.mai, f"{ident(work, n)}-", 0, Withdrawn(ident(work, n), work.request, work.task, NO_MORE)))
    below = [one for one in state.work.values() if one.parent == work.task and one.plea] if work.children else []
    for one in below:
        found += department.end(one, Done("refused", "", {}, NO_MORE, department.address(one.agent), ()))
    return found


# -- evolve
def fold(state: State, event: Event) -> None:
    """Fold what concerns an escalation."""
    match event:
        case Escalated(cause=cause, task=task) if cause and task in state.work:
            work = state.work[task]
            work.given_up = work.given_up or event.n == 0
            work.unsure = work.unsure or (event.cause == "doubt" and work.plea is None)
            if event.to == "mai":
                work.asked_up = (*work.asked_up, event.n)
            state.changed("task", task, work)
        case EscalationParked():
            _extend(state, event.task, event.deadline_ms)


def _extend(state: State, task: str, deadline_ms: int) -> None:
    """More time for a task and all above it; each of these has a little more than what it waits for."""
    while work := state.work.get(task):
        work.deadline_ms = max(work.deadline_ms, deadline_ms)
        state.changed("task", task, work)
        task, deadline_ms = work.parent, deadline_ms + 1


def answered(state: State, work: Work, n: int) -> Done | None:
    """The answer to an escalation as the end of the task: to the step `n`, or to the last one, if that was an escalation."""
    steps = state.steps.get(work.task, {})
    last = steps.get(n or max(steps, default=0))
    if last is None or last.call != "escalate" or not last.done or last.refused:
        return None
    return Done("answered", last.text, last.value or {}, "", last.by, last.sources)
