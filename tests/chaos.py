"""`make chaos`: kills processes at every named point, system call and moment, and looks whether anything is lost or done twice.

    make chaos                      1,000 kills and 200 other faults
    make chaos KILLS=100 SEED=7     a tenth of it, with these draws

Many rounds of one kind of fault each, two at a time, see chaos_campaign.py. Prints a table; exit status 1 if anything was
violated, or a named point was not reached. What a violated round left is kept, and its seed named. Who is killed when is drawn
from the seed; what it is doing at that moment is the machine's.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

from tests.chaos_campaign import MIXED, Round, play
from tests.chaos_faults import AT_START, AT_WORK, KINDS, NEED_STRACE
from tests.chaos_report import progress, table
from tests.chaos_strace import missing

SHARES = {  # of all kills
    "at a named point": 0.36, "at a system call": 0.14, "at any moment": 0.10, "two at once": 0.12,
    "while it recovers": 0.12, "everything": 0.08, MIXED: 0.10,
}  # fmt: skip
OTHERS = {"standing still": 0.11, "failing disk": 0.11}  # of as many other faults, for each kill
STRIKES = 42  # of one round
ROUND_S = 600.0  # after which a round is over, however little has struck
JOBS = 2
SETTLED = 100  # kills below which not every point has to be reached


def plan(kills: int, seed: str, kinds: dict[str, float]) -> Iterator[tuple[str, str, int]]:
    """Kind, seed and number of strikes of each round."""
    for kind, share in kinds.items():
        left, number = max(1, round(kills * share)), 0
        while left > 0:
            number += 1
            yield kind, f"{seed}/{kind}/{number}", min(left, STRIKES)
            left -= STRIKES


def one(kind: str, seed: str, strikes: int, without: tuple[str, ...]) -> tuple[Round, str]:
    """Play a round; what it left is kept if anything was violated: where, else ""."""
    room = Path(tempfile.mkdtemp(prefix="mai-", dir="/tmp"))
    end_s = time.monotonic() + ROUND_S
    kinds = [name for name in KINDS if name not in without]

    def enough(done: Round) -> bool:
        struck = done.others if kind in OTHERS else done.kills
        return struck >= strikes or time.monotonic() > end_s

    try:
        done = play(kind, seed, room / "r", enough, kinds).round
    except BaseException as error:
        done = Round(kind, seed, violations=[f"the round broke off: {type(error).__name__}: {error}"])
    if done.violations:
        return done, str(room)
    shutil.rmtree(room, ignore_errors=True)
    return done, ""


def campaign(kills: int, seed: str) -> int:
    """All rounds; the exit status."""
    begun_s, why = time.monotonic(), missing()
    without = NEED_STRACE if why else ()
    if why:
        print(f"{why}: nobody dies at a system call, no write fails", file=sys.stderr)
    shares = {kind: share for kind, share in (SHARES | OTHERS).items() if kind not in without}
    rounds = sorted(plan(kills, seed, shares), key=lambda one: -one[2])
    done: list[Round] = []
    with ProcessPoolExecutor(JOBS, mp_context=get_context("spawn")) as pool:
        open_: set[Future[tuple[Round, str]]] = {pool.submit(one, *given, without) for given in rounds}
        while open_:
            ended, open_ = wait(open_, return_when=FIRST_COMPLETED)
            for future in ended:
                played, room = future.result()
                done.append(played)
                progress(done, len(rounds), time.monotonic() - begun_s)
                for what in played.violations[:20]:
                    print(f"VIOLATION {what}\n  seed {played.seed!r}, kept in {room}", flush=True)
    print(table(done, seed, time.monotonic() - begun_s))
    reached = sum((one.points for one in done), Counter[str]())
    unreached = [point for point in (*AT_START, *AT_WORK) if not reached[point]] if kills >= SETTLED else []
    if unreached:
        print(f"never reached: {', '.join(unreached)}")
    return int(bool(unreached) or any(one.violations for one in done))


def main() -> None:
    """From the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", default="1")
    given = parser.parse_args()
    sys.exit(campaign(given.kills, given.seed))


if __name__ == "__main__":
    main()
