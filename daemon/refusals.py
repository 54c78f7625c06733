"""What is refused goes on record, but a flood of it must not flood the journal. Pure.

For each peer and reason there is at most one record in `EVERY_MS`, which says how many more it stands for.
"""

import msgspec

from mai.agents.events import MessageRefused

EVERY_MS = 1000
MOST = 1000  # pairs of peer and reason that are told apart


class _Tally(msgspec.Struct):
    recorded_ms: int = 0
    count: int = 0  # since that record
    detail: str = ""  # of the first of them


class Refusals:
    """Counts refusals by peer and reason until they are due."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str], _Tally] = {}

    def note(self, peer: str, why: str, detail: str) -> None:
        """Something was refused."""
        key = (peer, why) if (peer, why) in self._tallies or len(self._tallies) < MOST else ("", why)
        tally = self._tallies.setdefault(key, _Tally())
        tally.count += 1
        tally.detail = tally.detail if tally.count > 1 else detail

    def due(self, now_ms: int) -> list[MessageRefused]:
        """The records that are to be made now; the first of a kind is due at once."""
        found = []
        for (peer, why), tally in self._tallies.items():
            if tally.count and now_ms >= tally.recorded_ms + EVERY_MS:
                more = f" (and {tally.count - 1} more)" if tally.count > 1 else ""
                found.append(MessageRefused(peer=peer, why=why, detail=f"{tally.detail[:400]}{more}"))
                tally.recorded_ms, tally.count = now_ms, 0
        return found
