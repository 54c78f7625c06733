"""`mai tail` and `mai logs`: every record and line once, in order, whoever restarts, dies or is rotated meanwhile."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.loggers import Logger, getLogger, handle_file

import mai.daemon.records
from mai.agents.events import KINDS
from mai.daemon import logs
from mai.daemon.book import Book
from mai.daemon.logs import Log, log_of
from mai.daemon.reader import BATCH, NotFound, Reader, clock
from mai.daemon.summary import SUMMARIES, clean, summary
from mai.daemon.tail import Tail
from mai.daemon.tail_form import Line, json_line, text
from mai.daemon.wanted import Wanted
from mai.sandbox.ledger import Ledger, Record, connect, digest_of
from mai.sandbox.place import Place
from tests.wired import Wired, waited

WRITER = """
import sys
from pathlib import Path
from mai.sandbox.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), sys.argv[2])
while True:
    ledger.append("note", b'{"text": "more"}')
    ledger.commit()
"""
TAIL = """
import sys
from mai.daemon.output import stream
from mai.daemon.tail import Tail
from mai.daemon.tail_form import json_line
from mai.sandbox.place import Place
stream(json_line(line) for line in Tail(Place(sys.argv[1])).lines(int(sys.argv[2]), follow=True))
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A state directory without processes."""
    place = Place(tmp_path / "state", tmp_path / "run")
    place.prepare()
    return place


def ledger(place: Place, process: str) -> Ledger:
    """A process's ledger, to be written by the test."""
    place.home(process).mkdir(parents=True, exist_ok=True)
    return Ledger(place.ledger(process), process)


def note(ledger: Ledger, word: str, at_ns: int = 0, kind: str = "note") -> None:
    """One committed record, at a time of the test's choice."""
    ledger.append(kind, json.dumps({"text": word}).encode())
    if at_ns:
        made = Record(*ledger._records[-1])._replace(at_ns=at_ns)  # type: ignore[arg-type]
        ledger.head = digest_of(made)
        ledger._records[-1] = made._replace(digest=ledger.head)
    ledger.commit()


def words(lines: list[Line]) -> list[str]:
    """What the records say."""
    return [line.body["text"] for line in lines]


def places(lines: list[Line]) -> list[tuple[str, int]]:
    """Where the records are."""
    return [(line.process, line.record.seq) for line in lines]


# -- the last ones
def test_the_last_records_of_all_are_merged_by_time(place: Place) -> None:
    """The last records of all journals together, oldest first, in order of time, process and number."""
    one, other = ledger(place, "acme/mai"), ledger(place, "acme/sales")
    for at_ns, where in enumerate((one, other, other, one, other, one), 1):
        note(where, str(at_ns), at_ns)
    note(other, "same", 6)
    tail = Tail(place)
    assert words(tail.latest(20)) == ["1", "2", "3", "4", "5", "6", "same"]
    assert words(Tail(place).latest(3)) == ["5", "6", "same"]
    assert words(Tail(place, "acme/mai").latest(2)) == ["4", "6"]
    assert Tail(place).latest(0) == []


def test_a_clock_that_was_set_back_changes_no_order(place: Place) -> None:
    """Records of one process stay in their order even where a later one has an earlier time."""
    one, other = ledger(place, "acme/mai"), ledger(place, "acme/sales")
    for word, at_ns in (("a", 10), ("b", 5), ("c", 7)):
        note(one, word, at_ns)
    note(other, "x", 6)
    assert words(Tail(place).latest(9)) == ["x", "a", "b", "c"]


