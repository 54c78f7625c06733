"""`make tamper`: bits are flipped in every kind of byte of a state directory that a real run has left; `mai verify` has to tell.

    python -m tests.tamper [FLIPS] [SEED]      so many of each kind (100), over the reference organisation

A flip that is not found counts as missed if anything is read otherwise because of it: a row of any table, the order of an index,
what a search finds, the schema. What nobody reads (unused room in pages, counters of SQLite's) changes nothing, and is counted
apart. Kinds are those of tests/pages.py for ledgers, of `log_regions` for their write-ahead logs, and the names of other files:
a new one is a line there or in FILES. What may be missed has to stand in LISTED, with its reason, which SECURITY.md gives. The
deeds of somebody who knows the file, and computes what he changes anew, are in tests/tamper_deeds.py.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import msgspec
import pysqlite3 as sqlite3

from mai.daemon import archiving, checkpoint
from mai.daemon.asking import ask, new_id
from mai.daemon.demo import REQUESTS
from mai.daemon.example import CLIENT, company
from mai.daemon.up import Start
from mai.daemon.verified import Changed, File
from mai.daemon.verify import Report, verify
from mai.sandbox import words
from mai.sandbox.errors import MaiError
from mai.sandbox.keys import Known
from mai.sandbox.lock import holder
from mai.sandbox.place import Place
from tests import tamper_deeds
from tests.pages import spans
from tests.test_verify import value

FLIPS = 100
PER_ROUND: Final = 4000  # bytes of a kind from which is drawn
LISTED: Final = {  # kinds of which some flip may be missed, and why
    "meta value": "when a ledger was made; nobody reads it (whose it is, is checked)",
    "log, last transaction": "it counts as torn by a power cut, as if it had never been; a warning says so",
    "file ledger.made": "how many records there were at least: a smaller number promises less",
    "file mandate": "what a process is told of the organisation: written anew before it starts",
    "file proof": "made anew with each start of the daemon",
}
FILES: Final = ("ledger.made", "mandate", "proof", "key", "mai.key", "keys", "seal", "signing.key", "signing.pub", "verified")
OWN: Final = {"verified", "checkpoint"}  # files that are not evidence about others, but tell when they were changed
LOG_HEADER, FRAME_HEADER = 32, 24
STRIDE: Final = 1000  # bytes of a segment of which some are drawn
SUBJECT: Final = "10423"  # the order of one of the requests: what is erased


GROUPS: Final = {  # how the kinds begin that SECURITY.md counts together
    "records, each column and what holds them": ("journal ",), "blobs": ("blob ",), "state": ("state ",),
    "full-text index of memory": ("words ",), "other indexes": ("index ",), "tables, triggers and views": ("schema ",),
    "what was rotated": ("rotated ", "segment "), "segments": ("segment",), "whose ledger it is, since when": ("meta ",),
    "header of the file": ("header",), "free pages, unused room": ("unused", "free list"),
    "write-ahead log": ("log ",), "write-ahead log, last transaction": ("log,",),
    "keys, seal": ("file key", "file mai.key", "file keys", "file seal", "file signing"),
    "checkpoint, what is remembered": ("file checkpoint", "file verified"),
    "ledger.made, mandate, proof": ("file ledger.made", "file mandate", "file proof"),
}  # fmt: skip


class Spot(NamedTuple):
    """A byte that can be flipped."""

    kind: str
    file: Path
    at: int


class Room:
    """A state directory in which one byte at a time is another one."""

    def __init__(self, place: Place, kept: Path) -> None:
        """`kept`: a checkpoint of it."""
        self.place, self.kept = place, kept
        self.memory = File(place, place.state / "verified")
        assert verify(place, state=True, keep=self.memory.write).sound, "it is to be sound before"
        self.tidy()
        self.told = {process: content(place.ledger(process)) for process in place.processes()}
        self.tidy()

    def tidy(self) -> None:
        """Remove what our own reading has left beside the ledgers; a log with something in it stays."""
        for path in self.place.state.rglob("ledger.db-*"):
            if path.name.endswith("-shm") or not path.stat().st_size:
                path.unlink()

    def spots(self, random: Random) -> dict[str, list[Spot]]:
        """Bytes of every kind, in a random order."""
        found: dict[str, list[Spot]] = defaultdict(list)
        for kind, file, first, count in self._regions():
            for at in random.sample(range(first, first + count), min(count, 8)):
                found[kind].append(Spot(kind, file, at))
        for some in found.values():
            random.shuffle(some)
            del some[PER_ROUND:]
        return found

    def _regions(self) -> Iterator[tuple[str, Path, int, int]]:
        for process in self.place.processes():
            path = self.place.ledger(process)
            log = path.with_name("ledger.db-wal")
            if log.exists() and log.stat().st_size:
                yield from ((kind, log, first, count) for kind, first, count in log_regions(log.read_bytes()))
                continue  # its pages stand in the log and in the file: which counts is SQLite's to know
            yield from ((what, path, first, count) for first, count, what in spans(path))
        for path in self.place.state.rglob("*.segment"):
            size = path.stat().st_size
            yield from (("segment", path, first, min(STRIDE, size - first)) for first in range(0, size, STRIDE))
        for name in FILES:
            for path in self.place.state.rglob(name):
                if path.is_file() and path.stat().st_size:
                    yield f"file {name}", path, 0, path.stat().st_size
        yield "file checkpoint", self.kept, 0, self.kept.stat().st_size

    def flip(self, spot: Spot, bit: int) -> str:
        """ "found", "idle" if nobody reads that byte, or what was missed."""
        before = spot.file.read_bytes() if spot.kind.startswith("file ") else b""
        with spot.file.open("r+b") as file:
            file.seek(spot.at)
            byte = file.read(1)
            file.seek(spot.at)
            file.write(bytes([byte[0] ^ 1 << bit]))
        try:
            return self._judged(spot, before)
        finally:
            with spot.file.open("r+b") as file:
                file.seek(spot.at)
                file.write(byte)
            self.tidy()

    def _judged(self, spot: Spot, before: bytes) -> str:
        if spot.file.name in OWN or spot.file == self.kept:
            return "found" if self._own_is_found(spot.file) else f"{spot.file.name} byte {spot.at}"
        report = self.verified()
        if not report.sound or report.warnings:
            return "found"
        if spot.kind == "segment" or spot.kind.startswith("file "):
            idle = spot.kind != "segment" and _read_as(spot.file.read_bytes(), spot.kind) == _read_as(before, spot.kind)
            return "idle" if idle else f"{spot.file.relative_to(self.place.state)} byte {spot.at}"
        process = next(one for one in self.place.processes() if spot.file.parent == self.place.home(one))
        self.tidy()
        try:
            same = content(self.place.ledger(process)) == self.told[process]
        except (sqlite3.Error, ValueError) as error:
            return f"{process} byte {spot.at}: {error}"
        return "idle" if same else f"{process} byte {spot.at}"

    def verified(self) -> Report:
        """What `mai verify` says."""
        return verify(self.place)

    def _own_is_found(self, file: Path) -> bool:
        try:
            if file == self.kept:
                return not verify(self.place, against=checkpoint.read(file)).sound
            self.memory.read()
        except (Changed, MaiError):
            return True
        return False


def _read_as(data: bytes, kind: str) -> list[bytes]:
    """A key's file as who needs it reads it: without its white space, and hexadecimal digits in any case."""
    if kind == "file keys":
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            return [repr(msgspec.msgpack.decode(data, type=Known)).encode()]
    return (data.lower() if "signing" in kind else data).split() if kind != "file seal" else [data]


