"""What a department's facts do to its state: the other half of department.py, which decides them. Pure.

Every change of a row is noted on the state, for the shell to write in the transaction of the fact's record.
"""

from mai.agents import allowance, claims, duty, effects, fallback, memory, orders, pleas, quarantine, tool_backups
from mai.agents.approval_records import ApprovalAsked, ApprovalDecided, ApprovalExpired, ApprovalReferred, ApprovalUsed
from mai.agents.decider import Input, fold_link
from mai.agents.events import Asked, Begun, Ended, Event, Hopped, Interrupted, Stepped
from mai.agents.inputs import Back, Consider
from mai.agents.state import Done, State, Step, Work


def evolve(state: State, event: Event, seq: int) -> list[Input]:
    """Fold one fact; returns what has to be decided because of it."""
    if fold_link(state, event, seq):
        return []
    allowance.fold(state, event)
    relieved = duty.fold(state, event)
    return [*_evolve(state, event, seq), *relieved]


def _evolve(state: State, event: Event, seq: int) -> list[Input]:
    match event:
        case Hopped():
            return _hopped(state, event)
        case Begun(task=task) if task in state.work:
            state.work[task].begun, state.work[task].code = True, event.code
            state.changed("task", task, state.work[task])
        case Interrupted(task=task) if task in state.work:
            quarantine.interrupted(state.work[task], event.traceback)
            state.changed("task", task, state.work[task])
        case Asked() if event.task in state.work:
            before = state.steps.get(event.task, {}).get(event.n)
            step = Step(event.n, event.call, event.given, approval=before.approval if before else None, at_ms=event.at_ms)
            if before and before.stands:
                step.given, step.stands, step.count = before.given, before.stands, before.count + 1
            effects.keep(state, event.task, step)
        case Stepped(task=task) if task in state.work:
            _stepped(state, event)
        case Ended(task=task) if task in state.work:
            return _ended(state, event, state.work[task])
        case claims.Claimed() | claims.RulingTold():
            claims.fold(state, event, seq)
        case fallback.FallbackSwitched():
            _switched(state, event)
        case ApprovalAsked() | ApprovalReferred() | ApprovalDecided() | ApprovalUsed() | ApprovalExpired():
            return pleas.fold(state, event)
        case _ if not (memory.fold(state, event) or fallback.fold(state, event)):
            orders.fold(state, event)
    return []


def _switched(state: State, event: fallback.FallbackSwitched) -> None:
    fallback.fold(state, event)
    if event.what == "tool":
        effects.stands_in(state, event.task, event.n, event.to, tried=event.tried)
    if event.what == "agent" and (work := state.work.get(event.task)):
        work.switched = (*work.switched, f"{event.name}: {event.evidence}")
        state.changed("task", work.task, work)


def _hopped(state: State, event: Hopped) -> list[Input]:
    work = Work(
        event.task, event.request, event.parent, event.step, event.sender, event.agent, event.asker, event.contract,
        event.text, event.input, event.deadline_ms, event.hops, event.watch, ranked=event.ranked,
        since_ms=event.at_ms, correction=event.correction, approves=event.approves, allow=event.allow, plea=event.plea,
        case=event.case, handover=event.handover,
    )  # fmt: skip
    quarantine.arrived(state, work)
    state.work[work.task] = work
    state.changed("task", work.task, work)
    if parent := state.work.get(work.parent):
        parent.children += 1
        if not work.step:
            parent.tried = (*parent.tried, work.agent)
        state.changed("task", parent.task, parent)
    return [Consider(work.task)]


def _stepped(state: State, event: Stepped) -> None:
    asked = state.steps.get(event.task, {}).get(event.n)
    given = asked.given if asked and event.given is None else event.given
    step = Step(
        event.n, event.call, given, True, event.value, event.refused, event.state, event.text, event.by, event.sources,
        changed=event.changed, breach=event.breach,
    )  # fmt: skip
    effects.keep(state, event.task, step)
    if event.changed:
        effects.touch(state, event.task)
    if event.sources:
        work = state.work[event.task]
        work.sources = tuple(sorted({*work.sources, *event.sources}))
        state.changed("task", work.task, work)


def _ended(state: State, event: Ended, work: Work) -> list[Input]:
    quarantine.ended(state, work)
    fallback.let_go(state, "agent", work.agent, work.task)
    tool_backups.ended(state, work.task)
    if event.changed:
        effects.touch(state, work.task)
    del state.work[work.task]
    state.changed("task", work.task, None)
    pleas.ended(state, work.task)
    for n in state.steps.pop(work.task, {}):
        state.changed("step", f"{work.task}/{n}", None)
    if not work.parent or work.released or work.handed:
        return []
    done = Done(event.state, event.text, event.value, event.reason, event.by, event.sources, breach=event.breach)
    return [Back(work.parent, work.step, work.agent, done, work.approves)]
