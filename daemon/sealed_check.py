"""Segments under examination by `mai verify`: the files are those that the journal names, and the ledger's table says the same.

Their records and the chain through them are read with all others (scrub.py). Here each file is held against its SHA-256, its
blobs against their addresses, and each row of the table `segment` against the record that says so.
"""

import hashlib
from typing import Any, Final

import msgspec

from mai.agents.rotation_events import Rotated, SegmentErased, SegmentRemoved, SegmentThinned
from mai.daemon.reader import Reader, clock
from mai.daemon.scrub import RESTORE, TAMPERED, Scrub
from mai.sandbox.archive import LOST
from mai.sandbox.durable import sha256
from mai.sandbox.errors import LedgerFault
from mai.sandbox.record import GENESIS
from mai.sandbox.segment import Entry

GONE: Final = "that was decided in the organisation file, [retention]; what is kept is examined"
KINDS: Final = {  # and what is kept then
    Rotated.kind: ("all",), SegmentThinned.kind: ("some",), SegmentErased.kind: ("all", "some"), SegmentRemoved.kind: ("none",),
}  # fmt: skip


def examine(scrub: Scrub, *, files: bool) -> None:
    """Note with a ledger what is wrong with its segments; `files`: they are read whole. Raises as its reader does."""
    archive, seq, head = scrub.reader.archive, 0, GENESIS
    archive.refresh()
    for entry in archive.entries:
        if (entry.first, entry.prev) != (seq + 1, head):
            scrub.found(entry.first, f"the segment {entry.file} does not begin behind record {seq}", TAMPERED)
        seq, head = entry.last, entry.head
        if entry.kept != "none" and (files or not archive.path(entry).exists()):
            _file(scrub, entry)
    _cut(scrub)
    if archive.upto > seq:
        scrub.found(seq + 1, f"the records {seq + 1} to {archive.upto} were taken out of the journal, and no segment has them")
    if not scrub.findings:  # else what the journal says of them may lie in what is missing, or damaged
        for entry in archive.entries:
            _said(scrub, entry)
        _unnamed(scrub, {entry.first: entry for entry in archive.entries})


def _cut(scrub: Scrub) -> None:
    """Is what has left the journal what its table says, up to a record of that digest?"""
    for one, upto, head in scrub.reader.plain("SELECT one, upto, head FROM rotated LIMIT 2"):
        due = scrub.reader.digest(upto)
        if one != 1 or (due is not None and due != head):
            scrub.found(upto, f"the ledger says otherwise what was record {upto}, up to which the journal was rotated", TAMPERED)


def lacking(reader: Reader) -> str:
    """What retention has taken out of a journal, so that it cannot be folded from its beginning; "" if nothing."""
    reader.archive.refresh()
    gone = [entry for entry in reader.archive.entries if entry.kept != "all"]
    if not gone:
        return ""
    what = "records" if gone[-1].kept == "none" else "bodies of records"
    said = reader.record(gone[-1].seq)
    return f"{what} up to {gone[-1].last} were removed by retention" + (f" on {clock(said.at_ns):%Y-%m-%d}" if said else "")


def _said(scrub: Scrub, entry: Entry) -> None:
    """Does the journal say of it what the table says?"""
    record = scrub.reader.record(entry.seq)
    if record is None and scrub.reader.archive.gap(entry.seq):
        return  # that record was removed itself: the chain, and the heads that were signed, vouch for it
    told = _fields(scrub.reader, entry.seq) if record and entry.kept in KINDS.get(record.kind, ()) else {}
    due: dict[str, Any] = {"first": entry.first, "last": entry.last}
    due |= {"sha256": entry.sha256, "bytes": entry.bytes, "file": entry.file} if entry.kept != "none" else {"was": entry.sha256}
    due |= {"prev": entry.prev.hex(), "head": entry.head.hex()} if entry.kept == "all" else {}
    if any(told.get(name) != value for name, value in due.items()):
        what = f"the ledger has the segment {entry.file} otherwise than its journal says (record {entry.seq})"
        scrub.found(entry.first, what, TAMPERED)


def _fields(reader: Reader, seq: int) -> dict[str, Any]:
    record = reader.record(seq)
    try:
        return msgspec.json.decode(reader.body(record, trust=True), type=dict[str, Any]) if record else {}
    except msgspec.MsgspecError:
        return {}


def _file(scrub: Scrub, entry: Entry) -> None:
    """Is the file there, and is it the one? What is wrong in it is named as far as it can be read."""
    archive = scrub.reader.archive
    try:
        differs = sha256(archive.path(entry)) != entry.sha256
    except OSError as error:
        scrub.found(
            entry.first, f"the segment {entry.file} with the records {entry.first} to {entry.last}: {error.strerror}", LOST
        )
        return
    if differs:
        what = f"the segment {entry.file} with the records {entry.first} to {entry.last} was changed: its SHA-256 differs"
        scrub.found(entry.first, what, RESTORE)
    try:
        segment = archive.segment(entry)
        if not differs and segment.rows("SELECT MIN(since_ns), MAX(until_ns) FROM block") != [(entry.since_ns, entry.until_ns)]:
            scrub.found(entry.first, f"the ledger gives the segment {entry.file} another time than its records have", TAMPERED)
        for address, data in segment.blobs():
            scrub.blobs += 1
            if hashlib.sha256(data).hexdigest() != address:
                scrub.found(entry.first, f"the blob {address[:12]} in {entry.file} was changed", RESTORE)
    except LedgerFault as error:
        scrub.found(entry.first, error.sentence, error.hint)


def _unnamed(scrub: Scrub, known: dict[int, Entry]) -> None:
    """Is there a row for each segment that the journal speaks of, in what is read now?"""
    for record in scrub.reader.of_kinds(tuple(KINDS), scrub.known, scrub.upto):
        first = _fields(scrub.reader, record.seq).get("first")
        if first not in known or known[first].seq < record.seq:
            what = f"the journal has a segment from record {first} on (record {record.seq}), which the ledger does not list"
            scrub.found(record.seq, what, TAMPERED)
