"""`mai verify` goes on from what it has found sound: it reads what is new, and finds there what a run over everything finds."""

import shutil
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random

import msgspec
import pysqlite3 as sqlite3
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from mai.cli import main
from mai.daemon import reader
from mai.daemon.book import Book
from mai.daemon.sweep import Stopped
from mai.daemon.verified import Changed, File, Memory, fits
from mai.daemon.verify import Report, render, verify
from mai.daemon.witness import Finding, Strand
from mai.sandbox.place import Place
from tests.test_heads import sign
from tests.test_verify import MAI, MARKETING, SALES, anew, first, tamper, value
from tests.wired import Wired


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Wired]:
    """A company that has answered a request, whose watchdog has signed; a daemon has run there."""
    company = Wired(tmp_path / "one").asked("r1")
    company.place.lock.touch()
    sign(company.place)
    yield company
    company.close()


def go_on(place: Place, file: File | None = None, *, full: bool = False) -> Report:
    """A run that remembers."""
    file = file or File(place)
    return verify(place, memory=file.read(), full=full, keep=file.write)


def mai(place: Place, *words: str) -> Result:
    """The command."""
    return CliRunner().invoke(main, ["--state", str(place.state), *words])


def ends(place: Place) -> dict[str, int]:
    """How many records each journal has."""
    return {process: value(place, process, "SELECT MAX(seq) FROM journal") for process in place.processes()}


# -- what is new
def test_only_what_is_new_is_read(company: Wired) -> None:
    """The first run reads everything, the next nothing, another one what has come since; each says what it did not read."""
    place = company.place
    all_of_it, nothing = go_on(place), go_on(place)
    assert all_of_it.sound and all_of_it.since == "" and all_of_it.records == sum(ends(place).values())
    assert nothing.sound and nothing.records == 0 and nothing.known == all_of_it.records and nothing.since
    before = ends(place)
    company.asked("r2")
    sign(place)
    new = go_on(place)
    assert {one.process: (one.known, one.records) for one in new.ledgers} == {
        process: (before[process], last - before[process]) for process, last in ends(place).items()
    }
    assert new.sound and new.heads == 1, render(new)
    assert f"{new.known:,} older records were read at {new.since}" in render(new) and "new records" in render(new)
    again = go_on(place, full=True)
    assert again.sound and again.records == sum(ends(place).values()) and again.since == ""


def test_a_run_at_any_moment_leaves_what_the_next_needs(tmp_path: Path) -> None:
    """Messages on their way, deaths and restarts: each of many runs is sound, and no record is read twice."""
    company, random, ids = Wired(tmp_path), Random(5), count()
    file = File(company.place, tmp_path / "file")
    read = 0
    for turn in range(60):
        if turn % 7 == 0:
            company.ask(f"r{next(ids)}")
        if turn % 19 == 11:
            process = random.choice([SALES, MARKETING])
            company.kill(process)
            company.start(process)
        company.turn()
        if random.random() < 0.6:
            report = go_on(company.place, file)
            assert report.sound, (turn, render(report))
            read += report.records
    company.settle()
    last = go_on(company.place, file)
    assert last.sound and read + last.records == sum(desk.ledger.seq for desk in company.desks.values())
    assert verify(company.place, state=True).sound
    assert any(way.count > 8 for mark in file.read().verified.marks.values() for way in mark.sent.values())
    company.close()


# -- the same is found
def rewritten(seq: int) -> Callable[[sqlite3.Connection], None]:
    """A record changed, and the chain behind it computed anew."""

    def change(db: sqlite3.Connection) -> None:
        db.execute("UPDATE journal SET at_ns = at_ns + 1 WHERE seq = ?", (seq,))
        anew(db, seq)

    return change


CHANGES: dict[str, Callable[[int], str | Callable[[sqlite3.Connection], object]]] = {
    "changed": lambda seq: f"UPDATE journal SET task = task || 'x' WHERE seq = {seq}",
    "removed": lambda seq: f"DELETE FROM journal WHERE seq = {seq}",
    "cut": lambda seq: f"DELETE FROM journal WHERE seq >= {seq}",
    "rewritten": rewritten,
    "not numbered": lambda seq: f"UPDATE journal SET seq = seq + 1000000 WHERE seq = {seq}",
}


@pytest.mark.parametrize("process", [SALES, MAI, MARKETING])
@pytest.mark.parametrize("how", CHANGES)
def test_what_is_new_is_examined_as_by_a_full_run(company: Wired, process: str, how: str) -> None:
    """Whatever is tampered with behind what was verified: the findings are those of a run over everything."""
    place, before = company.place, ends(company.place)
    go_on(place)
    company.asked("r2")
    tamper(place, process, CHANGES[how](before[process] + 4))
    found, due = go_on(place), verify(place)
    assert found.findings == due.findings and not due.sound, (render(found), render(due))
    assert go_on(place).findings == due.findings, "it was found, and is not forgotten"


