"""What a journal says of its own segments: what was rotated out of it, thinned and removed. Pure."""

from typing import ClassVar

from msgspec import field

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


class SegmentThinned(Event, frozen=True, kw_only=True):
    """Of a segment the bodies of some kinds were taken out, as the organisation's retention says: all else is still there."""

    kind: ClassVar[str] = "segment.thinned"
    first: int
    last: int
    file: str
    bytes: int
    sha256: str
    was: str  # SHA-256 of the file in whose place it is
    kinds: tuple[str, ...]  # or how they begin, with a star
    records: int  # whose bodies are gone, with those of earlier times


class SegmentErased(Event, frozen=True, kw_only=True):
    """Of a segment the values of a person were erased: all its records are still there, as `values.erased` lists them."""

    kind: ClassVar[str] = "segment.erased"
    first: int
    last: int
    prev: str
    head: str
    file: str
    bytes: int
    sha256: str
    was: str  # SHA-256 of the file in whose place it is
    erasure: str


class SegmentRemoved(Event, frozen=True, kw_only=True):
    """A segment was removed, as the organisation's retention says: its numbers, digests and times are all that is left."""

    kind: ClassVar[str] = "segment.removed"
    first: int
    last: int
    was: str  # SHA-256 of the file
    why: str
    # How far the links with each peer had come: sent, acknowledged, received.
    links: dict[str, tuple[int, int, int]] = field(default_factory=dict)


register(Rotated, SegmentThinned, SegmentErased, SegmentRemoved)
