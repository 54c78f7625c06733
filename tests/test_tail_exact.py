"""`mai tail -f` where something happens between two of its steps: each record once, in its order, at every seam."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import partial, partialmethod
from pathlib import Path

import pytest

from mai.agents.events import encode
from mai.agents.rotation_events import SegmentRemoved, SegmentThinned
from mai.daemon import cursors
from mai.daemon.reader import Body, Reader
from mai.daemon.tail import Tail
from mai.daemon.tail_commands import ENDS, _keep, _kept
from mai.sandbox.bodies import REMOVED, body_of
from mai.sandbox.ledger import BLOB_BYTES, Ledger, Record
from mai.sandbox.place import Place
from mai.sandbox.rewriting import removed, rewritten, without
from mai.sandbox.rotation import Rotation
from mai.sandbox.segment import Entry
from tests.test_tail import ledger, note, places, words


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A state directory without processes."""
    place = Place(tmp_path / "state", tmp_path / "run")
    place.prepare()
    return place


def written(place: Place, *said: str) -> Ledger:
    """A life of Mai's that says so."""
    one = ledger(place, "acme/mai")
    for word in said:
        note(one, word)
    return one


def copied(place: Place) -> Path:
    """The ledger as it is now, whole in one file."""
    copy, one = place.state / "copy", ledger(place, "acme/mai")
    one.connection.execute("VACUUM INTO ?", (str(copy),))
    one.close()
    return copy


def put_back(place: Place, copy: Path) -> None:
    """The copy is the ledger from now on, without the log of the other one."""
    path = place.ledger("acme/mai")
    for ending in ("-wal", "-shm"):
        path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)
    os.replace(copy, path)


