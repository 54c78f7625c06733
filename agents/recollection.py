"""Memory as a department decides about it: an agent's own and the department's here, the client's by asking Mai. Pure.

Whose memory it is comes from the task that is at work, never from what its code has given.
"""

from typing import TYPE_CHECKING, Any

from mai.agents import leaving, remembering, scopes
from mai.agents.body import Fields
from mai.agents.decider import Send, room_bytes, too_large
from mai.agents.events import Asked, Event, Stepped
from mai.agents.inputs import Call
from mai.agents.kept import Shelf
from mai.agents.memory_messages import Browse, Forget, Recall, Recalled, Remember
from mai.agents.memory_scope import Keeping
from mai.agents.organisation import Limits
from mai.agents.plain import readable
from mai.agents.remembering import Bounds, Desk, Outcome
from mai.agents.state import Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider


def page_bytes(limits: Limits) -> int:
    """How much memory one answer may hold: it goes into a message beside other things."""
    return room_bytes(limits.message_bytes) // 2


def value_bytes(keeping: Keeping, limits: Limits) -> int:
    """How large one remembered value may be."""
    return min(keeping.value_bytes, page_bytes(limits))


def bounds(keeping: Keeping, limits: Limits, level: str) -> Bounds:
    """What a shelf of this level may hold."""
    return Bounds(keeping.items(level), keeping.versions, page_bytes(limits))


def decide(decider: "DepartmentDecider", work: Work, call: Call, now_ms: int) -> list[Event | Send]:
    """A worker's code reads or writes memory."""
    given = _timed(call.given, now_ms)
    if given["level"] == "client":
        return _ask(decider, work, call, given)
    organisation, level = decider.mandate.organisation, str(given["level"])
    shelf = Shelf(level, work.agent if level == "agent" else "")
    desk = Desk(
        decider.state, shelf, bounds(organisation.memory, organisation.limits, level), now_ms, shelf.owner, work.agent, work.task,
        work.request,
    )  # fmt: skip
    came = remembering.do(desk, call.call, given)
    return [*came.events, _stepped(work, call.n, call.call, came, call.given)]


def _timed(given: Fields, now_ms: int) -> Fields:
    """With the time of the wall clock at which it expires."""
    if "expires_s" not in given:
        return given
    return {**given, "expires_ms": now_ms + max(1, int(given["expires_s"] * 1000))}


def _ask(decider: "DepartmentDecider", work: Work, call: Call, given: Fields) -> list[Event | Send]:
    """What goes to Mai, unless it is out of the agent's scope or too large; she looks at both again."""
    asked = Asked(request=work.request, task=work.task, agent=work.agent, n=call.n, call=call.call, given=call.given)
    body = _body(decider.ident(work, call.n), decider.address(work.agent), call.call, given)
    verdict = scopes.judge(decider.mandate.organisation, decider.own.name, work.agent, call.call, str(given.get("key", "")))
    kept_back = leaving.remembered(decider, work, str(given["key"]), given["value"]) if call.call == "remember" else ""
    if why := verdict.refused or kept_back or too_large(body, decider.limits.message_bytes):
        return [asked, _stepped(work, call.n, call.call, Outcome([], refused=why))]
    return [asked, Send(decider.mai, body.id, work.deadline_ms, body)]


def _body(ident: str, agent: str, call: str, given: Fields) -> Recall | Remember | Forget | Browse:
    match call:
        case "recall":
            return Recall(ident, agent, str(given["key"]), int(given.get("version", 0)))
        case "remember":
            return Remember(ident, agent, str(given["key"]), given["value"], int(given.get("expires_ms", 0)))
        case "forget":
            return Forget(ident, agent, str(given["key"]))
        case _:
            return Browse(ident, agent, call, {name: value for name, value in given.items() if name != "level"})


def told(decider: "DepartmentDecider", body: Recalled) -> list[Event | Send]:
    """Mai answers."""
    work, n, step = decider.asking(body.id)
    if work is None or step is None or step.call not in remembering.CALLS:
        return []
    value = body.value if body.found and not body.refused else None
    return [_stepped(work, n, step.call, Outcome([], value, body.n, readable(body.refused)))]


def _stepped(work: Work, n: int, call: str, came: Outcome, given: Any = None) -> Stepped:
    """`given`: unless its Asked has it."""
    return Stepped(
        request=work.request, task=work.task, agent=work.agent, n=n, call=call, given=given, value=came.value, version=came.n,
        refused=came.refused,
    )  # fmt: skip
