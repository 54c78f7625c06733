"""`mai logs`: what a process printed, across the rotation of its file (`.1` is the newest of the old ones)."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

from mai.daemon.reader import START, NotFound, listed
from mai.sandbox.place import Place

POLL_S = 0.1
BLOCK_BYTES = 64 << 10
LINE_BYTES = 1 << 20  # a longer line is shown in pieces
OLD = 99  # rotated files that are looked for

Inode = tuple[int, int]  # a file, whatever its name is: device and number


def known(place: Place) -> list[str]:
    """The processes that have printed something, or could have."""
    printed = {path.stem.replace(".", "/") for path in place.logs.glob("*.log")}
    return sorted(name for name in printed | set(place.processes()) if place.sees(name))


def log_of(place: Place, process: str) -> Path:
    """Where a process's output lies; the file need not exist yet. Raises NotFound."""
    names = known(place)
    if process in names:
        return place.log(process)
    hint = f"there are {listed(names)}" if names else START
    raise NotFound(f"there is no process {process!r} that has printed anything in {place.state}", hint)


def files(path: Path) -> list[tuple[Path, Inode]]:
    """A log and what was rotated away from it, oldest first, without a gap in their numbers."""
    found: list[tuple[Path, Inode]] = []
    for number in range(OLD + 1):
        one = path.with_name(f"{path.name}.{number}") if number else path
        try:
            found.insert(0, (one, inode(one.stat())))
        except FileNotFoundError:
            if number:
                break
    return found


def inode(status: os.stat_result) -> Inode:
    """Which file it is."""
    return status.st_dev, status.st_ino


def text(line: bytes) -> str:
    """A line as it was meant, whatever bytes are in it."""
    return line.decode(errors="replace").rstrip("\r\n")


class Log:
    """One process's log, from its end on: each line is given once, over any number of rotations.

    The file is held open, so that its last lines are read even when it has been renamed. supervisord closes a log before
    it renames it: once there is a following file, nothing is added to ours any more.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._rest = b""  # of a line whose end has not come
        if present := files(path):
            self._open(*present[-1])

    def _open(self, path: Path, which: Inode) -> bool:
        """Go over to a file, if it still is the one that has that name."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        if inode(os.fstat(descriptor)) != which:
            os.close(descriptor)
            return False
        self.close()
        self._descriptor = descriptor
        return True

    def latest(self, count: int) -> list[str]:
        """The last lines up to now, from the rotated files too where the newest has too few. `more` goes on behind them."""
        if self._descriptor < 0:
            return []
        own = inode(os.fstat(self._descriptor))
        lines = _last(self._descriptor, count)
        older = [path for path, _ in takewhile(lambda one: one[1] != own, files(self.path))]
        while older and len(lines) < count:
            with contextlib.suppress(FileNotFoundError), older.pop().open("rb") as file:
                lines = _last(file.fileno(), count - len(lines)) + lines
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        return [text(line) for line in lines]

    def unfinished(self) -> list[str]:
        """The line that has no end yet, if there is one."""
        return [text(self._rest)] if self._rest else []

    def more(self) -> Iterator[str]:
        """The lines that have been ended since the last call."""
        while True:
            following = self._following()  # looked up before reading, see the class
            yield from self._read()
            if following is None or not self._open(*following):
                return

    def _following(self) -> tuple[Path, Inode] | None:
        """The file behind the one that is open, None if ours is the newest or somebody is renaming just now."""
        present = files(self.path)
        if present != files(self.path) or not present:
            return None
        if self._descriptor < 0:
            return present[0]
        own = os.fstat(self._descriptor)
        if own.st_nlink == 0:  # we are so far behind that ours was removed
            return present[0]
        place = next((index for index, (_, which) in enumerate(present) if which == inode(own)), len(present))
        return present[place + 1] if place + 1 < len(present) else None

    def _read(self) -> Iterator[str]:
        if self._descriptor < 0:
            return
        if os.fstat(self._descriptor).st_size < os.lseek(self._descriptor, 0, os.SEEK_CUR):
            os.lseek(self._descriptor, 0, os.SEEK_SET)  # it was emptied in place
        while data := os.read(self._descriptor, BLOCK_BYTES):
            *whole, self._rest = (self._rest + data).split(b"\n")
            yield from map(text, whole)
            if len(self._rest) > LINE_BYTES:
                yield text(self._rest)
                self._rest = b""

    def follow(self, wait: Callable[[float], None] = time.sleep) -> Iterator[str]:
        """What comes, without an end."""
        while True:
            yield from self.more()
            wait(POLL_S)

    def lines(self, count: int, *, follow: bool = False) -> Iterator[str]:
        """The last lines, and then what comes; without `follow` a line that has no end yet is given too."""
        yield from self.latest(count)
        yield from self.follow() if follow else self.unfinished()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _last(descriptor: int, count: int) -> list[bytes]:
    """The last lines of a file with their ends, read backwards in blocks; leaves the descriptor at the end of what was read."""
    end = start = os.lseek(descriptor, 0, os.SEEK_END)
    data = b""
    while start > 0 and data.count(b"\n") <= count:
        size = min(BLOCK_BYTES, start)
        start -= size
        data = os.pread(descriptor, size, start) + data
    os.lseek(descriptor, end, os.SEEK_SET)
    *whole, rest = data.split(b"\n")  # splitlines would end a line at a carriage return too
    lines = [line + b"\n" for line in whole] + ([rest] if rest else [])
    return lines[-count:] if count else []
