"""`mai bench flood`: what the others notice when one department floods its Mai, by the kind of flood.

Two departments make round trips through Mai, as in `mai bench messages`, while a third, whose process is replaced by a hostile
one with its key (flooder.py), sends as fast as it can. Each round has a quiet block and a flooded one; what counts is the ratio.
"""

import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mai.agents.events import MessageRefused, decode
from mai.daemon.bench_messages import CLIENT, NAMES, ORGANISATION, Sub, percentiles
from mai.daemon.flooder import KINDS
from mai.daemon.reader import Reader
from mai.sandbox.errors import MaiError
from mai.sandbox.place import Place

LOUD: Final = f"{CLIENT}/loud"
ROUNDS: Final = 4
TRIPS: Final = 150
IN_FLIGHT: Final = 2
WITH_LOUD: Final = f"""{ORGANISATION.replace("asks_per_s = 1000000", "")}
[departments.loud]
charter = "Floods."
[[departments.loud.agents]]
name = "clerk"
rank = "operator"
charter = "Is there because a department has workers."
handler = "bench.py:echo"
"""


class Flooded(NamedTuple):
    """One line of the result."""

    kind: str
    quiet_p50_ms: float
    p50_ms: float
    p99_ms: float
    ratio_p50: float  # median of the rounds, each against its own quiet block
    ratio_p99: float
    sent: int  # frames or connections of the flood, in all rounds
    refused: int  # records of refusals on Mai's journal
    trips: int  # of the others, all answered


def run(file: Path, progress: Callable[[str], None], rounds: int = ROUNDS, trips: int = TRIPS) -> Iterator[Flooded]:
    """Measure, one kind after the other. Raises MaiError. The organisation is the bench's own."""
    for kind in KINDS:
        progress(f"a flood of {kind}")
        directory = Path(tempfile.mkdtemp(prefix="mai-"))
        try:
            with Sub(directory, WITH_LOUD) as sub:
                sub.block(trips, IN_FLIGHT)
                yield measured(sub, kind, rounds, trips)
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def measured(sub: Sub, kind: str, rounds: int, trips: int) -> Flooded:
    """The others' round trips without and with one kind of flood. Raises MaiError if one is not answered."""
    quiet, loud, sent = [], [], 0
    for _ in range(rounds):
        quiet.append(percentiles(sub.block(trips, IN_FLIGHT).trips_ms))
        with flooding(sub.place, kind) as count:
            loud.append(percentiles(sub.block(trips, IN_FLIGHT).trips_ms))
        sent += count()
    p50, p99 = (statistics.median(ours[n] / before[n] for before, ours in zip(quiet, loud, strict=True)) for n in (0, 1))
    quiet_ms, p50_ms, p99_ms = (statistics.median(one[n] for one in blocks) for blocks, n in ((quiet, 0), (loud, 0), (loud, 1)))
    return Flooded(kind, quiet_ms, p50_ms, p99_ms, p50, p99, sent, len(refusals(sub.place)), rounds * trips)


@contextlib.contextmanager
def flooding(place: Place, kind: str) -> Iterator[Callable[[], int]]:
    """A flood of this kind while it lasts; afterwards call what it gives, to know how much was sent."""
    command = [sys.executable, "-P", "-m", "mai.daemon.flooder", str(place.state), str(place.run), LOUD, kind]
    said = ""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flooder:
        assert flooder.stdin is not None and flooder.stdout is not None
        try:
            if flooder.stdout.readline() != "ready\n":
                raise MaiError(f"the flood of {kind} did not begin", "try again")
            yield lambda: int(said)
        finally:
            flooder.stdin.close()
            said = flooder.stdout.read()


def refusals(place: Place) -> list[MessageRefused]:
    """What Mai has put on record of what she refused."""
    with contextlib.closing(Reader(place, NAMES[0])) as reader:
        found = [decode(one.kind, one.body) for one in reader.records("kind = ?", MessageRefused.kind)]
    return [one for one in found if isinstance(one, MessageRefused)]


def render(one: Flooded) -> str:
    """Lines for people; above the first one what they mean."""
    head = ""
    if one.kind == KINDS[0]:
        head = (
            f"Round trips between two departments, {IN_FLIGHT} in flight, while a third floods Mai; ratios to a quiet block\n"
            "of the same round. `elsewhere` is the same flood, to a socket of its own.\n"
            "flood of     quiet p50 ms   p50 ms   p99 ms   p50 ratio  p99 ratio   flood sent  refusals on record\n"
        )
    return head + (
        f"{one.kind:12} {one.quiet_p50_ms:12.2f} {one.p50_ms:8.2f} {one.p99_ms:8.2f} {one.ratio_p50:11.2f} {one.ratio_p99:10.2f} "
        f"{one.sent:12} {one.refused:19}"
    )
