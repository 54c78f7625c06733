"""What a journal says of its own segments: what was rotated out of it, thinned and removed. Pure."""

from typing import ClassVar

from mai.agents.events import Event, register


class Rotated(Event, frozen=True, kw_only=True):
    """The records from `first` to `last` are in a sealed file beside the ledger, and leave the journal; the chain goes on."""

    kind: ClassVar[str] = "rotated"
    first: int
    last: int
    prev: str  # digest of the record before the first
    head: str  # digest of the last
    file: str
    bytes: int
    sha256: str  # of the file


register(Rotated)
