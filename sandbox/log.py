"""The write-ahead log of a ledger, looked at from outside: does it end where it should?

SQLite reads a log up to the first frame whose checksum does not fit (sqlite.org/fileformat2.html#the_write_ahead_log), and drops
what stands behind it without a word: a changed byte there undoes every transaction from then on. A power cut leaves at most one
transaction that is not whole, because each waits for the disk before the next begins; so where two or more have their end behind
the first bad frame, somebody or the disk has changed the file.
"""

import struct
from pathlib import Path
from typing import Final, NamedTuple

MAGICS: Final = {0x377F0682: "<", 0x377F0683: ">"}  # byte order of the words that the checksums are of
HEADER, FRAME = 32, 24
LARGEST: Final = 1 << 30  # bytes of a log that are looked at


class Damage(NamedTuple):
    """Where a log stops to be one."""

    frame: int  # the first bad one, from 1; 0: its header
    lost: int  # transactions that end behind it
    seen: bytes  # what stands there: somebody may just be writing it

    @property
    def sure(self) -> bool:
        """Is it more than a power cut leaves?"""
        return self.frame == 0 or self.lost > 1


def damage(log: Path) -> Damage | None:
    """What is wrong with a log; None if nothing is, or there is none. Raises OSError."""
    try:
        with log.open("rb") as file:
            data = file.read(LARGEST)
    except FileNotFoundError:
        return None
    if len(data) < HEADER:
        return None
    magic, _, page_bytes = struct.unpack_from(">III", data)
    order, salts = MAGICS.get(magic, ""), data[16:24]
    if not order or page_bytes & (page_bytes - 1) or not 512 <= page_bytes <= 65536:
        return Damage(0, 0, data[:HEADER])
    sums = _sum(order, data[:24], (0, 0))
    if struct.pack(">II", *sums) != data[24:HEADER]:
        return Damage(0, 0, data[:HEADER])
    step = FRAME + page_bytes
    whole = range(HEADER, len(data) - step + 1, step)
    for number, at in enumerate(whole, 1):
        head = data[at : at + FRAME]
        sums = _sum(order, head[:8], sums)
        sums = _sum(order, data[at + FRAME : at + step], sums)
        if head[8:16] != salts or struct.pack(">II", *sums) != head[16:]:
            ends = sum(_ends(data[one : one + FRAME], salts) for one in whole[number - 1 :])
            return Damage(number, ends, data[at : at + step]) if ends else None
    return None


def _ends(head: bytes, salts: bytes) -> bool:
    """Is a frame of this log the last of its transaction?"""
    return head[8:16] == salts and head[4:8] != bytes(4)


def _sum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    """The checksum of more bytes, over those before."""
    one, two = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for first, second in zip(words, words, strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two
