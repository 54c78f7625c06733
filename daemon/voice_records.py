"""What Mai's journal holds of conversations and channels. Pure."""

from typing import ClassVar

import msgspec

from mai.agents.body import Fields
from mai.agents.events import Event, register


class Filed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where in a spool a message lay."""

    name: str  # of the file
    inode: int
    size: int
    mtime_ns: int


class InboundTaken(Event, frozen=True, kw_only=True):
    """A message from outside was taken in on a channel: from here on it is answered, once."""

    kind: ClassVar[str] = "inbound.taken"
    request: str  # the message's id, and the id of the request that it becomes
    channel: str
    thread: str
    text: str
    subject: str = ""
    given: Fields = msgspec.field(default_factory=dict)  # what a JSON object said
    reference: str = ""  # the id that it came with
    digest: str  # SHA-256 of its content
    at_ms: int
    user: str  # who has delivered it
    uid: int
    role: str
    file: Filed | None = None  # None: at the door


class InboundWaits(Event, frozen=True, kw_only=True):
    """It is this message's turn in its conversation, and its department takes nothing more now: it waits for that."""

    kind: ClassVar[str] = "inbound.waits"
    request: str
    thread: str
    why: str
    at_ms: int
    until_ms: int  # then it is given out all the same, and refused if that is still so


class VoiceSaid(Event, frozen=True, kw_only=True):
    """Mai tells a person something beside the answers to his requests."""

    kind: ClassVar[str] = "voice.said"
    request: str
    thread: str
    what: str  # notice, later
    text: str
    at_ms: int
    note: str = ""
    state: str = ""
    by: str = ""
    task: str = ""  # later: whose answer it is …
    value: str = ""  # … and the digest of its values
    next_ms: int = 0  # when the next notice is due


class VoiceSent(Event, frozen=True, kw_only=True):
    """What Mai tells somebody on a channel leaves her, as `request`: a request of her own to the channel's department."""

    kind: ClassVar[str] = "voice.sent"
    request: str
    thread: str
    n: int  # the line that it is
    what: str
    text: str
    subject: str
    reply_to: str
    at_ms: int


register(InboundTaken, InboundWaits, VoiceSaid, VoiceSent)
