"""Two processes and what lies between them: real shells and ledgers, and a wire that a seed makes lose, repeat and swap.

Mai's end answers a Hello, the department's end says it first, as in production. What is in flight is lost when the
connection is, or when one of them is killed; a killed one starts again from its disk.
"""

from collections import deque
from pathlib import Path
from random import Random

import msgspec

from mai.agents import events, messages
from mai.agents.decider import Input, Send, fold_link
from mai.agents.errand_messages import Thought
from mai.agents.events import Event, Received, Sent
from mai.agents.link import Link
from mai.agents.memory_messages import Remember
from mai.agents.messages import Complaint, Envelope, Hello, Hop
from mai.agents.shell import Amnesia, Shell
from mai.agents.state import State
from mai.sandbox.ledger import Ledger

MAI, DEPARTMENT = "acme/mai", "acme/sales"


MOST_TURNS = 200
MISHAPS = (
    *["say"] * 3,
    *["deliver"] * 8,
    *["commit"] * 5,
    *["connect"] * 4,
    "lose",
    "repeat",
    "swap",
    "disconnect",
    "kill",
    "kill",
)


class Say(Input, frozen=True):
    """Tell the other something; with `text`, the address of a large one."""

    to: str
    id: str
    text: str = ""


class Tally(msgspec.Struct):
    """How many messages were taken, and the last one: something that every message changes."""

    count: int = 0
    last: str = ""


class Courier:
    """The least decider: sends what it is told to, counts what it gets, and answers every third message."""

    def __init__(self) -> None:
        self.state = State()
        self.tally = Tally()

    def decide(self, given: Input, now_ms: int) -> list[Event | Send]:
        """A message."""
        assert isinstance(given, Say)
        large = Thought(given.id, "", "answered", answer=given.text)
        return [Send(given.to, given.id, 0, large if given.text else Remember(given.id, "", "", len(given.id)))]

    def evolve(self, event: Event, seq: int) -> list[Input]:
        """Links and the tally."""
        assert fold_link(self.state, event, seq) or event.kind == "message.refused"
        if isinstance(event, Received):
            self.tally = Tally(self.tally.count + 1, event.id)
            self.state.changed("tally", "", self.tally)
        return []

    def taken(self, received: Received) -> list[Input]:
        """An answer, sometimes; a large text goes back as it came."""
        text = received.body.answer if isinstance(received.body, Thought) else ""
        return [Say(received.sender, f"{received.id}=", text)] if received.lseq % 3 == 0 else []

    def next_deadline_ms(self) -> int:
        """Never."""
        return 0


class End:
    """One process; `shell` is the class of its shell, which a test may have changed."""

    def __init__(self, path: Path, name: str, wire: "Wire", shell: type[Shell] = Shell) -> None:
        self.path, self.name, self.wire, self.kind = path, name, wire, shell
        self.peer = DEPARTMENT if name == MAI else MAI
        self.halted = ""
        self.texts: list[str] = []  # large ones that have come
        self.start()

    def start(self) -> None:
        """Begin from what the disk has."""
        self.ledger = Ledger(self.path, self.name)
        self.courier = Courier()
        self.shell = self.kind(
            self.ledger, self.courier, "d", self.send, seen=self.seen, noticed=self.noticed, answers=self.name == MAI
        )
        if data := self.ledger.get("tally", ""):
            self.courier.tally = msgspec.json.decode(data, type=Tally)
        self.shell.restore()

    def say(self, id_: str, text: str = "") -> None:
        """Tell the other something."""
        self.shell.feed(Say(self.peer, id_, self.shell.texts.put(id_, text) if text else ""))
        self.shell.texts.drop(id_)

    def seen(self, event: Event) -> None:
        """A text that a message names is here when the message is."""
        if isinstance(event, Received) and isinstance(event.body, Thought):
            self.texts.append(self.shell.texts.text(event.body.answer))

    def kill(self) -> None:
        """End it here; what was not committed is gone."""
        self.ledger.close()
        self.wire.disconnect()
        self.start()

    @property
    def link(self) -> Link:
        """Its end of the link."""
        return self.courier.state.link(self.peer)

    def send(self, peer: str, frame: bytes) -> bool:
        """Onto the wire, if there is one."""
        return self.wire.put(self.name, frame)

    def noticed(self, peer: str, body: Hop | Complaint) -> None:
        """The other complains."""
        if isinstance(body, Complaint):
            self.halted = f"{peer} says: {body.why}"

    def receive(self, envelope: Envelope) -> None:
        """A message."""
        try:
            self.shell.receive(self.peer, envelope)
        except Amnesia as amnesia:
            self.halted = amnesia.sentence

    def of_kind(self, kind: type[Event]) -> list[Event]:
        """What its journal on the disk has of a kind."""
        return [events.decode(record.kind, self.ledger.body(record)) for record in self.ledger.records(kind=kind.kind)]


