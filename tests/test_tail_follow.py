"""`mai tail -f`: woken by who writes, exact over kills, restarts and exchanged ledgers, and narrowed by what is asked for."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mai.daemon.awake import Awake
from mai.daemon.cursors import Reached, decode, encode
from mai.daemon.levels import LEVELS, from_level, level_of
from mai.daemon.reader import BATCH, NotFound
from mai.daemon.tail import Tail
from mai.daemon.tail_form import Line
from mai.daemon.wanted import Wanted
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place
from mai.sandbox.rotation import Rotation
from tests.small import MAI, environment, until
from tests.test_tail import WRITER, ledger, note, places, words
from tests.wired import Wired


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A state directory without processes."""
    place = Place(tmp_path / "state", tmp_path / "run")
    place.prepare()
    return place


# -- what is asked for
def test_conditions_hold_together(tmp_path: Path) -> None:
    """Client, department, level, several kinds: each narrows what the others leave; none of it is there, and it is said."""
    company = Wired(tmp_path).asked("r1").close()
    place = company.place
    other = ledger(place, "beta/sales")
    note(other, "bad", kind="hop.refused")
    note(other, "worse", kind="effect.unknown")

    def shown(*, what: str | None = None, **given: str) -> set[tuple[str, str]]:
        lines = Tail(place, what, Wanted(**given)).latest(1000)
        return {(line.process, line.record.kind) for line in lines}

    assert {process for process, _ in shown(department="sales")} == {"acme/sales", "beta/sales"}
    assert {process for process, _ in shown(client="beta")} == {"beta/sales"}
    assert {process for process, _ in shown(client="acme", department="sales")} == {"acme/sales"}
    assert shown(what="acme", department="sales", kind="task.ended,hop") == {("acme/sales", "hop"), ("acme/sales", "task.ended")}
    assert shown(level="error") == {("beta/sales", "effect.unknown")}
    assert shown(level="warning", kind="hop") == {("beta/sales", "hop.refused")}
    assert {level_of(kind) for _, kind in shown(level="notice")} == {"notice", "warning", "error"}
    for given in ({"client": "gamma"}, {"client": "beta", "department": "marketing"}):
        with pytest.raises(NotFound, match=r"gamma|beta marketing"):
            shown(**given)


def test_levels_are_nested() -> None:
    """Each level has all kinds of the next one, and more."""
    kinds = [set(from_level(level) or ()) for level in LEVELS[1:]]
    assert from_level("info") is None and kinds[0] > kinds[1] > kinds[2] > set()


# -- order
def test_a_backlog_is_in_order_of_time(place: Place) -> None:
    """However far one journal is behind the others, nothing is shown before what is earlier elsewhere and not read yet."""
    one, other = ledger(place, "acme/mai"), ledger(place, "acme/sales")
    tail = Tail(place)
    for number in range(BATCH + 100):
        one.append("note", b'{"text":"%d"}' % number)
    one.commit()
    note(other, "last")
    shown: list[Line] = []
    for look in range(4):
        shown += tail.more(float(look), window_s=0.0)
    times = [line.record.at_ns for line in shown]
    assert len(shown) == BATCH + 101 and times == sorted(times) and words(shown)[-1] == "last"


# -- waking
def test_the_kernel_tells_who_was_written_to(place: Place) -> None:
    """Of two ledgers the one that was written is named, also after its log was made anew; nobody, if nobody writes."""
    one, other = ledger(place, "acme/mai"), ledger(place, "acme/sales")
    awake = Awake()
    for each in (one, other):
        awake.watch(each.process, each.path.with_name("ledger.db-wal"))
    assert awake.wait(0) == set()
    note(one, "x")
    assert awake.wait(60) == {"acme/mai"}
    other.close()
    assert not other.path.with_name("ledger.db-wal").exists()
    note(ledger(place, "acme/sales"), "y")
    found: set[str] = set()
    while "acme/sales" not in found:
        found |= awake.wait(60) or set()
    awake.forget("acme/mai")
    note(one, "z")
    assert "acme/mai" not in (awake.wait(0) or set())
    awake.close()
    assert awake.wait(0) is None


