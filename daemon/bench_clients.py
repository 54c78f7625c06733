"""`mai bench clients`: ten clients with the reference organisation beside each other: their cost, and what one feels of another.

First the time until all are ready, idle cost and memory. Then nine of them are asked, one request after the other: before; while
all processes of the tenth get SIGKILL at once, again each time they are all up; while as many Pythons of nobody's start, which
only import what a department does; and afterwards. What counts is the ratio to before, and that of the two in the middle: where
processors are few, nine starts are felt, whosever they are. At last all are let fall asleep, and each is waked by a request:
until its Mai has accepted it, and until it is answered.
"""

import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import psutil

from mai.daemon.asking import ask, new_id
from mai.daemon.bench import IDLE_S, Figure, render, taken_mb
from mai.daemon.bench_messages import percentiles
from mai.daemon.door import Door
from mai.daemon.up import Start
from mai.sandbox.errors import MaiError
from mai.sandbox.place import Place

__all__ = ("render", "run")

QUESTION: Final = "What is the sales forecast?"  # one department answers it
CLIENTS: Final = 10
ASKED: Final = 150  # of the nine together, in each of the three times
KILLED: Final = 5  # times; each waits until all are up again
WAKED: Final = 2  # times each client
SLEEP_S: Final = 2.0
PATIENCE_S: Final = 120.0
LOOK_S: Final = 0.3  # between two looks at the status, which costs the watchdog a look at each process
STRANGER: Final = (sys.executable, "-P", "-c", "import mai.agents.process")
HEARTBEAT_S: Final = 30  # ninety processes that start at once on few processors may be silent for longer than they should
NAMED: Final = 'clients = ["acme"]'


def run(
    file: Path, progress: Callable[[str], None], clients: int = CLIENTS, asked: int = ASKED, killed: int = KILLED
) -> Iterator[Figure]:
    """Measure. Raises MaiError. `file`: the reference organisation."""
    names = [f"client{number}" for number in range(clients)]
    directory = Path(tempfile.mkdtemp(prefix="mai-"))
    try:
        organisation = furnished(file, directory, names)
        progress(f"the start of {clients} clients")
        place, begun_s = Place(directory / "state"), time.monotonic()
        start = Start(place, organisation, detach=False)
        try:
            yield ready(start, clients, begun_s)
            progress(f"{IDLE_S:g} s without work")
            yield from cost(place, "awake")
            progress("one client is killed while the others are asked")
            yield from beside(place, names, asked, killed)
            progress("all fall asleep, and are waked")
            yield from sleeping(place, organisation, names)
        finally:
            start.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def furnished(file: Path, directory: Path, names: list[str]) -> Path:
    """The organisation with these clients, beside a copy of its code."""
    shutil.copytree(file.parent / "company", directory / "company", ignore=shutil.ignore_patterns("__pycache__"))
    text = file.read_text()
    if text.count(NAMED) != 1:
        raise MaiError(f"{file} has no line {NAMED!r}", "measure with the reference organisation")
    found = directory / "clients.toml"
    text = text.replace(NAMED, f"clients = {names!r}".replace("'", '"'))
    found.write_text(text.replace("[limits]", f"[limits]\nheartbeat_s = {HEARTBEAT_S}", 1))
    return found


def ready(start: Start, clients: int, begun_s: float) -> Figure:
    """Until all are ready, for the first time: each department makes its data."""
    last = start.ready()
    note = f"until all {last['total']} processes of {clients} clients are ready, their data made"
    return Figure("first start", time.monotonic() - begun_s, "s", note)


# -- cost
def cost(place: Place, how: str) -> Iterator[Figure]:
    """Processor time without work, and memory, of all processes."""
    family = processes(place)
    before_s, begun_s = used_s(family), time.monotonic()
    time.sleep(IDLE_S)  # the time itself is what is measured
    share = (used_s(family) - before_s) / (time.monotonic() - begun_s)
    yield Figure(f"idle, {how}", share * 100, "% of one core", f"all {len(family)} processes together, over {IDLE_S:g} s")
    took, counted = taken_mb(family)
    note = f"{counted}; {statistics.median(took):.1f} MB is the median of {len(took)} processes"
    yield Figure(f"memory, {how}", sum(took), "MB", note)


def processes(place: Place) -> list[psutil.Process]:
    """The supervisor and all that it is a parent of."""
    root = psutil.Process(status(place)["supervisor"]["pid"])
    return [root, *root.children(recursive=True)]


def used_s(family: list[psutil.Process]) -> float:
    """Processor time of those that still run."""
    total = 0.0
    for one in family:
        with contextlib.suppress(psutil.Error):
            total += sum(one.cpu_times()[:2])
    return total


def status(place: Place) -> dict[str, dict[str, Any]]:
    """Process name -> its entry."""
    return {one["name"]: one for one in Door(place.door, PATIENCE_S).call({"do": "status"})["processes"]}


