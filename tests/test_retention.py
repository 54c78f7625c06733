"""Retention: what the organisation says leaves the journal, its segments and their bodies, on record, and verify says so."""

import itertools
import zlib
from contextlib import closing
from pathlib import Path

import msgspec
import pysqlite3 as sqlite3
import pytest

from mai.agents import rotating
from mai.agents.archive_eraser import Taken, erase
from mai.agents.erased import Order, Values
from mai.agents.eraser import give as give_order
from mai.agents.eraser import obey, said
from mai.agents.events import Acked, Received, Sent, encode
from mai.agents.retention_scope import DAY_NS, Extent, OwnRetention, Retention, among, flaws, wanted
from mai.agents.rotating import ORDER, SAID, Asked, Rotating, give, vain
from mai.daemon.reader import Reader
from mai.daemon.redacted import erasures
from mai.daemon.replaying import replay
from mai.daemon.verify import verify
from mai.daemon.witness import Ends
from mai.sandbox import points
from mai.sandbox.bodies import REMOVED
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place
from mai.sandbox.record import digest_of
from mai.sandbox.rewriting import removed, rewritten, without

WHO = "acme/sales"
NOW_NS = 1_800_000_000 * 10**9


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A process that has written a record every hour for 50 days, with texts beside them."""
    place = Place(tmp_path / "state", tmp_path / "run")
    place.prepare()
    place.home(WHO).mkdir(parents=True)
    clock = itertools.count(NOW_NS - 50 * DAY_NS, DAY_NS // 24)
    monkeypatch.setattr("mai.sandbox.ledger.time.time_ns", lambda: next(clock))
    with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
        for n in range(300):
            text = ledger.keep(b"a text of %d" % n)
            ledger.append("step", f'{{"n":{n},"given":"{text}"}}'.encode(), request=f"r{n}", task=f"r{n}/1")
            sent = Acked(peer="acme/mai", received=n)
            ledger.append(sent.kind, encode(sent))
            ledger.append("hop", b'{"why":"so"}', request=f"r{n}", task=f"r{n}/1")
            ledger.append("note", b"{}")
        ledger.save("link", "acme/mai", b'{"peer":"acme/mai","sent":0,"acked":299,"received":0}')
        ledger.commit()
    monkeypatch.undo()
    monkeypatch.setattr("mai.agents.rotating.time.time_ns", lambda: NOW_NS)
    return place


def kept(place: Place, retention: Retention, free: int = 10**9) -> Rotating:
    """All is done that this retention wants just now."""
    with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
        return worked(ledger, retention, free)


def worked(ledger: Ledger, retention: Retention, free: int = 10**9) -> Rotating:
    """The same with a ledger that is open."""
    made = Rotating(ledger, retention, lambda: min(free, ledger.seq))
    for _ in range(4000):
        made.step()
        if not made.busy and made._look_s:  # it has looked, and there was nothing
            break
    assert not made.fault
    return made


def sound(place: Place) -> str:
    """What `mai verify` warns of, which finds nothing."""
    report = verify(place, [WHO])
    assert [one for one in report.findings if one.process == WHO] == []
    return " ".join(one.what for one in report.warnings)


def test_a_journal_keeps_what_it_is_to_and_the_rest_is_rotated(place: Place) -> None:
    """By age what is older leaves the journal, but nothing behind a record that something open needs."""
    kept(place, Retention(journal_days=30), free=200)
    with closing(Reader(place, WHO)) as reader:
        assert [(one.first, one.last) for one in reader.archive.entries] == [(1, 200)]
    kept(place, Retention(journal_days=30))
    with closing(Reader(place, WHO)) as reader:
        ((first, at_ns),) = reader.plain("SELECT seq, at_ns FROM journal ORDER BY seq LIMIT 1")
        assert NOW_NS - 30 * DAY_NS <= at_ns <= NOW_NS - 26 * DAY_NS and reader.archive.entries[-1].last == first - 1
        assert reader.last() == 1200 + len(reader.archive.entries)
    sound(place)


def test_bodies_of_some_kinds_go_and_all_else_stays(place: Place) -> None:
    """A thinned segment has every record, its chain holds, its blobs are gone; what is on record says which kinds and when."""
    kept(place, Retention(journal_days=30))
    kept(place, Retention(journal_days=30, bodies_days={"st*": 20, "note": 25}))
    with closing(Reader(place, WHO)) as reader:
        entry = reader.archive.entries[0]
        assert entry.kept == "some" and [one.name for one in place.home(WHO).glob("*.segment")] == [entry.file]
        records = reader.records("seq <= ?", entry.last)
        assert {one.body == REMOVED for one in records if one.kind in ("step", "note")} == {True}
        assert {one.body == REMOVED for one in records if one.kind in ("hop", "message.acked")} == {False}
        thinned = [reader.fields(one) for one in reader.records("kind = 'segment.thinned'")]
        assert [one["kinds"] for one in thinned] == [["note", "st*"]] and thinned[0]["records"] == entry.last // 2
        assert not list(reader.archive.segment(entry).addresses())
    sound(place)
    before = entry
    kept(place, Retention(journal_days=30, bodies_days={"st*": 20, "note": 25}))
    with closing(Reader(place, WHO)) as reader:
        assert reader.archive.entries[0] == before, "once is enough"


def test_a_segment_is_removed_in_its_time_and_the_chain_goes_on(place: Place) -> None:
    """What is older than keep_days goes; verify goes on behind it, and says when it was removed; what is needed stays."""
    with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
        text = ledger.keep(b"a text of 3")
        ledger.append("step", f'{{"given":"{text}"}}'.encode())
        ledger.commit()
    kept(place, Retention(journal_days=30))
    with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
        rotated = ledger.archive.entries[0]
        ledger.connection.execute("DELETE FROM blob WHERE address = ?", (text,))  # as if only the segment had it
        worked(ledger, Retention(journal_days=30, keep_days=20))
        assert ledger.archive.entries[0].kept == "none" and ledger.has(text)
        ledger.connection.execute("SELECT 1")
    assert not list(place.home(WHO).glob("*.segment"))
    with closing(Reader(place, WHO)) as reader:
        assert reader.records("seq <= ?", rotated.last) == [] and reader.record(rotated.last + 1)
        (gone,) = [reader.fields(one) for one in reader.records("kind = 'segment.removed'")]
        assert gone["links"] == {"acme/mai": [0, (rotated.last - 2) // 4, 0]} and gone["was"] == rotated.sha256
    sound(place)
    report = verify(place, [WHO], state=True)
    assert any("removed by retention" in one.what for one in report.warnings), report
    with pytest.raises(Exception, match="removed by retention on") as error:
        replay(place, f"{WHO}:5")
    assert "older than 20 days" in str(error.value)


@pytest.mark.parametrize("retention", [Retention(bodies_days={"step": 20}), Retention(journal_days=18, keep_days=19)])
def test_what_was_carried_away_is_let_be(place: Place, tmp_path: Path, retention: Retention) -> None:
    """The process goes on without such a segment and does what is due of the others; it is not changed while it is away."""
    for free in (200, 400, 600):
        kept(place, Retention(journal_days=18), free=free)
    first, second, third = sorted(place.home(WHO).glob("*.segment"))
    first.rename(tmp_path / first.name)
    whole = second.read_bytes()
    with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
        if retention.bodies_days:  # this one is there, and cannot be read
            second.write_bytes(bytes(len(whole)))
        made = Rotating(ledger, retention, lambda: 600)
        for _ in range(1000):
            made.step()
        assert bool(made.fault) is bool(retention.bodies_days) and (not made.fault or second.name in made.fault)
        how = [one.kept for one in ledger.archive.entries]
        assert how == (["all", "all", "some"] if retention.bodies_days else ["all", "none", "none"])
        entry = ledger.archive.entries[0]
        for steps in (removed(ledger, entry, b"{}"), rewritten(ledger, entry, without, lambda new, n: ("x", b"{}"), {})):
            with pytest.raises(LedgerFault, match="records 1 to 200 does not lie beside its ledger") as error:
                next(steps)
            assert "put the file back" in error.value.hint
        assert ledger.archive.entries[0] == entry and not ledger.pending
    assert not third.exists() and not list(place.home(WHO).glob("*.part"))
    (tmp_path / first.name).rename(first)
    if retention.bodies_days:
        second.write_bytes(whole)
    kept(place, retention)
    assert not first.exists() and not second.exists()
    sound(place)


def test_links_go_on_over_what_was_removed() -> None:
    """What a removed segment says of a link adds to what was read before it, for an older one may still be kept."""

    def sent(lseq: int) -> str:
        body = {"to": "acme/mai", "lseq": lseq, "id": "m", "deadline_ms": 0, "body": {}}
        return ends.add(Sent.kind, lseq, b"", msgspec.json.encode(body).decode())

    ends = Ends(WHO)
    assert [sent(lseq) for lseq in (1, 2, 3)] == ["", "", ""]
    ends.go_on_from({"acme/mai": (0, 3, 7)})  # it had acknowledgements and answers, and nothing that was sent
    assert ends.acked["acme/mai"] == (3, 0) and len(ends.received["acme/mai"]) == 7
    assert sent(4) == "" and "not the next one" in sent(6)
    ends = Ends(WHO)
    ends.go_on_from({"acme/mai": (5, 0, 0)})
    assert sent(6) == ""


@pytest.mark.parametrize("point", ["retention.written", "retention.recorded", "commit.inside", "commit.after"])
def test_a_death_while_something_is_thinned_or_removed_loses_nothing_else(place: Place, point: str) -> None:
    """The next life finds either what was, or what was to be, and no file beside it that no row names."""
    kept(place, Retention(journal_days=30))

    def strike(name: str) -> None:
        if name == point:
            raise Killed

    for retention in (Retention(journal_days=30, bodies_days={"step": 20}), Retention(journal_days=30, keep_days=25)):
        with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
            points.arm(strike)
            try:
                worked(ledger, retention)
            except Killed:
                pass
            finally:
                points.arm(None)
        sound(place)
        kept(place, retention)
        sound(place)
        with closing(Reader(place, WHO)) as reader:
            entries = reader.archive.entries
            files = {one.name for one in place.home(WHO).iterdir() if "segment" in one.name}
            assert files == {one.file for one in entries if one.kept != "none"}
            assert entries[0].kept == ("none" if retention.keep_days else "some")


def test_what_somebody_asks_for_is_done_over_a_death(place: Place) -> None:
    """An order lies in the process's directory until all is done that it asks for."""
    (place.home(WHO) / ORDER).write_bytes(msgspec.json.encode(Asked(NOW_NS - 20 * DAY_NS)))
    for most in (2, 4000):
        with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
            made = Rotating(ledger, Retention(), lambda: 1200)
            made.ask(place.home(WHO))
            for _ in range(most):
                if made.busy:
                    made.step()
    assert not (place.home(WHO) / ORDER).exists()
    with closing(Reader(place, WHO)) as reader:
        assert reader.archive.upto == 719 == reader.archive.entries[-1].last


