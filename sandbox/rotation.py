"""Rotation: the oldest records of a journal become a sealed segment beside it, done by who writes the ledger, between its turns.

In small steps, each a few milliseconds, so that no turn is late; one after the other:

1. The records are copied into a file without a name, with the blobs that they refer to; it is read again, synced and named.
2. A record `rotated` of the journal that goes on says so, committed with a row of the table `segment`.
3. The records leave the journal, a few hundred in each transaction. Readers take what is cut from the segment.
4. Blobs that nothing in the journal and the state refers to any more leave the ledger.

Whoever dies at any point begins again where the ledger says that it was: a file that no row names is removed, what is on
record and not cut is cut.
"""

import contextlib
from array import array
from bisect import bisect_left
from collections.abc import Generator, Iterator
from typing import Final

import msgspec
import pysqlite3 as sqlite3

from mai.sandbox import segment_files
from mai.sandbox.block import BYTES, RECORDS
from mai.sandbox.bodies import blob_of, read
from mai.sandbox.bounds import Bounds
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Ledger
from mai.sandbox.points import reach
from mai.sandbox.record import Record
from mai.sandbox.references import named, reached
from mai.sandbox.segment import Entry
from mai.sandbox.segment_making import Making
from mai.sandbox.sweeping import swept

KIND: Final = "rotated"
CUT: Final = 500  # records that leave the journal in one transaction


class Misfit(Exception):
    """A record does not follow the one before it: such a journal stays as it is, for `mai verify`."""


class Chore:
    """Work on a ledger between the turns of its process, in small steps.

    `fault` says why it was given up: there is no room, or the journal is damaged. Nothing is lost by that.
    """

    def __init__(self, ledger: Ledger, what: str, steps: Iterator[None]) -> None:
        self.ledger, self.what = ledger, what
        self.fault = ""
        self._steps = steps

    def step(self) -> bool:
        """Do a little; false if nothing is left to do. What was appended has to be committed. Raises LedgerFault."""
        assert not self.ledger.pending, "a turn is not over"
        try:
            return next(self._steps, self) is not self
        except (OSError, sqlite3.Error, Misfit) as error:  # of the file in the making: the ledger raises LedgerFault
            return self._given_up(str(error))
        except LedgerFault as error:  # of a segment
            if self.ledger.failed:
                raise
            return self._given_up(error.sentence)

    def _given_up(self, why: str) -> bool:
        self.fault, self._steps = f"{self.what} is given up: {why}", iter(())
        return False


class Rotation(Chore):
    """Up to this record, or, if that is 0, only what an earlier life of the process has left undone."""

    def __init__(self, ledger: Ledger, upto: int = 0) -> None:
        super().__init__(ledger, f"the rotation of the journal of {ledger.process}", self._all())
        self.upto = upto
        self.entry: Entry | None = None  # of the segment that was made
        self._directory = ledger.path.parent

    def _all(self) -> Iterator[None]:
        self._tidy()
        yield from self._cut()
        yield from swept(self.ledger)
        if self.upto > self.ledger.archive.upto:
            yield from self._made()
            yield from self._cut()
            yield from swept(self.ledger)

    def _tidy(self) -> None:
        """Remove the files that no row names: of a life that died before it was on record, or after another took its place."""
        kept = {entry.file for entry in self.ledger.archive.entries if entry.kept != "none"}
        for name in segment_files.found(self._directory):
            if name not in kept:
                segment_files.remove(self._directory / name)

    # -- the file
    def _made(self) -> Iterator[None]:
        first = self.ledger.archive.upto + 1
        path = self._directory / segment_files.name(first, self.upto)
        making = Making(path, self.ledger.process)
        try:
            elsewhere = yield from self._archived()
            for records in self._blocks(first):
                making.add(records)
                for record in records:
                    self._blobs(making, record, elsewhere)
                yield
            reach("rotation.written")
            for entry in making.finish():
                self.entry = entry
                yield
        except (OSError, sqlite3.Error, Misfit, LedgerFault):
            making.drop()
            raise
        reach("rotation.sealed")
        assert self.entry
        self.ledger.segment(self.entry, KIND, told(self.entry))
        self.ledger.commit()
        reach("rotation.recorded")
        yield

    def _blocks(self, seq: int) -> Iterator[list[Record]]:
        """The records from this one on, in pieces; each is fetched when it is asked for. Raises Misfit."""
        head = self.ledger.archive.head(seq - 1)
        while seq <= self.upto:
            found, size = [], 0
            for record in read(self.ledger.connection, Bounds(seq - 1, min(self.upto, seq - 1 + RECORDS))):
                if record.seq != seq or (head is not None and record.prev != head):
                    raise Misfit(f"record {record.seq} does not follow record {seq - 1}; see: mai verify {self.ledger.process}")
                found.append(record)
                seq, head, size = seq + 1, record.digest, size + len(record.body)
                if size >= BYTES:
                    break
            if not found:
                raise Misfit(f"record {seq} is missing; see: mai verify {self.ledger.process}")
            yield found

    def _blobs(self, making: Making, record: Record, elsewhere: "array[int]") -> None:
        """All that a record refers to goes with it, also what an older segment has: that may be removed before this one."""
        db, archive = self.ledger.connection, self.ledger.archive

        def fetch(address: str) -> bytes | None:
            here = blob_of(db, address, trust=True)  # looked at when the file is
            return archive.blob(address) if here is None and _within(elsewhere, address) else here

        for _ in reached(named(record.body), fetch, making.blob):
            pass

    def _archived(self) -> Generator[None, None, "array[int]"]:
        """The addresses in older segments, the first digits of each, sorted; what is missing or damaged has none to give."""
        found = array("Q")
        for entry in self.ledger.archive.entries:
            if entry.kept != "none":
                with contextlib.suppress(LedgerFault):
                    found.extend(_digits(address) for address in self.ledger.archive.segment(entry).addresses())
                yield
        return array("Q", sorted(found))

    # -- the journal
    def _cut(self) -> Iterator[None]:
        """Take out of the journal what is on record as rotated."""
        archive = self.ledger.archive
        while archive.entries and archive.upto < archive.entries[-1].last:
            most = min(archive.upto + CUT, archive.entries[-1].last)
            last = list(read(self.ledger.connection, Bounds(most - 1, most)))[-1]
            self.ledger.cut(last.seq, last.digest)
            reach("rotation.after")
            yield


def told(entry: Entry) -> bytes:
    """What the journal says of a segment."""
    return msgspec.json.encode(
        {
            "first": entry.first,
            "last": entry.last,
            "prev": entry.prev.hex(),
            "head": entry.head.hex(),
            "file": entry.file,
            "bytes": entry.bytes,
            "sha256": entry.sha256,
        }
    )


def _digits(address: str) -> int:
    return int(address[:15], 16)


def _within(known: "array[int]", address: str) -> bool:
    place = bisect_left(known, _digits(address))
    return place < len(known) and known[place] == _digits(address)
