"""`mai backup`: all ledgers as they were at one moment, while everything runs.

A set of ledgers that were copied one after another is no state that the company ever was in: whoever was copied later has
received what the earlier one, restored, never sent, and halts (link.py). So all ledgers are held for a moment: with the write
lock of each taken, nothing can be committed anywhere, and since everybody commits before he sends or acknowledges, no receiver
is ahead of its sender just then. A reading transaction is begun in each, which pins that moment, and the locks are given back;
what is copied afterwards, for as long as it takes, is the pinned moment. A process that wants to commit meanwhile waits in
SQLite's own busy handler, for less than HOLD_S.
"""

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pysqlite3 as sqlite3

from mai.agents.link import Link
from mai.daemon.certificate import directory
from mai.daemon.reader import missing
from mai.daemon.seals import NAME as SEAL
from mai.daemon.seals import client_of
from mai.sandbox.archive import LOST, Archive
from mai.sandbox.durable import sha256, sync
from mai.sandbox.errors import LedgerFault, MaiError, UsageFault
from mai.sandbox.ledger import connect, fault
from mai.sandbox.place import FORMAT, Place
from mai.sandbox.version import VERSION

HOLD_S = 1.0  # nobody is kept from committing for longer
ATTEMPTS = 10
BETWEEN_S = 0.5
PAGES = 1000  # copied at once
MANIFEST = "manifest.json"
COMMON = ("organisation.toml", "organisation.path", "clients.json", "supervisor/organisation")  # besides each process's mandate

Progress = Callable[[str, int, int], None]  # what, how many pages, of how many


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a backup."""

    path: str
    bytes: int
    sha256: str


class Kept(File, frozen=True, kw_only=True):
    """One ledger in it: where its journal ends, and how far its links have come (peer: sent, acknowledged, received)."""

    process: str
    format: int
    seq: int
    head: str
    links: dict[str, tuple[int, int, int]]


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds; `digest` is over all the rest."""

    made_ms: int
    version: str
    format: int
    held_ms: int  # for how long nobody could commit
    ledgers: tuple[Kept, ...]
    files: tuple[File, ...]
    digest: str = ""

    def sum(self) -> str:
        """What `digest` has to be."""
        return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(self, digest=""))).hexdigest()


def quiet(what: str, done: int, of: int) -> None:
    """Show no progress."""


def backup(place: Place, directory: Path, progress: Progress = quiet) -> Manifest:
    """Copy everything into a new directory, which is there whole or not at all. Raises MaiError."""
    if directory.exists():
        raise UsageFault(f"{directory} exists", "name a directory that does not; each backup has its own")
    processes = place.processes()
    if not processes:
        raise missing(place, "")
    with whole(directory) as part:
        made = copied(place, processes, part, progress)
        write(part / MANIFEST, msgspec.json.format(msgspec.json.encode(made), indent=1))
    return made


