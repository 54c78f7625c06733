"""A circuit breaker: who fails again and again, or is slow, is not asked for a while, then by one call that tries. Pure.

closed     -- FAILURES in a row, or more than half of WINDOW calls slow --> open for a while
open       -- the while is over --> half-open
half-open  -- one call is let through; it answers in time --> closed; else --> open for twice as long, up to LONGEST_MS

A timeout is a failure. The same for agents, tools, models and contracts; it changes by facts of a journal alone, so that it is
the same after a restart.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

FAILURES: Final = 5  # in a row open it
WINDOW: Final = 10  # calls among which the slow ones are counted
FIRST_MS, LONGEST_MS = 5_000, 300_000
LONGEST_WHY: Final = 300  # characters
SLOW_SHARE: Final = 0.8  # of its time: who takes so long is slow, unless the organisation says otherwise

How = Literal["well", "slow", "sick"]


class Breaker(msgspec.Struct, omit_defaults=True):
    """What is known of one agent, tool, contract, or model at one provider."""

    failures: int = 0  # in a row
    openings: int = 0  # since it last answered
    until_ms: int = 0  # not asked before; 0 while it is closed
    trial: str = ""  # the attempt that was let through
    recent: str = ""  # how the last calls were, if one was slow: "s" or "."
    since_ms: int = 0  # since when others stand in for it; 0 if nobody does
    why: str = ""  # the last that spoke against it
    to: str = ""  # who stood in last
    switches: int = 0  # how often somebody did, since it last answered

    def lets(self, now_ms: int) -> bool:
        """May an attempt begin?"""
        return not self.until_ms or (not self.trial and now_ms >= self.until_ms)

    def begun(self, attempt: str) -> None:
        """An attempt begins; if it is the one that tries, others wait for it."""
        if self.until_ms:
            self.trial = attempt

    def ended(self, attempt: str, *, sick: bool, now_ms: int, slow: bool = False, why: str = "") -> None:
        """An attempt is over. What was begun before it opened, and fails later, says nothing new."""
        if not sick and not slow:
            self._answered()
            return
        self.failures = self.failures + 1 if sick else 0
        self.why = why[:LONGEST_WHY] or self.why
        if slow or self.recent:
            self.recent = f"{self.recent}{'.' if sick else 's'}"[-WINDOW:]
        if self.trial == attempt or (not self.until_ms and (self.failures >= FAILURES or self.too_slow)):
            self.until_ms = now_ms + min(LONGEST_MS, FIRST_MS << min(self.openings, 16))
            self.since_ms = self.since_ms or now_ms
            self.openings += 1
            self.trial = ""

    def _answered(self) -> None:
        recent = "" if self.until_ms else f"{self.recent}."[-WINDOW:]
        self.failures, self.openings, self.until_ms, self.trial, self.why = 0, 0, 0, "", ""
        self.since_ms, self.to, self.switches = 0, "", 0
        self.recent = recent if "s" in recent else ""

    def let_go(self, attempt: str) -> None:
        """An attempt is over and says nothing: another may try."""
        if self.trial == attempt:
            self.trial = ""

    def stood_in(self, to: str, now_ms: int) -> None:
        """Another has done what it was to do."""
        self.since_ms, self.to, self.switches = self.since_ms or now_ms, to, self.switches + 1

    @property
    def too_slow(self) -> bool:
        """Were more than half of the last calls slow?"""
        return len(self.recent) >= WINDOW and self.recent.count("s") * 2 > WINDOW

    @property
    def blank(self) -> bool:
        """Is nothing known that speaks against it?"""
        return self == CLOSED

    def again_ms(self) -> int:
        """When it lets one through by itself; 0 if that hangs on an attempt that is under way."""
        return 0 if self.trial else self.until_ms

    def evidence(self) -> str:
        """Why it is open, in one clause."""
        slow = f"{self.recent.count('s')} of its last {WINDOW} calls were slow"
        said = slow if self.too_slow and self.failures < FAILURES else f"{self.failures} failures in a row"
        return f"{said}, the last: {self.why}" if self.why else said


CLOSED = Breaker()


def of(breakers: Mapping[str, Breaker], key: str) -> Breaker:
    """The breaker of that key; one that was never told anything is closed. Only to be asked."""
    return breakers.get(key, CLOSED)
