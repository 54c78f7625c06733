"""What happens on the day of the storm, scene by scene: each takes its share of the day and leaves all as it was."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from mai.daemon.scripted import running
from mai.sandbox.errors import MaiError
from tests.chaos_company import Company, send
from tests.small import until
from tests.storm_askers import Askers
from tests.storm_company import CLIENT, VICTIM, Storm

VICTIM_NAME = f"{CLIENT}/{VICTIM}"
LEAVE = ("local-model", "embedder")
MIB = 1 << 20
PAGED_S = 60.0  # until a person is called
PATIENCE_S = 30.0  # until something is given up, and until it is back: on a slow machine, in a short day


class Day:
    """All that a scene may use. `counts`: what was done to the company; `skipped`: what could not be done here, and why."""

    def __init__(self, company: Company, storm: Storm, askers: Askers, chance: random.Random, port: int) -> None:
        self.company, self.storm, self.askers, self.chance, self.port = company, storm, askers, chance, port
        self.counts: dict[str, int] = {}
        self.skipped: dict[str, str] = {}
        self.faults: list[str] = []

    def did(self, what: str, times: int = 1) -> None:
        """Count something."""
        self.counts[what] = self.counts.get(what, 0) + times

    def switch(self, name: str, on: bool) -> None:
        """Turn a switch of the handlers."""
        path = self.storm.switches / name
        if on:
            path.touch()
        else:
            path.unlink(missing_ok=True)


class Scene(NamedTuple):
    """A scene, and its share of the day."""

    name: str
    share: float
    play: Callable[[Day, float], None]  # the day, and for how many seconds


def every(seconds: float, pause_s: float) -> Iterator[int]:
    """Count, with pauses, until the time is over; once at least."""
    end_s, number = time.monotonic() + seconds, 0
    while number == 0 or time.monotonic() < end_s:
        yield number
        number += 1
        time.sleep(min(pause_s, max(0.0, end_s - time.monotonic())))


def quiet(day: Day, seconds: float) -> None:
    """Nothing."""
    time.sleep(seconds)


def kills(day: Day, seconds: float) -> None:
    """SIGKILL for one or two of all processes but the supervisor, again and again."""
    for _ in every(seconds, 2.0):
        pids = {name: pid for name, pid in day.company.pids().items() if name not in (*LEAVE, "supervisor")}
        for name in day.chance.sample(sorted(pids), min(len(pids), day.chance.choice((1, 1, 2)))):
            day.did("killed", send(pids[name], signal.SIGKILL))


def supervisor_dies(day: Day, seconds: float) -> None:
    """SIGKILL for the supervisor; it is started again, as systemd would."""
    day.did("supervisor killed", send(day.company.supervisor, signal.SIGKILL))
    time.sleep(seconds)


def hangs(day: Day, seconds: float) -> None:
    """SIGSTOP for one process, which nobody wakes but the watchdog's SIGKILL."""
    for _ in every(seconds, 8.0):
        pids = {name: pid for name, pid in day.company.pids().items() if name in day.company.inside}
        if pids:
            day.did("stopped", send(pids[day.chance.choice(sorted(pids))], signal.SIGSTOP))


def slow(day: Day, seconds: float) -> None:
    """An agent takes its time, then it fails, then it is well."""
    for name in ("slow", "sick"):
        day.switch(name, True)
        day.did(f"{name} agent")
        time.sleep(seconds * 0.4)
        day.switch(name, False)
    time.sleep(seconds * 0.2)


def poison(day: Day, seconds: float) -> None:
    """A task that kills its process as often as it is begun."""
    entry = day.askers.ask(f"crush {day.chance.randrange(1000)}")
    day.did("poison")
    if entry.state not in ("refused", "failed"):
        day.faults.append(f"a task that kills its process: {entry.state}: {entry.said}")
    time.sleep(seconds)


def given_up(day: Day, seconds: float) -> None:
    """Each life of one department is killed as soon as it is seen, until it is given up; then nobody touches it again."""
    begun_ms, end_s, pids = time.time() * 1000, time.monotonic() + max(seconds * 0.6, PATIENCE_S), set[int]()
    while time.monotonic() < end_s and not day.faults:
        with suppress(MaiError):
            seen = day.company.status()[VICTIM_NAME]  # pid and incidents of one moment: who is back already is let alone
            if any(one["what"] == "failed" and one["at_ms"] >= begun_ms for one in seen["incidents"]):
                day.did("given up")
                break
            if seen["pid"] and seen["pid"] not in pids:
                pids.add(seen["pid"])
                day.did("killed at its start", send(seen["pid"], signal.SIGKILL))
        time.sleep(0.005)
    end_s = time.monotonic() + max(seconds, PATIENCE_S)
    while time.monotonic() < end_s:
        with suppress(MaiError):
            if day.company.status()[VICTIM_NAME]["state"] == "ready":
                day.did("came back by itself")
                return
        time.sleep(0.1)
    day.faults.append(f"{VICTIM_NAME} was given up, and nobody revived it within {max(seconds, PATIENCE_S):.0f} s")