@contextlib.contextmanager
def whole(directory: Path) -> Iterator[Path]:
    """Where to write what is to lie there whole or not at all. Raises MaiError."""
    part = directory.with_name(f"{directory.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of one that was interrupted
    try:
        part.mkdir(mode=0o700, parents=True)
        yield part
        synced(part)
        part.rename(directory)
        sync(directory.parent)
    except OSError as error:
        raise MaiError(f"the copy cannot be written to {directory}: {error.strerror}", "make room, or name another") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def copied(place: Place, processes: list[str], part: Path, progress: Progress, common: Sequence[str] = COMMON) -> Manifest:
    """Copy the ledgers of these processes, as they are at one moment, with what is needed to read them."""
    with contextlib.ExitStack() as stack:
        readers = {process: stack.enter_context(_closing(place.ledger(process), write=False)) for process in processes}
        made_ms, held_s = _pin(place, readers)
        ledgers = tuple(_ledger(place, process, db, part, progress) for process, db in readers.items())
        segments = tuple(file for process, db in readers.items() for file in _segments(place, process, db, part, progress))
    named = [*common, *(f"clients/{process}/mandate" for process in processes if "/" in process)]
    if common:  # with the watchdog's ledger, of which a client's seal opens a part
        named += [str(path.relative_to(place.state)) for path in sorted(directory(place).glob("*.json"))]
        named += [f"clients/{client}/{SEAL}" for client in dict.fromkeys(map(client_of, processes)) if client]
    files = (*(_file(place, name, part) for name in named if (place.state / name).exists()), *segments)
    write(part / "format", f"{FORMAT}\n".encode())
    made = Manifest(made_ms, VERSION, FORMAT, round(held_s * 1000), ledgers, files)
    return msgspec.structs.replace(made, digest=made.sum())


# -- the moment
@contextlib.contextmanager
def _closing(path: Path, *, write: bool) -> Iterator[sqlite3.Connection]:
    db = connect(path, write=write)
    try:
        yield db
    except sqlite3.Error as error:
        raise fault(path, error) from error
    finally:
        db.close()


def _pin(place: Place, readers: dict[str, sqlite3.Connection]) -> tuple[int, float]:
    """Begin a reading transaction in each ledger, all at one moment. Returns when that was, and how long all were held."""
    with contextlib.ExitStack() as stack:
        writers = {process: stack.enter_context(_closing(place.ledger(process), write=True)) for process in readers}
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(BETWEEN_S)  # others have their turn
            begun_s = time.monotonic()
            busy = _held(writers, begun_s + HOLD_S)
            if not busy:
                for db in readers.values():
                    db.execute("BEGIN")
                    db.execute("SELECT MAX(seq) FROM journal").fetchone()
            made_ms = time.time_ns() // 1_000_000
            for db in writers.values():
                if db.in_transaction:
                    db.execute("ROLLBACK")
            if not busy:
                return made_ms, time.monotonic() - begun_s
    raise LedgerFault(
        f"{busy} did not let go of its ledger in {ATTEMPTS} attempts", f"is it at work? mai status; mai logs {busy}"
    )


def _held(writers: dict[str, sqlite3.Connection], until_s: float) -> str:
    """Take every write lock; the name of the process whose lock was not to be had, "" if all were."""
    for process, db in writers.items():
        left_ms = int((until_s - time.monotonic()) * 1000)
        db.execute(f"PRAGMA busy_timeout={max(1, left_ms)}")
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            return process
    return ""


# -- the copies
def _ledger(place: Place, process: str, db: sqlite3.Connection, part: Path, progress: Progress) -> Kept:
    path = place.ledger(process).relative_to(place.state)
    target = part / path
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(str(target), isolation_level=None)) as copy:
        db.backup(copy, pages=PAGES, progress=lambda status, left, of: progress(process, of - left, of))
        seq, head = copy.execute("SELECT seq, digest FROM journal ORDER BY seq DESC LIMIT 1").fetchone() or (0, b"")
        format_ = copy.execute("PRAGMA user_version").fetchone()[0]
        rows = copy.execute("SELECT value FROM state WHERE noun='link'").fetchall()
        copy.execute("PRAGMA journal_mode=DELETE")  # one file that can be read from whatever it lies on
    links = [msgspec.json.decode(value, type=Link) for (value,) in rows]
    counts = {link.peer: (link.sent, link.acked, link.received) for link in links}
    return Kept(
        path=str(path), bytes=target.stat().st_size, sha256=sha256(target), process=process,
        format=format_, seq=seq, head=head.hex(), links=counts,
    )  # fmt: skip


def _segments(place: Place, process: str, db: sqlite3.Connection, part: Path, progress: Progress) -> Iterator[File]:
    """What of its journal lies in files beside it, as it was at the pinned moment. Raises LedgerFault."""
    archive = Archive(db, place.home(process))
    kept = [entry for entry in archive.entries if entry.kept != "none"]
    for n, entry in enumerate(kept, 1):
        path = place.home(process).relative_to(place.state) / entry.file
        try:
            shutil.copyfile(archive.path(entry), part / path)
        except OSError as error:  # retention has just put another in its place, or somebody took it away
            raise LedgerFault(f"the segment {path} cannot be copied: {error.strerror}", f"{LOST}; then try again") from error
        (part / path).chmod(0o600)
        if sha256(part / path) != entry.sha256:
            raise LedgerFault(f"the segment {path} is not the one that its journal names", "mai verify says more")
        progress(f"{process}: segments", n, len(kept))
        yield File(path=str(path), bytes=entry.bytes, sha256=entry.sha256)


def _file(place: Place, name: str, part: Path) -> File:
    data = (place.state / name).read_bytes()
    (part / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(part / name, data)
    return File(path=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def write(path: Path, data: bytes) -> None:
    """A file that only its owner may read."""
    path.write_bytes(data)
    path.chmod(0o600)


def synced(directory: Path) -> None:
    """Wait until the disk has all that lies in a directory."""
    for path in [directory, *directory.rglob("*")]:
        sync(path)
