"""A process in namespaces of its own: it is pid 1, sees no network and no file that was not put into its root.

`fork_into` is a fork into new namespaces: the parent gets an ordinary pid, whose exit status and signals are the child's own,
and no process stands in between. The child then has to say who it is (`map_own_user`), and to move into a root of its own
(`Root`). What is to be seen there is opened first, because the new root may cover the way to it.

Sources: clone(2), user_namespaces(7), mount_setattr(2), pivot_root(2), proc(5).
"""

import ctypes
import errno
import os
import signal
import stat
import struct
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from mai.sandbox.syscalls import NUMBERS, call, fault, held, libc

MOUNTS, CGROUP, NAMES, IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
USER, PIDS, NETWORK = 0x10000000, 0x20000000, 0x40000000

How = Literal["read", "write", "socket", "hidden"]  # socket: connect() below it; hidden: an empty directory

_NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18  # mount(2)
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV, _ATTR_NOEXEC = 1, 2, 4, 8  # mount_setattr(2)
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_DETACH: Final = 2
_STAGE: Final = "/tmp"  # covered in our own namespace only: the new root is built there
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")
_SCRATCH: Final = (("/tmp", "256m"), ("/dev/shm", "64m"))  # of the new root, and how much goes in
_PROC: Final = ("subset=pid,hidepid=2", "hidepid=2")  # the first that this kernel takes (5.8)
_COPIED_BYTES: Final = 16 << 10  # a small file is copied, which is cheaper than a mount


_before = (0, 0)  # user and group of whoever has forked last


def fork_into(flags: int) -> int:
    """A fork whose child is the first process of these namespaces: 0 in the child, its pid in the parent. Raises OSError.

    Only in a process of one thread.
    """
    global _before  # noqa: PLW0603  # in the child nobody knows it any more: until it is mapped, the user is 65534
    _before = os.geteuid(), os.getegid()
    ctypes.pythonapi.PyOS_BeforeFork()
    # No stack, no thread ids: the order of the last two arguments, which differs on aarch64, does not matter.
    pid = int(held.syscall(ctypes.c_long(NUMBERS["clone"]), ctypes.c_long(flags | signal.SIGCHLD), *[ctypes.c_long(0)] * 4))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    error = fault("clone") if pid < 0 else None
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if error:
        raise error
    return pid


def map_own_user() -> None:
    """In the child, if USER was among its flags: be the user that we were, and no other. Raises OSError."""
    uid, gid = _before
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        _write(f"/proc/self/{name}", text.encode())


class Shown(NamedTuple):
    """A path that a process sees, and how. Symbolic links in the root directory stay links."""

    path: str
    how: How
    runs: bool = False  # programs and libraries in it may be run


