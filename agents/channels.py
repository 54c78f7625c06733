"""Channels: the ways on which people outside write to a client and are answered; and Mai's voice. Pure."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from mai.agents.parts import Bytes, Count, Name, Part, Seconds, Word

Parse = Literal["text", "mail", "json"]
Notice = Annotated[float, Meta(ge=0, le=86_400)]
CARRIER: Final = "carrier"  # the built-in operator that carries answers out
HANDLER: Final = "mai:carrier"  # what stands in an organisation for its code
TRY: Final = "."  # in the id of a further try to carry the same message out: `R!answer2.2`
CARRY: Final = "carry_"  # and the channel's name: the contract under which Mai gives it an answer
DOOR: Final = "door"  # stands for a channel in the name of a conversation at Mai's own door
OUT: Final[dict[str, object]] = {  # what a channel's tool may take, and `key`
    "to": "str",  # the person, as the channel names him
    "subject": "str", "text": "str",
    "message": "str",  # the id of what is carried out: the same each time
    "reply_to": "str",  # the id that the person's own message came with, "" if none
    "what": "str",  # answer, notice, later
    "thread": "str",
}  # fmt: skip


class Channel(Part, frozen=True, kw_only=True):
    """One way from outside, and who answers what comes on it."""

    name: Word
    department: Name
    about: str = ""
    parse: Parse = "text"
    contract: str = ""  # of that department, which gets the fields of what comes; "": it gets a free text
    desk: tuple[Name, ...] = ()  # who gets a free text, best first; none: the operators of the department
    tool: str = ""  # of that department: carries answers out; "": they are only to be read, with `mai thread`
    spool: bool = False  # is there a directory for it, into which files are put?
    users: tuple[str, ...] = ()  # of those with the role deliverer, who may deliver here; nobody named: all of them
    groups: tuple[str, ...] = ()
    message_bytes: Annotated[int, Meta(ge=1 << 10, le=512 << 10)] = 256 << 10  # one message, as it comes
    waiting: Count = 20  # messages of one person that wait for the answer to an earlier one
    answer_s: Seconds = 3600.0  # until when a message is to be answered
    interim_s: Notice = 900.0  # how long a person waits before being told that it takes longer; 0: never


class Voice(Part, frozen=True, kw_only=True):
    """How Mai talks."""

    interim_s: Notice = 20.0  # at her own door; each notice comes after four times the time of the one before; 0: none
    history: Count = 10  # lines of a conversation that the agent gets with a message
    history_bytes: Bytes = 16 << 10  # and their size


def message_of(request: str) -> str:
    """The message that a try carries out, of the id of its request."""
    head, mark, tail = request.rpartition("!")
    return head + mark + tail.partition(TRY)[0] if mark else request


def key_of(key: str) -> str:
    """The key that a tool is given for an effect: for each try of one message the same, so that it is told once."""
    request, slash, rest = key.partition("/")
    return message_of(request) + slash + rest
