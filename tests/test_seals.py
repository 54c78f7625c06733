"""What the watchdog has on record of a client is readable as long as the client's key is there."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.daemon.book import Book
from mai.daemon.reader import Reader
from mai.daemon.remedy_book import Done, RemedyBook
from mai.daemon.seals import GONE, OPEN, Seals
from mai.sandbox.place import Place

MARKER = "the-secret-of-acme"
JSON = st.recursive(
    st.none() | st.integers(-(2**50), 2**50) | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@pytest.fixture(scope="module")
def seals(tmp_path_factory: pytest.TempPathFactory) -> Seals:
    """Of a client acme."""
    made = Seals(tmp_path_factory.mktemp("state"))
    made.make("acme")
    return made


@given(st.dictionaries(st.text().filter(lambda name: name not in (*OPEN, "sealed")), JSON), JSON)
def test_what_is_sealed_is_opened_again(seals: Seals, more: dict[str, object], row: object) -> None:
    """Any body and any row; names of processes and times stand in the clear."""
    body = {"process": "acme/sales", "what": "death", **more}
    shut = seals.seal(body)
    assert seals.open(shut) == body and set(shut) <= {"process", "what", "sealed"}
    assert seals.open_row(seals.seal_row("noun", "acme/sales", row)) == row


def test_the_key_of_one_client_opens_nothing_of_another(seals: Seals) -> None:
    """Nor does what somebody has changed open."""
    seals.make("beta")
    shut = seals.seal({"process": "acme/sales", "text": MARKER})
    assert MARKER not in json.dumps(shut)
    for other in (
        {**shut, "process": "beta/sales"},
        {**shut, "sealed": {"names": ["text"], "box": shut["sealed"]["box"][:-8] + "AAAAAAA="}},
    ):
        assert seals.open(other)["text"] == GONE
    assert seals.seal({"process": "watchdog", "text": "the disk is full"})["text"] == "the disk is full"
    assert seals.open({"process": "acme/x", "sealed": "nonsense"}) == {"process": "acme/x", "sealed": "nonsense"}


def test_the_book_can_be_read_until_the_key_is_gone(tmp_path: Path) -> None:
    """Incidents, wishes and remedies over a new start of the watchdog; then names and times alone, and no byte of the rest."""
    place = Place(tmp_path)
    place.prepare()
    book = Book(place.ledger("watchdog"))
    book.seals.make("acme")
    book.incident("acme/sales", "death", f"exit status 1: {MARKER}", pid=7, task=f"{MARKER}/1")
    book.want("acme/sales", "pause", "acme/operations/medic", MARKER)
    RemedyBook(book).enter(
        Done(id=f"{MARKER}/1.1", remedy="restart", process="acme/sales", by="medic", why=MARKER, request=MARKER)
    )
    book.flush(0.0)
    for path in place.watchdog.iterdir():
        assert MARKER.encode() not in path.read_bytes(), path
    again = Book(place.ledger("watchdog"))
    assert MARKER in again.recent["acme/sales"][0]["text"] and again.wants["acme/sales"]["why"] == MARKER
    assert RemedyBook(again).known[f"{MARKER}/1.1"].request == MARKER
    with closing(Reader(place, "watchdog")) as reader:
        found = [reader.fields(record) for record in reader.records("kind = 'incident'")]
    assert MARKER in found[0]["text"] and found[0]["pid"] == 7
    (tmp_path / "clients" / "acme" / "seal").unlink()
    last = Book(place.ledger("watchdog"))
    assert not last.recent and not last.wants and not RemedyBook(last).known
    bodies = [body for *_, body in last.entries(0, 10)]
    assert bodies[0] == {"process": "acme/sales", "what": "death", "pid": 7, "text": GONE, "task": GONE}