@pytest.mark.parametrize("process", [SALES, MAI])
def test_a_past_that_was_written_anew_is_found(company: Wired, process: str) -> None:
    """A changed record long before, with the chain behind it in order: the last record that was verified is another one."""
    place, before = company.place, ends(company.place)
    go_on(place)
    tamper(place, process, rewritten(5))
    first(go_on(place), process, f"record {before[process]} is not the one that was verified at 2", "written anew")


def test_an_older_copy_is_found(company: Wired, tmp_path: Path) -> None:
    """Of one ledger, and by a file that lies elsewhere of the whole state directory, although that is sound in itself."""
    place, file = company.place, File(company.place, tmp_path / "file")
    shutil.copytree(place.state, tmp_path / "older")
    older = Place(tmp_path / "older")
    company.asked("r2")
    sign(place)
    go_on(place, file)
    assert go_on(older).sound
    report = go_on(older, file)
    for process, last in ends(older).items():
        first(report, process, f"the journal ends with record {last}, and was verified up to record", "is an older copy")


def test_a_lost_ledger_is_found_unless_its_client_was_erased(tmp_path: Path) -> None:
    """What was verified has to be there; an erasure on record since then explains it, also if there is another of its name."""
    company = Wired(tmp_path / "one", "acme", "beta").asked("r1")
    place, file = company.place, File(company.place, tmp_path / "file")
    sign(place)
    go_on(place, file)
    company.close()
    shutil.rmtree(place.state / "clients" / "beta")
    first(go_on(place, file), "beta/mai", "the ledger of beta/mai is gone: it was verified at")
    book = Book(place.ledger("watchdog"))
    book.enter("erased", {"process": "beta/mai"})
    book.flush(0.0)
    report = go_on(place, file)
    assert report.sound and "beta/mai" not in file.read().verified.marks, render(report)
    (tmp_path / "two").mkdir()
    shutil.copytree(Wired(tmp_path / "two", "beta").close().place.state / "clients", place.state / "clients", dirs_exist_ok=True)
    again = go_on(place, file)
    assert again.sound and again.records > 0, render(again)


def test_an_old_record_is_read_by_a_full_run_alone(company: Wired) -> None:
    """What a run that reads only what is new cannot find, and the report says that it was not read."""
    place = company.place
    go_on(place)
    tamper(place, SALES, "UPDATE journal SET task = 'x' WHERE seq = 5")
    assert go_on(place).sound and go_on(place).since
    first(go_on(place, full=True), SALES, "record 5 was changed", "the last good one is 4")
    first(verify(place), SALES, "record 5 was changed")


# -- interrupted
def stopping(every: int) -> Callable[[str, int, int], None]:
    """Somebody's Ctrl-C, at every so many-th portion."""
    told = count(1)

    def progress(process: str, done: int, of: int) -> None:
        if next(told) % every == 0:
            raise Stopped

    return progress


