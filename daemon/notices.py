"""The sockets that READY and the heartbeats come in on; the kernel says which process each one is from (SO_PASSCRED, unix(7)).

A queue of datagrams is short, 10 by default, and who finds it full is not heard: with one socket for all, any process could
keep the others from being heard, and so have them ended as hung. So each process of a client has a socket to itself.
"""

import contextlib
import select
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mai.sandbox.place import short, socket_mode

NOTICE_BYTES = 4096
PER_TURN = 1000  # the rest waits for the next turn of the loop, so that a flood does not hold it up
PER_SECOND = 100  # of one process
_credentials = struct.Struct("3i")  # struct ucred


class Notice(NamedTuple):
    """One datagram: whose it is, and its fields (READY, WATCHDOG, STATUS, STOPPING, X_MAI …)."""

    pid: int
    uid: int
    fields: dict[str, str]


class Notices:
    """Listens at `path`; a socket that a dead listener left there is replaced. The caller holds the lock of the place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)  # before the first datagram can come
        self._socket.bind(short(path))
        path.chmod(socket_mode(path))

    def fileno(self) -> int:
        """To poll for reading."""
        return self._socket.fileno()

    def receive(self, most: int = PER_TURN) -> Iterator[Notice]:
        """All that has come, up to a bound; never raises for what was sent."""
        for _ in range(most):
            try:
                data, ancillary, _, _ = self._socket.recvmsg(NOTICE_BYTES, socket.CMSG_SPACE(_credentials.size))
            except (BlockingIOError, InterruptedError):
                return
            pid, uid = _sender(ancillary)
            yield Notice(pid, uid, parse(data))

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


class Ears:
    """All sockets of the watchdog's: the common one at `path`, and those that it is told to listen at."""

    def __init__(self, path: Path) -> None:
        self._common = path
        self._epoll = select.epoll()
        self._sockets: dict[Path, Notices] = {}
        self._of: dict[int, Notices] = {}
        self._left: dict[int, tuple[float, int]] = {}  # descriptor -> how much may be taken from it until when
        self._resting: set[int] = set()  # descriptors from which nothing is taken until then
        self.listen([path])

    def listen(self, paths: Iterable[Path]) -> None:
        """Listen at these as well; their directories are there. One that was taken away is made anew. Raises OSError."""
        for path in paths:
            if path in self._sockets and path.exists():
                continue
            if path in self._sockets:
                self._drop(path)
            self._sockets[path] = one = Notices(path)
            self._of[one.fileno()] = one
            self._epoll.register(one.fileno(), select.EPOLLIN)

    def _drop(self, path: Path) -> None:
        one = self._sockets.pop(path)
        self._epoll.unregister(one.fileno())
        self._of.pop(one.fileno())
        self._left.pop(one.fileno(), None)
        self._resting.discard(one.fileno())
        one.close()

    def fileno(self) -> int:
        """To poll for reading."""
        return self._epoll.fileno()

    def receive(self, now_s: float) -> Iterator[Notice]:
        """What has come, never more than so much from one socket in a second: who says more is heard again in the next one."""
        for descriptor in [one for one in self._resting if self._left[one][0] <= now_s]:
            self._resting.remove(descriptor)
            self._epoll.modify(descriptor, select.EPOLLIN)
        for descriptor, _ in self._epoll.poll(0):
            if self._of[descriptor].path == self._common:  # the supervisor tells of each start and end
                yield from self._of[descriptor].receive(PER_TURN)
                continue
            until_s, left = self._left.get(descriptor, (0.0, 0))
            until_s, left = (until_s, left) if now_s < until_s else (now_s + 1.0, PER_SECOND)
            for notice in self._of[descriptor].receive(left):
                left -= 1
                yield notice
            self._left[descriptor] = until_s, left
            if not left:
                self._resting.add(descriptor)
                self._epoll.modify(descriptor, 0)


def _sender(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int]:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid, uid, _ = _credentials.unpack(data[: _credentials.size])
            return pid, uid
    return 0, -1  # the kernel always says; a pid that nobody has


def parse(data: bytes) -> dict[str, str]:
    """The fields of a datagram: a line each, NAME=value; lines of another form are skipped."""
    lines = data.decode(errors="replace").split("\n")
    return dict(line.split("=", 1) for line in lines if "=" in line)
