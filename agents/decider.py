"""What every process has in common when it decides: numbered messages, and the order of decide and evolve. Pure.

A decider is asked `decide(input, now_ms) -> events and sends`; each event is journaled and then folded by `evolve`,
which may bring further inputs. The shell (shell.py) is the only one that knows of disk and wire.
"""

from typing import Protocol

import msgspec

from mai.agents import erased
from mai.agents.errand_messages import Think
from mai.agents.events import Acked, Event, Received, Sent, counted
from mai.agents.link import Flight, settle
from mai.agents.messages import Numbered
from mai.agents.state import State

VIA_MAI = ".m"  # marks the id of what a task asks through Mai; behind it the step's number, 0 for none
ENVELOPE_BYTES = 4096  # what stands around a body or a value: names, ids, a reason
TEXT_BYTES = 80  # around each text that goes with a message
LIST_BYTES = 250  # for each message, at the most, in the lists that a question refers to


class Send(msgspec.Struct, frozen=True):
    """A message that a decision owes to a peer; the shell gives it its number on the link."""

    to: str
    id: str
    deadline_ms: int
    body: Numbered


class Input(msgspec.Struct, frozen=True):
    """Something to decide about."""


class Tick(Input, frozen=True):
    """Time went by: deadlines may have passed."""


class Decider(Protocol):
    """The pure half of a process."""

    @property
    def state(self) -> State:
        """What it knows."""

    def decide(self, given: Input, now_ms: int) -> list[Event | Send]:
        """Turn an input into facts and sends. Never changes the state."""

    def evolve(self, event: Event, seq: int) -> list[Input]:
        """Fold one fact into the state; returns what has to be decided because of it."""

    def taken(self, received: Received) -> list[Input]:
        """The inputs that a message brings."""

    def next_deadline_ms(self) -> int:
        """When a Tick is due; 0 for never."""


def fold_link(state: State, event: Event, seq: int) -> bool:
    """Fold what all processes have, of a link or of an erasure; False if the event is of another kind."""
    match event:
        case Sent():
            _sent(state, event.to, event.lseq, seq)
        case Received():
            _received(state, event.sender, event.lseq)
        case Acked():
            _acked(state, event.peer, event.received)
        case erased.Values():
            erased.fold(state, event)
        case _:
            return False
    return True


def fold_counted(state: State, kind: str, body: str, seq: int) -> bool:
    """The same from a record's body, for who folds many: what the message says is left undecoded. Raises MsgspecError."""
    if kind == Received.kind:
        one = counted(body)
        _received(state, one.sender, one.lseq)
    elif kind == Sent.kind:
        one = counted(body)
        _sent(state, one.to, one.lseq, seq)
    elif kind == Acked.kind:
        one = counted(body)
        _acked(state, one.peer, one.received)
    else:
        return False
    return True


def _sent(state: State, to: str, lseq: int, seq: int) -> None:
    link, transit = state.link(to), state.transit(to)
    link.sent = lseq
    transit.waiting.append(Flight(lseq, seq, b""))
    link.oldest = link.oldest or seq
    state.changed("link", to, link)


def _received(state: State, sender: str, lseq: int) -> None:
    link = state.link(sender)
    link.received = lseq
    state.changed("link", sender, link)


def _acked(state: State, peer: str, received: int) -> None:
    link = state.link(peer)
    settle(link, state.transit(peer), received)
    state.changed("link", peer, link)


def sooner_ms(now_ms: int, deadline_ms: int) -> int:
    """The deadline of a part: a little before that of the whole, so that its failure can still be answered."""
    return min(deadline_ms - 1, now_ms + (deadline_ms - now_ms) * 97 // 100)


def crowded(state: State, peer: str, queue: int) -> str:
    """Why nothing new may be sent to a peer that does not take what waits for it; "" if it may.

    Twice what may be open: a burst that is on its way is no fault. What is owed to what is open already goes all the same.
    """
    waiting = len(state.transit(peer).waiting)
    return f"{waiting} messages wait for {peer}, which does not take them; ask again later" if waiting >= 2 * queue else ""


def room_bytes(message_bytes: int) -> int:
    """How large a value may be so that a message with it is within the limit, whatever else it says."""
    return message_bytes - ENVELOPE_BYTES


def too_large(body: Numbered, message_bytes: int) -> str:
    """Why this must not be sent, "" if it may: the receiver would refuse it, and all that comes after it on the link."""
    texts = 0
    if isinstance(body, Think):
        around = TEXT_BYTES + (LIST_BYTES if body.inquiry.talk else 0)
        texts = body.inquiry.size + around * body.inquiry.total
    size, most = len(msgspec.msgpack.encode(body)) + texts, message_bytes - ENVELOPE_BYTES // 2
    return f"it has {size} bytes, the limit of a message is {message_bytes}" if size > most else ""
