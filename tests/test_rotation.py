"""Rotation: old records leave the journal for sealed segments, and whoever reads, reads as if they had not."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pysqlite3 as sqlite3
import pytest

from mai.daemon.reader import Reader
from mai.sandbox import points
from mai.sandbox.block import Unreadable, pack, unpack
from mai.sandbox.bounds import ALL, Bounds, bounds
from mai.sandbox.durable import sha256
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import BLOB_BYTES, GENESIS, Ledger, Record, chain, digest_of
from mai.sandbox.place import Place
from mai.sandbox.rotation import Rotation

WHO = "acme/sales"
KINDS = ("hop", "step", "task.begun", "message.sent")


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """One process with an empty ledger."""
    place = Place(tmp_path / "state", tmp_path / "run")
    place.prepare()
    place.home(WHO).mkdir(parents=True)
    return place


def opened(place: Place) -> Ledger:
    """Its ledger, for writing."""
    return Ledger(place.ledger(WHO), WHO)


def written(place: Place, count: int, seed: int = 1) -> None:
    """So many records, some of them with large bodies, some with texts that lie beside them, and state."""
    chance = random.Random(seed)
    with closing(opened(place)) as ledger:
        for n in range(count):
            request = f"r{ledger.seq // 7}" if chance.random() < 0.9 else ""
            body: dict[str, Any] = {"n": n, "text": "é" * chance.randrange(200)}
            if chance.random() < 0.02:
                body["text"] = f"{n}{'x' * BLOB_BYTES}"
            if chance.random() < 0.05:
                body["given"] = ledger.keep(f"a text of {n // 40}".encode())
            ledger.append(
                chance.choice(KINDS), repr(body).replace("'", '"').encode(), request=request, task=f"{request}/1", agent="a"
            )
            if n % 10 == 9:
                ledger.save("note", f"k{n % 50}", b'{"of":"%d"}' % n)
                ledger.commit()
        ledger.commit()


def rotated(place: Place, upto: int) -> None:
    """The records up to this one are in a segment."""
    with closing(opened(place)) as ledger:
        rotation = Rotation(ledger, upto)
        while rotation.step():
            pass
        assert not rotation.fault


def everything(place: Place, upto: int = 0) -> list[Any]:
    """What readers are told of the records up to one, or of all, in all the ways that they ask."""
    with closing(Reader(place, WHO)) as reader:
        last = upto or reader.last()
        records = [Record(*row) for row in paged(reader, last)]
        assert records == reader.records("seq <= ?", last, limit=last + 1)
        assert records == reader.records("seq <= ?", last, limit=last + 1, newest=True)[::-1]
        assert [record.seq for record in records] == list(range(1, last + 1)) and all(
            digest_of(one) == one.digest for one in records
        )
        assert [(one.seq, one.kind, one.body) for one in records] == bodies(reader, last)
        return [
            records,
            [reader.body(record) for record in records],
            [list(reader.of_request(f"r{n}")) for n in range(last // 7 + 1)],
            [reader.record(seq) for seq in range(last + 1)],
            [reader.records("kind = ? AND seq > ?", kind, last // 3, limit=9) for kind in KINDS],
            [reader.records("kind = ? AND seq <= ? AND request <> ''", kind, last // 2, limit=9, newest=True) for kind in KINDS],
            reader.records("substr(kind, 1, 4) = ? AND request = ?", "task", "r3"),
            reader.records("kind = 'hop' OR seq < 5", limit=40),
            reader.requests("r1", 30),
            [reader.blob(hashlib.sha256(f"a text of {n}".encode()).hexdigest()) for n in range(last // 40 + 2)],
        ]


def paged(reader: Reader, last: int) -> Iterator[Any]:
    """All rows, in portions."""
    after = 0
    while rows := reader.portion(after, last):
        yield from rows
        after = rows[-1][0]


def bodies(reader: Reader, last: int) -> list[Any]:
    """All bodies, in portions."""
    found: list[Any] = []
    while rows := reader.bodies(found[-1][0] if found else 0, last):
        found += rows
    return found


def test_readers_read_across_segments(place: Place) -> None:
    """Whatever is asked of a rotated journal has the same answer as before, and the journal goes on behind its segments."""
    written(place, 1800)
    before = everything(place)
    for upto in (700, 701, 1500):
        rotated(place, upto)
        with closing(Reader(place, WHO)) as reader:
            assert reader.connection.execute("SELECT MIN(seq) FROM journal").fetchone() == (upto + 1,)
            said = [reader.fields(one) for one in reader.records("kind = 'rotated'")]
            assert said[-1]["last"] == upto and said[-1]["sha256"] == sha256(place.home(WHO) / said[-1]["file"])
        assert everything(place, 1800) == before
    written(place, 500, seed=2)
    assert len(everything(place)[0]) == 2303
    live = place.ledger(WHO).stat().st_size
    assert sum(one.stat().st_size for one in place.home(WHO).glob("*.segment")) < live / 3


def test_blobs_go_along_and_those_in_use_stay(place: Place) -> None:
    """What only rotated records refer to leaves the ledger, what the journal, the state or a kept text names stays."""
    with closing(opened(place)) as ledger:
        texts = {what: ledger.keep(what.encode()) for what in ("old", "both", "state", "inner", "never")}
        outer = ledger.keep(f'["{texts["inner"]}"]'.encode())
        for what in ("old", "both", "state", "inner"):
            ledger.append("step", f'{{"given":"{texts[what]}"}}'.encode())
        ledger.append("step", b"{}")
        ledger.append("step", f'{{"given":["{texts["both"]}","{outer}"]}}'.encode())
        ledger.save("note", "k", f'{{"of":"{texts["state"]}"}}'.encode())
        ledger.commit()
        rotation = Rotation(ledger, 5)
        while rotation.step():
            pass
        held = {address for (address,) in ledger.connection.execute("SELECT address FROM blob")}
        assert held == {texts[what] for what in ("both", "state", "inner", "never")} | {outer}
        assert ledger.blob(texts["old"]) == b"old" and ledger.keep(b"old") == texts["old"]
        ledger.commit()
        assert ledger.connection.execute("SELECT 1 FROM blob WHERE address = ?", (texts["old"],)).fetchone()


def test_what_is_written_while_blobs_are_moved_keeps_its_own(place: Place) -> None:
    """A turn between two steps may take up a blob, or move it within the state: it stays."""
    for turn in range(1, 30):
        with closing(opened(place)) as ledger:
            address = ledger.keep(b"%d" % turn)
            ledger.append("step", f'{{"given":"{address}"}}'.encode())
            ledger.commit()
            rotation, steps = Rotation(ledger, ledger.seq), 0
            while rotation.step():
                steps += 1
                if steps == turn:
                    ledger.keep(b"%d" % turn)
                    ledger.append("step", f'{{"again":"{address}"}}'.encode())
                    ledger.commit()
            if turn <= steps:
                assert ledger.connection.execute("SELECT 1 FROM blob WHERE address = ?", (address,)).fetchone(), turn
            assert ledger.blob(address) == b"%d" % turn


@pytest.mark.parametrize("point", [name for name in points.POINTS if name.startswith(("rotation.", "commit."))])
def test_a_death_at_each_point_loses_nothing_and_repeats_nothing(place: Place, point: str) -> None:
    """Whenever it dies, at whichever time that it is there, the next life reads the same, and ends what was begun."""
    written(place, 700)
    before = everything(place)
    for time in range(1, 5):
        reached: list[str] = []

        def strike(name: str, time: int = time, reached: list[str] = reached) -> None:
            reached.append(name)
            if reached.count(point) == time:
                raise Killed

        with closing(opened(place)) as ledger:
            points.arm(strike)
            try:
                rotation = Rotation(ledger, 150 * time)
                while rotation.step():
                    pass
            except Killed:
                pass
            finally:
                points.arm(None)
        assert everything(place, 700) == before
    rotated(place, 0)
    with closing(opened(place)) as ledger:
        rotated_upto, entries = ledger.archive.upto, ledger.archive.entries
        assert rotated_upto == entries[-1].last and ledger.moved() == rotated_upto
        assert {one.file for one in entries} == {one.name for one in place.home(WHO).iterdir() if "segment" in one.name}
        assert [one.first for one in entries] == [1, *(one.last + 1 for one in entries[:-1])]


def test_a_reader_beside_who_rotates_sees_each_record_once(place: Place) -> None:
    """Between two steps of a rotation, a reader that was open before it finds all records, in each way of reading."""
    written(place, 1200)
    with closing(Reader(place, WHO)) as reader, closing(opened(place)) as ledger:
        due = list(range(1, 1201))
        for upto in (600, 1199):
            rotation = Rotation(ledger, upto)
            while rotation.step():
                assert [one.seq for one in reader.records("seq <= 1200", limit=3000)] == due
                assert [one.seq for one in reader.records("seq <= 1200", limit=3000, newest=True)] == due[::-1]
                assert [row[0] for row in paged(reader, 1200)] == due


def test_a_damaged_journal_is_not_rotated(place: Place) -> None:
    """Where the chain does not hold nothing is moved: the evidence stays where it is."""
    written(place, 300)
    with closing(opened(place)) as ledger:
        ledger.connection.execute("DROP TRIGGER journal_delete")
        ledger.connection.execute("DELETE FROM journal WHERE seq = 100")
        rotation = Rotation(ledger, 200)
        while rotation.step():
            pass
        assert "record 101 does not follow record 99" in rotation.fault and not ledger.archive.entries
    assert not list(place.home(WHO).glob("*segment*"))


def test_a_segment_that_was_changed_is_not_believed(place: Place) -> None:
    """A byte in a block, or a segment that is missing, ends a reading with an error that names the file."""
    written(place, 600)
    rotated(place, 550)
    (file,) = place.home(WHO).glob("*.segment")
    with closing(sqlite3.connect(file)) as db:
        (block,) = db.execute("SELECT data FROM block LIMIT 1").fetchone()
    part = block[20:80]
    file.write_bytes(file.read_bytes().replace(part, part[:-1] + bytes([part[-1] ^ 1])))
    with closing(Reader(place, WHO)) as reader, pytest.raises(LedgerFault, match="is damaged"):
        reader.records("TRUE")
    file.unlink()
    with closing(Reader(place, WHO)) as reader:
        assert [one.seq for one in reader.records("seq > 550")] == list(range(551, 602))
        with pytest.raises(LedgerFault, match="with the records 1 to 550 is missing"):
            reader.records("TRUE")


def test_a_block_gives_back_what_was_packed() -> None:
    """Records of any columns; one whose digest is not that of what it says keeps it; damage is seen."""
    records, head = [], GENESIS
    for seq in range(5, 80):
        texts = ("boot", "step", "é\x00\n", "", "a", "x" * seq)
        digest = chain(head, seq, 10**18 - seq, 1, texts)
        records.append(Record(seq, 10**18 - seq, 1, *texts, head, digest))
        head = digest
    records[40] = records[40]._replace(body='{"redacted":true}')
    data = pack(records)
    assert unpack(data, 5, GENESIS) == records
    for wrong in (data[:-3], data[1:], b"", data[:30] + bytes([data[30] ^ 1]) + data[31:]):
        with pytest.raises(Unreadable):
            unpack(wrong, 5, GENESIS)


def test_bounds_are_what_a_condition_says_and_never_narrower() -> None:
    """What is understood of a condition chooses blocks; what is not leaves all of them."""
    assert bounds("seq > ? AND seq <= ? AND kind = ?", (3, 9, "hop")) == (Bounds(3, 9, frozenset({"hop"})), True)
    assert bounds("request = ? AND request <> '' AND seq > ?", ("r", 4)) == (Bounds(4, request="r"), True)
    assert bounds("kind IN (?,?) AND seq = 7", ("a", "b")) == (Bounds(6, 7, frozenset({"a", "b"})), True)
    assert bounds("kind = 'incident' AND at_ns >= ?", (5,)) == (Bounds(kinds=frozenset({"incident"}), since_ns=5), True)
    assert bounds("substr(kind, 1, ?) = ? AND seq > ?", (3, "hop", 8)) == (Bounds(8), False)
    for unclear in ("seq > 5 OR kind = ?", "NOT (seq > 5 AND kind = 'a' AND seq < 9)", "seq > 5 -- AND kind = 'a'"):
        assert bounds(unclear, ("a",)) == (ALL, False)
    assert bounds("NOT kind = ? AND seq < ?", ("a", 4)) == (Bounds(upto=3), False)
    assert bounds("kind <> ? AND task = ? AND request <> ''", ("a", "t")) == (Bounds(task="t"), False)


def test_who_has_no_segment_any_more_rotates_again(place: Place, tmp_path: Path) -> None:
    """Segments were carried away, or one is damaged: the next rotation does not need them, and readers find them there."""
    written(place, 900)
    before = everything(place)
    for upto in (300, 600):
        rotated(place, upto)
    first, second = sorted(place.home(WHO).glob("*.segment"))
    away = tmp_path / "cold" / WHO
    away.mkdir(parents=True)
    first.rename(away / first.name)
    kept = second.read_bytes()
    second.write_bytes(b"\0" * len(kept))
    rotated(place, 800)
    second.write_bytes(kept)
    with closing(Reader(place, WHO)) as reader, pytest.raises(LedgerFault, match="records 1 to 300 is missing"):
        reader.records("TRUE")
    (away / first.name).rename(first)
    assert everything(place, 900) == before
    with closing(opened(place)) as ledger:
        assert [one.last for one in ledger.archive.entries] == [300, 600, 800]
