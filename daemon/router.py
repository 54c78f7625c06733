"""Mai's end of the wire: the client's only ROUTER with its CURVE key, and the ZAP handler that knows who may speak.

Who sent a frame is what its key says: ZAP gives it a User-Id, which names the process and the key. A key that is good no
longer counts for nothing, also on a connection that was made while it was. The routing id that a connection chooses for
itself proves nothing, so Mai never writes to a name but to the routing id from which that name, proven, was last heard. It
ends in a number that nobody else can guess (wire.py): another process can neither take it first nor be sent what is not its own.

ZeroMQ keeps what a dead process has sent, and reads in turn from all who have sent something: words of a process's last
life may come between those of its present one. They count for nothing, because all of it that matters is sent again. Where
Mai reads the present life's first word before the last words of another, which she has not heard yet either, she takes that
one for the newer: she finds out when she writes to it, because by then ZeroMQ knows that nobody is there. What answers such a
word is said to that connection alone: it is not meant for the present life.
"""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import zmq
from zmq.utils import z85

from mai.agents.link import BURST
from mai.agents.wire import MORE, MOST_FRAMES, NOBLOCK
from mai.daemon.turns import Parcel
from mai.sandbox import keys
from mai.sandbox.place import short, socket_mode

MOST_HANDSHAKES: Final = 32  # answered in one turn
HANDSHAKE_MS: Final = 5000  # a connection that was answered with 300 stays open so long; only then its maker dials again
BACKLOG: Final = 100  # connections that wait to be let in, as ZeroMQ has it
PAST_ROUTES: Final = 64  # of each name: so many lives of it may have left something unread
UNREAD: Final = 128  # messages of one connection that are decrypted already; then its sender has to wait
READ_S: Final = 0.001  # of one turn, spent on reading: far more frames come in than can be worked off in a turn


