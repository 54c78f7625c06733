"""Effects in doubt, as Mai keeps them: a row each from the department's word until a person has said whether it happened. Pure.

What the person says goes to the department over the link, in the transaction in which the row goes: so it is said once, and
arrives once, whoever dies in between. What was said stays on record with who said it.
"""

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from mai.agents.decider import Send
from mai.agents.effects import cut
from mai.agents.events import Event, MessageRefused, register
from mai.agents.order_messages import Doubt, Resolve
from mai.daemon.desk import Doubtful, MaiState, Raised, Resolving

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider


class DoubtRaised(Event, frozen=True, kw_only=True):
    """An effect in doubt is known to Mai, or that its task has ended meanwhile."""

    kind: ClassVar[str] = "doubt.raised"
    request: str
    task: str
    agent: str
    process: str
    id: str  # of the message that told of it
    at_ms: int
    doubt: Doubt


class DoubtResolved(Event, frozen=True, kw_only=True):
    """A person has said of an effect in doubt whether it happened."""

    kind: ClassVar[str] = "doubt.resolved"
    request: str
    task: str
    agent: str
    key: str
    happened: bool
    value: Any = None
    by: str
    note: str = ""
    at_ms: int


register(DoubtRaised, DoubtResolved)


class Ruling(msgspec.Struct):
    """What was said of an effect that was in doubt, as it is kept."""

    process: str
    doubt: Doubt
    raised_ms: int
    happened: bool
    value: Any
    by: str
    note: str
    at_ms: int


def raised(mai: "MaiDecider", given: Raised, now_ms: int) -> list[Event | Send]:
    """A department tells of a doubt. A second word of the same one says that its task has ended."""
    body = given.body
    if not body.agent.startswith(f"{given.peer}/"):
        detail = f"{given.peer} tells of a doubt of {body.agent[:80]!r}"
        return [MessageRefused(peer=given.peer, why="out of place", detail=detail)]
    before = mai.state.doubts.get(body.key)
    if body.known and before is None:
        return []  # it was resolved meanwhile, and the department hears of that
    at_ms = before.at_ms if before else now_ms
    return [
        DoubtRaised(
            request=body.request, task=body.task, agent=body.agent, process=given.peer, id=given.id, at_ms=at_ms, doubt=body
        )
    ]


def resolved(mai: "MaiDecider", given: Resolving, now_ms: int) -> list[Event | Send]:
    """A person has said it; who asks has seen to it that there is such a doubt and that its value can be sent."""
    found = mai.state.doubts.get(given.key)
    if found is None:
        return []
    doubt, body = found.doubt, order(found, given)
    ruled = DoubtResolved(
        request=doubt.request, task=doubt.task, agent=doubt.agent, key=given.key, happened=given.happened,
        value=given.value, by=given.by, note=given.note, at_ms=now_ms,
    )  # fmt: skip
    return [ruled, Send(found.process, f"{found.id}=", 0, body)]


def order(found: Doubtful, given: Resolving) -> Resolve:
    """What goes to the department."""
    doubt = found.doubt
    return Resolve(given.key, doubt.request, doubt.task, doubt.agent, given.happened, given.value, given.by, given.note)


def late(state: MaiState, request: str) -> str:
    """Why a part of a request has no answer in time, with the effect in doubt that it waited for, if it did."""
    reason = "no answer before the deadline"
    if found := next((one.doubt for one in state.doubts.values() if one.doubt.request == request), None):
        reason += f": nobody knows whether {found.tool} (key {found.key}) happened; see: mai effects show {found.key}"
    return reason


def fold(state: MaiState, event: DoubtRaised | DoubtResolved, seq: int) -> None:
    """Fold one fact."""
    if isinstance(event, DoubtRaised):
        found = Doubtful(event.process, event.id, event.at_ms, event.doubt)
        state.doubts[event.doubt.key] = found
        state.changed("doubt", event.doubt.key, found)
    elif before := state.doubts.pop(event.key, None):
        ruling = Ruling(
            before.process, before.doubt, before.at_ms, event.happened, cut(event.value), event.by, event.note, event.at_ms
        )
        state.changed("doubt", event.key, None)
        state.changed("ruling", f"{seq:012}", ruling)
