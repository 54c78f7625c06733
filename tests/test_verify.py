"""`mai verify`: a sound company passes, at every moment of its work; whatever is tampered with is named."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pysqlite3 as sqlite3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mai.agents.events import Acked, Received, Sent
from mai.agents.messages import Task
from mai.daemon.book import Book
from mai.daemon.reader import NotFound
from mai.daemon.verify import Report, fields, render, verify
from mai.daemon.witness import Finding, Strand
from mai.sandbox.ledger import BLOB_BYTES, Ledger, chain
from mai.sandbox.place import FORMAT, Place
from mai.sandbox.schema import TRIGGERS, crc
from tests.wired import Wired, write

Change = Callable[[sqlite3.Connection], object]
SALES, MARKETING, MAI = "acme/sales", "acme/marketing", "acme/mai"
COLUMNS = "seq, at_ns, term, boot, kind, request, task, agent, body, prev, digest"


@pytest.fixture(scope="module")
def finished() -> Iterator[Place]:
    """A company that has answered some requests and has ended; tests copy it."""
    directory = Path(tempfile.mkdtemp(prefix="mai-verify-"))
    company = Wired(directory).asked("r1", "r2")
    company.ask("r3", "a long text " * (BLOB_BYTES // 10))
    company.settle()
    yield company.close().place
    shutil.rmtree(directory)


@pytest.fixture
def place(finished: Place, tmp_path: Path) -> Place:
    """A copy of it."""
    shutil.copytree(finished.state, tmp_path / "state")
    return Place(tmp_path / "state", tmp_path / "run")


@contextmanager
def tampering(path: Path) -> Iterator[sqlite3.Connection]:
    """The ledger for somebody who knows it: without its triggers, which are put back, and with the check values made anew."""
    db = sqlite3.connect(str(path), isolation_level=None)
    triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type='trigger'").fetchall()
    for name, _ in triggers:
        db.execute(f"DROP TRIGGER {name}")
    try:
        yield db
        db.create_function("crc", 3, crc)
        db.execute("UPDATE state SET crc = crc(noun, key, value)")
        for _, sql in triggers:
            db.execute(sql)
    finally:
        db.close()


def tamper(place: Place, process: str, change: str | Change, *given: object) -> None:
    """Change a ledger by SQL, or by a function."""
    with tampering(place.ledger(process)) as db:
        if isinstance(change, str):
            db.execute(change, given)
        else:
            change(db)


def value(place: Place, process: str, query: str, *given: object) -> Any:
    """One value out of a ledger."""
    db = sqlite3.connect(str(place.ledger(process)))
    try:
        return db.execute(query, given).fetchone()[0]
    finally:
        db.close()


def anew(db: sqlite3.Connection, seq: int) -> None:
    """Compute the chain anew from a record on, as an owner of the file can."""
    prev = db.execute("SELECT digest FROM journal WHERE seq<? ORDER BY seq DESC", (seq,)).fetchone()[0]
    for row in db.execute(f"SELECT {COLUMNS} FROM journal WHERE seq >= ? ORDER BY seq", (seq,)).fetchall():
        digest = chain(prev, row[0], row[1], row[2], row[3:9])
        db.execute("UPDATE journal SET prev=?, digest=? WHERE seq=?", (prev, digest, row[0]))
        prev = digest


def only(report: Report) -> Finding:
    """The one finding."""
    assert len(report.findings) == 1, render(report)
    return report.findings[0]


def first(report: Report, process: str, *said: str) -> Finding:
    """The first finding about a process; it says all this."""
    found = next(finding for finding in report.findings if finding.process == process)
    assert all(word in found.what for word in said), found
    assert found.hint
    return found


# -- sound
def test_a_sound_company_passes(place: Place) -> None:
    """All records of all ledgers are looked at, the state is folded anew, and nothing is found."""
    report = verify(place, state=True)
    assert report.sound and report.findings == ()
    counts = {process: value(place, process, "SELECT COUNT(*) FROM journal") for process in place.processes()}
    assert {checked.process: checked.records for checked in report.ledgers} == counts
    assert report.records == sum(counts.values()) > 100
    assert all(checked.messages > 10 for checked in report.ledgers)
    assert {checked.process: checked.blobs > 0 for checked in report.ledgers} == {MAI: True, MARKETING: True, SALES: False}


def test_a_running_company_passes(tmp_path: Path) -> None:
    """Messages on their way, deaths and restarts are no faults: verify finds nothing after any turn of the work."""
    company = Wired(tmp_path)
    for process in (None, SALES, MARKETING, MAI):
        company.ask(f"r-{process and process.partition('/')[2]}")
        for turn in range(20):
            if process and turn == 6:
                company.kill(process)
            if process and turn == 8:
                company.start(process)
                if process == MAI:  # they find their way back to her
                    for other in (SALES, MARKETING):
                        company.kill(other)
                        company.start(other)
            company.turn()
            report = verify(company.place, state=True)
            assert report.sound, render(report)
    company.close()


def test_the_company_may_go_on_meanwhile(tmp_path: Path) -> None:
    """A ledger that is read late knows of messages that one read early does not have yet: that is no fault."""
    company = Wired(tmp_path).asked("r0")
    asked: list[str] = []

    def work(process: str, done: int, of: int) -> None:
        asked.append(f"during-{process.partition('/')[2]}")
        company.asked(asked[-1])

    report = verify(company.place, state=True, progress=work)
    assert report.sound, render(report)
    assert asked == ["during-mai", "during-marketing", "during-sales"]
    assert report.records == sum(desk.ledger.seq for desk in company.desks.values())
    company.close()


def test_progress_is_told(place: Place) -> None:
    """Whoever wants to show progress hears of each ledger how much is done, of how much."""
    told: list[tuple[str, int, int]] = []
    verify(place, [SALES], progress=lambda *one: told.append(one))
    last = value(place, SALES, "SELECT MAX(seq) FROM journal")
    assert told == [(SALES, last, last)]


def test_some_processes_can_be_chosen(place: Place) -> None:
    """A process or a client may be named; links are then examined where both ends are. An unknown one is named."""
    assert [checked.process for checked in verify(place, [SALES]).ledgers] == [SALES]
    assert [checked.process for checked in verify(place, [SALES, "acme"]).ledgers] == [SALES, MAI, MARKETING]
    with pytest.raises(NotFound, match="no process 'acme/nobody'"):
        verify(place, ["acme/nobody"])


# -- one journal
@pytest.mark.parametrize(
    "column",
    (
        "body = body || ' '",
        "agent = 'x'",
        "at_ns = -1",
        "term = 2",
        "kind = kind || 'x'",
        "boot = ''",
        "body = CAST(x'7bff7d' AS TEXT)",
    ),
)
def test_a_changed_record_is_named(place: Place, column: str) -> None:
    """Whatever is changed in a record, even to what no record can hold, it is the first bad one, and the one before is good."""
    tamper(place, SALES, f"UPDATE journal SET {column} WHERE seq=20")
    found = first(verify(place), SALES, "record 20 was changed", "the last good one is 19")
    assert found.seq == 20


@settings(max_examples=30)
@given(st.data())
def test_any_changed_byte_is_named(finished: Place, data: st.DataObject) -> None:
    """One bit in any column of any record of any journal: the finding names that record (or the next, for its digest)."""
    process = data.draw(st.sampled_from(finished.processes()))
    seq = data.draw(st.integers(1, value(finished, process, "SELECT MAX(seq) FROM journal")))
    column = data.draw(st.sampled_from(COLUMNS.split(", ")[1:]))
    old = value(finished, process, f"SELECT CAST({column} AS BLOB) FROM journal WHERE seq=?", seq)
    position = data.draw(st.integers(0, max(0, len(old) - 1)))
    new = old[:position] + bytes([(old[position] ^ 1) if old else 65]) + old[position + 1 :]
    cast = "CAST(? AS TEXT)" if column not in ("prev", "digest") else "?"
    with tempfile.TemporaryDirectory() as directory:
        shutil.copytree(finished.state, Path(directory, "state"))
        copy = Place(Path(directory, "state"), Path(directory, "run"))
        cast = f"CAST({cast} AS INTEGER)" if column in ("at_ns", "term") else cast
        tamper(copy, process, f"UPDATE journal SET {column}={cast} WHERE seq=?", new, seq)
        assert min(finding.seq for finding in verify(copy).findings if finding.process == process and finding.seq) == seq


def test_a_record_with_a_digest_of_its_own_is_seen_by_the_next(place: Place) -> None:
    """Who changes a record and its digest leaves the next one without its predecessor."""

    def change(db: sqlite3.Connection) -> None:
        row = db.execute(f"SELECT {COLUMNS} FROM journal WHERE seq=20").fetchone()
        digest = chain(row[9], row[0], row[1], row[2], (*row[3:7], "nobody", row[8]))
        db.execute("UPDATE journal SET agent='nobody', digest=? WHERE seq=20", (digest,))

    tamper(place, MARKETING, change)
    assert first(verify(place), MARKETING, "record 21 does not follow record 20").seq == 21


@pytest.mark.parametrize(("where", "said"), [("seq=20", "record 20 is missing"), ("seq BETWEEN 20 AND 22", "from 20 to 22")])
def test_removed_records_are_named(place: Place, where: str, said: str) -> None:
    """Records that are gone from the middle are named by their numbers."""
    tamper(place, SALES, f"DELETE FROM journal WHERE {where}")
    assert first(verify(place), SALES, said, "the last good one is 19").seq == 20


def test_a_removed_record_is_named_in_a_chain_computed_anew(place: Place) -> None:
    """The numbers have no gap: who removes a record and chains the others anew leaves one."""

    def change(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM journal WHERE seq=20")
        anew(db, 21)

    tamper(place, SALES, change)
    assert first(verify(place), SALES, "record 20 is missing").seq == 20


def test_an_inserted_record_is_named(place: Place) -> None:
    """A record that was put between others, with all behind it moved on by one, does not fit."""

    def change(db: sqlite3.Connection) -> None:
        db.execute("UPDATE journal SET seq = -seq WHERE seq >= 20")
        db.execute("UPDATE journal SET seq = 1 - seq WHERE seq < 0")
        columns = COLUMNS.replace("seq", "20")
        db.execute(f"INSERT INTO journal SELECT {columns} FROM journal WHERE seq=19")

    tamper(place, SALES, change)
    assert first(verify(place), SALES, "record 20 was changed", "more do not fit").seq == 20


def test_reordered_records_are_named(place: Place) -> None:
    """Two records that changed places: the first of them is named."""

    def change(db: sqlite3.Connection) -> None:
        for old, new in ((20, -1), (22, 20), (-1, 22)):
            db.execute("UPDATE journal SET seq=? WHERE seq=?", (new, old))

    tamper(place, SALES, change)
    assert first(verify(place), SALES, "record 20 was changed").seq == 20


def test_the_beginning_cannot_be_taken_out(place: Place) -> None:
    """Records that are declared as rotated away are missing all the same."""

    def change(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO rotated SELECT 1, seq, digest FROM journal WHERE seq=9")
        db.execute("DELETE FROM journal WHERE seq<=9")

    tamper(place, SALES, change)
    assert first(verify(place), SALES, "the records 1 to 9 were taken out of the journal, and no segment has them").seq == 1


def test_many_faults_are_one_finding_of_the_chain(place: Place) -> None:
    """Of a chain that is broken in many places the first is named, and how many more there are."""
    tamper(place, SALES, "UPDATE journal SET at_ns = at_ns + 1 WHERE seq BETWEEN 5 AND 14")
    report = verify(place)
    assert first(report, SALES, "record 5 was changed", "(9 more do not fit)").seq == 5


# -- what others have witnessed
def test_a_cut_tail_is_witnessed(place: Place) -> None:
    """A journal that ends before what others have received from it was cut; where it ends is named."""
    sent = value(place, SALES, "SELECT MAX(seq) FROM journal WHERE kind='message.sent'")
    tamper(place, SALES, "DELETE FROM journal WHERE seq>=?", sent)
    link = "json_set(value, '$.sent', value->>'sent'-1, '$.acked', value->>'sent'-1)"
    tamper(place, SALES, f"UPDATE state SET value={link} WHERE noun='link'")
    report = verify(place)
    assert only(report).seq == sent
    first(report, SALES, f"ends with record {sent - 1}", "acme/mai has witnessed", f"record {sent}:", "cut", "it fits")


def test_a_cut_receipt_is_witnessed(place: Place) -> None:
    """Who was told that a message had come holds it against a receiver that has it no more."""
    received = value(place, SALES, "SELECT MAX(seq) FROM journal WHERE kind='message.received'")
    tamper(place, SALES, "DELETE FROM journal WHERE seq>=?", received)
    last = value(place, SALES, "SELECT MAX(seq) FROM journal")
    found = [finding for finding in verify(place).findings if "acme/mai was told" in finding.what]
    assert [(finding.process, finding.seq) for finding in found] == [(SALES, last + 1)]


def test_a_chain_computed_anew_is_witnessed(place: Place) -> None:
    """A changed record with the whole chain behind it computed anew: the heads that others hold do not fit any more."""
    ended = value(place, SALES, "SELECT MIN(seq) FROM journal WHERE kind='task.ended'")
    sent = value(place, SALES, "SELECT MIN(seq) FROM journal WHERE kind='message.sent' AND seq>?", ended)

    def change(db: sqlite3.Connection) -> None:
        db.execute("UPDATE journal SET body=json_set(body, '$.text', 'never said') WHERE seq=?", (ended,))
        anew(db, ended)

    tamper(place, SALES, change)
    report = verify(place)
    assert only(report).seq == sent
    first(report, SALES, f"record {sent} is not the one that acme/mai has witnessed", "written anew", "it fits")


def test_a_witness_that_was_changed_is_not_believed(place: Place) -> None:
    """A receiver whose own journal is broken from a record on accuses nobody with what stands behind it."""
    seq = value(place, MAI, "SELECT MIN(seq) FROM journal WHERE kind='message.received'")
    tamper(place, MAI, "UPDATE journal SET body=json_set(body, '$.head', ?) WHERE seq=?", "00" * 32, seq)
    assert (only(verify(place)).process, only(verify(place)).seq) == (MAI, seq)


def test_swapped_ledgers_are_named(place: Place) -> None:
    """Two ledgers in each other's place are both named, and nobody is accused for it."""
    one, other = place.ledger(SALES), place.ledger(MARKETING)
    for old, new in ((one, one.with_name("x")), (other, one), (one.with_name("x"), other)):
        old.rename(new)
    found = {finding.process: finding.what for finding in verify(place).findings}
    assert found == {SALES: "this is the ledger of acme/marketing", MARKETING: "this is the ledger of acme/sales"}


