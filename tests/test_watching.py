"""Bounds, order and intensity of real processes, and the files that deaths leave."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mai.agents.check import load
from mai.agents.faults import Faulty
from tests.small import ORGANISATION, Daemon, environment, until
from tests.test_draining import asking, state_of

HANDLERS = """
import os, threading, time

held = []


def grow(files, mib):
    held.append(os.urandom(1 << 20) * mib)  # one copy: none is twice there for a moment
    return 1


def leak(files, count):
    held.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(count))
    return 1


def burn(files, cores):
    for _ in range(cores):
        threading.Thread(target=spin, daemon=True).start()
    return 1


def spin():
    while True:
        pass


async def taker(ctx, task):
    await ctx.tool(task.contract.partition(".")[2], **task.input)
    return Answer("Taken.", {"n": 1})
"""
TAKER = """
[watchdog]
{bounds}

[departments.taking]
charter = "Takes."
tools = [
  {{ name = "grow", handler = "small.py:grow" }},
  {{ name = "leak", handler = "small.py:leak" }},
  {{ name = "burn", handler = "small.py:burn" }},
]

[[departments.taking.agents]]
name = "taker"
rank = "operator"
charter = "Takes what it is told to."
skills = ["taking"]
tools = ["grow", "leak", "burn"]
handler = "small.py:taker"
"""
CONTRACT = """
[[departments.taking.contracts]]
name = "{name}"
about = "Take {name}"
served_by = "taker"
may_ask = ["client"]
request = {{ {field} = "int" }}
reply = {{ n = "int" }}
phrases = ["{name} {{{field}}}"]
"""
CONTRACTS = "".join(CONTRACT.format(name=n, field=f) for n, f in (("grow", "mib"), ("leak", "count"), ("burn", "cores")))


@contextmanager
def bounded(directory: Path, bounds: str, organisation: str = ORGANISATION) -> Iterator[Daemon]:
    """A small company with a department that takes what it is told to."""
    daemon = Daemon(directory, organisation + TAKER.format(bounds=bounds) + CONTRACTS)
    with (daemon.file.parent / "small.py").open("a") as code:
        code.write(HANDLERS)
    try:
        yield daemon.up()
    finally:
        daemon.mai("down")


def incidents(daemon: Daemon, *what: str) -> list[dict[str, Any]]:
    """What `mai incidents --json` says, of these kinds."""
    ran = daemon.mai("incidents", "--json", "-n", "1000")
    return [one for one in map(json.loads, ran.stdout.splitlines()) if one["what"] in what]


def awaited(daemon: Daemon, what: str) -> list[dict[str, Any]]:
    """The same, as soon as there is one on record."""
    until(lambda: [body for _, body in daemon.journal("watchdog", "incident") if body["what"] == what], f"an incident: {what}")
    return incidents(daemon, what)


@pytest.mark.parametrize(
    ("bounds", "some", "more", "word"),
    [
        ("memory_bytes = 209_715_200", "grow 140", "grow 150", "MiB of memory"),
        ("descriptors = 100", "leak 70", "leak 50", "descriptors"),
        ("cpu_cores = 0.2\ncpu_s = 2", "", "burn 2", "cores"),
    ],
)
def test_who_takes_too_much_is_warned_then_ended(tmp_path: Path, bounds: str, some: str, more: str, word: str) -> None:
    """One word of warning, then SIGABRT with a traceback, and a new life; nobody else is touched."""
    with bounded(tmp_path, bounds) as daemon:
        before = daemon.pids()
        if some:
            assert daemon.ask(some, "r1")["state"] == "answered"
            (near,) = awaited(daemon, "near")
            assert word in near["text"] and daemon.pids() == before
            assert "nearly all" in daemon.mai("status").stdout
        told = daemon.ask(more, "r2")
        assert told["state"] == "answered", told
        (bloated,) = awaited(daemon, "bloated")
        assert word in bloated["text"]
        until(lambda: daemon.pids().get("acme/taking", before["acme/taking"]) != before["acme/taking"], "a new life")
        until(daemon.ready, "ready")
        after = daemon.pids()
        assert {name: pids for name, pids in after.items() if name != "acme/taking"} == {
            name: pids for name, pids in before.items() if name != "acme/taking"
        }
        (death,) = incidents(daemon, "death")
        whole = json.loads(daemon.mai("incidents", str(death["number"]), "--json").stdout)["death"]
        assert "SIGABRT" in whole["how"] and whole["why"] == "bloated" and "File " in whole["traceback"]
        assert whole["again"]["pid"] == after["acme/taking"][0]


def test_waiting_work_without_progress_is_an_incident(tmp_path: Path) -> None:
    """The heartbeats come, the porter waits at his gate: unhealthy, and still not killed."""
    with bounded(tmp_path, "stuck_s = 2") as daemon:
        os.mkfifo(daemon.place.home("acme/support") / "files" / "gate")
        porter = subprocess.Popen(
            daemon.command("ask", "acme", "Open the gate", "--json"), stdout=-1, stderr=-1, env=environment()
        )
        before = daemon.pids()
        (stuck,) = awaited(daemon, "stuck")
        assert stuck["process"] == "acme/support" and daemon.pids() == before
        assert "acme/support: has work, and makes no progress" in daemon.mai("status").stdout
        (daemon.place.home("acme/support") / "files" / "gate").write_text("sesame\n")
        assert state_of(porter) == "answered"
        until(lambda: not daemon.status()["acme/support"]["warned"], "it is well again")


def test_a_stopped_process_is_found_within_its_limit_and_a_tick(tmp_path: Path) -> None:
    """By the watchdog's own clock: silent for heartbeat_s and at most a tick more, however busy the machine is."""
    with bounded(tmp_path, "stuck_s = 0") as daemon:
        (pid,) = daemon.pids()["acme/finance"]
        os.kill(pid, signal.SIGSTOP)
        (hung,) = awaited(daemon, "hung")
        silent_s = float(hung["text"].partition("silent for ")[2].split()[0])
        assert 5.0 <= silent_s <= 6.1, hung
        until(lambda: daemon.pids().get("acme/finance", [pid]) != [pid], "a new life")
        until(daemon.ready, "ready")
        assert [one["process"] for one in incidents(daemon, "death")] == ["acme/finance"]


