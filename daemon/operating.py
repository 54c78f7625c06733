"""What an operator orders at Mai's door: to cancel a request. Who orders is what the kernel says of the connection.

An order is on record before it is answered, has an id of its own, and may be repeated under it. Its last reply comes when
all processes concerned have answered; until then the caller waits, and may leave.
"""

import pwd
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.events import Sent, decode
from mai.agents.messages import Cancel
from mai.agents.plain import readable
from mai.daemon.desk import Answered, Cancellation, Cancels
from mai.daemon.door import Caller, Reply
from mai.sandbox.errors import Refused, UsageFault

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

LONGEST_REASON: Final = 300  # characters
LONGEST_ORDER: Final = 64


def user(caller: Caller) -> str:
    """The name of who asks."""
    try:
        return pwd.getpwuid(caller.uid).pw_name
    except KeyError:
        return f"uid {caller.uid}"


def text(given: Reply, key: str, longest: int) -> str:
    """A text of an order. Raises UsageFault."""
    found = given.get(key, "")
    if not isinstance(found, str) or len(found) > longest:
        raise UsageFault(f"the {key} has to be a text of at most {longest} characters")
    return readable(found, longest)


class Operating:
    """The orders of one client's operators, beside its Mai."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._waiting: list[tuple[Caller, str]] = []  # who waits for the end of the cancelling of which request

    def cancel(self, caller: Caller, given: Reply) -> None:
        """Cancel an open request. Raises UsageFault, Refused."""
        request, order = text(given, "request", 64), text(given, "order", LONGEST_ORDER)
        shell, state = self._gateway.shell, self._gateway.decider.state
        before = self._cancellation(request)
        if before is None and request in state.requests:
            if len(state.cancellations) >= self._gateway.decider.limits.queue:
                raise Refused(f"{len(state.cancellations)} requests are being cancelled, which is the limit", "ask again later")
            to = self._took_part(request)
            shell.feed(Cancels(request, user(caller), text(given, "reason", LONGEST_REASON), order, to))
        elif before is None or before.order != order or not order:
            raise self._ended(request)
        self._waiting.append((caller, request))

    def _ended(self, request: str) -> Refused:
        kept = self._gateway.shell.value("answer", request)
        if kept is None:
            return Refused(f"there is no request {request!r:.80}", "its id is in: mai tail --kind request")
        state = msgspec.json.decode(kept, type=Answered).state
        return Refused(f"{request} has ended: it was {state}", f"look at: mai trace {request}")

    def _took_part(self, request: str) -> tuple[str, ...]:
        """The processes that have had something for this request."""
        self._gateway.shell.commit(all_of_it=True)  # what this turn has brought is to be read, too
        ledger, found = self._gateway.ledger, set()
        for record in ledger.of_request(request):
            if record.kind == Sent.kind:
                event = decode(record.kind, ledger.body(record))
                assert isinstance(event, Sent) and not isinstance(event.body, Cancel), "a cancelled request has ended"
                found.add(event.to)
        return tuple(sorted(found))

    def _cancellation(self, request: str) -> Cancellation | None:
        data = self._gateway.shell.value("cancel", request)
        return msgspec.json.decode(data, type=Cancellation) if data else None

    def after(self) -> None:
        """The turn is committed: answer those whose order is done, or is on record."""
        waiting, self._waiting = self._waiting, []
        for caller, request in waiting:
            found = self._cancellation(request)
            assert found is not None, "who waits has cancelled it"
            if not found.waits_for:
                caller.answer({"cancelled": shown(found)})
            elif not caller.gone:
                self._waiting.append((caller, request))


def shown(found: Cancellation) -> dict[str, Any]:
    """A cancelled request as scripts read it."""
    answers = sorted(found.answers.items())
    undone = [{"process": process, **msgspec.to_builtins(one)} for process, body in answers for one in body.undone]
    return {
        "request": found.request, "state": "refused", "by": found.by, "reason": found.reason,
        "stopped": [{"process": process, "task": task} for process, body in answers for task in body.stopped],
        "undone": [{"state": "undone", **one} for one in undone],
        "left_out": sum(body.more for _, body in answers),
        "waits_for": list(found.waits_for),
    }  # fmt: skip
