"""One process as the watchdog sees it: its case, what it last said of itself, and what it printed last."""

import contextlib
import time
from pathlib import Path

import msgspec
import psutil

from mai.daemon.case import NO_LACK, PHASES, SHOWN, Case, Lack, Measured, Phase, Rules, limit_s, silent_since_s
from mai.daemon.gauge import Gauge
from mai.daemon.lack import Share
from mai.daemon.notices import Notice

TAIL_BYTES = 8192
LATE = 0.3  # of the limit: from then on it is looked at closely
WORDS = 300  # of a last line that are kept


class Word(msgspec.Struct, frozen=True):
    """What a process says of itself in each heartbeat, as `X_MAI`; see mai.sandbox.notify."""

    state: Phase
    queue: int = 0
    done: int = 0
    progress_ms: int = 0
    files: int = 0  # descriptors that are open
    walls: str = ""  # full, partial or none
    pending: int = 0  # all that it has not done yet, and who waits for it: it may not sleep
    waits_for: tuple[str, ...] = ()  # of Mai: for whom there are messages that were not taken
    floods: tuple[str, ...] = ()  # of Mai: who floods her, and has to be stopped
    replayed: int = 0  # rows and records that were read back when this life began
    seq: int = 0  # the last durable record of its journal, and its digest
    head: str = ""
    keys: str = ""  # the digest of the keys that it has read


class Ward:
    """A process that the watchdog cares for."""

    def __init__(self, name: str, log: Path, case: Case) -> None:
        self.name = name
        self.log = log
        self.case = case
        self.rules = Rules()
        self.gauge = Gauge()
        self.word: Word | None = None
        self.status = ""
        self.spawns = 0
        self.beats = 0  # heard, in all its lives
        self.spawned_s = 0.0
        self._share: Share | None = None  # of the processors, while it is silent
        self._printed = 0  # bytes in its log before this life

    def spawned(self, now_s: float, age_s: float = 0.0) -> None:
        """A new life: nothing that was said before counts."""
        self.word, self.status = None, ""
        self.spawned_s = now_s - age_s
        self._printed = size_of(self.log) if not age_s else 0

    def hear(self, notice: Notice) -> Phase:
        """Take in a heartbeat. What has no `X_MAI` speaks plain sd_notify(3)."""
        self.beats += 1
        self.status = notice.fields.get("STATUS", self.status)
        try:
            self.word = msgspec.json.decode(notice.fields["X_MAI"], type=Word)
        except (KeyError, msgspec.DecodeError, RecursionError):  # whatever it is that one of them says
            if notice.fields.get("STOPPING") == "1":
                return "draining"
            known: Phase = self.word.state if self.word else PHASES[0]
            return "ready" if notice.fields.get("READY") == "1" else known
        return self.word.state

    def measured(self, now_s: float) -> Measured | None:
        """What it takes, if it runs and it is time for a look."""
        if not self.case.pid:
            return None
        idle_s = time.time() - self.word.progress_ms / 1000 if self.word and self.word.queue and self.word.progress_ms else 0.0
        files = self.word.files if self.word else 0
        return self.gauge.look(self.case.pid, self.rules, min(idle_s, now_s - self.spawned_s), now_s, files)

    def lack(self, now_s: float) -> Lack:
        """What it did with the time, if it has been silent for longer than it should."""
        if not self.case.pid or now_s < silent_since_s(self.case) + limit_s(self.case, self.rules) * LATE:
            self._share = None
            return NO_LACK
        if self._share is None or self._share.pid != self.case.pid:
            self._share = Share(self.case.pid, now_s)
        return self._share.look(now_s)

    def last_words(self) -> str:
        """The last line that it printed in this life; hints are skipped."""
        said = [line.strip() for line in self.output().splitlines() if line.strip() and not line.startswith("hint:")]
        return said[-1][:WORDS].removeprefix("mai: ") if said else ""

    def output(self) -> str:
        """The end of what it printed in this life."""
        start = max(self._printed if size_of(self.log) >= self._printed else 0, size_of(self.log) - TAIL_BYTES)
        try:
            with self.log.open("rb") as file:
                file.seek(start)
                return file.read(TAIL_BYTES).decode(errors="replace")
        except OSError:
            return ""

    def describe(self, now_s: float, incidents: list[dict[str, object]], *, pss: bool) -> dict[str, object]:
        """Its entry in `mai status --json`."""
        word = self.word or Word("replaying")
        runs = bool(self.case.pid)
        return {
            "name": self.name,
            "pid": self.case.pid or None,
            "state": SHOWN.get(self.case.state, self.case.state),
            "asleep": self.case.asleep and not runs,
            "restarts": max(self.spawns - 1, 0),
            "uptime_s": round(now_s - self.spawned_s, 3) if runs else 0.0,
            **memory(self.case.pid, pss=pss),
            "queue": word.queue if runs else 0,
            "done": word.done if runs else 0,
            "walls": word.walls if runs else "",
            "last_progress_s": round(time.time() - word.progress_ms / 1000, 3) if word.progress_ms else None,
            "status": self.case.why or self.status,
            "warned": list(self.case.warned),
            "incidents": incidents,
        }


def size_of(path: Path) -> int:
    """Bytes in a file; 0 if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def memory(pid: int, *, pss: bool) -> dict[str, object]:
    """Resident memory; proportional memory costs the kernel a walk through all pages, so only when asked for.

    A process behind walls shows the latter to root alone: 0 then.
    """
    found = {"memory_bytes": 0, **({"pss_bytes": 0} if pss else {})}
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid) if pid else None
        found["memory_bytes"] = process.memory_info().rss if process else 0
        if pss and process:
            found["pss_bytes"] = process.memory_full_info().pss
    return dict(found)
