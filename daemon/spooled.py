"""What Mai's journal holds of the files in spools, and her rows of those that are still to be moved. Pure."""

from typing import TYPE_CHECKING, ClassVar

import msgspec

from mai.agents.events import Event, register
from mai.daemon.voice_records import Filed, InboundTaken

if TYPE_CHECKING:
    from mai.daemon.desk import MaiState


class Spooled(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file that is on record, and lies in new/ unless it was moved already."""

    channel: str
    file: Filed
    to: str  # cur, bad
    why: str = ""


class SpoolRefused(Event, frozen=True, kw_only=True):
    """A file in a spool was not taken as a message: it is none (bad), or it was delivered before (cur)."""

    kind: ClassVar[str] = "spool.refused"
    channel: str
    file: Filed
    to: str
    why: str
    user: str  # whose file it is
    uid: int
    at_ms: int


class SpoolMoved(Event, frozen=True, kw_only=True):
    """A file that was taken or refused has left new/."""

    kind: ClassVar[str] = "spool.moved"
    channel: str
    file: Filed
    to: str


def fold(state: "MaiState", event: InboundTaken | SpoolRefused | SpoolMoved) -> None:
    """What is to be moved."""
    if event.file is None:
        return
    key = f"{event.channel}/{event.file.name}"
    if isinstance(event, SpoolMoved):
        state.spooled.pop(key, None)
        state.changed("spool", key, None)
        return
    to, why = (event.to, event.why) if isinstance(event, SpoolRefused) else ("cur", "")
    state.spooled[key] = Spooled(event.channel, event.file, to, why)
    state.changed("spool", key, state.spooled[key])


def load(state: "MaiState", rows: dict[str, bytes]) -> None:
    """From the rows of her state."""
    state.spooled.update({key: msgspec.json.decode(data, type=Spooled) for key, data in rows.items()})


register(SpoolRefused, SpoolMoved)