def content(path: Path) -> str:
    """A digest of all that can be read in a ledger, in the orders of its indexes, and by searching."""
    told = hashlib.sha256()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        for type_, name, sql in db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall():
            told.update(repr((type_, name, sql)).encode() if not name.startswith("sqlite_") else b"")
            if type_ == "table" and not name.startswith("words ") and "sqlite_" not in name:
                for row in db.execute(f'SELECT * FROM "{name}"'):
                    told.update(repr(row).encode())
        for row in db.execute("SELECT request, seq FROM journal WHERE request <> '' ORDER BY request, seq"):
            told.update(repr(row).encode())
        told.update(repr(words.held(db)).encode())
        for name in words.indexed(db):
            for asked in ("customer", "order", "quarter"):
                told.update(repr(words.found(db, name.removeprefix(words.TABLE), asked)).encode())
        told.update(repr(db.execute("PRAGMA user_version").fetchone()).encode())
    return told.hexdigest()


def log_regions(data: bytes) -> Iterator[tuple[str, int, int]]:
    """What a write-ahead log is made of; frames of an earlier log, behind the present one, are nobody's."""
    page_bytes = int.from_bytes(data[8:12], "big")
    step = FRAME_HEADER + page_bytes
    frames = [at for at in range(LOG_HEADER, len(data) - step + 1, step) if data[at + 8 : at + 16] == data[16:24]]
    ends = [number for number, at in enumerate(frames) if data[at + 4 : at + 8] != bytes(4)]
    last = ends[-2] if len(ends) > 1 else -1  # the end of the transaction before the last one
    yield "log header", 0, LOG_HEADER
    for number, at in enumerate(frames[: ends[-1] + 1] if ends else []):
        if number > last:
            yield "log, last transaction", at, step
        else:
            yield "log frame header", at, FRAME_HEADER
            yield "log page", at + FRAME_HEADER, page_bytes


