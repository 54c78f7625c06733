"""A circuit breaker: who fails again and again is not asked for a while, then by one call that tries. Pure.

closed     -- FAILURES in a row --> open for a while
open       -- the while is over --> half-open
half-open  -- one call is let through; its success --> closed, its failure --> open for twice as long
"""

from collections.abc import Mapping

import msgspec

FAILURES = 5  # in a row open it
FIRST_MS, LONGEST_MS = 5_000, 300_000


class Breaker(msgspec.Struct):
    """What is known of one model at one provider."""

    failures: int = 0  # in a row
    openings: int = 0  # since it last answered
    until_ms: int = 0  # not asked before; 0 while it is closed
    trial: str = ""  # the attempt that was let through

    def lets(self, now_ms: int) -> bool:
        """May an attempt begin?"""
        return not self.until_ms or (not self.trial and now_ms >= self.until_ms)

    def begun(self, attempt: str) -> None:
        """An attempt begins; if it is the one that tries, others wait for it."""
        if self.until_ms:
            self.trial = attempt

    def ended(self, attempt: str, *, sick: bool, now_ms: int) -> None:
        """An attempt is over. What was begun before it opened, and fails later, says nothing new."""
        if not sick:
            self.failures, self.openings, self.until_ms, self.trial = 0, 0, 0, ""
            return
        self.failures += 1
        if self.trial == attempt or (not self.until_ms and self.failures >= FAILURES):
            self.until_ms = now_ms + min(LONGEST_MS, FIRST_MS << min(self.openings, 16))
            self.openings += 1
            self.trial = ""

    def again_ms(self) -> int:
        """When it lets one through by itself; 0 if that hangs on an attempt that is under way."""
        return 0 if self.trial else self.until_ms


CLOSED = Breaker()


def of(breakers: Mapping[str, Breaker], key: str) -> Breaker:
    """The breaker of that key; one that was never told anything is closed. Only to be asked."""
    return breakers.get(key, CLOSED)
