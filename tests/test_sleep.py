"""Clients that sleep: stopped after a time without work, started by the next message, with real processes and their deaths."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mai.daemon.asking import ask
from mai.daemon.door import Door
from mai.daemon.verify import verify
from tests.rounds import rounds
from tests.small import ORGANISATION, PROCESSES, Daemon, until

SLEEP_S = 0.5
DROWSY = ORGANISATION.replace("[limits]", f"[watchdog]\nsleep_s = {SLEEP_S}\n\n[limits]", 1)


@pytest.fixture
def daemon(state: Path) -> Iterator[Daemon]:
    """A daemon whose clients fall asleep soon."""
    one = Daemon(state, DROWSY)
    try:
        yield one.up()
    finally:
        one.mai("down")


def asleep(daemon: Daemon) -> bool:
    """Do all processes of the client sleep?"""
    status = daemon.status()
    return all((status[name]["state"], status[name]["asleep"]) == ("stopped", True) for name in PROCESSES)


def slept(daemon: Daemon) -> None:
    """Wait until they do."""
    until(lambda: asleep(daemon), "all asleep")
    assert not [name for name in daemon.pids() if "/" in name]


def sound(daemon: Daemon) -> None:
    """The journals hold, by themselves and against each other."""
    report = verify(daemon.place, state=True)
    assert report.sound, report.findings


def called(daemon: Daemon) -> socket.socket | None:
    """A connection on which Mai has answered, and which she holds open; None if she was about to fall asleep."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door = Door(daemon.place.sockets("acme") / "door.sock")
    line.connect(str(door.path))
    line.sendall(door.line({"do": "history"}))
    if b"history" in line.recv(1 << 16):
        return line
    line.close()
    return None


def test_a_client_that_sleeps_is_waked_by_the_next_message(daemon: Daemon) -> None:
    """It has no process; `mai ask` is answered as ever, once, by two that were started for it; then it sleeps again."""
    slept(daemon)
    assert daemon.mai("status").stdout.count("asleep") == len(PROCESSES)
    ran = daemon.mai("ask", "acme", "refund order 7", "--json")
    assert ran.returncode == 0, ran.stderr
    slept(daemon)
    assert daemon.refunds() == [7]
    kinds = [record.kind for record, body in daemon.journal("watchdog") if body.get("process") == "acme/finance"]
    told = [kind for kind in kinds if kind in ("lies_down", "sleeps", "wakes")]
    assert told == ["lies_down", "sleeps", "wakes", "lies_down", "sleeps"]
    sound(daemon)


def test_only_who_is_needed_is_waked(daemon: Daemon) -> None:
    """What Mai answers by herself wakes nobody else."""
    slept(daemon)
    before = {name: one["restarts"] for name, one in daemon.status().items()}
    assert "history" in daemon.raw({"do": "history"})
    after = {name: one["restarts"] for name, one in daemon.status().items()}
    assert after["acme/mai"] > before["acme/mai"]
    assert all(after[name] == before[name] for name in PROCESSES[1:])


def test_many_who_knock_at_once_are_all_answered(daemon: Daemon) -> None:
    """Nobody is turned away because she sleeps, whatever he asks for: not one connection is refused."""
    slept(daemon)
    found: list[Any] = []

    def knock(number: int) -> None:
        try:
            found.append(
                daemon.ask(f"refund order {number}", f"many{number}")["state"] if number % 2 else daemon.raw({"do": "history"})
            )
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=knock, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [one for one in found if one != "answered" and not (isinstance(one, dict) and "history" in one)]
    assert daemon.refunds() == list(range(1, 24, 2))


def test_who_has_work_or_a_caller_does_not_sleep(daemon: Daemon) -> None:
    """An open request keeps its processes up, and so does who only holds the line."""
    gate = daemon.place.home("acme/support") / "files" / "gate"
    os.mkfifo(gate)
    got: list[Any] = []
    asking = threading.Thread(target=lambda: got.append(daemon.ask("open the gate", "gate1")))
    asking.start()
    until(lambda: daemon.status()["acme/support"]["queue"], "the task at its porter")
    until(lambda: daemon.status()["acme/finance"]["asleep"], "finance asleep, which has nothing to do")
    status = daemon.status()
    assert (status["acme/mai"]["state"], status["acme/support"]["state"]) == ("ready", "ready")
    line = until(lambda: called(daemon), "a connection that Mai has answered on")
    assert line is not None
    with line:
        gate.write_text("wide\n")
        asking.join()
        assert got[0]["state"] == "answered"
        until(lambda: daemon.status()["acme/support"]["asleep"], "support asleep")
        up_s = daemon.status()["acme/mai"]["uptime_s"]
        until(lambda: daemon.status()["acme/mai"]["uptime_s"] > up_s + 4 * SLEEP_S + 2, "time without work")
        assert daemon.status()["acme/mai"]["state"] == "ready"
    slept(daemon)


