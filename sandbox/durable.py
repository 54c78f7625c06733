"""Small private files that are replaced whole: a reader sees the old one or the new one, also after a power cut."""

import hashlib
import os
import stat
from pathlib import Path

from mai.sandbox.errors import UsageFault


def read(path: Path) -> bytes:
    """A file as it is, never what somebody has put there in its stead to make us wait or look elsewhere.

    Raises OSError, UsageFault.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UsageFault(f"{path} is no file", "remove it, a new one is made at the next start")
        return file.read()


def write(path: Path, data: bytes) -> None:
    """Replace a file, readable by its owner alone. Raises OSError; then the old one is there.

    It belongs to whom the old one belonged to, or its directory, where we may say so.
    """
    try:
        if read(path) == data:
            return
    except (OSError, UsageFault):
        pass  # there is none, or none that can be read
    part = path.with_name(path.name + ".part")
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


def destroy(path: Path) -> None:
    """Overwrite a file with zeros where nobody else has a name of it, and unlink it. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
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