def test_swapped_ledgers_with_their_names_changed_are_named(place: Place) -> None:
    """The name in the file may be changed too: the journal itself says whose it is."""
    shutil.copy(place.ledger(MARKETING), place.ledger(SALES))
    tamper(place, SALES, "UPDATE meta SET value=? WHERE key='process'", SALES)
    assert only(verify(place)).seq == 1
    first(verify(place), SALES, "this is the ledger of acme/marketing")


def test_an_older_copy_is_named(tmp_path: Path) -> None:
    """A sound ledger that was put back from an older copy is found out by its peers."""
    company = Wired(tmp_path).asked("r1")
    ledger, last = company.place.ledger(SALES), company.desks[SALES].ledger.seq
    db = sqlite3.connect(str(ledger))
    db.execute("VACUUM INTO ?", (str(tmp_path / "older.db"),))
    db.close()
    company.asked("r2").close()
    (tmp_path / "older.db").replace(ledger)
    report = verify(company.place)
    assert {finding.process for finding in report.findings} == {SALES}
    assert first(report, SALES, f"ends with record {last}", "older copy").seq == last + 1


def test_a_ledger_that_is_gone_is_missed(place: Place) -> None:
    """A process that others have exchanged messages with has to have a ledger."""
    place.ledger(SALES).unlink()
    report = verify(place)
    first(report, SALES, "is gone")
    assert "is gone" in render(report)


