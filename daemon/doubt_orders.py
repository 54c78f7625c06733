"""What a person asks at Mai's door about effects in doubt: which there are, and to resolve one.

Who it was is the unix user at the other end of the socket. What is wrong is refused there, before anything is journaled.
"""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.decider import room_bytes, too_large
from mai.agents.plain import NotPlain, plain
from mai.agents.shell import now_ms
from mai.daemon import doubts
from mai.daemon.desk import Doubtful, Resolving
from mai.daemon.door import Caller, Reply
from mai.daemon.doubts import Ruling
from mai.sandbox.errors import Refused, UsageFault

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

MOST: Final = 300  # effects that are shown at once, of those in doubt and of those resolved
LONGEST_NOTE: Final = 1000
LIST: Final = "mai effects list {}"


def shown(gateway: "Gateway", request: Reply) -> Reply:
    """The effects in doubt, oldest first, and with `all` those resolved, too; with `key` only that one."""
    key = request.get("key")
    rulings = [_ruled(one) for one in _rulings(gateway)] if request.get("all") else []
    open_ = [_open(one) for one in gateway.decider.state.doubts.values()]
    found = [one for one in (*rulings, *open_) if key in (None, one["key"])]
    return {"effects": found[-MOST:], "older": max(0, len(found) - MOST)}


def resolve(gateway: "Gateway", caller: Caller, request: Reply) -> Reply:
    """Resolve one, and say what becomes of its task. Raises Refused, UsageFault; the answer is for after the commit."""
    found = _found(gateway, request.get("key"))
    given = Resolving(found.doubt.key, *_said(gateway, request), by=caller.user, note=_note(request.get("note", "")))
    if why := too_large(doubts.order(found, given), gateway.decider.limits.message_bytes):
        raise UsageFault(f"the value cannot be sent: {why}", "give a smaller one")
    gateway.shell.feed(given)
    return {"effect": {**_open(found), "state": state_of(given.happened), "value": given.value, "by": given.by}}


def state_of(happened: bool) -> str:
    """How an effect stands that was in doubt."""
    return "happened" if happened else "did not happen"


def _found(gateway: "Gateway", key: object) -> Doubtful:
    client = gateway.client
    if not isinstance(key, str):
        raise UsageFault(f"{key!r:.80} is no key of an effect", f"the keys are in: {LIST.format(client)}")
    if found := gateway.decider.state.doubts.get(key):
        return found
    if ruling := next((one for one in _rulings(gateway)[::-1] if one.doubt.key == key), None):
        said = f"{ruling.by} has said already that {ruling.doubt.tool} {state_of(ruling.happened)} (key {key})"
        raise Refused(said, f"what is on record: mai effects show {key}")
    raise Refused(f"no effect of {client} with the key {key:.200} is in doubt", f"those in doubt are in: {LIST.format(client)}")


def _said(gateway: "Gateway", request: Reply) -> tuple[bool, Any]:
    """Whether it happened, and the value that it gave."""
    happened, value = request.get("happened"), request.get("value")
    if not isinstance(happened, bool):
        raise UsageFault("it is not said whether it happened", "--happened or --did-not")
    if not happened and value is not None:
        raise UsageFault("what did not happen has no value", "leave --value away, or say --happened")
    try:
        return happened, plain(value, room_bytes(gateway.decider.limits.message_bytes))
    except NotPlain as fault:
        raise UsageFault(f"the value is {fault}", 'expected JSON, such as 5, "text" or {"id": 5}') from None


def _note(note: object) -> str:
    if not isinstance(note, str) or len(note) > LONGEST_NOTE or note.encode(errors="replace").decode() != note:
        raise UsageFault("this is no note", f"a text of at most {LONGEST_NOTE} characters")
    return note


def _rulings(gateway: "Gateway") -> list[Ruling]:
    """The last ones, oldest first; as they were committed."""
    return [msgspec.json.decode(data, type=Ruling) for data in gateway.ledger.latest("ruling", MOST)]


def _open(found: Doubtful) -> Reply:
    doubt = msgspec.to_builtins(found.doubt)
    ended = found.doubt.ended or found.doubt.deadline_ms <= now_ms()  # whether or not its department is there to say so
    return {**doubt, "ended": ended, "state": "in doubt", "process": found.process, "since_ms": found.at_ms}


def _ruled(ruling: Ruling) -> Reply:
    return {
        **msgspec.to_builtins(ruling.doubt), "state": state_of(ruling.happened), "process": ruling.process,
        "since_ms": ruling.raised_ms, "value": ruling.value, "by": ruling.by, "note": ruling.note, "resolved_ms": ruling.at_ms,
    }  # fmt: skip
