"""The mark: whose code is running, in a few bytes that survive the death of this process.

They are shared with a file, so a change takes no system call, and the kernel keeps them whatever ends the process.
"""

import mmap
import os
from pathlib import Path
from typing import Final

BYTES: Final = 512  # a longer id is cut


class Mark:
    """One for a department. What its last life has left stands in it until `clear`."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.truncate(descriptor, BYTES)
            self._bytes = mmap.mmap(descriptor, BYTES)
        finally:
            os.close(descriptor)

    @property
    def task(self) -> str:
        """The task that is marked, as much of its id as has room; "" if none is."""
        return bytes(self._bytes).rstrip(b"\0").decode(errors="replace")

    def names(self, task: str) -> bool:
        """Is it this task that is marked?"""
        return bytes(self._bytes) == _padded(task)

    def set(self, task: str) -> None:
        """This task's code is about to run."""
        self._bytes[:] = _padded(task)

    def clear(self) -> None:
        """Nobody's code is running."""
        self._bytes[:] = bytes(BYTES)


def _padded(task: str) -> bytes:
    return task.encode()[:BYTES].ljust(BYTES, b"\0")