def received(sender: str, lseq: int) -> Received:
    """A message that was never sent."""
    body = Task("x/1", "x", "acme/client", "", "hello", {}, 3)
    return Received(
        sender=sender, lseq=lseq, id="x/1", request="x", task="x/1", organisation="", deadline_ms=1, head_seq=3,
        head="00" * 32, body=body,
    )  # fmt: skip


def test_a_message_that_was_never_sent_is_named(place: Place) -> None:
    """A sound record of a message that its sender does not have is held against both."""
    lseq = value(place, SALES, "SELECT COUNT(*) FROM journal WHERE kind='message.received'") + 1
    write(place.ledger(SALES), SALES, received(MAI, lseq))
    report = verify(place)
    last = value(place, SALES, "SELECT MAX(seq) FROM journal")
    first(report, MAI, f"record 3 is not message {lseq} that acme/sales has witnessed (its record {last})")
    first(report, SALES, "the state of the link with acme/mai")


def test_a_message_that_says_something_else_is_named(tmp_path: Path) -> None:
    """Both chains are whole and the head fits, but the two ends do not have the same message."""
    company = Wired(tmp_path)
    sender, place = company.desks[SALES], company.place
    body = Task("x/1", "x", "acme/sales/board", "", "as it was sent", {}, 3)
    sent = Sent(to=MAI, lseq=1, id="x/1", request="x", task="x/1", deadline_ms=1, body=body)
    sender.shell.apply(sent)
    sender.shell.commit()
    seq, head = sender.ledger.seq, sender.ledger.head.hex()
    told = received(SALES, 1)
    other = Received(**{name: getattr(told, name) for name in told.__struct_fields__} | {"head_seq": seq, "head": head})
    company.desks[MAI].shell.apply(other)
    company.desks[MAI].shell.commit()
    report = verify(company.close().place)
    assert (only(report).process, only(report).seq) == (SALES, seq)
    first(report, SALES, f"message 1 in record {seq} does not say what acme/mai")
    assert place.ledger(SALES).exists()