def test_filters_choose(tmp_path: Path) -> None:
    """By kind (how it begins), request, and agent (a name, or the end of its address), each alone and together."""
    place = Wired(tmp_path).asked("r1", "r11").close().place

    def kinds(wanted: Wanted, what: str | None = None) -> set[str]:
        return {line.record.kind for line in Tail(place, what, wanted).latest(1000)}

    def agents(wanted: Wanted) -> set[tuple[str, str]]:
        return {(line.process, line.record.agent) for line in Tail(place, None, wanted).latest(1000)}

    assert kinds(Wanted(kind="message")) == {"message.sent", "message.received", "message.acked"}
    assert kinds(Wanted(kind="task.ended")) == {"task.ended"}
    assert kinds(Wanted(kind="nothing")) == set()
    assert {line.record.request for line in Tail(place, None, Wanted(request="r1")).latest(1000)} == {"r1"}
    assert agents(Wanted(agent="planner")) == {("acme/marketing", "planner")}
    assert agents(Wanted(agent="sales/board")) == agents(Wanted(agent="acme/sales/board")) == {("acme/sales", "board")}
    assert agents(Wanted(agent="lanner")) == set()
    assert kinds(Wanted("task", "r11", "board")) == {"task.ended"}
    assert kinds(Wanted(kind="hop"), "acme/mai") == set()


def test_a_rare_record_is_found_far_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last records of a kind are found however far back they lie, and the search is made in portions."""
    monkeypatch.setattr("mai.daemon.tail.SPAN", 7)
    one = ledger(place, "acme/mai")
    for number in range(50):
        note(one, str(number), kind="rare" if number in (3, 4, 20) else "note")
    assert words(Tail(place, None, Wanted(kind="rare")).latest(2)) == ["4", "20"]
    assert words(Tail(place, None, Wanted(kind="rare")).latest(9)) == ["3", "4", "20"]


def test_an_unknown_process_is_named(place: Place) -> None:
    """Who asks for what is not there is told what is; without any ledger, how to begin."""
    with pytest.raises(NotFound, match="no ledger lies in") as nothing:
        Tail(place)
    assert "mai up" in nothing.value.hint
    ledger(place, "acme/mai")
    with pytest.raises(NotFound, match="no process 'acme/sales'") as missing:
        Tail(place, "acme/sales")
    assert missing.value.hint == "there are acme/mai"
    with pytest.raises(NotFound):
        Reader(place, "acme/sales")


# -- following
def test_what_comes_is_given_once(place: Place) -> None:
    """Between the last records and what comes nothing is left out or repeated, whoever opens and closes the ledger."""
    one = ledger(place, "acme/mai")
    note(one, "a")
    tail = Tail(place)
    note(one, "b")
    assert words(tail.latest(9)) == ["a", "b"]
    note(one, "c")
    one.close()
    assert words(tail.more(1.0)) == ["c"]
    assert tail.more(2.0) == []
    one = ledger(place, "acme/mai")
    note(one, "d")
    one.close()
    assert words(tail.more(3.0)) == ["d"]


def test_records_wait_for_earlier_ones_of_others(place: Place) -> None:
    """A record is held back for the window, so that an earlier one of another process, committed later, stands before it."""
    one, other = ledger(place, "acme/mai"), ledger(place, "acme/sales")
    tail = Tail(place)
    tail.latest(0)
    note(one, "second", 2)
    assert tail.more(10.0, window_s=0.5) == []
    note(other, "first", 1)
    note(other, "third", 3)
    assert words(tail.more(10.5, window_s=0.5)) == ["first", "second"]
    note(one, "late", 1)
    assert words(tail.more(11.0, window_s=0.5)) == ["late", "third"]
    assert tail.more(99.0) == []


def test_a_process_alone_waits_for_nobody(place: Place) -> None:
    """The records of one process are in order as they are, and shown at once."""
    one = ledger(place, "acme/mai")
    ledger(place, "acme/sales")
    tail = Tail(place, "acme/mai")
    tail.latest(0)
    note(one, "now")
    assert words(tail.more(1.0, window_s=50.0)) == ["now"]


def test_new_processes_are_followed(place: Place) -> None:
    """A ledger that appears is read from its beginning, if it belongs to what was asked for; half made it is tried again."""
    note(ledger(place, "acme/mai"), "a")
    tail, whole = Tail(place, "acme"), Tail(place)
    assert words(tail.latest(9)) == words(whole.latest(9)) == ["a"]
    half = place.ledger("acme/sales")
    half.parent.mkdir(parents=True)
    half.touch()
    assert tail.more(10.0) == []
    note(ledger(place, "acme/sales"), "new")
    note(ledger(place, "beta/mai"), "other")
    assert words(tail.more(20.0, window_s=0)) == ["new"]
    assert words(whole.more(20.0, window_s=0)) == ["new", "other"]
    tail.close()


def test_a_backlog_is_read_in_portions(place: Place) -> None:
    """However much has come since the last look, one look reads a portion of it, and none is lost."""
    one = ledger(place, "acme/mai")
    tail = Tail(place)
    tail.latest(0)
    for _ in range(BATCH + 5):
        one.append("note", b"{}")
    one.commit()
    assert [len(tail.more(float(look))) for look in range(3)] == [BATCH, 5, 0]


@given(
    st.lists(st.tuples(st.sampled_from(["acme/mai", "acme/sales", "beta/mai"]), st.integers(1, 9), st.booleans()), max_size=25)
)
def test_any_course_gives_every_record_once(turns: list[tuple[str, int, bool]]) -> None:
    """Whoever writes when, with whatever times, and is restarted in between: each process's records come once and in order."""
    with tempfile.TemporaryDirectory() as directory:
        place = Place(Path(directory, "state"), Path(directory, "run"))
        ledgers = {process: ledger(place, process) for process in ("acme/mai", "acme/sales")}
        tail, shown = Tail(place), []
        tail.latest(0)
        for now, (process, at_ns, again) in enumerate(turns):
            if process not in ledgers or again:
                ledgers[process] = ledger(place, process)
            note(ledgers[process], "x", at_ns)
            shown += tail.more(float(now), window_s=2.0)
        shown += tail.more(1000.0, window_s=2.0) + tail.more(2000.0, window_s=2.0)
        for process, one in ledgers.items():
            assert [seq for name, seq in places(shown) if name == process] == list(range(1, one.seq + 1))
        tail.close()