def burning(processor: int) -> subprocess.Popen[bytes]:
    """A loop without end on one processor."""
    code = f"import os\nos.sched_setaffinity(0, {{{processor}}})\nwhile True: pass"
    return subprocess.Popen([sys.executable, "-c", code])


def test_who_lacks_a_processor_is_not_taken_for_hung(tmp_path: Path) -> None:
    """Behind loops that leave it next to nothing it is silent beyond its limit: that is on record, it lives on, and answers."""
    daemon = Daemon(tmp_path)
    supervisor = daemon.supervisor()  # in our session: whether processors are shared by session depends on the kernel
    loops: list[subprocess.Popen[bytes]] = []
    try:
        until(daemon.ready, "ready")
        (pid,), processor = daemon.pids()["acme/finance"], min(os.sched_getaffinity(0))
        loops += [burning(processor) for _ in range(12)]
        for thread in map(int, os.listdir(f"/proc/{pid}/task")):
            os.sched_setaffinity(thread, {processor})
            os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
        try:
            (starved,) = until(lambda: incidents(daemon, "starved", "hung"), "it is seen")
        except AssertionError:  # how little who is idle gets is the kernel's to say
            assert daemon.pids()["acme/finance"] == [pid] and not incidents(daemon, "death")
            pytest.skip("this host gave it time enough to be heard: it was never silent for long")
        assert (starved["process"], starved["what"]) == ("acme/finance", "starved"), starved
        for loop in loops:
            loop.kill()
        until(daemon.ready, "well")
        assert daemon.ask("Refund order 7", "r1")["state"] == "answered"
        assert daemon.pids()["acme/finance"] == [pid] and not incidents(daemon, "hung", "death")
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
        daemon.mai("down")
        supervisor.wait()


def test_a_crash_every_1_5_s_is_given_up_within_its_intensity(tmp_path: Path) -> None:
    """Four deaths in twenty seconds are one too many; each has a file, and nobody else is touched."""
    with bounded(tmp_path, "deaths = 3\nperiod_s = 20") as daemon:
        before = daemon.pids()
        seen = tuple(before["acme/taking"])
        for number in range(4):
            os.kill(seen[0], signal.SIGKILL)
            if number < 3:
                seen = until(lambda: {tuple(daemon.pids().get("acme/taking", ()))} - {seen, ()}, "again").pop()  # noqa: B023
                until(daemon.ready, "ready")
                time.sleep(1.5)
        until(lambda: daemon.status()["acme/taking"]["state"] == "failed", "it is given up")
        assert [one["process"] for one in incidents(daemon, "death", "failed")] == ["acme/taking"] * 5
        assert "died 4 times within 20 s" in incidents(daemon, "failed")[0]["text"]
        assert {**daemon.pids(), "acme/taking": before["acme/taking"]} == before
        files = sorted((daemon.place.state / "deaths" / "acme.taking").iterdir())
        assert len(files) == 4 and json.loads(files[-1].read_text())["failed"]
        assert daemon.mai("reset", "acme/taking").returncode == 0
        until(daemon.ready, "ready")


