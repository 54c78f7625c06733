"""Waiting until somebody writes: which of some files were written to, told by the kernel (inotify(7)).

A tail that looks at every ledger twenty times a second costs little for thirty and much for three hundred, and is still 25 ms
late on average. So it sleeps until a write-ahead log is written, and then looks at that ledger alone. The kernel tells of the
bytes, which come before the commit: who is told looks again for a while (`tail.HOT_S`).

Where there is no inotify (its instances are few for each user, a file system may have none), `wait` says None: anything may have
changed. Directories are watched, not files: a log is removed and made anew.
"""

import ctypes
import os
import select
import struct
from pathlib import Path
from typing import Final

from mai.sandbox.syscalls import libc

MODIFY, CREATE, MOVED_TO, ONLY_DIRECTORIES, OVERFLOW = 0x2, 0x100, 0x80, 0x01000000, 0x4000  # linux/inotify.h
EVENT: Final = struct.Struct("iIII")  # watch, mask, cookie, length of the name behind it
READ_BYTES: Final = 1 << 16


class Awake:
    """The directories that are watched, each under a name of the caller's. Never raises: at worst it sees nothing."""

    def __init__(self) -> None:
        self._descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._names: dict[int, str] = {}
        self._watches: dict[str, tuple[int, str]] = {}  # name -> the watch, and the file
        self._poll = select.poll()
        if self._descriptor >= 0:
            self._poll.register(self._descriptor, select.POLLIN)

    @property
    def able(self) -> bool:
        """Does the kernel tell us of all that we want to know?"""
        return self._descriptor >= 0

    def watch(self, name: str, file: Path) -> None:
        """Tell of this file from now on, under that name."""
        if self.able and name not in self._watches:
            path = ctypes.create_string_buffer(os.fsencode(file.parent))
            mask = MODIFY | CREATE | MOVED_TO | ONLY_DIRECTORIES
            watch = libc.inotify_add_watch(self._descriptor, path, mask)
            if watch < 0:
                self.close()
                return
            self._names[watch], self._watches[name] = name, (watch, file.name)

    def forget(self, name: str) -> None:
        """Tell of it no more."""
        if found := self._watches.pop(name, None):
            self._names.pop(found[0], None)
            libc.inotify_rm_watch(self._descriptor, found[0])

    def wait(self, seconds: float) -> set[str] | None:
        """Who was written to, at the latest after so long; None if that cannot be told. Handles signals as `poll` does."""
        self._poll.poll(max(0, round(seconds * 1000)))
        if not self.able:
            return None
        try:
            return self._told(os.read(self._descriptor, READ_BYTES))
        except BlockingIOError:
            return set()

    def _told(self, data: bytes) -> set[str] | None:
        found, at = set[str](), 0
        while at < len(data):
            watch, mask, _, length = EVENT.unpack_from(data, at)
            at += EVENT.size
            file = data[at : at + length].rstrip(b"\0")
            at += length
            if mask & OVERFLOW:
                return None
            name = self._names.get(watch)
            if name and file == os.fsencode(self._watches[name][1]):
                found.add(name)
        return found

    def close(self) -> None:
        """Watch nothing any more."""
        if self._descriptor >= 0:
            self._poll.unregister(self._descriptor)
            os.close(self._descriptor)
        self._descriptor = -1
        self._names.clear()
        self._watches.clear()
