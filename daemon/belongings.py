"""What a client has below the state directory, and where."""

import os
from collections.abc import Iterator
from pathlib import Path

from mai.sandbox.place import Place


def roots(place: Place, client: str) -> list[Path]:
    """Its directories and files, as far as they are there: homes, logs, files of deaths, sockets."""
    logs = [path for path in place.logs.glob(f"{client}.*") if path.name.startswith(f"{client}.")]
    deaths = (place.state / "deaths").glob(f"{client}.*")
    notices = place.notify.parent.glob(f"{client}.*")
    found = [
        place.state / "clients" / client,
        *sorted(logs),
        *sorted(deaths),
        *sorted(notices),
        place.sockets(client),
        place.spool(client),
    ]
    return [path for path in found if path.exists() or path.is_symlink()]


def files(path: Path) -> Iterator[Path]:
    """All below it that is no directory, links not followed; itself, if it is none."""
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    for directory, names, others in os.walk(path):
        yield from (Path(directory, name) for name in (*others, *names) if name in others or Path(directory, name).is_symlink())


def size_bytes(place: Place, client: str) -> int:
    """How much it takes on the disk's books: the lengths of its files."""
    found = 0
    for root in roots(place, client):
        for path in files(root):
            try:
                found += path.lstat().st_size
            except OSError:
                continue  # gone meanwhile
    return found


def with_data(place: Place) -> list[str]:
    """All clients that have a home here, whether they run or not."""
    return sorted(path.name for path in (place.state / "clients").glob("*") if path.is_dir())
