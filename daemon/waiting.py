"""What the calls that wait are held against: places and pace at a provider, and budgets beside what is reserved. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import groupby

from mai.agents.clock import UTC, Offsets
from mai.agents.errand_messages import Usage
from mai.agents.models import Provider
from mai.daemon.calling import Call, CallsState
from mai.daemon.pace import Pace
from mai.daemon.spending import Account, Scoped, Spent, exceeds, of_request, scopes, together

PAUSE_MS, LONGEST_PAUSE_MS = 500, 8_000  # before the second attempt, and at most, unless the provider asks for more
TIMES = ("", "", " twice", " three times", " four times")


class Desk:
    """One look at all that wait, at one moment. `wake_ms`: when the next one is due, if nothing happens before; 0 for never."""

    def __init__(self, state: CallsState, now_ms: int, offsets: Offsets = UTC) -> None:
        self._offsets = offsets
        self.now_ms, self.wake_ms = now_ms, 0
        self._state = state
        self._at_work = [call for call in state.calls.values() if call.attempt]
        self._running = Counter(call.attempt.provider for call in self._at_work if call.attempt)
        self._held: set[str] = set()  # scopes for whose budget somebody waits: nobody passes him there

    def waiting(self) -> list[Call]:
        """Those without an attempt, each agent in its turn, an agent's own in their order."""
        turns = self._state.turns
        calls = [call for call in self._state.calls.values() if not call.attempt and call.deadline_ms > self.now_ms]
        return sorted(calls, key=lambda call: (turns.get(call.agent, 0), call.seq))

    def until(self, at_ms: int) -> bool:
        """Is there something to wait for until then? Noted, so that it is looked at again."""
        if at_ms <= self.now_ms:
            return False
        self.wake_ms = min(self.wake_ms or at_ms, at_ms)
        return True

    def full(self, provider: Provider) -> bool:
        """Has a provider no place, or no pace, for one more?"""
        if self._running[provider.name] >= provider.running:
            return True
        pace = self._state.paces.get(provider.name, Pace())
        return self.until(pace.free_ms(provider.per_minute, self.now_ms))

    def fits(self, budgets: Iterable[Scoped], bound: Usage, account: Callable[[str], Account]) -> bool:
        """Does it fit every budget beside what others have reserved? Who does not waits for them, and others behind him."""
        short = [whose.scope for whose in budgets if not self._beside(whose, bound, account(whose.scope))]
        self._held.update(short)
        return not short

    def _beside(self, whose: Scoped, bound: Usage, account: Account) -> bool:
        if whose.scope in self._held:
            return False
        beside = (call for call in self._at_work if whose.scope in (*scopes(call.agent), of_request(call.request)))
        reserved = together(call.attempt.bound for call in beside if call.attempt)
        spent = account.of(whose.budget.per, self.now_ms, self._offsets)
        taken = Spent("", spent.tokens + reserved.tokens, spent.cost_nano + reserved.cost_nano)
        return not exceeds(whose.budget, taken, bound)


def pause_ms(tries: int, wait_ms: int, share: float) -> int:
    """How long to wait after a failure: full jitter, and never less than the provider asks for."""
    longest = min(LONGEST_PAUSE_MS, PAUSE_MS << min(tries, 16))
    return wait_ms + round(share * (min(longest, PAUSE_MS) if wait_ms else longest))


def counted(faults: Iterable[str]) -> str:
    """Faults in their order, those that came again counted: "429 twice, timed out"."""
    said = []
    for fault, group in groupby(faults):
        times = len(list(group))
        said.append(fault + (TIMES[times] if times < len(TIMES) else f" {times} times"))
    return ", ".join(said)
