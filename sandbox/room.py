"""Room on the disk: a floor below which nothing new is accepted, and a ballast that is given up when there is none left.

What runs has to be able to end: its commits need room that no new request may take. So requests are refused while there is
still some, and when even that is gone, the ballast file makes a little more.
"""

import contextlib
import os
import time
from pathlib import Path

LOOK_S = 1.0  # statvfs is asked no more often
BALLAST_PART = 4  # the ballast is this part of the floor


def free_bytes(directory: Path) -> int:
    """What an ordinary user may still write there."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


class Room:
    """How much room a directory's disk has, and the floor; 0 for none."""

    def __init__(self, directory: Path, floor_bytes: int) -> None:
        self.directory, self.floor_bytes = directory, floor_bytes
        self.ballast = directory / "ballast"
        self.ballast_bytes = floor_bytes // BALLAST_PART
        self._free_bytes, self._looked_s = 0, -LOOK_S

    @property
    def free_bytes(self) -> int:
        """As it was within the last second."""
        if (now_s := time.monotonic()) >= self._looked_s + LOOK_S:
            self._free_bytes, self._looked_s = free_bytes(self.directory), now_s
        return self._free_bytes

    @property
    def low(self) -> bool:
        """Is there less than the floor?"""
        return bool(self.floor_bytes) and self.free_bytes < self.floor_bytes

    def tend(self) -> str:
        """Give the ballast up, or make it again; says what was done, "" for nothing. Never raises."""
        with contextlib.suppress(OSError):
            there = self.ballast.exists()
            if there and self.free_bytes < self.ballast_bytes:
                self.ballast.unlink()
                return f"the disk of {self.directory} is full: the ballast of {self.ballast_bytes >> 20} MiB is given up"
            if not there and self.ballast_bytes and self.free_bytes >= self.floor_bytes + self.ballast_bytes:
                self._make()
        return ""

    def _make(self) -> None:
        part = self.ballast.with_name("ballast.part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self.ballast_bytes)
        finally:
            os.close(descriptor)
        os.replace(part, self.ballast)

    def describe(self) -> dict[str, object]:
        """As `mai status --json` shows it."""
        return {"free_bytes": self.free_bytes, "floor_bytes": self.floor_bytes, "low": self.low, "ballast": self.ballast.exists()}

    def why(self) -> str:
        """The sentence for who is refused."""
        return f"the disk of {self.directory} has {self.free_bytes >> 20} MiB left, the floor is {self.floor_bytes >> 20} MiB"
