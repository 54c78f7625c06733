"""What an operator orders about clients at the watchdog's door: to add one, to remove one, to list them.

Each answers when it is done, and says on the way where it stands. Who goes away meanwhile changes nothing: the watchdog goes on.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mai.daemon.adopting import Staged
from mai.daemon.belongings import with_data
from mai.daemon.clients import Clients
from mai.daemon.door import Caller, Reply, refusal
from mai.daemon.programs import STOP_S
from mai.daemon.reloading import READY_S, Reloading
from mai.daemon.vigil import Vigil
from mai.sandbox.errors import Expired, MaiError, Refused, UsageFault

if TYPE_CHECKING:
    from mai.daemon.orders import Order
    from mai.daemon.watchdog import Watchdog

GRACE_S = 5.0


class ClientOrders:
    """The orders of one door that are about clients."""

    def __init__(self, watchdog: "Watchdog", wait: Callable[[Vigil], None]) -> None:
        """`wait` takes those who wait for what they have ordered."""
        self._watchdog, self._wait = watchdog, wait
        self._clients = Clients(watchdog)
        self.table: dict[str, Callable[[Caller, Order, float], None]] = {
            "clients": self._list,
            "client_add": self._add,
            "client_remove": self._remove,
            "client_erase": self._erase,
            "client_export": self._export,
        }

    def _list(self, caller: Caller, order: "Order", now_s: float) -> None:
        caller.answer(self._clients.describe())

    def _add(self, caller: Caller, order: "Order", now_s: float) -> None:
        self._begin(lambda: self._clients.add(order.name, caller.user, now_s))
        self._wait(changing(self._watchdog.reloading, caller, now_s, lambda: {"client": order.name}))

    def _remove(self, caller: Caller, order: "Order", now_s: float) -> None:
        reloading = self._watchdog.reloading
        self._begin(lambda: self._clients.remove(order.name, caller.user, order.timeout_s, now_s))
        self._wait(changing(reloading, caller, now_s + order.timeout_s, lambda: {"client": order.name, "open": reloading.left}))

    def _export(self, caller: Caller, order: "Order", now_s: float) -> None:
        """Only to have it on record, before the command copies what it may read by itself."""
        if order.name not in with_data(self._watchdog.place):
            raise UsageFault(f"there is no client {order.name!r:.60}", "look at: mai client list")
        self._watchdog.erasing.bar(order.name)
        self._watchdog.book.enter("exported", {"process": f"{order.name}/mai", "by": caller.user})
        caller.answer({"client": order.name})

    def _erase(self, caller: Caller, order: "Order", now_s: float) -> None:
        erasing = self._watchdog.erasing
        self._watchdog.reloading.free()
        self._begin(lambda: erasing.begin(order.name, caller.user))
        shown: list[tuple[str, int]] = []

        def step() -> bool:
            if erasing.at_work and erasing.now:
                told = (erasing.now.phase, erasing.done_bytes * 100 // max(erasing.of_bytes, 1))
                if shown[-1:] != [told]:
                    shown[:] = [told]
                    figures = {"done_bytes": erasing.done_bytes, "of_bytes": erasing.of_bytes}
                    caller.answer({"phase": told[0], **figures}, more=True)
                return False
            certificate, why = erasing.ended
            if erasing.fault or why:
                hint = "mend that, and order it again: it goes on" if erasing.fault else "nothing was destroyed"
                caller.answer(refusal(MaiError(f"{order.name} could not be erased: {erasing.fault or why}", hint)))
            else:
                caller.answer({"state": "erased", "client": order.name, "certificate": certificate})
            return True

        def late() -> MaiError:
            return Expired(f"{order.name} is still being erased", "look at: mai client list")

        self._wait(Vigil(caller, now_s + order.timeout_s, step, late))

    def _begin(self, what: Callable[[], None]) -> None:
        """Raises MaiError: then nothing was done."""
        if self._watchdog.halting:
            raise Refused("everything is being stopped", "start it again with: mai up")
        try:
            what()
        except OSError as error:
            raise UsageFault(f"the state directory cannot be written: {error}", "make room, or set its rights") from error


def changing(reloading: Reloading, caller: Caller, until_s: float, more: Callable[[], Reply]) -> Vigil:
    """Wait for the end of a change, whose draining is to end by then; `more` is told with it."""
    last: list[object] = []

    def step() -> bool:
        if reloading.now:
            told = [reloading.now.phase, reloading.waits_for()]
            if told != last:
                last[:] = told
                caller.answer({"phase": told[0], "waits_for": told[1], "undone": reloading.now.undone}, more=True)
            return False
        caller.answer({"state": reloading.ended[0], "why": reloading.ended[1], **more()})
        return True

    def late() -> MaiError:
        return Expired("the organisation is still being changed", "look at: mai status")

    return Vigil(caller, until_s + 2 * READY_S + STOP_S + GRACE_S, step, late)


def named(one: Staged) -> Reply:
    """Which of the clients of an organisation stand where, and what the file says otherwise."""
    clients = {name: one.clientele.origin(name) for name in one.organisation.clients}
    return {"clients": clients, "remarks": list(one.clientele.remarks())}
