"""Tools of other processes, as a department decides about them: those with `hosts`, and remedies; both through Mai. Pure."""

from typing import TYPE_CHECKING

from mai.agents import effects, gates, judging, pleas, tool_backups
from mai.agents.body import Fields
from mai.agents.decider import Send, sooner_ms, too_large
from mai.agents.errand_messages import Use, Used
from mai.agents.events import Asked, Event, Stepped
from mai.agents.inputs import Call
from mai.agents.order_messages import Remedied, Remedy
from mai.agents.organisation import Tool
from mai.agents.plain import readable
from mai.agents.remedies import PREFIX, named
from mai.agents.state import Step, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider


def ask(decider: "DepartmentDecider", work: Work, call: Call, now_ms: int) -> list[Event | Send]:
    """A worker's code uses such a tool: the intent, if it has an effect, and what goes to Mai, in one commit.

    Of a step that is on record it is the use that was approved, or one more: then it did not happen before.
    """
    name, n = str(call.given["tool"]), call.n
    tool = next(one for one in decider.own.tools if one.name == name)
    before = decider.state.steps.get(work.task, {}).get(n)
    asked = Asked(request=work.request, task=work.task, agent=work.agent, n=n, call="tool", given=call.given, at_ms=now_ms)
    first: list[Event] = [] if before else [asked]
    body = _use(decider, work, n, tool, call.given, count=before.count + 1 if before else 1)
    if why := too_large(body, decider.limits.message_bytes):
        return [*first, _stepped(work, n, None, f"the input of the tool {name} cannot be sent: {why}")]
    gate = gates.at(decider, work, call, judging.tool_act(decider, work, tool, call.given["input"], now_ms))
    if gate.waits:
        return gate.events
    if gate.why:
        return [*first, *gate.events, _stepped(work, n, None, gate.why, "")]
    effect = effects.stricter(before.effect if before else "", tool.effect)
    intent = effects.intent(work, n, effect, call.given, now_ms, approval=before.approval if before else None)
    begun: Event = asked if effect == "none" else intent
    return [*gate.events, begun, Send(decider.mai, body.id, sooner_ms(now_ms, work.deadline_ms), body)]


def again(decider: "DepartmentDecider", work: Work, n: int, step: Step, now_ms: int) -> list[Event | Send]:
    """It did not happen: such a tool is used once more, under a new intent. Others the runner calls again."""
    far = any(one.name == step.tool and one.far for one in decider.own.tools)
    return ask(decider, work, Call(work.task, n, "tool", step.called), now_ms) if far else []


def _use(decider: "DepartmentDecider", work: Work, n: int, tool: Tool, given: Fields, *, count: int = 1) -> Use | Remedy:
    ident, name = decider.ident(work, n, count), f"{decider.own.name}.{tool.name}"
    if named(tool.name):
        return _remedy(decider, work, ident, tool, given["input"])
    step = decider.state.steps.get(work.task, {}).get(n)
    word = pleas.word(step.approval if step else None, work.task, n)
    return Use(ident, work.request, decider.address(work.agent), name, effects.key_of(work, n), given["input"], word)


def _remedy(decider: "DepartmentDecider", work: Work, ident: str, tool: Tool, given: Fields) -> Remedy:
    rest = {name: value for name, value in given.items() if name not in ("target", "why")}
    agent, remedy = decider.address(work.agent), tool.name.removeprefix(PREFIX)
    return Remedy(ident, work.request, agent, remedy, str(given["target"]), rest, readable(str(given["why"])))


def told(decider: "DepartmentDecider", body: Used | Remedied) -> list[Event | Send]:
    """Mai brings what came of it. What is in doubt and may not be repeated waits for a person."""
    work, n, step = decider.asking(body.id)
    if work is None or step is None or step.call != "tool" or step.doubt:
        return []
    tool = next((tool for tool in decider.own.tools if tool.name == step.tool), None)
    declared, clear = tool.effect if tool else "opaque", isinstance(body, Used) and body.clear
    spot = tool_backups.Spot(decider, work, n, decider.now_ms)
    noted = tool_backups.noted(spot, tool, decider.now_ms - step.at_ms, body.refused) if tool else []
    if body.doubt and effects.stricter(step.effect, declared) in effects.ONCE:
        return [*noted, *effects.doubt(decider, work, n, body.refused or "the process of its tool died")]
    if body.refused and tool and (instead := tool_backups.after(spot, tool, body.refused, clear=clear)):
        return [*noted, *instead]
    refused = tool_backups.said(tool, body.refused, clear=clear) if body.refused and tool else body.refused
    return [*noted, _stepped(work, n, body.value, refused)]


def _stepped(work: Work, n: int, value: object, refused: str, state: str = "failed") -> Stepped:
    state = state if refused else ""
    return Stepped(
        request=work.request, task=work.task, agent=work.agent, n=n, call="tool",
        value=value, refused=readable(refused), state=state,
    )  # fmt: skip
