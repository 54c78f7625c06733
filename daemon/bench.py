"""`mai bench`: what the reference organisation costs and how fast it answers, beside a bare relay in the same run."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from mai.daemon import relay
from mai.daemon.asking import ask, new_id
from mai.daemon.door import Door
from mai.daemon.example import CLIENT, daemon
from mai.daemon.up import Start
from mai.sandbox.place import Place

QUESTION = "Which customers with overdue invoices have open tickets?"  # finance, support and sales: 20 messages through Mai
ASKED = 50
IDLE_S = 10.0


class Figure(NamedTuple):
    """One line of the result."""

    name: str
    value: float
    unit: str
    note: str


def run(file: Path, progress: Callable[[str], None]) -> Iterator[Figure]:
    """Measure, one figure after the other; `progress` is told what is being done."""
    progress("a bare relay of pyzmq")
    with tempfile.TemporaryDirectory(prefix="mai-") as directory:
        bare = relay.measure(Path(directory))
    yield Figure("bare relay", bare.one_ms, "ms", "median round trip, one in flight, no key, no journal")
    yield Figure("bare relay", bare.many_per_s, "per s", "round trips, 64 in flight")
    progress("the start of the reference organisation")
    begun_s = time.monotonic()
    with daemon(file) as (place, start):
        yield from started(start, begun_s)
        progress(f"{ASKED} requests, one after the other")
        yield from asked(place, bare)
        progress(f"{IDLE_S:g} s without work")
        yield from idle(place)


def started(start: Start, begun_s: float) -> Iterator[Figure]:
    """As `mai up` does it, until every process is ready, for the first time: each department makes its data."""
    last = start.ready()
    took_s = time.monotonic() - begun_s
    yield Figure("first start", took_s, "s", f"until all {last['total']} processes of the client are ready, their data made")


def asked(place: Place, bare: relay.Relayed) -> Iterator[Figure]:
    """A request that three departments answer together."""
    times_ms = sorted(_ask_ms(place) for _ in range(ASKED))
    median_ms = statistics.median(times_ms)
    beside = f"{median_ms / bare.one_ms:.0f} bare round trips"
    yield Figure("cross-department request", median_ms, "ms", f"median of {ASKED}; {beside}")
    yield Figure("cross-department request", times_ms[-1], "ms", "the slowest of them")


def _ask_ms(place: Place) -> float:
    begun_s = time.perf_counter()
    for reply in ask(place, CLIENT, QUESTION, request=new_id(), timeout_s=None, watch=False):
        if "answer" in reply and reply["answer"]["state"] != "answered":
            raise RuntimeError(f"the request was {reply['answer']['state']}: {reply['answer']['answer']}")
    return (time.perf_counter() - begun_s) * 1e3


def idle(place: Place) -> Iterator[Figure]:
    """What all processes together cost while nothing is asked of them."""
    pids = [process["pid"] for process in Door(place.door, 10).call({"do": "status"})["processes"]]
    before_s, begun_s = _cpu_s(pids), time.monotonic()
    time.sleep(IDLE_S)  # the time itself is what is measured
    share = (_cpu_s(pids) - before_s) / (time.monotonic() - begun_s)
    yield Figure("idle", share * 100, "% of one core", f"all {len(pids)} processes together, over {IDLE_S:g} s")
    took, how = taken_mb([psutil.Process(pid) for pid in pids])
    yield Figure("memory", sum(took), "MB", f"{how}, all together")


def taken_mb(family: list[psutil.Process]) -> tuple[list[float], str]:
    """What each takes of memory, in MB, and how that was counted: behind walls processes show the better figure to root alone."""
    try:
        return [one.memory_full_info().pss / 1e6 for one in family], "proportional"
    except psutil.AccessDenied:
        return [one.memory_info().rss / 1e6 for one in family], "resident, with what they share counted for each"


def _cpu_s(pids: list[int]) -> float:
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def render(figure: Figure) -> str:
    """One line for people."""
    return f"{figure.name:26} {figure.value:10.1f} {figure.unit:14} {figure.note}"
