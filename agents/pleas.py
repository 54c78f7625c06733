"""Approvals as a department keeps them: which call one is bound to, which steps wait for one, and what its facts do. Pure."""

import hashlib
from typing import Any, Final, NamedTuple

import msgspec

from mai.agents.approval_messages import Word
from mai.agents.approval_records import ApprovalAsked, ApprovalDecided, ApprovalExpired, ApprovalReferred, ApprovalUsed
from mai.agents.canonical import digest
from mai.agents.decider import Input
from mai.agents.inputs import Call
from mai.agents.state import Approving, State, Step, Work

OPEN: Final = ("board", "person", "approved")  # where an approval is that was not used
PENDING: Final = ("board", "person")
Fact = ApprovalReferred | ApprovalDecided | ApprovalUsed | ApprovalExpired


class Plea(NamedTuple):
    """A step that waits for an approval."""

    work: Work
    n: int
    call: str  # tool, ask, conclude
    given: Any
    one: Approving

    @property
    def names(self) -> dict[str, Any]:
        """What all records about it have."""
        work = self.work
        return {"request": work.request, "task": work.task, "agent": work.agent, "n": self.n, "id": self.one.id}


# -- which call it is
def digest_of(given: Any) -> str:
    """The digest of what something is called with."""
    return hashlib.sha256(msgspec.json.encode(given, order="deterministic")).hexdigest()


def arguments_of(call: str, given: Any) -> str:
    """The digest that an approval of this call is bound to. Of a claim: to as much of it as Mai is told, too."""
    if call != "conclude":
        return digest_of(given)
    return claimed(given["subject"], given["attribute"], digest(given["value"]), given["confidence"])


def claimed(subject: str, attribute: str, value: str, confidence: float) -> str:
    """The same of a claim, by the digest of its value."""
    return digest_of([subject, attribute, value, float(confidence)])


def shown_of(call: str, given: Any) -> Any:
    """What somebody is shown of it who decides about it."""
    return given if call == "conclude" else given["input"]


def name_of(department: str, call: str, given: Any) -> str:
    """What is called, by its full name: "sales.order", "support.refund", "customer/4711 risk"."""
    match call:
        case "ask":
            return str(given["to"])
        case "conclude":
            return f"{given['subject']} {given['attribute']}"
    return f"{department}.{given['tool']}"


def binding(asked: ApprovalAsked, agent: str) -> str:
    """The id of an approval: it binds what is said to one call, of one agent (an address) in one step, under one organisation."""
    return bound(agent, (asked.task, asked.n, asked.count), asked.call, asked.name, asked.arguments, asked.organisation)


def bound(agent: str, step: tuple[str, int, int], call: str, name: str, arguments: str, organisation: str) -> str:  # noqa: PLR0917
    """The same, by its parts; `step`: the task, the step of it, and how often that was judged so."""
    return digest_of([agent, *step, call, name, arguments, organisation])


def word(one: Approving | None, task: str, n: int) -> Word | None:
    """What Mai is told of the approval that a call has; None if it needed none."""
    if one is None or one.at not in ("approved", "used"):
        return None
    return Word(one.id, task, n, one.count, one.by, one.at_ms)


def approving(asked: ApprovalAsked) -> Approving:
    """An approval as it stands when it was asked for."""
    return Approving(
        asked.id, asked.name, asked.arguments, asked.organisation, asked.clause, asked.policies, asked.why, asked.at_ms,
        asked.expires_ms, asked.persons, asked.approvers, asked.requester, asked.verdict, count=asked.count,
    )  # fmt: skip


def vouched(state: State, work: Work, n: int) -> Word | None:
    """The same of what goes to Mai as an ask: of this step, or of the step below for which this work passes it on."""
    while not n and (above := state.work.get(work.parent)):
        work, n = above, work.step
    step = state.steps.get(work.task, {}).get(n)
    return word(step.approval if step else None, work.task, n)


# -- which steps wait
def waiting(state: State, task: str, n: int) -> Plea | None:
    """A step that waits for an approval, or has one that was not used; None if it does not, or its task has ended."""
    work, step = state.work.get(task), state.steps.get(task, {}).get(n)
    if work is None or step is None or step.done or step.approval is None or step.approval.at not in OPEN:
        return None
    return Plea(work, n, step.call, step.called, step.approval)


def deciding(state: State, work: Work | None) -> bool:
    """Is this work, or one that it is a part of, a board's about an approval?"""
    while work is not None and not work.approves:
        work = state.work.get(work.parent)
    return work is not None


def waits_for(state: State, work: Work) -> str:
    """The end of a sentence about a task that did not end in time: which approval it, or what it handed on, waits for."""
    tasks = [task for task in state.steps if task == work.task or task.startswith(f"{work.task}.")]
    open_ = [step.approval for task in tasks for step in state.steps[task].values() if step.approval and not step.done]
    one = next((one for one in open_ if one.at in PENDING), None)
    return f": {one.name} waited for an approval that nobody has given; see: mai approvals show {one.id[:16]}" if one else ""


# -- evolve
def fold(state: State, event: ApprovalAsked | Fact) -> list[Input]:
    """Fold a fact of these kinds; that of a task which has ended is on record, and no more.

    A call to another department follows when it is approved, or to be judged anew; tools are called by tool_steps.py.
    """
    if isinstance(event, ApprovalAsked):
        if event.task in state.work:
            step = state.steps.get(event.task, {}).get(event.n) or Step(event.n, event.call, event.given)
            step.approval = approving(event)
            _keep(state, event.task, step)
            state.approvals.put(f"{event.task}/{event.n}", event.expires_ms)
        return []
    plea = waiting(state, event.task, event.n)
    if plea is None or plea.one.id != event.id:
        return []
    _fold(event, plea.one)
    if plea.one.at not in PENDING:
        state.approvals.drop(f"{event.task}/{event.n}")
    _keep(state, event.task, state.steps[event.task][event.n])
    goes_on = isinstance(event, ApprovalDecided) and plea.one.at == "approved"
    again = isinstance(event, ApprovalExpired) and event.again
    return [Call(event.task, event.n, "ask", plea.given)] if plea.call == "ask" and (goes_on or again) else []


def _fold(event: Fact, one: Approving) -> None:
    match event:
        case ApprovalReferred():
            one.at, one.persons = "person", event.persons
            one.by = (event.by,) if event.how == "approved" else one.by
        case ApprovalDecided(late=""):
            one.at, one.by = ("approved" if event.approved else "over"), event.by
        case ApprovalUsed():
            one.at = "used"
        case ApprovalExpired():
            one.at = "over"


def _keep(state: State, task: str, step: Step) -> None:
    state.steps.setdefault(task, {})[step.n] = step
    state.changed("step", f"{task}/{step.n}", step)


def ended(state: State, task: str) -> None:
    """A task ends: nothing of its steps expires any more."""
    for n in state.steps.get(task, ()):
        state.approvals.drop(f"{task}/{n}")


def load(state: State) -> None:
    """What was pending when the steps were loaded."""
    for task, steps in state.steps.items():
        for n, step in steps.items():
            if not step.done and step.approval and step.approval.at in PENDING:
                state.approvals.put(f"{task}/{n}", step.approval.expires_ms)
