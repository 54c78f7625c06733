"""A real daemon's processes behind their walls: what a worker reaches, how they die, and how what is missing is said."""

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mai.daemon.walling import layers_of
from mai.sandbox.probe import probe
from tests.conftest import state_directory
from tests.small import HANDLERS, ORGANISATION, Daemon, until

WHOLE = not probe("/tmp").missing
needs_all = pytest.mark.skipif(not WHOLE, reason=f"this host does not give all walls: {probe('/tmp').missing}")
LOOK = (
    HANDLERS
    + """

import ctypes, json, os, signal, socket, subprocess, sys, threading
from pathlib import Path

STATE = Path(os.environ["MAI_STATE"])

def reach(path):
    return Path(path).read_bytes()

def send(number):
    os.kill(number, 0)

def connect(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(str(path))

DEEDS = {
    "its own files": lambda: (STATE / "clients/acme/support/files/mine").write_text("x"),
    "its sources": lambda: reach(__file__),
    "another's ledger": lambda: reach(STATE / "clients/acme/finance/ledger.db"),
    "another client's directory": lambda: os.listdir(STATE / "clients/beta"),
    "names of clients": lambda: [one for one in os.listdir(STATE / "clients") if one != "acme"][0],
    "the watchdog's ledger": lambda: reach(STATE / "watchdog/ledger.db"),
    "the organisation": lambda: reach(STATE / "organisation.toml"),
    "system's secrets": lambda: reach("/etc/shadow"),
    "its sources, to write": lambda: open(__file__, "r+b").close(),
    "our code, to write": lambda: open(sys.modules["mai.agents.loop"].__file__, "r+b").close(),
    "its supervisor": lambda: send(int(os.environ["MAI_TEST_PID"])),
    "the door of its client": lambda: connect(STATE / "run/acme/door.sock"),
    "the watchdog's door": lambda: connect(STATE / "run/door.d/door.sock"),
    "the network": lambda: socket.socket(socket.AF_INET),
    "a program": lambda: subprocess.run(["true"]),
    "a pid of another's": lambda: [one for one in os.listdir("/proc") if one.isdigit() and int(one) > 50][0],
}

async def porter(ctx, task):
    word = task.text.rpartition(" ")[2]
    if word == "abort":
        os.abort()
    if word == "orphan":
        if not os.fork():
            if not os.fork():
                os._exit(0)
            os._exit(0)
        os.wait()
        return "begotten"
    os.environ["MAI_TEST_PID"] = word
    found = {}
    for name, deed in DEEDS.items():
        try:
            deed()
            found[name] = True
        except (OSError, IndexError):
            found[name] = False
    return json.dumps(found)
"""
)
TEXT = ORGANISATION.replace('clients = ["acme"]', 'clients = ["acme", "beta"]').replace(
    'command = ["sh", "porter.sh"]\nfiles = "read"', 'handler = "small.py:porter"'
)
OWN = {"its own files", "its sources"}


def made(directory: Path, text: str = TEXT) -> Daemon:
    """A daemon whose porter looks around."""
    daemon = Daemon(directory, text)
    (daemon.file.parent / "small.py").write_text(LOOK)
    return daemon


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """One for all tests that leave it as it is."""
    with state_directory() as directory:
        one = made(directory)
        yield one.up()
        one.down()


def looked(daemon: Daemon, request: str) -> dict[str, bool]:
    """What the porter reached."""
    answer = daemon.ask(f"open the gate {daemon.status()['supervisor']['pid']}", request)
    assert answer["state"] == "answered", answer
    return dict(json.loads(answer["parts"][0]["answer"]))


@needs_all
def test_a_worker_reaches_its_own_and_nothing_else(daemon: Daemon) -> None:
    """Files of other departments, clients and of the daemon, doors, processes, programs and the network are out of reach."""
    found = looked(daemon, "look")
    assert {name for name, reached in found.items() if reached} == OWN, found


def test_without_walls_it_reaches_them(state: Path) -> None:
    """So the test above can fail; and that there are none is said in every place."""
    daemon = made(state)
    ran = daemon.mai("up", "--detach", str(daemon.file), MAI_WALLS="none")
    assert ran.returncode == 0, ran.stderr
    try:
        found = looked(daemon, "look")
        assert found["another's ledger"] and found["names of clients"] and found["the watchdog's door"] and found["a program"]
        assert daemon.status()["acme/support"]["walls"] == "none"
        said = daemon.mai("status").stdout
        assert "acme/support: NO WALLS" in said and "switched off by MAI_WALLS" in said
        _, body = daemon.journal("acme/support", "process.started")[0]
        assert body["walls"].startswith("none (")
    finally:
        daemon.mai("down")


