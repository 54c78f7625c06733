"""`make traces STATE=directory`: how long a trace, and a why, of any request takes over big ledgers (`make million`).

    acme/mai 970,802, acme/marketing 1,295,919, acme/sales 733,318 records
    trace, in one process   median 5.1 ms, the slowest 14.2 ms of 200 requests
    …

Each is timed by the clock and by the processor that it takes: beside other work only the second says much. Requests are drawn
from all over the journals, so that most are read from pages that nobody has read lately.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

from mai.daemon.reader import Reader
from mai.daemon.trace import trace
from mai.daemon.why import why
from mai.sandbox.place import Place
from tests.small import MAI

REQUESTS, COMMANDS = 200, 20


class Taken(NamedTuple):
    """One measurement, in milliseconds."""

    clock: float
    processor: float


def requests(place: Place, count: int, seed: int = 1) -> list[str]:
    """So many requests, from all over the journal of the client's Mai."""
    chance, found = Random(seed), dict[str, None]()
    with closing(Reader(place, "acme/mai")) as reader:
        last = reader.last()
        for _ in range(100 * count):
            record = reader.record(chance.randint(1, last))
            if record and record.request and len(found) < count:
                found[record.request] = None
    return list(found)


def taken(work: Callable[[], object], whose: int = resource.RUSAGE_SELF) -> Taken:
    """How long it takes."""
    before, begun_s = resource.getrusage(whose), time.perf_counter()
    work()
    ended_s, after = time.perf_counter(), resource.getrusage(whose)
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(1e3 * (ended_s - begun_s), 1e3 * processor_s)


def told(what: str, all_: list[Taken]) -> str:
    """The middle and the slowest."""
    clock, processor = [one.clock for one in all_], [one.processor for one in all_]
    return (
        f"{what:<27}median {median(clock):.1f} ms, the slowest {max(clock):.1f} ms of {len(all_)} requests; "
        f"of a processor {median(processor):.1f} and {max(processor):.1f} ms"
    )


def command(place: Place, *words: str) -> None:
    """A command from its start to its end. Raises CalledProcessError."""
    subprocess.run([*MAI, "--state", str(place.state), *words], check=True, stdout=subprocess.DEVNULL)


def measured(place: Place, count: int = REQUESTS, commands: int = COMMANDS) -> list[str]:
    """All figures, as lines."""
    sizes = []
    for process in [one for one in place.processes() if "/" in one]:
        with closing(Reader(place, process)) as reader:
            sizes.append(f"{process} {reader.last():,}")
    names = requests(place, count)
    taken(lambda: (trace(place, names[0]), why(place, names[0])))  # what is imported late
    return [
        f"{', '.join(sizes)} records",
        told("trace, in one process", [taken(partial(trace, place, name)) for name in names]),
        told("why, in one process", [taken(partial(why, place, name)) for name in names]),
        told(
            "mai trace, with its start",
            [taken(partial(command, place, "trace", name), resource.RUSAGE_CHILDREN) for name in names[:commands]],
        ),
    ]


if __name__ == "__main__":
    print("\n".join(measured(Place(Path(sys.argv[1]) / "state", Path(sys.argv[1]) / "run"))))
