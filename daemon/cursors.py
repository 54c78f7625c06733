"""How far somebody has read some journals, as it is kept from one command to the next: `mai tail --cursor`, `mai otlp`.

A place is the number of a record, and when the ledger was made that has it. A ledger that was put back from an older copy ends
before the place: what it gets from then on comes. Another ledger under the same name, of a client that was removed and added
again, is read from its beginning.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from mai.daemon.reader import Reader


class Reached(NamedTuple):
    """A place in a journal."""

    seq: int = 0  # the last record that was read
    made_ns: int = 0  # when its ledger was made; 0: nobody knows


_kept: Final = msgspec.json.Decoder(dict[str, Reached | int])  # a number alone was kept before ledgers were told apart


def end(reader: Reader) -> Reached:
    """The place behind all that a ledger has."""
    return Reached(reader.last(), reader.made_ns)


def begin(reader: Reader, reached: Reached) -> int:
    """Behind which record of this ledger somebody goes on who has come so far. Raises LedgerFault."""
    if reached.made_ns not in (0, reader.made_ns):
        return 0
    return min(reached.seq, reader.last())


def decode(data: bytes) -> dict[str, Reached]:
    """What a file holds. Raises MsgspecError."""
    return {process: one if isinstance(one, Reached) else Reached(one) for process, one in _kept.decode(data).items()}


def encode(places: Mapping[str, Reached]) -> bytes:
    """The same, to be kept."""
    return msgspec.json.encode(places, order="sorted")
