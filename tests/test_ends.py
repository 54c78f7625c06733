"""How a daemon ends, whoever ends it: in order, nothing runs any more, and what is in flight is answered at the next start."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from mai.sandbox.errors import NotRunning
from tests.foreground import Foreground
from tests.gate import gate, waits
from tests.small import PATIENCE_S, Daemon, until


@pytest.fixture
def fresh(state: Path) -> Iterator[Daemon]:
    """A daemon that is not up yet, for tests of its beginning and its end."""
    mine = Daemon(state)
    yield mine
    mine.mai("down")


@pytest.mark.parametrize("moment", ["at once", "acme/mai ready", "processes are ready"])
def test_ctrl_c_ends_everything_in_order(fresh: Daemon, moment: str) -> None:
    """At the very beginning, during the start and later: status 0, one word about it, no process left."""
    shell = Foreground(fresh.command("up", str(fresh.file)))
    if moment == "at once":
        until(lambda: fresh.pids().get("supervisor"), "the supervisor")
    else:
        shell.until_shown(moment)
    os.write(shell.terminal, b"\x03")
    assert shell.end() == 0, shell.shown
    assert shell.shown.count("stopping") == 1 and "Traceback" not in shell.shown
    assert not fresh.pids()
    if moment == "processes are ready":
        assert [body["why"] for _, body in fresh.journal("acme/mai", "process.stopped")] == ["asked to stop"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_signal_leaves_an_orphan(fresh: Daemon, number: signal.Signals) -> None:
    """`mai up` is told to end, its terminal goes away, it is killed: nothing of it runs on."""
    shell = Foreground(fresh.command("up", str(fresh.file)))
    shell.until_shown("processes are ready")
    shell.process.send_signal(number)
    status = shell.end()
    assert status == (-number if number == signal.SIGKILL else 0)
    until(lambda: not fresh.pids(), "no orphan")


def test_a_daemon_in_the_foreground_ends_with_mai_down(fresh: Daemon) -> None:
    """The other shell's `mai down` ends it, with status 0 in both."""
    shell = Foreground(fresh.command("up", str(fresh.file)))
    shell.until_shown("processes are ready")
    fresh.down()
    assert shell.end() == 0 and not fresh.pids()


def test_a_supervisor_that_dies_is_told_of(fresh: Daemon) -> None:
    """`mai up` does not pretend that all is well: status 1 and a sentence."""
    shell = Foreground(fresh.command("up", str(fresh.file)))
    shell.until_shown("processes are ready")
    psutil.Process(fresh.status()["supervisor"]["pid"]).kill()
    assert shell.end() == 1 and "the supervisor ended with status -9" in shell.shown
    until(lambda: not fresh.pids(), "no orphan")


def test_what_is_in_flight_at_the_end_is_answered_after_the_next_start(fresh: Daemon, beside: ThreadPoolExecutor) -> None:
    """`mai down` in the middle: who waits is told that it is kept, and the same id has the answer after `mai up`."""
    fresh.up()
    path = gate(fresh)
    waiting: Future[dict[str, Any]] = beside.submit(fresh.ask, "open the gate", "kept")
    until(lambda: waits(fresh, "kept"), "the porter")
    fresh.down()
    with pytest.raises(NotRunning) as gone:
        waiting.result(PATIENCE_S)
    assert "--id kept" in gone.value.hint and not fresh.pids()
    fresh.up()
    again = beside.submit(fresh.ask, "open the gate", "kept")
    path.write_text("at last\n")
    assert "The gate is open: at last." in again.result(PATIENCE_S)["answer"]
    for kind in ("request.accepted", "request.ended"):
        assert len(fresh.journal("acme/mai", kind)) == 1


def test_a_watchdog_that_is_away_does_not_keep_the_daemon_from_ending(fresh: Daemon) -> None:
    """`mai down` right after its death: the supervisor has a new one, or stops everything alone."""
    fresh.up()
    psutil.Process(fresh.status()["watchdog"]["pid"]).kill()
    fresh.down()
    assert not fresh.pids()


def test_nothing_runs_where_nothing_was_started(fresh: Daemon) -> None:
    """Asked for the end, or for anything else, an empty state directory says so with status 3."""
    for arguments in (["down"], ["status"], ["ask", "acme", "hello"], ["chat", "acme"], ["stop", "acme/mai"]):
        ran = fresh.mai(*arguments)
        assert ran.returncode == 3 and "mai up" in ran.stderr and "Traceback" not in ran.stderr, arguments
    fresh.up()
    fresh.down()
    for arguments in (["down"], ["status"], ["ask", "acme", "hello"], ["chat", "acme"], ["stop", "acme/mai"]):
        assert fresh.mai(*arguments).returncode == 3, arguments
