"""What comes from outside becomes work: a message on a channel, in order within its conversation. Pure.

    Delivered → inbound.taken     the message is a line of its conversation, and waits in it
    Next      → request.accepted  the first that waits, once nothing of the conversation is open
              → inbound.waits     its department takes nothing more now: it is looked at again when a request of its channel
                                  ends, and every ROOM_MS

Messages of one person are worked on one after the other, those of different persons side by side.
"""

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from mai.agents.body import Fields
from mai.agents.channels import Channel
from mai.agents.decider import Input, Send
from mai.agents.events import Event
from mai.daemon import spooled, threads
from mai.daemon.desk import Asked, MaiState
from mai.daemon.records import PartPlan
from mai.daemon.threads import Delivered, Letter, Line, Next, Stalled, Thread
from mai.daemon.voice_records import InboundTaken, InboundWaits

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

AT_ONCE: Final = 8  # messages of each channel that wait for its department, and are tried at a time
CUT: Final = 4000  # characters of one line of a conversation's history


def decide(mai: "MaiDecider", given: Delivered | Next, now_ms: int) -> list[Event | Send]:
    """A message has come, or its turn has."""
    if isinstance(given, Next):
        return _next(mai, given.thread, now_ms)
    if mai.state.rows.get("letter", given.message, Letter):
        return []  # it is here already
    return [
        InboundTaken(
            request=given.message, channel=given.channel, thread=given.thread, text=given.text, subject=given.subject,
            given=given.given, reference=given.reference, digest=given.digest, at_ms=now_ms, user=given.user, uid=given.uid,
            role=given.role, file=given.file,
        )
    ]  # fmt: skip


def _next(mai: "MaiDecider", name: str, now_ms: int) -> list[Event | Send]:
    thread = mai.state.rows.get("thread", name, Thread)
    if thread is None or thread.open or not thread.waiting:
        return []
    letter = mai.state.rows.get("letter", thread.waiting[0], Letter)
    line = mai.state.rows.get(threads.noun(name), threads.key(letter.n), Line) if letter else None
    assert letter is not None and line is not None, "a message without its rows waits"
    channel = mai.mandate.organisation.channel(letter.channel)
    if channel and (waits := _waits(mai, channel, letter, now_ms)) is not None:
        return waits
    parts = (part(mai, channel, thread, letter, line),) if channel else ()
    until_ms = now_ms + int((channel.answer_s if channel else mai.limits.request_s) * 1000)
    asker = f"{mai.mandate.client}/client"
    asked = Asked(letter.message, asker, line.text, until_ms, False, parts, letter.user, letter.uid, letter.role, thread=name)
    return mai.asked(asked, now_ms)


def _waits(mai: "MaiDecider", channel: Channel, letter: Letter, now_ms: int) -> list[Event | Send] | None:
    """That a message waits until its department takes one, within the channel's time; None if it has not to."""
    stalled = mai.state.stalled.get(letter.thread)
    until_ms = stalled.until_ms if stalled else now_ms + int(channel.answer_s * 1000)
    why = mai.closed(f"{mai.mandate.client}/{channel.department}")
    if not why or until_ms <= now_ms:
        return None
    waits = InboundWaits(request=letter.message, thread=letter.thread, why=why, at_ms=now_ms, until_ms=until_ms)
    return [] if stalled else [waits]


def retry(mai: "MaiDecider", now_ms: int) -> list[Event | Send]:
    """Look again at conversations that wait for room, the oldest first; a few of each channel."""
    found, tried = list[Event | Send](), Counter[str]()
    for name in mai.state.stalled:
        tried[channel := threads.channel_of(name)] += 1
        if tried[channel] <= AT_ONCE:
            found += _next(mai, name, now_ms)
    return found


def part(mai: "MaiDecider", channel: Channel, thread: Thread, letter: Letter, line: Line) -> PartPlan:
    """What the channel's department gets."""
    given: Fields = {
        "channel": channel.name, "sender": threads.person_of(thread.thread), "subject": letter.subject, "thread": thread.thread,
        "message": letter.message, "conversation": history(mai, thread, letter), "text": line.text,
    }  # fmt: skip
    why = f"the channel {channel.name} leads to {channel.department}"
    department = mai.mandate.organisation.department(channel.department)
    contract = department.contract(channel.contract) if department and channel.contract else None
    if contract is not None:
        fields = letter.given if channel.parse == "json" else {name: given[name] for name in contract.request if name in given}
        return PartPlan(channel.department, line.text, f"{channel.department}.{contract.name}", fields, why)
    del given["text"]
    if letter.given:
        given["given"] = letter.given
    agents = department.agents if department else ()
    desk = channel.desk or tuple(one.name for one in agents if one.rank == "operator" and not one.handler.startswith("mai:"))
    return PartPlan(channel.department, line.text, "", given, why, desk)


def history(mai: "MaiDecider", thread: Thread, letter: Letter) -> list[Fields]:
    """What was said before this message, oldest first, within the bounds: what waits behind it is not part of it."""
    voice, found = mai.mandate.organisation.voice, list[Fields]()
    left_bytes = voice.history_bytes
    for n in range(thread.lines, 0, -1):
        line = mai.state.rows.get(threads.noun(thread.thread), threads.key(n), Line)
        if line is None or line.what == "notice" or n == letter.n or (n > letter.n and line.who == threads.PERSON):
            continue
        one: Fields = {"from": line.who, "text": line.text[:CUT], "at_ms": line.at_ms}
        one |= {"subject": line.subject} if line.subject else {}
        left_bytes -= len(msgspec.json.encode(one))
        if left_bytes < 0 or len(found) >= voice.history:
            break
        found.append(one)
    return found[::-1]


def fold(state: MaiState, event: InboundTaken) -> list[Input]:
    """The message is a line of its conversation, and waits; if it came as a file, that is to be moved."""
    spooled.fold(state, event)
    line = Line(0, threads.PERSON, "message", event.text, event.request, event.at_ms, subject=event.subject)
    n = threads.add(state, state.rows, event.thread, line, event.request)
    letter = Letter(
        event.request, event.channel, event.thread, n, event.digest, event.at_ms, event.subject, event.reference, event.given,
        event.user, event.uid, event.role,
    )  # fmt: skip
    state.changed("letter", event.request, letter)
    return [Next(event.thread)]


def waits(state: MaiState, event: InboundWaits) -> list[Input]:
    """The conversation waits for room in its department."""
    state.stalled[event.thread] = Stalled(event.thread, event.request, event.why, event.at_ms, event.until_ms)
    state.changed("stalled", event.thread, state.stalled[event.thread])
    if thread := state.rows.get("thread", event.thread, Thread):
        state.changed("thread", event.thread, msgspec.structs.replace(thread, until_ms=event.until_ms))
    return []


def moves(state: MaiState, thread: str) -> None:
    """It waits no longer."""
    if state.stalled.pop(thread, None):
        state.changed("stalled", thread, None)


def load(state: MaiState, rows: dict[str, bytes]) -> None:
    """From the rows of her state, the oldest first."""
    found = sorted((msgspec.json.decode(data, type=Stalled) for data in rows.values()), key=lambda one: (one.at_ms, one.thread))
    state.stalled.update({one.thread: one for one in found})
