"""Who has used a door and who was refused, for the journal of the process whose door it is. Pure.

An order is a record of its own, and so is each command that the daemon reads aloud. A look (status polls, every second and for
ever) is on record at the first time; the further ones of the same user and verb are counted, and their count is on record
after ten minutes, then after the next ten. So an auditor sees who has looked at what and how often, and a poll costs six
records an hour. Refusals are counted in the same way, a minute at a time: who knocks without end must not fill the disk.
"""

from typing import ClassVar, Final

import msgspec

from mai.agents.events import Event, register

LOOKS_MS: Final = 600_000
REFUSALS_MS: Final = 60_000
MOST: Final = 1000  # pairs of user and verb that are told apart
OTHERS: Final = "others"


class DoorUsed(Event, frozen=True, kw_only=True):
    """Somebody has asked for something that he may."""

    kind: ClassVar[str] = "door.used"
    user: str
    uid: int
    role: str
    verb: str
    what: str = ""
    count: int = 1  # so often, since the last such record


class DoorDenied(Event, frozen=True, kw_only=True):
    """Somebody has asked for something that he may not; without a verb he was not let in at all."""

    kind: ClassVar[str] = "door.denied"
    user: str
    uid: int
    verb: str
    why: str
    what: str = ""
    count: int = 1


register(DoorUsed, DoorDenied)
Visit = DoorUsed | DoorDenied
KINDS: Final = (DoorUsed.kind, DoorDenied.kind)


class _Tally(msgspec.Struct):
    last: Visit
    until_ms: int
    count: int = 0  # since the last record


class Visits:
    """Keeps account of one door. `due` gives what is to be put on record now."""

    def __init__(self) -> None:
        self._due: list[Visit] = []
        self._tallies: dict[tuple[str, int, str], _Tally] = {}

    def order(self, visit: DoorUsed) -> None:
        """An order: on record, each time."""
        self._due.append(visit)

    def count(self, visit: Visit, now_ms: int) -> None:
        """A look or a refusal: on record the first time, then counted."""
        key = (visit.kind, visit.uid, visit.verb)
        if key not in self._tallies and len(self._tallies) >= MOST:
            visit = msgspec.structs.replace(visit, uid=-1, user=OTHERS)
            key = (visit.kind, -1, visit.verb)
        if tally := self._tallies.get(key):
            tally.last, tally.count = visit, tally.count + 1
            return
        self._due.append(visit)
        self._tallies[key] = _Tally(visit, now_ms + _hold_ms(visit))

    def due(self, now_ms: int) -> list[Visit]:
        """The records that are to be made."""
        if not self._due and not self._tallies:
            return []
        for key, tally in list(self._tallies.items()):
            if now_ms < tally.until_ms:
                continue
            if not tally.count:
                del self._tallies[key]
                continue
            self._due.append(msgspec.structs.replace(tally.last, count=tally.count))
            tally.count, tally.until_ms = 0, now_ms + _hold_ms(tally.last)
        found, self._due = self._due, []
        return found

    def rest(self) -> list[Visit]:
        """What was counted and is not on record yet, at the end."""
        found = [msgspec.structs.replace(one.last, count=one.count) for one in self._tallies.values() if one.count]
        found, self._due = [*self._due, *found], []
        self._tallies.clear()
        return found


def _hold_ms(visit: Visit) -> int:
    return LOOKS_MS if isinstance(visit, DoorUsed) else REFUSALS_MS
