"""Memory as it lies in the state: shelves, what is kept on them in which versions, and what will expire. Pure.

A shelf belongs to one agent, to the department, or to the client; which it is follows from the task that is at work and from
the level, never from a key. Each has rows of nouns of its own: `memory/SHELF` (which versions there are) and `version/SHELF`
(a row for each, of the key `KEY/N`), so that no key and no beginning of a key can name what lies on another.
"""

import heapq
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec

FADING: Final = "fading"  # the noun of what expires: loaded at every start, where the rest is read when it is asked for


class Shelf(NamedTuple):
    """Whose memory: an agent's of this department, the department's, or the client's. `owner` is "" for the two others."""

    level: str  # agent, department, client
    owner: str = ""

    @property
    def name(self) -> str:
        """In nouns and names of tables."""
        return f"{self.level}/{self.owner}" if self.owner else self.level

    @property
    def items(self) -> str:
        """The noun of its rows Kept, by key."""
        return f"memory/{self.name}"

    @property
    def versions(self) -> str:
        """The noun of its rows Version, by `KEY/N`."""
        return f"version/{self.name}"


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept under a key: the newest version, and the oldest that is still there."""

    n: int
    oldest: int
    at_ms: int = 0  # when it was written; 0: an earlier format did not say
    expires_ms: int = 0  # 0: never


class Version(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version: the value, when it was written, and who did it."""

    value: Any
    at_ms: int = 0
    by: str = ""  # an agent of this department; for the client's memory an address
    task: str = ""
    expires_ms: int = 0


class Fading(msgspec.Struct, frozen=True):
    """A version that expires."""

    level: str
    owner: str
    key: str
    n: int
    at_ms: int

    @property
    def shelf(self) -> Shelf:
        """Where it lies."""
        return Shelf(self.level, self.owner)


def place(shelf: Shelf, key: str, n: int) -> str:
    """The key of a row Fading."""
    return f"{shelf.name}/{key}/{n}"


class Fadings:
    """What expires, and what expires next. Bounded by what shelves hold."""

    def __init__(self) -> None:
        self.rows: dict[str, Fading] = {}
        self._next: list[tuple[int, str]] = []  # a heap; may name rows that have gone

    def put(self, at: str, row: Fading) -> None:
        """This expires."""
        self.rows[at] = row
        heapq.heappush(self._next, (row.at_ms, at))

    def drop(self, at: str) -> bool:
        """This has gone; False if it did not expire anyway."""
        return self.rows.pop(at, None) is not None

    def soonest_ms(self) -> int:
        """When the next one expires; 0 for never."""
        while self._next:
            at_ms, at = self._next[0]
            if at in self.rows and self.rows[at].at_ms == at_ms:
                return at_ms
            heapq.heappop(self._next)
        return 0

    def due(self, now_ms: int) -> list[Fading]:
        """What has expired by now, in the order in which it did."""
        if not 0 < self.soonest_ms() <= now_ms:
            return []
        return sorted((one for one in self.rows.values() if one.at_ms <= now_ms), key=lambda one: (one.at_ms, one.key, one.n))


class Memories(Protocol):
    """What a decider may look up. What was decided before in the same turn counts as written."""

    def item(self, shelf: Shelf, key: str) -> Kept | None:
        """What is kept under a key."""

    def version(self, shelf: Shelf, key: str, n: int) -> Version | None:
        """One version of it."""

    def count(self, shelf: Shelf) -> int:
        """How many keys a shelf has."""

    def listed(self, shelf: Shelf, prefix: str, after: str) -> Iterator[tuple[str, Kept]]:
        """What is kept under keys with this beginning, behind a key, in the order of keys."""

    def found(self, shelf: Shelf, text: str) -> list[tuple[str, int, float]]:
        """Key, version and score of what a full-text search finds, best first."""


class Noted:
    """Memory without a ledger: what the state's own changes say, for who folds or decides without a disk. Nothing is indexed."""

    def __init__(self, changes: Mapping[tuple[str, str], msgspec.Struct | None]) -> None:
        self.changes = changes

    def item(self, shelf: Shelf, key: str) -> Kept | None:
        """What is kept under a key."""
        row = self.changes.get((shelf.items, key))
        return row if isinstance(row, Kept) else None

    def version(self, shelf: Shelf, key: str, n: int) -> Version | None:
        """One version of it."""
        row = self.changes.get((shelf.versions, f"{key}/{n}"))
        return row if isinstance(row, Version) else None

    def count(self, shelf: Shelf) -> int:
        """How many keys a shelf has."""
        return sum(1 for _ in self.listed(shelf, "", ""))

    def listed(self, shelf: Shelf, prefix: str, after: str) -> Iterator[tuple[str, Kept]]:
        """What is kept under keys with this beginning, behind a key, in the order of keys."""
        for (noun, key), row in sorted(self.changes.items(), key=lambda one: one[0]):
            if noun == shelf.items and key > after and key.startswith(prefix) and isinstance(row, Kept):
                yield key, row

    def found(self, shelf: Shelf, text: str) -> list[tuple[str, int, float]]:
        """Nothing."""
        return []
