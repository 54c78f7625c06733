"""Ledgers as people's commands open them: read-only, beside the process that writes, in short reads."""

from pathlib import Path

import pysqlite3 as sqlite3
import pytest

from mai.daemon import reader as reading
from mai.daemon.reader import NotFound, Reader, chosen, clock, listed, opened
from mai.sandbox.errors import USAGE, LedgerFault
from mai.sandbox.ledger import BLOB_BYTES, Ledger, digest_of
from mai.sandbox.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two clients with a few records each, and a watchdog."""
    place = Place(tmp_path / "state", tmp_path / "run")
    place.prepare()
    for process in ("beta/mai", "acme/sales", "acme/mai", "watchdog"):
        place.home(process).mkdir(parents=True, exist_ok=True)
        ledger = Ledger(place.ledger(process), process)
        for number in range(5):
            ledger.append("note", f'{{"number":{number}}}'.encode(), request=f"r{number}")
        ledger.commit()
        ledger.close()
    return place


def test_processes_are_chosen_by_name(place: Place) -> None:
    """All, a client's or one; what is not there is named with what is, and is a wrong argument."""
    assert chosen(place, None) == ["acme/mai", "acme/sales", "beta/mai", "watchdog"]
    assert chosen(place, "acme") == ["acme/mai", "acme/sales"]
    assert chosen(place, "acme/sales") == ["acme/sales"]
    assert chosen(place, "watchdog") == ["watchdog"]
    for wrong in ("acm", "acme/", "sales", ""):
        with pytest.raises(NotFound) as missing:
            chosen(place, wrong)
        assert missing.value.hint == "there are acme/mai, acme/sales, beta/mai, watchdog"
        assert missing.value.code == USAGE


def test_a_long_list_of_names_is_cut() -> None:
    """An error names some of many, and how many more there are."""
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(number) for number in range(20)]).endswith("10, 11 and 8 more")


def test_records_are_read_as_they_were_written(place: Place) -> None:
    """The records of a condition in order, or the newest first, limited, with every column that the digest is over."""
    reader = Reader(place, "acme/sales")
    assert [record.seq for record in reader.records("seq > ?", 2)] == [3, 4, 5]
    assert [record.seq for record in reader.records("TRUE", limit=2, newest=True)] == [5, 4]
    assert [record.request for record in reader.records("request = ? AND kind = ?", "r3", "note")] == ["r3"]
    assert all(digest_of(record) == record.digest for record in reader.records("TRUE"))
    assert reader.last() == 5 and reader.fields(reader.records("seq=1")[0]) == {"number": 0}


def test_portions_are_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads a whole journal gets it in portions, never beyond the record that was named."""
    monkeypatch.setattr(reading, "BATCH", 2)
    reader = Reader(place, "acme/sales")
    assert [[row[0] for row in reader.portion(after, 4)] for after in (0, 2, 4)] == [[1, 2], [3, 4], []]


def test_it_reads_beside_the_writer(place: Place) -> None:
    """What is committed is seen at once by a reader that is open; what is not committed is not."""
    reader = Reader(place, "acme/sales")
    ledger = Ledger(place.ledger("acme/sales"), "acme/sales")
    ledger.append("note", b"{}")
    assert reader.last() == 5
    ledger.commit()
    assert reader.last() == 6
    ledger.close()


def test_no_read_stays_open(place: Place) -> None:
    """After every method the write-ahead log can be checkpointed whole: no read transaction is left behind."""
    reader = Reader(place, "acme/sales")
    ledger = Ledger(place.ledger("acme/sales"), "acme/sales")
    other = sqlite3.connect(str(place.ledger("acme/sales")), isolation_level=None)
    for read in (
        reader.last,
        lambda: reader.records("TRUE", limit=2),
        lambda: reader.select("SELECT * FROM state LIMIT 1"),
        lambda: reader.portion(0, 3),
    ):
        ledger.append("note", b"{}")
        ledger.commit()
        read()
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    ledger.close()


def test_any_path_is_a_path(tmp_path: Path) -> None:
    """Characters that mean something in a URI are part of a directory's name like any other."""
    path = tmp_path / "a?b#c %41" / "ledger.db"
    path.parent.mkdir()
    Ledger(path, "acme/sales").close()
    assert path.exists() and [one.name for one in tmp_path.iterdir()] == [path.parent.name]


@pytest.mark.parametrize("write", ["DELETE FROM state", "DROP TRIGGER journal_update", "PRAGMA user_version=9"])
def test_it_cannot_write(place: Place, write: str) -> None:
    """Nothing that a command asks can change a ledger."""
    reader = Reader(place, "acme/sales")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.connection.execute(write)


def test_a_wrong_query_is_a_fault_that_names_the_ledger(place: Place) -> None:
    """An error of SQLite reaches a person as one sentence about the file."""
    with pytest.raises(LedgerFault, match=r"acme/sales/ledger\.db cannot be used: no such table: absent"):
        Reader(place, "acme/sales").select("SELECT * FROM absent")


def test_what_is_no_ledger_is_a_fault(place: Place) -> None:
    """A file that SQLite cannot read, and one that has no journal, are faults that name the file."""
    place.ledger("acme/sales").write_bytes(b"something else " * 100)
    with pytest.raises(LedgerFault, match="not a database"):
        Reader(place, "acme/sales")
    place.ledger("acme/mai").write_bytes(b"")
    with pytest.raises(LedgerFault, match="no such table: journal"):
        Reader(place, "acme/mai").last()


def test_bodies_are_found_wherever_they_lie(place: Place) -> None:
    """A large body comes from its blob; a missing blob and what is no JSON object are given as what they are."""
    ledger = Ledger(place.ledger("acme/sales"), "acme/sales")
    for body in (b'{"text":"%s"}' % (b"x" * BLOB_BYTES), b"[1, 2]", b'{"blob":"0123456789abcdef","bytes":3}'):
        ledger.append("note", body)
    ledger.commit()
    ledger.close()
    reader = Reader(place, "acme/sales")
    large, wrong, missing = reader.records("seq > 5")
    assert reader.fields(large) == {"text": "x" * BLOB_BYTES}
    assert reader.fields(wrong) == {"unreadable": "[1, 2]"}
    assert "which is missing" in reader.fields(missing)["unreadable"]


def test_ledgers_are_closed_behind_a_walk(place: Place) -> None:
    """Who goes through many ledgers holds one open at a time."""
    for reader in opened(place, chosen(place, None)):
        assert reader.last() == 5
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        reader.connection.execute("SELECT 1")


@pytest.mark.parametrize("at_ns", [0, -5, 1_700_000_000_123_456_789, (1 << 63) - 1])
def test_any_number_is_a_time(at_ns: int) -> None:
    """Whatever stands in a record can be shown as a time."""
    assert clock(at_ns).isoformat()
