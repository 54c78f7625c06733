"""`mai bench verify`: how fast journals are verified, beside SHA-256 alone over the same bytes, in the same run and process.

The journals are those of `mai bench messages`' processes after real traffic, repeated under new ids with their links, seals
and signed heads (bench_grown.py). Everything is read by one process on one core: chains, links, blobs, signatures, pages and
indexes of the files. Then what a nightly run costs, with nothing new and with some new records.
"""

import hashlib
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from mai.daemon.bench_grown import grow, marks, scene
from mai.daemon.bench_messages import Sub, file_system
from mai.daemon.reader import Reader
from mai.daemon.verified import File
from mai.daemon.verify import verify
from mai.sandbox.errors import MaiError
from mai.sandbox.place import Place

RECORDS: Final = 1_000_000
ROUNDS: Final = 3
NEW: Final = 2000  # records of a day
REAL: Final = (20, 200)  # round trips before the scene, and in it
CLIENT: Final = "bench"
_NUMBERS: Final = struct.Struct(">QQQ")


class Verified(NamedTuple):
    """One line of the result."""

    what: str
    value: float
    unit: str
    note: str


def run(file: Path, progress: Callable[[str], None], records: int = RECORDS) -> Iterator[Verified]:
    """Measure. Raises MaiError. The organisation is the bench's own."""
    with tempfile.TemporaryDirectory(prefix="mai-") as directory:
        place, again = _written(Path(directory), records, progress)
        size_mb = sum(place.ledger(process).stat().st_size for process in place.processes()) / 1e6
        progress("SHA-256 alone")
        hashed_s, hashed = min((_hashed(place) for _ in range(ROUNDS)), key=lambda one: one[0])
        note = f"of a processor: each record's bytes once, nothing else; the best of {ROUNDS}"
        yield Verified("SHA-256 alone", hashed / hashed_s, "records/s", note)
        progress("verifying everything")
        memory = File(place, Path(directory) / "verified")
        rounds = [_verified(place, memory, full=True) for _ in range(ROUNDS)]
        cpu_s, wall_s, count = min(rounds)
        note = (
            f"of a processor: {count:,} records, {size_mb:.0f} MB, {cpu_s / hashed_s:.1f} times SHA-256 alone; best of {ROUNDS}"
        )
        yield Verified("verify --full", count / cpu_s, "records/s", note)
        yield Verified("verify --full", count / wall_s, "records/s", f"by the clock, one process, on {file_system(place.state)}")
        progress("verifying what is new")
        yield Verified(
            "verify", min(_verified(place, memory, full=False)[0] for _ in range(ROUNDS)) * 1e3, "ms", "nothing is new"
        )
        again(count + NEW)
        cpu_s, _, new = _verified(place, memory, full=False)
        yield Verified("verify", cpu_s * 1e3, "ms", f"of a processor; {new:,} records are new")


def _written(directory: Path, records: int, progress: Callable[[str], None]) -> tuple[Place, Callable[[int], int]]:
    """Journals with so many records, and how there come to be more."""
    progress("real traffic")
    before, traffic = REAL
    with Sub(directory) as sub:
        sub.block(before, 1)
        begin = marks(sub.place, CLIENT)
        sub.block(traffic, 8)
        found = scene(sub.place, begin, marks(sub.place, CLIENT))
        place = sub.place
    progress(f"writing {records:,} records")
    grow(place, CLIENT, (found,), records)
    return place, lambda count: grow(place, CLIENT, (found,), count, seed=1)


def _verified(place: Place, memory: File, *, full: bool) -> tuple[float, float, int]:
    """Seconds of a processor and by the clock, and how many records were read."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    report = verify(place, memory=memory.read() if not full else None, full=full, keep=memory.write)
    took = time.process_time() - cpu_s, time.perf_counter() - wall_s
    if not report.sound:
        raise MaiError(f"the bench's own journals are not sound: {report.findings[0].what}", "it is a bug: please report it")
    return (*took, report.records)


def _hashed(place: Place) -> tuple[float, int]:
    """Seconds of a processor that the digests alone take, and of how many records."""
    took_s, count = 0.0, 0
    for process in place.processes():
        with closing(Reader(place, process)) as reader:
            after, upto = 0, reader.last()
            while rows := reader.portion(after, upto):
                texts = [b"".join(str(text).encode() for text in row[3:9]) for row in rows]
                data = [row[9] + _NUMBERS.pack(*row[:3]) + text for row, text in zip(rows, texts, strict=True)]
                begun_s = time.process_time()
                for one in data:
                    hashlib.sha256(one).digest()
                took_s += time.process_time() - begun_s
                after, count = rows[-1][0], count + len(rows)
    return took_s, count


def render(verified: Verified) -> str:
    """One line for people."""
    return f"{verified.what:14} {verified.value:12,.0f} {verified.unit:10} {verified.note}"
