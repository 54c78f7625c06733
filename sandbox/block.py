"""A block: some hundred records of a journal as one compressed piece of a segment. Pure.

Column after column, times as what they are more than the one before: that packs better than record after record. Digests
are not kept but computed when a block is read, from that of the record before it, so that what is read is checked; they would
be most of it, since nothing packs them. A record whose digest is not that of what it says (a redacted one) keeps it.
Measured over real journals (bytes a record, packed in a second): zlib 57, 280,000; lzma 44, 18,000; zstandard's level 3 57,
1,500,000, level 10 53, 240,000. What else a step does takes longer than zlib, so it is worth no dependency.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from mai.sandbox.record import Record, chain

RECORDS: Final = 512  # in one block at most
BYTES: Final = 256 << 10  # of bodies, above which a block takes no more
LEVEL: Final = 6  # of zlib; 9 packs 3 % better and takes three times as long
MOST: Final = 64 << 20  # bytes that a block may unpack to: a file may come from elsewhere


class _Columns(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of the records. `odd`: by place, the predecessor's digest and its own where they are not what follows."""

    at_ns: list[int]
    term: list[int]
    boot: list[str]
    kind: list[str]
    request: list[str]
    task: list[str]
    agent: list[str]
    body: list[str]
    odd: dict[int, tuple[bytes, bytes]] = {}


_decoder = msgspec.json.Decoder(_Columns)


class Unreadable(ValueError):
    """A block is not what was packed."""


def pack(records: Sequence[Record]) -> bytes:
    """Records that follow each other, at least one."""
    times, before, head = [], 0, records[0].prev
    odd: dict[int, tuple[bytes, bytes]] = {}
    for place, one in enumerate(records):
        times.append(one.at_ns - before)
        before = one.at_ns
        if one.prev != head or _digest(head, one.seq, one) != one.digest:
            odd[place] = one.prev, one.digest
        head = one.digest
    _, _, term, boot, kind, request, task, agent, body, _, _ = map(list, zip(*records, strict=True))
    kept = _Columns(times, term, boot, kind, request, task, agent, body, odd)
    return zlib.compress(msgspec.json.encode(kept), LEVEL)


def _digest(prev: bytes, seq: int, one: Record) -> bytes:
    try:
        return chain(prev, seq, one.at_ns, one.term, one[3:9])
    except (struct.error, UnicodeEncodeError):  # a number or a text that no ledger could have written
        return b""


def unpack(data: bytes, first: int, prev: bytes) -> list[Record]:
    """The records of a block, of which this is the number of the first and the digest of the one before. Raises Unreadable."""
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(data, MOST)
        if not unpacker.eof:
            raise Unreadable("it does not end")
        kept = _decoder.decode(text)
        return _records(kept, first, prev)
    except (zlib.error, msgspec.MsgspecError, struct.error, ValueError, OverflowError) as error:
        raise Unreadable(str(error)) from error


def _records(kept: _Columns, seq: int, head: bytes) -> list[Record]:
    found, at_ns, odd = [], 0, kept.odd
    texts = zip(kept.boot, kept.kind, kept.request, kept.task, kept.agent, kept.body, strict=True)
    for place, (later_ns, term, said) in enumerate(zip(kept.at_ns, kept.term, texts, strict=True)):
        at_ns += later_ns
        prev, digest = odd[place] if place in odd else (head, chain(head, seq, at_ns, term, said))
        boot, kind, request, task, agent, body = said
        found.append(Record(seq, at_ns, term, boot, kind, request, task, agent, body, prev, digest))
        seq, head = seq + 1, digest
    return found
