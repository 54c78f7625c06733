"""A cgroup for each process, where the host has delegated a part of its tree to us (cgroup v2, kernel's cgroup-v2.rst).

What a process takes together with all that it starts is then bounded by the kernel, and nothing of it can be left behind.
Only a delegated tree is touched: systemd marks one (`Delegate=`) with the attribute user.delegate, trusted.delegate before
251. Its root may hold no process itself once controllers are enabled below it, so the supervisor moves into a group first.

    ROOT/supervisor     ROOT/watchdog     ROOT/acme.mai     ROOT/acme.support …
"""

import contextlib
import os
from pathlib import Path
from typing import Final

CONTROLLERS: Final = ("cpu", "memory", "pids")  # with cpu alone enabled all groups get the same share
MARKS: Final = ("user.delegate", "trusted.delegate")
OWN: Final = "supervisor"
PROCESSES: Final = 1024  # of one group, threads included
OVER: Final = 1.25  # the kernel's bound on memory over the watchdog's, who first warns, and ends with a traceback


class Groups:
    """The groups below one delegated root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Move the calling process, the supervisor, into its own group, and enable what there is. Raises OSError."""
        self.enter(OWN)
        there = (self.root / "cgroup.controllers").read_text().split()
        for name in CONTROLLERS:
            if name in there:
                with contextlib.suppress(OSError):  # threaded or real-time processes may stand in the way of one of them
                    (self.root / "cgroup.subtree_control").write_text(f"+{name}")
        for group in self.root.iterdir():
            if group.is_dir():
                with contextlib.suppress(OSError):  # in use, ours or systemd's
                    group.rmdir()

    def controllers(self) -> list[str]:
        """What is bounded in each group, of `CONTROLLERS`. Raises OSError."""
        enabled = (self.root / "cgroup.subtree_control").read_text().split()
        return [name for name in CONTROLLERS if name in enabled]

    def group(self, process: str) -> Path:
        """The directory of a process's group."""
        return self.root / process.replace("/", ".")

    def enter(self, process: str) -> None:
        """Put the calling process, and whatever it will start, into the group of this name. Raises OSError."""
        group = self.group(process)
        group.mkdir(exist_ok=True)
        (group / "cgroup.procs").write_text("0")

    def bound(self, process: str, memory_bytes: int) -> None:
        """Bound what a group takes: memory (0: none) and processes. All of a group ends when its memory does. Raises OSError."""
        memory = str(int(memory_bytes * OVER)) if memory_bytes else "max"
        for name, value in (("memory.max", memory), ("memory.oom.group", "1"), ("pids.max", str(PROCESSES))):
            with contextlib.suppress(FileNotFoundError):  # that controller is not delegated, or the group not made yet
                file = os.open(self.group(process) / name, os.O_WRONLY | os.O_CLOEXEC)  # never made anew
                try:
                    os.write(file, value.encode())
                finally:
                    os.close(file)

    def memory_kills(self, process: str) -> int:
        """How often the kernel has killed in a group because its memory was used up; 0 where it is not bounded."""
        with contextlib.suppress(OSError):
            for line in (self.group(process) / "memory.events").read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0

    def kill(self, process: str) -> None:
        """Kill whatever is left in a group; it is empty soon after."""
        with contextlib.suppress(OSError):  # it was never made, or the kernel is older than 5.14
            (self.group(process) / "cgroup.kill").write_text("1")


def populated(group: Path) -> bool:
    """Is any living process in it, or below it?"""
    try:
        return "populated 1" in (group / "cgroup.events").read_text()
    except OSError:
        return False


def delegated() -> Groups | None:
    """The groups of the delegated tree that the calling process is in; None if it is in none."""
    own = _own_directory()
    for root in () if own is None else (own, own.parent):
        if _is_delegated(root):
            return Groups(root)
    return None


def _own_directory() -> Path | None:
    """Where the calling process's cgroup (version 2) is to be seen; None if it is nowhere."""
    try:
        own = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields, _, kind = line.partition(" - ")
            if kind.startswith("cgroup2 "):
                root, mounted = fields.split()[3:5]
                below = os.path.relpath(own, root)
                return None if below.startswith("..") else Path(mounted, below)
    except (OSError, StopIteration):
        pass
    return None


def _is_delegated(directory: Path) -> bool:
    for mark in MARKS:
        with contextlib.suppress(OSError):
            if os.getxattr(directory, mark) == b"1":
                return os.access(directory, os.W_OK) and os.access(directory / "cgroup.procs", os.W_OK)
    return False
