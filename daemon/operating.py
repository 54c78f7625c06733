"""What an operator orders at Mai's door: to cancel a request, to let a task out of quarantine.

Who orders is what the kernel says of the connection. An order is on record before it is answered, has an id of its own, and
may be repeated under it. Its last reply comes when all processes concerned have answered; until then the caller waits, and
may leave.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.events import Sent, decode
from mai.agents.order_messages import Cancel
from mai.agents.plain import readable
from mai.daemon.desk import Answered, Cancellation, Cancels, ReleaseOrder, Releases
from mai.daemon.door import Caller, Reply, refusal
from mai.daemon.releasing import MOST_OPEN
from mai.sandbox.errors import Refused, UsageFault

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

LONGEST_REASON: Final = 300  # characters
LONGEST_ORDER: Final = 64
LONGEST_TASK: Final = 4096


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
        self._waiting: list[tuple[Caller, Callable[[], Reply | None]]] = []  # who waits, and what there is to tell him

    def order(self, do: str, caller: Caller, given: Reply) -> None:
        """Take an order. Raises UsageFault, Refused."""
        self._waiting.append((caller, self._cancel(caller, given) if do == "cancel" else self._release(caller, given)))

    def _cancel(self, caller: Caller, given: Reply) -> Callable[[], Reply | None]:
        request, order = text(given, "request", 64), text(given, "order", LONGEST_ORDER)
        shell, state = self._gateway.shell, self._gateway.decider.state
        before = self._cancellation(request)
        if before is None and request in state.requests:
            if len(state.cancellations) >= self._gateway.decider.limits.queue:
                raise Refused(f"{len(state.cancellations)} requests are being cancelled, which is the limit", "ask again later")
            to = self._took_part(request)
            shell.feed(Cancels(request, caller.user, text(given, "reason", LONGEST_REASON), order, to))
        elif before is None or before.order != order or not order:
            raise self._ended(request)
        return lambda: self._told(request)

    def _told(self, request: str) -> Reply | None:
        found = self._cancellation(request)
        assert found is not None, "who waits has cancelled it"
        return None if found.waits_for else {"cancelled": shown(found)}

    def _release(self, caller: Caller, given: Reply) -> Callable[[], Reply | None]:
        names = ("order", "process", "request", "task")
        order, process, request, task = (text(given, name, LONGEST_TASK) for name in names)
        how = text(given, "how", LONGEST_ORDER)
        organisation, releases = self._gateway.organisation, self._gateway.decider.state.releases
        if not order or how not in ("retry", "drop"):
            raise UsageFault("an order to release has an id, and says retry or drop")
        client, _, name = process.partition("/")
        if client != self._gateway.client or organisation.department(name) is None:
            raise UsageFault(f"there is no department {process!r:.80}", "look at: mai quarantine list")
        if order not in releases:
            if sum(not one.answered for one in releases.values()) >= MOST_OPEN:
                raise Refused(f"{MOST_OPEN} orders of this kind are open, which is the limit", "try again later")
            self._gateway.shell.feed(Releases(ReleaseOrder(order, process, request, task, how, caller.user)))
        return lambda: self._released(order)

    def _released(self, order: str) -> Reply | None:
        found = self._gateway.decider.state.releases.get(order)
        assert found is not None, "who waits has ordered it"
        if not found.answered:
            return None
        if found.refused:
            return refusal(Refused(found.refused, "look at: mai quarantine list"))
        return {"released": msgspec.to_builtins(found)}

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
        for caller, tell in waiting:
            if caller.gone:
                continue
            if (reply := tell()) is not None:
                caller.answer(reply)
            else:
                self._waiting.append((caller, tell))


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
