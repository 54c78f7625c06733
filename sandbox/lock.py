"""Never two writers: a lock on a directory, held for life. The kernel releases it, however the holder ends."""

import fcntl
import os
import time
from pathlib import Path

from mai.sandbox.confine import host_pid
from mai.sandbox.errors import UsageFault

RETRY_S = 0.01
LOOK_S = 0.2  # who only looks (`holder`) holds a lock for a moment, and is no reason to give up


class Held(UsageFault):
    """Another process holds the directory."""


class Lock:
    """Holds `directory` through the file `lock` in it, with flock(2), until the process ends or `release`.

    `wait_s`: how long a holder that is just being killed may take to go. Raises Held, which names the holder's pid if it is
    known. The file stays when the lock goes: to remove it would let two processes hold two files of the same name.
    """

    def __init__(self, directory: Path, whose: str = "process", wait_s: float = LOOK_S) -> None:
        self.path = directory / "lock"
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end_s = time.monotonic() + wait_s
        while not self._take():
            if time.monotonic() >= end_s:
                raise self._held(directory, whose)
            time.sleep(RETRY_S)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{host_pid()}\n".encode(), 0)

    def _take(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _held(self, directory: Path, whose: str) -> Held:
        pid = os.pread(self._file, 20, 0).decode(errors="replace").strip()
        os.close(self._file)
        by = f" (process {pid})" if pid.isdigit() else ""
        return Held(f"{directory} is in use by another {whose}{by}", f"stop that {whose} first, or name another directory")

    def release(self) -> None:
        """Let others have it."""
        os.close(self._file)


def holder(directory: Path) -> int:
    """The pid of the process that holds the directory; 0 if nobody does."""
    try:
        file = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(file, 20, 0).strip()
        return int(pid) if pid.isdigit() else -1
    finally:
        os.close(file)
    return 0
