"""The least that a brokered round trip costs here: a bare pyzmq ROUTER between two DEALERs, no key, no journal.

What `mai bench` holds its own figures against, in the same run. Three processes, as with Mai:

    python -P -m mai.daemon.relay relay|echo SOCKET
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import zmq

from mai.sandbox.place import short

FRAME = b"x" * 300


class Relayed(NamedTuple):
    """Round trips through the bare relay."""

    one_ms: float  # median with one in flight, of the block that was least disturbed
    many_per_s: float  # with 64 in flight


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
    path = short(directory / "relay.sock")
    dealer = _dealer(path, b"A")
    command = [sys.executable, "-P", "-m", "mai.daemon.relay"]
    children = [subprocess.Popen([*command, role, str(directory / "relay.sock")]) for role in ("relay", "echo")]
    try:
        _wait_for_echo(dealer)
        medians_ms = [statistics.median(_round(dealer, 1) * 1e3 for _ in range(one)) for _ in range(blocks)]
        return Relayed(min(medians_ms), many / _round(dealer, many))
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


def _round(dealer: "zmq.Socket[bytes]", total: int, in_flight: int = 64) -> float:
    """Seconds for so many round trips."""
    start_s, sent, back = time.perf_counter(), 0, 0
    while back < total:
        while sent < total and sent - back < in_flight:
            dealer.send_multipart([b"B", FRAME])
            sent += 1
        dealer.recv_multipart()
        back += 1
    return time.perf_counter() - start_s


if __name__ == "__main__":
    {"relay": relay, "echo": echo}[sys.argv[1]](short(Path(sys.argv[2])))
