"""Small private files that are replaced whole: a reader sees the old one or the new one, also after a power cut."""

import contextlib
import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from mai.sandbox.errors import UsageFault
from mai.sandbox.points import reach

GONE: Final = ".gone"  # how ends the name of a file that is being destroyed
MOST: Final = 64 << 20  # bytes of a file that is read, if nothing else is said
LONGEST: Final = 255 - len(GONE)  # bytes of a name before that


def read(path: Path, most: int = MOST) -> bytes:
    """A file as it is, never what somebody has put there in its stead to make us wait, look elsewhere, or fill our memory.

    Raises OSError, UsageFault.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UsageFault(f"{path} is no file", "remove it, a new one is made at the next start")
        if len(data := file.read(most + 1)) > most:
            raise UsageFault(f"{path} has more than {most} bytes", "remove it, a new one is made at the next start")
        return data


def write(path: Path, data: bytes) -> None:
    """Replace a file, readable by its owner alone. Raises OSError; then the old one is there.

    It belongs to whom the old one belonged to, or its directory, where we may say so.
    """
    try:
        if read(path) == data:
            return
    except (OSError, UsageFault):
        pass  # there is none, or none that can be read
    part = _part(path)
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if os.geteuid() == 0:
            before = os.stat(path if path.exists() else path.parent, follow_symlinks=False)
            os.fchown(descriptor, before.st_uid, before.st_gid)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync(path.parent)


def rewrite(path: Path, data: bytes) -> None:
    """As `write`, and the bytes of the old one are overwritten once it has lost its name. Raises OSError."""
    gone = _cleared(path)
    try:
        before: bytes | None = read(path)
    except (OSError, UsageFault):
        before = None
    if before is not None and before != data:
        os.link(path, gone, follow_symlinks=False)
    write(path, data)
    _overwrite(gone)


def destroy(path: Path) -> None:
    """Overwrite a file with zeros where nobody else has a name of it, and unlink it. Raises OSError.

    It loses its name first, so that nobody ever finds zeros under it; what a death has left of it goes, too.
    """
    gone = _cleared(path)
    if gone != path:
        with contextlib.suppress(FileNotFoundError):
            os.replace(path, gone)
            sync(path.parent)
            _overwrite(gone)


def _cleared(path: Path) -> Path:
    """Where a file lies while it is destroyed; what a death has left there, or half written, is overwritten."""
    name = os.fsencode(path.name)
    gone = path if name.endswith(GONE.encode()) else path.with_name(os.fsdecode(name[:LONGEST]) + GONE)
    _overwrite(gone)
    if len(name) <= LONGEST:
        _overwrite(_part(path))
    return gone


def _part(path: Path) -> Path:
    """Where the next one is written."""
    return path.with_name(f"{path.name}.part")


def _overwrite(path: Path) -> None:
    """Zeros, then no name; what is no file (somebody may have put it there) only loses its name."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            path.unlink()
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        about = os.fstat(descriptor)
        if about.st_nlink == 1:
            for at in range(0, about.st_size, 1 << 20):
                os.pwrite(descriptor, bytes(min(1 << 20, about.st_size - at)), at)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    reach("erase.overwritten")
    path.unlink()
    sync(path.parent)


def sha256(path: Path) -> str:
    """Of a whole file, in hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a directory. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
