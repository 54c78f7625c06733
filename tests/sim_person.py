"""The person at Mai's door in a simulated world: looks in the book outside, and says of each effect in doubt whether it happened.

Officers approve and deny calls that wait for that; root, who has asked, tries to. At times an operator cancels a request. All of
them may be cut off in the midst of it, and then look again, as people do.
"""

from collections import defaultdict
from collections.abc import Callable
from random import Random
from typing import Any

from mai.sandbox.peer import Peer
from tests import sim_company
from tests.sim_clients import PEER, Clients
from tests.sim_outside import Outside

RESOLVE_SHARE, CANCEL_SHARE, APPROVE_SHARE = 0.06, 0.004, 0.06  # of the steps of a world
ANSWER_SHARE, AGAIN_SHARE = 0.1, 0.1  # of the steps of a world; of the answers to escalations: said once more
SHIFT_SHARE = 0.01  # of the steps of a world: somebody is sent away, or called
RULE_SHARE, APPEAL_SHARE = 0.02, 0.3  # of the steps of a world; of the looks at cases of which none waits


VALUES: dict[str, dict[str, Any]] = {
    "sales.order": {"paid": 1, "items": 1}, "finance.charge": {"paid": 1}, "stock.reserve": {"items": 1},
    "stock.price": {"cents": 1}, "depot.price": {"cents": 1},
}  # fmt: skip
LATE = ("already", "too late", "no escalation")  # why an answer is not taken


