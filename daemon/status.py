"""`mai status` for people: the tree of processes with their figures. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

HEADINGS = ("process", "state", "pid", "uptime", "restarts", "memory", "queue", "done", "last progress")
HELD = {"pause": "gets no new tasks, paused", "drain": "finishes what it has, drained"}
WARNED = {
    "memory": "takes nearly all of the memory that it may",
    "descriptors": "has nearly all of the descriptors open that it may",
    "cpu": "takes nearly all of the processor time that it may",
    "stuck": "has work, and makes no progress",
}
NONE = "\u2013"  # a dash
COLOURS = {"ready": 32, "starting": 36, "replaying": 36, "draining": 33, "stopped": 90, "asleep": 90, "backoff": 33, "failed": 31}


def painted(text: str, colour: int, on: bool) -> str:
    """ANSI colour, if it is wanted."""
    return f"\x1b[{colour}m{text}\x1b[0m" if on else text


def duration(seconds: float | None) -> str:
    """3.2 s, 4 min, 2 h, 3 d."""
    if seconds is None:
        return NONE
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.0):.1f} s"


def rows(processes: list[dict[str, Any]], clients: Mapping[str, str] = {}) -> list[tuple[str, ...]]:
    """One row for each process, clients as branches; `clients` says where each stands."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for process in processes:
        groups[process["name"].partition("/")[0]].append(process)
    order = sorted(groups, key=lambda name: ({"supervisor": 0, "watchdog": 1}.get(name, 2), name))
    found: list[tuple[str, ...]] = []
    for group in order:
        members = groups[group]
        if members[0]["name"] != group:
            found.append((group + " (added at run time)" * (clients.get(group) == "added"),))
        for number, process in enumerate(members):
            found.append(_row(process, last=number == len(members) - 1, alone=process["name"] == group))
    return found


def _row(process: dict[str, Any], *, last: bool, alone: bool) -> tuple[str, ...]:
    name = process["name"] if alone else f"{'└── ' if last else '├── '}{process['name'].split('/')[1]}"
    return (
        name,
        "asleep" if process.get("asleep") else process["state"],
        str(process["pid"] or NONE),
        duration(process["uptime_s"]) if process["pid"] else NONE,
        str(process["restarts"]),
        f"{process['memory_bytes'] / 1e6:.0f} MB" if process["memory_bytes"] else NONE,
        str(process["queue"]),
        str(process["done"]),
        f"{duration(process['last_progress_s'])} ago" if process.get("last_progress_s") is not None else NONE,
    )


def held(process: dict[str, Any]) -> str:
    """Who has paused or drained a department, and why."""
    why = f": {process['wanted_why']}" if process.get("wanted_why") else ""
    return f"{process['name']}: {HELD[process['wanted']]} by {process['wanted_by']}{why}"


def walls(missing: Mapping[str, str], processes: list[dict[str, Any]]) -> list[str]:
    """What is missing of the walls of all, and around whom they are none, or not what they are around others."""
    said = [f"the walls are not whole: {layer}: {why}" for layer, why in missing.items()]
    whole = "partial" if missing else "full"
    said += [f"{p['name']}: NO WALLS" for p in processes if p.get("walls") == "none"]
    return said + [f"{p['name']}: partial walls" for p in processes if p.get("walls") == "partial" != whole]


def render(found: dict[str, Any], *, colour: bool, width: int = 0) -> str:
    """The whole table, with what is wrong below it; columns that a terminal of this width cannot hold are left out."""
    processes, disk = found["processes"], found.get("disk")
    table = [HEADINGS, *rows(processes, found.get("clients", {}))]
    widths = [max(len(row[i]) for row in table if len(row) > i) for i in range(len(HEADINGS))]
    while width and len(widths) > 2 and sum(widths) + 2 * len(widths) - 2 > width:
        widths.pop()
    lines = []
    for number, row in enumerate(table):
        cells = [cell.ljust(size) for cell, size in zip(row, widths, strict=False)]
        if number and len(row) > 1:
            cells[1] = painted(cells[1], COLOURS.get(row[1], 0), colour)
        line = "  ".join(cells).rstrip()
        lines.append(painted(line, 1, colour) if not number else line)
    wrong = [f"{p['name']}: {p['status']}" for p in processes if p["state"] in ("failed", "backoff") and p["status"]]
    wrong += [f"{p['name']}: {p['status']}" for p in processes if p["state"] == "ready" and " is shut out: " in p["status"]]
    wrong += [f"{p['name']}: {WARNED[one]}" for p in processes for one in p.get("warned", ()) if p["state"] == "ready"]
    wrong += [held(p) for p in processes if p.get("wanted") in HELD and p["state"] != "stopped"]
    wrong += walls(found.get("walls", {}), processes)
    if disk and disk["low"]:
        left, floor = (f"{disk[name] / (1 << 20):.0f} MiB" for name in ("free_bytes", "floor_bytes"))
        wrong.append(f"the disk has {left} left, the floor is {floor}: new requests are refused")
    return "\n".join(lines + (["", *wrong] if wrong else []))
