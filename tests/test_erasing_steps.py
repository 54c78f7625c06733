"""The parts of an erasure, each by itself: the watchdog's own ledger, a process without one of its segments, orders, rounds."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from mai.agents import eraser
from mai.agents.erased import Order, Values
from mai.agents.organisation import Organisation, mandate
from mai.agents.retention_scope import Retention
from mai.agents.rotating import ORDER, Asked, Rotating
from mai.daemon import book_eraser
from mai.daemon.book import Book
from mai.daemon.person_files import Words, clear_deaths, overwrite_lines
from mai.daemon.persons import MOST_ROUNDS, Job
from mai.daemon.reader import Reader
from mai.daemon.remedy_book import Done, RemedyBook
from mai.daemon.tooling import ToolsDecider
from mai.daemon.verify import verify
from mai.sandbox.durable import GONE
from mai.sandbox.errors import MaiError, Refused
from mai.sandbox.ledger import BLOB_BYTES, Ledger, connect
from mai.sandbox.place import Place
from tests.opened import ALLOWED
from tests.test_durable import killed

ANNA = "anna@example.org"
WHO = "acme/tools"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A state directory with one client."""
    made = Place(tmp_path / "state", tmp_path / "run")
    made.prepare()
    made.home(WHO).mkdir(parents=True)
    return made


# -- the watchdog's own
@pytest.fixture
def book(place: Place) -> Iterator[Book]:
    """One that names Anna: in a segment, in what came after it, and in rows of state."""
    made = Book(place.ledger("watchdog"))
    made.seals.make("acme")
    made.incident("acme/sales", "death", f"exit status 1: {ANNA} was the last word", pid=7)
    made.incident("acme/sales", "death", "exit status 1: " + "x" * BLOB_BYTES + ANNA, task="r7/1")
    made.incident("acme/sales", "death", "exit status 2")
    made.flush(0.0)
    ledger = made.ledger
    assert ledger is not None
    rotating = Rotating(ledger, Retention(), lambda: ledger.seq, forgets=False)
    rotating.rotate(time.time_ns())
    while rotating.busy:
        rotating.step()
    assert ledger.archive.upto == ledger.archive.entries[-1].last == 3
    made.enter("heads", {"process": "acme/sales"}, ("heads", "acme/sales", [7, "d1d5"]))  # as others keep them
    made.want("acme/sales", "pause", "root", f"{ANNA} has to be called")
    RemedyBook(made).enter(Done(id="r8/1.1", remedy="page", process="acme/sales", by="medic", why=ANNA))
    made.flush(0.0)
    yield made
    made.close()


def erased(book: Book, *requests: str) -> int:
    """Erase her, without a pause; how many records were concerned."""
    steps = book_eraser.erase(
        book, "acme", words=Words((ANNA,)), requests=frozenset(requests),
        said=Values(erasure="e1", round=1, by="root", role="administrator", at_ms=1),
    )  # fmt: skip
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return int(end.value)


def known(place: Place) -> str:
    """All that can be read there, with the client's key, and the rows."""
    with closing(Reader(place, "watchdog")) as reader:
        said = [reader.fields(record) for record in reader.records("TRUE")]
    again = Book(place.ledger("watchdog"))
    rows = [again.recent, again.wants, again.failed, [msgspec.to_builtins(one) for one in RemedyBook(again).known.values()]]
    again.close()
    return repr((said, rows))


def test_the_watchdog_forgets_a_person_in_records_rows_and_segments(place: Place, book: Book) -> None:
    """Also in its memory, from which rows are written again; what is about others stays, and the journal verifies."""
    remedies = RemedyBook(book)
    assert ANNA in known(place) and remedies.known["r8/1.1"].why == ANNA
    old = [path.name for path in place.watchdog.glob("*.segment")]
    assert erased(book) == 4
    assert ANNA not in known(place) and "exit status 2" in known(place)
    assert ANNA not in repr((book.recent, book.wants, remedies.known))
    assert not set(old) & {path.name for path in place.watchdog.iterdir()}
    report = verify(place, ["watchdog"])
    assert report.sound, report.findings
    assert erased(book) == 4  # once more changes nothing


def test_who_is_killed_after_the_commit_goes_on_with_the_segments(place: Place, book: Book) -> None:
    """The journal lists what has gone; the next life takes it out of the segments, too, and writes the file anew."""
    killed("erase.committed", lambda: erased(book))
    book.close()
    assert ANNA in known(place)
    with closing(Book(place.ledger("watchdog"))) as again:
        assert erased(again) == 4
    assert ANNA not in known(place)
    assert verify(place, ["watchdog"]).sound


def test_it_is_not_done_while_somebody_reads_what_was_there(place: Place, book: Book) -> None:
    """The write-ahead log still has it for the reader; it is tried again until nobody is in the way."""
    reader = connect(place.ledger("watchdog"), write=False)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM journal").fetchall()
    with pytest.raises(MaiError, match="reads"):
        erased(book)
    reader.close()
    assert erased(book) == 4


