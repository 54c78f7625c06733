"""Rights that a process gives up for good: capabilities, new ones by setuid programs, being looked into, writing its own code."""

import struct
from collections.abc import Collection
from typing import Final

from mai.sandbox.syscalls import call, prctl

SET_DUMPABLE, _CAPBSET_DROP, _SET_NO_NEW_PRIVS, _CAP_AMBIENT, _SET_MDWE = 4, 24, 38, 47, 65  # prctl(2)
_AMBIENT_RAISE, _AMBIENT_CLEAR_ALL, _SET_KEEPCAPS = 2, 4, 8
_VERSION_3: Final = 0x20080522
_REFUSE_GAIN, _NO_INHERIT = 1, 2
_LAST: Final = 63


def bound(kept: Collection[int] = ()) -> None:
    """Never again more capabilities than these, whatever program is started. Without CAP_SETPCAP there is nothing to bound."""
    for number in range(_LAST + 1):
        if number not in kept:
            try:
                prctl(_CAPBSET_DROP, number)
            except OSError:
                continue  # not ours to drop, or no such capability


def drop(kept: Collection[int] = ()) -> None:
    """Hold no capabilities but these, of those that we hold; programs that we start hold them too. Raises OSError."""
    prctl(_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    mask = sum(1 << number for number in kept)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    call("capset", struct.pack("=Ii", _VERSION_3, 0), struct.pack("=6I", low, low, low, high, high, high))
    for number in kept:
        prctl(_CAP_AMBIENT, _AMBIENT_RAISE, number)


def keep_over_change_of_user() -> None:
    """The next change from root to another user leaves the capabilities in the permitted set, for `drop` to choose from."""
    prctl(_SET_KEEPCAPS, 1)


def no_new_privileges() -> None:
    """No program that we start gets more rights than we have: setuid bits and capabilities of files count for nothing."""
    prctl(_SET_NO_NEW_PRIVS, 1)


def hide() -> None:
    """No core file, and nobody of our own user looks into our memory and descriptors. execve(2) undoes it."""
    prctl(SET_DUMPABLE, 0)


def no_written_code(*, programs: bool = False) -> None:
    """No memory that is writable and executable (Linux 6.3). Raises OSError.

    `programs`: those that we start may have it, because they may translate code (Linux 6.6).
    """
    prctl(_SET_MDWE, _REFUSE_GAIN | (_NO_INHERIT if programs else 0))