def test_who_asked_is_told_why_it_is_given_up(place: Place) -> None:
    """A rotation that fails leaves the reason in the place of the order, if there is no room the name alone; then it is over."""
    home, before = place.home(WHO), Asked(NOW_NS - 20 * DAY_NS)
    stone = home / "ledger.000000000001-000000000002.segment.part"
    for room, told in ((True, "the rotation of the journal of acme/sales is given up"), (False, "could not be written down")):
        give(home, before)
        assert not vain(home)
        stone.mkdir()
        if not room:
            (home / f"{SAID}.part").mkdir()
        with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
            made = Rotating(ledger, Retention(), lambda: 1200)
            made.ask(home)
            made.step()
            assert made.fault and not made.busy and not (home / ORDER).exists()
        assert told in vain(home)
        stone.rmdir()
    (home / f"{SAID}.part").rmdir()
    give(home, before)
    assert not vain(home)


def test_an_order_outlives_what_else_fails(place: Place) -> None:
    """A thinning that is given up does not answer who wants a rotation."""
    kept(place, Retention(journal_days=30))
    (file,) = place.home(WHO).glob("*.segment")
    with closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE block SET data = x'00'")
        db.commit()
    with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
        upto = ledger.archive.upto
        made = Rotating(ledger, Retention(bodies_days={"step": 20}), lambda: 1200)
        while made.busy:
            made.step()
        made.step()
        give(place.home(WHO), Asked(NOW_NS - 15 * DAY_NS))
        made.ask(place.home(WHO))
        while not made.fault:
            made.step()
        assert "thinning" in made.fault and (place.home(WHO) / ORDER).exists()
        assert not list(place.home(WHO).glob("*.part"))
        while (place.home(WHO) / ORDER).exists():
            made.step()
        assert ledger.archive.upto > upto and not vain(place.home(WHO))


