"""The client's memory, as Mai keeps it: read and written for agents under their scope, which she looks at herself. Pure.

Each message has one answer, and one fact before it: what was read, what was written, or why not. A department that asks in
the name of another's agent, or for what the organisation does not give to its own, is refused on record.
"""

from typing import TYPE_CHECKING, Any, Final, assert_never

from mai.agents import recollection, remembering, scopes
from mai.agents.body import Fields
from mai.agents.data_scope import under
from mai.agents.decider import VIA_MAI, Send
from mai.agents.events import Event
from mai.agents.given import LONGEST_NAME
from mai.agents.kept import Shelf
from mai.agents.memory import MemoryRead, MemoryRefused
from mai.agents.memory_messages import Browse, Forget, Recall, Recalled, Remember
from mai.agents.plain import NotPlain, plain, readable
from mai.agents.remembering import MOST_LISTED, PAGES, Desk, Outcome
from mai.daemon.desk import LONGEST_ID, Memory

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

SHELF: Final = Shelf("client")
SHOWN: Final = 200  # characters of a name that is refused
Body = Recall | Remember | Forget | Browse


def decide(mai: "MaiDecider", memory: Memory, now_ms: int) -> list[Event | Send]:
    """One message about it."""
    body, peer = memory.body, memory.peer
    call, given = _asked(body)
    if why := _late(memory, now_ms) or _wrong(mai, peer, body, call, given):
        return _refused(peer, body, call, given, why)
    _, department, agent = body.agent.split("/")
    verdict = scopes.judge(mai.mandate.organisation, department, agent, call, str(given.get("key", "")))
    kept_back = mai.scopes.kept_back(department, under(body.key, body.value)) if isinstance(body, Remember) else ""
    if why := verdict.refused or kept_back:
        return _refused(peer, body, call, given, why)
    limits, keeping = mai.limits, mai.mandate.organisation.memory
    desk = Desk(
        mai.state, SHELF, recollection.bounds(keeping, limits, "client"), now_ms, body.agent, body.agent,
        body.id.rpartition(VIA_MAI)[0], admits=verdict.admits, told=False,
    )  # fmt: skip
    came = remembering.do(desk, call, given)
    if came.refused:
        return [*came.events, *_refused(peer, body, call, given, came.refused)]
    read = [_read(body, call, given, came)] if call in remembering.READS else []
    value = remembering.unscored(came.value) if call in PAGES else came.value
    found = bool(came.n) or call in PAGES or call == "forget"
    return [*came.events, *read, Send(peer, f"{body.id}=", 0, Recalled(body.id, found, value, n=came.n))]


def _asked(body: Body) -> tuple[str, Fields]:
    """The call, and what it was given, as remembering.do takes it."""
    match body:
        case Recall():
            return "recall", {"key": body.key, **({"version": body.version} if body.version else {})}
        case Remember():
            return "remember", {"key": body.key, "value": body.value, "expires_ms": body.expires_ms}
        case Forget():
            return "forget", {"key": body.key}
        case Browse():
            return body.call, body.given
        case never:
            assert_never(never)


def _late(memory: Memory, now_ms: int) -> str:
    return "it came after its deadline" if 0 < memory.deadline_ms <= now_ms else ""


def _wrong(mai: "MaiDecider", peer: str, body: Body, call: str, given: Fields) -> str:
    """Why this is nothing that an agent of that process could ask; "" if it is."""
    if not body.agent.startswith(f"{peer}/") or body.agent.count("/") != 2:
        return f"{peer} asks in the name of {readable(body.agent, SHOWN)}"
    if len(body.id) > LONGEST_ID:
        return "its id is too long"
    if call not in remembering.CALLS or (isinstance(body, Browse) and call not in PAGES):
        return f"there is no call {readable(call, SHOWN)!r}"
    return _misfit(call, given) or _too_large(mai, given)


def _misfit(call: str, given: Fields) -> str:
    names = {"recall_all": ("prefix", "after"), "search": ("text",)}.get(call, ("key",))
    for name in names:
        value = given.get(name)
        if not isinstance(value, str) or (name != "text" and len(value) > LONGEST_NAME):
            return f"its {name} is no text of at most {LONGEST_NAME} characters"
    numbers: dict[str, Any] = {"limit": given.get("limit", 1), "version": given.get("version", 1)}
    if not all(isinstance(one, int) for one in numbers.values()) or not 1 <= numbers["limit"] <= MOST_LISTED:
        return f"its limit is no number from 1 to {MOST_LISTED}"
    return "its limit is missing" if call in ("recall_all", "search") and "limit" not in given else ""


def _too_large(mai: "MaiDecider", given: Fields) -> str:
    try:
        plain(given.get("value"), recollection.value_bytes(mai.mandate.organisation.memory, mai.limits))
    except NotPlain as fault:
        return str(fault)
    return ""


def _refused(peer: str, body: Body, call: str, given: Fields, why: str) -> list[Event | Send]:
    why = readable(why)
    refused = MemoryRefused(
        agent=readable(body.agent, SHOWN), level="client", key=_named(given), call=readable(call, SHOWN), rule=why, peer=peer,
        id=readable(body.id, LONGEST_ID),
    )  # fmt: skip
    return [refused, Send(peer, f"{body.id}=", 0, Recalled(body.id, False, None, why))]


def _read(body: Body, call: str, given: Fields, came: Outcome) -> MemoryRead:
    found = bool(came.value["items"]) if call in PAGES else came.n > 0
    n = 0 if call in PAGES else came.n
    return MemoryRead(
        agent=body.agent, level="client", key=_named(given), found=found, value=came.value, n=n, call=call, given=given,
        id=body.id,
    )  # fmt: skip


def _named(given: Fields) -> str:
    """What was asked for: a key, the beginning of keys, or the words of a search."""
    name = next((given[name] for name in ("key", "prefix", "text") if name in given), "")
    return readable(name, SHOWN) if isinstance(name, str) else ""
