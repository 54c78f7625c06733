"""`mai archive`: what of a journal lies in segments, rotating on somebody's word, and carrying segments to other storage."""

import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from mai.agents.retention_scope import Retention
from mai.agents.rotating import Rotating, unneeded
from mai.daemon.reader import Reader
from mai.sandbox import segment_files
from mai.sandbox.durable import sha256, sync
from mai.sandbox.errors import LedgerFault, MaiError, UsageFault
from mai.sandbox.ledger import Ledger
from mai.sandbox.lock import Held, Lock
from mai.sandbox.place import Place
from mai.sandbox.segment import Entry

EMPTY: Final = 4  # the file is written anew if more than this part of its pages is
Progress = Callable[[str, int, int], None]


class Archived(msgspec.Struct, frozen=True):
    """One segment of a process, as people and scripts are told of it."""

    process: str
    first: int
    last: int
    since_ms: int
    until_ms: int
    file: str
    bytes: int
    sha256: str
    kept: str  # all, some (bodies were taken out), none (removed)
    there: bool  # the file is


def archived(reader: Reader) -> list[Archived]:
    """The segments of one journal, oldest first."""
    return [
        Archived(
            reader.process, one.first, one.last, one.since_ns // 1_000_000, one.until_ns // 1_000_000, one.file, one.bytes,
            one.sha256, one.kept, one.kept != "none" and reader.archive.beside(one),
        )
        for one in reader.archive.entries
    ]  # fmt: skip


def rotate(place: Place, process: str, before_ns: int, progress: Progress) -> int | None:
    """Rotate a stopped process's journal; how many segments came of it, None if it runs. Raises LedgerFault, MaiError."""
    try:
        lock = Lock(place.home(process), "process of this name")
    except Held:
        return None
    try:
        with closing(Ledger(place.ledger(process), process)) as ledger:
            count = len(ledger.archive.entries)
            rotating = Rotating(ledger, Retention(), lambda: unneeded(ledger), forgets=False)
            rotating.rotate(before_ns)
            while rotating.busy:
                rotating.step()
                progress(process, ledger.archive.upto, ledger.seq)
            if rotating.fault:
                raise MaiError(rotating.fault, "make room, or see: mai verify")
            _shrink(ledger)
            return len(ledger.archive.entries) - count
    finally:
        lock.release()


def _shrink(ledger: Ledger) -> None:
    """Give back the room of what has left, if it is much of the file: nobody waits for this process."""
    free, pages = (ledger.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count"))
    if free * EMPTY > pages:
        ledger.connection.execute("VACUUM")
        ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def carried(reader: Reader, target: Path, progress: Progress) -> list[Path]:
    """Copy the segments of a journal into a directory, each held against its digest. Raises MaiError, LedgerFault."""
    made = []
    entries = [one for one in reader.archive.entries if one.kept != "none"]
    directory = target / reader.process
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for n, entry in enumerate(entries, 1):
            path = directory / entry.file
            if not (path.exists() and sha256(path) == entry.sha256):
                _copied(reader.archive.path(entry), path, entry)
                made.append(path)
            progress(reader.process, n, len(entries))
        sync(directory)
    except OSError as error:
        raise MaiError(f"{directory} cannot be written: {error.strerror}", "make room, or name another") from error
    return made


def _copied(source: Path, path: Path, entry: Entry) -> None:
    part = path.with_name(path.name + segment_files.PART)
    shutil.copyfile(source, part)
    part.chmod(0o600)
    if sha256(part) != entry.sha256:
        part.unlink()
        raise LedgerFault(f"{source} is not the segment that the journal names: its digest differs", "see: mai verify")
    sync(part)
    part.rename(path)


def moment(text: str) -> int:
    """A date, a time, or `now`, as nanoseconds since 1970. Raises UsageFault."""
    from datetime import datetime

    if text == "now":
        return time.time_ns()
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1e9)
    except (ValueError, OverflowError):
        raise UsageFault(f"{text!r:.60} is no time", "such as 2026-11-01, 2026-11-01T12:00, or now") from None
