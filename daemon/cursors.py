"""How far somebody has read some journals, as it is kept from one command to the next: `mai tail --cursor`, `mai otlp`.

A place is a record: its number, its digest, and when its ledger was made. Where the ledger has another record under that number,
or none, an older copy of it was put back: what that has been given since comes, which is all that is later than what was read.
Another ledger under the same name, of a client that was removed and added again, is read from its beginning.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from mai.daemon.reader import Reader
from mai.sandbox.record import GENESIS, Record


class Reached(NamedTuple):
    """A place in a journal."""

    seq: int = 0  # the last record that was read
    made_ns: int = 0  # when its ledger was made; 0: nobody knows
    at_ns: int = 0  # nothing up to it is later than this
    digest: str = ""  # of that record, in hexadecimal digits; "": nobody knows


_kept: Final = msgspec.json.Decoder(dict[str, Reached | int])  # a number alone was kept before ledgers were told apart


def behind(record: Record, made_ns: int) -> Reached:
    """The place behind a record of the ledger that was made then."""
    return Reached(record.seq, made_ns, record.at_ns, record.digest.hex())


def before(record: Record, made_ns: int) -> Reached:
    """The place before it."""
    return Reached(record.seq - 1, made_ns, record.at_ns, record.prev.hex())


def start(reader: Reader) -> Reached:
    """The place before all that a ledger has."""
    return Reached(0, reader.made_ns, 0, GENESIS.hex())


def end(reader: Reader) -> Reached:
    """The place behind all that a ledger has. Raises LedgerFault."""
    rows = reader.plain("SELECT seq, at_ns, digest FROM journal ORDER BY seq DESC LIMIT 1")
    return Reached(rows[0][0], reader.made_ns, rows[0][1], rows[0][2].hex()) if rows else _behind(reader, reader.last())


def begin(reader: Reader, reached: Reached) -> Reached:
    """Where somebody goes on in this ledger who has come so far. Raises LedgerFault."""
    if reached.made_ns not in (0, reader.made_ns):
        return start(reader)
    if not reached.digest:
        return _behind(reader, min(reached.seq, reader.last()))
    if _digest(reader, reached.seq) == reached.digest or reader.archive.gap(reached.seq):
        return reached
    shared = reader.records("seq <= ? AND at_ns <= ?", reached.seq, reached.at_ns, limit=1, newest=True)
    return behind(shared[0], reader.made_ns) if shared else start(reader)


def _digest(reader: Reader, seq: int) -> str:
    """Of a record; "" if there is none. The end of a segment is known without its file."""
    head = reader.archive.head(seq)
    found = None if head else reader.record(seq)
    return head.hex() if head else found.digest.hex() if found else ""


def _behind(reader: Reader, seq: int) -> Reached:
    found = reader.record(seq)
    return behind(found, reader.made_ns) if found else Reached(seq, reader.made_ns)


def decode(data: bytes) -> dict[str, Reached]:
    """What a file holds. Raises MsgspecError."""
    return {process: one if isinstance(one, Reached) else Reached(one) for process, one in _kept.decode(data).items()}


def encode(places: Mapping[str, Reached]) -> bytes:
    """The same, to be kept."""
    return msgspec.json.encode(places, order="sorted")