def test_a_death_is_told_whole(tmp_path: Path) -> None:
    """What it had in hand, what it said last, how soon it was back; for people, and after the daemon has gone."""
    with bounded(tmp_path, "stuck_s = 0") as daemon:
        gate = daemon.place.home("acme/support") / "files" / "gate"
        os.mkfifo(gate)
        words = ("ask", "acme", "Open the gate", "--json", "--id", "g1")
        porter = subprocess.Popen(daemon.command(*words), stdout=-1, stderr=-1, env=environment())
        until(lambda: daemon.journal("acme/support", "task.begun"), "the porter works")
        follower = subprocess.Popen(daemon.command("incidents", "--follow", "acme"), stdout=-1, env=environment())
        os.kill(daemon.pids()["acme/support"][0], signal.SIGABRT)
        assert follower.stdout is not None and b"acme/support" in follower.stdout.readline()
        follower.kill()
        follower.wait()
        until(daemon.ready, "ready")
        gate.write_text("sesame\n")
        assert state_of(porter) == "answered"
        (death,) = incidents(daemon, "death")
        whole = daemon.mai("incidents", str(death["number"]))
        assert all(word in whole.stdout for word in ("in hand  task g1", "back after", "traceback:", "SIGABRT")), whole.stdout
        shown = daemon.mai("status", "acme/support").stdout
        assert "support" in shown and "death" in shown and "SIGABRT" in shown and "finance" not in shown, shown
        assert "finance" in daemon.mai("status", "acme").stdout
        assert daemon.mai("status", "nobody").returncode == 2
        daemon.down()
        assert "acme/support" in daemon.mai("incidents", "acme/support").stdout
        assert daemon.mai("incidents", "999999").returncode == 2


@pytest.mark.parametrize(("strategy", "again"), [("one_for_one", False), ("rest_for_one", True)])
def test_who_stands_after_another_starts_after_it(tmp_path: Path, strategy: str, again: bool) -> None:
    """Support starts after finance; when finance dies it is started again as well, if that is the strategy."""
    text = ORGANISATION.replace('"Helps customers with what they have bought."', '"Helps."\nafter = ["finance"]')
    with bounded(tmp_path, f'strategy = "{strategy}"', text) as daemon:
        ready = {process: daemon.journal(process, "process.started")[0][0].at_ns for process in ("acme/finance", "acme/support")}
        assert ready["acme/finance"] < ready["acme/support"]
        before = daemon.pids()
        os.kill(before["acme/finance"][0], signal.SIGKILL)
        until(lambda: daemon.pids().get("acme/finance", before["acme/finance"]) != before["acme/finance"], "finance is back")
        if again:
            until(lambda: daemon.pids().get("acme/support", before["acme/support"]) != before["acme/support"], "support as well")
        until(daemon.ready, "ready")
        assert (daemon.pids()["acme/support"] != before["acme/support"]) is again
        assert daemon.pids()["acme/taking"] == before["acme/taking"]
        assert state_of(asking(daemon, 3)) == "answered"


def test_an_order_without_a_beginning_is_a_fault(tmp_path: Path) -> None:
    """Neither who is not there, nor a circle."""
    daemon = Daemon(tmp_path)
    for name, after, what in (("support", "finance", "could ever start"), ("finance", "sales", "no department")):
        text = ORGANISATION.replace("[departments.finance]", '[departments.finance]\nafter = ["support"]')
        text = text.replace('after = ["support"]', f'after = ["{after}"]') if name == "finance" else text
        text = text.replace("[departments.support]", f'[departments.support]\nafter = ["{after}"]') if name == "support" else text
        daemon.file.write_text(text)
        with pytest.raises(Faulty, match=what):
            load(daemon.file)