@needs_all
def test_how_a_process_is_walled_is_said(daemon: Daemon) -> None:
    """In its journal, in the status for scripts, and not a word in the one for people, because nothing is missing."""
    for name, entry in daemon.status().items():
        assert entry["walls"] == ("full" if "/" in name else "trusted"), name
    _, body = daemon.journal("acme/finance", "process.started")[0]
    assert body["walls"] == "full" and body["pid"] == daemon.status()["acme/finance"]["pid"]
    assert "walls" not in daemon.mai("status").stdout.lower().replace("no walls yet", "")
    assert json.loads(daemon.mai("status", "--json").stdout)["walls"] == {} == layers_of(daemon.place).missing


@needs_all
@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs processes as other users")
def test_each_process_has_a_user_of_its_own_for_good(state: Path) -> None:
    """Different for all, of one group in a client, the same after a start of everything; its directory is its own."""
    daemon = made(state)
    daemon.up()
    users: list[dict[str, tuple[int, int]]] = []
    for _ in range(2):
        pids = {name: one["pid"] for name, one in daemon.status().items() if "/" in name}
        users.append({name: owner(pid) for name, pid in pids.items()})
        for name, (uid, gid) in users[-1].items():
            home = daemon.place.home(name).stat()
            assert (home.st_uid, home.st_gid, stat.S_IMODE(home.st_mode)) == (uid, gid, 0o700)
        daemon.down()
        daemon.up()
    daemon.down()
    assert users[0] == users[1] and len({uid for uid, _ in users[0].values()}) == len(users[0])
    assert len({gid for name, (_, gid) in users[0].items() if name.startswith("acme/")}) == 1
    assert all(uid >= 1_900_000_000 for uid, _ in users[0].values())


def owner(pid: int) -> tuple[int, int]:
    """User and group that a process runs as."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    uid, gid = (next(line.split()[1] for line in lines if line.startswith(name)) for name in ("Uid:", "Gid:"))
    return int(uid), int(gid)


def test_an_abort_ends_the_first_process_of_a_namespace(state: Path) -> None:
    """Its own abort() as well as a SIGABRT from outside: a traceback, the name of the signal on record, and a new life."""
    daemon = made(state)
    daemon.up()
    try:
        before = daemon.status()["acme/support"]["pid"]
        os.kill(before, signal.SIGABRT)
        until(lambda: daemon.ready() and daemon.status()["acme/support"]["pid"] != before, "a new life")
        daemon.ask("open the gate abort", "a1")
        until(daemon.ready, "ready")
        deaths = [body for _, body in daemon.journal("watchdog", "incident") if body["what"] == "death"]
        assert len(deaths) >= 2 and all("terminated by SIGABRT" in body["text"] for body in deaths), deaths
        assert "Fatal Python error: Aborted" in daemon.place.log("acme/support").read_text()
    finally:
        daemon.mai("down")


@needs_all
def test_orphans_are_buried(daemon: Daemon) -> None:
    """What a worker's child left behind is nobody's zombie for long."""
    assert daemon.ask("open the gate orphan", "o1")["state"] == "answered"
    pid = daemon.status()["acme/support"]["pid"]
    until(lambda: not zombies(pid), "no zombie")


def zombies(parent: int) -> list[int]:
    """Dead children that nobody has waited for."""
    found = []
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if ") Z " in Path(f"/proc/{child}/stat").read_text():
            found.append(int(child))
    return found


@needs_all
def test_a_stop_that_comes_too_early_is_heard(daemon: Daemon) -> None:
    """SIGTERM to a process in a namespace that listens to no signal yet waits for it."""
    before = daemon.status()["beta/support"]["pid"]
    os.kill(before, signal.SIGKILL)
    until(lambda: (daemon.status()["beta/support"]["pid"] or before) != before, "the next life")
    assert daemon.mai("stop", "beta/support").returncode == 0
    assert daemon.status()["beta/support"]["state"] == "stopped"
    assert daemon.mai("start", "beta/support").returncode == 0
    assert "killing 'support'" not in daemon.place.log("supervisor").read_text()


def test_a_wrong_setting_is_refused(state: Path) -> None:
    """A layer that there is none of is a mistake, not a way to have no walls."""
    daemon = made(state)
    ran = daemon.mai("up", "--detach", str(daemon.file), MAI_WALLS="lanlock")
    assert ran.returncode != 0 and "lanlock" in ran.stderr + (daemon.place.supervisor / "output.log").read_text()
