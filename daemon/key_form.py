"""Whose key is which, as `mai keys list` shows it."""

import time
from typing import TYPE_CHECKING, Any

from mai.sandbox import keys

if TYPE_CHECKING:
    from mai.daemon.watchdog import Watchdog


def shown_keys(watchdog: "Watchdog", *names: str) -> dict[str, Any]:
    """The keys of these processes or clients, or of all."""
    now_ms, found = time.time_ns() // 1_000_000, []
    for process, held in watchdog.keyring.held.items():
        ward = watchdog.wards.get(process)
        if ward is None or not {"", process, process.partition("/")[0]} & set(names or ("",)):
            continue
        runs = bool(ward.case.pid)
        found.append(
            {
                "process": process,
                "key": held.fingerprint,
                "since_ms": held.since_ms,
                "age_s": max(0, (now_ms - held.since_ms) // 1000),
                "file": str(watchdog.place.home(process) / keys.KEY),
                "pid": ward.case.pid or None,
                "spoken": runs and watchdog.turnover.heeds(process),
                "next": keys.fingerprint(held.next.encode()) if held.next else "",
                "old": len(held.old),
            }
        )
    now = watchdog.turnover.now
    under_way = {"by": now.by, "phase": now.phase, "waits_for": watchdog.turnover.waits_for()} if now else None
    return {"keys": found, "under_way": under_way}


def render(told: dict[str, Any]) -> str:
    """For people."""
    rows = [("PROCESS", "KEY", "AGE", "WHO HAS IT")]
    rows += [(one["process"], one["key"], age(one["age_s"]), holder(one)) for one in told["keys"]]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]) for row in rows]
    if now := told.get("under_way"):
        waits = ", ".join(now["waits_for"]) or "nobody"
        lines.append(f"keys are being changed by {now['by']}: {now['phase']}, waits for {waits}")
    return "\n".join(lines)


def holder(one: dict[str, Any]) -> str:
    """Who speaks with a key."""
    if one["pid"] is None:
        return "nobody: it does not run"
    return f"process {one['pid']}" if one["spoken"] else f"process {one['pid']} reads it now"


def age(seconds: int) -> str:
    """A duration in its largest unit."""
    for unit, of in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= of:
            return f"{seconds // of} {unit}"
    return f"{seconds} s"
