"""Which keys a Mai accepts, and with which each process speaks, as her journal has it. Pure.

A message counts only if its connection has proven a key that she accepts. So from her journal alone it can be told which key
stood behind each message that she took.
"""

from typing import TYPE_CHECKING, ClassVar

import msgspec
from msgspec import field

from mai.agents.events import Event, register

if TYPE_CHECKING:
    from mai.daemon.desk import MaiState


class KeysKnown(Event, frozen=True, kw_only=True):
    """From now on these keys are good, and no others."""

    kind: ClassVar[str] = "keys.known"
    own: str  # her own key's fingerprint
    known: dict[str, str]  # fingerprint -> process


class KeySpoken(Event, frozen=True, kw_only=True):
    """A process speaks with this key from now on."""

    kind: ClassVar[str] = "key.spoken"
    process: str
    key: str  # fingerprint
    at_ms: int


register(KeysKnown, KeySpoken)


class Spoken(msgspec.Struct):
    """The key that a process speaks with."""

    key: str
    since_ms: int


class Keyed(msgspec.Struct):
    """What is known of keys."""

    own: str = ""
    known: dict[str, str] = field(default_factory=dict)
    spoken: dict[str, Spoken] = field(default_factory=dict)  # by process


def learned(state: "MaiState", own: str, known: dict[str, str]) -> list[KeysKnown]:
    """To be put on record if it differs from what is known."""
    return [] if (own, known) == (state.keyed.own, state.keyed.known) else [KeysKnown(own=own, known=known)]


def spoke(state: "MaiState", process: str, key: str, now_ms: int) -> list[KeySpoken]:
    """A process was heard with this key: to be put on record if it is another than before."""
    before = state.keyed.spoken.get(process)
    return [] if before and before.key == key else [KeySpoken(process=process, key=key, at_ms=now_ms)]


def fold(state: "MaiState", event: KeysKnown | KeySpoken) -> None:
    """Fold one fact."""
    keyed = state.keyed
    if isinstance(event, KeysKnown):
        keyed.own, keyed.known = event.own, dict(event.known)
        keyed.spoken = {name: one for name, one in keyed.spoken.items() if keyed.known.get(one.key) == name}
    else:
        keyed.spoken = {**keyed.spoken, event.process: Spoken(event.key, event.at_ms)}
    state.changed("keyed", "", keyed)


def load(state: "MaiState", rows: dict[str, bytes]) -> None:
    """From the rows of her state."""
    if data := rows.get(""):
        state.keyed = msgspec.json.decode(data, type=Keyed)
