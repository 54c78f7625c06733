"""`mai client list`: the clients that run, those that were removed and still have data here."""

import time
from pathlib import Path
from typing import Any, Final

import msgspec

from mai.agents.organisation import Organisation
from mai.daemon.adopting import current, decided
from mai.daemon.belongings import size_bytes, with_data
from mai.daemon.certificate import known
from mai.daemon.clientele import Clientele, over
from mai.daemon.clients import told
from mai.daemon.door import Door
from mai.daemon.reload_commands import whence
from mai.sandbox.errors import NotRunning
from mai.sandbox.place import Place

HEADINGS: Final = ("client", "from", "processes", "data", "since")


def look(place: Place) -> dict[str, Any]:
    """What there is. Raises MaiError."""
    try:
        found = Door(place.door, 10).call({"do": "clients"})
    except NotRunning:
        found = _at_rest(place)
    for one in found["clients"]:
        one["bytes"] = size_bytes(place, one["name"])
    kept = {one["name"]: one for one in found["removed"]}
    runs = {one["name"] for one in found["clients"]}
    for name in with_data(place):
        if name not in runs:
            kept.setdefault(name, {"name": name, "from": "", **told(None)})
    found["erased"] = known(place)
    found["removed"] = [{**one, "bytes": size_bytes(place, name)} for name, one in sorted(kept.items())]
    return found


def laid_over(place: Place, file: Path, organisation: Organisation) -> tuple[Organisation, Clientele]:
    """The organisation of a file as it runs in this place, if that runs this file; else as the file says. Raises MaiError."""
    kept = place.state / "organisation.path"
    try:
        ours = Path(kept.read_text()) == file.absolute()
    except OSError:
        ours = False
    return over(organisation, decided(place)) if ours else (organisation, Clientele())


def _at_rest(place: Place) -> dict[str, Any]:
    """The same while no daemon runs, from what the last one left. Raises MaiError."""
    clientele = decided(place)
    try:
        organisation = current(place)
    except (OSError, msgspec.MsgspecError):
        raise NotRunning(f"nothing has run in {place.state} yet", "start the daemon with: mai up") from None
    runs = [
        {"name": name, "from": clientele.origin(name), "processes": 0, "states": {}, **told(clientele.added.get(name))}
        for name in organisation.clients
    ]
    removed = [{"name": name, "from": "file", **told(mark)} for name, mark in clientele.removed.items()]
    return {"clients": runs, "removed": removed, "remarks": list(clientele.remarks()), "changing": None}


def render(found: dict[str, Any]) -> str:
    """A table for people."""
    rows = [HEADINGS, *(_row(one, _states(one)) for one in found["clients"]), *(_row(one, "removed") for one in found["removed"])]
    rows += [_row({"from": "", **one}, "erased") for one in found["erased"]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if now := found["changing"]:
        lines.append(f"{now['client'] or 'the organisation'}: {now['what']} by {now['by']}, {now['phase']}")
    return "\n".join(lines)


def _row(one: dict[str, Any], states: str) -> tuple[str, ...]:
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(one["at_ms"] / 1000)) + f" by {one['by']}" if one["by"] else ""
    origin = whence(("", one["from"])).strip(" ()") if one["from"] else ""
    return one["name"], origin, states, f"{one['bytes'] / 1e6:.1f} MB", since


def _states(one: dict[str, Any]) -> str:
    """`9 ready`, `8 ready, 1 failed`."""
    return ", ".join(f"{count} {state}" for state, count in one["states"].items()) or "not running"
