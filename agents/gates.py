"""What stands before a call: the policies' verdict, and the approval that it may need. Pure.

A call passes if the policies allow it, or want an approval that it has: given for just this call, under this organisation, by
just this policy. Who has none yet waits for it; all else is refused.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

from mai.agents import approvals, judging
from mai.agents.decider import Send
from mai.agents.events import Event
from mai.agents.inputs import Call
from mai.agents.pleas import Plea
from mai.agents.policies import Act, Ruling
from mai.agents.state import Approving, Step, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

WAITS: Final = ("board", "person")  # verdicts


class Gate(NamedTuple):
    """What goes on record first; then it is done, or waits, or is refused for `why`."""

    events: list[Event | Send]
    waits: bool = False
    why: str = ""


def passes(decider: "DepartmentDecider", step: Step | None, ruling: Ruling) -> bool:
    """May it be done now?"""
    return ruling.allowed or (ruling.verdict in WAITS and holds(decider, step.approval if step else None, ruling))


def holds(decider: "DepartmentDecider", one: Approving | None, ruling: Ruling) -> bool:
    """Is this an approval of what the policies want approved, as they are now?"""
    if one is None or one.at not in ("approved", "used"):
        return False
    asked = (one.organisation, one.clause, one.policies)
    return asked == (decider.mandate.organisation.digest, ruling.clause, ruling.digest)


def at(decider: "DepartmentDecider", work: Work, call: Call, act: Act) -> Gate:
    """What the policies, and who approves, let become of a call."""
    ruling, step = judging.rule(decider, act), decider.state.steps.get(work.task, {}).get(call.n)
    events: list[Event | Send] = [judging.judged(work, call.n, act, ruling)] if judging.on_record(act, ruling) else []
    if passes(decider, step, ruling):
        one = step.approval if step else None
        plea = Plea(work, call.n, call.call, call.given, one) if one and one.at == "approved" else None
        return Gate([*events, approvals.used(plea)] if plea else events)
    if ruling.verdict in WAITS:
        return Gate([*events, *approvals.ask(decider, work, call, ruling)], waits=True)
    return Gate(events, why=ruling.why)
