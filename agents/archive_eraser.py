"""Sealed segments without a person's values: each that holds some of them is written anew, and the old file overwritten.

The record `values.erased` lists the records first; a death between that and the last segment leaves work that the next life finds
by the list: what is on it and still fits its digest.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mai.agents.events import encode
from mai.agents.rotation_events import SegmentErased
from mai.sandbox import segment_files
from mai.sandbox.archive import LOST
from mai.sandbox.bounds import Bounds
from mai.sandbox.durable import destroy
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Ledger
from mai.sandbox.record import Record, digest_of
from mai.sandbox.rewriting import rewritten
from mai.sandbox.segment import Entry
from mai.sandbox.segment_making import looked


class Taken(NamedTuple):
    """What goes: the values in these records, and these texts. `column` gives what is to stand in a record that has them."""

    erasure: str
    records: frozenset[int]
    texts: frozenset[str]
    column: Callable[[Record], str]


def looked_over(ledger: Ledger) -> Iterator[None]:
    """Is all there that the journal names? Before anything is changed, in steps. Raises LedgerFault.

    Who works goes on without a segment that is damaged, or elsewhere: what it holds would be passed over, and never be looked
    for again. One that was carried away can be read, but not changed.
    """
    for entry in [one for one in ledger.archive.entries if one.kept != "none"]:
        if not ledger.archive.beside(entry):
            raise LedgerFault(f"{ledger.process} lacks {entry.file}, which was carried away: put it back", LOST)
        for _ in looked(ledger.archive.path(entry), entry):
            yield


def erase(ledger: Ledger, taken: Taken) -> Iterator[None]:
    """Go through all segments, in steps. Raises OSError, LedgerFault, and what SQLite raises."""
    known = {entry.file for entry in ledger.archive.entries if entry.kept != "none"}
    for name in segment_files.found(ledger.path.parent):
        if name not in known:  # of a rotation that died, or of what was written anew before we died
            destroy(ledger.path.parent / name)
    for entry in [one for one in ledger.archive.entries if one.kept != "none"]:
        if _concerned(ledger, entry, taken):
            yield from _anew(ledger, entry, taken)
    ledger.archive.close()


def _concerned(ledger: Ledger, entry: Entry, taken: Taken) -> bool:
    segment = ledger.archive.segment(entry)
    if any(entry.first <= seq <= entry.last for seq in taken.records):
        records = (one for one in segment.records(Bounds(entry.first - 1, entry.last)) if one.seq in taken.records)
        if any(digest_of(one) == one.digest for one in records):
            return True
    return any(address in taken.texts for address in segment.addresses())


def _anew(ledger: Ledger, entry: Entry, taken: Taken) -> Iterator[None]:
    def change(record: Record) -> Record:
        whole = record.seq in taken.records and digest_of(record) == record.digest
        return record._replace(body=taken.column(record)) if whole else record

    def say(new: Entry, _: int) -> tuple[str, bytes]:
        event = SegmentErased(
            first=new.first, last=new.last, prev=new.prev.hex(), head=new.head.hex(), file=new.file, bytes=new.bytes,
            sha256=new.sha256, was=entry.sha256, erasure=taken.erasure,
        )  # fmt: skip
        return event.kind, encode(event)

    yield from rewritten(ledger, entry, change, say, {}, kept=entry.kept, gone=taken.texts, remove=destroy)