def test_when_something_leaves_the_journal() -> None:
    """By count half of what may stay goes at once; by age a tenth of the time; never what is needed, nor a few records."""
    assert wanted(Retention(journal_records=1000), Extent(1, 1000, 0, 1000), NOW_NS) == (0, 0)
    assert wanted(Retention(journal_records=1000), Extent(1, 1001, 0, 1001), NOW_NS) == (501, NOW_NS)
    assert wanted(Retention(journal_records=1000), Extent(1, 1001, 0, 300), NOW_NS) == (300, NOW_NS)
    assert wanted(Retention(journal_records=1000), Extent(1, 1001, 0, 50), NOW_NS) == (0, 0)
    assert wanted(Retention(journal_records=1000), Extent(5, 900_000, 0, 900_000), NOW_NS) == (100_004, NOW_NS)
    aged = Retention(journal_records=0, journal_days=10)
    assert wanted(aged, Extent(1, 9000, NOW_NS - 9 * DAY_NS, 9000), NOW_NS) == (0, 0)
    assert wanted(aged, Extent(1, 9000, NOW_NS - 11 * DAY_NS, 9000), NOW_NS) == (9000, NOW_NS - 9 * DAY_NS)
    assert wanted(Retention(journal_records=0), Extent(1, 9_000_000, 0, 9_000_000), NOW_NS) == (0, 0)


