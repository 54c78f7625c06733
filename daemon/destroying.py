"""What a client has on the disk is measured, and then destroyed: in small steps, so that whoever takes them can do other things.

A file is overwritten once with zeros, where it has data, synced, and unlinked. On a disk that writes elsewhere than where it
was told to (SSDs, copy-on-write and journaling file systems, snapshots) the old blocks may live on: the certificate says so.
A file with another name elsewhere is only unlinked, for to overwrite it would destroy what is not the client's. Links are
never followed. Each step can be done again after a death.
"""

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Literal

import msgspec
import pysqlite3 as sqlite3

from mai.agents.organisation import is_name
from mai.daemon.belongings import files, roots
from mai.sandbox.durable import sync
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import connect
from mai.sandbox.place import Place

CHUNK_BYTES: Final = 1 << 20
SYNC_BYTES: Final = 8 << 20  # written, before the disk has to have it: bounds how long one step takes
OURS: Final = re.compile(  # names that we give; all others are the client's, and may say something
    r"ledger\.(db(-wal|-shm|-journal)?|made|[0-9.-]+\.segment(\.part)?)|lock|mandate|key(\.next)?|keys|mai\.key|seal|settings|prepared|running|traceback|withheld"
    r"|[a-z0-9_-]+\.sock|\d+-\d+\.json|[a-z][a-z0-9_.-]*\.log(\.\d+)?"
)
How = Literal["overwritten", "unlinked"]


class Destroyed(msgspec.Struct, forbid_unknown_fields=True):
    """A file as it was. Of names that the client gave there is only the digest."""

    path: str
    bytes: int
    sha256: str  # of what it held; "" for links, sockets and the like
    how: How


class Ended(msgspec.Struct, forbid_unknown_fields=True):
    """A journal that is no more: number and digest of its last record."""

    process: str
    seq: int
    head: str  # "" if it could not be read; the file's own digest stands with the files


def heads(place: Place, client: str) -> list[Ended]:
    """Where each journal of the client ends."""
    found = []
    for process in place.processes():
        if process.partition("/")[0] == client:
            seq, head = 0, ""
            with contextlib.suppress(LedgerFault, sqlite3.Error), closing(connect(place.ledger(process), write=False)) as db:
                row = db.execute("SELECT seq, digest FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
                seq, head = (row[0], row[1].hex()) if row else (0, "")
            found.append(Ended(process, seq, head))
    return found


def measure(place: Place, client: str, into: dict[str, Destroyed]) -> Iterator[int]:
    """Enter each file; yields the bytes that each step has read. Raises OSError."""
    for root in roots(place, client):
        _open_up(root)
        for path in files(root):
            name = told(place, path)
            into[name] = yield from _measured(path, name)


def _measured(path: Path, name: str) -> Generator[int, None, Destroyed]:
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode):
        return Destroyed(name, 0, "", "unlinked")
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while data := os.read(descriptor, CHUNK_BYTES):
            digest.update(data)
            yield len(data)
    finally:
        os.close(descriptor)
    return Destroyed(name, about.st_size, digest.hexdigest(), "overwritten" if about.st_nlink == 1 else "unlinked")


def destroy(place: Place, client: str, known: dict[str, Destroyed]) -> Generator[int, None, None]:
    """Destroy what is there; yields the bytes that each step has written. Raises OSError."""
    for root in roots(place, client):
        _open_up(root)
        for path in list(files(root)):
            name = told(place, path)
            about = path.lstat()
            if stat.S_ISREG(about.st_mode) and about.st_nlink == 1:
                try:
                    yield from _overwritten(path)
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    if name in known:
                        known[name].how = "unlinked"  # the disk keeps each version, and has no room for one more
            path.unlink()
            yield 0
        for directory, names, _ in os.walk(root, topdown=False) if root.is_dir() and not root.is_symlink() else ():
            for one in names:
                Path(directory, one).rmdir()
            sync(Path(directory))
        if root.is_dir() and not root.is_symlink():
            root.rmdir()
        sync(root.parent)


def _overwritten(path: Path) -> Iterator[int]:
    """Zeros over all data of a file, and the disk has them."""
    path.chmod(0o600)
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        owed = 0
        for begin, end in _extents(descriptor):
            for at in range(begin, end, CHUNK_BYTES):
                written = os.pwrite(descriptor, bytes(min(CHUNK_BYTES, end - at)), at)
                owed += written
                if owed >= SYNC_BYTES:
                    os.fdatasync(descriptor)
                    owed = 0
                yield written
        os.fsync(descriptor)
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Where a file has data: what was never written takes no room, and would if it were overwritten."""
    at, size = 0, os.fstat(descriptor).st_size
    while at < size:
        try:
            begin = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to its end
                return
            raise
        at = os.lseek(descriptor, begin, os.SEEK_HOLE)
        yield begin, at


def _open_up(root: Path) -> None:
    """Rights that the client took away from itself do not keep its directories from being read."""
    if root.is_dir() and not root.is_symlink():
        root.chmod(0o700)
        for directory, names, _ in os.walk(root):
            for name in names:
                if not Path(directory, name).is_symlink():
                    Path(directory, name).chmod(0o700)


def told(place: Place, path: Path) -> str:
    """How a file is called in the certificate: by names that we gave, and of all others by the digest."""
    beyond = path.is_relative_to(place.run)
    parts = ("run", *path.relative_to(place.run).parts) if beyond else path.relative_to(place.state).parts
    known, rest = (parts[:2], parts[2:]) if parts[0] in ("clients", "deaths", "run") else (parts[:1], parts[1:])
    if len(rest) <= 2 and OURS.fullmatch(rest[-1]) and all(map(is_name, rest[:-1])):
        return "/".join(parts)
    shown = rest[:1] if len(rest) > 1 and is_name(rest[0]) else ()
    digest = hashlib.sha256(os.fsencode("/".join(rest))).hexdigest()
    return "/".join((*known, *shown, f"sha256:{digest}"))
