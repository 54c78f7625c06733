"""`mai bench messages`: round trips between two departments through Mai, everything durable, beside a bare relay in the same run.

A round trip is the shortest way that the product has for one department to use another: the code of `ask`'s board asks
the contract `answer.echo` (a numbered step), Mai holds the contract against it and passes it on, the code of `answer`'s board
returns the value, Mai checks the reply and passes it back, and the step gets its outcome. Three processes with CURVE
keys, each with a ledger that is synced before anything leaves. One task of `ask` keeps so many asks in flight.

Rate and latency are read from the journal of `ask`: from the record of a step's question to that of its outcome.
"""

import contextlib
import os
import shutil
import statistics
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import zmq

from mai.agents import check
from mai.daemon import programs, quarters, relay
from mai.daemon.asking import ask, new_id
from mai.daemon.notices import Notices
from mai.daemon.reader import Reader
from mai.sandbox.errors import MaiError
from mai.sandbox.place import Place

IN_FLIGHT: Final = (1, 16, 64, 256)
TRIPS: Final = {1: 300, 16: 2000, 64: 4000, 256: 6000}  # in one block; a task has at most 10,000 steps
ROUNDS: Final = 5
PATIENCE_S: Final = 120.0
CLIENT: Final = "bench"
NAMES: Final = tuple(f"{CLIENT}/{name}" for name in ("mai", "ask", "answer"))

ORGANISATION: Final = """
[organisation]
name = "Bench"
clients = ["bench"]
[limits]
request_s = 600
task_s = 600
asks_per_s = 1000000
request = { asks = 0, turns = 0 }
[departments.ask]
charter = "Asks."
[[departments.ask.agents]]
name = "board"
rank = "board"
charter = "Asks."
handler = "bench.py:drive"
[[departments.ask.agents]]
name = "clerk"
rank = "operator"
charter = "Is there because a department has workers."
handler = "bench.py:echo"
[[departments.ask.contracts]]
name = "drive"
about = "Ask so often"
served_by = "board"
may_ask = ["client"]
request = { total = "int", in_flight = "int" }
reply = { total = "int" }
phrases = ["ask {total} times with {in_flight} at once"]
[departments.answer]
charter = "Answers."
[[departments.answer.agents]]
name = "board"
rank = "board"
charter = "Answers."
handler = "bench.py:echo"
[[departments.answer.agents]]
name = "clerk"
rank = "operator"
charter = "Is there because a department has workers."
handler = "bench.py:echo"
[[departments.answer.contracts]]
name = "echo"
about = "Get a number back"
served_by = "board"
may_ask = ["ask"]
request = { n = "int", words = "str" }
reply = { n = "int" }
"""
HANDLERS: Final = """
from collections import deque


async def drive(ctx, task):
    total, asked = task.input["total"], deque()
    for n in range(total):
        if len(asked) == task.input["in_flight"]:
            await asked.popleft()
        asked.append(ctx.ask("answer.echo", n=n, words="a question of some words, as one department asks another"))
    while asked:
        await asked.popleft()
    return {"total": total}


async def echo(ctx, task):
    return {"n": task.input["n"]}
"""


class Trips(NamedTuple):
    """One line of the result."""

    in_flight: int
    per_s: float  # round trips, of the median block
    p50_ms: float
    p99_ms: float
    commits: float  # for each round trip, of all processes together: each is one fsync
    bare_per_s: float
    bare_p50_ms: float
    bare_p99_ms: float
    ratio: float  # median of the rounds, each against the bare relay of the same moment
    best: float  # the best of these
    trips: int  # in one block
    rounds: int
    disk: str  # where the ledgers lay


class Block(NamedTuple):
    """So many round trips through Mai."""

    per_s: float
    trips_ms: list[float]
    commits: float


def run(file: Path, progress: Callable[[str], None]) -> Iterator[Trips]:
    """Measure, one number in flight after the other. Raises MaiError. The organisation is the bench's own."""
    directory = Path(tempfile.mkdtemp(prefix="mai-"))
    try:
        with relay.running(directory) as bare, Sub(directory) as sub:
            for in_flight in (64, 1):  # the first tasks load code and fill caches
                bare(500, in_flight)
                sub.block(200, in_flight)
            for in_flight in IN_FLIGHT:
                progress(f"round trips with {in_flight} in flight")
                rounds = [(bare(TRIPS[in_flight], in_flight), sub.block(TRIPS[in_flight], in_flight)) for _ in range(ROUNDS)]
                yield figures(in_flight, rounds, file_system(directory))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def figures(in_flight: int, rounds: list[tuple[relay.Block, Block]], disk: str) -> Trips:
    """What the rounds with so many in flight come to: medians, and the ratios within each."""
    bares, ours = zip(*rounds, strict=True)
    bare_per_s = [len(one.trips_ms) / one.seconds for one in bares]
    ratios = [one.per_s / bare for one, bare in zip(ours, bare_per_s, strict=True)]
    p50_ms, p99_ms = percentiles([ms for one in ours for ms in one.trips_ms])
    return Trips(
        in_flight, statistics.median(one.per_s for one in ours), p50_ms, p99_ms, statistics.mean(one.commits for one in ours),
        statistics.median(bare_per_s), *percentiles([ms for one in bares for ms in one.trips_ms]),
        statistics.median(ratios), max(ratios), len(rounds[0][1].trips_ms), len(rounds), disk,
    )  # fmt: skip


