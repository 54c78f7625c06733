"""A request that is cancelled, as a department decides about it: what stops, and what has to be undone. Pure.

    cancel.taken → task.cancelled and its end, for each open task → undo.planned → for each effect of its: undo.intent →
    undo.done | undo.unknown → cancel.ended, and `Cancelled` to Mai

Only what a tool with `undo` did is undone, the newest first, each by one call of that other tool, with {"undoes": key,
"input": what it was called with, "value": what it gave}. The undoing is an effect of its own, under the key of the other with
`!` behind it. What cannot be undone is named, and what a person should do.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from mai.agents import quarantine
from mai.agents.decider import Send, room_bytes
from mai.agents.events import EffectIntent, EffectUnknown, Event, Stepped, register
from mai.agents.order_messages import Cancel, Cancelled, Undone
from mai.agents.organisation import Tool
from mai.agents.plain import readable
from mai.agents.state import Cancelling, Done, State, Undo

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

AGAIN: Final = "!"  # behind an effect's key: the key of its undoing
ATTEMPTS: Final = 3  # an undoing at so many deaths of its process is not begun again
MOST_UNDOS: Final = 1000  # of one request
LONGEST: Final = 400  # characters of a note
FIELDS: Final = ("undoes", "input", "value")  # what an undoing is called with


class TaskCancelled(Event, frozen=True, kw_only=True):
    """An open task of a cancelled request; its end follows."""

    kind: ClassVar[str] = "task.cancelled"
    request: str
    task: str
    agent: str
    by: str
    reason: str = ""


class CancelTaken(Event, frozen=True, kw_only=True):
    """A request is cancelled here; `stopped` are the tasks that were open."""

    kind: ClassVar[str] = "cancel.taken"
    request: str
    by: str
    reason: str = ""
    stopped: tuple[str, ...] = ()


class UndoPlanned(Event, frozen=True, kw_only=True):
    """The request's effects, in the order in which they are undone; those that are not have their state already."""

    kind: ClassVar[str] = "undo.planned"
    request: str
    effects: tuple[Undo, ...] = ()


class UndoIntent(Event, frozen=True, kw_only=True):
    """A tool that undoes an effect is about to be called."""

    kind: ClassVar[str] = "undo.intent"
    request: str
    task: str
    agent: str
    n: int
    key: str
    undoes: str  # the effect's key
    tool: str
    effect: str
    attempt: int = 1


class UndoDone(Event, frozen=True, kw_only=True):
    """It has given this, or was refused."""

    kind: ClassVar[str] = "undo.done"
    request: str
    task: str
    agent: str
    n: int
    key: str
    undoes: str
    tool: str
    value: Any = None
    refused: str = ""


class UndoUnknown(Event, frozen=True, kw_only=True):
    """Nobody knows whether it was undone."""

    kind: ClassVar[str] = "undo.unknown"
    request: str
    task: str
    agent: str
    n: int
    key: str
    undoes: str
    tool: str
    why: str


class CancelEnded(Event, frozen=True, kw_only=True):
    """All that can be undone of a request is; Mai is told."""

    kind: ClassVar[str] = "cancel.ended"
    request: str


register(TaskCancelled, CancelTaken, UndoPlanned, UndoIntent, UndoDone, UndoUnknown, CancelEnded)


# -- decide
def said(by: str, reason: str) -> str:
    """Why a cancelled request, or a task of it, was refused."""
    return readable(f"cancelled by {by}" + (f": {reason}" if reason else ""), LONGEST)


def stop(decider: "DepartmentDecider", body: Cancel) -> list[Event | Send]:
    """End all open tasks of a request, those above first: then nobody is left to react to the end of what he handed on."""
    state = decider.state
    if body.request in state.cancels:
        return []
    works = [work for work in state.work.values() if work.request == body.request]
    found: list[Event | Send] = [
        CancelTaken(request=body.request, by=body.by, reason=body.reason, stopped=tuple(work.task for work in works))
    ]
    found += quarantine.dropped(decider, body.request, body.by)
    found += [
        TaskCancelled(request=work.request, task=work.task, agent=work.agent, by=body.by, reason=body.reason) for work in works
    ]
    for work in works:
        reason = said(body.by, body.reason)
        found += decider.end(work, Done("refused", "", {}, reason, decider.address(work.agent), ()))
    return found


def unwound(decider: "DepartmentDecider", request: str) -> list[Event | Send]:
    """Tell Mai what was stopped and undone."""
    cancelling = decider.state.cancels.get(request)
    if cancelling is None:
        return []
    undone = [_told(decider.state.undos[key]) for key in cancelling.undos]
    undone.sort(key=lambda one: one.state in ("undone", "stays"))  # what a person has to do comes first
    body = fitting(Cancelled(request, cancelling.stopped, tuple(undone)), decider.limits.message_bytes)
    return [CancelEnded(request=request), Send(decider.mai, f"{request}{AGAIN}{decider.own.name}", 0, body)]


