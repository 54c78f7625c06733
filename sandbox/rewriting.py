"""A segment becomes another, or is no more: what retention takes out of it, in small steps, by who writes the ledger.

First the journal says it, with the row of the table `segment` in the same commit; then the old file goes. Who dies between
finds a file that no row names, and removes it (rotation.py).
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pysqlite3 as sqlite3

from mai.sandbox import segment_files
from mai.sandbox.bodies import REMOVED
from mai.sandbox.bounds import ALL
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Ledger
from mai.sandbox.points import reach
from mai.sandbox.record import Record
from mai.sandbox.references import named, reached
from mai.sandbox.segment import Entry
from mai.sandbox.segment_making import Making
from mai.sandbox.sweeping import Sweep

THINNED: Final = "segment.thinned"
GONE: Final = "segment.removed"


def without(record: Record) -> Record:
    """A record whose body is gone: the digest that the chain has stays."""
    return record._replace(body=REMOVED)


def rewritten(
    ledger: Ledger,
    entry: Entry,
    change: Callable[[Record], Record],
    say: Callable[[Entry, int], tuple[str, bytes]],
    told: Mapping[str, str],
    *,
    kept: str = "some",
    gone: frozenset[str] = frozenset(),
    remove: Callable[[Path], None] = segment_files.remove,
) -> Iterator[None]:
    """Put a segment in the place of another whose records were changed so, in steps.

    `say(entry, records)` gives kind and body of the record that is written about it; `records` is how many have lost their
    bodies. `told` is what the file itself says of it, in its table `meta`, `kept` what the ledger's table says of it. Blobs that
    no body in it names any more go, and those that are `gone`. Raises OSError, LedgerFault, and what SQLite raises.
    """
    _beside(ledger, entry)
    old, path = ledger.archive.segment(entry), ledger.path.parent / _next(entry)
    making, count = Making(path, ledger.process, {**old.more, **told}), 0
    try:
        for block in old.blocks(ALL):
            records = [change(record) for record in old.unpacked(block)]
            count += sum(record.body == REMOVED for record in records)
            making.add(records)
            for record in records:
                for _ in reached(named(record.body), lambda one: None if one in gone else old.blob(one), making.blob):
                    pass
            yield
        new = entry
        for new in making.finish():  # noqa: B007  # the last one is whole
            yield
        reach("retention.written")
        new = new._replace(kept=kept)
        yield from _kept_elsewhere(ledger, entry, gone)
    except (OSError, sqlite3.Error, LedgerFault):
        making.drop()
        raise
    ledger.segment(new, *say(new, count))
    ledger.commit()
    reach("retention.recorded")
    remove(ledger.path.parent / entry.file)
    yield


def removed(ledger: Ledger, entry: Entry, body: bytes) -> Iterator[None]:
    """A segment goes, in steps; what else refers to its blobs keeps them. Raises OSError, LedgerFault."""
    _beside(ledger, entry)
    yield from _kept_elsewhere(ledger, entry)
    ledger.segment(entry._replace(kept="none"), GONE, body)
    ledger.commit()
    reach("retention.recorded")
    segment_files.remove(ledger.path.parent / entry.file)
    yield


def _beside(ledger: Ledger, entry: Entry) -> None:
    """Only a file that lies beside its ledger can be replaced or removed: of one that was carried away another stays."""
    if not ledger.archive.beside(entry):
        what = f"the segment {entry.file} with the records {entry.first} to {entry.last} does not lie beside its ledger"
        raise LedgerFault(what, f"put the file back into {ledger.path.parent}: what was carried away is not changed there")


def _kept_elsewhere(ledger: Ledger, entry: Entry, gone: frozenset[str] = frozenset()) -> Iterator[None]:
    """Blobs that the state or the journal refers to and that only this segment has go back into the ledger with this commit.

    Later segments have what they refer to themselves (rotation.py).
    """
    segment = ledger.archive.segment(entry)
    sweep = Sweep(ledger, segment.blob)
    ledger.watched = sweep.need
    try:
        for n, address in enumerate(segment.addresses()):
            if not ledger.has(address):
                sweep.candidates.add(address)
            if n % 500 == 499:
                yield
        considered = frozenset(sweep.candidates)
        if considered:
            yield from sweep.state()
            yield from sweep.journal()
        needed = considered - sweep.candidates - gone
        ledger.put({address: data for address in needed if (data := segment.blob(address)) is not None})
    finally:
        ledger.watched = None


def _next(entry: Entry) -> str:
    """The name of what takes its place."""
    parts = entry.file.split(".")
    number = int(parts[2]) if len(parts) == 4 else 1  # ledger.FIRST-LAST.N.segment
    return segment_files.name(entry.first, entry.last, number + 1)
