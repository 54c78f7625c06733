"""One segment, read: a sealed, compressed piece of a journal, with indexes by number, by request and by kind.

To read one record unpacks one block, to read a request those blocks that have records of it.
"""

import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pysqlite3 as sqlite3

from mai.sandbox import segment_files
from mai.sandbox.block import Unreadable, unpack
from mai.sandbox.bodies import RESTORE
from mai.sandbox.bounds import Bounds
from mai.sandbox.errors import LedgerFault
from mai.sandbox.record import Record

FORMAT: Final = 1
OWN: Final = frozenset({"format", "process", "first", "last", "prev", "head", "requests"})  # keys of its table `meta`
BLOCKS: Final = 8  # unpacked, that a segment keeps at hand
BLOB_BYTES: Final = 1 << 30  # that a blob may unpack to


class Entry(NamedTuple):
    """A row of a ledger's table `segment`: a segment as the journal has it."""

    first: int
    last: int
    prev: bytes
    head: bytes
    since_ns: int
    until_ns: int
    file: str
    bytes: int
    sha256: str
    kept: str  # all, some (thinned by retention, or erased of), none (removed by retention)
    seq: int  # of the journal's record that says so


class Block(NamedTuple):
    """Where a block is, and between which digests."""

    first: int
    last: int
    prev: bytes
    head: bytes


class Segment:
    """A sealed file. Raises FileNotFoundError if it is not there; LedgerFault if it cannot be read, as does each method."""

    def __init__(self, path: Path, *, part: bool = False) -> None:
        self.path = path
        try:
            self._db = segment_files.look(path, part=part)
            self.meta: dict[str, str] = dict(self._db.execute("SELECT key, value FROM meta"))
        except sqlite3.Error as error:
            raise self.damaged(str(error)) from error
        if self.meta.get("format") != str(FORMAT):
            hint = "install the newer version again"
            raise LedgerFault(f"the segment {path} is of format {self.meta.get('format')}, this version reads {FORMAT}", hint)
        self.unpacked = lru_cache(BLOCKS)(self._unpacked)

    def damaged(self, what: str) -> LedgerFault:
        """The error for what is there and is not what was written."""
        return LedgerFault(f"the segment {self.path} is damaged: {what}", RESTORE)

    @property
    def more(self) -> dict[str, str]:
        """What it says of itself besides where it begins and ends."""
        return {key: value for key, value in self.meta.items() if key not in OWN}

    def rows(self, query: str, *given: object) -> list[Any]:
        """All rows of a query."""
        try:
            found: list[Any] = self._db.execute(query, given).fetchall()
        except sqlite3.Error as error:
            raise self.damaged(str(error)) from error
        return found

    # -- records
    def records(self, wanted: Bounds, *, newest: bool = False) -> Iterator[Record]:
        """All records that these bounds hold, in order, or the newest first."""
        step = -1 if newest else 1
        for block in self.blocks(wanted)[::step]:
            for one in self.unpacked(block)[::step]:
                if wanted.holds(one.seq, one.at_ns, one.kind, one.request, one.task):
                    yield one

    def blocks(self, wanted: Bounds) -> list[Block]:
        """The blocks that may have such records, in order."""
        query = (
            "SELECT first, last, prev, head FROM block WHERE first <= ? AND last > ? AND until_ns >= ? AND since_ns <= ?"
            " AND first > ? ORDER BY first"
        )
        near = self.rows("SELECT MAX(first) FROM block WHERE first <= ?", wanted.after + 1)[0][0] or 0
        found = [Block(*row) for row in self.rows(query, wanted.upto, wanted.after, wanted.since_ns, wanted.until_ns, near - 1)]
        if wanted.request:
            found = self._among(found, "request", [wanted.request])
        if wanted.kinds is not None:
            found = self._among(found, "kind", sorted(wanted.kinds))
        return found

    def _among(self, found: list[Block], what: str, names: list[str]) -> list[Block]:
        places = {one for name in names for one in self._places(what, name)}
        return [block for block in found if block.first in places]

    def _places(self, what: str, name: str) -> list[int]:
        rows = self.rows("SELECT blocks FROM place WHERE what = ? AND name = ?", what, name)
        try:
            return msgspec.json.decode(rows[0][0], type=list[int]) if rows else []
        except msgspec.MsgspecError as error:
            raise self.damaged(f"where the {what} {name!r} is: {error}") from error

    def _unpacked(self, block: Block) -> list[Record]:
        what = f"its block of the records {block.first} to {block.last}"
        rows = self.rows("SELECT data FROM block WHERE first = ?", block.first)
        try:
            found = unpack(rows[0][0], block.first, block.prev)
        except (Unreadable, IndexError) as error:
            raise self.damaged(f"{what} cannot be unpacked ({error})") from error
        if not found or found[-1].seq != block.last or found[-1].digest != block.head:
            raise self.damaged(f"{what} is not what was sealed, its digest differs")
        return found

    def known(self) -> bytes:
        """The filter of the requests that it has records of, see bloom.py."""
        try:
            return bytes.fromhex(self.meta["requests"]) or b"\0"
        except (KeyError, ValueError) as error:
            raise self.damaged(f"it does not say which requests it has: {error}") from error

    def requests(self, start: str, end: str, count: int) -> list[str]:
        """The first requests with a name from `start` on, before `end`."""
        query = "SELECT name FROM place WHERE what = 'request' AND name >= ? AND name < ? ORDER BY name LIMIT ?"
        return [name for (name,) in self.rows(query, start, end, count)]

    # -- blobs
    def blob(self, address: str) -> bytes | None:
        """The bytes at an address; None if there are none, or they are not kept any more."""
        rows = self.rows("SELECT value FROM blob WHERE address = ?", address)
        return self._bytes(address, rows[0][0]) if rows else None

    def blobs(self) -> Iterator[tuple[str, bytes]]:
        """All of them, by address."""
        after = ""
        while rows := self.rows("SELECT address, value FROM blob WHERE address > ? ORDER BY address LIMIT 100", after):
            for address, value in rows:
                yield address, self._bytes(address, value)
            after = rows[-1][0]

    def addresses(self) -> Iterator[str]:
        """Of all of them, in order."""
        after = ""
        while rows := self.rows("SELECT address FROM blob WHERE address > ? ORDER BY address LIMIT 1000", after):
            yield from (address for (address,) in rows)
            after = rows[-1][0]

    def _bytes(self, address: str, value: bytes) -> bytes:
        unpacking = zlib.decompressobj()
        try:
            data = unpacking.decompress(value, BLOB_BYTES)
        except zlib.error as error:
            raise self.damaged(f"the blob {address[:12]} cannot be unpacked ({error})") from error
        if not unpacking.eof:
            raise self.damaged(f"the blob {address[:12]} ends too early, or never")
        return data

    def close(self) -> None:
        """Close the file."""
        self._db.close()