class Wire:
    """A connection between the two; what goes each way comes in that order, but for what the test does to it."""

    def __init__(self, directory: Path, shell: type[Shell] = Shell) -> None:
        self.up = False
        self.pipes: dict[str, deque[bytes]] = {MAI: deque(), DEPARTMENT: deque()}  # by sender
        self.mai = End(directory / "mai.db", MAI, self, shell)
        self.department = End(directory / "department.db", DEPARTMENT, self, shell)
        self.ends = (self.mai, self.department)

    def put(self, sender: str, frame: bytes) -> bool:
        """Hand a frame over."""
        if self.up:
            self.pipes[sender].append(frame)
        return self.up

    def disconnect(self) -> None:
        """Everything in flight is lost."""
        self.up = False
        for end in self.ends:
            self.pipes[end.name].clear()
            end.courier.state.transit(end.peer).connected = False

    def connect(self) -> None:
        """The department sees the handshake and says Hello."""
        self.up = True
        self.department.shell.greet(MAI)

    def deliver(self, sender: End) -> None:
        """The next frame of one of them arrives."""
        if self.pipes[sender.name]:
            envelope = messages.decode(self.pipes[sender.name].popleft(), 1 << 20)
            (self.mai if sender is self.department else self.department).receive(envelope)

    def turn(self) -> None:
        """All that is in flight arrives, and both commit."""
        for end in self.ends:
            while self.pipes[end.name]:
                self.deliver(end)
        for end in self.ends:
            end.shell.commit(all_of_it=True)

    def heal(self) -> None:
        """No more faults: connect anew, and go on until nothing moves."""
        self.disconnect()
        self.connect()
        for _ in range(MOST_TURNS):
            if self.quiet():
                return
            self.turn()
        self.mai.halted = "it does not come to rest"

    def quiet(self) -> bool:
        """Is everything received and acknowledged?"""
        halted = any(end.halted for end in self.ends)
        moving = any(self.pipes.values()) or any(end.courier.state.transit(end.peer).waiting for end in self.ends)
        greeting = self.department.courier.state.transit(MAI).owes_hello
        return halted or not (moving or greeting)

    # -- what may happen to it
    def mishap(self, random: Random) -> None:
        """Something happens: often what should, sometimes what should not."""
        end = random.choice(self.ends)
        pipe = self.pipes[end.name]
        match random.choice(MISHAPS):
            case "say":
                id_ = f"{end.name}-{end.link.sent + 1}-{random.random()}"
                end.say(id_, random.choice(["", "é" * random.randrange(1, 2000)]))
            case "deliver":
                self.deliver(end)
            case "commit":
                end.shell.commit(all_of_it=random.random() < 0.5)
            case "lose" if pipe:
                pipe.popleft()
            case "repeat" if pipe and not _hello(pipe[0]):  # a Hello is true at its place in the order only
                pipe.append(pipe[0])
            case "swap" if len(pipe) > 1 and not (_hello(pipe[0]) or _hello(pipe[1])):
                pipe[0], pipe[1] = pipe[1], pipe[0]
            case "disconnect":
                self.disconnect()
            case "connect" if not self.up:
                self.connect()
            case "kill":
                end.kill()

    # -- what must hold
    def violations(self) -> list[str]:
        """What is wrong with the journals of both, each way; at rest."""
        found = [f"{end.name} halts: {end.halted}" for end in self.ends if end.halted]
        for sender, receiver in (self.ends, self.ends[::-1]):
            sent = [event for event in sender.of_kind(Sent) if isinstance(event, Sent)]
            received = [event for event in receiver.of_kind(Received) if isinstance(event, Received)]
            numbers = list(range(1, len(sent) + 1))
            if [event.lseq for event in sent] != numbers:
                found.append(f"{sender.name} numbered its messages {[event.lseq for event in sent]}")
            if [event.lseq for event in received] != numbers:
                found.append(f"{receiver.name} took {[event.lseq for event in received]} of {len(sent)}")
            if [event.id for event in sent] != [event.id for event in received]:
                found.append(f"{receiver.name} took others than {sender.name} sent")
            heads = {record.seq: record.digest.hex() for record in sender.ledger.records()}
            if any(heads.get(event.head_seq) != event.head for event in received):
                found.append(f"{receiver.name} witnessed a head that {sender.name} does not have")
            found += self._state(sender)
            if left := sender.ledger.load("parcel"):
                found.append(f"{sender.name} still holds texts for {sorted(left)}")
        return found

    def _state(self, end: End) -> list[str]:
        """Does the journal fold to the state?"""
        folded = Courier()
        for record in end.ledger.records():
            folded.evolve(events.decode(record.kind, end.ledger.body(record)), record.seq)
        rows = {key: msgspec.json.encode(value) for key, value in folded.state.changes.items() if value is not None}
        stored = {(noun, key): data for noun in ("link", "tally") for key, data in end.ledger.load(noun).items()}
        return [] if rows == stored else [f"{end.name}'s state is {stored}, its journal folds to {rows}"]


def _hello(frame: bytes) -> bool:
    return isinstance(messages.decode(frame, 1 << 20).body, Hello)
