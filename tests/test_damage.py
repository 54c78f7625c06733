"""What a disk can do to a ledger: each damage is found at the first touch and named; older formats are brought up to date."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pysqlite3 as sqlite3
import pytest

from mai.sandbox.errors import DiskFault, LedgerFault
from mai.sandbox.ledger import BLOB_BYTES, Ledger, connect, digest_of
from mai.sandbox.place import FORMAT
from tests.formats import format_1

ME = "acme/support"
LARGE = b'"' + b"x" * BLOB_BYTES + b'"'

OPENING = """
import sys
from pathlib import Path
from mai.sandbox.ledger import Ledger
Ledger(Path(sys.argv[1]), "acme/support")
"""
TOUCHING = """
import sys
from pathlib import Path
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), "acme/support")
print("open", flush=True)
try:
    for number in range(20):
        ledger.append("note", b"{}")
        ledger.save("turn", "last", b"%d" % number)
        ledger.commit()
        print(ledger.seq, flush=True)
except LedgerFault as fault:
    print("fault", type(fault).__name__, fault.sentence, "|", fault.hint, flush=True)
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger with records, state and blobs that was closed."""
    made = Ledger(tmp_path / "ledger.db", ME)
    for number in range(200):
        made.append("note", b'{"text":"needle-%03d %s"}' % (number, b"y" * 300))
        made.save("task", f"t{number:03}", b'{"text":"state-%03d %s"}' % (number, b"z" * 200))
    made.append("large", LARGE)
    made.commit()
    made.close()
    return made.path


def old(path: Path, rows: int = 50) -> Path:
    """One of format 1."""
    db = sqlite3.connect(str(path), isolation_level=None)
    format_1(db, ME, rows)
    db.close()
    return path


def schema(path: Path) -> list[tuple[str, str]]:
    """What a file is made of."""
    db = connect(path, write=False)
    try:
        return sorted(db.execute("SELECT name, sql FROM sqlite_schema WHERE sql NOT NULL").fetchall())
    finally:
        db.close()


# -- the older format
def test_an_older_format_is_brought_up_to_date(tmp_path: Path, ledger: Path) -> None:
    """A ledger of format 1 keeps its journal, blobs and state, becomes what a new one is, and is written on."""
    path = old(tmp_path / "old.db")
    made = Ledger(path, ME)
    assert len(made.load("task")) == 50 and made.get("task", "t007") == b'{"request":"r"}'
    records = list(made.records())
    assert [record.seq for record in records] == list(range(1, 51)) and made.body(records[-1]) == "{}"
    made.save("task", "t007", b"7")
    made.append("note", b"{}")
    made.commit()
    made.close()
    again = Ledger(path, ME)
    assert again.get("task", "t007") == b"7" and again.seq == 51
    again.close()
    assert schema(path) == schema(ledger)
    db = connect(path, write=False)
    assert db.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)
    assert db.execute("SELECT count(*) FROM open_tasks WHERE request='r'").fetchone() == (49,)
    db.close()


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
@pytest.mark.parametrize("number", [1, 2, 3, 5, 8, 12, 17, 23, 30])
def test_a_migration_is_done_whole_or_not_at_all(tmp_path: Path, number: int) -> None:
    """Killed at its n-th write: the ledger is of the one format or the other, with all that was in it, and opens."""
    path = old(tmp_path / "old.db")
    command = ["strace", "-f", "-o", "/dev/null", "-e", f"inject=pwrite64:signal=KILL:when={number}"]
    subprocess.run([*command, sys.executable, "-P", "-c", OPENING, str(path)], check=False)
    db = connect(path, write=False)
    (format_,) = db.execute("PRAGMA user_version").fetchone()
    columns = [row[1] for row in db.execute("PRAGMA table_info(state)")]
    assert (format_, "crc" in columns) in ((1, False), (FORMAT, True))
    assert db.execute("SELECT count(*) FROM state").fetchone() == (50,)
    db.close()
    made = Ledger(path, ME)
    assert len(made.load("task")) == 50 and len(list(made.records())) == 50
    made.close()


# -- damage
def flipped(path: Path, needle: bytes) -> None:
    """One bit of a page is another (of old copies in unused room too); SQLite does not see it."""
    other = bytearray(needle)
    other[-1] ^= 1
    path.write_bytes(path.read_bytes().replace(needle, bytes(other)))


def test_a_flipped_bit_in_state_is_found(ledger: Path) -> None:
    """The row is named when it is read, one by one or all; SQLite itself finds nothing."""
    flipped(ledger, b"state-077")
    made = Ledger(ledger, ME)
    for look in (lambda: made.get("task", "t077"), lambda: made.load("task"), lambda: made.latest("task", 150)):
        with pytest.raises(LedgerFault, match=r"ledger\.db is damaged: the row task 't077'") as raised:
            look()
        assert "mai restore" in raised.value.hint and raised.value.lasting
    assert made.get("task", "t076") and made._db.execute("PRAGMA quick_check").fetchone() == ("ok",)
    made.close()


def test_a_flipped_bit_in_a_record_is_found(ledger: Path) -> None:
    """A record is named when its body is read, and at the start if it is one of the last."""
    flipped(ledger, b"needle-007")
    made = Ledger(ledger, ME)
    record = next(made.records(after=7))
    with pytest.raises(LedgerFault, match=r"ledger\.db is damaged: record 8 is not what was written"):
        made.body(record)
    made.close()
    flipped(ledger, b"needle-195")
    with pytest.raises(LedgerFault, match=r"damaged: record 196 "):
        Ledger(ledger, ME)


@pytest.mark.parametrize("value", [None, 7, b"x"])
def test_a_column_of_another_kind_is_found(ledger: Path, value: object) -> None:
    """A text that reads as nothing, a number or bytes (a torn page can say so) is damage with a name, no traceback."""
    db = sqlite3.connect(str(ledger), isolation_level=None)
    db.execute("PRAGMA writable_schema=ON")
    db.execute("UPDATE sqlite_schema SET sql = replace(replace(sql, ' NOT NULL', ''), 'STRICT', '') WHERE name = 'journal'")
    db.close()
    db = sqlite3.connect(str(ledger), isolation_level=None)
    db.execute("DROP TRIGGER IF EXISTS journal_update")
    db.execute("UPDATE journal SET body = ? WHERE seq = 190", (value,))
    db.close()
    with pytest.raises(LedgerFault, match="damaged: record 190 "):
        Ledger(ledger, ME)


def test_a_flipped_bit_in_a_blob_is_found(ledger: Path) -> None:
    """A blob is held against its address, which is the digest of what was written."""
    flipped(ledger, b"xxxxxxxxxxxxxxxxxxxxxxxxxx")
    made = Ledger(ledger, ME)
    with pytest.raises(LedgerFault, match=r"damaged: the blob [0-9a-f]{12} is not what was written"):
        made.body(list(made.records())[-1])
    made.close()


def test_a_file_that_was_cut_is_found(ledger: Path) -> None:
    """Pages that are neither in the file nor in its log are missed before anything is read, and the file is left alone."""
    path = Path(shutil.copy(ledger, ledger.with_name("crashed.db")))
    size = ledger.stat().st_size - 3 * 4096
    os.truncate(ledger, size)
    with pytest.raises(LedgerFault, match="malformed"):
        Ledger(ledger, ME)
    cut = crashed(path).stat().st_size // 2 // 4096 * 4096
    os.truncate(path, cut)
    with pytest.raises(LedgerFault, match=f"was cut short: it ends after {cut:,} bytes and should have") as raised:
        Ledger(path, ME)
    assert "mai restore" in raised.value.hint and (ledger.stat().st_size, path.stat().st_size) == (size, cut)


def crashed(path: Path, turns: int = 30) -> Path:
    """A ledger whose process was killed: its log is there."""
    with subprocess.Popen([sys.executable, "-P", "-c", TURNS, path, str(turns)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == f"{turns}\n"
        writer.send_signal(signal.SIGKILL)
    return path


TURNS = """
import sys, time
from pathlib import Path
from mai.sandbox.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), "acme/support")
for turn in range(1, int(sys.argv[2]) + 1):
    ledger.append("note", b'{"n":%d}' % turn)
    ledger.save("turn", "last", b"%d" % turn)
    ledger.commit()