# -- the end of a tail
@pytest.fixture
def handlers() -> Iterator[None]:
    """The handlers of signals are as they were."""
    before = {number: signal.getsignal(number) for number in ENDS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("cut", [1, 3])
@pytest.mark.usefixtures("handlers")
def test_a_signal_while_a_line_is_shown_repeats_nothing(place: Place, tmp_path: Path, number: int, cut: int) -> None:
    """Told to end between a line and the word that it was shown, a tail ends behind that line, and the next begins there."""
    written(place, "a", "b", "c", "d")
    cursor = tmp_path / "cursor"
    tail = Tail(place, places={}, keep=partial(_keep, cursor))
    lines = _kept(tail, cursor, follow=True)
    shown = [next(lines) for _ in range(cut)]
    with suppress(KeyboardInterrupt):
        os.kill(os.getpid(), number)
        assert list(lines) == []
    del lines  # it is closed: what was shown is kept
    rest = Tail(place, places=cursors.decode(cursor.read_bytes())).rest()
    assert words([*shown, *rest]) == ["a", "b", "c", "d"]


def test_an_impatient_end_loses_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told twice, a tail ends behind the line that is shown, never between reading and showing; after a while at once."""
    written(place, "a", "b", "c")
    tail = Tail(place, places={})
    plain = Reader.fields
    monkeypatch.setattr("mai.daemon.tail.SHOWN_S", 0.0)

    def twice(self: Reader, record: Record) -> Body:
        tail.stop()
        tail.stop()
        return plain(self, record)

    monkeypatch.setattr(Reader, "fields", twice)
    lines = tail.follow()
    shown = [next(lines)]
    monkeypatch.setattr("mai.daemon.tail.SHOWN_S", 1e9)
    tail.stop()
    monkeypatch.setattr("mai.daemon.tail.SHOWN_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        tail.stop()
    assert list(lines) == []
    monkeypatch.undo()
    assert words([*shown, *Tail(place, places=tail.places).rest()]) == ["a", "b", "c"]


def test_what_cannot_be_shown_is_not_taken_as_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error between reading and showing leaves the place before what was read."""
    written(place, "a", "b")
    tail = Tail(place, places={})
    plain = Reader.fields

    def failing(self: Reader, record: Record) -> Body:
        if record.seq == 2:
            raise MemoryError
        return plain(self, record)

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(Reader, "fields", failing)
        list(tail.rest())
    assert words(list(Tail(place, places=tail.places).rest())) == ["a", "b"]


# -- another ledger in its place
def test_a_ledger_that_is_replaced_while_it_is_opened_is_followed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening a file and noting which one it is another takes its place: that is seen at the next look."""
    written(place, "a").close()
    copy = copied(place)

    class Raced(Reader):
        """Right behind its opening a copy is put back."""

        def __init__(self, place: Place, process: str) -> None:
            super().__init__(place, process)
            if copy.exists():
                put_back(place, copy)

    monkeypatch.setattr("mai.daemon.tail.Reader", Raced)
    tail = Tail(place)
    assert words(tail.latest(9)) == ["a"]
    written(place, "b")
    assert words(tail.more(10.0)) == ["b"]


@pytest.mark.parametrize("since", [["d"], ["d", "e"], ["d", "e", "f", "g"]])
def test_what_a_restored_ledger_was_given_before_anybody_looked_comes(place: Place, since: list[str]) -> None:
    """However far an older copy has grown when it is looked at: just what is new in it comes, to a tail and behind a cursor."""
    written(place, "a").close()
    copy = copied(place)
    written(place, "b", "c").close()
    tail = Tail(place, places={})
    assert words(list(tail.rest())) == ["a", "b", "c"]
    kept = cursors.decode(cursors.encode(tail.places))
    put_back(place, copy)
    one = written(place, *since)
    assert one.seq == 1 + len(since)
    one.close()
    assert words(tail.more(1e9)) == words(list(Tail(place, places=kept).rest())) == since
    assert tail.places == {"acme/mai": cursors.end(Reader(place, "acme/mai"))}


def test_a_copy_that_has_all_that_was_read_goes_on(place: Place) -> None:
    """A copy that is ahead of the place is read from the place on."""
    written(place, "a").close()
    tail = Tail(place, places={})
    assert words(list(tail.rest())) == ["a"]
    written(place, "b").close()
    put_back(place, copied(place))
    written(place, "c")
    assert words(tail.more(1e9)) == ["b", "c"]


def test_lines_that_wait_are_shown_before_the_ledger_that_was_put_back(place: Place) -> None:
    """What was read of a ledger and waits for its turn is not taken for records of its copy: all of both comes once."""
    for name in ("acme/sales", "acme/people"):
        ledger(place, name)
    written(place, "a").close()
    copy = copied(place)
    tail = Tail(place, places={})
    assert words(tail.more(0.0, 0.0)) == ["a"]
    written(place, "b", "c").close()
    assert tail.more(0.1, 5.0) == []
    put_back(place, copy)
    written(place, "d")
    assert tail.more(2.0, 5.0) == []
    assert words(list(Tail(place, "acme/mai", places=tail.places).rest())) == ["d"]
    assert words(tail.more(6.0, 5.0)) == ["b", "c"]
    assert tail.more(8.0, 5.0) == []
    assert words(tail.more(14.0, 5.0)) == ["d"]


# -- segments that change under who reads them
def rotated(one: Ledger, upto: int) -> None:
    """Make a segment."""
    rotation = Rotation(one, upto)
    while rotation.step():
        pass
    assert not rotation.fault


def thinned(one: Ledger, entry: Entry) -> None:
    """Take all bodies out of a segment."""

    def say(new: Entry, count: int) -> tuple[str, bytes]:
        event = SegmentThinned(
            first=new.first, last=new.last, file=new.file, bytes=new.bytes, sha256=new.sha256, was=entry.sha256, kinds=("note",),
            records=count,
        )  # fmt: skip
        return event.kind, encode(event)

    assert list(rewritten(one, entry, without, say, {}))


def gone(one: Ledger, entry: Entry) -> None:
    """Remove a segment."""
    assert list(
        removed(one, entry, encode(SegmentRemoved(first=entry.first, last=entry.last, was=entry.sha256, why="", links={})))
    )


@pytest.fixture
def portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions are of four records."""
    for name in ("tail", "reader"):
        monkeypatch.setattr(f"mai.daemon.{name}.BATCH", 4)
    monkeypatch.setattr(Reader, "records", partialmethod(Reader.records, limit=4))


@pytest.mark.usefixtures("portions")
def test_a_backlog_is_read_on_over_segments_that_are_removed_and_thinned(place: Place) -> None:
    """What becomes of segments between two portions of a backlog ends no tail: what is kept comes once."""
    one = ledger(place, "acme/mai")
    for _ in range(4):
        for word in range(9):
            note(one, str(word))
        rotated(one, one.seq)
    first, second, third, _ = one.archive.entries
    tail = Tail(place, places={})
    shown = tail.more(0.0)
    assert len(shown) == 4 < first.last
    gone(one, second)
    thinned(one, third)
    for look in range(1, 20):
        shown += tail.more(float(look))
    kept = [seq for seq in range(1, one.seq + 1) if not second.first <= seq <= second.last]
    assert [seq for _, seq in places(shown)] == kept
    assert {line.record.seq for line in shown if line.record.body == REMOVED} == set(range(third.first, third.last + 1))


@pytest.mark.usefixtures("portions")
def test_a_backlog_whose_segments_went_with_their_ledger_is_read_on_in_its_copy(place: Place) -> None:
    """A ledger and its segments make way for a copy while a tail is in the midst of them: it goes on there, where it was."""
    one = written(place, *"abcdefgh")
    copy = copied(place)
    rotated(one := ledger(place, "acme/mai"), 4)
    rotated(one, 8)
    tail = Tail(place, places={})
    shown = tail.more(0.0)
    one.close()
    for segment in one.path.parent.glob("*.segment"):
        segment.unlink()
    put_back(place, copy)
    written(place, "i")
    for look in range(1, 9):
        shown += tail.more(look / 10)
    assert words(shown) == list("abcdefghi")


def test_a_text_that_comes_back_from_a_segment_is_found(place: Place) -> None:
    """Between the look into the ledger and that into the segments a text moves from these to that: it is not missing."""
    one = ledger(place, "acme/mai")
    said = json.dumps({"text": "x" * BLOB_BYTES})
    one.append("note", said.encode())
    one.commit()
    record = next(one.records())
    address = record.body.split('"')[3]
    one.move([address])

    def back(wanted: str) -> None:
        one.put({wanted: said.encode()})
        one.append("note", b"{}")
        one.commit()

    assert body_of(one.connection, record, elsewhere=back) == said


def test_a_text_that_is_removed_behind_its_record_is_shown_so(place: Place) -> None:
    """Between a record and its text retention takes the text: it is shown as removed, not as what cannot be read."""
    one = written(place, "x" * BLOB_BYTES)
    rotated(one, 1)
    reader = Reader(place, "acme/mai")
    record = reader.record(1)
    assert record and "blob" in record.body
    thinned(one, one.archive.entries[0])
    assert reader.fields(record) == json.loads(REMOVED)
