"""A segment in the making: block after block into a file without a name, looked over before it gets one."""

import contextlib
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from mai.sandbox import bloom, segment_files
from mai.sandbox.block import LEVEL, pack
from mai.sandbox.bounds import ALL
from mai.sandbox.record import Record
from mai.sandbox.segment import FORMAT, Entry, Segment

HASHED: Final = 1 << 20  # bytes in one step
PLACES: Final = 500  # that are written in one step
SYNCED: Final = 4 << 20  # bytes, after which what is written is synced: the last sync must not have to wait for all of it


class Making:
    """The file `path`, of a ledger of this process. Raises OSError, and what SQLite raises; so does each method."""

    def __init__(self, path: Path, process: str, more: Mapping[str, str] | None = None) -> None:
        """`more`: what else its table `meta` is to say."""
        self.path, self._more = path, more or {}
        self._db = segment_files.begin(path)
        self._process = process
        self._places: dict[tuple[str, str], list[int]] = {}
        self._first: Record | None = None
        self._last: Record | None = None
        self._since_ns, self._until_ns = ALL.until_ns, 0
        self._fresh = 0  # bytes that are not synced

    def add(self, records: list[Record]) -> None:
        """The next records, as one block."""
        first, last = records[0], records[-1]
        times = [one.at_ns for one in records]
        data = pack(records)
        row = (first.seq, last.seq, min(times), max(times), first.prev, last.digest, data)
        self._db.execute("INSERT INTO block VALUES(?,?,?,?,?,?,?)", row)
        named = {("kind", one.kind) for one in records} | {("request", one.request) for one in records if one.request}
        for name in sorted(named):  # the same records make the same file
            self._places.setdefault(name, []).append(first.seq)
        self._first, self._last = self._first or first, last
        self._since_ns, self._until_ns = min(self._since_ns, *times), max(self._until_ns, *times)
        self._written(len(data))

    def blob(self, address: str, data: bytes) -> bool:
        """What one of the records refers to; false if it is here already."""
        if self._db.execute("SELECT 1 FROM blob WHERE address = ?", (address,)).fetchone():
            return False
        value = zlib.compress(data, LEVEL)
        self._db.execute("INSERT INTO blob VALUES(?,?)", (address, value))
        self._written(len(value))
        return True

    def _written(self, count: int) -> None:
        self._fresh += count
        if self._fresh > SYNCED:
            self._fresh = 0
            segment_files.sync(self.path)

    def drop(self) -> None:
        """It is not wanted any more, whole or not. Never raises."""
        self._db.close()
        for name in (self.path.name + segment_files.PART, self.path.name):
            with contextlib.suppress(OSError):
                segment_files.remove(self.path.with_name(name))

    def finish(self) -> Iterator[Entry]:
        """Complete the file, look it over, seal it; between two of its steps who calls may do something else.

        The last step gives what the journal is to say of it. Raises LedgerFault if the file is not what was put into it.
        """
        assert self._first
        assert self._last
        entry = Entry(
            self._first.seq, self._last.seq, self._first.prev, self._last.digest, self._since_ns, self._until_ns,
            self.path.name, 0, "", "all", 0,
        )  # fmt: skip
        places = iter(sorted(self._places.items()))
        while some := [(*name, msgspec.json.encode(blocks).decode()) for name, blocks in islice(places, PLACES)]:
            self._db.executemany("INSERT INTO place VALUES(?,?,?)", some)
            yield entry
        told = {"format": FORMAT, "process": self._process, "first": entry.first, "last": entry.last, "prev": entry.prev.hex()}
        requests = [name for what, name in self._places if what == "request"]
        told |= {"head": entry.head.hex(), "requests": bloom.made(requests).hex()}
        self._db.executemany("INSERT INTO meta VALUES(?,?)", [(key, str(value)) for key, value in {**self._more, **told}.items()])
        self._db.close()
        yield entry
        for _ in looked(self.path, entry, part=True):
            yield entry
        digest, size = hashlib.sha256(), 0
        while data := segment_files.read(self.path, size, HASHED, part=True):
            digest.update(data)
            size += len(data)
            yield entry
        segment_files.seal(self.path)
        yield entry._replace(bytes=size, sha256=digest.hexdigest())


def looked(path: Path, entry: Entry, *, part: bool = False) -> Iterator[int]:
    """Look a segment over: its blocks follow each other from `prev` to `head`, its blobs are what their addresses say.

    Gives after each step the number of the record up to which that is so. Raises LedgerFault.
    """
    segment = Segment(path, part=part)
    try:
        seq, head = entry.first - 1, entry.prev
        for block in segment.blocks(ALL):
            segment.unpacked(block)
            if (block.first, block.prev) != (seq + 1, head):
                raise segment.damaged(f"the records from {block.first} on do not follow record {seq}")
            seq, head = block.last, block.head
            yield seq
        if (seq, head) != (entry.last, entry.head):
            raise segment.damaged(f"it ends with record {seq}, and should with {entry.last}")
        for address, data in segment.blobs():
            if hashlib.sha256(data).hexdigest() != address:
                raise segment.damaged(f"the blob {address[:12]} is not what its address says")
            yield seq
    finally:
        segment.close()
