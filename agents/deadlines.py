"""Many deadlines, and the next of them without a look at all. Pure."""

import heapq


class Deadlines:
    """Names with the time when each is over, in milliseconds of the wall clock."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self._next: list[tuple[int, str]] = []  # a heap; may name what has gone

    def put(self, name: str, at_ms: int) -> None:
        """This is over then."""
        self._at[name] = at_ms
        heapq.heappush(self._next, (at_ms, name))

    def drop(self, name: str) -> None:
        """This has gone, if it was there."""
        self._at.pop(name, None)

    def soonest_ms(self) -> int:
        """When the next one is over; 0 for never."""
        while self._next:
            at_ms, name = self._next[0]
            if self._at.get(name) == at_ms:
                return at_ms
            heapq.heappop(self._next)
        return 0

    def due(self, now_ms: int) -> list[str]:
        """What is over by now, in the order in which it was."""
        if not 0 < self.soonest_ms() <= now_ms:
            return []
        return [name for at_ms, name in sorted((at_ms, name) for name, at_ms in self._at.items() if at_ms <= now_ms)]

    def __len__(self) -> int:
        return len(self._at)
