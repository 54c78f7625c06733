"""Ledgers that were deleted, exchanged, or put back from an older copy, under a real daemon: named, given up, healed."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mai.sandbox.made import marker
from tests.small import Daemon, until

MAI, SUPPORT, FINANCE, WATCHDOG = "acme/mai", "acme/support", "acme/finance", "watchdog"


@pytest.fixture(scope="module")
def worked(module_state: Path) -> Daemon:
    """One that has worked twice, and is down; what its ledgers were after the first time lies beside them."""
    made = Daemon(module_state)
    for order in (1, 2):
        made.up()
        assert made.ask(f"refund order {order}", f"r{order}")["state"] == "answered"
        made.down()
        for process in (MAI, SUPPORT, FINANCE, WATCHDOG):
            shutil.copy(made.place.ledger(process), made.place.home(process) / f"copy{order}")
    copied(made.place.state, module_state / "kept")
    return made


@pytest.fixture
def daemon(worked: Daemon) -> Iterator[Daemon]:
    """The same again, whatever was done to it."""
    shutil.rmtree(worked.place.state)
    copied(worked.place.state.parent / "kept", worked.place.state)
    yield worked
    worked.mai("down")


def copied(source: Path, target: Path) -> None:
    """All of it, with its owners and times."""
    subprocess.run(["cp", "-a", source, target], check=True)


def deleted(daemon: Daemon, process: str) -> None:
    """It is gone."""
    daemon.place.ledger(process).unlink()


def erased(daemon: Daemon, process: str) -> None:
    """It is gone, and the word that there was one."""
    daemon.place.ledger(process).unlink()
    marker(daemon.place.ledger(process)).unlink()


def older(daemon: Daemon, process: str) -> None:
    """It is what it was before the last request."""
    shutil.copy(daemon.place.home(process) / "copy1", daemon.place.ledger(process))


def emptied(daemon: Daemon, process: str) -> None:
    """It has no bytes."""
    daemon.place.ledger(process).write_bytes(b"")


def exchanged(daemon: Daemon, process: str) -> None:
    """It is another's."""
    shutil.copy(daemon.place.ledger(SUPPORT), daemon.place.ledger(process))


def healed(daemon: Daemon, process: str) -> None:
    """The newest copy again."""
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (daemon.place.home(process) / name).unlink(missing_ok=True)
    shutil.copy(daemon.place.home(process) / "copy2", daemon.place.ledger(process))


@pytest.mark.parametrize(
    ("process", "harm", "words"),
    [
        (FINANCE, deleted, "is gone: it had "),
        (FINANCE, erased, "1 to "),
        (FINANCE, older, "are missing there, acme/mai's journal has them"),
        (FINANCE, exchanged, "belongs to acme/support, not to acme/finance"),
        (FINANCE, emptied, "is empty, and was not"),
        (MAI, deleted, "is gone: it had "),
        (MAI, erased, "are missing here, acme/"),
        (MAI, older, "are missing here, acme/"),
        (MAI, exchanged, "belongs to acme/support, not to acme/mai"),
    ],
)
@pytest.mark.seconds(240)
def test_a_false_ledger_is_named_and_healed(
    daemon: Daemon, process: str, harm: Callable[[Daemon, str], None], words: str
) -> None:
    """Its process fails once, with the range in status and log; the others stay; the newest copy and `mai reset` heal it."""
    harm(daemon, process)
    daemon.mai("up", "--detach", str(daemon.file))
    (failed,) = until(lambda: [one for one in daemon.status().values() if one["state"] == "failed"], "it fails")
    assert failed["name"] == process and words in failed["status"] and failed["restarts"] == 0, failed
    assert words in daemon.mai("status").stdout and words in daemon.mai("logs", process).stdout
    others = {name for name, one in daemon.status().items() if one["state"] == "ready"}
    if process == FINANCE:
        assert {MAI, SUPPORT} <= others
        assert "history" in daemon.raw({"do": "history", "last": 1})
    healed(daemon, process)
    ran = daemon.mai("reset", process)
    assert ran.returncode == 0, ran.stderr
    until(daemon.ready, "everything")
    assert daemon.ask("refund order 3", "r3")["state"] == "answered"
    assert daemon.refunds() == [1, 2, 3]
    verified = daemon.mai("verify", "--state")
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize(("harm", "words"), [(deleted, "is gone: it had "), (older, "is an older copy of itself: it ends with ")])
@pytest.mark.seconds(240)
def test_the_watchdogs_ledger(daemon: Daemon, harm: Callable[[Daemon, str], None], words: str) -> None:
    """It has no peers: the file beside it tells that it is gone or older; nothing starts until the newest is back."""
    harm(daemon, WATCHDOG)
    if harm is deleted:
        ran = daemon.mai("verify")
        assert ran.returncode == 1 and words in ran.stdout, ran.stdout
    ran = daemon.mai("up", "--detach", str(daemon.file))
    said = daemon.mai("logs", WATCHDOG).stdout
    assert ran.returncode and words in said and "are missing here" in said, ran.stderr + said
    until(lambda: not daemon.pids(), "nothing runs")
    healed(daemon, WATCHDOG)
    daemon.up()
    assert daemon.ask("refund order 3", "r3")["state"] == "answered"