class Host:
    """In the place of waiting: what the kernel says, and the test's own doings, one after the other."""

    def __init__(self, *turns: set[str] | Callable[[], set[str]]) -> None:
        self.turns = list(turns)

    def __call__(self, seconds: float) -> set[str] | None:
        """One turn; the tail is at its end with the last."""
        if not self.turns:
            raise KeyboardInterrupt
        turn = self.turns.pop(0)
        return turn if isinstance(turn, set) else turn()


def followed(tail: Tail, host: Host) -> Iterator[Line]:
    """What the tail gives until the host has no more turns."""
    try:
        yield from tail.follow(host)
    except KeyboardInterrupt:
        return


def test_who_is_not_told_of_is_found_all_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that is silent about a ledger is caught at the look at all, and from then on nobody relies on it."""
    monkeypatch.setattr("mai.daemon.tail.APPEAR_S", 0.0)
    one = ledger(place, "acme/mai")
    tail = Tail(place, "acme/mai")

    def written() -> set[str]:
        note(one, "unsaid")
        return set()

    assert words(list(followed(tail, Host(set(), written, set())))) == ["unsaid"]
    assert not tail._told


def test_a_late_commit_is_looked_for_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells of the bytes before the commit: the ledger is looked at again, without a further word."""
    monkeypatch.setattr("mai.daemon.tail.HOT_S", 1e9)  # however slow we are: it is not found by the look at all
    monkeypatch.setattr("mai.daemon.tail.APPEAR_S", 1e9)
    one = ledger(place, "acme/mai")
    tail = Tail(place, "acme/mai")

    def committed() -> set[str]:
        note(one, "late")
        return set()

    assert words(list(followed(tail, Host({"acme/mai"}, committed, set())))) == ["late"]
    assert tail._told


# -- exact
def test_a_ledger_that_is_put_back_is_followed(place: Place) -> None:
    """A copy in the place of a ledger, and one that goes and comes again: what is new there comes once, nothing twice."""
    one = ledger(place, "acme/mai")
    for word in ("a", "b"):
        note(one, word)
    one.close()
    copy = shutil.copy(one.path, place.state / "copy")
    tail = Tail(place)
    assert words(tail.latest(9)) == ["a", "b"]
    os.replace(copy, one.path)
    assert tail.more(10.0) == []
    one = ledger(place, "acme/mai")
    note(one, "c")
    assert words(tail.more(20.0, window_s=0)) == ["c"]
    one.close()
    away = one.path.rename(place.state / "away")
    assert tail.more(30.0) == []
    away.rename(one.path)
    assert tail.more(40.0) == []
    note(ledger(place, "acme/mai"), "d")
    assert words(tail.more(50.0)) == ["d"]


def test_places_outlive_their_ledger(place: Place) -> None:
    """Beyond the end of an older copy what is written from then on comes; a ledger made anew under the same name comes whole."""
    one = ledger(place, "acme/mai")
    note(one, "a")
    one.close()
    older = shutil.copy(one.path, place.state / "older")
    for word in ("b", "c"):
        note(one := ledger(place, "acme/mai"), word)
        one.close()
    tail = Tail(place)
    assert words(list(tail.rest())) == ["a", "b", "c"]
    kept = decode(encode(tail.places))
    tail.close()
    assert kept["acme/mai"].seq == 3
    shutil.copy(older, one.path)
    tail = Tail(place, places=kept)
    note(ledger(place, "acme/mai"), "d")
    assert words(list(tail.rest())) == ["d"] and tail.places["acme/mai"].seq == 2
    shutil.rmtree(place.home("acme/mai"))
    one = ledger(place, "acme/mai")
    for word in ("e", "f", "g", "h"):
        note(one, word)
    assert words(list(Tail(place, places=kept).rest())) == words(tail.more(time.monotonic() + 10)) == ["e", "f", "g", "h"]
    assert words(list(Tail(place, places=decode(b'{"acme/mai": 3}')).rest())) == ["h"]  # as it was kept before


def test_places_are_where_another_goes_on(place: Place) -> None:
    """A tail that begins with the places of one that was ended, at whatever line, gives just the rest."""
    one, other = ledger(place, "acme/mai"), ledger(place, "acme/sales")
    for number in range(6):
        note(one if number % 2 else other, str(number), number + 1)
    for cut in range(7):
        first = Tail(place)
        lines = first.rest()
        shown = [next(lines) for _ in range(cut)]
        found = first.places if cut < 6 else dict.fromkeys(("acme/mai", "acme/sales"), Reached(3))
        rest = list(Tail(place, places=found).rest())
        again = 1 if 0 < cut < 6 else 0  # the one at which it was ended: nobody knows whether it was shown
        assert words(shown[: cut - again] + rest) == [str(number) for number in range(6)], cut


