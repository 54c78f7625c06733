"""A department that has turned against its Mai, for `mai bench flood` and the tests: it sends as fast as it can.

It speaks with the key of a department that does not run, over as many connections as it likes:

    python -P -m mai.daemon.flooder STATE RUN client/department KIND

It prints `ready` once the first frames are out, and ends with its standard input.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final

import zmq

from mai.agents import messages
from mai.agents.body import Body
from mai.agents.link import BURST, WINDOW
from mai.agents.loop import read_mandate
from mai.agents.memory_messages import Remember
from mai.agents.messages import Ack, Envelope, Hello, Hop, Task
from mai.agents.shell import now_ms
from mai.agents.wire import Dealer
from mai.sandbox import keys
from mai.sandbox.life import stdin_ended
from mai.sandbox.place import Place, short

CONNECTIONS: Final = 8  # at once; those who hang up and come again make one after the other
LATER_MS: Final = 60_000


class Flooder:
    """One process that floods. `name`: whose key it uses."""

    def __init__(self, place: Place, name: str) -> None:
        self.name, self.client = name, name.partition("/")[0]
        home = place.home(name)
        self._own, self._mai = keys.own(home), (home / "mai.key").read_bytes()
        mandate = read_mandate(home)
        self._organisation, self._limit_bytes = mandate.organisation.digest, mandate.organisation.limits.message_bytes
        self._socket = place.link(self.client)
        self._run = place.run

    def dial(self, own: keys.Pair | None = None) -> Dealer:
        """One more connection, with a key of its own if one is given."""
        return Dealer(self.name, self._socket, own or self._own, self._mai, self._limit_bytes)

    def frame(self, body: Body, lseq: int = 0, ident: str = "") -> bytes:
        """A message to Mai."""
        to, deadline_ms = f"{self.client}/mai", now_ms() + LATER_MS if lseq else 0
        envelope = Envelope(self.name, to, lseq, ident, self._organisation, deadline_ms, 0, bytes(32), body)  # type: ignore[arg-type]
        return messages.encode(envelope)

    def elsewhere(self) -> Iterator[int]:
        """To a socket of its own, which a thread reads: what a flood takes of the machine, whoever it is for."""
        router: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket, (self._mai, secret) = self._run / "elsewhere.sock", zmq.curve_keypair()
        router.curve_server, router.curve_publickey, router.curve_secretkey = 1, self._mai, secret
        router.bind(f"ipc://{short(self._socket)}")

        def read() -> None:
            while True:
                router.recv()

        threading.Thread(target=read, daemon=True).start()
        return self.words(self.frame(Hello(0, "flood")))

    # -- what can be sent without end
    def words(self, frame: bytes) -> Iterator[int]:
        """The same frame, again and again, in bursts, on all connections."""
        dealers = [self.dial() for _ in range(CONNECTIONS)]
        while True:
            done = sum(BURST * dealer.burst([frame] * BURST) for dealer in dealers)
            for dealer in dealers:
                for _ in dealer.receive():  # so that nothing is in the way of an answer
                    pass
            yield done

    def numbered(self, make: Callable[[int], Body]) -> Iterator[int]:
        """Messages of the link, each as soon as the window lets it go."""
        dealer, received, next_ = self.dial(), -1, 0
        while True:
            if any(dealer.connections()):
                dealer.send(self.frame(Hello(0, "flood")))
            for frame in dealer.receive():
                body = messages.decode(frame, self._limit_bytes).body
                if isinstance(body, Hello):
                    received, next_ = body.received, body.received + 1
                elif isinstance(body, Ack):
                    received = max(received, body.received)
            upto = min(received + WINDOW, next_ + BURST - 1) if received >= 0 else -1
            burst = [self.frame(make(n), n, f"flood/{n}") for n in range(next_, upto + 1)]
            done = len(burst) if burst and dealer.burst(burst) else 0
            next_ += done
            yield done

    def ask(self, n: int) -> Task:
        """For a contract, under a task that it does not have."""
        return Task(f"none/1.m{n}", "none", f"{self.name}/board", "answer.echo", "", {"n": n, "words": "loud"}, 8)

    def remember(self, n: int) -> Remember:
        """Something new in the client's memory."""
        return Remember(f"memory/{n}", f"{self.name}/board", f"loud {n % 50}", n)

    def handshakes(self, *, known: bool) -> Iterator[int]:
        """Connections, one after the other, with its own key or with new ones."""
        while True:
            dealers = [self.dial(None if known else keys.Pair(*zmq.curve_keypair())) for _ in range(CONNECTIONS)]
            hello = self.frame(Hello(0, "flood"))
            for dealer in dealers:
                dealer.socket.immediate = 0
                dealer.send(hello)
                dealer.monitor.poll(20)
                dealer.close()
            yield len(dealers)

    def flood(self, kind: str) -> Iterator[int]:
        """Of this kind; gives how many were handed to ZeroMQ, over and over."""
        hop = Hop("none", "none/1", "x", "y", "loud", 0)
        kinds: dict[str, Callable[[], Iterator[int]]] = {
            "elsewhere": self.elsewhere,
            "asks": lambda: self.numbered(self.ask),
            "memory": lambda: self.numbered(self.remember),
            "hellos": lambda: self.words(self.frame(Hello(0, "flood"))),
            "notices": lambda: self.words(self.frame(hop)),
            "malformed": lambda: self.words(b"\x93 this is no message" * 8),
            "handshakes": lambda: self.handshakes(known=True),
            "strangers": lambda: self.handshakes(known=False),
        }
        return kinds[kind]()


KINDS: Final = ("elsewhere", "asks", "memory", "hellos", "notices", "malformed", "handshakes", "strangers")


def main(arguments: list[str]) -> None:
    """Flood until standard input ends; of the kind `elsewhere` to nobody, to compare with."""
    state, run, name, kind = arguments
    flooder, poller = Flooder(Place(state, run), name), zmq.Poller()
    poller.register(0, zmq.POLLIN)
    sent = 0
    for turn, done in zip(count(), flooder.flood(kind), strict=False):
        if not sent and done:
            print("ready", flush=True)
        sent += done
        if (not done or turn % 16 == 0) and poller.poll(0 if done else 1) and stdin_ended():
            break
    print(sent, flush=True)
    os._exit(0)  # ZeroMQ would wait for what nobody reads any more


if __name__ == "__main__":
    main(sys.argv[1:])
