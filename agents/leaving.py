"""What a department does at its own border: nothing leaves that its scope keeps back, in replies, refusals and requests. Pure.

Workers' code is held to it first, the board's answer once more, and what a scope cannot say of a free text is looked for in
it: a value that stood in a withheld field of what the code has seen in this task. The whole of what is kept back stands in
the department's own journal; outside there is a rule and a sentence that says no more.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from mai.agents.body import Fields
from mai.agents.data_scope import Way, is_department, neutral, said, secrets, under
from mai.agents.events import Event, ReplyBreached
from mai.agents.inputs import Call
from mai.agents.messages import Result
from mai.agents.plain import readable
from mai.agents.state import Done, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

LEAKS = "it says what stands in a field that {} withholds"


def way_of(department: "DepartmentDecider", work: Work) -> Way:
    """The way of a work's answer out of the department."""
    contract = work.contract if department.owns(work.contract) else ""
    return Way(department.own.name, contract, work.asker, work.input)


def is_inside(department: "DepartmentDecider", work: Work) -> bool:
    """Does the answer go to another agent of the department, and not as it is to who asked from outside?"""
    one: Work | None = work
    while one is not None and not one.step:
        one = department.state.work.get(one.parent)
    return one is not None


def _seen(department: "DepartmentDecider", work: Work) -> set[str]:
    """Withheld values that the code of this task has seen."""
    patterns = department.own.leaves.withheld
    steps = department.state.steps.get(work.task, {}).values() if patterns else ()
    return secrets(patterns, work.input, *(one for step in steps for one in (step.given, step.value))) if patterns else set()


# -- replies
def reported(department: "DepartmentDecider", work: Work, done: Done) -> tuple[list[Event], Done]:
    """How a worker's code has ended; what may not leave ends here, with the rule."""
    if work.case or (work.approves and not work.parent):
        return [], done  # what a board says of a case, or of what the client asks for, goes to Mai alone
    inside = is_inside(department, work) and not work.plea  # why it could not do what was escalated a person may read
    seen, way = set() if inside else _seen(department, work), way_of(department, work)
    if done.state != "answered":
        if seen and said(seen, done.reason):
            rule = LEAKS.format(way.department)
            return [_breached(work, way, rule, done)], msgspec.structs.replace(done, reason=f"{work.agent}: {rule}", breach=rule)
        return [], msgspec.structs.replace(done, breach=_handed(department, work))
    rule = reply_fault(department, work, done.value, done.text)
    if not rule:
        return [], done
    reason = readable(f"{work.agent}'s reply does not keep to {way.contract or 'what may leave'}: {rule}")
    return [_breached(work, way, rule, done)], _kept(done, reason, rule)


def _handed(department: "DepartmentDecider", work: Work) -> str:
    """The rule that kept back the answer of whom its code has handed the task to, last; code itself names no rules."""
    steps = department.state.steps.get(work.task, {})
    handed = [step for _, step in sorted(steps.items()) if step.call == "hand" and step.done]
    return handed[-1].breach if handed else ""


def reply_fault(department: "DepartmentDecider", work: Work, value: Fields, text: str) -> str:
    """What keeps these from leaving as a task's reply; "" if nothing does. The text itself may be cut off at the border."""
    way = way_of(department, work)
    if is_inside(department, work):
        return department.scopes.fault(way, value)
    seen = _seen(department, work)
    if rule := department.scopes.breach(way._replace(asker=""), value, ""):
        return rule
    return LEAKS.format(way.department) if seen and said(seen, text, value) else ""


def outward(department: "DepartmentDecider", work: Work, done: Done) -> tuple[list[Event], Done]:
    """What of a task's end is told to Mai: the board's last look."""
    if work.case or work.approves:
        return [], done  # what a board says of a case, or of what the client asks for, goes to Mai alone
    way = way_of(department, work)
    if done.breach:
        return [], _kept(done, neutral(way), done.breach)
    if done.state != "answered":
        return [], done
    if is_department(work.asker):
        done = msgspec.structs.replace(done, text=department.scopes.shown_text(way, done.text))
    if rule := department.scopes.breach(way, done.value, done.text):
        return [_breached(work, way, rule, done)], _kept(done, neutral(way), rule)
    return [], done


def _kept(done: Done, reason: str, rule: str) -> Done:
    return Done("failed", "", {}, reason, done.by, (), done.changed, rule)


def _breached(work: Work, way: Way, rule: str, done: Done) -> ReplyBreached:
    withheld = {"text": done.text, "value": done.value, "reason": done.reason}
    return ReplyBreached(
        request=work.request, task=work.task, process=way.department, contract=way.contract, rule=rule, withheld=withheld
    )


# -- escalations
def said_upwards(department: "DepartmentDecider", work: Work, reason: str) -> str:
    """Why something is given up, as far as Mai and a person may read it."""
    seen = _seen(department, work)
    return LEAKS.format(department.own.name) if seen and said(seen, reason) else reason


def shown_upwards(department: "DepartmentDecider", work: Work) -> tuple[str, Fields]:
    """The text and the input of what is given up, as far as they may leave: what came from outside does."""
    if not is_inside(department, work):
        return work.text, work.input
    one, seen = department.state.work.get(work.parent), secrets(department.own.leaves.withheld, work.input)
    while one is not None:
        seen |= _seen(department, one)
        one = department.state.work.get(one.parent)
    kept = bool(department.scopes.kept_back(department.own.name, work.input)) or (seen and said(seen, work.input))
    return "" if seen and said(seen, work.text) else work.text, {} if kept else work.input


# -- requests
def kept_back(department: "DepartmentDecider", work: Work, call: Call) -> str:
    """Why what a task's code puts into a request to another department may not leave; "" if it may."""
    if department.owns(call.to):
        return ""  # it stays inside
    if why := department.scopes.kept_back(department.own.name, call.given["input"]):
        return why
    seen = _seen(department, work)
    leaks = seen and said(seen, call.given["text"], call.given["input"])
    return LEAKS.format(department.own.name) if leaks else ""


def remembered(department: "DepartmentDecider", work: Work, key: str, value: Any) -> str:
    """Why this may not be kept in the client's memory, which other departments may read; "" if it may."""
    if why := department.scopes.kept_back(department.own.name, under(key, value)):
        return why
    seen = _seen(department, work)
    return LEAKS.format(department.own.name) if seen and said(seen, value) else ""


# -- what comes back from others
def screened(department: "DepartmentDecider", body: Result) -> Result:
    """A reply of another department as far as it may be taken in: checked once more, before anything of it is on the disk."""
    work, _, step = department.asking(body.task)
    if work is None or (step and step.call != "ask"):
        return body
    contract, given = (str(step.given["to"]), step.given["input"]) if step else (work.contract, work.input)
    way = Way(contract.partition(".")[0], contract, department.address(work.agent), given)
    return department.scopes.screen(way, body)


def taken(work: Work, contract: str, body: Result, record: tuple[int, str]) -> list[Event]:
    """That Mai has let something through which may not be taken in goes on record; it is used by nobody."""
    if not body.breach:
        return []
    seq, digest = record
    breached = ReplyBreached(
        request=work.request, task=body.task, process=contract.partition(".")[0], contract=contract, rule=body.breach,
        record=seq, digest=digest,
    )  # fmt: skip
    return [breached]
