"""`mai tail -f` over any course of writing, looking, rotating and putting back: every record once, in its order."""

import random
import shutil
from functools import partialmethod
from pathlib import Path

import pytest

from mai.daemon import cursors
from mai.daemon.reader import Reader
from mai.daemon.tail import Tail
from mai.daemon.tail_form import Line
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place
from mai.sandbox.rotation import Rotation
from tests.test_tail import ledger

PROCESSES = ("acme/mai", "acme/sales", "acme/people")
STEPS = ("write", "write", "look", "look", "copy", "restore", "rotate", "begin", "away")
SEEDS = (11, 15, 16, 17, 35, 41, 70, 75)  # courses that once lost records


class Course:
    """Some ledgers, their copies, and a tail that goes on through it all."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.place = directory, Place(directory / "state", directory / "run")
        self.place.prepare()
        self.ledgers = {process: ledger(self.place, process) for process in PROCESSES}
        self.copies: dict[str, list[Path]] = {process: [] for process in PROCESSES}  # of what the ledger still has
        self.tail, self.shown, self.now_s = Tail(self.place, places={}), list[Line](), 0.0
        self.count = 0

    def step(self, what: str, process: str, size: int) -> None:
        """Do one thing to one process's ledger, or to the tail; `size` says how much, how long, or which."""
        self.count += 1
        one, home, aside = self.ledgers[process], self.place.home(process), self.directory / f"aside{self.count}"
        if what == "write":
            for _ in range(size):
                one.append("note", b"{}")
            one.commit()
        elif what == "look":
            self.look(size * 0.3, (size % 3) * 0.5)
        elif what == "copy":
            shutil.copytree(home, aside, ignore=lambda *_: ["ledger.db", "ledger.db-wal", "ledger.db-shm"])
            one.connection.execute("VACUUM INTO ?", (str(aside / "ledger.db"),))
            self.copies[process].append(aside)
        elif what == "restore" and (kept := self.copies[process][:size]):
            self.copies[process] = kept
            one.close()
            home.rename(aside)
            shutil.copytree(kept[-1], home)
            self.ledgers[process] = ledger(self.place, process)
        elif what == "rotate" and (upto := one.seq - size % 3) > one.archive.upto:
            self.rotate(one, upto)
        elif what == "begin":
            kept_places = cursors.decode(cursors.encode(self.tail.places))
            self.tail.close()
            self.tail = Tail(self.place, places=kept_places)
        elif what == "away":
            one.close()
            home.rename(aside)
            self.look(2.0, 0.0)
            aside.rename(home)
            self.ledgers[process] = ledger(self.place, process)

    def look(self, after_s: float, window_s: float) -> None:
        """So long after the last look."""
        self.now_s += after_s
        self.shown += self.tail.more(self.now_s, window_s)

    def rotate(self, one: Ledger, upto: int) -> None:
        """With a look between every two of its steps."""
        rotation = Rotation(one, upto)
        while rotation.step():
            self.look(0.01, 0.0)
        assert not rotation.fault

    def close(self) -> None:
        """Close all files."""
        self.tail.close()
        for one in self.ledgers.values():
            one.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_any_course_shows_every_record_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """No record is shown twice, none that its ledger has in the end is left out, and each process's come in their order."""
    for name in ("tail", "reader"):
        monkeypatch.setattr(f"mai.daemon.{name}.BATCH", 4)
    monkeypatch.setattr(Reader, "records", partialmethod(Reader.records, limit=4))
    course, chance = Course(tmp_path), random.Random(seed)
    for _ in range(chance.randint(8, 40)):
        course.step(chance.choice(STEPS), chance.choice(PROCESSES[:2]), chance.randint(1, 9))
    for _ in range(sum(one.seq for one in course.ledgers.values()) // 4 + 9):
        course.look(2.0, 0.0)
    for process in PROCESSES:
        shown = [line.record for line in course.shown if line.process == process]
        assert len({record.digest for record in shown}) == len(shown)
        assert [record.at_ns for record in shown] == sorted(record.at_ns for record in shown)
        assert {record.digest for record in course.ledgers[process].records()} <= {record.digest for record in shown}
    course.close()