class Inquiry:
    """One connection of the person's to Mai's door, as daemon/door.py's Caller is to her."""

    def __init__(self, heard: Callable[[dict[str, Any]], None], peer: Peer = PEER) -> None:
        self.heard, self.gone, self.peer, self.uid = heard, False, peer, peer.uid
        self.user = "root" if peer.uid == 0 else f"uid {peer.uid}"

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
        self.appeals = True
        self.wrong: list[str] = []
        self.said: dict[str, bool] = {}  # what Mai has confirmed, by key
        self.officer: Inquiry | None = None
        self.chief: Inquiry | None = None
        self.away: set[str] = set()  # agents of whom something was said
        self.solver: Inquiry | None = None  # of what nobody in the company could do
        self.approved: defaultdict[str, set[int]] = defaultdict(set)  # step -> users who have told Mai to go on with it

    def act(self) -> None:
        """Now and then one of them does something."""
        if self.chance.random() < RESOLVE_SHARE:
            self.resolve()
        if self.chance.random() < APPROVE_SHARE:
            self.approve()
        if self.chance.random() < RULE_SHARE:
            self.rule()
        if self.chance.random() < ANSWER_SHARE:
            self.solve()
        if self.chance.random() < SHIFT_SHARE:
            self.send(self.chance.choice(sim_company.TEAM), self.chance.choice(["on", "off", "pause", ""]))
        if self.chance.random() < CANCEL_SHARE:
            request = self.chance.choice(self.clients.wishes).request
            self._knock({"do": "cancel", "request": request, "reason": "changed my mind"}, self._cancelled)

    def resolve(self) -> None:
        """Ask what is in doubt, unless an answer is still waited for."""
        if self.inquiry is None or self.inquiry.gone:
            self.inquiry = self._knock({"do": "effects"}, self._shown)

    def approve(self) -> None:
        """Ask what waits for an approval, unless an answer is still waited for."""
        if self.officer is None or self.officer.gone:
            self.officer = self._knock({"do": "approvals"}, self._waiting)

    def _waiting(self, reply: dict[str, Any]) -> None:
        """One of the officers, or root, says something of one of them."""
        if not reply.get("approvals"):
            return
        one, uid = self.chance.choice(reply["approvals"]), self.chance.choice([0, *sim_company.OFFICERS])
        approves = self.chance.random() < 0.75
        if approves:
            self.approved[f"{one['task']}/{one['n']}"].add(uid)
        given = {"do": "approve", "id": one["id"]} if approves else {"do": "deny", "id": one["id"], "reason": "no"}
        peer = Peer(1, uid, frozenset())
        self.officer = self._knock(given, lambda reply: self._voted(one["id"], uid, approves, reply), peer)

    def _voted(self, ident: str, uid: int, approves: bool, reply: dict[str, Any]) -> None:
        if "approval" in reply:
            self.look("voted", ident)
            if approves and uid == 0:
                self.wrong.append(f"root has asked, and has approved {ident}")
        elif not any(word in reply.get("error", "") for word in ("who asks", "first", "too late", "another pair", "no approval")):
            self.wrong.append(f"uid {uid} was not heard about {ident}: {reply}")

    def solve(self) -> None:
        """Ask what nobody in the company could do, unless an answer is still waited for."""
        if self.solver is None or self.solver.gone:
            self.solver = self._knock({"do": "escalations"}, self._pled)

    def _pled(self, reply: dict[str, Any]) -> None:
        if reply.get("escalations"):
            ident = self.chance.choice(reply["escalations"])["id"]
            self.solver = self._knock({"do": "escalations", "id": ident}, self._read)

    def _read(self, reply: dict[str, Any]) -> None:
        """Answer one, as it can be answered."""
        for one in reply.get("escalations") or ():
            value, refuses = self._value(one), self.chance.random() < 0.2
            given = {"do": "answer", "id": one["id"]}
            given |= {"refused": "no"} if refuses or value is None else {"text": "so", "value": value}
            for _ in range(1 + (self.chance.random() < AGAIN_SHARE)):
                self.solver = self._knock(given, lambda reply, ident=one["id"]: self._solved(ident, reply))  # type: ignore[misc]

    def _value(self, one: dict[str, Any]) -> dict[str, Any] | None:
        """What an answer to this one has to be, for programs; None: there is none."""
        if one["cause"] == "doubt":
            return {"to": self.chance.choice(["sales", "stock"] if one["department"] == "mai" else ["porter", "hauler"])}
        if one["contract"] == "stock.shelf":
            return {"cents": one["input"]["cents"]}
        return VALUES.get(one["contract"]) if one["contract"] else {}

    def _solved(self, ident: str, reply: dict[str, Any]) -> None:
        if "escalation" in reply:
            self.look("solved", ident)
        elif not any(word in reply.get("error", "") for word in LATE):
            self.wrong.append(f"the answer to {ident} was not taken: {reply}")

    def send(self, agent: str, how: str) -> None:
        """Say of an agent that it is on, off or paused, or that the calendar counts."""
        self.away.add(agent)  # until it is heard that it is not
        given = {"do": "shift", "name": f"acme/stock/{agent}", "how": how}
        self.chief = self._knock(given, lambda reply: self._sent(agent, how, reply))

    def _sent(self, agent: str, how: str, reply: dict[str, Any]) -> None:
        if reply.get("how") != how:
            self.wrong.append(f"that {agent} is {how!r} was not taken: {reply}")
        elif not how:
            self.away.discard(agent)

    def call_back(self) -> None:
        """All are on again."""
        if self.away and (self.chief is None or self.chief.gone):
            self.send(min(self.away), "")

    def rule(self) -> None:
        """Ask what is in dispute and waits for a person, unless an answer is still waited for."""
        if self.inquiry is None or self.inquiry.gone:
            self.inquiry = self._knock({"do": "conflicts", "all": True}, self._disputed)

    def _disputed(self, reply: dict[str, Any]) -> None:
        cases = reply.get("cases") or ()
        waiting = [one for one in cases if one["owner"] == "person"]
        settled = [one for one in cases if one["state"] == "ruled" and not one["appealed"]]
        if waiting:
            self.inquiry = self._knock({"do": "conflicts", "case": self.chance.choice(waiting)["case"]}, self._weighed)
        elif settled and self.appeals and self.chance.random() < APPEAL_SHARE:
            self._knock({"do": "appeal_case", "case": self.chance.choice(settled)["case"], "why": "not so"}, lambda _: None)

    def _weighed(self, reply: dict[str, Any]) -> None:
        for case in reply.get("cases") or ():
            given = {"do": "rule_case", "case": case["case"], "claim": self.chance.choice(case["claims"])["id"], "why": "I know"}
            self.inquiry = self._knock(
                given, lambda reply: self.look("ruled", reply["case"]["case"]) if "case" in reply else None
            )

    def mai_gone(self) -> None:
        """The connection to her is lost."""
        for inquiry in filter(None, (self.inquiry, self.officer, self.solver, self.chief)):
            inquiry.gone = True

    def _knock(self, given: dict[str, Any], heard: Callable[[dict[str, Any]], None], peer: Peer = PEER) -> Inquiry:
        inquiry = Inquiry(heard, peer)
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
