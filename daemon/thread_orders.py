"""What is asked at Mai's door about channels and conversations: to deliver a message, to read a conversation, to follow it.

A client's user reads the conversation that is his own; auditors read all.
"""

import base64
import binascii
from typing import TYPE_CHECKING, Final

import msgspec

from mai.agents.doors import Role
from mai.agents.plain import readable
from mai.daemon import threads
from mai.daemon.desk import Answered, Request
from mai.daemon.door import Caller, Reply
from mai.daemon.intake import Bearer, Bringing
from mai.daemon.request_form import shown
from mai.daemon.threads import Lately, Line, Said, Thread
from mai.sandbox.errors import Refused, UsageFault

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

MOST: Final = 1000  # lines, or conversations, in one reply
PAGE_BYTES: Final = 4 << 20
LONGEST_NAME: Final = 100  # characters of --as
LONGEST: Final = 500  # characters of --from, --subject, --id


def deliver(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    """A message on a channel; the receipt is given when it is on the disk. Raises UsageFault, Refused."""
    channel = gateway.intake.channel(request.get("channel"))
    guard = gateway.reception.guard
    if not (caller.rights.everything or guard.may_deliver(channel, caller.peer)):
        raise guard.deny(caller, "deliver", f"{caller.user} may not deliver on {channel.name}", channel.name)
    sender, subject, reference = (_word(request, name) for name in ("sender", "subject", "reference"))
    if not sender and channel.parse != "mail":
        raise UsageFault("it is not said from whom it comes", "--from WHO")
    try:
        data = base64.b64decode(str(request.get("content", "")), validate=True)
    except (binascii.Error, ValueError):
        raise UsageFault("its content is not in base64") from None
    brought = Bringing(channel=channel, data=data, sender=sender, subject=subject, reference=reference)
    reply = gateway.intake.take(brought, Bearer(caller.user, caller.uid, role))
    gateway.later(caller, {"receipt": reply})


def _word(request: Reply, name: str) -> str:
    found = request.get(name, "")
    if not isinstance(found, str) or len(found) > LONGEST:
        raise UsageFault(f"the {name} has to be a text of at most {LONGEST} characters")
    return found


def own(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    """The caller's own conversation at this door."""
    _lines(gateway, caller, door_of(caller, request), request)


def door_of(caller: Caller, request: Reply) -> str:
    """The conversation of a caller at this door. Raises UsageFault."""
    who = request.get("as", "")
    if not isinstance(who, str) or len(who) > LONGEST_NAME or readable(who, LONGEST_NAME) != who:
        raise UsageFault(f"{who!r:.80} is no name of a person", f"at most {LONGEST_NAME} characters")
    return threads.door(caller.uid, " ".join(who.split()).lower())


def is_anothers(before: Request | Answered | None, thread: str, role: Role) -> bool:
    """Was this asked by somebody else? Administrators may ask for every answer."""
    return before is not None and bool(before.thread) and before.thread != thread and role != "administrator"


def history(gateway: "Gateway", given: Reply, thread: str, role: Role) -> list[Reply]:
    """The last answers to this caller that fit into a reply, oldest first; to an administrator, all. Raises UsageFault."""
    left_bytes, found = PAGE_BYTES, list[Reply]()
    for data in reversed(gateway.ledger.latest("said", _count(given))):
        kept = gateway.ledger.get("answer", msgspec.json.decode(data, type=Said).request) or b""
        left_bytes -= len(kept)
        if not kept or left_bytes < 0:
            break
        one = msgspec.json.decode(kept, type=Answered)
        if not is_anothers(one, thread, role):
            found.append({**shown(one), "text": one.text, "at_ms": one.at_ms})
    return found[::-1]


def any_(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    """All conversations, or the lines of one."""
    name = request.get("thread")
    if isinstance(name, str) and name:
        if gateway.decider.state.rows.get("thread", name, Thread) is None:
            raise Refused(f"there is no conversation {name!r:.80}", f"they are in: mai thread {gateway.client} --list")
        return _lines(gateway, caller, name, request)
    last = _count(request)
    names = [msgspec.json.decode(data, type=Lately).thread for data in gateway.ledger.latest("lately", last)]
    rows = [data for one in names if (data := gateway.ledger.get("thread", one))]
    caller.answer({"threads": [_thread(msgspec.json.decode(data, type=Thread)) for data in rows]})


def _thread(thread: Thread) -> Reply:
    state = "open" if thread.open else "quiet"
    return {
        "thread": thread.thread, "lines": thread.lines, "state": state, "waiting": len(thread.waiting), "last_ms": thread.last_ms
    }  # fmt: skip


def _lines(gateway: "Gateway", caller: Caller, name: str, request: Reply) -> None:
    follow, after = bool(request.get("follow")), request.get("after")
    if after is not None and (not isinstance(after, int) or after < 0):
        raise UsageFault(f"{after!r:.40} is no number of a line")
    found = page(gateway, name, _count(request), after)
    caller.answer({"thread": name, "lines": found}, more=follow)
    if follow:
        last = found[-1]["n"] if found else lines_of(gateway, name)
        gateway.followers.append(Follower(caller, name, last))


def _count(request: Reply) -> int:
    last = request.get("last", 20)
    if not isinstance(last, int) or not 0 < last <= MOST:
        raise UsageFault(f"{last!r:.40} is no number of lines", f"from 1 to {MOST}")
    return last


def lines_of(gateway: "Gateway", name: str) -> int:
    """How many lines a conversation has, as they are committed."""
    data = gateway.ledger.get("thread", name)
    return msgspec.json.decode(data, type=Thread).lines if data else 0


def page(gateway: "Gateway", name: str, last: int, after: int | None = None) -> list[Reply]:
    """The last lines that are committed, or the first behind a line; oldest first."""
    lines, found, left_bytes = lines_of(gateway, name), list[Reply](), PAGE_BYTES
    first = max(1, lines - last + 1) if after is None else after + 1
    numbers = range(first, min(lines, first + last - 1) + 1)
    for n in numbers if after is not None else reversed(numbers):
        data = gateway.ledger.get(threads.noun(name), threads.key(n))
        if data is None or (left_bytes := left_bytes - len(data)) < 0:
            break
        found.append(_shown(msgspec.json.decode(data, type=Line)))
    return found if after is not None else found[::-1]


def _shown(line: Line) -> Reply:
    whole = {name: getattr(line, name) for name in Line.__struct_fields__}
    return {name: value for name, value in whole.items() if value != "" or name in ("text", "state")}


class Follower:
    """Who reads a conversation as it grows."""

    def __init__(self, caller: Caller, thread: str, last: int) -> None:
        self.caller, self.thread, self._last = caller, thread, last

    def step(self, gateway: "Gateway") -> bool:
        """After a commit: tell what is new; false if nobody reads any more."""
        while not self.caller.gone and (found := page(gateway, self.thread, MOST, self._last)):
            self._last = found[-1]["n"]
            self.caller.answer({"thread": self.thread, "lines": found}, more=True)
        return not self.caller.gone
