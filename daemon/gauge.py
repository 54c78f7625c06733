"""What a process takes: memory and processor time with all that it has started, and its own descriptors; from /proc."""

import contextlib
from collections import deque
from pathlib import Path
from typing import Final

import psutil

from mai.daemon.case import Measured, Rules

EVERY_S: Final = 2.0  # between two looks at one process


class Gauge:
    """Looks at one process now and then, in each of its lives."""

    def __init__(self) -> None:
        self._process: psutil.Process | None = None
        self._looked_s = 0.0
        self._cpu: deque[tuple[float, float]] = deque()  # when, and how much processor time it had had by then

    def look(self, pid: int, rules: Rules, idle_s: float, now_s: float, files: int = 0) -> Measured | None:
        """The figures for which there are bounds, if it is time for a look and the process is there.

        `files`: the descriptors that it says it has open, for a watchdog who may not look.
        """
        if now_s < self._looked_s + EVERY_S:
            return None
        self._looked_s = now_s
        try:
            if self._process is None or self._process.pid != pid:
                self._process = psutil.Process(pid)
                self._cpu.clear()
            return self._measure(self._process, rules, idle_s, now_s, files)
        except (psutil.Error, OSError):
            return None

    def _measure(self, process: psutil.Process, rules: Rules, idle_s: float, now_s: float, files: int) -> Measured:
        family = [process, *descendants(process.pid)] if rules.memory_bytes or rules.cpu_cores else []
        memory = cpu_s = 0.0
        for one in family:
            with contextlib.suppress(psutil.Error):
                memory += one.memory_info().rss if rules.memory_bytes else 0
                cpu_s += sum(one.cpu_times()[:2]) if rules.cpu_cores else 0
        if rules.descriptors:
            with contextlib.suppress(psutil.AccessDenied):
                files = process.num_fds()
        return Measured(int(memory), files, self._cores(cpu_s, rules.cpu_s, now_s) if rules.cpu_cores else 0.0, idle_s)

    def _cores(self, cpu_s: float, span_s: float, now_s: float) -> float:
        """Processor time by time, over the span; 0 until it has passed."""
        self._cpu.append((now_s, cpu_s))
        while len(self._cpu) > 1 and self._cpu[1][0] <= now_s - span_s:
            self._cpu.popleft()
        then_s, had_s = self._cpu[0]
        return max(0.0, cpu_s - had_s) / (now_s - then_s) if now_s - then_s >= span_s else 0.0


def descendants(pid: int) -> list[psutil.Process]:
    """All that a process has started and that is still below it."""
    found: list[psutil.Process] = []
    queue = [pid]
    while queue:
        for child in children(queue.pop()):
            with contextlib.suppress(psutil.Error):
                found.append(psutil.Process(child))
                queue.append(child)
    return found


def children(pid: int) -> list[int]:
    """The direct ones, of all of its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (thread / "children").read_text().split())
    return found