def test_an_acknowledgement_ahead_of_the_receiver_is_named(place: Place) -> None:
    """Nobody may have been told that more has come than the receiver has."""
    write(place.ledger(MAI), MAI, Acked(peer=SALES, received=99))
    report = verify(place)
    first(report, SALES, "acme/mai was told", "that 99 of its messages had come")


def test_a_gap_in_a_link_is_named(place: Place) -> None:
    """The numbers of a link run from 1 without a gap, in the sender's journal too."""
    body = Task("x/1", "x", "acme/sales/board", "", "hello", {}, 3)
    count = value(place, SALES, "SELECT COUNT(*) FROM journal WHERE kind='message.sent'")
    write(place.ledger(SALES), SALES, Sent(to=MAI, lseq=count + 3, id="x/1", request="x", task="x/1", deadline_ms=1, body=body))
    seq = value(place, SALES, "SELECT MAX(seq) FROM journal")
    assert first(verify(place), SALES, f"record {seq} holds message {count + 3} on the link with acme/mai").seq == seq


@given(st.lists(st.integers(1, 12), max_size=30), st.integers(1, 1 << 62))
def test_a_strand_takes_any_numbers(numbers: list[int], far: int) -> None:
    """However the numbers come: the first that is not the next one is told, once, and no number makes it grow beyond reason."""
    strand, told = Strand(), 0
    for seq, lseq in enumerate([*numbers, far], 1):
        told += not strand.add(lseq, seq, 1, 1)
    due = list(range(1, len(numbers) + 2))
    assert told == ([*numbers, far] != due)
    assert len(strand) <= 12 + 1_000_000 and len(strand.heads) == len(strand.says) == len(strand)


