"""Small private files that are replaced whole: a reader sees the old one or the new one, also after a power cut."""

import os
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Replace a file, readable by its owner alone. Raises OSError; then the old one is there."""
    if path.exists() and path.read_bytes() == data:
        return
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync(path.parent)


def sync(directory: Path) -> None:
    """Wait until the disk has the names in a directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