def test_nothing_is_rotated_meanwhile(place: Place, book: Book) -> None:
    """Who has been asked to rotate waits until it is done: a file in the making is not taken for what a death has left."""
    (place.watchdog / ORDER).write_bytes(msgspec.json.encode(Asked(time.time_ns())))
    before = list(place.watchdog.glob("*.segment*"))
    for held in (True, False):
        book.hold(held=held)
        for n in range(50):
            book.flush(time.monotonic() + n)
        assert (list(place.watchdog.glob("*.segment*")) == before) is held


# -- a process
def ordered(place: Place) -> Order:
    """An order for a process with two segments."""
    with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
        for n in range(40):
            ledger.append("process.stopped", b'{"why":"%d"}' % n)
        ledger.commit()
        rotating = Rotating(ledger, Retention(), lambda: ledger.seq, forgets=False)
        for upto in (time.time_ns(), time.time_ns()):
            rotating.rotate(upto)
            while rotating.busy:
                rotating.step()
    given = Order(
        erasure="e1", round=1, subject=ANNA, requests=("r1",), values=(), salt=b"salt", by="root", role="administrator", at_ms=1
    )  # fmt: skip
    eraser.give(place.home(WHO), given)
    return given


def blank() -> ToolsDecider:
    """One that knows nothing."""
    return ToolsDecider(
        mandate(Organisation(policies=ALLOWED, name="x", clients=("acme",), departments=(), digest="d"), "acme", "tools")
    )


def obeyed(place: Place) -> eraser.Said | None:
    """What the process says of its order."""
    with closing(Ledger(place.ledger(WHO), WHO)) as ledger:
        before = ledger.seq
        eraser.obey(place.home(WHO), ledger, blank, lambda: None)
        said = eraser.said(place.home(WHO))
        assert said is None or said.state == "done" or ledger.seq == before
        return said


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_who_lacks_a_segment_changes_nothing_and_waits(place: Place, harm: str) -> None:
    """What would be erased from the others alone is not erased; once the segment is back it is done."""
    given = ordered(place)
    (path,) = place.home(WHO).glob("*.segment")
    whole = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.chmod(0o600)
        path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    said = obeyed(place)
    assert said is not None and said.state == "waits" and path.name in said.why
    path.write_bytes(whole)
    eraser.give(place.home(WHO), given)
    said = obeyed(place)
    assert said is not None and said.state == "done"


def test_half_an_order_is_none_and_goes(place: Place) -> None:
    """Who died while he destroyed his order starts as if there were none, and whoever waits for the end sees it."""
    ordered(place)
    killed("erase.overwritten", lambda: obeyed(place))
    home = place.home(WHO)
    assert not (home / eraser.ORDER).exists() and eraser.ordered(home)
    said = obeyed(place)
    assert said is not None and said.state == "done" and not eraser.ordered(home)
    assert not list(home.glob(f"*{GONE}"))


# -- what lies beside the ledgers
def test_who_begins_again_counts_what_was_done_before_he_died(place: Place) -> None:
    """Lines that are overwritten, deaths without their last words: the certificate says how many there are, whoever did it."""
    log = place.logs / "acme.sales.log"
    log.write_text(f"one\n{ANNA} has come and is gone\nthree, {ANNA.upper()}\n")
    deaths = place.state / "deaths" / "acme.sales"
    deaths.mkdir(parents=True)
    for number, said in enumerate(({"output": ANNA}, {"task": "r1/1", "why": "killed"}, {"task": "r2/1", "why": "killed"})):
        (deaths / f"{number}.json").write_text(json.dumps(said))
    words, requests = Words((ANNA,)), frozenset({"r1"})
    for _ in range(2):
        assert overwrite_lines(log, words, "(erased e1)") == 2
        assert clear_deaths(place, "acme", words, requests, "e1") == 2
    assert log.read_text().split() == ["one", "(erased", "e1)", "(erased", "e1)"]
    assert [json.loads(path.read_text()).get("why") for path in sorted(deaths.iterdir())] == ["", "(erased e1)", "killed"]


# -- the job
def test_deaths_are_no_rounds_that_are_too_many() -> None:
    """Who was killed a hundred times goes on; only requests that come again and again are a reason to stop and say so."""
    job = Job(
        erasure="e1", client="acme", subject="anna", also=(), requests=(), reference="", salt=b"", by="root",
        role="administrator", asked_ms=1, round=100,
    )  # fmt: skip
    for n in range(MOST_ROUNDS - 1):
        job.once_more([f"r{n}"])
    with pytest.raises(Refused):
        job.once_more(["r99"])
    assert len(job.requests) == MOST_ROUNDS
    job.once_more(["r100"])  # after the pause that it asks for
