"""How many processes may start at a time, and whose turn is next: a bound over all clients of the host. Pure.

A start is a tenth of a second of processor time and more. When a whole sub-server dies, its nine starts at once are all that the
others' requests wait behind; one after the other they are hardly felt, and the whole is up again not much later. So as long as
others are served at most `most` processes start at a time. Who starts first: a Mai and what all clients share, then who has
work waiting, then the rest; among equals the client whose last start is longest ago, then who has waited longest.

Who holds a place gives it back when it is ready, or is gone. A start that hangs, or folds a long journal, gives it back after
`HOLDS_S`: it goes on starting, and nobody waits for it any longer.
"""

from collections.abc import Callable
from typing import Final

from mai.daemon.case import Case

KIND: Final = "start"  # of the record of a start in the watchdog's journal
HOLDS_S: Final = 2.0
STARTING: Final = ("starting", "replaying")

Rank = Callable[[str], int]  # process -> the lower, the sooner


class Starts:
    """Who starts, and who waits for that. Seconds are those of a clock that is not set back."""

    def __init__(self, most: int, rank: Rank) -> None:
        self.most = most
        self._rank = rank
        self._begun: dict[str, float] = {}  # process that starts -> since when
        self._queued: dict[str, float] = {}
        self._served: dict[str, int] = {}  # client -> the number of its last start
        self._count = 0

    def note(self, name: str, case: Case) -> None:
        """How a process is now."""
        if case.state not in STARTING:
            self._begun.pop(name, None)
        elif self._begun.get(name) != case.begun_s:
            if name not in self._begun:
                self._count += 1
                self._served[_client(name)] = self._count
            self._begun[name] = case.begun_s
        if case.state != "queued":
            self._queued.pop(name, None)
        else:
            self._queued.setdefault(name, case.since_s)

    def forget(self, name: str) -> None:
        """It is no process any more."""
        self._begun.pop(name, None)
        self._queued.pop(name, None)

    def figures(self, now_s: float) -> dict[str, int]:
        """For the record of one more start: how many hold a place or hold none any more, how many may, how many wait with it."""
        held = len(self._held_s(now_s))
        return {"beside": held, "late": len(self._begun) - held, "most": self.most, "waiting": len(self._queued)}

    def _held_s(self, now_s: float) -> list[float]:
        """Until when each place is held."""
        return [begun_s + HOLDS_S for begun_s in self._begun.values() if now_s < begun_s + HOLDS_S]

    def next(self, now_s: float) -> str:
        """Who is to start now; "" if nobody waits, or there is no place."""
        if not self._queued or len(self._held_s(now_s)) >= self.most:
            return ""
        return min(self._queued, key=lambda one: self._key(one, self._queued[one]))

    def due_s(self, now_s: float) -> float:
        """When the next place becomes free by itself, if somebody waits for one."""
        return min(self._held_s(now_s), default=now_s) if self._queued else float("inf")

    def _key(self, name: str, since_s: float) -> tuple[int, int, float, str]:
        return self._rank(name), self._served.get(_client(name), 0), since_s, name


def _client(name: str) -> str:
    return name.partition("/")[0]
