"""Back-pressure: ten times what the bounds let in, against real processes. Whoever is over a bound is told so at once."""

import contextlib
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from mai.daemon import deep
from mai.daemon.asking import ask
from mai.sandbox.errors import MaiError, Refused
from tests.small import ORGANISATION, PATIENCE_S, Daemon, until

QUEUE = 15
ASKERS = 10 * QUEUE
WAVES = 10
SLACK_BYTES = 6 << 20  # of an interpreter's own, between the first wave and the last
BOUNDS = (  # Mai's, and the department's, where a request is a task of each of three ranks
    f"{QUEUE} requests are open, which is the limit",
    f"support has {QUEUE} open tasks, which is its limit; ask again later",
)
PROCESSES = ("acme/mai", "acme/support", "acme/finance")


class Wave:
    """As many askers as ten queues hold; the porter lets nobody through before all have been heard."""

    def __init__(self, daemon: Daemon, number: int) -> None:
        self.daemon, self.number = daemon, number
        self.counts: Counter[str] = Counter()
        self.heard = 0
        self._lock = threading.Lock()

    def play(self, gate: Path) -> None:
        """Ask, wait until each has been accepted or refused, then open the gate until all is answered."""
        with ThreadPoolExecutor(ASKERS) as askers:
            for n in range(ASKERS):
                askers.submit(self._ask, f"w{self.number}-{n}")
            until(lambda: self.heard == ASKERS, "each asker was accepted or refused")
            until(lambda: self._through(gate), "all were answered")

    def _through(self, gate: Path) -> bool:
        """Let those through who wait at the gate now; true if all have their answers."""
        with contextlib.suppress(OSError):  # nobody waits, or went away meanwhile
            descriptor = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
            with open(descriptor, "w") as word:
                word.write("go\n")
        return self.counts.total() == ASKERS

    def _ask(self, request: str) -> None:
        how = "lost"
        try:
            for reply in ask(self.daemon.place, "acme", "open the gate", request=request, timeout_s=PATIENCE_S, watch=False):
                if "accepted" in reply:
                    self._note_heard()
                elif "answer" in reply:
                    how = "answered" if reply["answer"]["state"] == "answered" else reply["answer"]["parts"][0]["reason"]
        except Refused as refused:
            how = refused.sentence
            self._note_heard()
        except MaiError as error:
            how = error.sentence
        with self._lock:
            self.counts[how] += 1

    def _note_heard(self) -> None:
        with self._lock:
            self.heard += 1


@pytest.mark.seconds(300)
def test_memory_stays_flat_under_ten_times_the_load(state: Path) -> None:
    """Each asker has an answer or a refusal that names the bound; nothing grows, nothing is lost, it is as before."""
    daemon = Daemon(state, ORGANISATION.replace("[limits]\n", f"[limits]\nqueue = {QUEUE}\n")).up()
    try:
        gate = daemon.place.home("acme/support") / "files" / "gate"
        os.mkfifo(gate)
        pids = {name: daemon.status()[name]["pid"] for name in PROCESSES}
        after, refused = [], 0
        for number in range(WAVES):
            wave = Wave(daemon, number)
            wave.play(gate)
            assert set(wave.counts) <= {"answered", *BOUNDS}, wave.counts
            assert wave.counts["answered"] and wave.counts.total() == ASKERS
            refused += wave.counts.total() - wave.counts["answered"]
            after.append({name: psutil.Process(pid).memory_info().rss for name, pid in pids.items()})
        assert refused > WAVES * ASKERS // 2
        assert all(last <= after[0][name] + SLACK_BYTES for name, last in after[-1].items()), after
        assert {name: daemon.status()[name]["pid"] for name in PROCESSES} == pids
        until(lambda: not any(one["queue"] for one in daemon.status().values() if one["queue"]), "nothing is open")
        assert daemon.ask("refund order 7", "last")["state"] == "answered"
        assert daemon.mai("verify", "--deep").returncode == 0
    finally:
        daemon.mai("down")
    assert deep.check(daemon.place, (), at_rest=True).sound
