"""One voice: all that a person is told, in the order of his conversation, once, and never in silence against itself. Pure.

request.ended  is a line of its conversation; `note` says before it that it corrects an earlier one, or comes after notices
voice.said     is a line beside it: a notice that it takes longer, or an answer that came later than the request's end
voice.sent     a line leaves on its channel: a request of Mai's own to the channel's department, by the contract `carry_…`
"""

import datetime
import hashlib
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.channels import message_of
from mai.agents.decider import Input, Send
from mai.agents.events import Event
from mai.daemon import compose, inbound, outgoing, threads
from mai.daemon.desk import Asked, Holding, MaiState, Request, Returned, tasks
from mai.daemon.outgoing import ROOM_MS
from mai.daemon.records import PartAnswer, PartPlan, RequestAccepted, RequestEnded
from mai.daemon.threads import Leave, Letter, Line, Outgoing, Thread, Told, channel_of, key, noun
from mai.daemon.voice_records import VoiceSaid, VoiceSent

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

FURTHER: Final = 4  # times as long after the request's beginning comes each further notice
SAME: Final = ("answered", "refused")  # states that say something of the matter itself
UNANSWERED: Final = {
    "refused": "We cannot do what you ask for.",
    "expired": "We could not answer your message in time. If there is an answer later, you will get it here.",
}
FAILED: Final = "Something went wrong on our side, and your message could not be answered. Please write again."
_encoder = msgspec.json.Encoder(order="deterministic")


