"""Pausing, draining and rolling restarts, against real processes: nothing is lost, nothing waits longer than it must."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small import Daemon, environment, running, until

FINANCE = "acme/finance"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Up and ready."""
    with running(tmp_path) as made:
        yield made


def held(daemon: Daemon, department: str = "finance") -> bool:
    """Does Mai hold its tasks?"""
    last = [body for record, body in daemon.journal("acme/mai") if record.kind in ("department.held", "department.freed")]
    return bool(last) and last[-1]["department"] == department and "how" in last[-1]


def asking(daemon: Daemon, order: int) -> subprocess.Popen[bytes]:
    """`mai ask` in the background."""
    words = daemon.command("ask", "acme", f"Refund order {order}", "--id", f"r{order}", "--json")
    return subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def state_of(asked: subprocess.Popen[bytes]) -> str:
    """How a request ended."""
    out, err = asked.communicate(timeout=60)
    assert out, err
    return str(json.loads(out)["state"])


def test_a_paused_department_keeps_its_process_and_gets_its_tasks_later(daemon: Daemon) -> None:
    """Over kills of the watchdog and of Mai; what waited is done once, by the same process."""
    (pid,) = daemon.pids()[FINANCE]
    ran = daemon.mai("pause", FINANCE, "--why", "moving the bank")
    assert ran.returncode == 0 and ran.stdout == "acme/finance is paused\n", ran.stderr
    until(lambda: held(daemon), "Mai heard it")
    asked = asking(daemon, 7)
    until(lambda: daemon.journal("acme/mai", "task.held"), "the task is held")
    before = daemon.pids()
    for name in ("watchdog", "acme/mai"):
        os.kill(before[name][0], signal.SIGKILL)
    until(
        lambda: all(daemon.pids().get(name, before[name]) != before[name] for name in ("watchdog", "acme/mai")), "both are back"
    )
    until(daemon.ready, "ready")
    assert daemon.status()[FINANCE]["wanted"] == "pause" and daemon.refunds() == []
    assert "acme/finance: gets no new tasks, paused by " in daemon.mai("status").stdout
    assert daemon.mai("resume", FINANCE).returncode == 0
    until(lambda: daemon.refunds() == [7], "it is done")
    asked.kill()
    asked.communicate()
    assert daemon.ask("Refund order 7", "r7")["state"] == "answered"
    assert daemon.pids()[FINANCE] == [pid] and daemon.refunds() == [7]
    ran = daemon.mai("verify", "--deep")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_drained_department_finishes_and_stops(daemon: Daemon) -> None:
    """What it has is finished before it stops, and what is new waits until it is started."""
    gate = daemon.place.home("acme/support") / "files" / "gate"
    os.mkfifo(gate)
    porter = subprocess.Popen(
        daemon.command("ask", "acme", "Open the gate", "--json"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until(lambda: daemon.status()["acme/support"]["queue"], "the porter is at work")
    drain = subprocess.Popen(daemon.command("drain", "acme/support"), env=environment(), stdout=subprocess.PIPE)
    until(lambda: held(daemon, "support"), "Mai heard it")
    asked = asking(daemon, 8)
    until(lambda: daemon.journal("acme/mai", "task.held"), "the task is held")
    assert daemon.status()["acme/support"]["state"] == "ready", "it has not finished"
    gate.write_text("now\n")
    assert state_of(porter) == "answered"
    out, _ = drain.communicate(timeout=60)
    assert drain.returncode == 0 and out.decode() == "acme/support is stopped\n"
    assert daemon.status()["acme/support"]["wanted"] == "stop" and not daemon.pids().get("acme/support")
    assert daemon.mai("start", "acme/support").returncode == 0
    assert state_of(asked) == "answered" and daemon.refunds() == [8]
    assert not [body for _, body in daemon.journal("watchdog", "incident") if body["what"] == "death"]


def test_a_drain_has_an_end(daemon: Daemon) -> None:
    """What is not finished in its time goes on in the next life."""
    gate = daemon.place.home("acme/support") / "files" / "gate"
    os.mkfifo(gate)
    porter = subprocess.Popen(
        daemon.command("ask", "acme", "Open the gate", "--json"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until(lambda: daemon.status()["acme/support"]["queue"], "the porter is at work")
    ran = daemon.mai("drain", "acme/support", "--timeout", "0.5")
    assert ran.returncode == 0 and "stopped" in ran.stdout, ran.stderr
    assert [body["what"] for _, body in daemon.journal("watchdog", "incident")] == ["drain"]
    assert daemon.mai("start", "acme/support").returncode == 0
    threading.Thread(target=gate.write_text, args=("now\n",), daemon=True).start()
    assert state_of(porter) == "answered"


def test_a_rolling_restart_loses_nothing(daemon: Daemon) -> None:
    """Every department is another process afterwards, and each request that came meanwhile is answered and done once."""
    before, states = daemon.pids(), list[str]()
    over = threading.Event()

    def ask() -> None:
        number = 100
        while not over.is_set():
            states.append(daemon.ask(f"Refund order {number}", f"r{number}")["state"])
            number += 1

    asker = threading.Thread(target=ask)
    asker.start()
    until(lambda: states, "requests come in")
    ran = daemon.mai("restart", "--rolling", "acme")
    over.set()
    asker.join(60)
    assert ran.returncode == 0 and ran.stdout.count(" is ready (process ") == 2, ran.stdout + ran.stderr
    after = daemon.pids()
    assert all(after[name] != before[name] for name in (FINANCE, "acme/support")) and after["acme/mai"] == before["acme/mai"]
    assert set(states) == {"answered"} and daemon.refunds() == list(range(100, 100 + len(states)))
    assert all(one["wanted"] == "run" for one in daemon.status().values())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("pause", "acme/mai"), "acme/mai is no department"),
        (("pause", "watchdog"), "the watchdog is not started or stopped by itself"),
        (("drain", "acme/nobody"), "there is no process 'acme/nobody'"),
        (("restart",), "which process?"),
        (("restart", "--rolling", "nobody"), "there is no client or department 'nobody'"),
    ],
)
def test_what_cannot_be_held_is_refused(daemon: Daemon, words: tuple[str, ...], says: str) -> None:
    """One sentence with a hint, and nothing changes."""
    ran = daemon.mai(*words)
    assert ran.returncode == 2 and says in ran.stderr and "hint:" in ran.stderr
    assert daemon.mai("resume", FINANCE).returncode == 0, "which was not paused"
    assert all(one["wanted"] == "run" for one in daemon.status().values())