print(turn, flush=True)
time.sleep(600)
"""


def log_of(path: Path) -> Path:
    """The write-ahead log of a ledger."""
    return path.with_name(f"{path.name}-wal")


def garbage(log: Path) -> None:
    """What follows the last frame is no frame."""
    with log.open("ab") as file:
        file.write(os.urandom(5000))


def torn(log: Path) -> None:
    """The last frame is not whole."""
    os.truncate(log, log.stat().st_size - 100)


@pytest.mark.parametrize(("harm", "left"), [(garbage, 30), (torn, 29)])
def test_a_torn_tail(tmp_path: Path, harm: Callable[[Path], None], left: int) -> None:
    """Garbage behind the log is ignored; of a log that is cut the last whole turn is left, journal and state together."""
    path = crashed(tmp_path / "ledger.db")
    harm(log_of(path))
    log_of(path).with_name(f"{path.name}-shm").unlink()
    made = Ledger(path, ME)
    assert (made.seq, made.get("turn", "last")) == (left, b"%d" % left)
    assert all(record.digest == digest_of(record) for record in made.records())
    made.append("note", b"{}")
    made.commit()
    made.close()


def test_the_log_of_another_ledger_is_refused(tmp_path: Path) -> None:
    """Whose pages they are is seen before the log is taken over into the file: put back, its own log makes it whole again."""
    (tmp_path / "a").mkdir()
    mine = crashed(tmp_path / "ledger.db")
    other = Ledger(tmp_path / "a" / "ledger.db", "acme/sales")
    for number in range(50):
        other.append("other", b'{"n":%d}' % number)
        other.commit()
    own = log_of(mine).read_bytes()
    shutil.copy(log_of(other.path), log_of(mine))
    other.close()
    log_of(mine).with_name(f"{mine.name}-shm").unlink()
    with pytest.raises(LedgerFault):
        Ledger(mine, ME)
    log_of(mine).write_bytes(own)
    log_of(mine).with_name(f"{mine.name}-shm").unlink(missing_ok=True)
    made = Ledger(mine, ME)
    assert made.seq == 30
    made.close()


# -- errors of the disk
@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize(("call", "when"), [("pwrite64", "60"), ("fsync,fdatasync", "14")])
def test_errors_of_the_disk(tmp_path: Path, error: str, call: str, when: str) -> None:
    """What was acknowledged before an error of a write or a sync is there, and a later start is told to be worth a try."""
    path = tmp_path / "ledger.db"
    command = ["strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:error={error}:when={when}+"]
    ran = subprocess.run([*command, sys.executable, "-P", "-c", TOUCHING, path], check=False, capture_output=True, text=True)
    *told, said = ran.stdout.splitlines()
    assert said.startswith("fault DiskFault") and str(path) in said, ran
    acknowledged = int(told[-1]) if told[-1] != "open" else 0
    assert 0 < acknowledged < 20
    made = Ledger(path, ME)
    assert acknowledged <= made.seq <= acknowledged + 1
    assert made.get("turn", "last") == b"%d" % (made.seq - 1)
    made.close()


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
def test_a_sync_that_failed_is_never_tried_again(tmp_path: Path) -> None:
    """After an error of a sync the file is neither synced nor checkpointed by this process, not even by closing it."""
    path, trace = tmp_path / "ledger.db", tmp_path / "trace"
    calls = "fsync,fdatasync"
    command = ["strace", "-f", "-o", str(trace), "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO:when=14"]
    closing = f"{TOUCHING}\nledger.close()\nimport os\nos._exit(0)\n"
    subprocess.run([*command, sys.executable, "-P", "-c", closing, path], check=True, capture_output=True)
    synced = [line for line in trace.read_text().splitlines() if "sync(" in line]
    assert len(synced) == 14 and "EIO" in synced[-1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_rights(ledger: Path) -> None:
    """It is said who needs which right."""
    ledger.parent.chmod(0o500)
    try:
        with pytest.raises(LedgerFault, match=r"readonly|unable to open"):
            Ledger(ledger, ME)
    finally:
        ledger.parent.chmod(0o700)


def test_what_passes_is_told_from_what_lasts() -> None:
    """A full disk, an I/O error and a read-only file system are worth another try; a damaged file is not."""
    assert not DiskFault.lasting and LedgerFault.lasting
