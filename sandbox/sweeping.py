"""After a rotation: blobs that a segment has, and that nothing in the ledger refers to any more, leave the ledger.

Whatever is written while it is looked for who needs which blob is told of (`Ledger.watched`); so the state and the journal
may be gone through in small steps.
"""

from collections.abc import Callable, Iterator
from typing import Final

from mai.sandbox.bodies import blob_of, read
from mai.sandbox.bounds import Bounds
from mai.sandbox.ledger import Ledger
from mai.sandbox.points import reach
from mai.sandbox.references import named, reached

ROWS: Final = 500  # that are looked at in one step
MOVED: Final = 100  # blobs that leave in one transaction


def swept(ledger: Ledger) -> Iterator[None]:
    """Move the blobs of all segments that have not taken theirs with them, in steps. Raises LedgerFault."""
    archive, before = ledger.archive, ledger.moved()
    fresh = [entry for entry in archive.entries if before < entry.last <= archive.upto]
    if not fresh:
        return
    sweep = Sweep(ledger)
    ledger.watched = sweep.need
    try:
        for entry in fresh:
            if entry.kept != "none":
                yield from sweep.consider(archive.segment(entry).addresses())
        if sweep.candidates:
            yield from sweep.state()
            yield from sweep.journal()
        while sweep.candidates:
            ledger.move([sweep.candidates.pop() for _ in range(min(MOVED, len(sweep.candidates)))])
            reach("rotation.after")
            yield
        ledger.move([], fresh[-1].last)
        ledger.sweeps += 1
    finally:
        ledger.watched = None


class Sweep:
    """What may go, as long as nobody is found who needs it."""

    def __init__(self, ledger: Ledger, elsewhere: Callable[[str], bytes | None] = lambda address: None) -> None:
        """`elsewhere` has blobs that the ledger has not."""
        self.candidates: set[str] = set()
        self._ledger, self._elsewhere, self._looked_into = ledger, elsewhere, set[str]()

    def need(self, text: str) -> None:
        """This is in the ledger: all that it refers to stays."""
        for address in reached(named(text), self._blob, self._new):
            self.candidates.discard(address)

    def _blob(self, address: str) -> bytes | None:
        found = blob_of(self._ledger.connection, address, trust=True)
        return self._elsewhere(address) if found is None else found

    def _new(self, address: str, data: bytes) -> bool:
        new = address not in self._looked_into
        self._looked_into.add(address)
        return new

    def consider(self, addresses: Iterator[str]) -> Iterator[None]:
        """What of this is in the ledger too."""
        for n, address in enumerate(addresses):
            if self._ledger.has(address):
                self.candidates.add(address)
            if n % ROWS == ROWS - 1:
                yield

    def state(self) -> Iterator[None]:
        """Go through the state."""
        noun, key = "", ""
        query = "SELECT noun, key, value FROM state WHERE (noun, key) > (?, ?) ORDER BY noun, key LIMIT ?"
        while rows := self._ledger.connection.execute(query, (noun, key, ROWS)).fetchall():
            for _, key, value in rows:
                self.need(f"{key} {value}")
            noun, key = rows[-1][:2]
            yield

    def journal(self) -> Iterator[None]:
        """Go through the journal that goes on; what comes is told of."""
        after, upto = self._ledger.archive.upto, self._ledger.seq
        while after < upto:
            for record in read(self._ledger.connection, Bounds(after, min(after + ROWS, upto))):
                self.need(record.body)
            after += ROWS
            yield
