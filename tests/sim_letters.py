"""People outside in a simulated world: they write on a channel, at Mai's door and as files, again and again the same.

What they are told of a message stays the same; each file leaves new/ once; in the end each message has one answer, in the order
in which they wrote, and nothing leaves twice.
"""

import shutil
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from mai.agents.channels import message_of
from mai.daemon import spool
from mai.daemon.rights import administrator
from mai.sandbox.ledger import Record
from tests.sim_clients import PEER, Clients

if TYPE_CHECKING:
    from tests.sim_world import World

CHANNEL = "note"
DIRECTORIES = ("tmp", "new", "cur", "bad")
PEOPLE = ("anna", "bert", "cora")


class Letter:
    """One message as its writer knows it."""

    def __init__(self, number: int, who: str, *, file: bool) -> None:
        self.ident, self.who, self.file = f"n{number}", who, file
        self.text = f"note {number}"
        self.put = False  # into the spool
        self.receipt: dict[str, Any] | None = None
        self.gone = True  # nobody waits for a reply at the door


class Knock:
    """A connection to the door with a letter."""

    def __init__(self, letter: Letter, letters: "Letters") -> None:
        self.letter, self._letters, self.gone = letter, letters, False
        self.peer, self.uid, self.user, self.rights = PEER, PEER.uid, "root", administrator(0, "root")
        self.unread = 0

    def answer(self, reply: dict[str, Any], more: bool = False) -> None:
        """Mai says something."""
        self.gone = self.letter.gone = True
        if "receipt" in reply:
            self._letters.heard(self.letter, reply["receipt"])


class Letters:
    """All of them. `look(message)` checks that what somebody has a receipt for is on the disk."""

    def __init__(self, chance: Random, clients: Clients, directory: Path, look: Callable[[str], None]) -> None:
        self.chance, self.clients, self.directory, self.look = chance, clients, directory, look
        self.wrong: list[str] = []
        count = chance.choice([0, 2, 4, 6])
        self.letters = [Letter(n, chance.choice(PEOPLE), file=chance.random() < 0.5) for n in range(count)]
        shutil.rmtree(directory, ignore_errors=True)  # another world's
        for name in DIRECTORIES:
            (directory / name).mkdir(parents=True)

    def act(self) -> None:
        """Somebody writes, or writes once more."""
        if self.letters and self.chance.random() < 0.1:
            self.write(self.chance.choice(self.letters))

    def write(self, letter: Letter) -> None:
        """Deliver it, one way or the other."""
        if letter.file:
            if not letter.put:
                letter.put = True
                part = self.directory / "tmp" / letter.ident
                part.write_text(letter.text)
                part.rename(self.directory / "new" / letter.ident)
            return
        letter.gone = False
        given = {"do": "deliver", "channel": CHANNEL, "sender": letter.who, "reference": letter.ident, "subject": ""}
        self.clients.knocking.append((Knock(letter, self), {**given, "content": _base64(letter.text)}))

    def heard(self, letter: Letter, receipt: dict[str, Any]) -> None:
        """A receipt."""
        if letter.receipt is not None and letter.receipt != receipt:
            self.wrong.append(f"{letter.ident} has two receipts: {letter.receipt} and {receipt}")
        letter.receipt = receipt
        self.look(receipt["message"])

    def mai_gone(self) -> None:
        """All connections to her are lost."""
        for letter in self.letters:
            letter.gone = True

    def insist(self) -> None:
        """Whoever has no receipt, and no connection, writes again."""
        for letter in self.letters:
            if letter.gone and letter.receipt is None:
                self.write(letter)

    def open(self) -> list[str]:
        """What is not delivered yet."""
        waits = [f"{one.ident} has no receipt" for one in self.letters if not one.file and one.receipt is None]
        return waits + [f"{one.name} lies in new/" for one in (self.directory / "new").iterdir()]


def _base64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


def numbers(found: Any) -> tuple[int, int, int]:
    """What a file is known by, the same in each playing of a world."""
    return zlib.crc32(str(found.st_size).encode()), found.st_size, 0


PLACES = ((spool, "numbers", numbers), (spool, "_user", lambda uid: "root"))


# -- what must hold at the end
def check(world: "World", mai: list[tuple[Record, dict[str, Any]]]) -> Iterator[str]:
    """Each message was taken once, answered once, in order; what has left has left once, and files lie where they belong."""
    letters, taken = world.letters, Counter[str]()
    order, answered = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    of: dict[str, str] = {}
    for record, body in mai:
        if record.kind == "inbound.taken":
            taken[body["text"]] += 1
            order[body["thread"]].append(record.request)
            of[record.request] = body["thread"]
        elif record.kind == "request.ended" and record.request in of:
            answered[of[record.request]].append(record.request)
    written = Counter(one.text for one in letters.letters if one.put or one.receipt is not None)
    if taken != written:
        yield f"letters {dict(written - taken)} were not taken, {dict(taken - written)} too often"
    if order != answered:
        yield f"messages {dict(order)} were answered {dict(answered)}"
    if posted := [message for message, keys in world.bank.posted.items() if len(keys) > 1]:
        yield f"{posted[0]} has left under {len(world.bank.posted[posted[0]])} keys"
    ended = [(r.request, b["state"]) for r, b in mai if r.kind == "request.ended" and "!" in r.request]
    carried = {message_of(request) for request, state in ended if state == "answered"}
    if missing := carried - world.bank.posted.keys():
        yield f"{sorted(missing)} are on record as carried out, and nothing has left"
    sent = {r.request.partition("!")[0] for r, b in mai if r.kind == "voice.sent" and b["what"] == "answer"}
    if sent != of.keys():
        yield f"answers to {sorted(of.keys() - sent)} did not leave"
    lying = {one.name for one in (letters.directory / "cur").iterdir()}
    if lying != {one.ident for one in letters.letters if one.put}:
        yield f"{sorted(lying)} lie in cur/"


def look(world: "World", message: str) -> None:
    """Somebody has a receipt: the message has to be on Mai's disk."""
    from tests.sim_lives import MAI

    if not world.committed(MAI, "SELECT count(*) FROM journal WHERE kind='inbound.taken' AND request=?", message):
        world.violated(f"somebody has a receipt for {message}, which is not on Mai's disk")
    world.told("receipt", message)
