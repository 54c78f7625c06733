"""The shell around a decider: receive, decide, journal, evolve, send.

All that one turn of the loop brings goes into one transaction; only after its commit does anything leave the process.
Recovery is no special path: the state is loaded as it was committed with the journal, and what is owed is sent again.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from mai.agents import events, messages
from mai.agents.decider import Decider, Input, Send
from mai.agents.events import Acked, Event, MessageRefused, Received, Sent
from mai.agents.kept import FADING, Fading
from mai.agents.link import BURST, Flight, Link, Transit, receipt
from mai.agents.messages import Ack, Complaint, Envelope, Hello, Hop, Numbered
from mai.agents.plain import foreign
from mai.agents.sealing import Sealed, Seals
from mai.agents.shelves import Shelves
from mai.agents.texts import Texts, misfit
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Ledger, Record
from mai.sandbox.points import reach


class Amnesia(LedgerFault):
    """A peer has received more than this ledger says was sent: the ledger is an older copy of itself."""


def values(body: Numbered) -> Any:
    """What a body carries of others' values."""
    return next((value for name in ("input", "value", "given") if (value := getattr(body, name, None))), None)


def now_ms() -> int:
    """The wall clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Shell:
    """One process's decider, ledger and links.

    `send(peer, frame) -> bool` hands a frame to the wire (False: not now), `reply` to the connection from which the peer was
    heard last and to no other (False: it is gone); `seen(event)` is told of each event before it is folded,
    `noticed(peer, body)` of the messages outside a link. Where there is a `burst(peer, frames) -> bool`, it takes
    several frames, all or none: that wakes the other end once. A shell that `answers` (Mai's) replies to Hello, one
    that `keeps` (a department's) stores the texts that come with messages. `accused(peer, detail) -> bool` is asked whether a
    peer is to be believed that says our ledger is an older copy; without it every peer is. `screen(peer, body) -> body` leaves
    of a message what may be taken in: what it leaves out is never on our disk. `seals` binds each decision to what it
    was based on.
    """

    def __init__(
        self,
        ledger: Ledger,
        decider: Decider,
        organisation: str,
        send: Callable[[str, bytes], bool],
        *,
        seen: Callable[[Event], None],
        noticed: Callable[[str, Hop | Complaint], None],
        burst: Callable[[str, list[bytes]], bool] | None = None,
        reply: Callable[[str, bytes], bool] | None = None,
        screen: Callable[[str, Numbered], Numbered] = lambda peer, body: body,
        accused: Callable[[str, str], bool] = lambda peer, detail: True,
        answers: bool = False,
        keeps: bool = False,
        seals: Seals | None = None,
    ) -> None:
        self.ledger, self.decider, self.me, self.organisation = ledger, decider, ledger.process, organisation
        self._send, self._seen, self._noticed, self._answers = send, seen, noticed, answers
        self._burst = burst or (lambda peer, frames: send(peer, frames[0]))
        self._most = BURST if burst else 1
        self._reply = reply or (lambda peer, frame: self._send(peer, frame) or True)
        self._accused, self._screen, self._seals = accused, screen, seals
        self.texts = Texts(ledger, decider.state, keeps=keeps)
        decider.state.memory = Shelves(ledger, decider.state.changes)
        self.notices: list[tuple[str, Hop]] = []  # for who looks on; they leave before the turn's messages
        self._urgent = False  # something is to be committed that is more than an acknowledgement

    # -- start
    def restore(self) -> None:
        """Load the links and the frames that no peer has acknowledged."""
        state = self.decider.state
        self.texts.restore()
        for key, data in self.ledger.load(FADING).items():
            state.fading.put(key, msgspec.json.decode(data, type=Fading))
        for peer, data in self.ledger.load("link").items():
            state.links[peer] = msgspec.json.decode(data, type=Link)
        oldest = min((link.oldest for link in state.links.values() if link.oldest), default=0)
        if oldest:
            for record in self.ledger.records(oldest - 1, Sent.kind):
                self._reload(record)

    def _reload(self, record: Record) -> None:
        event = events.decode(record.kind, self.ledger.body(record))
        assert isinstance(event, Sent)
        if event.lseq > self.decider.state.link(event.to).acked:
            self._board(event, record.seq, record.digest)

    def _board(self, event: Sent, seq: int, head: bytes) -> None:
        """Put a message among those that wait for their acknowledgement."""
        texts = self.texts.attached(event.body, event.to, event.lseq)
        envelope = Envelope(
            self.me, event.to, event.lseq, event.id, self.organisation, event.deadline_ms, seq, head, event.body, texts
        )
        waiting = self.decider.state.transit(event.to).waiting
        frame = messages.encode(envelope)
        if waiting and waiting[-1].lseq == event.lseq:  # folded just now, still without its frame
            waiting[-1] = waiting[-1]._replace(frame=frame)
        else:
            waiting.append(Flight(event.lseq, seq, frame))

    # -- decide, journal, evolve
    def feed(self, *inputs: Input) -> None:
        """Decide about inputs, and about what follows from them, until nothing does."""
        queue, at_ms = deque(inputs), now_ms()
        while queue:
            for item in self.decider.decide(queue.popleft(), at_ms):
                queue.extend(self.apply(self._numbered(item) if isinstance(item, Send) else item))

    def _numbered(self, send: Send) -> Sent:
        body = send.body
        request, task = getattr(body, "request", ""), getattr(body, "task", "")
        lseq = self.decider.state.link(send.to).sent + 1
        return Sent(to=send.to, lseq=lseq, id=send.id, request=request, task=task, deadline_ms=send.deadline_ms, body=body)

    def apply(self, event: Event) -> list[Input]:
        """Journal one fact and fold it; returns what has to be decided because of it."""
        request, task, agent = getattr(event, "request", ""), getattr(event, "task", ""), getattr(event, "agent", "")
        seq = self.ledger.append(event.kind, events.encode(event), request=request, task=task, agent=agent)
        self._urgent = self._urgent or not isinstance(event, Acked)
        if self._seals:
            self._seals.note(event, request, task, seq, self.ledger.head)
        self._seen(event)
        following = self.decider.evolve(event, seq)
        if isinstance(event, Sent):
            self._board(event, seq, self.ledger.head)
        return following

    def value(self, noun: str, key: str) -> bytes | None:
        """One row of state as it stands in this turn, as JSON."""
        changes = self.decider.state.changes
        if (noun, key) in changes:
            value = changes[noun, key]
            return None if value is None else msgspec.json.encode(value)
        return self.ledger.get(noun, key)

    # -- receive
    def receive(self, peer: str, envelope: Envelope) -> None:
        """Take one message in, from a peer whose name the key has proven."""
        match envelope.body:
            case Hello(received=received):
                self._hello(peer, received)
            case Ack(received=received):
                self._acked(peer, received)
            case Hop() | Complaint() as body:
                self._noticed(peer, body)
            case body:
                self._take(peer, envelope, body)

    def _take(self, peer: str, envelope: Envelope, body: Numbered) -> None:
        link, transit = self.decider.state.link(peer), self.decider.state.transit(peer)
        match receipt(link, envelope.lseq):
            case "gap":
                self._gap(peer, envelope.lseq)
            case "seen":
                transit.owes_ack = True
            case "new" if why := misfit(body, envelope.texts) or foreign(values(body)):
                self.refuse(peer, "malformed", why)
                self.complain(peer, "malformed", why)
            case "new":
                body = self._screen(peer, body)
                received = Received(
                    sender=peer, lseq=envelope.lseq, id=envelope.id,
                    request=getattr(body, "request", ""), task=getattr(body, "task", ""),
                    organisation=envelope.organisation, deadline_ms=envelope.deadline_ms, head_seq=envelope.head_seq,
                    head=envelope.head.hex(), body=body,
                )  # fmt: skip
                reach("receive.before")
                self.texts.arrive(envelope.texts)
                self.apply(received)
                transit.owes_ack = True
                self.feed(*self.decider.taken(received))
                reach("receive.after")

    def _gap(self, peer: str, lseq: int) -> None:
        """Ask for what is missing, once a turn, and journal it once."""
        link, transit = self.decider.state.link(peer), self.decider.state.transit(peer)
        if transit.gap != link.received + 1:
            transit.gap = link.received + 1
            self.refuse(peer, "gap", f"number {lseq} came, {transit.gap} is the next")
        transit.owes_hello = True

    def _hello(self, peer: str, received: int) -> None:
        if not self._acked(peer, received):
            return
        acked = self.decider.state.link(peer).acked
        if received < acked and self._forgotten(peer, received, acked):
            return
        self.decider.state.transit(peer).restart(max(received, acked))
        if self._answers:
            self.greet(peer)

    def _forgotten(self, peer: str, received: int, acked: int) -> bool:
        """Tell a peer that it has lost what it had acknowledged; false if nobody is there any more who has said so.

        Then it was the last word of an earlier life, read after the first one of the present life.
        """
        missing = f"it had acknowledged {acked} messages of {self.me} and says now that it has received {received}"
        said = f"{missing}: {received + 1} to {acked} are missing there, {self.me}'s journal has them"
        complaint = Complaint("amnesia", f"your ledger is an older copy of itself: {said}"[:500])
        if not self._reply(peer, self._loose(peer, complaint)):
            return False
        self.refuse(peer, "amnesia", f"the ledger of {peer} is an older copy of itself: {said}")
        return True

    def _acked(self, peer: str, received: int) -> bool:
        """Fold how far a peer has received; false if it cannot be, and the peer is not believed. Raises Amnesia if it is."""
        link = self.decider.state.link(peer)
        if received > link.sent:
            detail = (
                f"it ends at message {link.sent} to {peer}, which has received {received}: "
                f"{link.sent + 1} to {received} are missing here, {peer}'s journal has them"
            )
            if not self._accused(peer, detail):
                return False
            self.refuse(peer, "amnesia", detail)
            self._write()
            raise Amnesia(
                f"the ledger of {self.me} is an older copy of itself: {detail}", "put the newest copy of the ledger back"
            )
        if received > link.acked:
            self.apply(Acked(peer=peer, received=received))
            self.texts.settle(peer, received)
            reach("ack.received")
        return True

    def refuse(self, peer: str, why: str, detail: str) -> None:
        """Journal that something from a peer was not taken."""
        self.apply(MessageRefused(peer=peer, why=why, detail=detail[:500]))

    # -- send
    def greet(self, peer: str) -> None:
        """Say after the next commit how far we have received; the peer sends the rest again."""
        self.decider.state.transit(peer).owes_hello = True

    def complain(self, peer: str, why: str, detail: str) -> None:
        """Answer what was no message, or none that the peer may send."""
        self.tell(peer, Complaint(why, detail[:500]))

    def tell(self, peer: str, body: Hello | Ack | Hop | Complaint) -> bool:
        """Send something outside the link; it may be lost."""
        return self._send(peer, self._loose(peer, body))

    def _loose(self, peer: str, body: Hello | Ack | Hop | Complaint) -> bytes:
        seq, head = self.ledger.durable
        return messages.encode(Envelope(self.me, peer, 0, "", self.organisation, 0, seq, head, body))

    def commit(self, *, all_of_it: bool = False) -> None:
        """Make the turn durable, then acknowledge what it received and send what it owes.

        Acknowledgements that came in wait for the next commit: to lose one is harmless, an fsync for each is dear.
        """
        if self._urgent or all_of_it:
            self._write()
        for peer, hop in self.notices:
            self.tell(peer, hop)
        self.notices.clear()
        for peer, transit in self.decider.state.transits.items():
            self._say(peer, transit)
            if transit.connected and transit.waiting:
                self._fly(peer)

    def _write(self) -> None:
        """Journal and state, in one transaction, with a seal for each decision that stands in it."""
        state = self.decider.state
        if self._seals:
            self._seals.seal(now_ms(), self._seal)
        for (noun, key), value in state.changes.items():
            self.ledger.save(noun, key, None if value is None else msgspec.json.encode(value))
        state.changes.clear()
        self.ledger.commit()
        self.texts.committed()
        self._urgent = False

    def _seal(self, sealed: Sealed) -> int:
        """On record like any fact; nobody decides or folds anything because of it, so it is not asked of them."""
        return self.ledger.append(
            sealed.kind, events.encode(sealed), request=sealed.request, task=sealed.task, agent=sealed.agent
        )

    def _say(self, peer: str, transit: Transit) -> None:
        """Say how far we have received, if we owe that."""
        received = self.decider.state.link(peer).received
        if transit.owes_hello and self.tell(peer, Hello(received, self.ledger.boot)):
            transit.owes_hello = transit.owes_ack = False
        if transit.owes_ack and self.tell(peer, Ack(received)):
            transit.owes_ack = False

    def _fly(self, peer: str) -> None:
        transit = self.decider.state.transit(peer)
        due = transit.due(self.decider.state.link(peer).acked)
        for first in range(0, len(due), self._most):
            flights = due[first : first + self._most]
            reach("send.before")
            if not self._burst(peer, [flight.frame for flight in flights]):
                return
            transit.flown = flights[-1].lseq
            reach("send.after")