# -- isolation
def beside(place: Place, names: list[str], asked: int, killed: int) -> Iterator[Figure]:
    """The latency of all but one, before, while and after that one dies as a whole."""
    *others, victim = names
    latencies(place, others, len(others) * 2)  # the first ones load code
    before = percentiles(latencies(place, others, asked))
    with killing(place, victim, killed) as deaths:
        during_ms: list[float] = []
        while not deaths.over.is_set() or len(during_ms) < asked:
            during_ms += latencies(place, others, len(others))
    strange_ms: list[float] = []
    with starting(deaths.size, killed, statistics.median(deaths.away_ms)) as over:
        while not over.is_set() or len(strange_ms) < asked:
            strange_ms += latencies(place, others, len(others))
    during, strange, after = percentiles(during_ms), percentiles(strange_ms), percentiles(latencies(place, others, asked))
    yield Figure("others before", before[0], "ms", f"median of {asked} requests; {before[1]:.1f} ms is what 99 of 100 are below")
    parts = (("while killed", during, during_ms), ("beside Pythons", strange, strange_ms), ("afterwards", after, range(asked)))
    for when, times, all_ in parts:
        ratios = f"{times[0] / before[0]:.2f} and {times[1] / before[1]:.2f} times those before"
        yield Figure(f"others {when}", times[0], "ms", f"median of {len(all_)}, 99 of 100 below {times[1]:.1f} ms: {ratios}")
    note = f"{victim}, all {deaths.size} processes at once; until they were all up again, median of {killed}"
    yield Figure("sub-server killed", statistics.median(deaths.away_ms), "ms", note)


class Deaths:
    """What became of the one that is killed."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.away_ms: list[float] = []
        self.size = 0
        self.fault: BaseException | None = None


@contextlib.contextmanager
def killing(place: Place, victim: str, times: int) -> Iterator[Deaths]:
    """All processes of a client get SIGKILL so often, beside what is done meanwhile. Raises MaiError if they do not come back."""
    deaths = Deaths()

    def kill() -> None:
        try:
            for _ in range(times):
                deaths.size, away_ms = strike(place, victim)
                deaths.away_ms.append(away_ms)
        except MaiError as error:
            deaths.fault = error
        finally:
            deaths.over.set()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield deaths
    finally:
        thread.join()
    if deaths.fault:
        raise deaths.fault


@contextlib.contextmanager
def starting(many: int, times: int, every_ms: float) -> Iterator[threading.Event]:
    """So many Pythons start at once, so often, and end; gives what is set when it is over."""
    over = threading.Event()

    def begin() -> None:
        for _ in range(times):
            end_s = time.monotonic() + every_ms / 1e3
            for python in [subprocess.Popen(STRANGER) for _ in range(many)]:
                python.wait()
            time.sleep(max(0.0, end_s - time.monotonic()))  # as often as the killed ones were up again
        over.set()

    thread = threading.Thread(target=begin)
    thread.start()
    try:
        yield over
    finally:
        thread.join()


def strike(place: Place, victim: str) -> tuple[int, float]:
    """Kill them all; how many they were, and after how many milliseconds they were all up again."""
    before = {name: one["pid"] for name, one in status(place).items() if name.startswith(f"{victim}/")}
    begun_s = time.monotonic()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    def back(now: dict[str, dict[str, Any]]) -> bool:
        return all(now[name]["state"] == "ready" and now[name]["pid"] != pid for name, pid in before.items())

    waited(place, back, f"{victim} does not come back")
    return len(before), (time.monotonic() - begun_s) * 1e3


def waited(place: Place, look: Callable[[dict[str, dict[str, Any]]], bool], fault: str) -> None:
    """Look at the status until it is so. Raises MaiError."""
    end_s = time.monotonic() + PATIENCE_S
    while not look(status(place)):
        if time.monotonic() > end_s:
            raise MaiError(fault, "look at: mai status")
        time.sleep(LOOK_S)


def latencies(place: Place, clients: list[str], count: int) -> list[float]:
    """So many requests, one after the other, to one client after the other. Raises MaiError if one is not answered."""
    return [asked_ms(place, client)[1] for client, _ in zip(cycle(clients), range(count), strict=False)]


def asked_ms(place: Place, client: str) -> tuple[float, float]:
    """Until Mai has accepted it, until it is answered."""
    begun_s, accepted_ms, last = time.perf_counter(), 0.0, dict[str, Any]()
    for last in ask(place, client, QUESTION, request=new_id(), timeout_s=PATIENCE_S, watch=False):
        if "accepted" in last:
            accepted_ms = accepted_ms or (time.perf_counter() - begun_s) * 1e3
    if last["answer"]["state"] != "answered":
        raise MaiError(f"{client} was asked, and {QUESTION!r} was {last['answer']['state']}", "look at its log")
    return accepted_ms, (time.perf_counter() - begun_s) * 1e3


# -- sleep
def sleeping(place: Place, organisation: Path, names: list[str]) -> Iterator[Figure]:
    """What clients cost that sleep, and how long it takes to wake one."""
    organisation.write_text(f"{organisation.read_text()}\n[watchdog]\nsleep_s = {SLEEP_S}\n")
    *_, last = Door(place.door, PATIENCE_S).ask({"do": "reload", "timeout_s": PATIENCE_S})
    if last.get("state") != "done":
        raise MaiError(f"the organisation was not reloaded: {last}", "look at: mai status")
    accepted_ms, answered_ms = list[float](), list[float]()
    for turn in range(WAKED):
        waited(place, asleep, "the clients do not fall asleep")
        if not turn:
            yield from cost(place, "asleep")
        for client in names:
            accepted, answered = asked_ms(place, client)
            accepted_ms.append(accepted)
            answered_ms.append(answered)
            waited(place, asleep, f"{client} does not fall asleep again")  # so that nobody else's start or end is in the way
    for what, times in (("accepted", accepted_ms), ("answered", answered_ms)):
        note = f"median of {len(times)} requests to a client that sleeps, the slowest {max(times):.0f} ms"
        yield Figure(f"waked, {what}", statistics.median(times), "ms", note)


def asleep(now: dict[str, dict[str, Any]]) -> bool:
    """Do all processes of all clients sleep?"""
    return all(one["asleep"] for name, one in now.items() if "/" in name)
