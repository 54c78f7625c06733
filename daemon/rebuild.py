"""`mai rebuild`: the state of a process made anew from its journal, where it was lost or does not fit.

Only of a journal whose chain holds, and only while the process does not run. The rows are replaced in one transaction with the
record that says so; the old ones are kept in a file beside the ledger. Texts on their way (`parcel`) lie in the state
alone: those that are what their address says stay.
"""

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from mai.agents.events import StateRebuilt, encode
from mai.agents.state import Change
from mai.agents.texts import PARCEL
from mai.daemon import refold
from mai.daemon.reader import Reader
from mai.daemon.scrub import RESTORE, Scrub
from mai.sandbox.errors import LedgerFault, UsageFault
from mai.sandbox.ledger import Ledger
from mai.sandbox.lock import Held, Lock
from mai.sandbox.place import Place

Progress = Callable[[str, int, int], None]  # what is done, how many records of how many
Rows = dict[Change, str]  # noun and key -> JSON

KNOWN: Final = "look at it with `mai verify`; a newer version may have written it"


class Rebuilt(NamedTuple):
    """What came of it."""

    process: str
    records: int
    rows: int  # of state, now
    wrong: int  # that were missing, too many, or not what the journal gives
    kept: str  # the file with the old rows
    seconds: float
    fold_s: float  # of it, for folding alone
    records_per_s: int  # folded


def rebuild(place: Place, process: str, progress: Progress) -> Rebuilt:
    """Replace the state of a process by what its journal gives. Raises NotFound, UsageFault, LedgerFault."""
    begun_s = time.monotonic()
    with closing(Reader(place, process)) as reader:
        if "/" not in process:
            raise UsageFault(f"the {process} keeps nothing that its journal could give", "name a process of a client")
        lock = _lock(place, process)
        try:
            upto = _chained(place, process, progress)
            folding_s = time.monotonic()
            due = _folded(place, reader, upto, progress)
            fold_s = time.monotonic() - folding_s
            wrong, kept = _replaced(place, process, _stored(reader), due, upto)
        finally:
            lock.release()
    seconds = time.monotonic() - begun_s
    per_s = int(upto / max(fold_s, 1e-9))
    return Rebuilt(process, upto, len(due), wrong, str(kept), round(seconds, 3), round(fold_s, 3), per_s)


def _lock(place: Place, process: str) -> Lock:
    try:
        return Lock(place.home(process), "process of this name")
    except Held as held:
        raise UsageFault(f"{process} is running, and writes its state itself", f"stop it first: mai stop {process}") from held


def _chained(place: Place, process: str, progress: Progress) -> int:
    """The number of the last record, once each is known to be the one that was written. Raises LedgerFault."""
    scrub = Scrub(process)
    scrub.open(place)
    try:
        upto = scrub.reader.last()
        scrub.journal(upto, lambda done: progress(f"{process}: checked", done, upto))
    finally:
        scrub.close()
    if scrub.bad_seq:
        raise LedgerFault(f"the journal of {process} is broken at record {scrub.bad_seq}: no state can be made of it", RESTORE)
    return upto


def _folded(place: Place, reader: Reader, upto: int, progress: Progress) -> Rows:
    decider = refold.fresh(place, reader.process)
    try:
        rows = refold.fold(decider, reader, upto, lambda done: progress(f"{reader.process}: folded", done, upto))
    except refold.Unfolded as error:
        raise LedgerFault(f"record {error.seq} of {reader.process} cannot be folded: {error}", KNOWN) from error
    return {change: msgspec.json.encode(value).decode() for change, value in rows.items()}


def _stored(reader: Reader) -> Rows:
    """All rows as they are, whatever stands in them."""
    reader.connection.text_factory = lambda data: data.decode(errors="replace")
    rows: list[tuple[Any, ...]] = reader.connection.execute("SELECT noun, key, value FROM state ORDER BY noun, key").fetchall()
    return {(noun, key): str(value) for noun, key, value in rows}


def _replaced(place: Place, process: str, stored: Rows, due: Rows, upto: int) -> tuple[int, Path]:
    """Write the new rows in place of the old; how many were wrong, and where the old ones are."""
    parcels = {change: value for change, value in stored.items() if change[0] == PARCEL and refold.sound(value)}
    due = {**due, **parcels}
    wrong = sum(stored.get(change) != due.get(change) for change in stored.keys() | due.keys())
    kept = place.home(process) / f"state-before-{upto}.jsonl"
    _keep(kept, stored)
    with closing(Ledger(place.ledger(process), process)) as ledger:
        ledger.clear_words()
        for noun, key in stored.keys() - due.keys():
            ledger.save(noun, key, None)
        for (noun, key), value in due.items():
            ledger.save(noun, key, value.encode())
        said = StateRebuilt(upto=upto, rows=len(due), wrong=wrong, kept=kept.name)
        ledger.append(said.kind, encode(said))
        ledger.commit()
    return wrong, kept


def _keep(file: Path, rows: Rows) -> None:
    """The old rows, one a line, on the disk before anything is changed."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as out:
        for (noun, key), value in rows.items():
            out.write(msgspec.json.encode({"noun": noun, "key": key, "value": value}) + b"\n")
        out.flush()
        os.fsync(out.fileno())


def render(rebuilt: Rebuilt) -> str:
    """What people read."""
    what = f"{rebuilt.wrong} of them were wrong" if rebuilt.wrong else "all were as they should be"
    return (
        f"{rebuilt.process}: {rebuilt.rows:,} rows of state from {rebuilt.records:,} records, {what}; "
        f"{rebuilt.seconds:.1f} s, folded at {rebuilt.records_per_s:,} records/s\nthe rows as they were: {rebuilt.kept}"
    )