def _told(undo: Undo) -> Undone:
    return Undone(undo.key, undo.tool, undo.state, undo.undo, undo.note)


def fitting(body: Cancelled, message_bytes: int) -> Cancelled:
    """The same, with so much left out that it can be sent."""
    while len(msgspec.msgpack.encode(body)) > room_bytes(message_bytes) and (body.stopped or body.undone):
        stopped, undone = body.stopped[: len(body.stopped) // 2], body.undone
        if not body.stopped:
            undone = undone[: len(undone) // 2]
        left = len(body.stopped) - len(stopped) + len(body.undone) - len(undone)
        body = msgspec.structs.replace(body, stopped=stopped, undone=undone, more=body.more + left)
    return body


# -- what is to be undone
def plan(request: str, events: Iterable[Event], tools: Iterable[Tool]) -> tuple[Undo, ...]:
    """The effects of a request by the journal's records of it, newest first; those that happened and can be undone are open."""
    known = {tool.name: tool for tool in tools}
    effects: dict[str, Undo] = {}
    for event in events:
        _follow(effects, event)
    found = [undo for undo in reversed(effects.values()) if undo.state != "not"]
    for number, undo in enumerate(found):
        undo.undo = known[undo.tool].undo if undo.tool in known else ""
        if undo.state:
            continue
        if not undo.undo:
            undo.state, undo.note = "stays", f"{undo.tool} names no tool that undoes it"
        elif number >= MOST_UNDOS:
            undo.state, undo.note = "failed", f"more than {MOST_UNDOS} effects of one request are not undone"
        if undo.state:
            undo.input, undo.value = {}, None
    return tuple(found)


UNKNOWN: Final = "nobody knows whether it happened: look, and undo it by hand if it did"


def _follow(effects: dict[str, Undo], event: Event) -> None:
    """One record more; the order is that in which the outcomes became known."""
    match event:
        case EffectIntent():
            begun = Undo(event.request, event.task, event.agent, event.n, event.key, event.tool)
            begun.input, begun.state, begun.note = event.given["input"], "unknown", UNKNOWN
            effects.pop(event.key, None)
            effects[event.key] = begun
        case Stepped(call="tool") if done := effects.get(f"{event.task}/{event.n}"):
            if done.state == "unknown" and event.refused and done.note != UNKNOWN:
                return  # it says that nobody knows
            del effects[done.key]
            effects[done.key] = done
            done.state, done.note, done.value = ("not" if event.refused else ""), "", event.value
        case EffectUnknown() if doubt := effects.get(event.key):
            doubt.state, doubt.note = "unknown", f"{UNKNOWN} (key {event.key})"
        case _ if event.kind == "effect.resolved" and (known := effects.get(getattr(event, "key", ""))):
            known.state, known.note = ("" if getattr(event, "happened", False) else "not"), ""
            known.value = getattr(event, "value", None)


def given(undo: Undo) -> dict[str, Any]:
    """What the tool that undoes an effect is called with."""
    return dict(zip(FIELDS, (undo.key, undo.input, undo.value), strict=True))


def open_undo(state: State, cancelling: Cancelling) -> Undo | None:
    """What is to be undone next."""
    return next((undo for key in cancelling.undos if not (undo := state.undos[key]).state), None)


# -- evolve
def fold(state: State, event: Event) -> None:
    """Fold what concerns a cancelled request."""
    match event:
        case CancelTaken(request=request):
            state.cancels[request] = Cancelling(request, event.by, event.stopped)
            state.changed("cancel", request, state.cancels[request])
        case UndoPlanned(request=request) if request in state.cancels:
            cancelling = state.cancels[request]
            cancelling.planned, cancelling.undos = True, tuple(undo.key for undo in event.effects)
            state.changed("cancel", request, cancelling)
            for undo in event.effects:
                _keep(state, msgspec.structs.replace(undo))
        case UndoIntent(undoes=key) if key in state.undos:
            state.undos[key].attempts = event.attempt
            _keep(state, state.undos[key])
        case UndoDone(undoes=key) | UndoUnknown(undoes=key) if key in state.undos:
            _close(state, state.undos[key], event)
        case CancelEnded(request=request) if request in state.cancels:
            for key in state.cancels.pop(request).undos:
                del state.undos[key]
                state.changed("undo", key, None)
            state.changed("cancel", request, None)


def _close(state: State, undo: Undo, event: UndoDone | UndoUnknown) -> None:
    undo.input, undo.value = {}, None
    if isinstance(event, UndoUnknown):
        undo.state, undo.note = "doubt", readable(f"{event.why}: look whether it is undone (key {event.key})", LONGEST)
    elif event.refused:
        undo.state, undo.note = "failed", readable(f"{event.refused}: undo it by hand", LONGEST)
    else:
        undo.state = "undone"
    _keep(state, undo)


def _keep(state: State, undo: Undo) -> None:
    state.undos[undo.key] = undo
    state.changed("undo", undo.key, undo)
