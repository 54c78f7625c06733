"""A process with one link, to its client's Mai: a department, or one of her services. The loop, with the wire in it."""

import zmq

from mai.agents import messages
from mai.agents.link import HELD_BACK
from mai.agents.loop import Loop, Ready
from mai.agents.messages import Complaint, Hop, Malformed
from mai.agents.pipes import Pipe
from mai.agents.wire import Dealer
from mai.sandbox.place import Place
from mai.sandbox.points import reach


class Linked(Loop):
    """The end of the link. A subclass makes the decider, calls `dial` when it is ready to listen, and makes the shell."""

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name)
        self.mai = f"{self.mandate.client}/mai"
        self.limit_bytes = self.organisation.limits.message_bytes
        self.dealer: Dealer

    def dial(self) -> None:
        """Connect to Mai."""
        hand, path = self.read_keys(), self.place.link(self.mandate.client)
        self.dealer = Dealer(self.name, path, hand.own, hand.mai, self.limit_bytes)
        self.poller.register(self.dealer.socket, zmq.POLLIN)
        self.poller.register(self.dealer.monitor, zmq.POLLIN)

    def look(self) -> None:
        """Other keys: hang up, and dial anew with them; the links' numbers see to what was on its way."""
        before = self.hand
        if (hand := self.new_keys()) is None:
            return
        if before and (before.own, before.mai) == (hand.own, hand.mai):
            return
        reach("keys.heeded")
        self.poller.unregister(self.dealer.socket)
        self.poller.unregister(self.dealer.monitor)
        self.dealer.close()
        self.decider.state.transit(self.mai).connected = False  # until Mai's Hello
        self.dial()

    # -- what the shell needs
    def send(self, peer: str, frame: bytes) -> bool:
        """Hand a frame for Mai to the wire; False if it takes none now."""
        return self.dealer.send(frame)

    def burst(self, peer: str, frames: list[bytes]) -> bool:
        """The same for several, all or none."""
        return self.dealer.burst(frames)

    def noticed(self, peer: str, body: Hop | Complaint) -> None:
        """Mai complains: put it on record, and end if our ledger is an old one."""
        if isinstance(body, Complaint):
            self.shell.refuse(peer, body.why, f"Mai says: {body.detail}")
            if body.why == "amnesia":
                self.halted = body.detail
            elif body.why in HELD_BACK:
                self.shell.greet(self.mai)

    # -- the turn
    def poll_with(self, pipes: list[Pipe], wait_ms: int) -> list[tuple[object, int]]:
        """The poll, with the pipes of what works beside the loop; those that are ready are served."""
        for pipe in pipes:
            self.poller.register(pipe.descriptor, zmq.POLLOUT if pipe.writing else zmq.POLLIN)
        try:
            found = self.poller.poll(wait_ms)
        finally:
            for pipe in pipes:
                self.poller.unregister(pipe.descriptor)
        ready = {descriptor for descriptor, _ in found}
        for pipe in pipes:
            if pipe.descriptor in ready:
                pipe.serve()
        return found

    def take(self, ready: Ready) -> None:
        """Connections made and lost, and frames from Mai."""
        if self.dealer.monitor in ready:
            self._connections()
        if self.dealer.socket in ready:
            for frame in self.dealer.receive():
                self._receive(frame)

    def _connections(self) -> None:
        lost, made = self.dealer.connections()
        if lost or made:
            self.decider.state.transit(self.mai).connected = False  # until Mai's Hello
        if made:
            self.shell.greet(self.mai)

    def _receive(self, frame: bytes) -> None:
        try:
            envelope = messages.decode(frame, self.limit_bytes)
        except Malformed as fault:
            self.shell.refuse(self.mai, "malformed", fault.sentence)
            self.shell.complain(self.mai, "malformed", fault.sentence)
            return
        if (envelope.sender, envelope.to) != (self.mai, self.name):
            detail = f"the link is Mai's, the envelope from {envelope.sender[:80]!r} to {envelope.to[:80]!r}"
            self.shell.refuse(self.mai, "forgery", detail)
            return
        self.shell.receive(self.mai, envelope)

    def close(self) -> None:
        """Hang up."""
        self.dealer.close()
