"""What leaves on a channel: its department carries it out, and is asked again later when that failed. Pure.

Each try is a request of Mai's own (`R!answer2`, then `R!answer2.2`, `R!answer2.3` …). A further one is made only if the
department has said that the one before failed: what was not heard of may have happened. The channel's tool gets the same
`message`, and the same key, each time: where it has failed after all was done, an idempotent one does it once.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from mai.agents.channels import CARRY, TRY, message_of
from mai.agents.decider import Send
from mai.agents.events import Event
from mai.daemon.desk import Asked, MaiState
from mai.daemon.records import PartPlan, RequestEnded
from mai.daemon.threads import Carry, Line, Outgoing, channel_of, key, noun, person_of
from mai.daemon.voice_records import VoiceSent

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

CARRY_MS: Final = 24 * 3600 * 1000  # until when an answer is to have left
ROOM_MS: Final = 5000  # a department that takes nothing more is asked again
AGAIN_MS: Final = (60_000, 300_000, 1_800_000, 7_200_000)  # between two tries; from then on as the last


def ask(mai: "MaiDecider", message: str, now_ms: int) -> list[Event | Send]:
    """Ask the department to carry it out; nothing yet, if it takes nothing more now."""
    carry = mai.state.carries.get(message)
    channel = mai.mandate.organisation.channel(channel_of(carry.thread)) if carry else None
    if carry is None or carry.asked or channel is None or mai.closed(f"{mai.mandate.client}/{channel.department}"):
        return []
    given = {
        "to": person_of(carry.thread), "subject": carry.subject, "text": carry.text, "message": message,
        "reply_to": carry.reply_to, "what": carry.what, "thread": carry.thread,
    }  # fmt: skip
    contract = f"{channel.department}.{CARRY}{channel.name}"
    part = PartPlan(channel.department, "", contract, given, "answers leave by the department of their channel")
    text = f"carry {carry.what} {carry.n} to {carry.thread}"
    request = f"{message}{TRY}{carry.tries + 1}" if carry.tries else message
    return mai.asked(Asked(request, mai.address, text, max(carry.at_ms + CARRY_MS, now_ms + AGAIN_MS[0]), False, (part,)), now_ms)


def retry(mai: "MaiDecider", now_ms: int) -> list[Event | Send]:
    """What could not be given to its department, or failed there, is tried again."""
    due = [one.message for one in mai.state.carries.values() if not one.asked and one.due_ms <= now_ms]
    return [event for message in due for event in ask(mai, message, now_ms)]


def due_ms(state: MaiState) -> list[int]:
    """When something of this is due."""
    return [one.due_ms or one.at_ms + ROOM_MS for one in state.carries.values() if not one.asked]


# -- evolve
def sent(state: MaiState, event: VoiceSent) -> Outgoing:
    """It is on its way."""
    _keep(state, Carry(
        event.request, event.thread, event.n, event.what, event.text, event.subject, event.reply_to, event.at_ms
    ))  # fmt: skip
    _mark(state, event.thread, event.n, "on its way")
    return Outgoing(event.request)


def accepted(state: MaiState, request: str) -> None:
    """Its department is asked, if the request is one of these."""
    if carry := state.carries.get(message_of(request)):
        _keep(state, msgspec.structs.replace(carry, asked=True, tries=carry.tries + 1))


def ended(state: MaiState, event: RequestEnded) -> None:
    """A try has ended, if the request is one of these: it is carried out, or tried again, or that is over."""
    carry = state.carries.get(message_of(event.request))
    if carry is None:
        return
    reason = next((part.reason for part in event.parts if part.reason), event.state)
    pause_ms = AGAIN_MS[min(carry.tries, len(AGAIN_MS)) - 1]
    if failed(event) and event.at_ms + pause_ms < carry.at_ms + CARRY_MS:
        _keep(state, msgspec.structs.replace(carry, asked=False, due_ms=event.at_ms + pause_ms))
        _mark(state, carry.thread, carry.n, f"on its way; it has failed so far: {reason}")
        return
    del state.carries[carry.message]
    state.changed("carry", carry.message, None)
    _mark(state, carry.thread, carry.n, "carried" if event.state == "answered" else reason)


def failed(event: RequestEnded) -> bool:
    """Does its department itself say that it failed?"""
    return event.state == "failed" and all(part.by and not part.by.endswith("/mai") for part in event.parts)


def load(state: MaiState, rows: dict[str, bytes]) -> None:
    """From the rows of her state."""
    state.carries.update({name: msgspec.json.decode(data, type=Carry) for name, data in rows.items()})


def _keep(state: MaiState, carry: Carry) -> None:
    state.carries[carry.message] = carry
    state.changed("carry", carry.message, carry)


def _mark(state: MaiState, thread: str, n: int, carried: str) -> None:
    if line := state.rows.get(noun(thread), key(n), Line):
        state.changed(noun(thread), key(n), msgspec.structs.replace(line, carried=carried))
