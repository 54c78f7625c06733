"""What a process has to bury: the first process of a pid namespace inherits whatever loses its parent in there.

Who starts a child and waits for it says so (`mine`, `done`), and its status is left to him. Any other child that has been dead
for a while is taken for an orphan: the users' code, too, can have started one, and gets to wait for it before.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Final

PATIENCE_S: Final = 10.0
_mine: set[int] = set()
_dead: dict[int, float] = {}  # pid -> when it was first seen


def mine(pid: int) -> None:
    """This child is waited for by who started it."""
    _mine.add(pid)


def done(pid: int) -> None:
    """He has."""
    _mine.discard(pid)


def bury(now_s: float | None = None) -> int:
    """Wait for the orphans that have been dead for long enough; how many. Costs one call if there is none."""
    now_s = time.monotonic() if now_s is None else now_s
    if os.getpid() != 1 or not _is_dead(os.P_ALL, 0):
        _dead.clear()
        return 0
    here = {pid for pid in children() if pid not in _mine and _is_dead(os.P_PID, pid)}
    for pid in _dead.keys() - here:
        del _dead[pid]
    buried = 0
    for pid in here:
        if now_s - _dead.setdefault(pid, now_s) >= PATIENCE_S:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
                buried += 1
            del _dead[pid]
    return buried


def children() -> Iterator[int]:
    """All of ours, of each of our threads."""
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/children") as file:
            yield from map(int, file.read().split())


def _is_dead(kind: int, pid: int) -> bool:
    """Is there a child that can be waited for? It is not."""
    try:
        return os.waitid(kind, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False
