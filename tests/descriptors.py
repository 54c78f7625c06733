"""What a piece of work leaves open in this process, whatever else is closed meanwhile."""

import gc
import os
from collections.abc import Callable


def left_open(work: Callable[[], object]) -> dict[int, str]:
    """The descriptors that are open after the work and were not before, with what each of them is.

    Earlier tests' garbage is collected first, and none is while the work runs: so neither does a descriptor of theirs
    that vanishes count, nor hide one that the work left under the same number. What the work leaves to the collector,
    it has left open.
    """
    gc.collect()
    gc.disable()
    try:
        before = _open()
        work()
        return dict(_open().items() - before.items())
    finally:
        gc.enable()


def _open() -> dict[int, str]:
    """Each descriptor and what it leads to, which tells two sockets, pipes or files apart."""
    found = dict[int, str]()
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:  # the one that read the list
            continue
    return found