def test_what_cannot_be_meant_is_a_fault() -> None:
    """Kinds that a journal is read by stay; what is removed has left the journal; a department has what it does not say."""
    assert flaws(Retention(journal_days=30, keep_days=365, bodies_days={"step": 90, "memory.*": 30})) == []
    for wrong, words in (
        (Retention(journal_days=30, keep_days=20), "removed after keep_days"),
        (Retention(bodies_days={"message.sent": 5}), "message.sent always stay"),
        (Retention(bodies_days={"values.*": 5}), "values.* always stay"),
        (Retention(bodies_days={"segment.erased": 5}), "segment.erased always stay"),
        (Retention(bodies_days={"st*p": 5}), "no kind of record is meant by 'st*p'"),
        (Retention(bodies_days={"memroy.*": 5}), "no kind of record is meant by 'memroy.*'"),
        (Retention(bodies_days={"": 5}), "'' is no kind of record"),
        (Retention(bodies_days={"steps": 5}), "'steps' is no kind of record"),
        (Retention(keep_days=30, bodies_days={"step": 30}), "all is removed after keep_days, 30"),
    ):
        ((_, what, hint),) = flaws(wrong)
        assert words in what and hint
    assert flaws(Retention(bodies_days={"memory.writen": 9}))[0][2] == "did you mean memory.written?"
    assert flaws(Retention(bodies_days={"*": 90, "message.*": 90})) == []
    whole = Retention(journal_days=30, bodies_days={"step": 3})
    assert OwnRetention(keep_days=90).over(whole) == Retention(journal_days=30, keep_days=90, bodies_days={"step": 3})
    assert not among("rotated", frozenset({"*"})) and among("step", frozenset({"*"})) and not among("steps", frozenset({"step"}))
    assert {Sent.kind, Received.kind, Acked.kind} <= rotating.COUNTED


def test_what_is_given_up_leaves_nothing_behind(place: Place) -> None:
    """Over a damaged blob neither a file in the making stays, nor one that is whole and that no row names."""
    with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
        text = ledger.keep(b"a text of 3")
        ledger.append("step", f'{{"given":"{text}"}}'.encode())
        ledger.commit()

    def given_up(retention: Retention, db: sqlite3.Connection, data: bytes) -> list[str]:
        put(db, b"")
        with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
            made = Rotating(ledger, retention, lambda: 1200)
            while not made.fault:
                made.step()
        put(db, data)
        assert text[:12] in made.fault
        return [one.name for one in place.home(WHO).glob("*.segment*")]

    def put(db: sqlite3.Connection, data: bytes) -> None:
        db.execute("DELETE FROM blob WHERE address = ?", (text,))
        db.execute("INSERT INTO blob VALUES(?,?)", (text, data))

    with closing(sqlite3.connect(place.ledger(WHO), isolation_level=None)) as own:
        assert given_up(Retention(journal_days=30), own, b"a text of 3") == []
        kept(place, Retention(journal_days=30))
        own.execute("DELETE FROM blob WHERE address = ?", (text,))  # as if only the segment had it
    (file,) = place.home(WHO).glob("*.segment")
    with closing(sqlite3.connect(file, isolation_level=None)) as sealed:
        assert given_up(Retention(bodies_days={"step": 20}), sealed, zlib.compress(b"a text of 3")) == [file.name]