def percentiles(times_ms: list[float]) -> tuple[float, float]:
    """The median, and what 99 of a hundred are below."""
    cuts = statistics.quantiles(times_ms, n=100, method="inclusive")
    return cuts[49], cuts[98]


def render(trips: Trips) -> str:
    """Lines for people; above the first one what they mean."""
    head = ""
    if trips.in_flight == IN_FLIGHT[0]:
        head = textwrap.dedent(f"""\
            Round trips between two departments through Mai: CURVE, three ledgers with synchronous=FULL on {trips.disk}.
            Medians of {trips.rounds} rounds, each beside the bare pyzmq relay (no key, no journal) at the same number in flight.
            in flight  per s    p50 ms   p99 ms  commits each    bare per s   p50 ms   p99 ms    ratio   best
            """)
    return head + (
        f"{trips.in_flight:9} {trips.per_s:6.0f} {trips.p50_ms:9.2f} {trips.p99_ms:8.2f} {trips.commits:13.2f} "
        f"{trips.bare_per_s:13.0f} {trips.bare_p50_ms:8.2f} {trips.bare_p99_ms:8.2f} {trips.ratio:8.3f} {trips.best:6.3f}"
    )


class Sub:
    """The processes of one client, started as the supervisor does, without it and the watchdog; they tell us how they are."""

    def __init__(self, directory: Path, organisation: str = ORGANISATION) -> None:
        """`organisation`: one in which NAMES exist; others of its processes are furnished, and not started."""
        self.place = Place(directory / "state")
        self._text = organisation
        self._children: list[subprocess.Popen[bytes]] = []
        self._after = 0  # number of the last record that was read

    def __enter__(self) -> "Sub":
        base = self.place.state.parent
        (base / "bench.toml").write_text(self._text)
        (base / "bench.py").write_text(HANDLERS)
        organisation = check.load(base / "bench.toml")
        self.place.prepare()
        quarters.furnish(self.place, organisation)
        self._notices = Notices(self.place.notify)
        surroundings = {**os.environ, **programs.environment(self.place, 5.0, os.environ)}
        try:
            for name in NAMES:
                self._children.append(self._start(name, surroundings))
            self.commits()
        except BaseException:
            self._stop()
            raise
        return self

    def _start(self, name: str, surroundings: dict[str, str]) -> subprocess.Popen[bytes]:
        with self.place.log(name).open("wb") as log:
            return subprocess.Popen(
                programs.command(self.place, name), env=surroundings, stdin=subprocess.PIPE, stdout=log, stderr=log
            )

    def __exit__(self, *error: object) -> None:
        self._stop()

    def _stop(self) -> None:
        for child in reversed(self._children):
            child.terminate()
        for child in self._children:
            try:
                child.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                child.kill()
            assert child.stdin is not None
            child.stdin.close()
        self._notices.close()

    def commits(self) -> int:
        """How many commits all processes have made, as each says it in its next heartbeat. Raises MaiError."""
        told: dict[int, int] = {}
        poll, until_s = zmq.Poller(), time.monotonic() + PATIENCE_S
        poll.register(self._notices, zmq.POLLIN)
        list(self._notices.receive())  # what was said before does not count
        while len(told) < len(self._children):
            if time.monotonic() > until_s or any(child.poll() is not None for child in self._children):
                raise MaiError("the processes of the bench do not run", f"look at {self.place.logs}")
            poll.poll(1000)
            for notice in self._notices.receive():
                word = msgspec.json.decode(notice.fields.get("X_MAI", "{}"))
                if word.get("state") == "ready":
                    told[notice.pid] = word["commits"]
        return sum(told.values())

    def block(self, total: int, in_flight: int) -> Block:
        """So many round trips with so many in flight. Raises MaiError."""
        before = self.commits()
        text = f"ask {total} times with {in_flight} at once"
        *_, last = ask(self.place, CLIENT, text, request=new_id(), timeout_s=PATIENCE_S, watch=False)
        if last["answer"]["state"] != "answered":
            raise MaiError(f"the bench was {last['answer']['state']}: {last['answer']['answer']}", "try again")
        commits = (self.commits() - before) / total
        begun_ns, trips_ns = self._read(total)
        return Block(total / (max(trips_ns.values()) - min(begun_ns.values())) * 1e9, self._ms(begun_ns, trips_ns), commits)

    def _ms(self, begun_ns: dict[int, int], ended_ns: dict[int, int]) -> list[float]:
        return [(ended_ns[n] - at_ns) / 1e6 for n, at_ns in begun_ns.items()]

    def _read(self, total: int) -> tuple[dict[int, int], dict[int, int]]:
        """When each step of the last task was asked and when it had its outcome, by the journal."""
        found: dict[str, dict[int, int]] = {"step.asked": {}, "step": {}}
        with contextlib.closing(Reader(self.place, NAMES[1])) as reader:
            upto = reader.last()
            while rows := reader.portion(self._after, upto):
                for seq, at_ns, _, _, kind, *_, body, _, _ in rows:
                    self._after = seq
                    if kind in found:
                        found[kind][_step(body)["n"]] = at_ns
        assert len(found["step"]) == len(found["step.asked"]) == total, "a step that is not on record"
        return found["step.asked"], found["step"]


def _step(body: str) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(body)
    return decoded


def file_system(path: Path) -> str:
    """The device and the kind of the file system that a path lies on, as the kernel says it."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    fitting = [one for one in mounts if path.resolve().is_relative_to(one[1])]
    device, _, kind, *_ = max(fitting, key=lambda one: len(one[1]))
    return f"{kind} ({device})"
