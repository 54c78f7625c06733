"""What SQLite has beside a ledger is its owner's from the first moment, also where root is the first to read it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pysqlite3 as sqlite3
import pytest

from mai.sandbox import beside
from mai.sandbox.ledger import Ledger, connect
from tests.chaos_strace import missing
from tests.guests import only_root
from tests.small import environment, until

OTHER = 64_003
READER = "import sys; from pathlib import Path; from mai.sandbox.ledger import connect; connect(Path(sys.argv[1]), write=False)"
FCHOWN = {"x86_64": "93", "aarch64": "55"}.get(os.uname().machine, "")
HELD = ("-qq", "-o", "/dev/null", "-e", "trace=fchown", "-e", "inject=fchown:delay_enter=60s")

pytestmark = only_root


@pytest.fixture
def ledger() -> Iterator[Path]:
    """One of another user's, closed."""
    with tempfile.TemporaryDirectory(prefix="mai-") as name:
        path = Path(name, "ledger.db")
        os.chown(name, OTHER, OTHER)
        assert as_other(lambda: Ledger(path, "acme/support").close()) == 0
        yield path


def as_other(work: Callable[[], object]) -> int:
    """The exit status of a child that does it as this user."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(OTHER)
            os.setuid(OTHER)
            os.umask(0o077)
            work()
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def files(ledger: Path) -> dict[str, tuple[int, int, int]]:
    """Name -> whose it is, and its rights."""
    seen = {path.name: path.lstat() for path in ledger.parent.glob("ledger.db*")}
    return {name: (one.st_uid, one.st_gid, one.st_mode & 0o777) for name, one in seen.items()}


@pytest.mark.skipif(bool(missing()) or not FCHOWN, reason="it takes strace to hold a process there")
def test_a_process_may_start_while_root_begins_to_read_its_ledger(ledger: Path) -> None:
    """However long root's reader is held at the moment when it gives a file away: nothing lies there that is root's."""
    with subprocess.Popen(["strace", *HELD, sys.executable, "-P", "-c", READER, str(ledger)], env=environment()) as strace:
        try:
            until(lambda: any(gives(one.pid) for one in psutil.Process(strace.pid).children()), "it gives a file away")
            assert as_other(lambda: Ledger(ledger, "acme/support").commit()) == 0
        finally:
            for one in psutil.Process(strace.pid).children():
                one.kill()
            strace.kill()


def gives(pid: int) -> bool:
    """Is the process in this call?"""
    return Path(f"/proc/{pid}/syscall").read_text().split()[0] == FCHOWN


def test_who_reads_as_root_leaves_what_its_owner_can_open(ledger: Path) -> None:
    """Both files are there while it reads, and are the owner's with the ledger's rights; who writes next finds nothing wrong."""
    assert set(files(ledger)) == {"ledger.db"}
    with closing(connect(ledger, write=False)) as db:
        assert db.execute("SELECT COUNT(*) FROM journal").fetchone()
        assert files(ledger) == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm"), (OTHER, OTHER, 0o600))
        assert as_other(lambda: Ledger(ledger, "acme/support").close()) == 0


def test_nothing_is_laid_in_the_place_of_what_is_there(ledger: Path) -> None:
    """Neither a log in use nor a link that somebody has put there is touched."""
    log, index = (ledger.with_name(f"ledger.db{ending}") for ending in beside.ENDINGS)
    log.write_bytes(b"used")
    index.symlink_to(ledger.parent / "elsewhere")
    beside.lay(ledger)
    assert log.read_bytes() == b"used" and index.is_symlink() and not (ledger.parent / "elsewhere").exists()


def test_what_has_no_log_gets_none(ledger: Path) -> None:
    """A ledger that is only just being made has a rollback journal yet; what is gone, or is ours, is nobody else's."""
    plain = ledger.with_name("plain.db")
    with closing(sqlite3.connect(plain)) as db:
        db.execute("CREATE TABLE t(a)")
    os.chown(plain, OTHER, OTHER)
    beside.lay(plain)
    ours = ledger.with_name("ours.db")
    with closing(sqlite3.connect(ours)) as db:
        db.execute("PRAGMA journal_mode=WAL")
    beside.lay(ours)
    beside.lay(ledger.with_name("gone.db"))
    assert {path.name for path in ledger.parent.iterdir() if path.name.endswith(beside.ENDINGS)} == set()