def test_operators_find_a_sleeper_as_any_process(daemon: Daemon) -> None:
    """It can be started, drained, restarted in turn, stopped for good and started again; a backup and a reload go through."""
    slept(daemon)
    assert daemon.mai("start", "acme/support").returncode == 0
    slept(daemon)
    assert daemon.mai("drain", "acme/finance").returncode == 0
    assert (daemon.status()["acme/finance"]["asleep"], daemon.status()["acme/finance"]["wanted"]) == (False, "stop")
    for command in (["start", "acme/finance"], ["restart", "acme/finance"], ["restart", "--rolling", "acme"]):
        ran = daemon.mai(*command)
        assert ran.returncode == 0, (command, ran.stderr)
        slept(daemon)
    assert daemon.mai("backup", str(daemon.place.state.parent / "copy")).returncode == 0
    daemon.file.write_text(daemon.file.read_text().replace("Sees to refunds.", "Sees to all refunds."))
    assert daemon.mai("reload").returncode == 0
    assert daemon.mai("ask", "acme", "refund order 3").returncode == 0
    slept(daemon)
    assert daemon.mai("stop", "acme/mai").returncode == 0
    ran = daemon.mai("ask", "acme", "refund order 4")
    assert ran.returncode == 3 and "is stopped" in ran.stderr
    assert daemon.mai("start", "acme/mai").returncode == 0
    assert daemon.mai("ask", "acme", "refund order 5").returncode == 0
    assert daemon.refunds() == [3, 5]


def test_sleep_outlives_the_watchdog_and_the_daemon(daemon: Daemon) -> None:
    """After the death of the watchdog, and after a whole restart, who slept still sleeps, counts as ready, and is waked."""
    slept(daemon)
    os.kill(daemon.status()["watchdog"]["pid"], signal.SIGKILL)
    until(lambda: asleep(daemon), "asleep under the next watchdog")
    assert daemon.ask("refund order 1", "one")["state"] == "answered"
    slept(daemon)
    daemon.down()
    daemon.up()
    assert asleep(daemon)
    assert daemon.ask("refund order 2", "two")["state"] == "answered"
    assert daemon.refunds() == [1, 2]
    daemon.down()
    daemon.file.write_text(daemon.file.read_text().replace(f"sleep_s = {SLEEP_S}", "sleep_s = 0"))
    daemon.up()
    assert daemon.ready()
    sound(daemon)


@pytest.mark.seconds(300)
def test_deaths_while_falling_asleep_and_waking_lose_nothing(daemon: Daemon) -> None:
    """Watchdog, Mai and departments die at any moment of it, again and again: each request is answered once, none is refused."""
    wanted: list[int] = []
    for number in range(rounds(8, 24)):
        end_s = time.monotonic() + (number % 8) * 0.35
        victims = ("watchdog", "acme/mai", "acme/support", "acme/finance")
        wanted.append(number)
        until(lambda end_s=end_s: time.monotonic() >= end_s, "the moment")  # type: ignore[misc]
        for pid in daemon.pids().get(victims[number % 4], []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert daemon.ask(f"refund order {number}", f"r{number}")["state"] == "answered"
    slept(daemon)
    assert daemon.refunds() == wanted
    sound(daemon)
    for name in (*PROCESSES, "watchdog"):
        daemon.check_ledger(name)


def test_a_client_that_sleeps_is_removed_and_erased(daemon: Daemon) -> None:
    """Nobody is waked for it; added again it has all that it had, and sleeps again; erased it has nothing."""

    def client(*words: str) -> dict[str, Any]:
        ran = daemon.mai("client", *words, "--json")
        assert ran.returncode == 0, ran.stderr
        return dict(json.loads(ran.stdout))

    def beta() -> dict[str, int]:
        states = {one["name"]: one["states"] for one in client("list")["clients"]}
        return dict(states["beta"])

    def answer() -> dict[str, Any]:
        replies = list(ask(daemon.place, "beta", "Refund order 7", request="b7", timeout_s=60, watch=False))
        return dict(replies[-1]["answer"])

    client("add", "beta")
    assert answer()["state"] == "answered"
    until(lambda: beta() == {"asleep": 3}, "beta sleeps")
    starts = len(daemon.journal("beta/mai", "process.started"))
    client("remove", "beta")
    assert len(daemon.journal("beta/mai", "process.started")) == starts
    assert daemon.mai("ask", "beta", "Refund order 7").returncode == 2
    client("add", "beta")
    until(lambda: beta() == {"asleep": 3}, "beta sleeps again")
    assert answer()["state"] == "answered" and len(daemon.journal("beta/finance", "task.begun")) == 1
    until(lambda: beta() == {"asleep": 3}, "and again")
    client("erase", "beta", "--yes")
    assert not daemon.place.sockets("beta").exists() and not daemon.place.home("beta/mai").exists()
    slept(daemon)
    sound(daemon)
