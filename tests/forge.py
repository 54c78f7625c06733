"""Journals that say other than what happened, written as their own processes would: only what they mean is wrong.

    place = forge(finished, tmp_path, lambda history: history["acme/sales"].pop(7))

Numbers, digests, links with the heads of both sides, acknowledgements and the state are all made anew from the events, so
that `mai verify --state` finds nothing. A message whose `Sent` is gone is not received either. A new message of one's own
gets a number in the thousands: it is there to bring both of its ends together.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from mai.agents import events
from mai.agents.decider import Decider
from mai.agents.events import Acked, Event, ProcessStarted, Received, Sent
from mai.daemon import refold
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place

History = dict[str, list[Event]]
Whose = tuple[str, str, int]  # sender, receiver, number: of a message before the forgery


def history(place: Place) -> History:
    """What all journals of a state directory say."""
    found: History = {}
    for process in place.processes():
        ledger = Ledger(place.ledger(process), process)
        found[process] = [events.decode(record.kind, ledger.body(record)) for record in ledger.records()]
        ledger.close()
    return found


class Stuck(Exception):
    """A message would have to be received before it is sent."""


class Forger:
    """One process that writes its part of a history."""

    def __init__(self, place: Place, process: str, said: list[Event], sent: "dict[Whose, tuple[Sent, int, bytes]]") -> None:
        self.place, self.process, self.left, self.sent = place, process, said, sent
        self.ledger = Ledger(place.ledger(process), process)
        self.decider: Decider = refold.fresh(place, process)
        self.numbers: dict[tuple[str, str], int] = {}
        self.owned = {self._sent_as(event) for event in said if isinstance(event, Sent)}

    def _sent_as(self, event: Sent) -> Whose:
        return self.process, event.to, event.lseq

    def write(self, owners: "dict[str, Forger]") -> bool:
        """Write on until a message is not there yet; false if nothing could be written."""
        some = False
        while self.left:
            event = self.left[0]
            if isinstance(event, Received) and (whose := (event.sender, self.process, event.lseq)) not in self.sent:
                if event.sender in owners and whose in owners[event.sender].owned:
                    return some  # later
                self.left.pop(0)  # it was never sent
                continue
            self._append(self.left.pop(0))
            some = True
        return some

    def _append(self, event: Event) -> None:
        if isinstance(event, ProcessStarted) and self.ledger.seq:
            self.save()
            self.ledger = Ledger(self.place.ledger(self.process), self.process)
        before = event
        event = self._anew(event)
        columns = {name: getattr(event, name, "") for name in ("request", "task", "agent")}
        seq = self.ledger.append(event.kind, events.encode(event), **columns)
        if isinstance(before, Sent) and isinstance(event, Sent):
            self.sent[self._sent_as(before)] = event, seq, self.ledger.head
        self.decider.evolve(event, seq)

    def _anew(self, event: Event) -> Event:
        """The same, with the numbers and heads that are true now."""
        match event:
            case Sent():
                return msgspec.structs.replace(event, lseq=self._number("to", event.to))
            case Received():
                sent, seq, head = self.sent[event.sender, self.process, event.lseq]
                lseq = self._number("from", event.sender)
                same = {"id": sent.id, "body": sent.body, "deadline_ms": sent.deadline_ms}
                return msgspec.structs.replace(event, lseq=lseq, head_seq=seq, head=head.hex(), **same)
            case Acked():
                return msgspec.structs.replace(event, received=min(event.received, self.numbers.get(("to", event.peer), 0)))
        return event

    def _number(self, way: str, peer: str) -> int:
        self.numbers[way, peer] = self.numbers.get((way, peer), 0) + 1
        return self.numbers[way, peer]

    def save(self) -> None:
        """The state, as the journal gives it."""
        changes = self.decider.state.changes
        for (noun, key), value in changes.items():
            self.ledger.save(noun, key, None if value is None else msgspec.json.encode(value))
        changes.clear()
        self.ledger.commit()
        self.ledger.close()


def forge(source: Place, directory: Path, edit: Callable[[History], object]) -> Place:
    """A copy of a state directory whose journals say what `edit` makes of them."""
    said = history(source)
    edit(said)
    place = Place(directory / "state", directory / "run")
    shutil.copytree(source.state, place.state, ignore=shutil.ignore_patterns("ledger.*", "run"))
    sent: dict[Whose, tuple[Sent, int, bytes]] = {}
    forgers = {process: Forger(place, process, list(events_), sent) for process, events_ in said.items()}
    while sum(forger.write(forgers) for forger in forgers.values()):  # not `any`: each has its turn
        pass
    stuck = [forger.process for forger in forgers.values() if forger.left]
    for forger in forgers.values():
        forger.save()
    if stuck:
        raise Stuck(f"{', '.join(stuck)}: a message would come before it is sent")
    return place


def at(said: list[Event], kind: type[Event], **fields: object) -> int:
    """Where the event of a kind with these fields stands: the first, or that of the number `which`, from 0."""
    which = fields.pop("which", 0)
    assert isinstance(which, int)
    return list(places(said, kind, **fields))[which]


def places(said: list[Event], kind: type[Event], **fields: object) -> Iterator[int]:
    """Where all of them stand. A field `body` is the class of a message's body."""
    for place, event in enumerate(said):
        body = fields.get("body")
        fits = isinstance(event, kind) and (body is None or isinstance(getattr(event, "body", None), body))  # type: ignore[arg-type]
        if fits and all(getattr(event, name) == value for name, value in fields.items() if name != "body"):
            yield place
