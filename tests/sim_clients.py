"""The clients of a simulated world: they ask under ids of their own, lose patience, hang up, ask again, and tell what they heard.

What one was told of an id must stay true: the same answer each time, and once accepted, an answer.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from mai.daemon.plan import Plan
from mai.daemon.rights import administrator
from mai.sandbox.peer import Peer
from mai.sandbox.proof import NAME
from tests import sim_company

MOST_REPLIES = 1000
BOXES = "please bring boxes"
PEER = Peer(1, 0, frozenset())  # all are root
PROOF = "of this world"


class Caller(Protocol):
    """Who is at Mai's door."""

    gone: bool

    def answer(self, reply: dict[str, Any], more: bool = False) -> None:
        """Mai says something."""


class Line:
    """One connection to Mai's door, as daemon/door.py's Caller is to her."""

    def __init__(self, wish: "Wish", clients: "Clients") -> None:
        self.wish, self.clients = wish, clients
        self.gone = False
        self.peer, self.uid, self.user = PEER, PEER.uid, "root"
        self.rights = administrator(0, "root")

    def answer(self, reply: dict[str, Any], more: bool = False) -> None:
        """Mai says something."""
        if not self.gone:
            self.clients.heard(self.wish, reply)
            self.gone = not more


class Wish:
    """One request as its client knows it."""

    def __init__(self, request: str, text: str, timeout_s: float) -> None:
        self.request, self.text, self.timeout_s = request, text, timeout_s
        self.asked = 0
        self.accepted = False
        self.answer: dict[str, Any] | None = None
        self.refused = ""  # by the door
        self.line: Line | None = None


class Clients:
    """All of them. `told(what, request)` is for the record, `look(what, request)` checks what must be on the disk by now."""

    def __init__(self, chance: Random, told: Callable[[str, str], None], look: Callable[[str, str], None]) -> None:
        self.chance, self.told, self.look = chance, told, look
        self.knocking: deque[tuple[Caller, dict[str, Any]]] = deque()
        self.wrong: list[str] = []
        self.wishes = [self._wish(number) for number in range(chance.randrange(2, 7))]

    def _wish(self, number: int) -> Wish:
        chance, cents = self.chance, 100 + number
        how = chance.choice([*sim_company.HOWS, *sim_company.HOWS, "poison" if chance.random() < 0.3 else "opaque"])
        single = chance.choice([f"order by {how} for {cents}", f"order by {how} for {cents}", f"charge by {how} for {cents}"])
        others = ["Please write notes down. Please do the counting.", "fly me to the moon", BOXES, "who takes what?"]
        text = chance.choice([single] * 12 + others)
        return Wish(f"r{number}", text, chance.choice([0.2, 2.0, 30.0, 3600.0, 3600.0, 3600.0]))

    # -- what they do
    def act(self) -> None:
        """One of them does something."""
        wish = self.chance.choice(self.wishes)
        if wish.line and not wish.line.gone and self.chance.random() < 0.1:
            wish.line.gone = True
            self.told("hang up", wish.request)
        elif wish.line is None or wish.line.gone or self.chance.random() < 0.1:
            self.ask(wish)

    def ask(self, wish: Wish) -> None:
        """Ask, or ask again; sometimes the id with another text, which has to be refused."""
        wish.line = line = Line(wish, self)
        wish.asked += 1
        given = {"do": "ask", "request": wish.request, "text": wish.text, "timeout_s": wish.timeout_s}
        if self.chance.random() < 0.2:
            given["watch"] = True
        self.knocking.append((line, given))
        self.told("ask", wish.request)

    def heard(self, wish: Wish, reply: dict[str, Any]) -> None:
        """A reply has come."""
        if "accepted" in reply:
            wish.accepted = True
            self.look("accepted", wish.request)
        elif "answer" in reply and "pending" in reply["answer"]:
            self.told("pending", wish.request)  # a person was asked; so it is asked again
            wish.line = None
        elif "answer" in reply:
            self.look("answered", wish.request)
            if wish.answer is not None and wish.answer != reply["answer"]:
                self.wrong.append(f"{wish.request} was told two answers: {wish.answer} and {reply['answer']}")
            wish.answer = reply["answer"]
        elif "error" in reply:
            wish.refused = str(reply["error"])
            self.wrong.append(f"{wish.request} was refused at the door: {wish.refused}")

    def mai_gone(self) -> None:
        """All connections to her are lost."""
        self.knocking.clear()
        for wish in self.wishes:
            if wish.line:
                wish.line.gone = True

    def insist(self) -> bool:
        """Whoever has no answer and no open line asks again; true while somebody waits."""
        waiting = [wish for wish in self.wishes if wish.answer is None]
        for wish in waiting:
            if wish.line is None or wish.line.gone:
                self.ask(wish)
        return bool(waiting)


class Knocking:
    """Mai's door."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.turned_away: deque[Caller] = deque()

    def fileno(self) -> str:
        """What is polled."""
        return "door"

    def open_to(self, others: bool) -> None:
        """There are no others in this world."""

    @property
    def count(self) -> int:
        """Who is connected."""
        return len(self.clients.knocking)

    def turn(self) -> list[tuple[Caller, dict[str, Any]]]:
        """The requests that came."""
        found = [(line, {**given, NAME: PROOF}) for line, given in self.clients.knocking]
        self.clients.knocking.clear()
        return found


class Plans:
    """Mai's planning: some plans are made at once, for others she has to wait, as for an embedder."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.open: dict[str, str] = {}

    def fileno(self) -> str:
        """What is polled."""
        return "planning"

    def begin(self, request: str, text: str) -> Plan | None:
        """The plan, or None for later."""
        if self.chance.random() < 0.3:
            self.open[request] = text
            return None
        return sim_company.planned(text)

    def turn(self) -> None:
        """Take in what the embedder says."""

    def due(self) -> list[tuple[str, Plan]]:
        """Plans that are there now."""
        found = [request for request in self.open if self.chance.random() < 0.5]
        return [(request, sim_company.planned(self.open.pop(request))) for request in found]
