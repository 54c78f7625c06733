"""Who is heard next: one frame of each process in turn, however many connections it has and however much it sends at once. Pure.

ZeroMQ reads fairly from its connections, a message from each: but one process may have several, and a message of it 64 parts.
"""

from collections import deque
from typing import Final, NamedTuple

from mai.agents.link import WINDOW

MOST: Final = 2 * WINDOW  # frames of one process; who keeps to its window has fewer
MOST_BYTES: Final = 64 << 20


class Parcel(NamedTuple):
    """A frame that came in: the name that the key proves, the routing id, the bytes; None if it was no frame but too many."""

    name: str
    route: bytes
    frame: bytes | None
    key: str = ""  # its fingerprint
    good: bool = True  # False if the key is one no longer
    many: int = 1  # frames that came with it, and were thrown away unread if their sender is not heard
    descriptor: int = -1  # of the connection that it came from

    @property
    def who(self) -> str:
        """Who is to be heard in turn: whoever has an old key of a process is not that process."""
        return self.name if self.good else f"{self.name} {self.key}"

    @property
    def claims(self) -> str:
        """The name that the connection gives itself, to be compared with what its key proves."""
        return self.route.partition(b"#")[0].decode(errors="replace")


class Turns:
    """Frames that have come, by the process that has sent them."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Parcel]] = {}  # whose turn is next comes first
        self._bytes: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, parcel: Parcel) -> bool:
        """Behind what this process has sent before; False if too much of it waits, and this is not kept."""
        name = parcel.who
        waiting, held = self._waiting.get(name, ()), self._bytes.get(name, 0)
        if len(waiting) >= MOST or held > MOST_BYTES:
            return False
        self._waiting.setdefault(name, deque()).append(parcel)
        self._bytes[name] = held + len(parcel.frame or b"")
        return True

    def next(self) -> Parcel | None:
        """The first frame of the process whose turn it is, which then waits behind all others."""
        name = next(iter(self._waiting), None)
        if name is None:
            return None
        waiting = self._waiting.pop(name)
        parcel = waiting.popleft()
        self._bytes[name] -= len(parcel.frame or b"")
        if waiting:
            self._waiting[name] = waiting
        return parcel

    def drop(self, name: str) -> deque[Parcel]:
        """Keep nothing of a process; what it was, in order."""
        self._bytes.pop(name, None)
        return self._waiting.pop(name, deque())