def test_kills_lose_and_repeat_nothing(place: Place) -> None:
    """A writer that is killed at any moment, again and again: the tail shows just what its journal holds."""
    process = "acme/sales"
    ledger(place, process).close()
    tail = Tail(place)
    shown = tail.latest(0)
    for _ in range(3):
        command = [sys.executable, "-P", "-c", WRITER, str(place.ledger(process)), process]
        with subprocess.Popen(command) as writer:
            until = len(shown) + 200

            def enough(until: int = until) -> bool:
                shown.extend(tail.more(0.0, window_s=0))
                return len(shown) > until

            waited(enough, "records")
            writer.send_signal(signal.SIGKILL)
    shown += tail.more(0.0, window_s=0)
    written = Reader(place, process).last()
    assert places(shown) == [(process, seq) for seq in range(1, written + 1)]
    assert len({line.record.boot for line in shown}) == 3


def test_a_tail_does_not_hold_up_checkpoints(place: Place) -> None:
    """While a tail is open and reading, the write-ahead log can be checkpointed to its end."""
    one = ledger(place, "acme/mai")
    tail = Tail(place)
    note(one, "a")
    tail.latest(5)
    note(one, "b")
    tail.more(1.0)
    checkpoint = connect(place.ledger("acme/mai"), write=True)
    assert checkpoint.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    checkpoint.close()
    note(one, "c")
    assert words(tail.more(2.0)) == ["c"]


