"""A daemon for tests: the real supervisor and watchdog, with stand-ins (standin.py) for Mai and her departments."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pysqlite3

from mai.daemon.door import Door
from mai.sandbox.errors import NotRunning
from mai.sandbox.place import Place

STANDIN = Path(__file__).parent / "standin.py"
PATIENCE_S = 60.0
CTL = [sys.executable, "-P", "-m", "supervisor.supervisorctl", "-c"]
T = TypeVar("T")

HEAD = """
[organisation]
name = "Test"
clients = {clients}
[limits]
heartbeat_s = {heartbeat_s}
turn_s = 0.5
"""
DEPARTMENT = """
[departments.{name}]
charter = "Stands in."
[[departments.{name}.agents]]
name = "worker"
rank = "specialist"
charter = "Stands in."
command = ["true"]
"""


def until(look: Callable[[], T | None], what: str) -> T:
    """The first true value that `look` gives. What is not there yet is no error; patience has an end."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        try:
            if found := look():
                return found
        except NotRunning:
            pass
        time.sleep(0.005)
    raise AssertionError(f"in vain: {what}")


class Company:
    """One daemon in one state directory."""

    def __init__(self, state: Path, clients: tuple[str, ...] = ("acme",), heartbeat_s: float = 8.0) -> None:
        self.place = Place(state / "s")
        self.place.state.mkdir(exist_ok=True)
        self.file = state / "organisation.toml"
        text = HEAD.format(clients=json.dumps(clients), heartbeat_s=heartbeat_s)
        self.file.write_text(text + "".join(DEPARTMENT.format(name=name) for name in ("support", "sales")))
        self.door = Door(self.place.door, timeout_s=PATIENCE_S)
        self.daemon: subprocess.Popen[str] | None = None

    def mode(self, process: str, mode: str) -> None:
        """How a stand-in behaves from its next start on."""
        (self.place.state / f"mode.{process.replace('/', '.')}").write_text(mode)

    def command(self) -> list[str]:
        """How the daemon is started."""
        return [sys.executable, "-P", str(STANDIN), "daemon", str(self.place.state), str(self.place.run), str(self.file)]

    def start(self, **environment: str) -> "Company":
        """Start the daemon."""
        env = {**os.environ, "MAI_WALLS": "none", **environment}  # they write where no process of ours may
        self.daemon = subprocess.Popen(self.command(), env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        return self

    def up(self) -> "Company":
        """Start it, and wait until it says that all is ready."""
        self.start()
        assert self.wait_ready()["all_ready"] is True
        return self

    def wait_ready(self) -> dict[str, Any]:
        """The last word of the door on readiness."""

        def look() -> dict[str, Any]:
            assert self.daemon and self.daemon.poll() is None, self.daemon and self.daemon.communicate()
            return self.door.call({"do": "wait_ready", "timeout_s": PATIENCE_S})

        return until(look, "wait_ready")

    def status(self) -> dict[str, dict[str, Any]]:
        """Process name -> its entry."""
        return {entry["name"]: entry for entry in self.door.call({"do": "status"})["processes"]}

    def pid(self, process: str) -> int:
        """Its pid now; 0 if it does not run."""
        return self.status()[process]["pid"] or 0

    def pids(self) -> dict[str, int]:
        """The pids of all."""
        return {name: entry["pid"] for name, entry in self.status().items()}

    def until_state(self, process: str, state: str, other_than: int = -1) -> dict[str, Any]:
        """Its entry as soon as it is in this state, under another pid."""

        def look() -> dict[str, Any] | None:
            entry = self.status()[process]
            return entry if entry["state"] == state and entry["pid"] != other_than else None

        return until(look, f"{process} {state}")

    def events(self) -> list[str]:
        """What the stand-ins went through, as `client/department what`."""
        path = self.place.state / "events"
        return [line.rpartition(" ")[0] for line in path.read_text().splitlines()] if path.exists() else []

    def journal(self, kind: str) -> list[dict[str, Any]]:
        """The bodies of the watchdog's journal, of one kind."""
        with pysqlite3.connect(f"file:{self.place.ledger('watchdog')}?mode=ro", uri=True) as db:
            return [json.loads(body) for (body,) in db.execute("SELECT body FROM journal WHERE kind=? ORDER BY seq", (kind,))]

    def incidents(self, process: str) -> list[str]:
        """What kinds of incidents are on record for a process."""
        return [body["what"] for body in self.journal("incident") if body["process"] == process]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal the daemon and wait for its exit status."""
        assert self.daemon
        daemon, self.daemon = self.daemon, None
        with daemon:
            daemon.send_signal(number)
            try:
                return daemon.wait(PATIENCE_S)
            finally:
                daemon.kill()


def alive(pid: int) -> bool:
    """Does it run; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
