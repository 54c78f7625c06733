"""At the watchdog's door: somebody wants a process that runs to rotate its journal.

What he wants is laid into the process's directory, and stays there until it is done: it outlives both.
"""

import time
from typing import TYPE_CHECKING

from mai.agents.rotating import ORDER, Asked, give, vain
from mai.daemon.door import Caller, refusal
from mai.daemon.vigil import Vigil
from mai.sandbox.errors import Expired, MaiError, Refused
from mai.sandbox.place import WATCHDOG

if TYPE_CHECKING:
    from mai.daemon.orders import Order
    from mai.daemon.watchdog import Watchdog

TOLD_S = 1.0  # between two words of how far it is


def archive(watchdog: "Watchdog", caller: Caller, order: "Order", now_s: float) -> Vigil:
    """Have a process, or the watchdog itself, rotate what is older than a time. Raises Refused."""
    home = watchdog.place.home(order.name)
    if order.name != WATCHDOG and not watchdog.wards[order.name].case.pid:
        raise Refused(f"{order.name} does not run", "try again: who does not run is rotated by the command itself")
    give(home, Asked(order.before_ns or time.time_ns()))
    told_s = [now_s]

    def step() -> bool:
        now_s = time.monotonic()
        if not (home / ORDER).exists():
            why = vain(home)
            caller.answer(refusal(MaiError(why, "make room, or see: mai verify")) if why else {"name": order.name, "done": True})
            return True
        if now_s - told_s[0] > TOLD_S:
            told_s[0] = now_s
            caller.answer({"name": order.name, "done": False}, more=True)
        return False

    def late() -> MaiError:
        return Expired(f"{order.name} is still rotating its journal", "it goes on; look at: mai archive")

    return Vigil(caller, now_s + order.timeout_s, step, late)
