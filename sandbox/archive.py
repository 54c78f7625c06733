"""The archive of a ledger: its sealed segments, read as if their records still stood in the journal.

What a ledger's table `segment` lists lies in files beside it. The journal in the ledger itself begins behind the record
`upto`; a segment holds its records before they leave the journal, so each record is always in one of the two at least.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import pysqlite3 as sqlite3

from mai.sandbox import bloom
from mai.sandbox.bodies import read
from mai.sandbox.bounds import Bounds
from mai.sandbox.errors import LedgerFault
from mai.sandbox.place import WATCHDOG
from mai.sandbox.record import GENESIS, Record
from mai.sandbox.segment import Entry, Segment
from mai.sandbox.settings import setting

T = TypeVar("T")
OPEN: Final = 8  # files that are kept open
ENTRIES: Final = f"SELECT {', '.join(Entry._fields)} FROM segment ORDER BY first"
MARK: Final = "SELECT COALESCE((SELECT upto FROM rotated), 0), (SELECT MAX(seq) FROM segment)"
LOST: Final = "put the file back from a backup, or name with MAI_ARCHIVE the directory that it was carried to"


class Archive:
    """The segments that one ledger, open on this connection, has beside it."""

    def __init__(self, db: sqlite3.Connection, directory: Path, *, strict: bool = True) -> None:
        """Who is not `strict` goes on without a segment that is missing or damaged, as a process that works: it needs none."""
        self.directory, self._strict = directory, strict
        self.upto = 0  # records up to this one are in segments alone, as far as is known
        self.entries: tuple[Entry, ...] = ()
        self._db, self._seq = db, -1
        self._filters: dict[str, bytes] = {}  # by file: which requests it has
        self._open: OrderedDict[str, Segment] = OrderedDict()
        self.refresh()

    def refresh(self) -> int:
        """Look what there is now; how far the journal was cut. A ledger of format 3 or older has no segments."""
        try:
            self.upto, seq = self._db.execute(MARK).fetchone()
            if (seq or 0) != self._seq:
                self.entries = tuple(Entry(*row) for row in self._db.execute(ENTRIES))
                self._seq = seq or 0
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
        return self.upto

    def entry(self, seq: int) -> Entry | None:
        """The segment that this record belongs to, whether it is still kept or not."""
        return next((one for one in self.entries if one.first <= seq <= one.last), None)

    def gap(self, seq: int) -> Entry | None:
        """The segment that this record went with when it was removed; None if it was not."""
        found = self.entry(seq)
        return found if found and found.kept == "none" and seq <= self.upto else None

    def unbroken(self, seq: int, upto: int) -> int:
        """How far on the way from one record to another one none were removed."""
        return min([upto, *(one.first - 1 for one in self.entries if one.kept == "none" and one.first > seq)])

    def thinned(self, seq: int) -> Entry | None:
        """The segment that this record's body was taken out of, if one may be missing there."""
        found = self.entry(seq)
        return found if found and found.kept == "some" and seq <= self.upto else None

    def head(self, seq: int) -> bytes | None:
        """The digest of a record, if it is the last one of a segment."""
        return GENESIS if not seq else next((one.head for one in self.entries if one.last == seq), None)

    # -- reading
    def records(self, wanted: Bounds, *, newest: bool = False) -> Iterator[Record]:
        """Those of the archive's records that these bounds hold, in order or the newest first. Raises LedgerFault."""
        wanted = wanted._replace(upto=min(wanted.upto, self.upto))
        wanted_key = bloom.key(wanted.request) if wanted.request and self.entries else None
        for entry in self.entries[:: -1 if newest else 1]:
            if wanted.met(entry.first, entry.last):
                yield from self._within(entry, wanted, wanted_key, newest=newest)

    def _within(self, entry: Entry | None, wanted: Bounds, key: bloom.Key | None, *, newest: bool) -> Iterator[Record]:
        """Those of one segment. Where another takes its place meanwhile, that one has the rest."""
        done = 0
        while entry and entry.kept != "none":
            try:
                if key is None or bloom.may(self._filter(entry), key):
                    for record in self.segment(entry).records(wanted, newest=newest):
                        done = record.seq
                        yield record
                return
            except LedgerFault as error:
                entry = self._instead(entry, error)
            if done:
                wanted = wanted._replace(upto=done - 1) if newest else wanted._replace(after=done)

    def _instead(self, entry: Entry, error: LedgerFault) -> Entry | None:
        """What there is now of a segment that could not be read. Raises the error if nothing has changed, and we are strict."""
        self.refresh()
        now = self.entry(entry.first)
        if now and (now.file, now.kept) != (entry.file, entry.kept):
            return now
        if self._strict:
            raise error
        return None

    def whole(self, wanted: Bounds) -> Iterator[Record]:
        """Those, and then the ones of the journal that goes on: for who knows that it is not cut meanwhile. Raises as SQLite."""
        yield from self.records(wanted)
        yield from read(self._db, wanted)

    def _filter(self, entry: Entry) -> bytes:
        if entry.file not in self._filters:
            self._filters[entry.file] = self.segment(entry).known()
        return self._filters[entry.file]

    def blob(self, address: str) -> bytes | None:
        """The bytes at an address in any segment, the newest first; None if they are in none. Raises LedgerFault."""
        self.refresh()
        found = (self._given(entry, lambda segment: segment.blob(address)) for entry in self.entries[::-1])
        return next((data for data in found if data is not None), None)

    def requests(self, start: str, end: str, count: int) -> list[str]:
        """The first requests with a name from `start` on, before `end`, that segments have records of. Raises LedgerFault."""
        found = (self._given(entry, lambda segment: segment.requests(start, end, count)) for entry in self.entries)
        return sorted({name for names in found for name in names or ()})[:count]

    def _given(self, entry: Entry | None, ask: Callable[[Segment], T]) -> T | None:
        """What a segment, or the one that takes its place meanwhile, gives; None if it is gone. Raises LedgerFault."""
        while entry and entry.kept != "none":
            try:
                return ask(self.segment(entry))
            except LedgerFault as error:
                entry = self._instead(entry, error)
        return None

    def segment(self, entry: Entry) -> Segment:
        """A segment, open. Raises LedgerFault."""
        if entry.file in self._open:
            self._open.move_to_end(entry.file)
            return self._open[entry.file]
        while len(self._open) >= OPEN:
            self._open.popitem(last=False)[1].close()
        self._open[entry.file] = found = self._found(entry)
        return found

    def _found(self, entry: Entry) -> Segment:
        try:
            return Segment(self.path(entry))
        except FileNotFoundError:
            self.refresh()
            now = self.entry(entry.first)
            if now and now.file != entry.file:  # another has taken its place just now
                return self._found(now)
        what = f"the segment {entry.file} with the records {entry.first} to {entry.last} is missing in {self.directory}"
        raise LedgerFault(what, LOST)

    def path(self, entry: Entry) -> Path:
        """Where the file is: beside the ledger, or where the setting MAI_ARCHIVE says that segments were carried to."""
        carried = setting("MAI_ARCHIVE")
        if not carried or self.beside(entry):
            return self.directory / entry.file
        client = "" if self.directory.name == WATCHDOG else self.directory.parent.name
        return Path(carried) / client / self.directory.name / entry.file

    def beside(self, entry: Entry) -> bool:
        """Does the file lie beside the ledger? One that was carried away is not changed: another would stay there."""
        return (self.directory / entry.file).exists()

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._open.popitem()[1].close()
