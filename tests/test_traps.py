"""Traps: a real process is struck at the point that a file names, once, and what it has passed is known afterwards."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from mai.sandbox import points, traps
from tests.small import environment, until

CODE = """
import sys
from mai.sandbox.points import obey, reach
obey("acme/support")
for line in sys.stdin:
    reach(line.strip())
    print(line.strip(), flush=True)
"""


@contextmanager
def process(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """One that passes the points that it reads, and says so."""
    command = [sys.executable, "-P", "-c", CODE]
    given = environment(**{points.SETTING: str(directory)})
    with subprocess.Popen(command, env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def passes(running: subprocess.Popen[str], point: str) -> bool:
    """Let it pass a point; false if it died there."""
    assert running.stdin and running.stdout
    running.stdin.write(f"{point}\n")
    running.stdin.flush()
    return running.stdout.readline() == f"{point}\n"


def test_it_strikes_at_the_nth_passing_and_no_later_life(tmp_path: Path) -> None:
    """Other points do not count; the order is gone with the blow."""
    traps.order(tmp_path, "acme/support", "commit.after", 2, signal.SIGKILL, 0)
    with process(tmp_path) as running:
        assert passes(running, "commit.after") and passes(running, "commit.before") and traps.waits(tmp_path, "acme/support")
        assert not passes(running, "commit.after")
        assert running.wait() == -signal.SIGKILL and not traps.waits(tmp_path, "acme/support")
    with process(tmp_path) as running:
        assert passes(running, "commit.after") and passes(running, "commit.after")
    reached = traps.reached(tmp_path)["acme/support"]
    assert reached == dict.fromkeys(points.POINTS, 0) | {"commit.after": 4, "commit.before": 1}


def test_a_running_process_is_told_and_an_order_can_be_taken_back(tmp_path: Path) -> None:
    """An order may come at any time, be replaced, or be withdrawn."""
    with process(tmp_path) as running:
        assert passes(running, "send.after") and not traps.withdraw(tmp_path, "acme/support")
        traps.order(tmp_path, "acme/support", "send.after", 1, signal.SIGKILL, 0)
        assert traps.withdraw(tmp_path, "acme/support") and passes(running, "send.after")
        traps.order(tmp_path, "acme/support", "send.after", 1, signal.SIGKILL, 0)
        traps.order(tmp_path, "acme/support", "send.before", 1, signal.SIGKILL, 0)
        assert passes(running, "send.after") and not passes(running, "send.before")


def test_others_are_struck_from_the_point_and_it_may_stop_instead_of_die(tmp_path: Path) -> None:
    """The pids in the order get the signal; the process itself only if it is among them."""
    another = tmp_path / "another"
    another.mkdir()
    with process(another) as other, process(tmp_path) as running:
        traps.order(tmp_path, "acme/support", "ack.received", 1, signal.SIGKILL, other.pid)
        assert passes(running, "ack.received") and other.wait() == -signal.SIGKILL
        traps.order(tmp_path, "acme/support", "ack.received", 1, signal.SIGSTOP, 0)
        assert running.stdin and running.stdout
        running.stdin.write("ack.received\n")
        running.stdin.flush()
        until(lambda: psutil.Process(running.pid).status() == psutil.STATUS_STOPPED, "it stands still")
        os.kill(running.pid, signal.SIGCONT)
        assert running.stdout.readline() == "ack.received\n"


def test_without_the_setting_nothing_is_loaded(tmp_path: Path) -> None:
    """A process of the company that no test has armed does not know of traps."""
    code = "import sys; from mai.sandbox.points import obey, reach; obey('a'); reach('send.after')"
    code += "; print('mai.sandbox.traps' in sys.modules)"
    ran = subprocess.run([sys.executable, "-P", "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
