"""`mai bench recovery`: how fast a journal is folded into a fresh state, and what a start with an up-to-date state reads.

The journals are those of `mai bench messages`' processes after real traffic, repeated under new ids until they have so many
records. Each is folded as `mai verify --state` and
`mai rebuild` do, its chain checked apart, its state rebuilt; then its process is started beside one with an empty ledger.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import psutil
import zmq

from mai.daemon import programs, rebuild, refold
from mai.daemon.bench_messages import PATIENCE_S, Sub, file_system
from mai.daemon.notices import Notices
from mai.daemon.reader import Reader
from mai.daemon.scrub import Scrub
from mai.sandbox.errors import MaiError
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place

RECORDS: Final = 1_000_000
REAL: Final = (4000, 64)  # round trips that the records are taken from, and how many in flight
IN_COMMIT: Final = 5000
STARTS: Final = 3
FOLDS: Final = 3
FOLDED: Final = ("bench/mai", "bench/answer")
LSEQ: Final = re.compile(rb'("lseq":|^\{"peer":"[^"]*","received":)(\d+)')

Template = tuple[str, bytes, str, str, str]  # kind, body, request, task, agent


class Recovered(NamedTuple):
    """One line of the result."""

    process: str
    what: str
    value: float
    unit: str
    note: str


def run(file: Path, progress: Callable[[str], None], records: int = RECORDS) -> Iterator[Recovered]:
    """Measure. Raises MaiError. The organisation is the bench's own."""
    directory = Path(tempfile.mkdtemp(prefix="mai-"))
    try:
        progress("real traffic")
        with Sub(directory) as sub:
            sub.block(*REAL)
        empty = Place(directory / "empty")
        for process in FOLDED:
            empty.home(process).parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(sub.place.home(process), empty.home(process), ignore=shutil.ignore_patterns("ledger.*"))
            yield from _process(sub.place, empty, process, records, progress)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _process(place: Place, empty: Place, process: str, records: int, progress: Callable[[str], None]) -> Iterator[Recovered]:
    progress(f"{process}: writing {records:,} records")
    written = grow(place, process, records)
    size_mb = place.ledger(process).stat().st_size / 1e6
    progress(f"{process}: folding, checking, rebuilding")
    fold_s = min(_folded_s(place, process, written) for _ in range(FOLDS))
    note = f"{written:,} records, {size_mb:.0f} MB, into a fresh state; the best of {FOLDS}"
    yield Recovered(process, "fold", written / fold_s, "records/s", note)
    yield Recovered(process, "chain", written / _checked_s(place, process, written), "records/s", "digests and links checked")
    rebuilt = rebuild.rebuild(place, process, lambda *_: None)
    yield Recovered(process, "rebuild", rebuilt.seconds, "s", f"both, and {rebuilt.rows:,} rows of state written")
    progress(f"{process}: starts")
    for where, what in ((empty, "an empty ledger"), (place, f"{written:,} records")):
        starts = [_start(where, process) for _ in range(STARTS + 1)][1:]  # the first makes the file, or finds a cold cache
        start_ms, read = min(starts)
        yield Recovered(process, "start", start_ms, "ms", f"until ready, with {what} on {file_system(place.state)}")
        yield Recovered(process, "read", read / 1024, "KiB", f"read from all files in that start, with {what}")


def grow(place: Place, process: str, records: int) -> int:
    """Repeat what a journal holds under new ids and numbers until it has so many records; how many it has then."""
    with closing(Reader(place, process)) as reader:
        found = reader.records("kind NOT LIKE 'process.%'", limit=records)
        templates = [(one.kind, reader.body(one).encode(), one.request, one.task, one.agent) for one in found]
    spans = _spans(templates)
    request = next(one[2] for one in templates if one[2])
    with closing(Ledger(place.ledger(process), process)) as ledger:
        turn = 0
        while ledger.seq < records:
            turn += 1
            new = f"{request[:-3]}{turn:03d}z"
            for kind, body, of, task, agent in templates:
                by = turn * spans.get(_link(kind, body), 0)
                names = {"request": of.replace(request, new), "task": task.replace(request, new), "agent": agent}
                ledger.append(kind, _shifted(body, by).replace(request.encode(), new.encode()), **names)
                if not ledger.seq % IN_COMMIT:
                    ledger.commit()
        ledger.commit()
        return ledger.seq


def _shifted(body: bytes, by: int) -> bytes:
    """A record's body with a number on its link that is so much greater."""
    return LSEQ.sub(lambda match: match[1] + b"%d" % (int(match[2]) + by), body, count=1)


def _spans(templates: list[Template]) -> dict[tuple[str, bytes], int]:
    """How many numbers each direction of a link has used: by so much the next turn's are greater."""
    spans: dict[tuple[str, bytes], int] = {}
    for kind, body, *_ in templates:
        if match := LSEQ.search(body):
            link = _link(kind, body)
            spans[link] = max(spans.get(link, 0), int(match[2]))
    return spans


def _link(kind: str, body: bytes) -> tuple[str, bytes]:
    """The direction of a link that a record counts on: an acknowledgement counts what was sent."""
    peer = body.split(b'"', 4)[3]
    return ("message.sent" if kind == "message.acked" else kind, peer)


def _folded_s(place: Place, process: str, upto: int) -> float:
    with closing(Reader(place, process)) as reader:
        begun_s = time.perf_counter()
        refold.fold(refold.fresh(place, process), reader, upto)
        return time.perf_counter() - begun_s


def _checked_s(place: Place, process: str, upto: int) -> float:
    scrub = Scrub(process)
    scrub.open(place)
    begun_s = time.perf_counter()
    scrub.journal(upto, lambda done: None)
    seconds = time.perf_counter() - begun_s
    scrub.close()
    if scrub.bad_seq:
        raise MaiError(f"the bench's own journal does not fit at record {scrub.bad_seq}", "it is a bug: please report it")
    return seconds


def _start(place: Place, process: str) -> tuple[float, int]:
    """Milliseconds until a process says that it is ready, and the bytes that it has read by then. Raises MaiError."""
    place.prepare()
    place.link(process.split("/", maxsplit=1)[0]).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    notices = Notices(place.notify)
    surroundings = {**os.environ, **programs.environment(place, 5.0, os.environ)}
    with place.log(process).open("wb") as log:
        begun_s = time.perf_counter()
        child = subprocess.Popen(
            programs.command(place, process), env=surroundings, stdin=subprocess.PIPE, stdout=log, stderr=log
        )
    try:
        return _until_ready(child, notices, begun_s)
    finally:
        child.terminate()
        child.wait(PATIENCE_S)
        assert child.stdin is not None
        child.stdin.close()
        notices.close()


def _until_ready(child: "subprocess.Popen[bytes]", notices: Notices, begun_s: float) -> tuple[float, int]:
    poll = zmq.Poller()
    poll.register(notices, zmq.POLLIN)
    while child.poll() is None and time.perf_counter() < begun_s + PATIENCE_S:
        poll.poll(1000)
        if any(notice.fields.get("READY") == "1" for notice in notices.receive()):
            return (time.perf_counter() - begun_s) * 1e3, psutil.Process(child.pid).io_counters().read_chars
    raise MaiError("the process of the bench does not get ready", "look at its log")


def render(recovered: Recovered) -> str:
    """One line for people."""
    return f"{recovered.process:14} {recovered.what:8} {recovered.value:12,.0f} {recovered.unit:10} {recovered.note}"
