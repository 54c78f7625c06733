"""The person at Mai's door in a simulated world: looks in the book outside, and says of each effect in doubt whether it happened.

At times an operator cancels a request. Both may be cut off in the midst of it, and then look again, as people do.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.sim_clients import PEER, Clients
from tests.sim_outside import Outside

RESOLVE_SHARE, CANCEL_SHARE = 0.06, 0.004  # of the steps of a world


class Inquiry:
    """One connection of the person's to Mai's door, as daemon/door.py's Caller is to her."""

    peer, uid, user = PEER, PEER.uid, "root"

    def __init__(self, heard: Callable[[dict[str, Any]], None]) -> None:
        self.heard, self.gone = heard, False

    def answer(self, reply: dict[str, Any], more: bool = False) -> None:
        """Mai says something."""
        if not self.gone:
            self.gone = not more
            self.heard(reply)


class Person:
    """Who resolves doubts. `look(what, key)` checks what must be on the disk by now."""

    def __init__(self, chance: Random, bank: Outside, clients: Clients, look: Callable[[str, str], None]) -> None:
        self.chance, self.bank, self.clients, self.look = chance, bank, clients, look
        self.inquiry: Inquiry | None = None
        self.wrong: list[str] = []
        self.said: dict[str, bool] = {}  # what Mai has confirmed, by key

    def act(self) -> None:
        """Now and then one of them does something."""
        if self.chance.random() < RESOLVE_SHARE:
            self.resolve()
        if self.chance.random() < CANCEL_SHARE:
            request = self.chance.choice(self.clients.wishes).request
            self._knock({"do": "cancel", "request": request, "reason": "changed my mind"}, self._cancelled)

    def resolve(self) -> None:
        """Ask what is in doubt, unless an answer is still waited for."""
        if self.inquiry is None or self.inquiry.gone:
            self.inquiry = self._knock({"do": "effects"}, self._shown)

    def mai_gone(self) -> None:
        """The connection to her is lost."""
        if self.inquiry:
            self.inquiry.gone = True

    def _knock(self, given: dict[str, Any], heard: Callable[[dict[str, Any]], None]) -> Inquiry:
        inquiry = Inquiry(heard)
        self.clients.knocking.append((inquiry, given))
        return inquiry

    def _cancelled(self, reply: dict[str, Any]) -> None:
        if told := reply.get("cancelled"):
            self.look("cancelled", told["request"])

    def _shown(self, reply: dict[str, Any]) -> None:
        if not reply.get("effects"):
            return
        key = self.chance.choice(reply["effects"])["key"]
        happened = bool(self.bank.moved[key])
        given = {"do": "resolve", "key": key, "happened": happened, "value": self.bank.amounts[key] if happened else None}
        self.inquiry = self._knock(given, lambda reply: self._resolved(key, happened, reply))

    def _resolved(self, key: str, happened: bool, reply: dict[str, Any]) -> None:
        if "effect" not in reply:
            self.wrong.append(f"what was said of {key} was not taken: {reply}")
            return
        self.look("resolved", key)
        if self.said.get(key):
            self.wrong.append(f"{key} was resolved twice")
        self.said[key] = happened
