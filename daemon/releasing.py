"""Letting a task out of quarantine, as Mai decides about it: the order goes to its department, the answer comes back. Pure."""

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from mai.agents.approval_messages import Approval, Opinion
from mai.agents.claim_messages import Claim, Vote
from mai.agents.decider import Input, Send
from mai.agents.escalation_messages import Escalate, Withdrawn
from mai.agents.events import Event, MessageRefused, Received, register
from mai.agents.order_messages import Cancelled, Doubt, Release, Released
from mai.daemon.asks import Opined
from mai.daemon.desk import Freed, MaiState, Raised, ReleaseOrder, Releases, Stopped
from mai.daemon.dispute_records import Asserted, Voted
from mai.daemon.escalations import Pled, TakenBack
from mai.daemon.pending import Pleaded

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

MOST_OPEN: Final = 100  # orders without an answer
MOST_KEPT: Final = 200  # orders; the oldest that has its answer makes room


class ReleaseOrdered(Event, frozen=True, kw_only=True):
    """An operator lets a task out of quarantine."""

    kind: ClassVar[str] = "release.ordered"
    request: str
    task: str
    order: ReleaseOrder


class ReleaseAnswered(Event, frozen=True, kw_only=True):
    """Its department has done so, or not."""

    kind: ClassVar[str] = "release.answered"
    request: str
    task: str
    order: str
    refused: str = ""


register(ReleaseOrdered, ReleaseAnswered)


def decide(mai: "MaiDecider", given: Releases | Freed) -> list[Event | Send]:
    """An operator orders, or the department answers."""
    if isinstance(given, Releases):
        order = given.order
        body = Release(order.order, order.request, order.task, order.how, order.by)
        return [
            ReleaseOrdered(request=order.request, task=order.task, order=order),
            Send(order.process, f"{order.task}^{order.order}", 0, body),
        ]
    known = mai.state.releases.get(given.body.id)
    if known is None or known.answered or known.process != given.peer:
        detail = f"{given.peer} answers the order {given.body.id[:80]!r}, which it has not"
        return [MessageRefused(peer=given.peer, why="out of place", detail=detail)]
    return [ReleaseAnswered(request=known.request, task=known.task, order=known.order, refused=given.body.refused)]


def fold(state: MaiState, event: ReleaseOrdered | ReleaseAnswered) -> None:
    """Fold one fact; of what has its answer the last ones are kept, for who asks again."""
    if isinstance(event, ReleaseOrdered):
        state.releases[event.order.order] = msgspec.structs.replace(event.order)
        state.changed("release", event.order.order, state.releases[event.order.order])
        answered = [one.order for one in state.releases.values() if one.answered]
        for order in answered[: max(0, len(state.releases) - MOST_KEPT)]:
            del state.releases[order]
            state.changed("release", order, None)
    elif (known := state.releases.get(event.order)) is not None:
        known.answered, known.refused = True, event.refused
        state.changed("release", event.order, known)


def load(state: MaiState, rows: dict[str, bytes]) -> None:
    """Take up what is kept; the ids of orders sort by their time."""
    state.releases.update({key: msgspec.json.decode(data, type=ReleaseOrder) for key, data in sorted(rows.items())})


def taken(received: Received) -> list[Input]:
    """The inputs that a department's answer to an order brings, its question to a person, its claims and votes."""
    peer, body, found = received.sender, received.body, list[Input]()
    match body:
        case Cancelled():
            found = [Stopped(peer, body)]
        case Released():
            found = [Freed(peer, body)]
        case Escalate():
            found = [Pled(peer, body)]
        case Withdrawn():
            found = [TakenBack(peer, body)]
        case Doubt():
            found = [Raised(peer, received.id, body)]
        case Approval():
            found = [Pleaded(peer, received.id, body)]
        case Opinion():
            found = [Opined(peer, body)]
        case Claim():
            found = [Asserted(peer, body)]
        case Vote():
            found = [Voted(peer, body)]
    return found
