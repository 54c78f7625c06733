"""What is asked at Mai's door, and by whom: each request passes the guard, then goes to who answers it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mai.agents.doors import Role
from mai.agents.shell import now_ms
from mai.daemon import approval_orders, conflict_orders, doubt_orders, escalation_orders, shift_orders, thread_orders
from mai.daemon.door import Caller, Doorkeeper, Reply, refusal
from mai.daemon.guard import Guard
from mai.daemon.rights import AT_MAI
from mai.sandbox.errors import MaiError, UsageFault
from mai.sandbox.place import Place
from mai.sandbox.proof import Proven

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

Serve = Callable[["Gateway", Caller, Reply, Role], None]


def _ask(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    gateway.ask(caller, request, role)


def _history(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    caller.answer({"history": thread_orders.history(gateway, request, thread_orders.door_of(caller, request), role)})


def _order(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    gateway.operating.order(str(request["do"]), caller, request)


def _effects(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    caller.answer(doubt_orders.shown(gateway, request))


def _resolve(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    gateway.later(caller, doubt_orders.resolve(gateway, caller, request))


def _approvals(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    if request.get("follow"):
        caller.answer(gateway.onlookers[0].add(caller), True)
    else:
        caller.answer(approval_orders.shown(gateway, request))


def _say(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    gateway.later(caller, approval_orders.say(gateway, caller, request))


def _escalations(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    if request.get("follow"):
        caller.answer(gateway.onlookers[1].add(caller), True)
    else:
        caller.answer(escalation_orders.shown(gateway, request))


def _answer(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    gateway.later(caller, escalation_orders.answer(gateway, caller, request, role))


def _conflicts(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    caller.answer(conflict_orders.shown(gateway, request))


def _rule(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    gateway.later(caller, conflict_orders.rule(gateway, caller, request, role))


def _appeal(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    gateway.later(caller, conflict_orders.appeal(gateway, caller, request, role))


def _shift(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> None:
    gateway.later(caller, shift_orders.order(gateway, caller, request))


SERVED: Final[dict[str, Serve]] = {
    "ask": _ask,
    "history": _history,
    "cancel": _order,
    "release": _order,
    "effects": _effects,
    "resolve": _resolve,
    "deliver": thread_orders.deliver,
    "thread": thread_orders.own,
    "threads": thread_orders.any_,
    "approvals": _approvals,
    "shift": _shift,
    "approve": _say,
    "deny": _say,
    "escalations": _escalations,
    "answer": _answer,
    "conflicts": _conflicts,
    "rule_case": _rule,
    "appeal_case": _appeal,
}


class Reception:
    """The door of one client's Mai."""

    def __init__(self, gateway: "Gateway", place: Place) -> None:
        self._gateway = gateway
        grants = gateway.organisation.doors
        self.guard = Guard(AT_MAI, grants, Proven.at(gateway.home), gateway.client)
        self.door = Doorkeeper(place.sockets(gateway.client) / "door.sock", self.guard.admit)
        self.door.open_to(bool(grants))

    def fileno(self) -> int:
        """To poll for reading."""
        return self.door.fileno()

    def turn(self) -> None:
        """Take what has come, and put on record who has asked."""
        for caller, request in self.door.turn():
            try:
                self._serve(caller, request)
            except MaiError as error:
                caller.answer(refusal(error))

    def _serve(self, caller: Caller, request: Reply) -> None:
        role, do = self.guard.check(caller, request, now_ms()), request.get("do")
        serve = SERVED.get(do) if isinstance(do, str) else None
        if serve is None:
            raise UsageFault(f"Mai's door does not know {do!r:.80}", f"it knows {', '.join(SERVED)}")
        serve(self._gateway, caller, request, role)

    def work(self) -> None:
        """Put on record what is due of what was counted."""
        for visit in self.guard.due(self.door, now_ms()):
            self._gateway.shell.apply(visit)

    def close(self) -> None:
        """Hang up on everybody."""
        self.door.close()
