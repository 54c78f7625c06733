"""The reading side of memory: shelves as they lie in the ledger, with what this turn has changed and not yet committed."""

from collections.abc import Iterator, MutableMapping
from typing import Final

import msgspec

from mai.agents.kept import Kept, Shelf, Version
from mai.sandbox.ledger import Ledger

PAGE: Final = 200  # rows of one SELECT
Changes = MutableMapping[tuple[str, str], msgspec.Struct | None]


class Shelves:
    """Memory in a ledger, as kept.Memories says. Methods raise LedgerFault.

    What counts rows, lists or searches asks SQLite: before it does, the changes of the turn are staged, which puts them into the
    transaction that the turn's commit ends, and commits nothing.
    """

    def __init__(self, ledger: Ledger, changes: Changes) -> None:
        self._ledger, self._changes = ledger, changes

    def item(self, shelf: Shelf, key: str) -> Kept | None:
        """What is kept under a key."""
        row = self._row(shelf.items, key)
        return msgspec.json.decode(row, type=Kept) if row else None

    def version(self, shelf: Shelf, key: str, n: int) -> Version | None:
        """One version of it."""
        row = self._row(shelf.versions, f"{key}/{n}")
        return msgspec.json.decode(row, type=Version) if row else None

    def count(self, shelf: Shelf) -> int:
        """How many keys a shelf has."""
        self._stage()
        return self._ledger.count(shelf.items)

    def listed(self, shelf: Shelf, prefix: str, after: str) -> Iterator[tuple[str, Kept]]:
        """What is kept under keys with this beginning, behind a key, in the order of keys."""
        self._stage()
        if prefix and after < prefix:
            if item := self.item(shelf, prefix):
                yield prefix, item
            after = prefix
        while rows := self._ledger.behind(shelf.items, after, PAGE):
            for after, row in rows:
                if not after.startswith(prefix):
                    return
                yield after, msgspec.json.decode(row, type=Kept)

    def found(self, shelf: Shelf, text: str) -> list[tuple[str, int, float]]:
        """Key, version and score of what a full-text search finds, best first."""
        self._stage()
        return self._ledger.find(shelf.name, text)

    def _row(self, noun: str, key: str) -> bytes | None:
        if (noun, key) in self._changes:
            row = self._changes[noun, key]
            return None if row is None else msgspec.json.encode(row)
        return self._ledger.get(noun, key)

    def _stage(self) -> None:
        staged = [change for change in self._changes if change[0].startswith(("memory/", "version/"))]
        for noun, key in staged:
            row = self._changes.pop((noun, key))
            self._ledger.save(noun, key, None if row is None else msgspec.json.encode(row))
        if staged:
            self._ledger.stage()
