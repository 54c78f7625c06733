"""What was really done, as the harness sees it: for each attempt that would change something, a look before and after.

`around` makes ready what the attempt is to change, gives the judge, and puts everything back.
"""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from mai.sandbox.errors import MaiError
from tests.escape_host import processes_named
from tests.escape_kit import Attempt, libc, syscall
from tests.small import until

if TYPE_CHECKING:
    from tests.escape_world import World

AT_ONCE_S, SOON_S, PATIENT_S = 0.02, 0.5, 3.0  # if those inside say that it failed; have sent something; say that it worked
Judge = Callable[[], bool]
Check = Callable[["World"], Iterator[Judge]]
CHECKS: dict[str, Check] = {}


def check(call: Check) -> Check:
    """Register a check by its name."""
    CHECKS[call.__name__] = call
    return call


@contextlib.contextmanager
def around(world: "World", one: Attempt) -> Iterator[Judge]:
    """The check of an attempt; those without one are believed."""
    if one.group == "ipc":
        world.host.fill()
    with contextlib.contextmanager(CHECKS[one.changes or "nothing"])(world) as judge:
        yield judge


@check
def nothing(world: "World") -> Iterator[Judge]:
    """What was said is all that there is to see."""
    yield lambda: True


@check
def exhausted(world: "World") -> Iterator[Judge]:
    """What was said is all that there is to see; the lair begins anew, without the dead that it has not buried yet."""
    yield lambda: world.believed
    world.revive()


def eventually(world: "World", look: Judge) -> bool:
    """Whether it becomes true, sooner or later as those inside believe in it."""
    end_s, given_up_s = time.monotonic() + world.patience_s, time.monotonic() + 20.0
    while True:
        try:
            if look() or time.monotonic() > end_s:
                return look()
        except MaiError:  # a ledger whose process is being started cannot be opened
            if time.monotonic() > given_up_s:
                raise
        time.sleep(0.02)


# -- files
@check
def bait(world: "World") -> Iterator[Judge]:
    """The vault's file is as it was."""
    yield lambda: world.bait_state() != world.bait_seen
    world.bait()


@check
def planted(world: "World") -> Iterator[Judge]:
    """Nothing new lies in the vault's directory."""
    yield (world.bait_path.parent / "planted").exists
    world.bait()


@check
def code(world: "World") -> Iterator[Judge]:
    """The handlers are as they were."""
    path = world.code / "victim.py"
    before = path.read_text()
    yield lambda: path.read_text() != before
    path.write_text(before)


@check
def package(world: "World") -> Iterator[Judge]:
    """Nothing was put beside the installed packages."""
    directory = Path(world.facts["packages"])
    yield lambda: any(directory.glob("mai_escape_planted*"))
    for path in sorted(directory.glob("mai_escape_planted*/*")):
        path.unlink()
    for path in directory.glob("mai_escape_planted*"):
        path.rmdir() if path.is_dir() else path.unlink()


@check
def own_code(world: "World") -> Iterator[Judge]:
    """The compiled files of others are as they were."""
    kept = {path: path.read_bytes() for path in (world.place.home("acme/vault") / "pycache").rglob("*.pyc")}
    yield lambda: any(path.read_bytes() != data for path, data in kept.items())
    for path, data in kept.items():
        path.write_bytes(data)


@check
def second_writer(world: "World") -> Iterator[Judge]:
    """Nobody but the vault has written into its ledger."""
    from contextlib import closing

    from mai.sandbox.ledger import connect

    def look() -> bool:
        with closing(connect(world.place.ledger("acme/vault"), write=False)) as db:
            return bool(db.execute("SELECT 1 FROM blob WHERE address = 'planted'").fetchone())

    yield look


# -- processes
def victim(world: "World") -> psutil.Process:
    """The vault's process."""
    return psutil.Process(world.facts["vault_pid"])


@check
def vault_alive(world: "World") -> Iterator[Judge]:
    """It lives."""
    pid = world.facts["vault_pid"]

    def died() -> bool:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    yield lambda: eventually(world, died)
    if died():
        world.rest("acme/vault", "ready")
        world.keep()


@check
def vault_stopped(world: "World") -> Iterator[Judge]:
    """It is not stopped."""
    yield lambda: eventually(world, lambda: victim(world).status() == psutil.STATUS_STOPPED)
    os.kill(world.facts["vault_pid"], signal.SIGCONT)


@check
def vault_nice(world: "World") -> Iterator[Judge]:
    """Its priority is what it was."""
    before = victim(world).nice()
    yield lambda: victim(world).nice() != before
    with contextlib.suppress(psutil.Error):
        victim(world).nice(before)


@check
def vault_oom(world: "World") -> Iterator[Judge]:
    """Its turn when memory is short is what it was."""
    path = Path(f"/proc/{world.facts['vault_pid']}/oom_score_adj")
    before = path.read_text()
    yield lambda: path.read_text() != before
    with contextlib.suppress(OSError):
        path.write_text(before)


@check
def survivor(world: "World") -> Iterator[Judge]:
    """Nothing of the department lives when it has ended."""
    pid = world.pid("acme/lair")
    name = world.facts["survivor"]

    def lives() -> bool:
        os.kill(pid, signal.SIGKILL)
        until(lambda: world.pid("acme/lair") not in (0, pid), "the lair again")
        world.rest("acme/lair", "ready")
        return bool(processes_named(name))

    yield lives
    for one in processes_named(name):
        with contextlib.suppress(OSError):
            os.kill(one, signal.SIGKILL)


# -- sockets and keys
@check
def handed(world: "World") -> Iterator[Judge]:
    """No descriptor came."""
    before = world.host.handed
    yield lambda: eventually(world, lambda: world.host.handed > before)


@check
def datagram(world: "World") -> Iterator[Judge]:
    """No datagram came."""
    before = len(world.host.heard)
    yield lambda: eventually(world, lambda: len(world.host.heard) > before)


@check
def fast_open(world: "World") -> Iterator[Judge]:
    """Nothing was sent with the connection."""
    yield lambda: eventually(world, lambda: b"fast" in world.host.heard)


@check
def offered(world: "World") -> Iterator[Judge]:
    """No socket lies there."""
    path = Path(world.facts["offered"])
    yield path.exists
    path.unlink(missing_ok=True)


def answers(family: int, address: object) -> Iterator[Judge]:
    """Whether somebody listens there while the attempt is made."""
    reached, over = threading.Event(), threading.Event()

    def knock() -> None:
        while not over.wait(0.02):
            with contextlib.suppress(OSError), socket.socket(family) as one:
                one.settimeout(1)
                one.connect(address)  # type: ignore[arg-type]
                reached.set()
                return

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    try:
        yield reached.is_set
    finally:
        over.set()
        thread.join()


@check
def listens(world: "World") -> Iterator[Judge]:
    """Nobody from inside is to be reached on a port."""
    yield from answers(socket.AF_INET, ("127.0.0.1", world.facts["free_port"]))


@check
def abstract_taken(world: "World") -> Iterator[Judge]:
    """Nobody from inside is to be reached by an abstract name."""
    yield from answers(socket.AF_UNIX, "\0" + world.facts["abstract_free"])


@check
def key_added(world: "World") -> Iterator[Judge]:
    """The user's keyring holds no key from inside."""

    def look() -> bool:
        with contextlib.suppress(OSError):
            key = syscall("keyctl", 10, -4, b"user", b"mai-escape-added", 0)
            libc.syscall(250, 9, key, -4)
            return True
        return False

    yield look
