"""Orders to a client's Mai from the command line: each has an id, and is given again while she is away."""

import time
from typing import Any

import msgspec

from mai.daemon import afar, quarantined, trace
from mai.daemon.asking import AGAIN_S, AWAY_S, gone, new_id
from mai.daemon.desk import Cancellation
from mai.daemon.door import Door, Reply
from mai.daemon.operating import shown
from mai.daemon.reader import Reader
from mai.sandbox.errors import Expired, NotRunning
from mai.sandbox.place import Place


def order(place: Place, client: str, given: Reply, timeout_s: float) -> Reply:
    """Her last reply to an order, which carries an id. Raises Expired, NotRunning if she will not be back by herself."""
    given = {**given, "order": new_id()}
    door = Door(place.sockets(client) / "door.sock", timeout_s)
    until_s = time.monotonic() + AWAY_S
    while True:
        try:
            return door.call(given)
        except NotRunning as fault:
            if why := gone(place, client):
                raise type(why)(why.sentence, why.hint) from None
            if time.monotonic() > until_s:
                raise fault from None
            time.sleep(AGAIN_S)


def cancel(place: Place, name: str, reason: str, timeout_s: float) -> dict[str, Any]:
    """Cancel a request, named as for `mai trace`: what was stopped and undone, and who has not answered in time.

    Raises NotFound, Refused if it has ended, NotRunning, Expired if not even the order is on record.
    """
    known = _known(place, name)
    try:
        reply = order(place, known.client, {"do": "cancel", "request": known.request, "reason": reason}, timeout_s)
        return dict(reply["cancelled"])
    except Expired:
        if afar.closed(place):
            raise
        kept = Reader(place, f"{known.client}/mai").select(
            "SELECT value FROM state WHERE noun = 'cancel' AND key = ? LIMIT 1", known.request
        )
        if not kept:
            raise
        return shown(msgspec.json.decode(kept[0]["value"], type=Cancellation))


def _known(place: Place, name: str) -> trace.Known:
    if not afar.closed(place):
        return trace.find(place, name)
    found = afar.document(place, "trace", name)
    return trace.Known(found["client"], found["request"])


def release(place: Place, name: str, how: str, timeout_s: float) -> dict[str, Any]:
    """Let a task out of quarantine, named by its id or a beginning of it. Raises NotFound, Refused, NotRunning, Expired."""
    known = afar.document(place, "quarantine", "list")["tasks"] if afar.closed(place) else quarantined.entries(place, None)
    found = quarantined.named(known, name)
    client = found["process"].partition("/")[0]
    given = {"do": "release", "how": how, **{key: found[key] for key in ("process", "request", "task")}}
    try:
        return dict(order(place, client, given, timeout_s)["released"])
    except Expired as fault:
        hint = f"the order is carried out as soon as it works: mai status, mai quarantine show {found['task']}"
        raise Expired(f"{found['process']} has not answered within {timeout_s:g} s", hint) from fault
