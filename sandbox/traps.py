"""For tests: striking a real process at a named point of its life, on the word of a file.

A process that finds MAI_POINTS in its environment keeps two files in the directory that it names, both called as the
process, with a dot for the slash; one without it does not even load this module.

acme.support.reached    how often each of POINTS was passed, in their order, 8 bytes each: shared memory, which outlives it
acme.support.order      put there by the test: `POINT N SIGNAL PID…`. At the Nth passing from then on the signal goes to each
                        of these processes, 0 being the one itself. The file is taken away before, so it strikes once.
striker                 a socket of the supervisor's, who sends the signals for a process in a pid namespace of its own: it sees
                        nobody else, and the kernel drops what it sends to itself.
"""

import contextlib
import mmap
import os
import signal
import socket
import struct
import time
from pathlib import Path
from typing import Final

from mai.sandbox.place import short
from mai.sandbox.points import POINTS

STRIKER: Final = "striker"
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred
_COUNT: Final = struct.Struct("=Q")
_PLACES: Final = {name: place for place, name in enumerate(POINTS)}
_DYING_S: Final = 60.0  # longer than any signal to oneself takes


def order(directory: Path, process: str, point: str, nth: int, number: int, *pids: int) -> None:
    """Let a process strike at a point; replaces an order that still waits."""
    file = _file(directory, process, "order")
    part = file.with_suffix(".part")
    part.write_text(" ".join(map(str, (point, nth, number, *pids))))
    part.chmod(0o644)  # for processes with users of their own
    part.rename(file)


def waits(directory: Path, process: str) -> bool:
    """Has the order of this process not struck yet?"""
    return _file(directory, process, "order").exists()


def withdraw(directory: Path, process: str) -> bool:
    """Take an order back; true if it had not struck."""
    try:
        _file(directory, process, "order").unlink()
    except FileNotFoundError:
        return False
    return True


def reached(directory: Path) -> dict[str, dict[str, int]]:
    """Process -> point -> how often it was passed by all lives of that process."""
    found = {}
    for file in sorted(directory.glob("*.reached")):
        counts = [count for (count,) in _COUNT.iter_unpack(file.read_bytes())]
        found[file.stem.replace(".", "/")] = dict(zip(POINTS, counts, strict=True))
    return found


def _file(directory: Path, process: str, suffix: str) -> Path:
    return directory / f"{process.replace('/', '.')}.{suffix}"


class Trap:
    """What an armed process does at each point: count, and look whether there is an order."""

    def __init__(self, directory: Path, process: str) -> None:
        self._order = _file(directory, process, "order")
        file = os.open(_file(directory, process, "reached"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(file, _COUNT.size * len(POINTS))
        self._counts = mmap.mmap(file, _COUNT.size * len(POINTS))
        os.close(file)
        self._text, self._left = "", 0

    def __call__(self, name: str) -> None:
        """The process is at this point."""
        at = _PLACES[name] * _COUNT.size
        _COUNT.pack_into(self._counts, at, _COUNT.unpack_from(self._counts, at)[0] + 1)
        try:
            text = self._order.read_text()
        except FileNotFoundError:
            return
        point, nth, number, *pids = text.split()
        if text != self._text:
            self._text, self._left = text, int(nth)
        if point == name:
            self._left -= 1
            if not self._left:
                self._strike(signal.Signals(int(number)), [int(pid) for pid in pids])

    def _strike(self, number: signal.Signals, pids: list[int]) -> None:
        """Others first: this process may not be there afterwards."""
        self._text = ""
        self._order.unlink(missing_ok=True)
        if os.getpid() == 1:
            return ask(self._order.parent, number, pids)
        for pid in sorted(pids, reverse=True):
            try:
                os.kill(pid or os.getpid(), number)
            except ProcessLookupError:
                continue  # it has gone before us
        if 0 in pids and number == signal.SIGKILL:
            time.sleep(_DYING_S)  # not one more step of this process


def ask(directory: Path, number: signal.Signals, pids: list[int]) -> None:
    """Have the supervisor send a signal, to others first; returns when it is sent, if we live and run then."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.connect(short(directory / STRIKER))
        asking.send(" ".join(map(str, (int(number), *sorted(pids, reverse=True)))).encode())
        asking.recv(1)


class Striker:
    """The supervisor's end of that. `fileno()` is to be polled; when it is readable, `turn()`."""

    def __init__(self, directory: Path) -> None:
        path = directory / STRIKER
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self._socket.bind(short(path))
        path.chmod(0o666)
        self._socket.listen()

    def fileno(self) -> int:
        """Of the socket."""
        return self._socket.fileno()

    def turn(self) -> None:
        """Strike for one who has asked; 0 is himself, as the kernel knows him."""
        asking, _ = self._socket.accept()
        with asking:
            asking.settimeout(_DYING_S)
            number, *pids = map(int, asking.recv(4096).split())
            who, _, _ = _CREDENTIALS.unpack(asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid or who, number)
            with contextlib.suppress(OSError):
                asking.send(b".")
