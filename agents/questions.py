"""Questions to models, as a department decides about them: they go to the models process through Mai. Pure."""

from typing import TYPE_CHECKING

import msgspec

from mai.agents.decider import Send, sooner_ms, too_large
from mai.agents.errand_messages import Inquiry, Think, Thought
from mai.agents.events import Asked, Event, Stepped
from mai.agents.inputs import Call
from mai.agents.plain import readable
from mai.agents.state import Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider


def ask(decider: "DepartmentDecider", work: Work, call: Call, now_ms: int) -> list[Event | Send]:
    """A worker's code asks a model: on record by addresses, and what goes to Mai, in one commit."""
    ident = decider.ident(work, call.n)
    asked = Asked(request=work.request, task=work.task, agent=work.agent, n=call.n, call="model", given=call.given)
    inquiry = msgspec.convert(call.given["inquiry"], Inquiry)
    body = Think(ident, work.request, decider.address(work.agent), str(call.given["model"]), inquiry)
    if why := too_large(body, decider.limits.message_bytes):
        return [asked, _stepped(work, call.n, refused=f"the question cannot be sent: {why}", state="failed")]
    return [asked, Send(decider.mai, ident, sooner_ms(now_ms, work.deadline_ms), body)]


def told(decider: "DepartmentDecider", body: Thought) -> list[Event | Send]:
    """Mai brings what came of it."""
    work, n, step = decider.asking(body.id)
    if work is None or step is None or step.call != "model":
        return []
    value = {"answer": body.answer, "by": body.by, "usage": msgspec.to_builtins(body.usage), "notes": list(body.notes)}
    value |= {"advice": True} if body.advice else {}
    value |= {"transcript": msgspec.to_builtins(body.transcript)} if body.transcript else {}
    if body.state == "answered" and body.answer:
        return [_stepped(work, n, value)]
    state = "" if body.state == "refused" else "expired" if body.state == "expired" else "failed"
    return [
        _stepped(work, n, value, refused=body.reason or f"the model's answer was {body.state}, and nothing more", state=state)
    ]


def _stepped(work: Work, n: int, value: object = None, *, refused: str = "", state: str = "") -> Stepped:
    return Stepped(
        request=work.request, task=work.task, agent=work.agent, n=n, call="model",
        value=value, refused=readable(refused), state=state,
    )  # fmt: skip
