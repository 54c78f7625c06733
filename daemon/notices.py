"""The socket that READY and the heartbeats come in on; the kernel says which process each one is from (SO_PASSCRED, unix(7))."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mai.sandbox.place import short, socket_mode

NOTICE_BYTES = 4096
PER_TURN = 1000  # the rest waits for the next turn of the loop, so that a flood does not hold it up
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

    def receive(self) -> Iterator[Notice]:
        """All that has come, up to a bound; never raises for what was sent."""
        for _ in range(PER_TURN):
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
