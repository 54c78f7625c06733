"""Disks that are full, read-only or not ours, under real processes: waited for or named, and nothing is lost."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from mai.daemon.case import EX_TEMPFAIL
from mai.sandbox.errors import DiskFault, LedgerFault
from mai.sandbox.ledger import Ledger
from tests.small import ORGANISATION, PATIENCE_S, Daemon, running, until

MIB = 1 << 20
FINANCE = "acme/finance"


@pytest.fixture
def disk(state: Path) -> Iterator[Path]:
    """A small file system in memory; skips where it cannot be mounted."""
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "mai-test", str(state)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    try:
        yield state
    finally:
        subprocess.run(["umount", "--lazy", str(state)], check=False)


def fill(file: Path) -> None:
    """Until there is no room at all."""
    with file.open("ab", buffering=0) as out:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    out.write(bytes(size))
            except OSError:
                pass


@pytest.mark.seconds(240)
def test_the_ballast_on_a_real_disk(disk: Path) -> None:
    """Full: given up, requests refused. With room again: made again, all ready, nothing lost, requests answered."""
    daemon = Daemon(disk, ORGANISATION.replace("[limits]", f"[limits]\nfree_bytes = {8 * MIB}"))
    ballast = daemon.place.state / "ballast"
    try:
        daemon.up()
        assert daemon.ask("refund order 1", "r1")["state"] == "answered"
        until(ballast.exists, "the ballast")
        fill(disk / "filler")
        until(lambda: not ballast.exists(), "the ballast is given up")
        fill(disk / "filler")
        assert daemon.mai("ask", "acme", "refund order 2").returncode  # refused, or Mai was the first to need room
        os.truncate(disk / "filler", (disk / "filler").stat().st_size - 4 * MIB)
        until(daemon.ready, "everything, as there is room for what runs")
        ran = daemon.mai("ask", "acme", "refund order 2")
        assert ran.returncode == 4 and "the floor is 8 MiB" in ran.stderr, ran.stderr
        assert "new requests are refused" in daemon.mai("status").stdout
        (disk / "filler").unlink()
        until(ballast.exists, "the ballast again")
        until(daemon.ready, "everything")
        assert until(lambda: daemon.ask("refund order 3", "r3")["state"], "Mai has seen that there is room") == "answered"
        until(lambda: [1 for _, body in daemon.journal("watchdog", "incident") if body["what"] == "disk"], "it is on record")
        assert daemon.refunds() == [1, 3] and daemon.mai("verify", "--state").returncode == 0
    finally:
        daemon.mai("down")


@pytest.mark.seconds(240)
def test_a_department_without_room_comes_back(state: Path) -> None:
    """Its writes fail with ENOSPC: it ends with 75 and is tried again; the request waits, and is answered, once."""
    if not shutil.which("strace"):
        pytest.skip("no strace")
    with running(state) as daemon:
        answers: list[str] = []
        asker = Thread(target=lambda: answers.append(daemon.ask("refund order 1", "r1")["state"]))
        pid = daemon.pids()[FINANCE][0]
        options = ["-f", "-qq", "-o", "/dev/null", "-e", "inject=pwrite64:error=ENOSPC"]
        with subprocess.Popen(["strace", *options, "-p", str(pid)], stderr=subprocess.PIPE, text=True) as tracer:
            until(lambda: traced(pid) or tracer.poll() is not None, "it is traced")
            if tracer.poll() is not None:
                pytest.skip(f"no right to trace: {tracer.communicate()[1]}")
            asker.start()
            tracer.wait(PATIENCE_S)
        asker.join(PATIENCE_S)
        assert answers == ["answered"] and daemon.refunds() == [1]
        entry = daemon.status()[FINANCE]
        assert entry["state"] == "ready" and entry["restarts"] == 1
        (death,) = [one for one in entry["incidents"] if one["what"] == "death"]
        assert f"{EX_TEMPFAIL}" in death["text"] and "full" in death["text"], death
        assert daemon.mai("verify", "--state").returncode == 0


def traced(pid: int) -> bool:
    """Does somebody trace it?"""
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()


def test_a_read_only_disk_is_named(disk: Path) -> None:
    """It passes, perhaps; the file, what SQLite says and who has to do what are named; writable again, all is there."""
    path = disk / "ledger.db"
    made = Ledger(path, FINANCE)
    made.append("note", b"{}")
    made.commit()
    made.close()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        with pytest.raises(LedgerFault, match=str(path)) as raised:
            Ledger(path, FINANCE)
        assert isinstance(raised.value, DiskFault) or "unable to open" in raised.value.sentence, raised.value
        assert "right" in raised.value.hint or "write there" in raised.value.hint
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    again = Ledger(path, FINANCE)
    assert again.seq == 1
    again.close()


def test_a_disk_that_becomes_full(disk: Path) -> None:
    """Under an open ledger: the commit fails with a name, nothing is acknowledged, what was there stays."""
    made = Ledger(disk / "ledger.db", FINANCE)
    made.append("note", b"{}")
    made.commit()
    made._db.execute("PRAGMA wal_checkpoint")
    fill(disk / "filler")
    try:
        with pytest.raises(DiskFault, match="full"):
            for _ in range(100):
                made.append("note", b'"' + b"x" * 10000 + b'"')
                made.commit()
        assert made.failed
    finally:
        made.close()
        (disk / "filler").unlink()
    again = Ledger(disk / "ledger.db", FINANCE)
    assert again.seq >= made.durable[0] >= 1
    again.close()
