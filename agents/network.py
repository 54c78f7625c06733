"""Tools that need the network, as a department decides about them: they are used through Mai, by a process of their own. Pure."""

from typing import TYPE_CHECKING

from mai.agents.decider import Send, sooner_ms, too_large
from mai.agents.events import Asked, EffectIntent, EffectUnknown, Event, Stepped
from mai.agents.inputs import Call
from mai.agents.messages import Use, Used
from mai.agents.plain import readable
from mai.agents.state import Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider


def ask(decider: "DepartmentDecider", work: Work, call: Call, now_ms: int) -> list[Event | Send]:
    """A worker's code uses such a tool: the intent, if it has an effect, and what goes to Mai, in one commit."""
    name = str(call.given["tool"])
    tool = next(one for one in decider.own.tools if one.name == name)
    ident, key = decider.ident(work, call.n), f"{work.task}/{call.n}"
    asked = Asked(request=work.request, task=work.task, agent=work.agent, n=call.n, call="tool", given=call.given)
    body = Use(ident, work.request, decider.address(work.agent), f"{decider.own.name}.{name}", key, call.given["input"])
    if why := too_large(body, decider.limits.message_bytes):
        return [asked, _stepped(work, call.n, None, f"the input of the tool {name} cannot be sent: {why}")]
    intent = EffectIntent(
        request=work.request, task=work.task, agent=work.agent, n=call.n, key=key,
        tool=name, effect=tool.effect, given=call.given,
    )  # fmt: skip
    begun: Event = asked if tool.effect == "none" else intent
    return [begun, Send(decider.mai, ident, sooner_ms(now_ms, work.deadline_ms), body)]


def told(decider: "DepartmentDecider", body: Used) -> list[Event | Send]:
    """Mai brings what came of it. What is in doubt and may not be repeated is put on record as unknown."""
    work, n, step = decider.asking(body.id)
    if work is None or step is None or step.call != "tool":
        return []
    name, key = str(step.given["tool"]), step.key
    effect = next((tool.effect for tool in decider.own.tools if tool.name == name), "opaque")
    if not body.doubt or effect in ("none", "idempotent"):
        return [_stepped(work, n, body.value, body.refused)]
    unknown = EffectUnknown(request=work.request, task=work.task, agent=work.agent, n=n, key=key, tool=name)
    return [unknown, _stepped(work, n, None, doubtful(name, key, f"{body.refused or 'after a crash'}:"))]


def _stepped(work: Work, n: int, value: object, refused: str) -> Stepped:
    state = "failed" if refused else ""
    return Stepped(
        request=work.request, task=work.task, agent=work.agent, n=n, call="tool",
        value=value, refused=readable(refused), state=state,
    )  # fmt: skip


def doubtful(name: str, key: str, when: str) -> str:
    """What is said of an effect in doubt."""
    return f"{when} nobody knows whether {name} happened; it is not repeated, a person has to look (key {key})"
