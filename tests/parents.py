"""`make parents`: SIGKILL for supervisor, watchdog and Mai, alone and in every combination, under load.

    make parents                 100 deaths of the supervisor
    make parents KILLS=20 SEED=7

In each round one of the seven combinations dies within a moment, while clients ask the reference organisation all the time;
something starts the supervisor again, as systemd would. Then everything has to be back. Afterwards: had any process a second
life beside it, any ledger a second writer, any request no answer in time; what does `mai verify --deep` say. Prints a table;
exit status 1 if something is wrong.
"""

import argparse
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from mai.daemon import deep
from mai.daemon.example import CLIENT, company
from mai.sandbox.errors import MaiError
from mai.sandbox.ledger import connect, read
from tests.chaos_campaign import rest
from tests.chaos_company import Company, send
from tests.small import until
from tests.storm_askers import Askers
from tests.storm_company import processes

ASKERS = 4
PAUSE_S = 0.2  # of an asker between two requests, on the average
PARENTS = ("supervisor", "watchdog", f"{CLIENT}/mai")
COMBINATIONS = tuple(some for size in (1, 2, 3) for some in combinations(PARENTS, size))
MOMENT_S = 0.02  # between the deaths of one round, at the most
BREATH_S = 0.7  # after all are back, at the most


@dataclass
class Told:
    """What came of it."""

    rounds: Counter[str] = field(default_factory=Counter)
    back_s: list[float] = field(default_factory=list)  # from the last death of a round until all are ready
    states: Counter[str] = field(default_factory=Counter)
    supervisors: int = 0
    faults: list[str] = field(default_factory=list)


def play(directory: Path, kills: int, seed: str) -> Told:
    """So many deaths of the supervisor, each combination in turn. `directory` has to be new, its path short."""
    directory.mkdir(parents=True)
    chance, told, file = random.Random(seed), Told(), company()
    ours = Company(directory, file, processes(file), operated=False)
    try:
        until(ours.ready, "the company is ready")
        askers = Askers(ours.place, seed, ASKERS, PAUSE_S, trials=False)
        while told.supervisors < kills:
            strike(ours, COMBINATIONS[sum(told.rounds.values()) % len(COMBINATIONS)], chance, told)
        askers.end()
        rest(ours)
    finally:
        ours.down()
    examine(told, ours, askers)
    told.faults += ours.faults
    return told


def strike(ours: Company, victims: tuple[str, ...], chance: random.Random, told: Told) -> None:
    """One round: they die in some order, and everything comes back."""
    pids, order = ours.pids(), list(victims)
    chance.shuffle(order)
    for name in order:
        send(pids[name], signal.SIGKILL)
        time.sleep(chance.random() * MOMENT_S)
    begun_s = time.monotonic()
    until(lambda: back(ours, {name: pids[name] for name in victims}), f"all is back after {' and '.join(victims)} died")
    told.back_s.append(time.monotonic() - begun_s)
    told.rounds[" + ".join(name.rpartition("/")[2] for name in victims)] += 1
    told.supervisors += "supervisor" in victims
    time.sleep(chance.random() * BREATH_S)


def back(ours: Company, dead: dict[str, int]) -> bool:
    """Is everybody ready, and nobody of the dead among them?"""
    now = ours.pids()
    try:
        return all(now.get(name, pid) != pid for name, pid in dead.items()) and ours.ready()
    except MaiError:
        return False


def examine(told: Told, ours: Company, askers: Askers) -> None:
    """All that has to be true at the end."""
    told.states = Counter(one.state for one in askers.log)
    told.faults += [f"late or lost: {one}" for one in askers.late()]
    told.faults += [f"mai verify --deep: {one.process}: {one.what}" for one in deep.check(ours.place, at_rest=True).findings]
    told.faults += [f"{name} had two writers" for name in (*ours.inside, "watchdog") if two_writers(ours, name)]


def two_writers(ours: Company, process: str) -> bool:
    """Has a start of a process written after a later one had begun?"""
    if not ours.place.ledger(process).exists():
        return False
    boots: list[str] = []
    with closing(connect(ours.place.ledger(process), write=False)) as db:
        for record in read(db):
            if not boots or boots[-1] != record.boot:
                boots.append(record.boot)
    return len(set(boots)) != len(boots)


def table(told: Told) -> str:
    """What is printed."""
    back_s = sorted(told.back_s)
    lines = [
        f"{told.supervisors} deaths of the supervisor in {len(back_s)} rounds: "
        + ", ".join(f"{n}x {what}" for what, n in told.rounds.items()),
        f"{sum(told.states.values())} requests: " + ", ".join(f"{n} {state}" for state, n in told.states.most_common()),
        f"all ready again after {statistics.median(back_s):.2f} s (median), {back_s[-1]:.2f} s at the most",
        *(f"FAULT  {fault}" for fault in told.faults),
        f"{len(told.faults)} faults",
    ]
    return "\n".join(lines)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="make parents")
    parser.add_argument("kills", type=int, nargs="?", default=100)
    parser.add_argument("seed", nargs="?", default="1")
    given = parser.parse_args()
    room = Path(tempfile.mkdtemp(prefix="mai-", dir="/tmp"))
    told = play(room / "d", given.kills, given.seed)
    print(table(told))
    if told.faults:
        print(f"what is left lies in {room}")
    else:
        shutil.rmtree(room, ignore_errors=True)
    return 1 if told.faults else 0


if __name__ == "__main__":
    sys.exit(main())
