"""When the watchdog has signed heads, and in which of its lives: who was alive then and told it nothing? Pure.

Only within one life of the watchdog is silence held against a process: if the host, the supervisor or the watchdog itself dies
again and again, everybody's word may be lost each time before it is signed.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Final

TOLD_MS: Final = 30_000  # after which the head of a record is told: some heartbeats, one at least
APART_MS: Final = 10_000  # the first signing of a watchdog's life may come before the first heartbeat of some


class Rounds:
    """Times (ms) at which something was signed, in order."""

    def __init__(self, times: Iterable[int] = (), lives: Iterable[int] = (), life: str = "") -> None:
        """As `Verified` keeps them: times, those that begin a life, and the name of the last life."""
        self.times = array("q", times)
        self.lives = array("q", lives)
        self.life = life

    def add(self, at_ms: int, life: str) -> None:
        """Another one, in this life of the watchdog."""
        at_ms = max(at_ms, self.times[-1] if self.times else 0)
        if life != self.life or not self.lives:
            self.lives.append(at_ms)
            self.life = life
        self.times.append(at_ms)

    def silent(self, first_ms: int, last_ms: int) -> bool:
        """Was it signed again and again, while one who has written from here to there had every chance to be heard?"""
        for number, begin_ms in enumerate(self.lives):
            end_ms = self.lives[number + 1] - 1 if number + 1 < len(self.lives) else last_ms
            begin = bisect_left(self.times, max(first_ms, begin_ms) + TOLD_MS)
            end = bisect_right(self.times, min(end_ms, last_ms))
            if begin < end and self.times[end - 1] - self.times[begin] >= APART_MS:
                return True
        return False

    def since(self, oldest_ms: int) -> "Rounds":
        """Those from a time on, or the last one: no more is needed of who has written from then on."""
        times = self.times[bisect_left(self.times, oldest_ms) :] or self.times[-1:]
        begun = bisect_right(self.lives, times[0]) - 1 if times else 0
        return Rounds(times, self.lives[max(begun, 0) :], self.life)