class Campaign:
    """Flips of each kind, counted."""

    def __init__(self, flips: int, seed: int, say: Callable[[str], None] = print) -> None:
        self.flips, self.random, self._say = flips, Random(seed), say
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.missed: list[str] = []

    def play(self, room: Room, only: str = "") -> None:
        """So many flips of each kind that this room has, or of those whose names begin so."""
        for kind, some in sorted((kind, some) for kind, some in room.spots(self.random).items() if kind.startswith(only)):
            for spot in some[: self.flips]:
                outcome = room.flip(spot, self.random.randrange(8))
                missed = outcome not in ("found", "idle")
                self.counts[kind]["missed" if missed else outcome] += 1
                if missed and kind not in LISTED:
                    self.missed.append(f"{kind}: {outcome}")
            self._say(f"{kind:34} {dict(self.counts[kind])}")

    def grouped(self) -> dict[str, Counter[str]]:
        """The counts of several kinds together."""
        found: dict[str, Counter[str]] = {}
        for kind, counts in sorted(self.counts.items()):
            fits = [name for name, starts in GROUPS.items() if kind.startswith(starts)]
            name = fits[0] if fits else kind
            found[name] = found.get(name, Counter()) + counts
        return {name: found[name] for name in (*GROUPS, *found) if name in found}

    def table(self, *, grouped: bool = False) -> str:
        """In Markdown, by kinds or groups of them."""
        rows = [("what is flipped", "flips", "found", "read by nobody", "missed"), ("---", *["---:"] * 4)]
        for kind, counts in self.grouped().items() if grouped else sorted(self.counts.items()):
            rows.append((kind, *(f"{count}" for count in (counts.total(), counts["found"], counts["idle"], counts["missed"]))))
        whole = sum(self.counts.values(), Counter[str]())
        rows.append(
            (f"**all ({len(self.counts)} kinds)**", str(whole.total()), *(str(whole[how]) for how in ("found", "idle", "missed")))
        )
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


# -- a real run
def real(directory: Path) -> tuple[Place, Place, Place]:
    """What the reference organisation has left: after a while, later, both ended in order; and killed in the midst of work."""
    first, second, killed = (Place(directory / name) for name in ("older", "state", "killed"))
    live = Place(directory / "live")
    for to, texts in ((first, REQUESTS[:2]), (second, REQUESTS[2:])):
        start = Start(live, company(), detach=False)
        start.ready()
        for text in texts:
            _ask(live, text)
        if to is second:
            erased(live)
        start.stop()
        if to is second:
            archived(live)
        copied(live, to)
    start = Start(live, company(), detach=False)
    start.ready()
    for text in REQUESTS * 2:
        _ask(live, text)
    os.kill(start.process.pid, signal.SIGKILL)
    start.process.wait()
    _ended(live)
    copied(live, killed)
    return first, second, killed


def erased(place: Place) -> None:
    """What is kept of somebody is destroyed in the ledgers of a daemon that runs."""
    command = [sys.executable, "-P", "-m", "mai.cli", "--state", str(place.state), "erase", CLIENT, "--subject", SUBJECT, "--yes"]
    subprocess.run(command, check=True, capture_output=True)


def archived(place: Place) -> None:
    """The first half of the longest journal becomes a segment."""
    scene = tamper_deeds.settled(place, place)
    middle_ns = value(place, scene.busy, "SELECT at_ns FROM journal WHERE seq = ?", scene.middle(scene.busy))
    assert archiving.rotate(place, scene.busy, middle_ns, lambda *_: None), "nothing was rotated"


def _ask(place: Place, text: str) -> None:
    for _ in ask(place, CLIENT, text, request=new_id(), timeout_s=60, watch=False):
        pass


def _ended(place: Place) -> None:
    """The kernel has ended all processes: nobody holds the lock of a directory."""
    end_s = time.monotonic() + 30
    while any(holder(place.home(process)) for process in place.processes()):
        assert time.monotonic() < end_s, "the processes outlive their supervisor"
        time.sleep(0.05)


def copied(source: Place, to: Place) -> Place:
    """A copy of a state directory without sockets."""
    shutil.copytree(source.state, to.state, ignore=shutil.ignore_patterns("run", "*-shm", "pycache", "files"))
    return to


def kept(place: Place) -> Path:
    """A checkpoint of it, beside it."""
    file = place.state.with_suffix(".checkpoint")
    if not file.exists():
        file.write_text(checkpoint.take(place)[1])
    return file


def main() -> int:
    """Play it; 1 if anything was missed that is not listed."""
    flips, seed, *_ = (*map(int, sys.argv[1:3]), *(FLIPS, 1)[len(sys.argv) - 1 :])
    campaign = Campaign(flips, seed)
    directory = Path(tempfile.mkdtemp(prefix="mai-tamper-"))
    try:
        older, place, killed = real(directory)
        for one in (place, killed):
            campaign.play(Room(one, kept(one)))
        missed = campaign.missed + tamper_deeds.play(place, older, directory / "deeds", print)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"{campaign.table()}\n\n{campaign.table(grouped=True)}")
    print("\n".join(missed) or "all was found that is not listed")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
