"""Mai's process: the client's only ROUTER, the door for the client, one ledger, one loop.

python -P -m mai.daemon.gateway STATE RUN client/mai
"""

import re
import sys
import time
from collections import Counter

import msgspec
import zmq

from mai.agents.contracts import Contracts
from mai.agents.doors import Role
from mai.agents.events import Event, Received, Sent
from mai.agents.loop import Loop, Ready, run_process
from mai.agents.messages import Complaint, Hop, Result, Task
from mai.agents.sealing import Seals
from mai.agents.shell import Shell, now_ms
from mai.agents.table import Table
from mai.daemon import (
    approval_orders,
    asks,
    breach,
    cancel,
    cover,
    escalation_orders,
    granting,
    healing,
    held,
    inbound,
    keyed,
    outgoing,
    releasing,
    returning,
    spooled,
    subjects,
    told,
)
from mai.daemon.asking import LONGEST_S
from mai.daemon.bridge import Bridge
from mai.daemon.courier import Courier
from mai.daemon.desk import Answered, Asked, Doubtful, Errand, Passage, Planned, Request
from mai.daemon.dispute_folding import load as load_disputes
from mai.daemon.door import Caller, Reply, refusal
from mai.daemon.escalations import EscalationRaised, RequestPending
from mai.daemon.hearing import Hearing
from mai.daemon.intake import Intake
from mai.daemon.interim import Interim
from mai.daemon.keykeeper import Keykeeper
from mai.daemon.mai import MaiDecider
from mai.daemon.onlookers import Onlookers
from mai.daemon.operating import Operating
from mai.daemon.pending import ApprovalRaised
from mai.daemon.planning import Planning
from mai.daemon.reception import Reception
from mai.daemon.records import RequestEnded
from mai.daemon.request_form import checked_text, shown
from mai.daemon.router import Router
from mai.daemon.spool import Spools
from mai.daemon.thread_orders import Follower, door_of, is_anothers
from mai.daemon.turned import TurnedAway
from mai.daemon.voice_records import VoiceSaid
from mai.sandbox.errors import Refused, UsageFault
from mai.sandbox.place import Place
from mai.sandbox.points import reach
from mai.sandbox.room import Room

MOST_NAMED = 16  # processes that have not taken what is for them, in one heartbeat
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