# -- the file
@pytest.mark.parametrize("name", TRIGGERS)
def test_a_dropped_trigger_is_named(place: Place, name: str) -> None:
    """A journal that may be changed by accident is not sound, even if nobody has."""
    db = sqlite3.connect(str(place.ledger(SALES)))
    db.execute(f"DROP TRIGGER {name}")
    db.close()
    report = verify(place)
    assert only(report).process == SALES
    first(report, SALES, f"the trigger {name} was dropped")


def test_a_changed_schema_is_named(place: Place) -> None:
    """A trigger that does something else, one that is not ours, and an index that is gone."""
    db = sqlite3.connect(str(place.ledger(SALES)))
    db.executescript(
        "DROP TRIGGER journal_update; CREATE TRIGGER journal_update BEFORE UPDATE ON journal BEGIN SELECT 1; END;"
        "CREATE TRIGGER mine AFTER INSERT ON journal BEGIN DELETE FROM state; END; DROP INDEX journal_request"
    )
    db.close()
    said = [finding.what for finding in verify(place).findings]
    assert said == [
        "the index journal_request was dropped",
        "the trigger journal_update is not the one that mai made",
        "the trigger mine was added",
    ]


def test_a_changed_blob_is_named(place: Place) -> None:
    """A large body that lies elsewhere is held against its address, and named with its record."""
    address = value(place, MAI, "SELECT address FROM blob ORDER BY address LIMIT 1")
    seq = value(place, MAI, "SELECT MIN(seq) FROM journal WHERE body LIKE '%' || ? || '%'", address)
    other = "CAST(replace(CAST(value AS TEXT), 'long', 'wide') AS BLOB)"
    tamper(place, MAI, f"UPDATE blob SET value={other} WHERE address=?", address)
    report = verify(place)
    found = [finding for finding in report.findings if "blob" in finding.what]
    assert [(finding.process, finding.seq) for finding in found] == [(MAI, seq)]
    assert "was changed" in found[0].what and address[:12] in found[0].what


