"""`make lag STATE=dir`: how late `mai tail -f` is over big ledgers (`make million`), and whom it slows.

Nothing else may write there. Each figure is of a tail in a process of its own, whose lines are read from a pipe:

- how long after a record's commit its line comes, one at a time: of one process, and of all (which wait 100 ms for each other);
- what the tail takes of the processor while nobody writes;
- how many commits a process makes in a second without a tail, and with one over all, and how large its log gets.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median, quantiles

import psutil

from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place

ROUNDS = 200
BETWEEN_S = 0.02
IDLE_S = 10.0
LOAD_S = 4.0
TURNS = 5
IN_COMMIT = 10
BODY = b'{"process":"acme/sales","step":"%d"}'
COMMAND = [sys.executable, "-P", "-c", "from mai.cli import main; main(prog_name='mai')"]


class Heard:
    """A tail, and when each line of its came."""

    def __init__(self, place: Place, *words: str) -> None:
        command = [*COMMAND, "--state", str(place.state), "tail", "-f", "-n", "0", "--json", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.at: dict[tuple[str, int], float] = {}
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            now_s = time.monotonic()
            record = json.loads(line)
            self.at[record["process"], record["seq"]] = now_s

    def cpu_s(self) -> float:
        """What it has taken of the processor."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def end(self) -> None:
        """Stop it."""
        self.process.kill()
        self.process.wait()
        self._thread.join()


@contextmanager
def tail(place: Place, ledger: Ledger, *words: str) -> Iterator[Heard]:
    """One that follows already."""
    heard = Heard(place, *words)
    until_s = time.monotonic() + 60
    while not heard.at and time.monotonic() < until_s:
        write(ledger)
        time.sleep(0.2)
    time.sleep(1.0)
    try:
        yield heard
    finally:
        heard.end()


def write(ledger: Ledger) -> None:
    """One record, durable."""
    ledger.append("key", BODY % ledger.seq)
    ledger.commit()


def lag(place: Place, ledgers: list[Ledger], *words: str) -> list[float]:
    """Milliseconds between the commit of a record and its line, sorted."""
    due: dict[tuple[str, int], float] = {}
    with tail(place, ledgers[0], *words) as heard:
        for number in range(ROUNDS):
            one = ledgers[number % len(ledgers)]
            write(one)
            due[one.process, one.seq] = time.monotonic()
            time.sleep(BETWEEN_S)
        until_s = time.monotonic() + 30
        while not due.keys() <= heard.at.keys() and time.monotonic() < until_s:
            time.sleep(0.05)
        assert due.keys() <= heard.at.keys(), f"{len(due.keys() - heard.at.keys())} records have not come"
        return sorted((heard.at[one] - at_s) * 1000 for one, at_s in due.items())


def load(ledger: Ledger) -> float:
    """Commits in a second, as many as go."""
    begun_s, count = time.monotonic(), 0
    while time.monotonic() < begun_s + LOAD_S:
        for _ in range(IN_COMMIT):
            ledger.append("key", BODY % ledger.seq)
        ledger.commit()
        count += 1
    return count / (time.monotonic() - begun_s)


def shown(name: str, found: list[float]) -> str:
    """One line of the report."""
    cuts = quantiles(found, n=100)
    return f"{name}: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, max {found[-1]:.1f} ms"


def main(state: Path) -> None:
    """All figures."""
    place = Place(state / "state", state / "run")  # as tests/million.py writes it
    ledgers = [Ledger(place.ledger(name), name) for name in ("acme/sales", "acme/mai")]
    print(f"{sum(one.seq for one in ledgers):,} records in two of the ledgers")
    print(shown("of one process", lag(place, ledgers[:1], ledgers[0].process)))
    print(shown("of all", lag(place, ledgers)))
    with tail(place, ledgers[0]) as heard:
        time.sleep(2)
        before_s = heard.cpu_s()
        time.sleep(IDLE_S)
        print(f"while nobody writes: {(heard.cpu_s() - before_s) / IDLE_S:.2%} of a processor")
    alone, beside, share = list[float](), list[float](), 0.0
    for _ in range(TURNS):
        alone.append(load(ledgers[0]))
        command = [
            *COMMAND,
            "--state",
            str(place.state),
            "tail",
            "-f",
            "-n",
            "1",
        ]  # to nowhere: who reads it takes no time of ours
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            time.sleep(2)
            begun_s, seen = time.monotonic(), psutil.Process(process.pid)
            before_s = sum(seen.cpu_times()[:2])
            beside.append(load(ledgers[0]))
            share = (sum(seen.cpu_times()[:2]) - before_s) / (time.monotonic() - begun_s)
            process.kill()
    log_mb = os.stat(f"{ledgers[0].path}-wal").st_size / 1e6
    print(
        f"commits a second of {IN_COMMIT} records: {median(alone):.0f} alone, {median(beside):.0f} beside a tail "
        f"({median(beside) / median(alone):.0%}), which takes {share:.0%} of a processor; the log has {log_mb:.1f} MB"
    )
    for one in ledgers:
        with closing(one):
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
