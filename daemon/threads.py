"""Conversations: what a person and Mai have said to each other, line by line, as rows of her state. Pure.

A thread is named CHANNEL:PERSON; at Mai's own door door:UID. The rows, all of them folds of her journal:

    thread            THREAD            how many lines it has, what is open in it, what waits
    line/THREAD       000000001         one line
    told/THREAD       digest            what was last told of one contract with one input
    stalled           THREAD            a conversation whose next message waits for room in its department
    lately            time/THREAD       the conversations in the order of their last lines, by the minute
    letter            MESSAGE           a message that came in on a channel: its repetition is known by it
    carry             MESSAGE           something that is on its way out on a channel
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from mai.agents.body import Fields
from mai.agents.channels import DOOR
from mai.agents.decider import Input
from mai.agents.state import Change, State
from mai.daemon.voice_records import Filed

PERSON: Final = "person"  # who has said a line: he, or …
MAI: Final = "mai"
DIGITS: Final = 9  # of a line's number in its key


class Thread(msgspec.Struct, frozen=True, omit_defaults=True):
    """One conversation."""

    thread: str
    lines: int = 0
    open: str = ""  # the request that a message on a channel has become; the next one waits for its end
    until_ms: int = 0  # by when that has ended
    waiting: tuple[str, ...] = ()  # messages, in the order in which they came
    last_ms: int = 0
    listed_ms: int = 0  # of its row in `lately`


class Lately(msgspec.Struct, frozen=True):
    """A conversation in the list of those that were held lately."""

    thread: str


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a conversation."""

    n: int
    who: str  # person, mai
    what: str  # message; answer, notice, later (than the request's end)
    text: str
    request: str
    at_ms: int
    state: str = ""  # of an answer
    by: str = ""  # the departments whose answer it is
    note: str = ""  # what stands before the text: that it corrects an earlier line, or comes after notices
    subject: str = ""  # of a message on a channel
    carried: str = ""  # on a channel: "on its way", "carried", or why not


class Told(msgspec.Struct, frozen=True):
    """What was last told about one contract with one input."""

    state: str
    value: str  # digest
    n: int  # the line
    at_ms: int


class Stalled(msgspec.Struct, frozen=True):
    """A conversation whose next message waits until its department takes one."""

    thread: str
    message: str
    why: str
    at_ms: int
    until_ms: int


class Said(msgspec.Struct):
    """One line of the client's history: which request was answered."""

    request: str


class Letter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message that came on a channel."""

    message: str
    channel: str
    thread: str
    n: int  # its line
    digest: str  # of its content
    at_ms: int
    subject: str = ""
    reference: str = ""  # the id that it came with
    given: Fields = {}
    user: str = ""
    uid: int = -1
    role: str = ""


class Carry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that is to leave on a channel."""

    message: str
    thread: str
    n: int  # its line
    what: str
    text: str
    subject: str
    reply_to: str
    at_ms: int
    asked: bool = False  # is its department asked to carry it out?
    tries: int = 0  # how often it was asked
    due_ms: int = 0  # not before this


class Delivered(Input, frozen=True):
    """A message has come on a channel; all about it was looked at (inbound.py says what of)."""

    message: str
    channel: str
    thread: str
    text: str
    subject: str
    given: Fields
    reference: str
    digest: str
    user: str
    uid: int
    role: str
    file: Filed | None = None


class Next(Input, frozen=True):
    """The next message of a conversation may be worked on."""

    thread: str


class Leave(Input, frozen=True):
    """A line is to leave on its channel."""

    thread: str
    n: int


class Outgoing(Input, frozen=True):
    """It is on record that it leaves: its department is asked to carry it out."""

    message: str


LISTED_MS: Final = 60_000
T = TypeVar("T", bound=msgspec.Struct)


class Rows:
    """Rows of state by key: as this turn has changed them, else as they were committed.

    A fold looks here: what it finds follows from the journal alone. `load` reads the ledger; without one there is nothing.
    """

    def __init__(self, changes: Mapping[Change, Any]) -> None:
        self._changes = changes
        self.load: Callable[[str, str], bytes | None] = lambda noun, key: None

    def get(self, noun: str, key: str, kind: type[T]) -> T | None:
        """A row; None if there is none."""
        if (noun, key) in self._changes:
            found = self._changes[noun, key]
            return found if isinstance(found, kind) else None
        data = self.load(noun, key)
        return msgspec.json.decode(data, type=kind) if data else None


def door(uid: int, who: str = "") -> str:
    """The thread of a user at Mai's own door, or of one of several for whom he speaks."""
    return f"{DOOR}:{uid}/{who}" if who else f"{DOOR}:{uid}"


def channel_of(thread: str) -> str:
    """The channel of a thread; "" for one at the door."""
    channel = thread.partition(":")[0]
    return "" if channel == DOOR else channel


def person_of(thread: str) -> str:
    """With whom it is held."""
    return thread.partition(":")[2]


def noun(thread: str) -> str:
    """Under which the lines of a thread are kept."""
    return f"line/{thread}"


def key(n: int) -> str:
    """The key of a line."""
    return f"{n:0{DIGITS}}"


def add(state: State, rows: Rows, name: str, line: Line, *waiting: str) -> int:
    """Add a line to a conversation, with what waits in it then; returns the line's number."""
    thread = rows.get("thread", name, Thread) or Thread(name)
    n, listed_ms = thread.lines + 1, thread.listed_ms
    if not listed_ms or abs(line.at_ms - listed_ms) >= LISTED_MS:
        if listed_ms:
            state.changed("lately", f"{listed_ms:015}/{name}", None)
        listed_ms = line.at_ms
        state.changed("lately", f"{listed_ms:015}/{name}", Lately(name))
    thread = msgspec.structs.replace(
        thread, lines=n, last_ms=line.at_ms, listed_ms=listed_ms, waiting=(*thread.waiting, *waiting)
    )  # fmt: skip
    state.changed("thread", name, thread)
    state.changed(noun(name), key(n), msgspec.structs.replace(line, n=n))
    return n