def test_a_missing_blob_is_named(place: Place) -> None:
    """Every blob that a record points to is there."""
    seq = value(place, MARKETING, "SELECT MIN(seq) FROM journal WHERE kind='hop' AND body LIKE '{\"blob\"%'")
    address = value(place, MARKETING, "SELECT body->>'blob' FROM journal WHERE seq=?", seq)
    tamper(place, MARKETING, "DELETE FROM blob WHERE address=?", address)
    assert only(verify(place)).seq == seq
    first(verify(place), MARKETING, f"the blob {address[:12]} of record {seq} is missing")


def test_a_damaged_file_is_named(place: Place) -> None:
    """A file whose pages are overwritten does not end the examination: it is a finding, and the others are examined."""
    path = place.ledger(SALES)
    data = bytearray(path.read_bytes())
    data[4096 * 2 :] = bytes(len(data) - 4096 * 2)
    path.write_bytes(data)
    report = verify(place, state=True)
    assert {checked.process: checked.sound for checked in report.ledgers} == {MAI: True, MARKETING: True, SALES: False}


@pytest.mark.parametrize("data", [b"no database at all" * 1000, b""])
def test_a_file_that_is_no_ledger_is_named(place: Place, data: bytes) -> None:
    """Something else in the place of a ledger is a finding about that process alone."""
    place.ledger(SALES).write_bytes(data)
    report = verify(place)
    assert {finding.process for finding in report.findings} == {SALES}
    assert "ledger.db cannot be used" in report.findings[0].what


def test_a_newer_format_is_named(place: Place) -> None:
    """What a newer version wrote is not judged as if it were ours."""
    tamper(place, SALES, "PRAGMA user_version=9")
    first(verify(place), SALES, f"of format 9, this version knows {FORMAT}")


# -- the state
def test_a_row_of_state_that_the_disk_has_changed_is_named(place: Place) -> None:
    """Nobody recomputes the check value of a flipped bit, so it is seen even without --state."""
    db = sqlite3.connect(str(place.ledger(SALES)), isolation_level=None)
    db.execute("UPDATE state SET value = replace(value, 'received', 'receivee') WHERE noun='link'")
    db.close()
    first(verify(place), SALES, "the row link 'acme/mai' of the state is not what was written")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "UPDATE state SET value='{\"value\":7}' WHERE noun='memory/agent/planner'",
            "memory/agent/planner 'last' {\"value\":7}, the journal gives",
        ),
        ("DELETE FROM state WHERE noun='memory/agent/planner'", "for memory/agent/planner 'last' nothing, the journal gives"),
        ("INSERT INTO state VALUES('task', 'r9/1', '{}', 0)", "for task 'r9/1' {}, the journal gives nothing"),
        ("UPDATE state SET value='garbage' WHERE noun='memory/agent/planner'", "garbage, the journal gives"),
        ("UPDATE state SET value=json_set(value, '$.oldest', 7) WHERE noun='link'", "for link 'acme/mai'"),
    ],
)
def test_state_that_the_journal_does_not_give_is_named(place: Place, change: str, said: str) -> None:
    """With --state each row that is not what the process's own decider makes of the journal is named; else none is looked at."""
    tamper(place, MARKETING, change)
    assert verify(place).sound
    assert only(verify(place, state=True)).process == MARKETING
    first(verify(place, state=True), MARKETING, said)


