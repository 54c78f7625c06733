"""The watchdog's gate: who comes to its door, what they may ask and see, and what of it goes on record.

The company's own processes come as what they are, whatever user they run as: of them only Mai and the metrics may ask anything.
"""

import time
from typing import TYPE_CHECKING, Any

import msgspec

from mai.agents.organisation import Organisation
from mai.daemon.door import Caller, Doorkeeper, Reply
from mai.daemon.guard import Guard
from mai.daemon.lector import Lector
from mai.daemon.readings import named
from mai.daemon.rights import AT_WATCHDOG, OF_PROCESS, Rights, client_of
from mai.daemon.visits import Visit
from mai.sandbox.passage import lead
from mai.sandbox.peer import Peer
from mai.sandbox.place import WATCHDOG, socket_mode
from mai.sandbox.proof import Proven, digest, shown

if TYPE_CHECKING:
    from mai.daemon.ward import Ward
    from mai.daemon.watchdog import Watchdog


class Gate:
    """The door's keeper, its guard, and who reads aloud there."""

    def __init__(self, watchdog: "Watchdog") -> None:
        self._watchdog = watchdog
        proven = Proven(digest(shown(watchdog.place.run)))
        self.guard = Guard(AT_WATCHDOG, watchdog.organisation.doors, proven)
        self.keeper = Doorkeeper(watchdog.place.door, self._admit)
        self.lector = Lector(watchdog.place)
        self._open(watchdog.organisation)

    def descriptors(self) -> tuple[int, ...]:
        """To poll for reading."""
        return self.keeper.fileno(), self.lector.fileno()

    def turn(self, now_s: float) -> None:
        """Read on, and put on record who was here."""
        self.lector.turn(now_s)
        for visit in self.guard.due(self.keeper, time.time_ns() // 1_000_000):
            self._watchdog.book.enter(visit.kind, self._told(visit))

    def _told(self, visit: Visit) -> dict[str, Any]:
        """A visit as it goes on record: what it was about is the client's, and sealed with its key (seals.py).

        Of a reading that names no client (`trace REQUEST`) only the command is told.
        """
        body, words = msgspec.to_builtins(visit), visit.what.split(" ")
        known = self._watchdog.organisation.clients
        whose = next((name for word in words if (name := word.partition("/")[0]) in known), "")
        if whose:
            return {**body, "process": f"{whose}/mai"}
        return {**body, "what": named(words)} if visit.verb == "read" else dict(body)

    def take_up(self, organisation: Organisation) -> None:
        """Roles are given by another organisation from now on; whoever's have changed has to come again."""
        self.guard.roll.take_up(organisation.doors)
        self.keeper.look_again()
        self._open(organisation)

    def _open(self, organisation: Organisation) -> None:
        """Let others come as far as the doors, if anybody has a role."""
        others = bool(organisation.doors)
        self.keeper.open_to(others or bool(socket_mode(self._watchdog.place.door) & 0o006))  # processes have other users
        for said in lead(self._watchdog.place, organisation.clients, others):
            self._watchdog.book.incident(WATCHDOG, "door", said)

    def _ward(self, pid: int) -> "Ward | None":
        """Which of the company's processes that is; 0, which nobody has, is one that our namespace does not show."""
        return self._watchdog.wards.of(pid) if pid else None

    def _admit(self, peer: Peer) -> Rights | None:
        ward = self._ward(peer.pid)
        return Rights(peer.uid, ward.name, ()) if ward else self.guard.admit(peer)

    def check(self, caller: Caller, request: Reply) -> None:
        """May this caller ask that? Raises Refused."""
        ward, verb = self._ward(caller.pid), str(request.get("do"))
        if ward is None:
            self.guard.check(caller, request, time.time_ns() // 1_000_000)
        elif verb not in OF_PROCESS.get(ward.name.rpartition("/")[2], ()):
            raise self.guard.deny(caller, verb, f"{ward.name} may not {verb[:40]!r} here")
        elif client_of(ward.name) not in ("", request.get("client")):
            raise self.guard.deny(caller, verb, f"{ward.name} may ask about its own client only")

    def clients(self, caller: Caller) -> frozenset[str] | None:
        """The clients whose processes this caller may see; None: all, and those of the host."""
        return None if self._ward(caller.pid) else caller.rights.clients("auditor")
