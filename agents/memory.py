"""The facts of memory, and what they do to the state. Pure.

    memory.written     a new version of a key; the oldest of too many goes
    memory.forgotten   all versions of a key are gone
    memory.expired     a version's time is over; with the newest all others go
    memory.read        Mai has read the client's memory for an agent, with what she found (a department's own reads are steps)
    memory.refused     Mai has not, and why

Whoever writes a version says in its event which versions there are then: the fold looks nothing up.
"""

from typing import Any, ClassVar

import msgspec

from mai.agents.body import Fields
from mai.agents.events import Event, Remembered, register
from mai.agents.kept import FADING, Fading, Kept, Shelf, Version, place
from mai.agents.state import State


class MemoryForgotten(Event, frozen=True, kw_only=True):
    """An agent had a key forgotten."""

    kind: ClassVar[str] = "memory.forgotten"
    request: str = ""
    task: str = ""
    agent: str  # as in Remembered
    level: str
    key: str
    n: int  # the newest version that there was
    oldest: int
    by: str = ""


class MemoryExpired(Event, frozen=True, kw_only=True):
    """The time of a version is over. `whole`: it was the newest one, and all others have gone with it."""

    kind: ClassVar[str] = "memory.expired"
    agent: str  # the owner, at the level of agents
    level: str
    key: str
    n: int
    oldest: int
    whole: bool
    due_ms: int


class MemoryRead(Event, frozen=True, kw_only=True):
    """The client's memory was read for an agent, with what it got."""

    kind: ClassVar[str] = "memory.read"
    agent: str
    level: str
    key: str  # or the beginning of keys, or what was searched for
    found: bool
    value: Any = None  # of a list or a search: a Page, with scores
    n: int = 0  # the version that was read
    call: str = "recall"
    given: Fields = msgspec.field(default_factory=dict)
    id: str = ""  # of the message that asked


class MemoryRefused(Event, frozen=True, kw_only=True):
    """The client's memory was not read or written for an agent: it is out of its scope, or cannot be."""

    kind: ClassVar[str] = "memory.refused"
    agent: str
    level: str
    key: str
    call: str
    rule: str
    peer: str  # the process that asked
    id: str


register(MemoryForgotten, MemoryExpired, MemoryRead, MemoryRefused)


def shelf_of(event: Remembered | MemoryForgotten | MemoryExpired) -> Shelf:
    """Where it is: `agent` is the owner at the level of agents only; at the client's it is who has written."""
    return Shelf(event.level, event.agent if event.level == "agent" else "")


def fold(state: State, event: Event) -> bool:
    """Fold a fact of memory; False if it is another."""
    match event:
        case Remembered():
            _written(state, event)
        case MemoryForgotten():
            _gone(state, shelf_of(event), event.key, event.oldest, event.n)
        case MemoryExpired(whole=True):
            _gone(state, shelf_of(event), event.key, event.oldest, event.n)
        case MemoryExpired():
            _gone_version(state, shelf_of(event), event.key, event.n)
        case _:
            return False
    return True


def _written(state: State, event: Remembered) -> None:
    shelf, key, n = shelf_of(event), event.key, event.n or 1  # before there were versions each was the first
    oldest = event.oldest or n
    state.changed(shelf.items, key, Kept(n, oldest, event.at_ms, event.expires_ms))
    version = Version(event.value, event.at_ms, event.by, event.task, event.expires_ms)
    state.changed(shelf.versions, f"{key}/{n}", version)
    for old in range(event.was or n, oldest):
        _gone_version(state, shelf, key, old)
    if event.expires_ms:
        fading = Fading(shelf.level, shelf.owner, key, n, event.expires_ms)
        state.fading.put(place(shelf, key, n), fading)
        state.changed(FADING, place(shelf, key, n), fading)


def _gone(state: State, shelf: Shelf, key: str, oldest: int, n: int) -> None:
    state.changed(shelf.items, key, None)
    for old in range(oldest, n + 1):
        _gone_version(state, shelf, key, old)


def _gone_version(state: State, shelf: Shelf, key: str, n: int) -> None:
    state.changed(shelf.versions, f"{key}/{n}", None)
    if state.fading.drop(place(shelf, key, n)):
        state.changed(FADING, place(shelf, key, n), None)