class Router:
    """The ROUTER and its ZAP handler, which is asked in the same loop."""

    def __init__(self, path: Path, own: keys.Pair, known: keys.Known, limit_bytes: int) -> None:
        self._path, self._listeners = path, list[bytes]()
        self._listened = 0
        self._names: set[str] = set()  # of the sockets that listened, as their connections have them
        self._cut: deque[bytes] = deque(maxlen=PAST_ROUTES * MOST_HANDSHAKES)  # routing ids of connections that were ended by us
        self.know(known)
        self._listen()
        self._context = zmq.Context()
        self.zap = self._context.socket(zmq.REP)
        self.zap.linger = 0
        self.zap.bind("inproc://zeromq.zap.01")
        self.socket = self._context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.router_mandatory = 1
        self.socket.rcvhwm = UNREAD
        self.socket.maxmsgsize = 2 * limit_bytes
        self.socket.handshake_ivl = HANDSHAKE_MS
        self.socket.curve_server = 1
        self.socket.zap_domain = b"mai"
        self.serve(own)

    def know(self, known: keys.Known) -> None:
        """These keys are good from now on, and no others. Whoever has dialled an earlier key of ours has dialled anew by now."""
        self._known = {z85.decode(public): name for public, name in known.known.items()}
        self._users = {f"{name} {keys.fingerprint(public)}": name for public, name in known.known.items()}
        self._old = known.old
        while len(self._listeners) > 1:
            self.socket.unbind(self._listeners.pop(0))

    def serve(self, own: keys.Pair) -> None:
        """Listen with this key. Who was let in with an earlier one stays until the next `know`; nobody else gets in with it.

        The socket is made by us: ZeroMQ would remove the file when it closes the earlier one, whosever it is by then.
        """
        self._listened += 1
        part = self._path.with_name(f"{self._path.name}.{self._listened}")
        part.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as made:
            made.bind(short(part))
            part.chmod(socket_mode(part))
            made.listen(BACKLOG)
            self._names.add(made.getsockname())
            os.replace(part, self._path)
            self.socket.curve_publickey, self.socket.curve_secretkey = own
            self.socket.setsockopt(zmq.USE_FD, made.fileno())
            self.socket.bind(f"ipc://{short(part)}")  # the name under which it can be closed
            made.detach()
            self.socket.setsockopt(zmq.USE_FD, -1)
        self._listeners.append(bytes(self.socket.getsockopt(zmq.LAST_ENDPOINT)))

    def _listen(self) -> None:
        """Nobody was heard yet."""
        self._routes: dict[str, bytes] = {}
        self._past: dict[str, deque[bytes]] = {}

    def authenticate(self, admits: Callable[[str], bool] = lambda name: True) -> list[tuple[str, str]]:
        """Answer the handshakes that wait (rfc.zeromq.org/spec/27), up to a bound. `admits` is asked about who is known.

        Returns the fingerprints of those that were refused, each with whose key it was once; "" if it is nobody's. Of who is
        known and not admitted, which may try again, the fingerprint is "".
        """
        refused: list[tuple[str, str]] = []
        try:
            for _ in range(MOST_HANDSHAKES):
                version, request, _, _, _, _, *credentials = self.zap.recv_multipart(zmq.NOBLOCK)
                name = self._known.get(credentials[0]) if credentials else None
                key = keys.fingerprint(z85.encode(credentials[0])) if credentials else ""
                status = (b"200", b"OK", f"{name} {key}".encode()) if name else (b"400", b"unknown key", b"")
                if name and not admits(name):
                    status = (b"300", b"too many handshakes", b"")
                    refused.append((name, ""))
                elif not name:
                    refused.append((self._old.get(key, ""), key))
                self.zap.send_multipart([version, request, *status, b""])
        except zmq.Again:
            pass
        return refused

    def receive(self, skips: Callable[[str], bool] = lambda name: False) -> Iterator[Parcel]:
        """What has come, up to a bound in number and time; a message of one who is to be skipped is one parcel."""
        end_s, found = time.monotonic() + READ_S, 0
        while found < MOST_FRAMES and time.monotonic() < end_s:
            parcels = self._message(skips)
            if not parcels:
                return
            found += len(parcels)
            yield from parcels

    def _message(self, skips: Callable[[str], bool]) -> list[Parcel]:
        """The parcels of the next message, none if there is no message."""
        found: list[Parcel] = []
        try:
            first = part = self.socket.recv(NOBLOCK, copy=False)
        except zmq.Again:
            return found
        user, route, count = str(first.get("User-Id")), first.bytes, 0
        name, _, key = user.partition(" ")
        good = user in self._users
        most = 0 if skips(name if good else user) else BURST
        while part.more:  # the parts of a message come together
            part = self.socket.recv(NOBLOCK, copy=False)
            count += 1
            if count <= most:
                found.append(Parcel(name, route, part.bytes, key, good))
        if not 0 < count <= most:
            found.append(Parcel(name, route, None, key, good, max(count, 1), -1 if most else int(first.get(zmq.SRCFD))))
        return found

    def cut(self, parcel: Parcel) -> bool:
        """End the connection that this came from, once; its sender cannot send on it any more, and may dial again.

        ZeroMQ has no word for that, but says which descriptor it was. Should the connection have ended meanwhile, and another
        have its number, then that one is cut, and dials again; what is no connection to this socket of ours is left alone.
        """
        if parcel.descriptor < 0 or parcel.route in self._cut:
            return False
        self._cut.append(parcel.route)
        try:
            with socket.socket(fileno=os.dup(parcel.descriptor)) as connection:
                if connection.family == socket.AF_UNIX and connection.getsockname() in self._names:
                    connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # gone already, or no socket
        return True

    def stale(self, parcel: Parcel) -> bool:
        """Is this from a connection that the name has left for another?"""
        return parcel.route in self._past.get(parcel.name, ())

    def heard(self, parcel: Parcel) -> bool:
        """Write to this connection from now on; true if the name spoke from another before, or never."""
        before = self._routes.get(parcel.name)
        if before == parcel.route:
            return False
        if before is not None:
            self._past.setdefault(parcel.name, deque(maxlen=PAST_ROUTES)).append(before)
        self._routes[parcel.name] = parcel.route
        return True

    def send(self, name: str, frame: bytes) -> None:
        """Hand a frame to ZeroMQ. Raises zmq.Again if the peer takes none now, another zmq.ZMQError if it is away."""
        self.burst(name, [frame])

    def reply(self, name: str, frame: bytes) -> bool:
        """Hand a frame to the connection from which the name was heard last; false if that one is gone, or there was none."""
        try:
            self._hand(self._routes[name], [frame])
        except zmq.Again:
            return True  # it is there, and does not read
        except (KeyError, zmq.ZMQError):
            return False
        return True

    def burst(self, name: str, frames: list[bytes]) -> None:
        """The same as `send` for several, all or none."""
        if name not in self._routes:
            raise zmq.ZMQError(zmq.EHOSTUNREACH)
        try:
            self._hand(self._routes[name], frames)
        except zmq.Again:
            raise
        except zmq.ZMQError:
            if not self._fall_back(name, frames):
                raise

    def _fall_back(self, name: str, frames: list[bytes]) -> bool:
        """The connection last heard is gone: is it an earlier one that is there? Then that is the present one."""
        past = self._past.get(name, deque())
        for route in reversed(past):
            try:
                self._hand(route, frames)
            except zmq.Again:
                return False  # it is there; whoever sends tries again after its next word
            except zmq.ZMQError:
                continue
            past.remove(route)
            past.append(self._routes[name])
            self._routes[name] = route
            return True
        return False

    def answer(self, route: bytes, frame: bytes) -> None:
        """The same, to the connection that something came from, whoever that is."""
        self._hand(route, [frame])

    def _hand(self, route: bytes, frames: list[bytes]) -> None:
        self.socket.send(route, MORE)  # it raises here or nowhere: then all its parts are taken
        for frame in frames[:-1]:
            self.socket.send(frame, MORE)
        self.socket.send(frames[-1], NOBLOCK)

    def close(self) -> None:
        """Hang up on all."""
        self._context.destroy(linger=0)
        self._path.unlink(missing_ok=True)