def test_kills_and_restarts_lose_and_repeat_nothing(place: Place, tmp_path: Path) -> None:
    """Two writers that are killed again and again, a tail that is stopped and started with its cursor: every record once.

    A tail that is killed with SIGKILL itself goes on as well, and may show its last lines again.
    """
    names, cursor = ("acme/mai", "acme/sales"), tmp_path / "cursor"
    for name in names:
        ledger(place, name).close()
    shown: list[tuple[str, int]] = []
    command = [*MAI, "--state", str(place.state), "tail", "-f", "--json", "--cursor", str(cursor)]

    def turn(how: signal.Signals, kills: int) -> None:
        """One life of the tail, in which the writers have several."""
        with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as tail:
            assert tail.stdout
            thread = threading.Thread(
                target=lambda: shown.extend((one["process"], one["seq"]) for one in map(json.loads, tail.stdout or ()))
            )
            thread.start()
            try:
                for _ in range(kills):
                    written()
                tail.send_signal(how)
                thread.join()
            finally:
                tail.kill()

    def written() -> None:
        """One life of the writers, until much of it is shown."""
        writers = [subprocess.Popen([sys.executable, "-P", "-c", WRITER, str(place.ledger(name)), name]) for name in names]
        enough = len(shown) + 100
        try:
            until(lambda: len(shown) > enough, "lines")
        finally:
            for writer in writers:
                writer.kill()
                writer.wait()

    def complete() -> None:
        rest = subprocess.run(
            [*command[:-4], "--json", "--cursor", str(cursor)], env=environment(), capture_output=True, check=True
        )
        shown.extend((one["process"], one["seq"]) for one in map(json.loads, rest.stdout.splitlines()))

    turn(signal.SIGINT, 2)
    turn(signal.SIGINT, 1)
    complete()
    for name in names:
        last = Ledger(place.ledger(name), name).seq
        assert [seq for process, seq in shown if process == name] == list(range(1, last + 1))
    turn(signal.SIGKILL, 1)
    complete()
    for name in names:
        last = Ledger(place.ledger(name), name).seq
        assert {seq for process, seq in shown if process == name} == set(range(1, last + 1))


def test_a_cursor_that_is_none_is_named(place: Place, tmp_path: Path) -> None:
    """What is no cursor is left as it is, and said; one that is not there begins at the beginning."""
    note(ledger(place, "acme/mai"), "a")
    false = tmp_path / "false"
    false.write_text("[1]")
    command = [*MAI, "--state", str(place.state), "tail", "--cursor"]
    ran = subprocess.run([*command, str(false)], env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and "is no cursor" in ran.stderr and false.read_text() == "[1]"
    ran = subprocess.run([*command, str(tmp_path / "new")], env=environment(), capture_output=True, text=True, check=True)
    assert len(ran.stdout.splitlines()) == 1 and [place.seq for place in decode((tmp_path / "new").read_bytes()).values()] == [1]


def test_a_rotation_beside_a_tail_loses_and_repeats_nothing(place: Place) -> None:
    """The journal is cut before, at and behind the place of a tail: it goes on over the segments, and so does who begins now."""
    one = ledger(place, "acme/mai")
    tail, shown = Tail(place), list[Line]()
    assert tail.latest(0) == []
    for number in range(60):
        note(one, str(number))
        if number in (20, 40):
            shown += tail.more(float(number))
        if number in (30, 45, 50):  # behind what the tail has read; right where it is; before it
            rotation = Rotation(one, {30: 25, 45: 41, 50: 48}[number])
            while rotation.step():
                pass
            assert not rotation.fault
    shown += tail.more(99.0)
    assert one.archive.upto == 48
    assert [line.record.seq for line in shown] == list(range(1, one.seq + 1)) and one.seq == 63
    assert places(list(Tail(place, places={}).rest())) == places(shown)
    assert [line.record.seq for line in Tail(place).latest(30)] == list(range(34, 64))
