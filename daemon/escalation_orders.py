"""What a person asks at Mai's door about escalations: which there are, and to answer or refuse one.

Who it was is the unix user at the other end of the socket. What is wrong is refused there, before anything is journaled.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.body import Fields
from mai.agents.decider import room_bytes, too_large
from mai.agents.doors import Role
from mai.agents.plain import NotPlain, plain, readable
from mai.agents.shell import now_ms
from mai.agents.standby import WORKERS
from mai.agents.triggers import TO
from mai.daemon import escalations, referring
from mai.daemon.crier import Cried
from mai.daemon.door import Caller, Reply
from mai.daemon.escalations import Answering
from mai.daemon.parking import LINE, PAST, Line, Row
from mai.sandbox.errors import Refused, UsageFault

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

MOST: Final = 500  # shown at once
LONGEST_REASON: Final = 1000
LIST: Final = "mai escalations list {}"


def shown(gateway: "Gateway", request: Reply) -> Reply:
    """The open escalations, those first that are due first, and with `all` those of the past; with `id` only that one."""
    ident = request.get("id")
    if ident is not None:
        one = _known(gateway, str(ident)[:4096])
        return {"escalations": [_whole(one)] if one else [], "left_out": 0}
    parking, past = gateway.decider.state.parking, list[Row]()
    rows = sorted(parking.open(), key=lambda row: row.due_ms)
    if request.get("all"):
        past = [*_past(gateway), *(row for row in parking.rows.values() if row.state)]
    found = [*past[-MOST:], *rows[: MOST - min(len(past), MOST // 2)]]
    return {"escalations": [_brief(row) for row in found], "left_out": len(rows) + len(past) - len(found)}


class Sight:
    """What onlookers of escalations see."""

    word = "escalations"

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway

    def command(self) -> tuple[str, ...]:
        """What announces new ones."""
        return self._gateway.organisation.escalation.announce

    def all(self) -> Reply:
        """What waits already."""
        return shown(self._gateway, {})

    def told(self, ident: str) -> Reply | None:
        """One that waits."""
        row = self._gateway.decider.state.parking.rows.get(ident)
        return _brief(row) if row and not row.state else None

    def unannounced(self) -> Iterable[str]:
        """Those that no command has been told of."""
        return self._gateway.decider.state.parking.unannounced

    def announced(self, how: Cried) -> escalations.Announced:
        """How the command has ended."""
        return escalations.Announced(*how)


def answer(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> Reply:
    """Answer one, or refuse it. Raises Refused, UsageFault; the reply is for after the commit."""
    row = _open(gateway, request.get("id"))
    given = _said(gateway, caller, request, role, row)
    mai = gateway.decider
    if why := too_large(escalations.order(mai, row.body, given), mai.limits.message_bytes):
        raise UsageFault(f"the answer cannot be sent: {why}", "give a smaller value")
    gateway.shell.feed(given)
    return {"escalation": _whole(row)}  # which may have gone to those that are over, with its request


def _said(gateway: "Gateway", caller: Caller, request: Reply, role: Role, row: Row) -> Answering:
    """What the person says, held to what the asker takes. Raises UsageFault."""
    refused = request.get("refused", "")
    if not isinstance(refused, str) or len(refused) > LONGEST_REASON:
        raise UsageFault("this is no reason", f"a text of at most {LONGEST_REASON} characters")
    who: tuple[str, int, str] = (caller.user, caller.uid, role)
    if refused:
        return Answering(row.body.id, "refused", "", {}, readable(refused, LONGEST_REASON), *who)
    text, value = request.get("text", ""), request.get("value")
    if not isinstance(text, str) or not isinstance(value, dict | None) or not (text.strip() or value):
        raise UsageFault(
            "an answer has a text, or a value that is an object", 'such as --text "Pay it." or --value \'{"cents": 5}\''
        )
    room = room_bytes(gateway.decider.limits.message_bytes)
    try:
        kept: Fields = plain({"text": text, "value": value or {}}, room)
    except NotPlain as fault:
        raise UsageFault(f"the answer is {fault}", "a text, and JSON that others can read") from None
    if why := _fault(gateway, row, kept["value"]):
        raise UsageFault(f"the answer goes to who asked for {row.body.contract or 'it'} as it is: {why}", _wanted(gateway, row))
    return Answering(row.body.id, "answered", kept["text"], kept["value"], "", *who)


def _fault(gateway: "Gateway", row: Row, value: Fields) -> str:
    """Why it cannot be the answer of the task itself; "" if it can, or is looked at by code first."""
    body, mai = row.body, gateway.decider
    if body.plea.cause == "doubt" and TO in value and not referring.is_mine(mai, row):
        department, name = row.process.partition("/")[2], value[TO]
        known = isinstance(name, str) and mai.table.rank(department, name) in WORKERS
        return "" if known else f"{department} has no worker {name!r:.60}"
    why = mai.fault(body.contract, "reply", value) if body.final and body.contract else ""
    return why or referring.fault(mai, row, value)


def _wanted(gateway: "Gateway", row: Row) -> str:
    if row.body.plea.cause == "doubt":
        return "--to NAME: " + ("a department" if referring.is_mine(gateway.decider, row) else "a worker of that department")
    contract = gateway.decider.scopes.contract(row.body.contract)
    fields = msgspec.json.encode(contract.reply).decode() if contract else "{}"
    return f"--value is an object with the fields {fields}"


def _open(gateway: "Gateway", ident: object) -> Row:
    """The open one. Raises Refused, and says what became of it, or UsageFault."""
    hint = f"the open ones are in: {LIST.format(gateway.client)}"
    if not isinstance(ident, str) or len(ident) > 4096:
        raise UsageFault(f"{ident!r:.80} is no id of an escalation", hint)
    row = _known(gateway, ident)
    if row is None:
        raise Refused(f"{gateway.client} has no escalation {ident:.200}", hint)
    if not row.state:
        return row
    if row.by:
        raise Refused(f"{row.by} has {row.state} it already", f"what is on record: mai escalations show {gateway.client} {ident}")
    raise Refused(f"it is too late: {row.reason or row.state}", f"nobody waits for it any more; {hint}")


def _known(gateway: "Gateway", ident: str) -> Row | None:
    if row := gateway.decider.state.parking.rows.get(ident):
        return row
    data = gateway.shell.value(PAST, ident)
    return msgspec.json.decode(data, type=Row) if data else None


def _past(gateway: "Gateway") -> list[Row]:
    """The last ones that are over, oldest first; as they were committed."""
    found = []
    for data in gateway.ledger.latest(LINE, MOST):
        if kept := gateway.ledger.get(PAST, msgspec.json.decode(data, type=Line).id):
            found.append(msgspec.json.decode(kept, type=Row))
    return found


def _brief(row: Row) -> dict[str, Any]:
    body = row.body
    return {
        "id": body.id, "state": row.state or "open", "request": body.request, "department": row.process.partition("/")[2],
        "agent": body.plea.agent, "reason": body.plea.reason, "cause": body.plea.cause, "asker": body.asker,
        "contract": body.contract, "text": body.text[:200], "since_ms": row.at_ms, "due_ms": row.due_ms, "owner": "person",
        "late": not row.state and row.due_ms <= now_ms(), "by": row.by, "announced": row.announced,
    }  # fmt: skip


def _whole(row: Row) -> dict[str, Any]:
    """All that is known of one, with what was tried."""
    body = row.body
    said = {"answer": row.text, "value": row.value, "why": row.reason, "ended_ms": row.ended_ms}
    return {**_brief(row), "text": body.text, "input": body.input, "tried": msgspec.to_builtins(body.plea.tried), **said}