@pytest.mark.parametrize("end", ["reader", "ctrl-c"])
def test_the_stream_ends_quietly(place: Place, end: str) -> None:
    """A reader that goes away, and Ctrl-C, end the command with status 0 and without a word."""
    one = ledger(place, "acme/mai")
    for number in range(5):
        note(one, str(number))
    command = [sys.executable, "-P", "-c", TAIL, str(place.state), "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        assert [json.loads(process.stdout.readline())["seq"] for _ in range(5)] == [1, 2, 3, 4, 5]
        if end == "reader":
            process.stdout.close()
            note(one, "one more, for nobody")
        else:
            process.send_signal(signal.SIGINT)
        assert (process.wait(60), process.stderr.read()) == (0, "")


# -- shown
def test_every_kind_of_record_has_its_words(tmp_path: Path) -> None:
    """There is a summary for each kind that a journal can hold, and those of real records say more than their JSON."""
    assert mai.daemon.records and KINDS.keys() - SUMMARIES.keys() == set()
    place = Wired(tmp_path).asked("r1").close().place
    for line in Tail(place).latest(1000):
        said = summary(line.record.kind, line.body)
        assert said and not said.startswith("{"), line


def test_the_watchdogs_book_has_words_too(place: Place) -> None:
    """What the watchdog keeps is told like any other record."""
    book = Book(place.ledger("watchdog"))
    book.started(pid=1)
    book.incident("acme/sales", "death", "killed by signal 9", pid=2)
    book.want("acme/sales", "stop", "root")
    book.give_up("acme/sales", "five deaths", "b")
    book.revive("acme/sales")
    book.flush(0.0)
    lines = Tail(place, "watchdog").latest(9)
    assert len(lines) == 5
    assert all(not summary(line.record.kind, line.body).startswith("{") for line in lines)


def test_a_line_names_what_happened(tmp_path: Path) -> None:
    """Time, process, kind, task and a few words, one line for each record; colour only where it is wanted."""
    place = Wired(tmp_path).asked("r1").close().place
    hop = next(line for line in Tail(place, "acme/marketing", Wanted(kind="hop")).latest(9) if line.record.agent == "planner")
    shown = text(hop)
    assert " ".join(shown.split()[2:]) == "acme/marketing hop r1/1.1.1 coordinator → planner: plan the campaign"
    assert clock(hop.record.at_ns).strftime("%H:%M:%S") in shown
    assert "\x1b[36m" in text(hop, colour=True) and "\x1b" not in shown
    data = json.loads(json_line(hop))
    assert (data["process"], data["kind"], data["task"], data["agent"]) == ("acme/marketing", "hop", "r1/1.1.1", "planner")
    assert data["body"]["contract"] == "" and data["digest"] == hop.record.digest.hex() and "\n" not in json_line(hop)


@given(st.text())
def test_a_text_from_outside_steers_no_terminal(given_text: str) -> None:
    """Whatever a client has written becomes one short line of printable characters."""
    shown = clean(given_text)
    assert shown.isprintable() and len(shown) <= 160


@given(
    st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.integers())),
    st.sampled_from(sorted(SUMMARIES)),
)
def test_a_record_of_another_shape_is_still_shown(body: dict[str, object], kind: str) -> None:
    """A body that has not the shape of its kind, from another version or tampered with, is shown as its JSON."""
    assert summary(kind, body).isprintable()


def test_what_is_no_json_is_shown_as_it_is(place: Place) -> None:
    """A body that cannot be read, and a time that no calendar has, are shown and do not end the tail."""
    one = ledger(place, "acme/mai")
    one.append("note", b"[1")
    note(one, "far", (1 << 63) - 1)
    lines = Tail(place).latest(2)
    assert lines[0].body == {"unreadable": "[1"}
    assert "[1" in text(lines[0]) and "far" in text(lines[1]) and json_line(lines[1])


# -- what was printed
@pytest.fixture
def printing(place: Place) -> Iterator[Logger]:
    """A log that supervisord itself writes and rotates."""
    logger: Logger = getLogger()
    handle_file(logger, str(place.log("acme/sales")), "%(message)s", rotating=True, maxbytes=200, backups=3)
    yield logger
    logger.close()


def say(logger: Logger, *said: str) -> None:
    """Print some lines."""
    for one in said:
        logger.info(f"{one}\n")


def test_logs_are_followed_over_rotations(place: Place, printing: Logger) -> None:
    """Every line is given once, also when the file is rotated several times between two looks."""
    log, said = Log(log_of(place, "acme/sales")), [f"line {number}" for number in range(200)]
    shown: list[str] = []
    for start in range(0, 200, 50):
        say(printing, *said[start : start + 50])
        shown += list(log.more())
    assert os.path.exists(f"{place.log('acme/sales')}.3")
    assert shown == said
    log.close()


