"""Who waits at the door for a request that takes longer than he would wait, because a person was asked: what he is told then.

The request goes on; asked again under its id it gives the answer, or waits once more.
"""

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

from mai.agents.shell import now_ms
from mai.daemon.door import Caller, Reply
from mai.daemon.parking import Row

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

NEARLY_MS: Final = 500  # a request that ends so soon after its caller's time tells him itself
MOST_OVER: Final = 4096  # callers that have had their answer, and are still in line


class Interim:
    """The callers at one door whose time may be over before their request's."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._waiting: list[tuple[int, int, str, Caller]] = []  # a heap by time; those of requests that have ended are left in it
        self._count = 0

    def waits(self, request: str, caller: Caller, until_ms: int) -> None:
        """A caller waits for a request, until then."""
        self._count += 1
        heappush(self._waiting, (until_ms, self._count, request, caller))
        open_ = self._gateway.decider.state.requests
        if len(self._waiting) > MOST_OVER + 2 * len(open_):
            self._waiting = [one for one in self._waiting if one[2] in open_]
            heapify(self._waiting)

    def wait_ms(self, most_ms: int) -> int:
        """How long the loop may wait."""
        if not self._waiting or not self._gateway.decider.state.parking.rows:
            return most_ms
        return max(0, min(most_ms, self._waiting[0][0] - now_ms()))

    def due(self) -> list[tuple[str, Caller, Reply]]:
        """Who is told now that it takes longer."""
        at_ms, found, state = now_ms(), list[tuple[str, Caller, Reply]](), self._gateway.decider.state
        while self._waiting and self._waiting[0][0] <= at_ms:
            _, _, request, caller = heappop(self._waiting)
            open_ = state.requests.get(request)
            if open_ is not None and open_.deadline_ms > at_ms + NEARLY_MS:
                rows = [row for row in state.parking.of(request) if not row.state]
                found.append((request, caller, told(request, at_ms - open_.accepted_ms, rows)))
        return found


def told(request: str, elapsed_ms: int, rows: list[Row]) -> Reply:
    """The answer for now: `expired`, for who waits, with who has it and until when."""
    who = [{"id": row.body.id, "owner": "person", "due_ms": row.due_ms} for row in rows]
    asked = "a person was asked, and has not answered yet" if rows else "it took a person, and goes on"
    answer = f"Your request takes longer: {asked}. It stays open; ask again with --id {request}."
    return {"request": request, "state": "expired", "answer": answer, "parts": [], "elapsed_ms": elapsed_ms, "pending": who}
