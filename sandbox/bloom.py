"""Does a segment have records of a request? A Bloom filter says no for sure, or perhaps, without a look into the file. Pure.

Who begins a request asks for its earlier records, and there are none: that may not cost a look into every segment.
B. Bloom, Space/time trade-offs in hash coding with allowable errors, 1970; two digests for all probes after Kirsch and
Mitzenmacher, Less hashing, same performance, 2006. With 10 bits a name and 5 probes, 1 % of all others are taken for known.
"""

import hashlib
from collections.abc import Collection
from typing import Final

BITS: Final = 10  # a name
PROBES: Final = 5

Key = tuple[int, int]


def key(name: str) -> Key:
    """What is looked for, of a name: computed once for all filters."""
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big") | 1


def made(names: Collection[str]) -> bytes:
    """The filter of these names."""
    bits = bytearray(len(names) * BITS // 8 + 1)
    for name in names:
        first, step = key(name)
        for n in range(PROBES):
            at = (first + n * step) % (len(bits) * 8)
            bits[at >> 3] |= 1 << (at & 7)
    return bytes(bits)


def may(bits: bytes, wanted: Key) -> bool:
    """Is it perhaps one of the names? False is sure."""
    first, step = wanted
    count = len(bits) * 8
    for n in range(PROBES):
        at = (first + n * step) % count
        if not bits[at >> 3] >> (at & 7) & 1:
            return False
    return True
