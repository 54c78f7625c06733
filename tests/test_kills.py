"""`kill -9` of any one process, again and again, during a stream of requests: each is answered, once, and paid once.

Four clients ask without a pause, each request under its own id; a seeded hand kills the same process again and again, now
as soon as its successor is there, now when some answers have come. What is counted stands in the journals and in the
finance department's own database.
"""

import queue
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from mai.sandbox.errors import MaiError, NotRunning
from tests.rounds import rounds
from tests.small import PATIENCE_S, PROCESSES, Daemon, until

KILLS = rounds(10, 20)
ASKERS = 4
BURST = 4  # kills in a row before the process may settle: policy.py lets those wait who die too fast
SETTLED_S = 2.0  # old enough that the next death is a new story, policy.py and duties.py


class Stream:
    """Clients that ask one request after another until they are told to stop. No answer, or a wrong one, is a fault."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.answers: dict[str, str] = {}
        self.faults: list[str] = []
        self._orders: queue.SimpleQueue[int] = queue.SimpleQueue()
        for order in range(1, 100_000):
            self._orders.put(order)
        self._stop = Event()
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(ASKERS)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stop.is_set() and not self.faults:
            order = self._orders.get()
            try:
                answer = until(lambda order=order: self._ask(order), f"an answer for order {order}")  # type: ignore[misc]
                self.answers[f"R{order}"] = answer
            except (MaiError, AssertionError) as error:
                self.faults.append(f"R{order}: {error}")

    def _ask(self, order: int) -> str:
        """Ask; when the whole daemon is away, `until` asks again with the same id, as any client would."""
        try:
            answer = self.daemon.ask(f"refund order {order}", f"R{order}", timeout_s=PATIENCE_S)
        except NotRunning:
            return ""
        assert answer["state"] == "answered", answer
        return str(answer["answer"])

    def more(self, count: int) -> None:
        """Wait until so many more answers are there, or one is not."""
        enough = len(self.answers) + count
        until(lambda: len(self.answers) >= enough or bool(self.faults), f"{count} more answers")

    def end(self) -> None:
        """Let each client finish what it has asked."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_S)
            assert not thread.is_alive()
        assert not self.faults


@pytest.fixture
def daemon(state: Path) -> Iterator[Daemon]:
    """A daemon whose supervisor is the test's own child, as it is systemd's."""
    fresh = Daemon(state)
    yield fresh
    fresh.mai("down")


def settled(daemon: Daemon, process: str) -> bool:
    """Is it ready, and old enough to die as if for the first time?"""
    entry = daemon.status()[process]
    return bool(entry["state"] == "ready" and entry["uptime_s"] > SETTLED_S)


def one(daemon: Daemon, process: str, old: int) -> int:
    """The pid of the one process that now runs under this name and is not the old one; 0 if there is none yet."""
    pids = [pid for pid in daemon.pids().get(process, []) if pid != old]
    assert len(pids) <= 1, f"{process} runs twice: {pids}"
    return pids[0] if pids else 0


def kill(pid: int) -> None:
    """SIGKILL, and wait until it is gone."""
    process = psutil.Process(pid)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE_S)


def check(daemon: Daemon, stream: Stream) -> None:
    """Each request was accepted and answered once, each order paid back once, and every journal is whole."""
    ended = Counter(body["request"] for _, body in daemon.journal("acme/mai", "request.ended"))
    assert ended == Counter(stream.answers.keys())
    assert Counter(body["request"] for _, body in daemon.journal("acme/mai", "request.accepted")) == ended
    assert daemon.refunds() == sorted(int(request[1:]) for request in stream.answers)
    for process in PROCESSES:
        daemon.check_ledger(process)
    verified = daemon.mai("verify", "--state")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("victim", ["acme/support", "acme/mai", "watchdog"])
def test_a_process_that_is_killed_costs_no_answer(daemon: Daemon, victim: str) -> None:
    """A department, Mai, the watchdog: ten deaths or twenty, every request answered once, one process of each name at the end."""
    chance = random.Random(victim)
    supervisor = daemon.supervisor()
    until(daemon.ready, "everything")
    stream, pid = Stream(daemon), 0
    for number in range(KILLS):
        if number % BURST == 0:
            until(lambda: settled(daemon, victim), f"{victim} has settled")
        elif chance.random() < 0.7:
            stream.more(chance.randrange(1, 20))
        pid = until(lambda old=pid: one(daemon, victim, old), f"{victim} is there")  # type: ignore[misc]
        kill(pid)
    stream.more(5)
    stream.end()
    until(daemon.ready, "everything")
    assert {name: len(pids) for name, pids in daemon.pids().items()} == dict.fromkeys([*PROCESSES, "watchdog", "supervisor"], 1)
    assert daemon.status()[victim]["restarts"] == KILLS
    daemon.down()
    assert supervisor.wait(PATIENCE_S) == 0 and not daemon.pids()
    check(daemon, stream)


def test_a_daemon_that_is_killed_and_started_again_costs_no_answer(daemon: Daemon) -> None:
    """The supervisor: each time all its processes go with it, and what was accepted is answered by the next daemon."""
    chance = random.Random("supervisor")
    supervisor = daemon.supervisor()
    until(daemon.ready, "everything")
    stream = Stream(daemon)
    for _ in range(KILLS):
        if chance.random() < 0.7:
            stream.more(chance.randrange(1, 20))
        else:
            until(lambda: daemon.pids().get("acme/mai"), "Mai begins")
        supervisor.kill()
        supervisor.wait(PATIENCE_S)
        until(lambda: not daemon.pids(), "no orphan")
        supervisor = daemon.supervisor()
    stream.more(5)
    stream.end()
    daemon.down()
    assert supervisor.wait(PATIENCE_S) == 0 and not daemon.pids()
    check(daemon, stream)
