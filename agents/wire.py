"""The department's end of the wire: a DEALER with a CURVE key, and a monitor that tells of each new connection.

ZeroMQ connects again by itself; what was in its pipes may be lost or come twice then. So on every handshake we say
Hello, and the numbers of link.py do the rest. Frames that cannot be sent now stay where they are: in the outbox.

The routing id is our name and a number that nobody can guess: whoever claims another's name can neither keep Mai from
hearing the real one (ZeroMQ ignores the second connection of an id) nor be sent what is meant for it.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import zmq

from mai.sandbox.keys import Pair
from mai.sandbox.place import short

RECONNECT_MS = 20
MOST_FRAMES = 1000  # taken in one turn
TURN_S = 0.004  # after which a turn takes no more: others would have nothing to do until its commit
NOBLOCK = int(zmq.NOBLOCK)  # each look at an enumeration costs as much as a decode
MORE = int(zmq.SNDMORE) | NOBLOCK


def routing_id(name: str) -> bytes:
    """A routing id for a process of this name."""
    return f"{name}#{os.urandom(12).hex()}".encode()


class Dealer:
    """A connection to the client's Mai."""

    def __init__(self, name: str, path: Path, own: Pair, mai: bytes, limit_bytes: int) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.identity = routing_id(name)
        self.socket.linger = 0
        self.socket.immediate = 1  # queue nothing while there is no connection
        self.socket.reconnect_ivl = RECONNECT_MS
        self.socket.maxmsgsize = 2 * limit_bytes
        self.socket.curve_publickey, self.socket.curve_secretkey = own
        self.socket.curve_serverkey = mai
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self.socket.connect(f"ipc://{short(path)}")

    def send(self, frame: bytes) -> bool:
        """Hand a frame to ZeroMQ; False if it takes none now."""
        try:
            self.socket.send(frame, NOBLOCK)
        except zmq.Again:
            return False
        return True

    def burst(self, frames: list[bytes]) -> bool:
        """Hand frames to ZeroMQ as the parts of one message, which wakes its thread and the peer once; False if it takes none."""
        try:
            for frame in frames[:-1]:
                self.socket.send(frame, MORE)
            self.socket.send(frames[-1], NOBLOCK)
        except zmq.Again:  # at the first part: once that is taken, all others are
            return False
        return True

    def receive(self) -> Iterator[bytes]:
        """The frames that have come, up to a bound in number and in the time that is spent on them."""
        end_s = time.monotonic() + TURN_S
        try:
            for _ in range(MOST_FRAMES):
                yield self.socket.recv(NOBLOCK)
                if time.monotonic() > end_s:
                    return
        except zmq.Again:
            pass

    def connections(self) -> tuple[bool, bool]:
        """Since the last time: was a connection lost, was one made?"""
        lost = made = False
        try:
            while True:
                event = int.from_bytes(self.monitor.recv_multipart(zmq.NOBLOCK)[0][:2], "little")
                made = made or event == zmq.EVENT_HANDSHAKE_SUCCEEDED
                lost = lost or event == zmq.EVENT_DISCONNECTED
        except zmq.Again:
            pass
        return lost, made

    def close(self) -> None:
        """Hang up."""
        self.socket.disable_monitor()
        self._context.destroy(linger=0)