@pytest.mark.parametrize("retention", [Retention(bodies_days={"step": 20}), Retention(journal_days=18, keep_days=19)])
def test_one_damaged_segment_holds_no_other_back(place: Place, retention: Retention) -> None:
    """What is given up rests a while: what is due of the others is done, and the damaged one is not read again and again."""
    for free in (200, 400):
        kept(place, Retention(journal_days=18), free=free)
    first, _ = sorted(place.home(WHO).glob("*.segment"))
    with closing(sqlite3.connect(first, isolation_level=None)) as db:
        db.execute("UPDATE block SET data = x'00'")
    with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
        made = Rotating(ledger, retention, lambda: 400)
        faults = 0
        for _ in range(100):
            made.fault = ""
            made.step()
            faults += bool(made.fault)
        assert faults == 1
        assert [one.kept for one in ledger.archive.entries] == ["all", "some" if retention.bodies_days else "none"]


def erased(place: Place, monkeypatch: pytest.MonkeyPatch) -> int:
    """All is in segments, and of one record in the first the value was erased: its number. It is 30 days later."""
    monkeypatch.setattr("mai.sandbox.ledger.time.time_ns", lambda: NOW_NS - 25 * DAY_NS)
    kept(place, Retention(journal_days=18), free=200)
    with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
        was = next(ledger.records(kind="hop"))
        left = was._replace(body='{"why":"(erased e1)"}')
        listed = ((was.seq, was.digest.hex(), digest_of(left).hex()),)
        event = Values(erasure="e1", round=1, by="ann", role="admin", at_ms=NOW_NS // 10**6, records=listed)
        ledger.append(event.kind, encode(event))
        ledger.commit()
        for _ in erase(ledger, Taken("e1", frozenset({was.seq}), frozenset(), lambda record: left.body)):
            pass
        monkeypatch.setattr("mai.sandbox.ledger.time.time_ns", lambda: NOW_NS)
        made = Rotating(ledger, Retention(), lambda: ledger.seq)
        made.rotate(NOW_NS)
        while made.busy:
            made.step()
        assert [one.last for one in ledger.archive.entries] == [200, 1199, 1203] and not made.fault
    monkeypatch.setattr("mai.sandbox.ledger.time.time_ns", lambda: NOW_NS + 30 * DAY_NS)
    return was.seq


def test_nothing_is_erased_while_a_segment_is_elsewhere(place: Place) -> None:
    """Its records would be passed over, and the erasure be on record as done: whoever asked is told to put the file back."""
    kept(place, Retention(journal_days=30))
    (file,) = place.home(WHO).glob("*.segment")
    file.rename(place.state / file.name)
    order = Order(erasure="e1", round=1, subject="r3", requests=("r3",), salt=b"s", by="ann", role="admin", at_ms=1)
    give_order(place.home(WHO), order)
    with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
        seq = ledger.seq
        obey(place.home(WHO), ledger, lambda: pytest.fail("it is begun"), lambda: None)
        assert ledger.seq == seq and not ledger.pending
    told = said(place.home(WHO))
    assert told and told.state == "waits" and told.why == f"{WHO} lacks {file.name}, which was carried away: put it back"


def redacted(place: Place, seq: int) -> bool:
    """Does the journal still say of that record that it was erased, and by whom?"""
    with closing(Reader(place, WHO)) as reader:
        record = reader.record(seq)
        touched = erasures(reader).of(record) if record else None
        return touched is not None and "by ann, as e1" in touched.words


def test_what_an_erasure_has_said_is_not_thinned(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its records stay whole, whatever is said of bodies: else a record without its values were one that somebody has changed."""
    seq = erased(place, monkeypatch)
    kept(place, Retention(bodies_days={"v*": 20, "s*": 20}))
    with closing(Reader(place, WHO)) as reader:
        assert [one.kept for one in reader.archive.entries] == ["some", "some", "some"]
    assert redacted(place, seq)
    sound(place)


def test_what_an_erasure_has_said_outlives_what_it_says_that_of(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its segment is not removed while an older one is still kept, such as one that was carried away and is put back."""
    seq = erased(place, monkeypatch)
    first, second, third = sorted(place.home(WHO).glob("*.segment"))
    first.rename(away := place.state / first.name)
    kept(place, Retention(journal_days=18, keep_days=19))
    assert not second.exists() and third.exists()
    away.rename(first)
    assert redacted(place, seq)
    sound(place)
    kept(place, Retention(journal_days=18, keep_days=19))
    assert not first.exists() and not third.exists()
    sound(place)
