"""How many calls may begin in a minute: counted in short slots, so that the count is small enough to be kept. Pure."""

import msgspec

SLOT_MS = 5_000
SLOTS = 60_000 // SLOT_MS


class Pace(msgspec.Struct):
    """The calls begun at one provider in the last minute, by slot; a slot that only partly belongs to it counts in full."""

    slots: dict[int, int] = {}

    def begun(self, at_ms: int) -> "Pace":
        """With one more."""
        now = at_ms // SLOT_MS
        slots = self._of_the_minute(now)
        return Pace({**slots, now: slots.get(now, 0) + 1})

    def free_ms(self, per_minute: int, now_ms: int) -> int:
        """When the next one may begin; now or earlier if it may at once."""
        slots = self._of_the_minute(now_ms // SLOT_MS)
        over = sum(slots.values()) - per_minute
        for slot in sorted(slots):
            if over < 0:
                break
            over -= slots[slot]
            if over < 0:
                return (slot + SLOTS + 1) * SLOT_MS
        return now_ms

    def _of_the_minute(self, now: int) -> dict[int, int]:
        """What lies later than now was counted by a clock that has been set back since."""
        return {slot: count for slot, count in self.slots.items() if now - SLOTS <= slot <= now}
