"""Signed heads: what the watchdog signs, and that `mai verify` finds every journal that does not hold what was signed."""

import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pysqlite3 as sqlite3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.daemon.book import Book
from mai.daemon.heads import KIND, Heads, HeadsSigned
from mai.daemon.stream import Follower
from mai.daemon.verify import render, verify
from mai.sandbox.errors import UsageFault
from mai.sandbox.ledger import connect
from mai.sandbox.place import Place
from mai.sandbox.signing import Signer, signed
from tests.test_verify import anew, tamper, value
from tests.wired import Wired

SALES, MAI = "acme/sales", "acme/mai"
ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Wired]:
    """A company that has answered a request."""
    company = Wired(tmp_path).asked("r1")
    yield company
    company.close()


def ends(place: Place, process: str = SALES) -> tuple[int, str]:
    """Where a journal ends."""
    db = connect(place.ledger(process), write=False)
    seq, digest = db.execute("SELECT seq, digest FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    db.close()
    return seq, digest.hex()


def sign(place: Place, *others: int, **changed: Any) -> HeadsSigned:
    """What the watchdog does in a life with the head of sales, or at those times with Mai's; `changed` after it was signed."""
    signer, book = Signer(place.watchdog), Book(place.ledger("watchdog"))
    process = MAI if others else SALES
    for at_ms in others or (1,):
        heads = HeadsSigned(at_ms=at_ms, heads={process: ends(place, process)}, key=signer.public)
        heads = msgspec.structs.replace(heads, signature=signer.sign(heads.statement()))
        book.enter(KIND, msgspec.to_builtins(msgspec.structs.replace(heads, **changed)))
        book.flush(0.0)
    return heads


# -- the key
def test_a_key_is_made_once_and_kept_secret(tmp_path: Path) -> None:
    """The second start signs with the same key; only its owner may read it, and what was signed holds for it alone."""
    first, second = Signer(tmp_path), Signer(tmp_path)
    assert first.public == second.public == (tmp_path / "signing.pub").read_text().strip()
    assert stat.S_IMODE((tmp_path / "signing.key").stat().st_mode) == 0o600
    assert signed(second.public, first.sign(b"heads"), b"heads")
    (tmp_path / "other").mkdir()
    assert not signed(Signer(tmp_path / "other").public, first.sign(b"heads"), b"heads")


def test_what_is_no_key_is_a_fault(tmp_path: Path) -> None:
    """A damaged key is not replaced in silence: its signatures would be nobody's."""
    (tmp_path / "signing.key").write_text("no key\n")
    with pytest.raises(UsageFault, match="holds no key"):
        Signer(tmp_path)


@given(st.text(max_size=140), st.text(max_size=140), st.binary(max_size=9))
def test_anything_else_is_no_signature(public: str, signature: str, data: bytes) -> None:
    """Whatever stands in the place of a key or a signature is answered with no."""
    assert not signed(public, signature, data)


# -- what is signed
def test_heads_are_signed_when_they_are_new_and_due() -> None:
    """Once in the time that is set, and nothing when nothing was written."""
    heads = Heads({})
    assert heads.due(0.0, 30.0) == {}
    heads.hear("acme/a", 5, ONE)
    assert heads.due(1.0, 30.0) == {"acme/a": (5, ONE)}
    heads.hear("acme/a", 6, TWO)
    assert heads.due(30.9, 30.0) == {}
    assert heads.due(31.0, 30.0) == {"acme/a": (6, TWO)}
    assert heads.due(99.0, 30.0) == {}
    heads.hear("acme/b", 1, ONE)
    assert heads.due(99.0, 30.0, now=True) == {"acme/b": (1, ONE)}


def test_a_journal_that_goes_back_is_seen_at_once() -> None:
    """Also by a watchdog that was started meanwhile: it knows what was signed last."""
    heads = Heads({"acme/a": [5, ONE]})
    assert heads.hear("acme/a", 5, ONE) == heads.hear("acme/b", 1, TWO) == heads.hear("acme/a", 6, TWO) == ""
    assert "written anew" in heads.hear("acme/a", 6, ONE)
    heads.begin("acme/a")
    assert "ended with record 6" in heads.hear("acme/a", 2, ONE)
    heads.forget("acme/a")
    assert heads.hear("acme/a", 1, ONE) == ""


def test_what_is_not_the_journal_that_it_was_is_not_signed() -> None:
    """It is told once, also when it grows beyond what was signed; the true one, put back, goes on where it was."""
    heads = Heads({"acme/a": [5, ONE]})
    assert heads.hear("acme/a", 3, TWO) and not heads.hear("acme/a", 3, TWO) and not heads.hear("acme/a", 9, TWO)
    assert heads.due(0.0, 30.0, now=True) == {}
    heads.begin("acme/a")
    assert not heads.hear("acme/a", 5, ONE) and not heads.hear("acme/a", 6, TWO)
    assert heads.due(0.0, 30.0, now=True) == {"acme/a": (6, TWO)}


@given(st.integers(), st.text(max_size=70))
def test_nonsense_in_a_heartbeat_is_not_signed(seq: int, digest: str) -> None:
    """What is no number of a record, or no digest, is not taken for a head."""
    heads = Heads({})
    assert heads.hear("acme/a", seq, digest) == "" and heads.due(0.0, 30.0) == {}
    assert heads.hear("acme/a", 0, ONE) == heads.hear("acme/a", 1 << 63, ONE) == "" and heads.due(0.0, 30.0) == {}


def test_a_client_is_not_told_of_signed_heads(company: Wired) -> None:
    """They name the processes of all clients."""
    sign(company.place)
    book, told = Book(company.place.ledger("watchdog")), list[dict[str, Any]]()
    book.started(pid=1)
    book.flush(0.0)

    class Hearer:
        gone = False

        def answer(self, reply: dict[str, Any], *, more: bool = False) -> None:
            told.append(reply)

    Follower(book, Hearer(), "beta", 0).step()  # type: ignore[arg-type]
    assert [reply["record"]["kind"] for reply in told if "record" in reply] == ["started"]


# -- held against the journals
def test_true_heads_are_counted(company: Wired) -> None:
    """A journal that has grown since holds its old heads; the report says how many there were, and whose key it is."""
    sign(company.place)
    company.asked("r2")
    key = sign(company.place).key
    report = verify(company.place)
    assert report.sound and (report.heads, report.keys) == (2, (key,))
    assert f"2 heads signed by {key[:16]}" in render(report)
    assert verify(company.place, ["acme/mai"]).heads == 0


def test_a_journal_computed_anew_is_found_where_nobody_witnessed_it(company: Wired) -> None:
    """The last records, behind the last message, are changed with all digests right: only the signed head knows."""
    desk = company.desks[SALES]
    seq = desk.shell.ledger.append("note", b'{"text": "paid 100"}')
    desk.shell.ledger.commit()
    unsigned = verify(company.place)
    sign(company.place)
    company.close()

    def change(db: sqlite3.Connection) -> None:
        db.execute('UPDATE journal SET body=\'{"text": "paid 1"}\' WHERE seq=?', (seq,))
        anew(db, seq)

    tamper(company.place, SALES, change)
    report = verify(company.place)
    assert unsigned.sound
    assert [finding.process for finding in report.findings] == [SALES], render(report)
    assert f"record {seq} is not the one that the watchdog has signed" in report.findings[0].what


def test_a_cut_journal_and_an_older_copy_are_found(company: Wired, tmp_path: Path) -> None:
    """The journal ends before what was signed, also if a copy from then was put in its place."""
    sign(company.place)
    good, _ = ends(company.place)
    ledger = company.place.ledger(SALES)
    with company.place.ledger(SALES).open("rb"):
        shutil.copytree(ledger.parent, tmp_path / "older")
    desk = company.desks[SALES]
    seq = desk.shell.ledger.append("note", b"{}")
    desk.shell.ledger.commit()
    sign(company.place)
    company.close()
    shutil.rmtree(ledger.parent)
    shutil.copytree(tmp_path / "older", ledger.parent)
    report = verify(company.place)
    said = f"ends with record {good}, but the watchdog has signed (its record 2) record {seq}: it was cut, or is an older copy"
    assert len(report.findings) == 1 and said in report.findings[0].what, render(report)
    assert f"up to record {good} it fits" in report.findings[0].what


def test_a_process_that_hides_its_journal_is_found(company: Wired) -> None:
    """It has written on for minutes while others were signed, and none of its heads is: so long it could change it in peace."""
    sign(company.place)
    good, _ = ends(company.place)
    ledger, begun_ms = company.desks[SALES].shell.ledger, time.time_ns() // 1_000_000 + 1000
    for _ in range(151):
        ledger.append("note", b"{}")
    ledger.commit()
    company.close()
    tamper(company.place, SALES, lambda db: spread(db, good, begun_ms))
    for at_ms in (5_000, 20_000, 40_000, 55_000):
        sign(company.place, begun_ms + at_ms)
        assert verify(company.place).sound, "each life of the watchdog was too short to hear of it"
    sign(company.place, begun_ms + 60_000, begun_ms + 92_000, begun_ms + 99_000)
    assert verify(company.place).sound, "the first time may have been too early for its first heartbeat"
    sign(company.place, begun_ms + 100_000, begun_ms + 131_000, begun_ms + 142_000)
    (finding,) = verify(company.place).findings
    assert (finding.process, finding.seq) == (SALES, good + 1) and "not told to the watchdog" in finding.what
    sign(company.place)
    assert verify(company.place).sound, "it was late, and told it all the same"


def spread(db: sqlite3.Connection, after: int, begun_ms: int) -> None:
    """The records behind one were written a second apart."""
    db.execute("UPDATE journal SET at_ns = (? + 1000 * (seq - ?)) * 1000000 WHERE seq > ?", (begun_ms, after, after))
    anew(db, after + 1)


@pytest.mark.parametrize("changed", [{"at_ms": 2}, {"heads": {SALES: (1, ONE)}}, {"signature": "00" * 64}, {"key": ONE}])
def test_a_record_of_heads_that_was_changed_is_found(company: Wired, changed: dict[str, Any]) -> None:
    """The chain of the watchdog's journal may have been computed anew: the signature does not fit what it says."""
    sign(company.place, **changed)
    report = verify(company.place)
    assert [(finding.process, finding.seq) for finding in report.findings] == [("watchdog", 1)]
    assert "signature" in report.findings[0].what and value(company.place, "watchdog", "SELECT COUNT(*) FROM journal") == 1
