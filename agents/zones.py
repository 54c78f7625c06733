"""Time zones, as the host knows them, as tables of offsets: clock.py."""

import datetime
from bisect import bisect_right
from typing import Final

from mai.agents.clock import UTC, Offsets
from mai.sandbox.errors import UsageFault

YEARS: Final = (2020, 2060)  # what lies behind them has the last offset
WEEK_S: Final = 7 * 86_400  # no zone changes its offset twice in one


def offsets(name: str) -> Offsets:
    """The offsets of a zone such as Europe/Berlin. Raises UsageFault if the host does not know it."""
    if name == "UTC":
        return UTC
    import zoneinfo

    try:
        zone = zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageFault(
            f"this host knows no time zone {name!r:.60}", 'such as "Europe/Berlin"; they are in the package tzdata'
        ) from None

    def offset(second: int) -> int:
        moved = datetime.datetime.fromtimestamp(second, zone).utcoffset()
        return int(moved.total_seconds()) if moved else 0

    start, end = (int(datetime.datetime(year, 1, 1, tzinfo=datetime.UTC).timestamp()) for year in YEARS)
    found = [(0, offset(start))]
    for second in range(start, end, WEEK_S):
        if offset(second + WEEK_S) != offset(second):
            before = offset(second)
            change = second + bisect_right(range(WEEK_S), 0, key=lambda one: int(offset(second + one) != before))
            found.append((change, offset(change)))
    return tuple(found)
