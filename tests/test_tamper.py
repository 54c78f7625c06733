"""The tamper campaign, in short: every kind of byte, and every deed of who knows the file."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pysqlite3 as sqlite3
import pytest

from mai.daemon.book import Book
from mai.sandbox.place import Place
from tests.million import Company
from tests.pages import spans
from tests.rounds import rounds
from tests.tamper import LISTED, Campaign, Room, archived, copied, kept
from tests.tamper_deeds import DEEDS, play, sign

FLIPS = rounds(1, 40)
DAMAGE = {"log frame header", "log page", "log header"}
WORK = "a long text about customers, orders and what they would like to know " * 300


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    """What a company has left: early, late, and as it is in the midst of its work, with logs."""
    directory = tmp_path_factory.mktemp("tamper")
    company = Company(directory / "live", sealed=True)
    company.place.lock.touch()
    found = {name: Place(directory / name) for name in ("older", "state", "killed")}
    company.asked("r1")
    company.close()
    sign(company.place)
    copied(company.place, found["older"])
    for process in list(company.desks):
        company.start(process)
    company.ask("r2", WORK)
    company.settle()
    company.asked("r3", "r4")
    company.close()
    book = Book(company.place.ledger("watchdog"))
    book.incident("acme/sales", "death", "something of the client's")  # under its seal
    book.flush(0.0)
    book.close()
    archived(company.place)
    sign(company.place)
    copied(company.place, found["state"])
    for process in list(company.desks):
        company.start(process)
    company.asked("r5", "r6")
    copied(company.place, found["killed"])
    company.close()
    yield found
    shutil.rmtree(directory)


@pytest.mark.parametrize("name", ["state", "killed"])
def test_a_flipped_bit_of_any_kind_is_found(left: dict[str, Place], name: str) -> None:
    """Whatever is read otherwise because of it is told; what is not, is listed with its reason."""
    campaign = Campaign(FLIPS, 7, lambda line: None)
    campaign.play(Room(left[name], kept(left[name])), rounds("" if name == "state" else "log", ""))
    assert campaign.missed == [], campaign.table()
    assert sum(counts["found"] > 0 for counts in campaign.counts.values()) > len(campaign.counts) * 2 // 3
    assert len(campaign.counts) > 40 if name == "state" else campaign.counts.keys() >= DAMAGE


def test_every_deed_is_named(left: dict[str, Place], tmp_path: Path) -> None:
    """By a plain run, by folding the state, or only by what lies elsewhere, as each deed says."""
    said: list[str] = []
    assert play(left["state"], left["older"], tmp_path / "deeds", said.append) == []
    assert len(said) == len(DEEDS) > 30 and {how for how, _ in DEEDS.values()} == {"plain", "state", "warning", "elsewhere"}


def test_the_map_has_each_byte_once(left: dict[str, Place]) -> None:
    """Of every ledger: no byte of the file is left out, none is two things, and what is a text is where the map says."""
    for process in left["state"].processes():
        path = left["state"].ledger(process)
        data, seen = path.read_bytes(), bytearray(path.stat().st_size)
        bodies = b""
        for first, length, what in spans(path):
            assert not any(seen[first : first + length]), what
            seen[first : first + length] = b"\1" * length
            bodies += data[first : first + length] if what == "journal body" else b""
        with closing(sqlite3.connect(path)) as db:
            said = b"".join(body.encode() for (body,) in db.execute("SELECT body FROM journal"))
        assert seen.count(0) == 0 and Counter(bodies) == Counter(said)


def test_what_may_be_missed_is_listed_for_people() -> None:
    """Each reason stands in SECURITY.md."""
    text = " ".join((Path(__file__).parent.parent / "SECURITY.md").read_text().split())
    assert all(reason in text for reason in LISTED.values())


def test_a_campaign_that_misses_something_says_so(left: dict[str, Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a verification that finds nothing every flip that changes something is told, with its place."""
    room = Room(left["state"], kept(left["state"]))
    sound = room.verified()
    monkeypatch.setattr(Room, "verified", lambda self: sound)
    campaign = Campaign(1, 3, lambda line: None)
    spots = {
        kind: some for kind, some in room.spots(Random(3)).items() if kind in ("journal body", "journal digest", "blob value")
    }
    monkeypatch.setattr(room, "spots", lambda random: spots)
    campaign.play(room)
    assert len(campaign.missed) == 3 and "byte" in campaign.missed[0]
