"""The guard of one door: each request is held against the table of its verbs, and on record with who has asked.

The process of the door asks each turn what is `due` for its journal.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from mai.agents.channels import Channel
from mai.agents.doors import Grant, Role
from mai.daemon.rights import HINT, OTHER, Need, Rights, about, client_of, refusal_of, role_for
from mai.daemon.roll import Roll, user_of
from mai.daemon.visits import DoorDenied, DoorUsed, Visit, Visits
from mai.sandbox.errors import Refused
from mai.sandbox.proof import NAME, Proven

if TYPE_CHECKING:
    from mai.daemon.door import Caller, Doorkeeper, Reply
    from mai.sandbox.peer import Peer

UNPROVEN: Final = "who comes as the daemon's own user has to show the proof that lies in its directory of sockets, and did not"
SHOW: Final = "the mai command does so by itself; a process of the company cannot"


class Guard:
    """Of the watchdog's door, or of one client's Mai's."""

    def __init__(self, table: Mapping[str, Need], grants: tuple[Grant, ...], proven: Proven, client: str = "") -> None:
        """`client`: whose Mai's door it is, "" for the watchdog's."""
        self.roll, self.visits = Roll(grants), Visits()
        self._denied: list[DoorDenied] = []  # in this turn
        self._table, self._client, self._proven = table, client, proven

    def admit(self, peer: "Peer") -> Rights | None:
        """What a caller may; None: nothing here."""
        return self.roll.rights(peer)

    def may_deliver(self, channel: Channel, peer: "Peer") -> bool:
        """May this one deliver here, of those with the role for it?"""
        return not (channel.users or channel.groups) or self.roll.named(channel.users, channel.groups, peer)

    def check(self, caller: "Caller", request: "Reply", now_ms: int) -> Role:
        """The role under which this may be done; it is on record either way. Raises Refused."""
        verb = request.get("do")
        verb = verb if isinstance(verb, str) else ""
        need = self._table.get(verb, OTHER)
        if not self._proven.holds(caller.uid, request.pop(NAME, "")):
            raise self.deny(caller, verb, UNPROVEN, hint=SHOW)
        rights = self.admit(caller.peer) or Rights(caller.uid, caller.user, ())
        client = self._client or (client_of(str(request.get("name"))) if need.concerns == "process" else "")
        role, what = role_for(rights, need, client), about(need, request)
        if not role:
            raise self.deny(caller, verb, refusal_of(rights, verb, need, client), what)
        if verb in self._table and not need.own:
            used = DoorUsed(user=rights.user, uid=rights.uid, role=role, verb=verb, what=what)
            if need.order:
                self.visits.order(used)
            else:
                self.visits.count(used, now_ms)
        return role

    def deny(self, caller: "Caller", verb: str, why: str, what: str = "", hint: str = HINT) -> Refused:
        """The error for who may not do this, which will be on record."""
        self._denied.append(DoorDenied(user=caller.user, uid=caller.uid, verb=verb[:40], why=why, what=what))
        return Refused(why, hint)

    def due(self, keeper: "Doorkeeper", now_ms: int) -> list[Visit]:
        """What is to be put on record now, with those whom the doorkeeper did not let in."""
        for peer in keeper.turned_away:
            user = user_of(peer.uid)
            self._denied.append(DoorDenied(user=user, uid=peer.uid, verb="", why=f"{user} has no role at this door"))
        keeper.turned_away.clear()
        for denied in self._denied:
            self.visits.count(denied, now_ms)
        self._denied.clear()
        return self.visits.due(now_ms)
