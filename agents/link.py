"""A link: contiguous numbers from one sender to one receiver, each message committed before it is acknowledged. Pure.

Two rules. A number already seen is acknowledged again and otherwise ignored. A number beyond the next one is not
taken: the receiver says how far it has received, and the rest is sent again. Both are said after the commit only: what
they count is forgotten by the sender.

          | lseq <= received | lseq = received + 1      | lseq > received + 1
  message | seen: ack again  | new: journal, then ack   | gap: Hello, so that it is sent again
          | received <= acked| acked < received <= sent | received > sent
  ack     | nothing          | acked = received         | amnesia: our ledger is an older copy, halt
"""

from collections import deque
from itertools import islice
from typing import Final, Literal, NamedTuple

import msgspec

WINDOW = 512  # numbered messages on their way to one peer, not acknowledged yet

BURST = 64  # of them in one message of the wire

TOO_FAST: Final = "too fast"  # Mai complains so to who was not heard for a while …

CROWDED: Final = "crowded"  # … because it brings too much, or takes nothing of what waits for it

HELD_BACK: Final = (TOO_FAST, CROWDED)  # both sides say Hello then, and what was not heard goes again

Receipt = Literal["new", "seen", "gap"]


class Flight(NamedTuple):
    """A message that the peer has not acknowledged: its number, the number of its record, its frame."""

    lseq: int
    seq: int
    frame: bytes


class Link(msgspec.Struct):
    """Both directions between this process and one peer, as stored."""

    peer: str
    sent: int = 0  # the highest number given to a message for the peer
    acked: int = 0  # the highest number that the peer has committed
    received: int = 0  # the highest number of the peer's that is committed here
    oldest: int = 0  # number of the record that holds message acked + 1; 0 if none waits


class Transit:
    """What belongs to a link but is not stored: frames that wait for their acknowledgement, and how far they were sent."""

    def __init__(self) -> None:
        self.waiting: deque[Flight] = deque()
        self.flown = 0  # the highest number sent on the present connection
        self.owes_ack = False  # it leaves after the commit, as does …
        self.owes_hello = False
        self.gap = 0  # the number that did not come, where that is on record
        self.connected = False  # the peer has said Hello: it takes numbered messages

    def restart(self, received: int) -> None:
        """A new connection: send again from what the peer has not received."""
        self.flown = received
        self.connected = True

    def due(self, acked: int) -> list[Flight]:
        """Frames that may be sent now. Their numbers are contiguous, which saves a look at the others."""
        if not self.waiting:
            return []
        first = self.waiting[0].lseq
        return list(islice(self.waiting, max(0, self.flown + 1 - first), max(0, acked + WINDOW + 1 - first)))


def receipt(link: Link, lseq: int) -> Receipt:
    """What a message with this number is."""
    if lseq <= link.received:
        return "seen"
    return "new" if lseq == link.received + 1 else "gap"


def settle(link: Link, transit: Transit, received: int) -> None:
    """Fold an acknowledgement: forget the frames that it covers."""
    while transit.waiting and transit.waiting[0].lseq <= received:
        transit.waiting.popleft()
    link.acked = max(link.acked, received)
    link.oldest = transit.waiting[0].seq if transit.waiting else 0
