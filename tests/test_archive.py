"""`mai archive` with a real daemon: rotated while it works, struck at each point, and everything is read as before."""

import json
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mai.daemon.reader import Reader
from mai.daemon.trace import trace
from mai.sandbox import traps
from mai.sandbox.place import Place
from mai.sandbox.points import POINTS
from tests.small import Daemon, until

SUPPORT, MAI = "acme/support", "acme/mai"
STRUCK = [point for point in POINTS if point.startswith("rotation.")]


@pytest.fixture(scope="module")
def daemon(module_state: Path) -> Iterator[Daemon]:
    """One that has worked, with a process killed at each point of a rotation."""
    points = module_state / "points"
    points.mkdir()
    made = Daemon(module_state)
    ran = made.mai("up", "--detach", str(made.file), MAI_POINTS=str(points))
    assert ran.returncode == 0, ran.stderr
    for number, point in enumerate(STRUCK, 1):
        victim = SUPPORT if number % 2 else MAI
        assert made.ask(f"refund order {number}", f"q{number}")["state"] == "answered"
        traps.order(points, victim, point, 1, signal.SIGKILL, 0)
        ran = made.mai("archive", victim, "--before", "now")
        assert ran.returncode == 0, ran.stderr
        assert not traps.waits(points, victim), f"{victim} was not struck at {point}"
        until(made.ready, "all is ready again")
    yield made
    made.mai("down")


def asked(place: Place) -> list[str]:
    """The requests that Mai's journal has ended, in their order."""
    with closing(Reader(place, MAI)) as reader:
        return [one.request for one in reader.records("kind = 'request.ended'", limit=10_000)]


@pytest.mark.seconds(240)
def test_nothing_is_lost_and_nothing_comes_twice(daemon: Daemon) -> None:
    """Every request was answered once and paid back once; journals, links, state and invariants are sound over segments."""
    count = len(STRUCK)
    assert asked(daemon.place) == [f"q{n}" for n in range(1, count + 1)] and daemon.refunds() == list(range(1, count + 1))
    ran = daemon.mai("verify", "--deep", "--state")
    assert ran.returncode == 0, ran.stdout
    shown = json.loads(daemon.mai("archive", "--json").stdout)["segments"]
    for process in (SUPPORT, MAI):
        own = [one for one in shown if one["process"] == process]
        assert len(own) >= len(STRUCK) // 2 and all(one["there"] for one in own)
        assert [one["first"] for one in own] == [1, *(one["last"] + 1 for one in own[:-1])]
    for request in asked(daemon.place):
        assert trace(daemon.place, request).state == "answered"
    ran = daemon.mai("replay", "--all", "acme")
    assert ran.returncode == 0, ran.stdout[-2000:]
    tailed = daemon.mai("tail", "acme", "--json", "-n", "100000").stdout.splitlines()
    assert [one["request"] for one in map(json.loads, tailed) if one["kind"] == "request.ended"] == asked(daemon.place)


@pytest.mark.seconds(240)
def test_copies_have_the_segments_with_them(daemon: Daemon, tmp_path: Path) -> None:
    """A backup, restored elsewhere, is sound; so is an export; segments that were carried away are read from there."""
    for arguments in (("backup", str(tmp_path / "copy")), ("client", "export", "acme", str(tmp_path / "acme"))):
        ran = daemon.mai(*arguments)
        assert ran.returncode == 0, ran.stderr
        target = tmp_path / f"of-{arguments[0]}"
        ran = daemon.mai("--state", str(target), "restore", str(tmp_path / ("copy" if arguments[0] == "backup" else "acme")))
        assert ran.returncode == 0, ran.stderr
        assert asked(Place(target)) == asked(daemon.place)
        ran = daemon.mai("--state", str(target), "verify", "--deep", "--state")
        assert ran.returncode == 0, ran.stdout
    ran = daemon.mai("archive", "acme", "--to", str(tmp_path / "cold"))
    assert ran.returncode == 0, ran.stderr
    place = Place(tmp_path / "of-backup")
    for file in place.home(MAI).glob("*.segment"):
        file.unlink()
    ran = daemon.mai("--state", str(place.state), "verify", "acme")
    assert ran.returncode == 1 and "No such file" in ran.stdout
    ran = daemon.mai("--state", str(place.state), "verify", "acme", MAI_ARCHIVE=str(tmp_path / "cold"))
    assert ran.returncode == 0, ran.stdout


@pytest.mark.seconds(240)
def test_a_stopped_process_is_rotated_by_the_command(daemon: Daemon) -> None:
    """Under its lock, with its rights: it starts again, and what it gives back is room."""
    assert daemon.ask("refund order 90", "q90")["state"] == "answered"
    assert daemon.mai("stop", SUPPORT).returncode == 0
    ran = daemon.mai("archive", SUPPORT, "--before", "now", "--json")
    assert ran.returncode == 0, ran.stderr
    (told,) = json.loads(ran.stdout)["rotated"]
    assert len(told["segments"]) == 1
    assert daemon.mai("start", SUPPORT).returncode == 0
    assert daemon.ask("refund order 91", "q91")["state"] == "answered"
    ran = daemon.mai("verify", "--deep", "--state")
    assert ran.returncode == 0, ran.stdout
    wrong = daemon.mai("archive", SUPPORT, "--before", "soon")
    assert wrong.returncode == 2 and "'soon' is no time" in wrong.stderr


@pytest.mark.seconds(240)
def test_who_asks_a_process_that_cannot_is_told(daemon: Daemon) -> None:
    """A rotation that is given up is an error for who has asked for it, with the reason; the next one may do it."""
    assert daemon.ask("refund order 80", "q80")["state"] == "answered"
    stone = daemon.place.home(SUPPORT) / "ledger.000000000001-000000000002.segment.part"
    stone.mkdir()  # what nobody can unlink
    ran = daemon.mai("archive", SUPPORT, "--before", "now")
    assert ran.returncode == 1 and f"the rotation of the journal of {SUPPORT} is given up: " in ran.stderr, ran.stderr
    stone.rmdir()
    ran = daemon.mai("archive", SUPPORT, "--before", "now", "--json")
    assert ran.returncode == 0 and json.loads(ran.stdout)["rotated"][0]["segments"], ran.stderr
