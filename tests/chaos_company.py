"""The daemon of a chaos campaign: a supervisor that is started again when it dies, as systemd would, and its children by name."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil

from mai.daemon.door import Door
from mai.sandbox import points
from mai.sandbox.errors import MaiError
from mai.sandbox.place import Place
from tests.conftest import alive, running_for
from tests.small import MAI as COMMAND
from tests.small import MODULES, environment, until

PATIENCE_S = 60.0
DOOR_S = 5.0
LOOK_S = 0.02
TEND_S = 0.5  # between two looks at who was given up
MODULES.setdefault("mai.daemon.models", "")
MODULES.setdefault("mai.daemon.tools", "")


class Company:
    """One daemon in one directory. `deaths`: of the supervisor; `resets`: of processes that were given up.

    `inside`: the processes that the watchdog starts; `operated`: what it has given up is reset, as an operator would.
    """

    def __init__(self, directory: Path, file: Path, inside: Sequence[str], *, operated: bool = True) -> None:
        self.directory, self.place = directory, Place(directory / "s")
        self.points, self.inside = directory / "p", tuple(inside)
        self.bank = directory / "p" / "bank"  # what stands outside, if the organisation has such a thing
        self.points.mkdir()
        self.file, self._operated = file, operated
        self.deaths = self.resets = 0
        self.faults: list[str] = []
        self.noted: list[str] = []
        self._ending = Event()
        self._supervisor = self._spawn()
        self._keeper = Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _spawn(self) -> subprocess.Popen[bytes]:
        places = [str(self.place.state), str(self.place.run), str(self.file)]
        given = environment(**{points.SETTING: str(self.points)})
        with open(self.directory / "supervisor.out", "ab") as out:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "mai.daemon.supervisor", *places],
                env=given, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip

    def _keep(self) -> None:
        tend_s = 0.0
        while not self._ending.wait(LOOK_S):
            if self._supervisor.poll() is not None:
                self.deaths += 1
                self._gone()
                self._supervisor = self._spawn()
            elif self._operated and time.monotonic() > tend_s:
                self._revive()
                tend_s = time.monotonic() + TEND_S

    def _gone(self) -> None:
        """Nothing may outlive the supervisor."""
        end_s = time.monotonic() + PATIENCE_S
        while left := inhabitants(self.directory):
            if time.monotonic() > end_s:
                self.faults.append(f"orphans: {[process.pid for process in left]}")
                return
            time.sleep(LOOK_S)

    def _revive(self) -> None:
        """What the watchdog has given up an operator would reset."""
        with suppress(MaiError):
            for name, entry in self.status().items():
                if entry["state"] == "failed":
                    Door(self.place.door, DOOR_S).call({"do": "reset", "name": name})
                    self.resets += 1

    # -- its processes
    @property
    def supervisor(self) -> int:
        """The supervisor's pid."""
        return self._supervisor.pid

    def pids(self) -> dict[str, int]:
        """Process name -> pid, of those that run now."""
        found = {"supervisor": self.supervisor} if self._supervisor.poll() is None else {}
        for pid in children(self.supervisor):
            with suppress(OSError, StopIteration):
                words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
                module = next(word for word in words if word in MODULES)
                found[MODULES[module] or words[-1]] = pid
        return found

    def status(self) -> dict[str, dict[str, Any]]:
        """Process name -> its entry in `mai status --json`. Raises MaiError."""
        return {one["name"]: one for one in Door(self.place.door, DOOR_S).call({"do": "status"})["processes"]}

    def ready(self) -> bool:
        """Are all processes ready?"""
        status = self.status()
        return all(status[name]["state"] == "ready" for name in self.inside)

    def idle(self) -> bool:
        """Has everybody done what there was to do?"""
        status = self.status()
        return all(status[name]["state"] == "ready" and not status[name]["queue"] for name in self.inside)

    # -- the command line
    def mai(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        command = [*COMMAND, "--state", str(self.place.state), *arguments]
        return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def down(self) -> None:
        """End it in order, and see that nothing is left."""
        self._ending.set()
        self._keeper.join()
        ran = self.mai("down")
        if ran.returncode:
            self.faults.append(f"mai down: {ran.stderr}")
            self._supervisor.kill()
        self._supervisor.wait(PATIENCE_S)
        until(lambda: not inhabitants(self.directory), "no orphan")


def inhabitants(directory: Path) -> list[psutil.Process]:
    """All processes that name a directory in their arguments, or work in it: also what a tool has started."""
    found = {process.pid: process for process in running_for(directory)}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(directory) in process.cwd() and alive(process):
                found[process.pid] = process
    return list(found.values())


def children(pid: int) -> list[int]:
    """The children of a process; none if it is gone."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def gone(pid: int) -> bool:
    """Has a process ended, waited for or not?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; true if there was somebody to get it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