def hopeless(day: Day, seconds: float) -> None:
    """The same, without an end: when no remedy has helped a person is paged, finds the cause and resets it."""
    end_s, pids, pages = time.monotonic() + max(seconds, PAGED_S), set[int](), day.storm.pages
    while time.monotonic() < end_s and not pages.read_text():
        pid = day.company.pids().get(VICTIM_NAME, 0)
        if pid and pid not in pids:
            pids.add(pid)
            send(pid, signal.SIGKILL)
        time.sleep(0.005)
    said = [json.loads(line) for line in pages.read_text().splitlines()]
    if not said or any(one["process"] != VICTIM_NAME for one in said):
        day.faults.append(f"{VICTIM_NAME} died {len(pids)} times, and these pages came: {said}")
    day.did("killed at its start", len(pids))
    day.did("paged", len(said))
    with suppress(MaiError):
        until(lambda: day.company.status()[VICTIM_NAME]["state"] in ("failed", "ready"), "it is given up, or back")
    day.company.mai("reset", VICTIM_NAME)


def bad_reload(day: Day, seconds: float) -> None:
    """A file with a fault changes nothing; a good one concerns one department, and the old one comes back."""
    text, company = day.storm.file.read_text(), day.company
    before = company.pids()
    try:
        day.storm.file.write_text(text.replace('served_by = "presser"', 'served_by = "nobody"'))
        bad = company.mai("reload")
        day.did("bad reload")
        if bad.returncode == 0 or company.pids() != before:
            day.faults.append(f"a bad reload: status {bad.returncode}, {bad.stderr}")
        day.storm.file.write_text(text.replace('charter = "Presses."', 'charter = "Presses hard."'))
        good = company.mai("reload")
        day.did("good reload")
        if good.returncode:
            day.faults.append(f"a good reload: status {good.returncode}, {good.stderr}{good.stdout}")
    finally:
        day.storm.file.write_text(text)
        company.mai("reload")
    time.sleep(seconds)


def full_disk(day: Day, seconds: float) -> None:
    """The state's file system is full for some seconds."""
    filler = day.company.place.state / "filler"
    if not os.path.ismount(day.company.place.state):
        day.skipped["full disk"] = "no right to mount a small file system"
        return
    day.did("full disk")
    with filler.open("ab", buffering=0) as out:
        for size in (MIB, 4096, 1):
            with suppress(OSError):
                while True:
                    out.write(bytes(size))
    time.sleep(seconds * 0.4)
    filler.unlink()
    time.sleep(seconds * 0.6)


def provider_fails(day: Day, seconds: float) -> None:
    """The first provider of the models is away; the second one answers."""
    day.did("provider away")
    day.switch("away", True)  # heard by `provider`
    time.sleep(seconds * 0.7)
    day.switch("away", False)
    time.sleep(seconds * 0.3)


@contextmanager
def provider(switches: Path, port: int) -> Iterator[None]:
    """A provider at this port, there except while the switch `away` is on."""
    import threading

    end = threading.Event()

    def keep() -> None:
        while not end.is_set():
            with running(port=port):
                while not end.wait(0.05) and not (switches / "away").exists():
                    pass
            while not end.wait(0.05) and (switches / "away").exists():
                pass

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(10)


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """A small file system at this path, where there is a right to mount one."""
    path.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=256m,mode=700", "mai-storm", str(path)]
    mounted = not os.geteuid() and not subprocess.run(command, check=False, capture_output=True).returncode
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=False)


SCENES = (
    Scene("morning", 0.04, quiet),
    Scene("kills", 0.16, kills),
    Scene("hangs", 0.10, hangs),
    Scene("slow agents", 0.10, slow),
    Scene("a failing provider", 0.08, provider_fails),
    Scene("poison", 0.03, poison),
    Scene("a bad reload", 0.04, bad_reload),
    Scene("a full disk", 0.08, full_disk),
    Scene("the supervisor dies", 0.04, supervisor_dies),
    Scene("a department is given up", 0.12, given_up),
    Scene("a department that nothing helps", 0.12, hopeless),
    Scene("kills again", 0.05, kills),
    Scene("evening", 0.04, quiet),
)