class Gateway(Loop):
    """One client's Mai at work."""

    decider: MaiDecider

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name)
        self.client = self.mandate.client
        self.decider = self.blank()
        limit_bytes = self.organisation.limits.message_bytes
        hand = self.read_keys()
        self.router = Router(place.link(self.client), hand.own, hand.known, limit_bytes)
        self.hearing = Hearing(self, self.router)
        self.reception = Reception(self, place)
        self.room = Room(self.home, self.organisation.limits.free_bytes)
        self.planning = Planning(self.organisation, place.embedder)
        self.shell = Shell(
            self.ledger,
            self.decider,
            self.organisation.digest,
            self._send,
            seen=self._seen,
            noticed=self._noticed,
            burst=self._burst,
            reply=self.router.reply,
            screen=self.decider.screen,
            accused=self._believed,
            answers=True,
            seals=Seals(self.mandate, self.ledger),
        )
        self.watchers: dict[str, list[tuple[Caller, bool]]] = {}  # by request: who waits, and whether with the hops
        self.interim = Interim(self)
        self._replies: list[tuple[Caller, Reply, bool]] = []  # to be given after the commit
        self._turned: Counter[str] = Counter()  # requests of this turn that were not taken for lack of room
        self._young = self.ledger.seq == 0  # it holds no earlier start
        self._missed: frozenset[str] = frozenset()  # who was named in a heartbeat as one that is not there
        self.going = ""  # who removes the client, if somebody does
        self.followers: list[Follower] = []  # who reads conversations as they grow
        self.intake = Intake(self)
        self.spools = Spools(self, place)
        self.operating = Operating(self)
        self.onlookers = tuple(Onlookers(self, sight(self)) for sight in (approval_orders.Sight, escalation_orders.Sight))
        self.keykeeper = Keykeeper(self)
        self._restore()
        self.bridge = Bridge(place.door, self.client, self.decider.state.watched.seq)
        self.courier = Courier(place.door, self.client)
        for polled in (self.router.socket, self.router.zap, self.reception, self.planning, self.bridge):
            self.poller.register(polled, zmq.POLLIN)

    def blank(self) -> MaiDecider:
        """A decider that knows nothing."""
        return MaiDecider(
            self.mandate, Table(self.organisation), Contracts(self.organisation).fault, keep=self._keep, read=self._read
        )

    def _restore(self) -> None:
        state = self.decider.state
        for key, data in self.ledger.load("request").items():
            state.requests[key] = msgspec.json.decode(data, type=Request)
        for key, data in self.ledger.load("passage").items():
            state.passages[key] = msgspec.json.decode(data, type=Passage)
        for key, data in self.ledger.load("errand").items():
            state.errands[key] = msgspec.json.decode(data, type=Errand)
        cover.load(state, self.ledger.load("turn"), self.ledger.load("breaker"))
        returning.load(state, self.ledger.load("amended"))
        granting.load(state, self.ledger.load("granted"))
        subjects.load(state, self.ledger.load("subjects"))
        cancel.load(state, self.ledger.load("cancel"))
        for key, data in self.ledger.load("doubt").items():
            state.doubts[key] = msgspec.json.decode(data, type=Doubtful)
        state.approving.load(self.ledger.load)
        state.parking.load(self.ledger.load("escalation"))
        releasing.load(state, self.ledger.load("release"))
        told.load(state, self.ledger.load("watched"))
        healing.load(state, self.ledger.load("case"), self.ledger.load("remedy"))
        held.load(state, self.ledger.load("held"), self.ledger.load("waiting"))
        breach.load(state, self.ledger.load(breach.NOUN))
        load_disputes(state, self.ledger.load("claim"), self.ledger.load("conflict"), self.ledger.load("withheld"))
        keyed.load(state, self.ledger.load("keyed"))
        outgoing.load(state, self.ledger.load("carry"))
        inbound.load(state, self.ledger.load("stalled"))
        spooled.load(state, self.ledger.load("spool"))
        state.rows.load = self.ledger.get
        self.shell.restore()
        self.started()
        self.keykeeper.learn()
        for request in [one for one in state.requests.values() if not one.parts]:  # accepted, and not planned before we died
            if plan := self.planning.begin(request.request, request.text):
                self.shell.feed(Planned(request.request, *plan))
        self.shell.feed(*(asks.Outdated(task) for task in state.approving.asks))

    def look(self) -> None:
        """Once in each heartbeat: have keys changed?"""
        self.keykeeper.look()

    def _keep(self, text: str) -> str:
        return self.shell.texts.keep(text)  # which is made after the decider

    def _read(self, address: str) -> str:
        return self.shell.texts.text(address)

    # -- what the shell tells
    def _send(self, peer: str, frame: bytes) -> bool:
        return self._burst(peer, [frame])

    def _burst(self, peer: str, frames: list[bytes]) -> bool:
        try:
            self.router.burst(peer, frames)
        except zmq.Again:
            return False  # it is there and reads slowly; a later turn tries again
        except zmq.ZMQError:
            self.decider.state.transit(peer).connected = False  # until its next Hello
            return False
        return True

    def _seen(self, event: Event) -> None:
        match event:
            case RequestEnded():
                self.done += 1
                self.progress_ms = now_ms()
                self._answer(event)
            case VoiceSaid(what="notice") if event.request in self.watchers:
                self._replies += [(caller, {"notice": event.text}, True) for caller, _ in self.watchers[event.request]]
            case ApprovalRaised():
                self.onlookers[0].note(event.approval.id)
            case EscalationRaised():
                self.onlookers[1].note(event.id)
            case RequestPending(request=request) if request in self.watchers:
                self._look(request, event.id, "mai", event.owner, "a person is asked")
            case Sent(body=Task() as task) if event.request in self.watchers:
                to = event.to.split("/")[1]
                self._look(event.request, event.task, "mai", to, returning.begun(self.decider, to, task))
            case Received(body=Result() as result) if event.request in self.watchers:
                by = event.sender.split("/")[1]
                self._look(event.request, event.task, by, "mai", returning.done(self.decider, by, result))

    def _look(self, request: str, task: str, sender: str, receiver: str, note: str) -> None:
        names = {"sender": sender[:120], "receiver": receiver[:120], "note": note[:120]}
        hop = {"request": request, "task": task[:120], **names, "at_ms": now_ms()}
        for caller, watch in self.watchers.get(request, []):
            if watch:
                self._replies.append((caller, {"hop": hop}, True))

    def _noticed(self, peer: str, body: Hop | Complaint) -> None:
        if isinstance(body, Complaint):
            self.hearing.refusals.note(peer, "complaint", f"{peer} says: {body.why}: {body.detail}")
            if body.why == "amnesia" and self._believed(peer, body.detail):
                self.halted = body.detail
        elif body.request in self.watchers and self.decider.scopes.shows(peer.split("/")[1]) == "result":
            self._look(body.request, body.task, body.sender, body.receiver, body.note)

    def _believed(self, peer: str, detail: str) -> bool:
        """A peer says that our ledger is an older copy: halt, or shut the peer out."""
        new = self._young and not self.decider.state.link(peer).received
        if self.hearing.accused.accuse(peer, detail, new=new):
            return True
        self.decider.state.transit(peer).connected = False
        self.hearing.refusals.note(peer, "amnesia", self.hearing.accused.says(peer))
        self.shell.complain(peer, "shut out", self.hearing.accused.says(peer))
        return False

    def _answer(self, ended: RequestEnded) -> None:
        for caller, _ in self.watchers.pop(ended.request, []):
            self._replies.append((caller, {"answer": shown(ended)}, False))

    # -- the turn
    def take(self, ready: Ready) -> None:
        """Handshakes, frames, and what the client asks at the door."""
        self.hearing.take(ready)
        if self.planning.fileno() in ready:
            self.planning.turn()
        if self.bridge.fileno() in ready:
            heard = [told.heard(said) for said in self.bridge.turn()]
            self.going = told.going(heard, self.name, self.going)
            self.shell.feed(*heard)
        if self.reception.fileno() in ready:
            self.reception.turn()

    def later(self, caller: Caller, reply: Reply) -> None:
        """Answer when this turn is committed."""
        self._replies.append((caller, reply, False))

    def ask(self, caller: Caller, given: Reply, role: Role) -> None:
        """A request of the client's, new or asked again. Raises UsageFault, Refused."""
        request, text, until_ms = self._checked(given)
        watch = bool(given.get("watch"))
        open_ = self.decider.state.requests.get(request)
        kept = None if open_ else self.shell.value("answer", request)
        before = msgspec.json.decode(kept, type=Answered) if kept else open_
        thread = door_of(caller, given)
        if before is not None and (before.text != text or is_anothers(before, thread, role)):
            raise Refused(f"the id {request} was used for another request", "leave --id away, or choose another")
        if isinstance(before, Answered):
            self._replies.append((caller, {"answer": shown(before)}, False))
            return
        if open_ is None and self.going:
            return self._turn_away(caller, Refused(f"the client {self.client} is being removed by {self.going}"))
        if open_ is None and self.room.low:
            return self._turn_away(caller, Refused(self.room.why(), "make room; what is under way goes on"))
        if open_ is None and len(self.decider.state.requests) >= self.decider.limits.queue:
            full = f"{self.decider.limits.queue} requests are open, which is the limit"
            return self._turn_away(caller, Refused(full, "ask again later"))
        self.watchers.setdefault(request, []).append((caller, watch))
        self.interim.waits(request, caller, until_ms)
        self._replies.append((caller, {"accepted": request}, True))
        if open_ is None:
            asker = f"{self.client}/client"
            plan = self.planning.begin(request, text)
            parts = plan.parts if plan and not plan.question else None
            self.shell.feed(Asked(request, asker, text, until_ms, watch, parts, caller.user, caller.uid, role, thread))
            if plan and parts is None:
                self.shell.feed(Planned(request, *plan))

    def _turn_away(self, caller: Caller, why: Refused) -> None:
        """For lack of room; the caller hears it when it is on record, as the journals' count has to be his log's."""
        self._turned[why.sentence] += 1
        self._replies.append((caller, refusal(why), False))

    def _checked(self, given: Reply) -> tuple[str, str, int]:
        """The id, the text and the deadline of a request. Raises UsageFault."""
        request, timeout_s = given.get("request"), given.get("timeout_s", self.decider.limits.request_s)
        if not isinstance(request, str) or not _ID.fullmatch(request):
            hint = "letters, digits and . _ : - , at most 64, a letter or digit first"
            raise UsageFault(f"{request!r:.80} is no id of a request", hint)
        text = checked_text(given.get("text"), self.decider.limits.request_bytes)
        if not isinstance(timeout_s, int | float) or not 0 < timeout_s <= LONGEST_S:
            raise UsageFault(f"{timeout_s!r:.40} is no time-out", f"a number of seconds up to {LONGEST_S:.0f}")
        return request, text, now_ms() + int(timeout_s * 1000)

    def poll(self, wait_ms: int) -> list[tuple[object, int]]:
        """The poll, but no longer than until a plan is due, or somebody is heard again."""
        return super().poll(self.interim.wait_ms(self.planning.wait_ms(self.hearing.wait_ms(self.spools.wait_ms(wait_ms)))))

    def work(self) -> bool:
        """Plan what has waited for that, and put on record what was refused, as far as it is due."""
        for request, plan in self.planning.due():
            self.shell.feed(Planned(request, *plan))
        self.bridge.look(time.monotonic())
        self.shell.feed(*(heard for onlookers in self.onlookers for heard in onlookers.heard()))
        self.hearing.work()
        self.spools.work()
        self.reception.work()
        for request, caller, reply in self.interim.due():
            self._replies.append((caller, {"answer": reply}, False))
            self.watchers[request] = [one for one in self.watchers.get(request, []) if one[0] is not caller]
        if self._turned:
            self.shell.feed(*(TurnedAway(count, why) for why, count in self._turned.items()))
            self._turned.clear()
        return self.hearing.more

    def after(self) -> None:
        """Answer at the door what is committed now."""
        for caller, reply, more in self._replies:
            if "hop" not in reply:
                reach("door.accepted" if more else "door.answered")
            caller.answer(reply, more)
        self._replies.clear()
        self.operating.after()
        self.spools.after()
        self.followers = [one for one in self.followers if one.step(self)]
        for onlookers in self.onlookers:
            onlookers.after()
        self.courier.carry(self.decider.state.healing.orders.values(), time.monotonic())
        for request, waiting in list(self.watchers.items()):
            self.watchers[request] = [(caller, watch) for caller, watch in waiting if not caller.gone]

    def status(self) -> str:
        """The open work, and who is shut out or not heard."""
        return "; ".join(filter(None, (super().status(), self.hearing.status())))

    def queue(self) -> int:
        """Open requests, passages and errands; what waits for a person does not wait for her."""
        state = self.decider.state
        return max(0, len(state.requests) - state.parking.requests()) + len(state.passages) + len(state.errands)

    def pending(self) -> int:
        """Also what is being cancelled, released and healed, and who is at her door; not what waits for those who do not run."""
        state = self.decider.state
        waiting = sum(len(transit.waiting) for transit in state.transits.values() if transit.connected)
        asked = len(state.doubts) + len(state.approving)
        open_ = len(state.cancellations) + len(state.releases) + asked + len(state.healing.orders)
        parked = state.parking.requests() + self.spools.any
        return self.queue() + parked + waiting + open_ + self.reception.door.count

    def waits_for(self) -> tuple[str, ...]:
        """Processes that have not taken what is for them, those first that are not there; not all if they are many."""
        waiting = [(transit.connected, peer) for peer, transit in self.decider.state.transits.items() if transit.waiting]
        self._missed = frozenset(peer for connected, peer in waiting if not connected)
        return tuple(peer for _, peer in sorted(waiting)[:MOST_NAMED])

    def floods(self) -> tuple[str, ...]:
        """Processes that flood her."""
        return self.hearing.floods()

    def urgent(self) -> bool:
        """Is there something for a process that is not there, and may be asleep? Then it is started by that word."""
        transits = self.decider.state.transits.items()
        missed = frozenset(peer for peer, transit in transits if transit.waiting and not transit.connected)
        self._missed &= missed
        return bool(missed - self._missed)

    def close(self) -> None:
        """Close the door, hang up; who still waits is told if the ledger is the reason."""
        if self.ledger.failed:
            waiting = [caller for watchers in self.watchers.values() for caller, _ in watchers]
            for caller in dict.fromkeys([*waiting, *(caller for caller, _, _ in self._replies)]):
                caller.answer(refusal(self.ledger.failed))
        self.reception.close()
        self.planning.close()
        self.bridge.close()
        self.courier.close()
        for onlookers in self.onlookers:
            onlookers.close()
        self.hearing.close()


if __name__ == "__main__":
    sys.exit(run_process(sys.argv[1:], Gateway))
