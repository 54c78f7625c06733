"""Cancelling a request, as Mai decides about it: it ends, and all who took part in it stop and undo. Pure.

    request.cancelled, a `Cancel` to each process that took part, request.ended → cancel.answered for each of them

The request ends in the same commit, so that who waits for it hears at once. What the departments still send for it is
refused, or finds nobody who waits; the numbers of the links see to it that nothing of it is on its way to a department
that has had its `Cancel`.
"""

from typing import TYPE_CHECKING, ClassVar

import msgspec

from mai.agents.cancelling import said
from mai.agents.decider import Send
from mai.agents.events import Event, MessageRefused, register
from mai.agents.order_messages import Cancel, Cancelled
from mai.daemon.desk import Cancellation, Cancels, MaiState, Stopped
from mai.daemon.records import PartAnswer, RequestEnded

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider


class RequestCancelled(Event, frozen=True, kw_only=True):
    """An operator has cancelled an open request; its end follows."""

    kind: ClassVar[str] = "request.cancelled"
    request: str
    by: str
    reason: str = ""
    order: str = ""
    at_ms: int = 0
    to: tuple[str, ...] = ()  # the processes that have taken part in it


class CancelAnswered(Event, frozen=True, kw_only=True):
    """One of them has stopped what it did, and undone what can be undone."""

    kind: ClassVar[str] = "cancel.answered"
    request: str
    process: str
    body: Cancelled


register(RequestCancelled, CancelAnswered)


def decide(mai: "MaiDecider", given: Cancels | Stopped, now_ms: int) -> list[Event | Send]:
    """An operator cancels, or a process answers."""
    return _cancel(mai, given, now_ms) if isinstance(given, Cancels) else _stopped(mai, given)


def _cancel(mai: "MaiDecider", given: Cancels, now_ms: int) -> list[Event | Send]:
    request = mai.state.requests.get(given.request)
    if request is None:
        return []  # it has ended meanwhile
    cancelled = RequestCancelled(
        request=given.request, by=given.by, reason=given.reason, order=given.order, at_ms=now_ms, to=given.to
    )
    body = Cancel(given.request, given.by, given.reason)
    sends = [Send(process, f"{given.request}!{process.partition('/')[2]}", 0, body) for process in given.to]
    why = said(given.by, given.reason)
    part = PartAnswer("", request.text, "refused", "", {}, why, mai.address, ())
    ended = RequestEnded(
        request=request.request, state="refused", answer=f"Your request was {why}", parts=(part,),
        elapsed_ms=now_ms - request.accepted_ms,
    )  # fmt: skip
    return [cancelled, *sends, ended]


def _stopped(mai: "MaiDecider", given: Stopped) -> list[Event | Send]:
    body, peer = given.body, given.peer
    cancellation = mai.state.cancellations.get(body.request)
    if cancellation is None or peer not in cancellation.waits_for:
        detail = f"{peer} says that it has stopped {body.request[:80]!r}, and was not asked to"
        return [MessageRefused(peer=peer, why="out of place", detail=detail)]
    return [CancelAnswered(request=body.request, process=peer, body=body)]


def fold(state: MaiState, event: RequestCancelled | CancelAnswered) -> None:
    """Fold one fact. The row stays when all have answered: who asks again is told the same."""
    if isinstance(event, RequestCancelled):
        found = Cancellation(event.request, event.by, event.reason, event.order, event.at_ms, event.to)
        if event.to:
            state.cancellations[event.request] = found
        state.changed("cancel", event.request, found)
    elif (known := state.cancellations.get(event.request)) is not None:
        known.answers[event.process] = event.body
        state.changed("cancel", event.request, known)
        if not known.waits_for:
            del state.cancellations[event.request]


def load(state: MaiState, rows: dict[str, bytes]) -> None:
    """Take up those to which not all have answered."""
    for key, data in rows.items():
        one = msgspec.json.decode(data, type=Cancellation)
        if one.waits_for:
            state.cancellations[key] = one
