"""The organisation's clock on the wall: its time zone as a table, so that who decides needs no files. Pure.

`zones.py` reads the table when the organisation file is loaded; between the walls there is no /usr/share/zoneinfo.
"""

import datetime
from bisect import bisect_right
from typing import Final, NamedTuple

from mai.agents.comparisons import DAYS

Offsets = tuple[tuple[int, int], ...]  # (from this second since 1970 on, so many seconds ahead of UTC), oldest first
UTC: Final[Offsets] = ((0, 0),)


class Wall(NamedTuple):
    """What a clock on the wall shows."""

    date: str  # 2025-03-31
    weekday: str  # monday
    time: str  # 08:00


def wall(offsets: Offsets, at_ms: int) -> Wall:
    """What it shows at that time."""
    offsets, second = offsets or UTC, at_ms // 1000
    found = max(bisect_right([since for since, _ in offsets], second) - 1, 0)
    at = datetime.datetime.fromtimestamp(second + offsets[found][1], datetime.UTC)
    return Wall(at.date().isoformat(), DAYS[at.weekday()], f"{at:%H:%M}")