def test_what_is_printed_just_before_a_rotation_is_not_lost(place: Place, printing: Logger) -> None:
    """A line that comes after the old file was read, and before it is renamed, is read before the new file is."""

    class Slow(Log):
        """Something is printed, and the file is rotated, right behind the first read."""

        def _read(self) -> Iterator[str]:
            yield from super()._read()
            while words := between.pop() if between else "":
                say(printing, words)

    log = Slow(place.log("acme/sales"))
    between = ["after the rotation", "y" * 200, "before the rotation"]
    say(printing, "first")
    assert [*log.more(), *log.more()] == ["first", "before the rotation", "y" * 200, "after the rotation"]


def test_who_is_far_behind_goes_on_with_the_oldest_file(place: Place, printing: Logger) -> None:
    """The rest of the file that was being read is given although it was removed, then all that is left: only between is lost."""
    log = Log(place.log("acme/sales"))
    say(printing, "seen")
    assert list(log.more()) == ["seen"]
    said = [f"line {number}" for number in range(300)]
    say(printing, *said)
    shown = list(log.more())
    own = next(index for index, (line, due) in enumerate(zip(shown, said, strict=False)) if line != due)
    assert own > 10 and len(shown) - own > 40
    assert shown[own:] == said[own - len(shown) :]


def test_the_last_lines_reach_into_rotated_files(place: Place, printing: Logger) -> None:
    """The last lines are found across files, and what comes begins right behind them."""
    said = [f"line {number}" for number in range(60)]
    say(printing, *said)
    log = Log(place.log("acme/sales"))
    assert log.latest(50) == said[-50:]
    assert Log(place.log("acme/sales")).latest(1) == ["line 59"]
    assert Log(place.log("acme/sales")).latest(0) == []
    say(printing, "more")
    assert list(log.more()) == ["more"]


def test_an_unfinished_line_is_given_when_it_ends(place: Place) -> None:
    """A line is given whole: while it has no end it is shown only to who does not follow."""
    path = place.log("acme/sales")
    path.write_bytes(b"one\nha")
    log = Log(path)
    assert (log.latest(5), log.unfinished(), list(log.more())) == (["one"], ["ha"], [])
    with path.open("ab") as file:
        file.write(b"lf \xff\r\nnext")
    assert list(log.more()) == ["half �"]
    assert list(Log(path).lines(9)) == ["one", "half �", "next"]


def test_a_log_may_come_later_and_be_emptied(place: Place) -> None:
    """A process that has not printed yet, and a file that is emptied in place, are followed."""
    path = place.log("acme/sales")
    log = Log(path)
    assert (log.latest(5), list(log.more())) == ([], [])
    path.write_text("a\nb\n")
    assert list(log.more()) == ["a", "b"]
    path.write_text("c\n")
    assert list(log.more()) == ["c"]


def test_a_line_without_an_end_is_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that prints without line breaks fills no memory: its line is given in pieces."""
    monkeypatch.setattr(logs, "LINE_BYTES", 100)
    path = place.log("acme/sales")
    path.touch()
    log = Log(path)
    path.write_text("x" * 250 + "\nnext\n")
    shown = list(log.more())
    assert "".join(shown) == "x" * 250 + "next" and shown[-1] == "next"


def test_logs_of_whom_is_said(place: Place) -> None:
    """An unknown process is named with those that there are; one that is known may have printed nothing yet."""
    with pytest.raises(NotFound, match="no process 'acme/sales'") as nobody:
        log_of(place, "acme/sales")
    assert "mai up" in nobody.value.hint
    place.log("acme/mai").touch()
    place.log("supervisor").touch()
    ledger(place, "acme/people")
    with pytest.raises(NotFound) as missing:
        log_of(place, "acme/sales")
    assert missing.value.hint == "there are acme/mai, acme/people, supervisor"
    assert log_of(place, "acme/people") == place.log("acme/people")
