"""An erasure of a person's values in one ledger: the order for it, the record of it, and its rows of state. Pure.

The record lists each record that was touched, with the digest that the chain holds and the digest of what stands there now: a row
that differs from both was changed by somebody else. Nothing in it says whose values they were.
"""

from typing import ClassVar, Final

import msgspec

from mai.agents.events import Event, register
from mai.agents.state import State
from mai.sandbox.record import ERASED, REDACTED, key_of

DONE: Final = "erasure"  # the noun of the rows that say which erasures there were


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is told to erase from its own ledger. It lies in the process's directory until that is done."""

    erasure: str  # "e3"
    round: int
    subject: str
    requests: tuple[str, ...]
    values: tuple[str, ...] = ()  # JSON that they have written to memory, and that others may have read
    salt: bytes  # of what replaces digests
    by: str
    role: str
    at_ms: int


class Values(Event, frozen=True, kw_only=True):
    """The values of a person were erased from this ledger."""

    kind: ClassVar[str] = ERASED
    erasure: str
    round: int
    by: str
    role: str
    at_ms: int
    records: tuple[tuple[int, str, str], ...] = ()  # number, digest in the chain, digest of what stands there now
    blobs: tuple[str, ...] = ()  # addresses of texts that are gone
    keys: int = 0  # of memory, that were forgotten with it


class Redacted(msgspec.Struct, frozen=True):
    """One record that an erasure has touched."""

    digest: str  # of what stands there now
    erasure: str


class Happened(msgspec.Struct, frozen=True):
    """An erasure that is done."""

    by: str
    at_ms: int
    records: int
    round: int


register(Values)


def fold(state: State, event: Values) -> None:
    """Which records were touched, and that it is done."""
    for seq, _, digest in event.records:
        state.changed(REDACTED, key_of(seq), Redacted(digest, event.erasure))
    state.changed(DONE, event.erasure, Happened(event.by, event.at_ms, len(event.records), event.round))
