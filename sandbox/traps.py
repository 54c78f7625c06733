"""For tests: striking a real process at a named point of its life, on the word of a file.

A process that finds MAI_POINTS in its environment keeps two files in the directory that it names, both called as the
process, with a dot for the slash; one without it does not even load this module.

acme.support.reached    how often each of POINTS was passed, in their order, 8 bytes each: shared memory, which outlives it
acme.support.order      put there by the test: `POINT N SIGNAL PID…`. At the Nth passing from then on the signal goes to each
                        of these processes, 0 being the one itself. The file is taken away before, so it strikes once.
"""

import mmap
import os
import signal
import struct
import time
from pathlib import Path
from typing import Final

from mai.sandbox.points import POINTS

_COUNT: Final = struct.Struct("=Q")
_PLACES: Final = {name: place for place, name in enumerate(POINTS)}
_DYING_S: Final = 60.0  # longer than any signal to oneself takes


def order(directory: Path, process: str, point: str, nth: int, number: int, *pids: int) -> None:
    """Let a process strike at a point; replaces an order that still waits."""
    file = _file(directory, process, "order")
    part = file.with_suffix(".part")
    part.write_text(" ".join(map(str, (point, nth, number, *pids))))
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
        for pid in sorted(pids, reverse=True):
            try:
                os.kill(pid or os.getpid(), number)
            except ProcessLookupError:
                continue  # it has gone before us
        if 0 in pids and number == signal.SIGKILL:
            time.sleep(_DYING_S)  # not one more step of this process
