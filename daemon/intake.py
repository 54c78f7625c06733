"""Mai takes in what comes on a channel, at her door or from a spool: what is wrong with it, and whether there is room now.

`Unfit` is the fault of what comes, for good; `Refused` says that it cannot be taken now, and may come again.
"""

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from mai.agents.channels import Channel
from mai.agents.doors import Role
from mai.agents.plain import foreign
from mai.daemon.door import Reply
from mai.daemon.threads import Delivered, Letter, Thread
from mai.daemon.voice_records import Filed
from mai.sandbox.errors import Refused, UsageFault

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

LATER: Final = "it is not lost: deliver it again later"


class Bearer(msgspec.Struct, frozen=True):
    """Who brings a message, as the kernel says, and the role under which he may."""

    user: str
    uid: int
    role: Role


class Bringing(msgspec.Struct, frozen=True, kw_only=True):
    """What is brought."""

    channel: Channel
    data: bytes
    sender: str = ""
    subject: str = ""
    reference: str = ""  # the id that who brings it gives it
    file: Filed | None = None


class Intake:
    """Of one client's Mai."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway

    def channel(self, name: object) -> Channel:
        """The channel of that name. Raises UsageFault."""
        organisation = self._gateway.organisation
        if isinstance(name, str) and (found := organisation.channel(name)):
            return found
        known = ", ".join(one.name for one in organisation.channels) or "none: [[channels]] in the organisation file"
        raise UsageFault(f"there is no channel {name!r:.80}", f"the channels are {known}")

    def take(self, brought: Bringing, bearer: Bearer) -> Reply:
        """Take a message in, once; its receipt. Raises UsageFault, Refused."""
        from mai.daemon import letters  # the email package is not imported before there is a mail

        channel, content = brought.channel, hashlib.sha256(brought.data).hexdigest()
        found = letters.read(channel, brought.data, brought.sender, brought.subject, brought.reference)
        self._fits(channel, found.text, found.given)
        named = found.reference or (brought.file.name if brought.file else "")
        message = letters.ident(channel.name, found.sender, named, content)
        rows, thread = self._gateway.decider.state.rows, f"{channel.name}:{found.sender}"
        if (before := rows.get("letter", message, Letter)) is None:
            self._room(channel, thread)
            given = Delivered(
                message, channel.name, thread, found.text, found.subject, found.given, found.reference, content,
                bearer.user, bearer.uid, bearer.role, brought.file,
            )  # fmt: skip
            self._gateway.shell.feed(given)
        elif brought.reference and before.digest != content:
            raise UsageFault(f"the id {brought.reference!r:.80} was used for another message", "choose another --id")
        letter = rows.get("letter", message, Letter)
        assert letter is not None, "what was taken has a row"
        return receipt(letter)

    def _fits(self, channel: Channel, text: str, given: dict[str, object]) -> None:
        """What the organisation's limits and the channel's contract say of it. Raises UsageFault."""
        limit_bytes = self._gateway.decider.limits.request_bytes
        if (size := len(text.encode())) > limit_bytes:
            raise UsageFault(f"its text has {size} bytes, the limit of a request is {limit_bytes}")
        if channel.parse != "json":
            return
        if why := foreign(given):
            raise UsageFault(f"its values cannot be kept: {why}")
        contract = f"{channel.department}.{channel.contract}"
        if channel.contract and (why := self._gateway.decider.fault(contract, "request", given)):
            raise UsageFault(f"it does not fit the contract {contract}: {why}")

    def _room(self, channel: Channel, thread: str) -> None:
        """Is there room for it now? Raises Refused."""
        gateway, state = self._gateway, self._gateway.decider.state
        if going := gateway.going:
            raise Refused(f"the client {gateway.client} is being removed by {going}")
        if gateway.room.low:
            raise Refused(gateway.room.why(), LATER)
        if len(state.requests) >= gateway.decider.limits.queue:
            raise Refused(f"{gateway.decider.limits.queue} requests are open, which is the limit", LATER)
        found = state.rows.get("thread", thread, Thread)
        if found and len(found.waiting) >= channel.waiting:
            raise Refused(f"{channel.waiting} messages of {thread} wait, which is the limit", LATER)
        if (found is None or not found.open) and (why := gateway.decider.closed(f"{gateway.client}/{channel.department}")):
            raise Refused(why, LATER)


def receipt(letter: Letter) -> Reply:
    """What who delivers gets for it: the same each time."""
    channel, _, sender = letter.thread.partition(":")
    return {
        "message": letter.message, "request": letter.message, "channel": channel, "from": sender, "thread": letter.thread,
        "line": letter.n, "at_ms": letter.at_ms,
    }  # fmt: skip
