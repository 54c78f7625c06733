"""Clients that come and go while the others run: the watchdog's half of `mai client`.

To add or remove one is a change of the organisation like any other (reloading.py), of which only the list of clients is
different: it is on record before anything is done, survives the death of whoever carries it out, and is taken back if the
newcomer does not become ready. What a client has stays when it is removed; only erasing.py destroys it.
"""

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from mai.daemon.adopting import Staged
from mai.daemon.case import SHOWN
from mai.daemon.clientele import Clientele, Mark, addable, removable
from mai.daemon.difference import difference
from mai.daemon.reloading import Change, What
from mai.daemon.ward import Ward

if TYPE_CHECKING:
    from mai.daemon.watchdog import Watchdog


class Clients:
    """Who they are, and the orders to change that."""

    def __init__(self, watchdog: "Watchdog") -> None:
        self._watchdog = watchdog

    def add(self, name: str, by: str, now_s: float) -> None:
        """Begin to run a client; what it had before it was removed is there again. Raises MaiError, OSError."""
        self._watchdog.reloading.free()
        addable(name, self._watchdog.organisation.clients)
        self._watchdog.erasing.bar(name)
        self._watchdog.book.seals.make(name)
        self._change(self._now("add", name, by, 0.0), self._watchdog.clientele.with_client(name, _mark(by)), now_s)

    def remove(self, name: str, by: str, timeout_s: float, now_s: float) -> None:
        """Begin to end a client: it finishes what it has, within that time, then it is stopped. Raises MaiError, OSError."""
        self._watchdog.reloading.free()
        removable(name, self._watchdog.organisation.clients)
        self._change(self._now("remove", name, by, timeout_s), self._watchdog.clientele.without(name, _mark(by)), now_s)

    def _now(self, what: What, name: str, by: str, timeout_s: float) -> Change:
        runs = self._watchdog.organisation
        others = tuple(one for one in runs.clients if one != name)
        to = msgspec.structs.replace(runs, clients=(*others, name) if what == "add" else others)
        return Change(
            phase="draining", by=by, boot=self._watchdog.view.boot, what=what, client=name,
            until_ms=_now_ms() + int(timeout_s * 1000), difference=difference(runs, to),
        )  # fmt: skip

    def _change(self, now: Change, clientele: Clientele, now_s: float) -> None:
        to = msgspec.structs.replace(self._watchdog.organisation, clients=now.difference.clients)
        self._watchdog.reloading.change(Staged(to, self._watchdog.place.organisation.read_bytes(), clientele), now, now_s)

    def describe(self) -> dict[str, Any]:
        """Each client that runs: where it is from, and how its processes are; those of the file that were removed."""
        clientele, runs = self._watchdog.clientele, list[dict[str, Any]]()
        for name in self._watchdog.organisation.clients:
            wards = [ward for ward in self._watchdog.wards.values() if ward.name.startswith(f"{name}/")]
            states = Counter(map(_state, wards))
            about = {"name": name, "from": clientele.origin(name), "processes": len(wards), "states": dict(states)}
            runs.append({**about, **told(clientele.added.get(name))})
        removed = [{"name": name, "from": "file", **told(mark)} for name, mark in clientele.removed.items()]
        now = self._watchdog.reloading.now
        changing = {"what": now.what, "client": now.client, "phase": now.phase, "by": now.by} if now else None
        if erasing := self._watchdog.erasing.now:
            changing = {"what": "erase", "client": erasing.client, "phase": erasing.phase, "by": erasing.by}
        return {"clients": runs, "removed": removed, "remarks": list(clientele.remarks()), "changing": changing}


def _state(ward: Ward) -> str:
    """As people are told it."""
    if ward.case.asleep and ward.case.state == "stopped":
        return "asleep"
    return SHOWN.get(ward.case.state, ward.case.state)


def told(mark: Mark | None) -> dict[str, Any]:
    """Who decided that, and when; nobody did, if the file says it."""
    return {"by": mark.by if mark else "", "at_ms": mark.at_ms if mark else 0}


def _mark(by: str) -> Mark:
    return Mark(by, _now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