class Late(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part that had no answer when its request ended: whose it is, should it come."""

    request: str
    thread: str
    department: str
    part: PartPlan
    persons: tuple[str, ...] = ()  # who has answered what was escalated for it, and may have signed it


# -- what is said before an answer
def speak(mai: "MaiDecider", found: list[Event | Send], now_ms: int) -> list[Event | Send]:
    """The ends of requests that belong to conversations, with what has to be said before them."""
    if not any(isinstance(one, RequestEnded) for one in found):
        return found
    return [_noted(mai, one, found, now_ms) if isinstance(one, RequestEnded) else one for one in found]


def _noted(mai: "MaiDecider", ended: RequestEnded, found: list[Event | Send], now_ms: int) -> RequestEnded:
    request, new = mai.state.requests.get(ended.request), None
    if request is None:
        new = next((one for one in found if isinstance(one, RequestAccepted) and one.request == ended.request), None)
    if not (thread := request.thread if request else new.thread if new else ""):
        return msgspec.structs.replace(ended, at_ms=now_ms) if message_of(ended.request) in mai.state.carries else ended
    parts = request.parts if request else ()
    corrected = _corrects(mai.state, thread, parts, ended.parts)
    said = [f"Correction: this differs from what I told you {_when(corrected.at_ms)}."] if corrected else []
    if request and request.notices:
        said.append("Here is what you were waiting for.")
    return msgspec.structs.replace(ended, note=" ".join(said), at_ms=now_ms)


def _corrects(state: MaiState, thread: str, parts: tuple[PartPlan, ...], answers: tuple[PartAnswer, ...]) -> Told | None:
    """What was told of the same contract with the same input, and is not what is told now."""
    if len(parts) != len(answers):
        return None
    for part, answer in zip(parts, answers, strict=True):
        before = state.rows.get(f"told/{thread}", _about(part), Told) if part.contract and answer.state in SAME else None
        if before and (before.state, before.value) != (answer.state, _digest(answer.value)):
            return before
    return None


def _about(part: PartPlan) -> str:
    return _digest([part.contract, part.input])


def _digest(value: Any) -> str:
    return hashlib.sha256(_encoder.encode(value)).hexdigest()[:32]


def _when(at_ms: int) -> str:
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC).strftime("on %-d %B %Y at %H:%M UTC")


# -- notices
def first_ms(mai: "MaiDecider", asked: Asked, now_ms: int) -> int:
    """When the first notice of a request is due; 0: never."""
    channel = mai.mandate.organisation.channel(channel_of(asked.thread)) if asked.thread else None
    interim_s = channel.interim_s if channel else mai.mandate.organisation.voice.interim_s if asked.thread else 0
    due_ms = now_ms + int(interim_s * 1000)
    return due_ms if interim_s and due_ms < asked.deadline_ms else 0


def notices(mai: "MaiDecider", now_ms: int) -> list[Event | Send]:
    """Say to those who wait that it takes longer, and who has it."""
    due = [one for one in mai.state.requests.values() if 0 < one.notice_ms <= now_ms < one.deadline_ms]
    return [_notice(mai, request, now_ms) for request in due]


def _notice(mai: "MaiDecider", request: Request, now_ms: int) -> VoiceSaid:
    since_ms = request.accepted_ms
    next_ms = since_ms + max(request.notice_ms - since_ms, (now_ms - since_ms) // 2) * FURTHER
    return VoiceSaid(
        request=request.request, thread=request.thread, what="notice", text=_still(mai, request), at_ms=now_ms,
        next_ms=next_ms if next_ms < request.deadline_ms else 0,
    )  # fmt: skip


def _still(mai: "MaiDecider", request: Request) -> str:
    """Who has it now."""
    open_ = zip(request.parts, tasks(request.request, request.parts), strict=True)
    at = list(dict.fromkeys(part.department for part, task in open_ if task not in request.answers))
    still = " still" * bool(request.notices)
    if asks_person(mai.state, request.request):
        return f"A person{still} has to decide about this; you will hear from us here."
    who = " and ".join(one.capitalize() for one in at)
    return f"{who or 'We'} {'is' if len(at) == 1 else 'are'}{still} working on this; you will hear from us here."


def asks_person(state: MaiState, request: str) -> bool:
    """Does it wait for what a person says?"""
    if state.approving.of_request.get(request) or any(not row.state for row in state.parking.of(request)):
        return True
    return any(one.doubt.request == request for one in state.doubts.values())


# -- later than the end
def missed(mai: "MaiDecider", task: str) -> Late | None:
    """The part of a conversation that had no answer when its request ended; None if it is none."""
    return mai.state.rows.get("late", task, Late)


def awaited(mai: "MaiDecider", task: str) -> Holding | None:
    """Who may still answer it."""
    found = missed(mai, task)
    return Holding(f"{mai.mandate.client}/{found.department}", found.request, 0) if found else None


def late(mai: "MaiDecider", given: Returned, now_ms: int) -> list[Event | Send]:
    """An answer to a part whose request has ended without it goes into the same conversation, once."""
    body, found = given.body, missed(mai, given.body.task)
    if found is None or body.state != "answered" or given.peer != f"{mai.mandate.client}/{found.department}":
        return []
    part = PartAnswer(found.department, found.part.text, body.state, body.text, body.value, "", body.by, body.sources)
    return [follow_up(mai, found, part, now_ms, body.task)]


def follow_up(mai: "MaiDecider", found: Late, part: PartAnswer, now_ms: int, task: str) -> VoiceSaid:
    """What is told of a part that was answered when its request had ended."""
    text = _plain(part) if channel_of(found.thread) else compose.said(part)
    corrected = _corrects(mai.state, found.thread, (found.part,), (part,))
    about = f" about “{found.part.text[:80]}”" if found.part.text else ""
    note = f"Correction: this differs from what I told you {_when(corrected.at_ms)}." if corrected else ""
    return VoiceSaid(
        request=found.request, thread=found.thread, what="later", text=text, at_ms=now_ms,
        note=f"{note} This is the answer{about} that was not there in time.".strip(), state=part.state, by=found.department,
        task=task, value=_digest(part.value),
    )  # fmt: skip


def tick(mai: "MaiDecider", now_ms: int) -> list[Event | Send]:
    """What time brings."""
    if not 0 < _room_ms(mai) <= now_ms:
        return notices(mai, now_ms)
    mai.room_ms = now_ms + ROOM_MS
    return [*notices(mai, now_ms), *outgoing.retry(mai, now_ms), *inbound.retry(mai, now_ms)]


# -- out on a channel
def out(mai: "MaiDecider", given: Leave | Outgoing, now_ms: int) -> list[Event | Send]:
    """A line leaves, or its department is asked to carry it out."""
    return leave(mai, given, now_ms) if isinstance(given, Leave) else outgoing.ask(mai, given.message, now_ms)


def leave(mai: "MaiDecider", given: Leave, now_ms: int) -> list[Event | Send]:
    """A line leaves on its channel, if that has a tool."""
    channel = mai.mandate.organisation.channel(channel_of(given.thread))
    line = mai.state.rows.get(noun(given.thread), key(given.n), Line)
    if channel is None or line is None or not channel.tool:
        return []
    letter = mai.state.rows.get("letter", line.request, Letter)
    subject, reply_to = (letter.subject, letter.reference) if letter else ("", "")
    text = f"{line.note}\n\n{line.text}".strip()
    return [
        VoiceSent(
            request=f"{line.request}!{line.what}{given.n}", thread=given.thread, n=given.n, what=line.what,
            text=text, subject=subject, reply_to=reply_to, at_ms=now_ms,
        )
    ]  # fmt: skip


def due_ms(mai: "MaiDecider") -> list[int]:
    """When something of this is due."""
    found = [one.notice_ms for one in mai.state.requests.values() if one.notice_ms]
    return [*found, due] if (due := _room_ms(mai)) else found


def _room_ms(mai: "MaiDecider") -> int:
    """When what waits for room, or for its next try, is looked at again; 0: there is nothing."""
    waits = outgoing.due_ms(mai.state) + [one.at_ms + ROOM_MS for one in mai.state.stalled.values()]
    return max(mai.room_ms, min(waits)) if waits else 0


# -- evolve
def accepted(state: MaiState, event: RequestAccepted) -> None:
    """What a person asks at the door is a line; a message on a channel is open; an answer that leaves is at its department."""
    outgoing.accepted(state, event.request)
    if not event.thread:
        return
    thread = state.rows.get("thread", event.thread, Thread) or Thread(event.thread)
    if channel_of(event.thread):
        waiting = tuple(one for one in thread.waiting if one != event.request)
        thread = msgspec.structs.replace(thread, open=event.request, until_ms=event.deadline_ms, waiting=waiting)
        state.changed("thread", event.thread, thread)
        inbound.moves(state, event.thread)
    else:
        _line(state, event.thread, Line(0, threads.PERSON, "message", event.text, event.request, event.accepted_ms))


def ended(state: MaiState, event: RequestEnded, request: Request, persons: tuple[str, ...]) -> list[Input]:
    """The answer is a line of its conversation; on a channel it leaves, and the next message has its turn.

    `persons`: who has answered what was escalated for it, and may have signed what comes late.
    """
    outgoing.ended(state, event)
    name = request.thread
    if not name:
        return []
    by = ", ".join(dict.fromkeys(part.department for part in event.parts if part.department))
    text = outward(event) if channel_of(name) else event.answer
    n = _line(state, name, Line(0, threads.MAI, "answer", text, event.request, event.at_ms, event.state, by, event.note))
    _tell(state, request, event, n, persons)
    if not channel_of(name):
        return []
    thread = state.rows.get("thread", name, Thread)
    assert thread is not None, "a conversation with an open request has a row"
    state.changed("thread", name, msgspec.structs.replace(thread, open=""))
    same = (threads.Next(one) for one in state.stalled if channel_of(one) == channel_of(name))
    return [Leave(name, n), threads.Next(name), *islice(same, 1)]  # its department may have room now


def _tell(state: MaiState, request: Request, event: RequestEnded, n: int, persons: tuple[str, ...]) -> None:
    """What was told of each contract, and which parts may still come."""
    if len(request.parts) != len(event.parts):
        return
    for part, answer, task in zip(request.parts, event.parts, tasks(request.request, request.parts), strict=True):
        if part.contract and answer.state in SAME:
            told = Told(answer.state, _digest(answer.value), n, event.at_ms)
            state.changed(f"told/{request.thread}", _about(part), told)
        if answer.state == "expired" and task not in request.answers:
            state.changed("late", task, Late(request.request, request.thread, part.department, part, persons))


def said(state: MaiState, event: VoiceSaid) -> list[Input]:
    """A line beside the answers."""
    if event.what == "notice" and (request := state.requests.get(event.request)):
        request.notices, request.notice_ms = request.notices + 1, event.next_ms
        state.changed("request", event.request, request)
    n = _line(
        state, event.thread,
        Line(0, threads.MAI, event.what, event.text, event.request, event.at_ms, event.state, event.by, event.note),
    )  # fmt: skip
    if event.task and (found := state.rows.get("late", event.task, Late)):
        state.changed("late", event.task, None)
        if found.part.contract:
            told = Told(event.state, event.value, n, event.at_ms)
            state.changed(f"told/{event.thread}", _about(found.part), told)
    return [Leave(event.thread, n)] if channel_of(event.thread) else []


def sent(state: MaiState, event: VoiceSent) -> list[Input]:
    """It is on its way."""
    return [outgoing.sent(state, event)]


def _line(state: MaiState, name: str, line: Line) -> int:
    return threads.add(state, state.rows, name, line)


# -- words
def outward(event: RequestEnded) -> str:
    """An answer as somebody outside reads it: without who has worked on it, and without reasons of the house."""
    if event.state != "answered":
        return UNANSWERED.get(event.state, FAILED)
    if event.by:
        return event.answer.rpartition("\n   [")[0] or event.answer
    return "\n\n".join(_plain(part) for part in event.parts)


def _plain(part: PartAnswer) -> str:
    return part.answer or compose.listed(part.value)
