"""The least that a brokered round trip costs here: a bare pyzmq ROUTER between two DEALERs, no key, no journal.

What `mai bench` holds its own figures against, in the same run. Three processes, as with Mai:

    python -P -m mai.daemon.relay relay|echo SOCKET
"""

import contextlib
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import zmq

from mai.sandbox.place import short

FRAME = b"x" * 300


class Relayed(NamedTuple):
    """Round trips through the bare relay."""

    one_ms: float  # median with one in flight, of the block that was least disturbed
    many_per_s: float  # with 64 in flight


class Block(NamedTuple):
    """So many round trips, one after the other or with several in flight."""

    seconds: float
    trips_ms: list[float]  # each, in the order of their ends


def relay(path: str) -> None:
    """Pass every frame to whom its first part names; what is for nobody is dropped."""
    router = zmq.Context().socket(zmq.ROUTER)
    router.bind(f"ipc://{path}")
    while True:
        sender, receiver, frame = router.recv_multipart()
        router.send_multipart([receiver, sender, frame])


def echo(path: str) -> None:
    """Send every frame back."""
    dealer = _dealer(path, b"B")
    while True:
        dealer.send_multipart(dealer.recv_multipart())


def _dealer(path: str, name: bytes) -> "zmq.Socket[bytes]":
    dealer: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    dealer.identity, dealer.linger = name, 0
    dealer.connect(f"ipc://{path}")
    return dealer


def measure(directory: Path, blocks: int = 5, one: int = 200, many: int = 3000) -> Relayed:
    """Start a relay and an echo, and time round trips through them."""
    with running(directory) as block:
        medians_ms = [statistics.median(block(one, 1).trips_ms) for _ in range(blocks)]
        return Relayed(min(medians_ms), many / block(many, 64).seconds)


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Callable[[int, int], Block]]:
    """A relay and an echo; gives what makes so many round trips through them, with so many in flight."""
    dealer = _dealer(short(directory / "relay.sock"), b"A")
    command = [sys.executable, "-P", "-m", "mai.daemon.relay"]
    children = [subprocess.Popen([*command, role, str(directory / "relay.sock")]) for role in ("relay", "echo")]
    try:
        _wait_for_echo(dealer)
        yield lambda total, in_flight: _block(dealer, total, in_flight)
    finally:
        for child in children:
            child.kill()
            child.wait()
        dealer.close()


def _wait_for_echo(dealer: "zmq.Socket[bytes]", tries: int = 500) -> None:
    """Ask until the echo is connected and answers; the relay drops what comes before."""
    for number in range(tries):
        dealer.send_multipart([b"B", b"%d" % number])
        while dealer.poll(20):
            if dealer.recv_multipart()[1] == b"%d" % number:
                return
    raise TimeoutError("the bare relay did not come up")


def _block(dealer: "zmq.Socket[bytes]", total: int, in_flight: int) -> Block:
    begun_s, sent_s = time.perf_counter(), deque[float]()
    trips_ms: list[float] = []
    sent = 0
    while len(trips_ms) < total:
        while sent < total and len(sent_s) < in_flight:
            sent_s.append(time.perf_counter())
            dealer.send_multipart([b"B", FRAME])
            sent += 1
        dealer.recv_multipart()
        trips_ms.append((time.perf_counter() - sent_s.popleft()) * 1e3)  # they come back in their order
    return Block(time.perf_counter() - begun_s, trips_ms)


if __name__ == "__main__":
    {"relay": relay, "echo": echo}[sys.argv[1]](short(Path(sys.argv[2])))
