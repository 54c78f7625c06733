"""Landlock: a process gives up all files, TCP ports, abstract sockets and foreign processes but those that it lists.

    restrict([("/usr", READ | EXECUTE), ("/var/lib/mai/clients/acme/support", WRITE)])

Binds the calling thread, what it starts and its programs, for good; so it has to come before the second thread. Can be done
again, to give up more. It needs no right. What it does not cover, whatever is listed: stat, chmod, chown, utime, extended
attributes, connect() to a pathname socket (before ABI 9), UDP, descriptors that are open already. See landlock(7).
"""

import errno
import functools
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final

from mai.sandbox.syscalls import call, prctl

_NAMES: Final = (
    "EXECUTE WRITE_FILE READ_FILE READ_DIR REMOVE_DIR REMOVE_FILE MAKE_CHAR MAKE_DIR MAKE_REG MAKE_SOCK MAKE_FIFO MAKE_BLOCK"
    " MAKE_SYM REFER TRUNCATE IOCTL_DEV RESOLVE_UNIX"
)
_BIT: Final = {name: 1 << bit for bit, name in enumerate(_NAMES.split())}

EXECUTE: Final = _BIT["EXECUTE"]
LIST: Final = _BIT["READ_DIR"]
READ: Final = _BIT["READ_FILE"] | _BIT["READ_DIR"]
CHANGE: Final = READ | _BIT["WRITE_FILE"] | _BIT["TRUNCATE"]  # of what is there
WRITE: Final = CHANGE | _BIT["MAKE_REG"] | _BIT["MAKE_DIR"] | _BIT["REMOVE_FILE"] | _BIT["REMOVE_DIR"] | _BIT["REFER"]
SOCKETS: Final = _BIT["MAKE_SOCK"]  # bind() below it
LINKS: Final = _BIT["MAKE_SYM"] | _BIT["MAKE_FIFO"]
CONNECT: Final = LIST | _BIT["RESOLVE_UNIX"]  # connect() to a socket below it, where the kernel asks

_FIRST: Final = (1 << 13) - 1  # what the first ABI handles
_LATER: Final = ((2, "REFER"), (3, "TRUNCATE"), (5, "IOCTL_DEV"), (9, "RESOLVE_UNIX"))
_ON_FILES: Final = EXECUTE | CHANGE & ~LIST | _BIT["IOCTL_DEV"] | _BIT["RESOLVE_UNIX"]
_SINCE: Final = {
    3: "truncate",
    4: "TCP",
    5: "ioctl of devices",
    6: "signals and abstract sockets",
}
_PATH_BENEATH, _NET_PORT, _CONNECT_TCP = 1, 2, 2
_NO_NEW_PRIVS: Final = 38


@functools.cache
def abi() -> int:
    """Which Landlock this kernel has; 0: none."""
    try:
        return call("landlock_create_ruleset", None, 0, 1)
    except OSError:
        return 0


def lacking() -> list[str]:
    """What this kernel's Landlock cannot refuse though we ask for it."""
    return [f"{what} (Landlock ABI {since})" for since, what in _SINCE.items() if abi() < since]


def restrict(rules: Iterable[tuple[str | os.PathLike[str], int]], connect: Iterable[int] | None = ()) -> None:
    """Give up all but these: (path, rights of it and of what lies below it), and TCP connections to these ports.

    A path that is not there gives nothing. `connect` None: TCP is left as it is. Raises OSError; ENOSYS without Landlock.
    """
    made = ruleset(rules, connect)
    try:
        prctl(_NO_NEW_PRIVS, 1)
        call("landlock_restrict_self", made, 0)
    finally:
        os.close(made)


def ruleset(rules: Iterable[tuple[str | os.PathLike[str], int]], connect: Iterable[int] | None = ()) -> int:
    """The same, prepared: a descriptor for landlock_restrict_self(2), which a child may call between fork and exec."""
    if not abi():
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    handled = _FIRST | sum(_BIT[name] for since, name in _LATER if abi() >= since)
    tcp = 0b11 if abi() >= 4 and connect is not None else 0  # bind and connect
    scoped = 0b11 if abi() >= 6 else 0  # abstract sockets and signals
    attributes = struct.pack("=QQQ", handled, tcp, scoped)[: 24 if abi() >= 6 else 16 if abi() >= 4 else 8]
    made = call("landlock_create_ruleset", attributes, len(attributes), 0)
    try:
        for path, rights in rules:
            _allow(made, path, rights & handled)
        for port in connect or () if tcp else ():
            call("landlock_add_rule", made, _NET_PORT, struct.pack("=QQ", _CONNECT_TCP, port), 0)
    except OSError:
        os.close(made)
        raise
    return made


def _allow(ruleset: int, path: str | os.PathLike[str], rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # absent or out of reach: nothing to give
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _ON_FILES
        if rights:
            call("landlock_add_rule", ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)
