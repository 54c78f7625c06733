"""Departments that are drained: they finish what they have while Mai holds what is new, then stop, or start again.

That one is to be drained stands in the book, so it survives the watchdog; how far it is does not, and is seen again. Idle is
who says so in two heartbeats after the order: what was on its way to it by then has arrived. Whatever it has at the end of
its time stays open in its ledger, and goes on in its next life.
"""

import time
from typing import TYPE_CHECKING, Final

from mai.daemon.case import Restart, Stop

if TYPE_CHECKING:
    from mai.daemon.ward import Ward
    from mai.daemon.watchdog import Watchdog

BEATS: Final = 2  # of an idle process, until it is taken to be idle
AT_REST: Final = ("stopped", "failed", "waiting", "queued", "backoff")


class Drains:
    """Those on their way."""

    def __init__(self, watchdog: "Watchdog") -> None:
        self._watchdog = watchdog
        self._idle: dict[str, int] = {}  # by process: its beats when it was first seen idle
        self._going: dict[str, int] = {}  # those that were told to start again: the pid that has to be gone

    def turn(self, now_s: float) -> None:
        """Tell those that are done to stop."""
        for name, want in list(self._watchdog.book.wants.items()):
            if want.get("then") == "change":  # when that is to stop, reloading.py says
                continue
            if want["how"] == "drain" and (ward := self._watchdog.wards.get(name)):
                self._step(ward, str(want.get("then", "stop")), int(want.get("until_ms", 0)), now_s)
            else:
                self._forget(name)

    def _step(self, ward: "Ward", then: str, until_ms: int, now_s: float) -> None:
        if (old := self._going.get(ward.name)) is not None:
            if ward.case.pid != old and (ward.case.state == "ready" or ward.case.state in AT_REST):
                self._over(ward)
        elif ward.case.state in AT_REST or self.is_idle(ward):
            self._end(ward, then, now_s)
        elif until_ms and time.time_ns() // 1_000_000 > until_ms:
            queue = ward.word.queue if ward.word else 0
            text = f"was not done in time: {queue} open; they go on when it runs again"
            self._watchdog.book.incident(ward.name, "drain", text, pid=ward.case.pid)
            self._end(ward, then, now_s)

    def is_idle(self, ward: "Ward") -> bool:
        """Has it had nothing to do since it was first looked at, for some heartbeats?"""
        if ward.case.state != "ready" or ward.word is None or ward.word.queue:
            self._idle.pop(ward.name, None)
            return False
        return ward.beats >= self._idle.setdefault(ward.name, ward.beats) + BEATS

    def _end(self, ward: "Ward", then: str, now_s: float) -> None:
        self._idle.pop(ward.name, None)
        whose = self._watchdog.book.wants[ward.name]["by"]
        if then == "stop":
            self._watchdog.book.want(ward.name, "stop", whose)
            self._watchdog.apply(ward, Stop(), now_s)
        elif ward.case.state in AT_REST:
            self._over(ward)
        else:
            self._going[ward.name] = ward.case.pid
            self._watchdog.apply(ward, Restart(), now_s)

    def _over(self, ward: "Ward") -> None:
        self._watchdog.book.want(ward.name, "run", self._watchdog.book.wants[ward.name]["by"])
        self._forget(ward.name)

    def _forget(self, name: str) -> None:
        self._idle.pop(name, None)
        self._going.pop(name, None)