def test_open_work_is_folded_too(tmp_path: Path) -> None:
    """Tasks, steps, passages and requests that are under way are part of the state, and a lost one is named."""
    company = Wired(tmp_path)
    company.ask("r1")
    while not company.desks[SALES].waiting:
        company.turn()
    company.close()
    assert verify(company.place, state=True).sound
    for process, noun in ((SALES, "step"), (SALES, "task"), (MAI, "passage"), (MAI, "request")):
        tamper(company.place, process, "DELETE FROM state WHERE noun=?", noun)
        report = verify(company.place, [process], state=True)
        assert any(finding.what.startswith(f"the state has for {noun} 'r1") for finding in report.findings), render(report)


def test_a_link_that_the_journal_does_not_have_is_named(place: Place) -> None:
    """The counts of the links are compared even without --state: a cursor that is wrong loses messages."""
    tamper(place, SALES, "UPDATE state SET value=json_set(value, '$.received', 99) WHERE noun='link'")
    first(verify(place), SALES, "the state of the link with acme/mai", "99 received")


def test_many_differences_are_counted(place: Place) -> None:
    """The first few rows are named, the others counted."""
    tamper(place, MARKETING, "INSERT INTO state SELECT 'task', 'x' || seq, '{}', 0 FROM journal WHERE seq <= 50")
    report = verify(place, state=True)
    assert len(report.findings) == 11
    assert report.findings[-1].what == "40 more rows of state are not what the journal gives"


def test_a_record_of_an_unknown_kind_cannot_be_folded(place: Place) -> None:
    """A journal of a version that knows more is not folded wrongly: the record is named."""
    ledger = Ledger(place.ledger(SALES), SALES)
    seq = ledger.append("of.tomorrow", b"{}")
    ledger.commit()
    ledger.close()
    assert verify(place).sound
    found = only(verify(place, state=True))
    assert found.seq == seq and "of.tomorrow" in found.what


def test_without_its_mandate_the_state_is_not_folded(place: Place) -> None:
    """That a state could not be folded is said; everything else is examined all the same."""
    (place.home(SALES) / "mandate").unlink()
    assert verify(place).sound
    first(verify(place, state=True), SALES, "the state cannot be folded anew")


def test_the_watchdogs_book_is_examined_too(place: Place) -> None:
    """Its chain is held against its digests like any other; its state, which no decider folds, is left alone."""
    book = Book(place.ledger("watchdog"))
    book.started(pid=1)
    book.want(SALES, "stop", "root")
    book.flush(0.0)
    assert verify(place, state=True).sound
    tamper(place, "watchdog", "UPDATE journal SET at_ns=1 WHERE seq=2")
    assert only(verify(place)).process == "watchdog" and only(verify(place)).seq == 2


# -- shown
def test_the_report_is_shown(place: Place) -> None:
    """A line for each ledger, the findings with their hints below it, and the figures; colour only if it is wanted."""
    assert render(verify(place)).splitlines()[-1].endswith("sound")
    tamper(place, SALES, "UPDATE journal SET agent='x' WHERE seq=20")
    report = verify(place)
    text = render(report)
    assert [line[:15] for line in text.splitlines()[:3]] == ["ok  acme/mai   ", "ok  acme/market", "BAD acme/sales "]
    assert "    record 20 was changed" in text and "hint: " in text and "\x1b" not in text
    assert "\x1b[31m" in render(report, colour=True)
    assert fields(report)["findings"][0]["seq"] == 20 and fields(report)["sound"] is False
