"""What a silent process did with the time: it waited for a processor, or had one, or neither; from /proc.

The kernel counts how long a thread has run and how long it has waited (/proc/PID/schedstat, Documentation/scheduler/
sched-stats.rst), but a wait only when it is over. So one that is going on is told by looking: ready to run, and it has not run
since the last look.
"""

from pathlib import Path

from mai.daemon.case import NO_LACK, Lack

_NS = 1e9
_EVERY_S = 0.2  # between two looks: on a machine that has no time left there may be many to look at


class Share:
    """Looks at the first thread of one process, from which its heartbeats come, as long as it is silent."""

    def __init__(self, pid: int, now_s: float) -> None:
        self.pid = pid
        self._before = self._last = _times(pid)
        self._since_s = now_s  # it has not run since then
        self._looked_s, self._found = now_s, NO_LACK

    def look(self, now_s: float) -> Lack:
        """Since the first look; nothing if the kernel does not tell."""
        if now_s >= self._looked_s + _EVERY_S:
            self._looked_s, self._found = now_s, self._look(now_s)
        return self._found

    def _look(self, now_s: float) -> Lack:
        found = _times(self.pid)
        if found is None or self._before is None:
            return NO_LACK
        if found != self._last or not _wants_to_run(self.pid):
            self._last, self._since_s = found, now_s
        ran_ns, waited_ns = (now - before for now, before in zip(found, self._before, strict=True))
        return Lack(waited_ns / _NS + now_s - self._since_s, ran_ns / _NS)


def _times(pid: int) -> tuple[int, int] | None:
    """Nanoseconds on a processor, and waiting for one."""
    try:
        ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except (OSError, ValueError):  # gone, or a kernel without
        return None
    return int(ran), int(waited)


def _wants_to_run(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
    except (OSError, IndexError):
        return False