class Root:
    """A root directory of its own. First `Root(shown)`, which opens all, then `enter`. A missing path raises."""

    def __init__(self, shown: Iterable[Shown], etc: Iterable[str] = ()) -> None:
        """`etc`: names of files in /etc that are there if the host has them. Raises OSError."""
        self._sources = [(one, _source(one)) for one in needed(shown)]
        self._devices = [(name, os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC)) for name in _DEVICES]
        self._etc = [(name, _opened(f"/etc/{name}")) for name in etc]

    def enter(self, home: str, files: dict[str, bytes] | None = None, *, whole_proc: bool = False) -> None:
        """Build it and move in; the working directory is `home`. `files`: small ones to be made, or added to. Raises OSError.

        `whole_proc`: with what the kernel tells of the machine, for programs that look for its processors and memory.
        """
        mask = os.umask(0o022)
        mount(None, "/", None, _REC | _PRIVATE)
        mount("tmpfs", _STAGE, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=0755,nr_inodes=4k")
        for path, size in _SCRATCH:  # before what may lie below them
            os.makedirs(_STAGE + path)
            mount("tmpfs", _STAGE + path, "tmpfs", _NOSUID | _NODEV | _NOEXEC, f"size={size},mode=1777,nr_inodes=16k")
        self._fill(files or {})
        for path in ("/proc", "/old"):
            os.makedirs(_STAGE + path, exist_ok=True)
        _mount_proc(_STAGE + "/proc", whole_proc)
        os.chdir(_STAGE)
        call("pivot_root", b".", b"old")
        if libc.umount2(b"/old", _DETACH):
            raise fault("umount")
        os.rmdir("/old")
        for path in (*(one.path for one, _ in self._sources if one.how == "hidden"), "/"):
            _lock(path, _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV, recursive=False)
        os.umask(mask)
        os.chdir(home)

    def _fill(self, files: dict[str, bytes]) -> None:
        for one, source in self._sources:
            _show(one, source)
        for name, device in self._devices:
            _bind(device, f"{_STAGE}/dev/{name}", is_directory=False)
            _lock(f"{_STAGE}/dev/{name}", _ATTR_NOSUID | _ATTR_NOEXEC)
            os.close(device)
        os.symlink("/proc/self/fd", f"{_STAGE}/dev/fd")
        for name, source in self._etc:
            if source is not None and not os.path.lexists(f"{_STAGE}/etc/{name}"):
                _copy(name, source)
        for path, data in files.items():
            os.makedirs(os.path.dirname(_STAGE + path), exist_ok=True)
            _add(_STAGE + path, data)


def needed(shown: Iterable[Shown]) -> list[Shown]:
    """Parents before what lies below them, without what is shown as part of another path all the same."""
    unique = {one.path.rstrip("/") or "/": one for one in shown}
    kept: list[Shown] = []
    for path, one in sorted(unique.items(), key=lambda item: item[0].split("/")):
        above = [other for other in kept if path.startswith(other.path.rstrip("/") + "/")]
        nearest = above[-1] if above else None
        as_it_is = (nearest.how, nearest.runs) == (one.how, one.runs) if nearest else one.how == "hidden"
        if not as_it_is or (nearest is not None and os.path.islink(nearest.path)):
            kept.append(one._replace(path=path))
    return kept


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2). Raises OSError."""
    texts = [os.fsencode(text) if text is not None else None for text in (source, target, kind, data)]
    if libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3]):
        raise fault(f"mount {source or ''} on {target}")


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _source(one: Shown) -> int | None:
    """The path, opened without any access; None where there is nothing to open: an empty directory, or a link such as /lib."""
    if one.how == "hidden" or (one.path.count("/") == 1 and os.path.islink(one.path)):
        return None
    return os.open(one.path, os.O_PATH | os.O_CLOEXEC)


def _show(one: Shown, source: int | None) -> None:
    target = _STAGE + one.path
    if one.how == "hidden":
        os.makedirs(target, exist_ok=True)
        mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV | _NOEXEC, "size=64k,mode=0755,nr_inodes=1k")
    elif source is None:
        if not os.path.lexists(target):
            os.symlink(os.readlink(one.path), target)
    else:
        fixed = (0 if one.how == "write" else _ATTR_RDONLY) | (0 if one.runs else _ATTR_NOEXEC)
        _bind(source, target, is_directory=stat.S_ISDIR(os.fstat(source).st_mode))
        _lock(target, _ATTR_NOSUID | _ATTR_NODEV | fixed)
        os.close(source)


def _bind(source: int, target: str, *, is_directory: bool) -> None:
    if is_directory:
        os.makedirs(target, exist_ok=True)
    elif not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _write(target, b"", os.O_CREAT)
    mount(f"/proc/self/fd/{source}", target, None, _BIND | _REC)


def _lock(target: str, attributes: int, *, recursive: bool = True) -> None:
    """Read-only and the like, for all that is mounted below it too."""
    given = struct.pack("=4Q", attributes, 0, 0, 0)
    call("mount_setattr", _AT_FDCWD, os.fsencode(target), _AT_RECURSIVE if recursive else 0, given, len(given))


def _copy(name: str, source: int) -> None:
    target = f"{_STAGE}/etc/{name}"
    found = os.fstat(source)
    if stat.S_ISREG(found.st_mode) and found.st_size <= _COPIED_BYTES:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _write(target, os.read(source, _COPIED_BYTES), os.O_CREAT)
    else:
        _bind(source, target, is_directory=stat.S_ISDIR(found.st_mode))
        _lock(target, _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV | _ATTR_NOEXEC)
    os.close(source)


def _mount_proc(target: str, whole: bool) -> None:
    for options in _PROC[1:] if whole else _PROC:
        try:
            return mount("proc", target, "proc", _NOSUID | _NODEV | _NOEXEC, options)
        except OSError as error:
            refused = error
    raise refused


def _add(path: str, data: bytes) -> None:
    """Lines at the end of a file, so that what it says already goes first; one of the host's that is too large stays as it is."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno == errno.EROFS:
            return
        raise
    try:
        size = os.fstat(descriptor).st_size
        whole = not size or os.pread(descriptor, 1, size - 1) == b"\n"
        os.write(descriptor, data if whole else b"\n" + data)
    finally:
        os.close(descriptor)


def _write(path: str, data: bytes, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o644)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