def test_an_interrupted_run_goes_on(company: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after every second portion, in records and in blobs: in the end each record was read once."""
    company.ask("r2", "a long text " * 2000)
    company.settle()
    company.asked("r3", "r4")
    place, file = company.place, File(company.place)
    monkeypatch.setattr(reader, "BATCH", 7)
    progress, stops, known = stopping(2), 0, [0]
    for _ in range(200):
        try:
            report = verify(place, memory=file.read(), keep=file.write, progress=progress)
            break
        except Stopped:
            stops += 1
            part = file.read().part
            known.append(sum(mark.seq for mark in part.reached.marks.values()) if part else 0)
    assert stops > 5 and known == sorted(known) and known[-1] > 100
    assert report.sound and report.records + report.known == sum(ends(place).values())
    assert "read by the run that was interrupted" in render(report)
    assert file.read().part is None and go_on(place).records == 0


@pytest.mark.parametrize("changed", [2, 21, "blob"])
def test_what_is_wrong_is_found_after_an_interruption(
    company: Wired, monkeypatch: pytest.MonkeyPatch, changed: int | str
) -> None:
    """Before the place where it was interrupted, or behind it."""
    company.ask("r2", "a long text " * 2000)
    company.settle()
    place, file = company.place, File(company.place)
    if changed == "blob":
        tamper(place, MARKETING, "UPDATE blob SET value = CAST(value || 'x' AS BLOB)")
    else:
        tamper(place, MAI, f"UPDATE journal SET task = task || 'x' WHERE seq = {changed}")
    due = verify(place)
    monkeypatch.setattr(reader, "BATCH", 7)
    with pytest.raises(Stopped):
        verify(place, memory=file.read(), keep=file.write, progress=stopping(5))
    assert not due.sound and verify(place, memory=file.read(), keep=file.write).findings == due.findings


# -- the file
def test_a_changed_file_is_told_and_not_believed(company: Wired, tmp_path: Path) -> None:
    """One bit anywhere, or rights for others: that is a finding, and everything is read."""
    place = company.place
    assert mai(place, "verify").exit_code == 0
    path = place.state / "verified"
    data = path.read_bytes()
    for at in (0, 20, 90, len(data) // 2, len(data) - 3):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with pytest.raises(Changed):
            File(place).read()
        found = mai(place, "verify")
        assert found.exit_code == 1 and "verified" in found.output and "everything was read instead" in found.output
        assert mai(place, "verify").exit_code == 0, "it is written anew"
    path.chmod(0o666)
    with pytest.raises(Changed, match="may be written by others"):
        File(place).read()
    path.unlink()
    path.mkdir()
    found = mai(place, "verify")
    assert found.exit_code == 0 and "cannot be written" in found.output, "that costs time, and no more"


def test_nothing_is_remembered_in_a_copy(company: Wired, tmp_path: Path) -> None:
    """A directory in which no daemon has run (a backup, an exported client) is left as it is; --since names a file elsewhere."""
    place = company.place
    company.close()
    place.lock.unlink()
    before = sorted(path.name for path in place.state.iterdir())
    assert mai(place, "verify").exit_code == 0 and sorted(path.name for path in place.state.iterdir()) == before
    file = tmp_path / "elsewhere"
    assert mai(place, "verify", "--since", str(file)).exit_code == 0
    assert "0 new records" in mai(place, "verify", "--since", str(file)).output
    assert mai(place, "verify", "--since", str(file), "--deep").exit_code == 2
    assert sorted(path.name for path in place.state.iterdir()) == before


def test_marks_that_contradict_each_other_are_not_gone_on_from(company: Wired) -> None:
    """Both ends of a link have as much behind them; else the client is read anew."""
    place, file = company.place, File(company.place)
    go_on(place)
    verified = file.read().verified
    assert fits(verified.marks) == {"acme", "watchdog"}
    mark = verified.marks[SALES]
    ways = {peer: msgspec.structs.replace(way, count=way.count - 1) for peer, way in mark.sent.items()}
    marks = {**verified.marks, SALES: msgspec.structs.replace(mark, sent=ways)}
    assert fits(marks) == {"watchdog"}
    file.write(Memory(verified=msgspec.structs.replace(verified, marks=marks)))
    report = go_on(place)
    assert report.sound and report.records == sum(last for process, last in ends(place).items() if process != "watchdog")


def test_one_process_is_read_whole(company: Wired) -> None:
    """Whoever names processes has them read, and what is remembered stays as it is."""
    place = company.place
    go_on(place)
    before = (place.state / "verified").read_bytes()
    assert f"{ends(place)[SALES]:,} records" in mai(place, "verify", SALES).output
    assert (place.state / "verified").read_bytes() == before


# -- strands
Message = tuple[int, int, int]  # record, head, what it says


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 99), st.integers(0, 3), st.integers(0, 2)), max_size=20), st.data())
def test_a_strand_that_has_forgotten_compares_the_rest(messages: list[Message], data: st.DataObject) -> None:
    """Wherever two equal strands were forgotten, and whatever comes behind: the first difference is that of the whole ones."""
    cut = data.draw(st.integers(0, len(messages)))
    other = [*messages[:cut], *data.draw(st.permutations(messages[cut:]))]
    if data.draw(st.booleans()):
        del other[data.draw(st.integers(cut, len(other))) :]
    whole, short = (strands(messages, other) for _ in range(2))
    for strand in short:
        strand.forget(cut)
    for upto in range(cut, len(messages) + 1):
        assert whole[0].differs(whole[1], upto) == short[0].differs(short[1], upto)
    for lseq in range(cut + 1, len(messages) + 1):
        assert short[0].seq(lseq) == whole[0].seq(lseq)
        assert short[0].same_head(short[1], lseq) == whole[0].same_head(whole[1], lseq)
    assert len(short[0]) == len(whole[0]) and short[0].seq(cut) == (whole[0].seq(cut) if cut else 0)


def strands(*lists: list[Message]) -> tuple[Strand, ...]:
    """Both ends of a link."""
    found = tuple(Strand() for _ in lists)
    for strand, messages in zip(found, lists, strict=True):
        for lseq, (seq, head, says) in enumerate(messages, 1):
            strand.add(lseq, seq, head, says)
    return found


# -- what need not be wrong
def test_a_clock_that_was_set_back_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the record before which it was, over a restart too; it is a warning, for clocks are also corrected."""
    company = Wired(tmp_path).asked("r1")
    company.kill(SALES)
    true_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() - 3600 * 10**9)
    company.start(SALES)
    monkeypatch.undo()
    company.settle()
    report = verify(company.place)
    assert report.sound and [type(one) for one in report.warnings] == [Finding]
    (warning,) = report.warnings
    last = next(seq for seq in range(1, 99) if f"record {seq} was written" in warning.what)
    assert warning.process == SALES and warning.seq == last and "3,600.0 s before" in warning.what
    assert warning.what in render(report)
    company.close()
