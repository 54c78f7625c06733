"""Simulated worlds from the command line: `make simulate SEEDS=2000`.

    python -m tests.simulate SEEDS [FIRST] [MUTANT]

Plays that many worlds on all cores, and prints how it goes and what it was full of. A world in which something was that must
never be is told with its seed, the command that plays it again, and the last things that happened in it.
"""

import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

from tests import (
    sim_mutants,
    sim_mutants_approvals,
    sim_mutants_claims,
    sim_mutants_escalations,
    sim_mutants_limits,
    sim_mutants_memory,
    sim_mutants_policies,
    sim_mutants_seals,
    sim_mutants_voice,
    sim_mutants_work,
)
from tests.sim_known import KNOWN
from tests.sim_lives import Violation
from tests.sim_mutation import mutated
from tests.sim_world import World

# they note themselves when they are imported
MUTANTS_OF = (
    sim_mutants, sim_mutants_work, sim_mutants_memory, sim_mutants_seals, sim_mutants_approvals, sim_mutants_claims,
    sim_mutants_voice, sim_mutants_policies, sim_mutants_escalations, sim_mutants_limits,
)  # fmt: skip
LAST = 40  # things that are told before a violation
TOLD_EVERY_S = 5.0
WORKERS = len(os.sched_getaffinity(0))


class Outcome(NamedTuple):
    """What came of one seed."""

    seed: int
    wrong: str
    last: list[str]
    counts: Counter[str]


@contextmanager
def room() -> Iterator[Path]:
    """A directory in memory, for what processes keep beside their ledgers."""
    directory = Path(tempfile.mkdtemp(prefix="mai-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def play(seed: int, directory: Path, aim: str = "") -> Outcome:
    """One world, to its end or to what must never be; the first process to come to the point `aim` dies there."""
    world, wrong = World(seed, directory), ""
    world.aim = aim
    try:
        world.run()
    except Violation as violation:
        wrong = str(violation) or "something that must never be"
    counts = world.counts + Counter({f"point {point}": count for point, count in world.points.items()})
    counts["steps"] = world.steps
    counts["records"] = world.records
    last = [" ".join(str(one) for one in entry) for entry in list(world.log)[-LAST:]] if wrong else []
    return Outcome(seed, wrong, last, counts)


def first_wrong(mutant: str, most: int, directory: Path) -> Outcome | None:
    """The first seed that catches a mutant, one that is known to first; None if it lives through so many."""
    known = KNOWN.get(mutant)
    seeds = range(most) if known is None else (known, *range(most))
    with mutated(mutant):
        return next((found for seed in seeds if (found := play(seed, directory)).wrong), None)


def _share(given: tuple[list[int], str]) -> list[Outcome]:
    seeds, mutant = given
    with room() as directory, mutated(mutant) if mutant else nullcontext():
        return [play(seed, directory) for seed in seeds]


def main(seeds: int, first: int = 0, mutant: str = "") -> int:
    """Play them; the exit status is 1 if one went wrong."""
    since_s, total, done, wrong = time.monotonic(), Counter[str](), 0, list[Outcome]()
    shares = [(list(range(start, min(start + 10, first + seeds))), mutant) for start in range(first, first + seeds, 10)]
    told_s = since_s
    with Pool(WORKERS) as pool:
        for outcomes in pool.imap_unordered(_share, shares):
            for outcome in outcomes:
                done += 1
                total += outcome.counts
                if outcome.wrong:
                    wrong.append(outcome)
                    tell(outcome, mutant)
            now_s = time.monotonic()
            if now_s - told_s > TOLD_EVERY_S:
                told_s = now_s
                print(f"{done} of {seeds} seeds, {done / (now_s - since_s):.0f} a second, {len(wrong)} violations", flush=True)
    spent_s = time.monotonic() - since_s
    table(total)
    print(f"{done} seeds in {spent_s:.0f} s on {WORKERS} cores, {done / spent_s:.0f} a second: {len(wrong)} violations")
    return 1 if wrong else 0


def tell(outcome: Outcome, mutant: str) -> None:
    """All that is needed to look for the reason."""
    print(*outcome.last, sep="\n")
    print(f"seed {outcome.seed}: {outcome.wrong}")
    print(f"again: .venv/bin/python -m tests.simulate 1 {outcome.seed} {mutant}".rstrip(), flush=True)


def table(total: Counter[str]) -> None:
    """What the worlds were full of."""
    points = {key.removeprefix("point "): n for key, n in total.items() if key.startswith("point ")}
    print(f"{'point of a process':24} {'reached':>9} {'died there':>10}")
    for point in sorted(points):
        print(f"{point:24} {points[point]:9} {total[f'die {point}']:10}")
    rows = {
        "processes started": "start", "processes ended": "die", "stopped for a while": "stop", "hung, and aborted": "abort",
        "machine asleep": "sleep", "wires cut": "cut", "frames lost": "lose", "frames doubled": "double",
        "frames swapped": "swap", "peers held back": "held back", "tools that failed": "tool", "clients hung up": "hang up",
        "requests asked": "ask",
        "answers told": "answered", "doubts resolved": "resolved", "requests cancelled": "cancelled",
        "steps": "steps", "records checked": "records",
    }  # fmt: skip
    for name, key in rows.items():
        print(f"{name:24} {total[key]:9}")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:3]]
    sys.exit(main(*numbers, *sys.argv[3:4]))  # type: ignore[arg-type]  # a word after the numbers
