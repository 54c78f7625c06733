"""What each byte of a SQLite file is for: a map of a ledger, made without SQLite (sqlite.org/fileformat2.html).

    for first, count, what in spans(path): ...

`what` is such as `journal body`, `journal digest`, `state value`, `blob value`, `journal structure`, `index`, `schema`, `header`,
`unused`. Pages that stand in the write-ahead log are those of the file: look at a ledger whose log is empty.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import pysqlite3 as sqlite3

INTERIOR_INDEX, INTERIOR, LEAF_INDEX, LEAF = 2, 5, 10, 13
HEADER = 100
FIXED = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}  # bytes of a value, by its serial type


class Span(NamedTuple):
    """Some bytes of the file."""

    first: int
    length: int
    what: str


class Tree(NamedTuple):
    """One b-tree: a table or an index."""

    name: str
    root: int
    columns: tuple[str, ...]


def spans(path: Path) -> Iterator[Span]:
    """All bytes of a file, each once."""
    data = path.read_bytes()
    page_bytes = int.from_bytes(data[16:18], "big") or 1
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    walk = Walk(data, page_bytes)
    yield Span(0, HEADER, "header")
    for tree in _trees(path):
        yield from walk.tree(tree)
    yield from walk.free()
    for page in range(1, len(data) // page_bytes + 1):
        if page not in walk.seen:
            yield Span((page - 1) * page_bytes, page_bytes, "unknown")


def _trees(path: Path) -> list[Tree]:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    found = [Tree("schema", 1, ("type", "name", "table", "root", "sql"))]
    for type_, name, root in db.execute("SELECT type, name, rootpage FROM sqlite_schema WHERE rootpage > 0").fetchall():
        rows = db.execute(f"PRAGMA table_xinfo('{name}')") if type_ == "table" else db.execute(f"PRAGMA index_xinfo('{name}')")
        columns = tuple(str(row[1] if type_ == "table" else row[2] or "seq") for row in rows)
        if type_ == "index":
            found.append(Tree(f"index {name}", root, columns))
        elif name.startswith(("words ", "sqlite_")):
            found.append(Tree(name.partition(" ")[0], root, ()))
        else:
            found.append(Tree(name, root, columns))
    db.close()
    return found


class Walk:
    """Goes through the pages of a file."""

    def __init__(self, data: bytes, page_bytes: int) -> None:
        self.data, self.page_bytes = data, page_bytes
        self.usable = page_bytes - data[20]
        self.seen: set[int] = set()

    def number(self, at: int, count: int) -> int:
        """A big-endian number in the file."""
        return int.from_bytes(self.data[at : at + count], "big")

    def varint(self, at: int) -> tuple[int, int]:
        """A variable-length number, and how many bytes it takes."""
        found = 0
        for count in range(1, 9):
            byte = self.data[at + count - 1]
            found = found << 7 | byte & 0x7F
            if byte < 0x80:
                return found, count
        return found << 8 | self.data[at + 8], 9

    def tree(self, tree: Tree) -> Iterator[Span]:
        """All pages of a b-tree."""
        pages = [tree.root]
        while pages:
            page = pages.pop()
            self.seen.add(page)
            base = (page - 1) * self.page_bytes
            at = base + (HEADER if page == 1 else 0)
            kind, cells, content = self.data[at], self.number(at + 3, 2), self.number(at + 5, 2) or 65536
            head = 12 if kind in (INTERIOR_INDEX, INTERIOR) else 8
            if head == 12:
                pages.append(self.number(at + 8, 4))
            yield Span(at, head + 2 * cells, f"{tree.name} structure")
            taken = []
            for cell in range(cells):
                where = base + self.number(at + head + 2 * cell, 2)
                start = where
                if head == 12:
                    pages.append(self.number(where, 4))
                    yield Span(where, 4, f"{tree.name} structure")
                    where += 4
                if kind == INTERIOR:
                    _, count = self.varint(where)
                    yield Span(where, count, f"{tree.name} structure")
                    where += count
                else:
                    where = yield from self._payload(tree, kind, where)
                taken.append((start - base, where - base))
            yield from self._unused(base, at - base + head + 2 * cells, content, taken)

    def _unused(self, base: int, first: int, content: int, taken: list[tuple[int, int]]) -> Iterator[Span]:
        """The gap before the cells, and what lies between them: freed blocks, whose first four bytes are read, and fragments."""
        done = first
        for start, end in sorted([*taken, (self.usable, self.usable)]):
            if start > done:
                yield Span(base + done, start - done, "unused")
            done = max(done, end)

    def _payload(self, tree: Tree, kind: int, where: int) -> Generator[Span, None, int]:
        """One cell behind its pointer; returns where it ends."""
        size, count = self.varint(where)
        yield Span(where, count, f"{tree.name} structure")
        where += count
        if kind == LEAF:
            _, count = self.varint(where)
            yield Span(where, count, f"{tree.name} {'seq' if tree.name == 'journal' else 'row'}")
            where += count
        local = self._local(size, kind)
        pieces = [(where, local)]
        where += local
        if local < size:
            yield Span(where, 4, f"{tree.name} structure")
            pieces += yield from self._overflow(tree, self.number(where, 4), size - local)
            where += 4
        yield from self._columns(tree, pieces, kind)
        return where

    def _local(self, size: int, kind: int) -> int:
        most = self.usable - 35 if kind == LEAF else (self.usable - 12) * 64 // 255 - 23
        least = (self.usable - 12) * 32 // 255 - 23
        if size <= most:
            return size
        found = least + (size - least) % (self.usable - 4)
        return found if found <= most else least

    def _overflow(self, tree: Tree, page: int, left: int) -> Generator[Span, None, list[tuple[int, int]]]:
        """The rest of a payload; returns where its pieces are."""
        pieces = []
        while page and left:
            self.seen.add(page)
            base = (page - 1) * self.page_bytes
            count = min(left, self.usable - 4)
            yield Span(base, 4, f"{tree.name} structure")
            pieces.append((base + 4, count))
            if count < self.usable - 4:
                yield Span(base + 4 + count, self.usable - 4 - count, "unused")
            page, left = self.number(base, 4), left - count
        return pieces

    def _columns(self, tree: Tree, pieces: list[tuple[int, int]], kind: int) -> Iterator[Span]:
        """The bytes of a record, by column. A record's own head is short and never in an overflow page."""
        at = pieces[0][0]
        head, count = self.varint(at)
        yield Span(at, head, f"{tree.name} structure")
        types, place = [], at + count
        while place < at + head:
            type_, count = self.varint(place)
            types.append(type_)
            place += count
        stream = _stream(pieces, head)
        for number, type_ in enumerate(types):
            bytes_ = FIXED[type_] if type_ in FIXED else (type_ - 12) // 2
            column = tree.columns[number] if number < len(tree.columns) else "row"
            yield from (Span(first, count, f"{tree.name} {column}") for first, count in stream.take(bytes_))

    def free(self) -> Iterator[Span]:
        """The list of free pages: its trunks have numbers in them, its leaves nothing."""
        trunk = self.number(32, 4)
        while trunk and trunk not in self.seen:
            self.seen.add(trunk)
            base = (trunk - 1) * self.page_bytes
            count = self.number(base + 4, 4)
            yield Span(base, 8 + 4 * count, "free list")
            yield Span(base + 8 + 4 * count, self.page_bytes - 8 - 4 * count, "unused")
            for leaf in range(count):
                page = self.number(base + 8 + 4 * leaf, 4)
                self.seen.add(page)
                yield Span((page - 1) * self.page_bytes, self.page_bytes, "unused")
            trunk = self.number(base, 4)


class _stream:
    """Bytes in several pieces, taken one after the other."""

    def __init__(self, pieces: list[tuple[int, int]], skip: int) -> None:
        self.pieces = [(pieces[0][0] + skip, pieces[0][1] - skip), *pieces[1:]]

    def take(self, count: int) -> Iterator[tuple[int, int]]:
        """Where the next so many bytes are."""
        while count > 0 and self.pieces:
            first, there = self.pieces[0]
            some = min(count, there)
            if some:
                yield first, some
            count -= some
            self.pieces[0] = (first + some, there - some)
            if some == there:
                self.pieces.pop(0)
