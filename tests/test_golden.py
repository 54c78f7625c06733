"""Golden ledgers: what the versions before this one wrote, by a real run of each, is read, and brought up to date, for ever.

`golden/formatN.tar.xz` is a state directory as the last version with that format has left it (b7cb307^, 790c101^, 83c0009^; the
fourth with a segment): `mai up etc/first.toml`, three questions, one of them so long that it lies in a blob, `mai down`.
The files are never made anew; who makes format 5 adds one of format 4 as it was released.
"""

import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from mai.daemon import trace as tracing
from mai.daemon.reader import Reader
from mai.daemon.tail import Tail
from mai.daemon.verify import verify
from mai.sandbox.ledger import Ledger
from mai.sandbox.lock import Lock
from mai.sandbox.place import FORMAT, Place
from mai.sandbox.rotation import Rotation
from tests.small import Daemon

GOLDEN = Path(__file__).parent / "golden"
FORMATS = range(1, FORMAT + 1)
PROCESSES = ("acme/mai", "acme/support", "watchdog")
FIRST = Path(__file__).parents[1] / "etc" / "first.toml"


def unpacked(number: int, directory: Path) -> Place:
    """The state directory that a version has left."""
    with tarfile.open(GOLDEN / f"format{number}.tar.xz") as tar:
        tar.extractall(directory, filter="data")
    return Place(directory)


@pytest.mark.parametrize("number", FORMATS)
def test_a_ledger_of_each_format_is_read_as_it_is(number: int, tmp_path: Path) -> None:
    """Verify, tail and trace read it without changing it; what verify says is which format it is, and nothing else."""
    place = unpacked(number, tmp_path)
    before = {process: place.ledger(process).read_bytes() for process in PROCESSES}
    for process in PROCESSES:
        with closing(Reader(place, process)) as reader:
            assert reader.plain("PRAGMA user_version") == [(number,)]
    report = verify(place)
    assert {one.what for one in report.findings} == (
        set() if number == FORMAT else {f"the ledger is of format {number}, this version writes {FORMAT}"}
    )
    lines = list(Tail(place, "acme").lines(10_000, follow=False))
    asked = ["golden-1", "golden-2", "golden-3"] + ["golden-4"] * (number == FORMAT)
    assert [line.record.request for line in lines if line.record.kind == "request.ended"] == asked
    for request in asked:
        found = tracing.trace(place, request)
        assert found.state == "answered" and "You asked" in found.answer and found.tasks, found
    assert {process: place.ledger(process).read_bytes() for process in PROCESSES} == before


@pytest.mark.parametrize("number", FORMATS)
def test_a_ledger_of_each_format_is_brought_up_to_date_and_goes_on(number: int, tmp_path: Path) -> None:
    """Opened by its process it is of this format, with the same records and all that was remembered, and can be rotated."""
    place = unpacked(number, tmp_path)
    for process in PROCESSES:
        with closing(Reader(place, process)) as reader:
            before = reader.records("TRUE")
        lock = Lock(place.home(process))
        with closing(Ledger(place.ledger(process), process)) as ledger:
            ledger.append("note", b"{}")
            ledger.commit()
            rotation = Rotation(ledger, ledger.seq - 1)
            while rotation.step():
                pass
            assert not rotation.fault
        lock.release()
        with closing(Reader(place, process)) as reader:
            assert reader.plain("PRAGMA user_version") == [(FORMAT,)] and reader.archive.upto >= len(before)
            assert reader.records("seq <= ?", len(before)) == before
    assert verify(place, ["acme"]).findings == verify(place, ["watchdog"]).findings == ()
    assert tracing.trace(place, "golden-2").state == "answered"


@pytest.mark.seconds(120)
def test_a_daemon_goes_on_from_the_oldest_format(module_state: Path) -> None:
    """`mai up` on what the first version has left: its agent remembers how often it was asked, and all verifies.

    Rows that the first version did not write yet `mai rebuild` makes of its records.
    """
    daemon = Daemon(module_state)
    daemon.file = FIRST
    unpacked(1, daemon.place.state)
    daemon.up()
    try:
        assert "This is question 5" in daemon.ask("When do you open on Sundays?", "r4")["answer"]
        assert daemon.ask("When do you open?", "golden-1")["answer"].startswith("You asked: When do you open?"), (
            "answered once, for ever"
        )
        ran = daemon.mai("verify")
        assert ran.returncode == 0, ran.stdout
    finally:
        daemon.mai("down")
    for process in ("acme/mai", "acme/support"):  # state that only later versions have from those records
        assert daemon.mai("rebuild", process).returncode == 0
    ran = daemon.mai("verify", "--state")
    assert ran.returncode == 0, ran.stdout
