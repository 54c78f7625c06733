"""What Mai hears of her processes: who it is, in whose turn, whether it may be taken, and what is refused.

Who sent a frame is what its CURVE key says (ZAP gives it a User-Id), never what the frame says: a routing id or an
envelope that names another is a forgery, refused and journaled.
"""

import contextlib
import time
from typing import TYPE_CHECKING

import zmq

from mai.agents import messages
from mai.agents.link import CROWDED, TOO_FAST, Transit
from mai.agents.loop import Ready
from mai.agents.messages import Complaint, Envelope, Hello, Malformed
from mai.agents.shell import now_ms
from mai.agents.wire import TURN_S
from mai.daemon.accused import Accused
from mai.daemon.refusals import Refusals
from mai.daemon.router import Router
from mai.daemon.tempo import FLOOD, NONSENSE, Pause, Price, Tempo, price, unread
from mai.daemon.turns import MOST, Parcel, Turns

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway


class Hearing:
    """The ear of one client's Mai: her router, and all that stands between it and her shell."""

    def __init__(self, gateway: "Gateway", router: Router) -> None:
        self.router, self.refusals, self.accused = router, Refusals(), Accused()
        self._gateway = gateway
        self._tempo, self._turns = Tempo(gateway.organisation.limits), Turns()

    @property
    def more(self) -> bool:
        """Is there something that has come, and was not heard yet?"""
        return bool(self._turns)

    def take(self, ready: Ready) -> None:
        """Handshakes, and frames."""
        if self.router.zap in ready:
            begun_s = time.monotonic()
            self._gateway.keykeeper.let_in(self.refusals, lambda name: self._tempo.admits(name, begun_s))
        if self.router.socket in ready:
            for parcel in self.router.receive(self._tempo.deaf):
                self._collect(parcel)
        end_s = time.monotonic() + TURN_S
        while (now_s := time.monotonic()) < end_s and (heard := self._turns.next()):
            self._receive(heard, now_s)

    def work(self) -> None:
        """Say to those who were not heard for a while that they are heard again, and put on record what was refused."""
        for peer, pause in self._tempo.over(time.monotonic()):
            self._heed(peer, pause)
        for refused in self.refusals.due(now_ms()):
            self._gateway.shell.apply(refused)

    def wait_ms(self, wait_ms: int) -> int:
        """How long a poll may wait."""
        return self._tempo.wait_ms(wait_ms, time.monotonic())

    def floods(self) -> tuple[str, ...]:
        """Who has to be stopped, because nothing else keeps it from flooding."""
        return self._tempo.floods(time.monotonic())

    def status(self) -> str:
        """Who is shut out, and who is not heard."""
        return "; ".join(filter(None, (self.accused.status(), self._tempo.status())))

    def close(self) -> None:
        """Hang up on all."""
        self.router.close()

    def _collect(self, parcel: Parcel) -> None:
        """Keep a frame until it is its sender's turn; what is not to be heard is not even kept."""
        if pause := self._tempo.why(parcel.who):
            known = pause.cut
            if self._tempo.ignore(parcel.who, parcel.many, time.monotonic()):
                return self._cut(parcel, "" if known else pause.detail)
            self.refusals.note(parcel.who, pause.why, pause.detail)
            self._learn(parcel)
        elif not self._turns.put(parcel):
            self._silence(parcel.who, TOO_FAST, f"{MOST} frames of it wait, which is twice what may be on its way")
            self._learn(parcel)

    def _learn(self, parcel: Parcel) -> None:
        """What is thrown away tells from where its sender speaks now: its Hello may be among it, and ours is owed there."""
        if parcel.claims == parcel.who and not self.router.stale(parcel):
            self._connection(parcel)

    def _cut(self, parcel: Parcel, news: str) -> None:
        if news:
            self.refusals.note(parcel.who, FLOOD, news)
        if self.router.cut(parcel) and parcel.good and parcel.name in self._gateway.decider.state.transits:
            self._transit(parcel.name).connected = False

    def _connection(self, parcel: Parcel) -> None:
        if self.router.heard(parcel):
            self._transit(parcel.name).connected = False  # until its Hello, which this should be

    def _receive(self, parcel: Parcel, now_s: float) -> None:
        name = parcel.name
        if not parcel.good:
            return self._complain(parcel, "old key", f"the key {parcel.key} was {name}'s, and is nobody's any more", now_s)
        if self.router.stale(parcel):
            return  # an earlier life of that process: the present one sends again what counts
        try:
            envelope = self._opened(parcel)
        except Malformed as fault:
            self._complain(parcel, "malformed", fault.sentence, now_s)
            return
        me = self._gateway.name
        if parcel.claims != name or envelope.sender != name or envelope.to != me:
            said = f"the routing id {parcel.claims[:80]!r}, the envelope from {envelope.sender[:80]!r} to {envelope.to[:80]!r}"
            self._complain(parcel, "forgery", f"the key is {name}'s, {said}", now_s)
            return
        self._connection(parcel)
        if not self._affordable(name, envelope, now_s):
            return
        if name in self.accused.shut and not isinstance(envelope.body, Hello):
            return  # it was told; a Hello is judged anew
        self.accused.hello(name)
        if isinstance(envelope.body, Hello):
            self._tempo.greeted(name)
        self._gateway.keykeeper.heard(parcel)
        self._gateway.shell.receive(name, envelope)

    def _affordable(self, name: str, envelope: Envelope, now_s: float) -> bool:
        """May it be taken? Otherwise it counts as not arrived."""
        mai = self._gateway.decider
        cost = price(mai, name, envelope)
        if not self._tempo.spend(name, cost, now_s):
            self._silenced(name)
            return False
        if cost.what == "asks" and cost.many and (why := unread(mai, name)):
            self._silence(name, CROWDED, why)
            return False
        return True

    def _silence(self, name: str, why: str, detail: str) -> None:
        self._tempo.silence(name, why, detail, time.monotonic())
        self._silenced(name)

    def _silenced(self, name: str) -> None:
        pause = self._tempo.why(name)
        assert pause is not None, "a silence without a reason"
        for parcel in self._turns.drop(name):
            self._learn(parcel)
        self.refusals.note(name, pause.why, pause.detail)

    def _heed(self, peer: str, pause: Pause) -> None:
        """It is heard again: it is told why it was not, and both say how far they have come."""
        if peer not in self._gateway.decider.state.transits:
            return  # a key that is good no more, or a process that never came to its Hello
        detail = f"{pause.detail}: nothing of it was heard for {pause.for_s:g} s, and it may send that again"
        told = self._gateway.shell.tell(peer, Complaint(pause.why, detail))
        if not told and self._transit(peer).connected:  # it does not even read that
            self._silence(peer, pause.why, pause.detail)
        else:  # its own Hello may have come while it was not heard: ours is owed until it is taken, or both would wait
            self._gateway.shell.greet(peer)
            self._tempo.told(peer, pause, time.monotonic())  # or its pipe is full: then it is told once more

    def _transit(self, peer: str) -> Transit:
        return self._gateway.decider.state.transit(peer)

    def _opened(self, parcel: Parcel) -> Envelope:
        if parcel.frame is None:
            raise Malformed("not a message: it has no frame, or too many")
        return messages.decode(parcel.frame, self._gateway.organisation.limits.message_bytes)

    def _complain(self, parcel: Parcel, why: str, detail: str, now_s: float) -> None:
        """Refuse what came; the answer goes to the connection that it came from, whoever's name it used."""
        if not self._tempo.spend(parcel.who, Price("words", NONSENSE), now_s):
            return self._silenced(parcel.who)
        self.refusals.note(parcel.name, why, detail)
        (seq, head), body, me = self._gateway.ledger.durable, Complaint(why, detail[:500]), self._gateway.name
        answer = Envelope(me, parcel.name, 0, "", self._gateway.organisation.digest, 0, seq, head, body)
        with contextlib.suppress(zmq.ZMQError):  # gone, or does not read
            self.router.answer(parcel.route, messages.encode(answer))
