"""Room on the disk: a floor, a ballast, and processes that come back by themselves when there is room again."""

import json
from pathlib import Path

import pytest

from mai.daemon.case import EX_TEMPFAIL, Case, Ended, Moment, Rules, Tick
from mai.daemon.policy import decide
from mai.sandbox import life, room
from mai.sandbox.room import Room
from tests.small import ORGANISATION, Daemon

MIB = 1 << 20


class Disk:
    """How much is free, as a test says."""

    def __init__(self, free_bytes: int) -> None:
        self.free_bytes, self.asked = free_bytes, 0

    def __call__(self, _: Path) -> int:
        self.asked += 1
        return self.free_bytes


def test_the_ballast_is_given_up_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There with room, gone when the disk is full, there again when there is room for it above the floor; none at floor 0."""
    disk = Disk(100 * MIB)
    monkeypatch.setattr(room, "free_bytes", disk)
    monkeypatch.setattr(room, "LOOK_S", 0.0)
    one = Room(tmp_path, 8 * MIB)
    assert not one.tend() and one.ballast.stat().st_size == 2 * MIB
    disk.free_bytes = 3 * MIB
    assert one.low and not one.tend() and one.ballast.exists()
    disk.free_bytes = MIB
    assert "is full" in one.tend() and not one.ballast.exists() and not one.tend()
    disk.free_bytes = 9 * MIB
    assert not one.tend() and not one.ballast.exists()
    disk.free_bytes = 11 * MIB
    assert not one.tend() and one.ballast.exists()
    none = Room(tmp_path / "none", 0)
    disk.free_bytes = 0
    assert not none.low and not none.tend()


def test_the_disk_is_asked_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often somebody wants to know."""
    disk = Disk(MIB)
    monkeypatch.setattr(room, "free_bytes", disk)
    monkeypatch.setattr(room, "LOOK_S", 3600.0)
    one = Room(tmp_path, 8 * MIB)
    assert all(one.low for _ in range(100)) and disk.asked == 1


def test_below_the_floor_new_requests_are_refused(state: Path) -> None:
    """Mai's door refuses with what to do and exit status 4, `mai status` says so, and nothing of it is journaled."""
    daemon = Daemon(state, ORGANISATION.replace("[limits]", f"[limits]\nfree_bytes = {1 << 40}"))
    try:
        daemon.up()
        ran = daemon.mai("ask", "acme", "refund order 1")
        assert ran.returncode == 4 and "MiB left, the floor is" in ran.stderr and "make room" in ran.stderr
        assert not daemon.journal("acme/mai", "request.accepted")
        assert "new requests are refused" in daemon.mai("status").stdout
        told = json.loads(daemon.mai("status", "--json").stdout)["disk"]
        assert told["low"] and told["floor_bytes"] == 1 << 40 and not told["ballast"]
    finally:
        daemon.mai("down")


def test_a_full_disk_is_waited_for() -> None:
    """However often a process ends because of the disk, it is tried again, later and later, and its deaths do not count."""
    assert life.EX_TEMPFAIL == EX_TEMPFAIL
    case, rules, now_s = Case(wanted=True, state="ready", pid=7), Rules(), 0.0
    for pid in range(7, 60):
        case = decide(case, Ended(pid, "exited with 75", EX_TEMPFAIL), Moment(now_s, 0.5, True, rules)).case
        assert case.state == "backoff" and not case.deaths and not case.early
        now_s = case.retry_s
        verdict = decide(case, Tick(), Moment(now_s, 0.5, True, rules))
        assert verdict.actions == ("spawn",)
        case = verdict.case
