"""Who is at the other end of a unix stream socket, as the kernel says: process, user, group and supplementary groups.

All are those of the moment of connect(2): SO_PEERCRED and SO_PEERGROUPS, unix(7).
"""

import ctypes
import errno
import socket
import struct
from typing import Final, NamedTuple

SO_PEERGROUPS: Final = 59  # asm-generic/socket.h; Python has no name for it
FEW: Final = 256  # groups; Python's getsockopt gives no more than 1024 bytes
MOST: Final = 65_536  # NGROUPS_MAX
_credentials = struct.Struct("3i")  # struct ucred


class Peer(NamedTuple):
    """One process that has connected."""

    pid: int
    uid: int
    groups: frozenset[int]  # its own and the supplementary ones


def peer_of(connection: socket.socket) -> Peer:
    """Who that is. Raises OSError."""
    pid, uid, gid = _credentials.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _credentials.size))
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, FEW * 4)
    except OSError as error:
        data = _many(connection) if error.errno == errno.ERANGE else b""  # before Linux 4.13 it is not known: then none
    return Peer(pid, uid, frozenset({gid, *struct.unpack(f"{len(data) // 4}I", data)}))


def _many(connection: socket.socket) -> bytes:
    """The groups of somebody who has hundreds of them."""
    room, size = ctypes.create_string_buffer(MOST * 4), ctypes.c_uint32(MOST * 4)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.getsockopt(connection.fileno(), socket.SOL_SOCKET, SO_PEERGROUPS, room, ctypes.byref(size)):
        raise OSError(ctypes.get_errno(), "getsockopt(SO_PEERGROUPS)")
    return room.raw[: size.value]
