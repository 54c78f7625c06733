"""The way to the doors for other users: directories that let them pass and show them nothing.

With roles given to others, STATE, RUN and RUN/<client> are 0711: who knows the name of a socket reaches it, nobody lists
anything, and what else lies there is closed by its own mode. STATE is on the way because STATE/run may be a link to RUN.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from mai.sandbox.place import Place

PASS: Final = stat.S_IXGRP | stat.S_IXOTH
SEE: Final = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH


def lead(place: Place, clients: Iterable[str], others: bool) -> list[str]:
    """Open the way to the doors, or close it again; what could not be done, in sentences."""
    said = []
    try:
        if others:
            _close_what_lies_in(place.state)
        for directory in dict.fromkeys((place.state, place.run, *(place.sockets(client) for client in clients))):
            mode = stat.S_IMODE(directory.stat().st_mode)
            if others and mode & PASS != PASS:
                directory.chmod(mode | PASS)
            elif not others and mode == 0o700 | PASS:
                directory.chmod(0o700)
        if others:
            place.door.parent.chmod(0o700 | PASS)
    except OSError as error:
        said.append(f"the way to the doors cannot be {'opened' if others else 'closed'}: {error}")
    return [*said, *(closed(place) if others else ())]


def _close_what_lies_in(state: Path) -> None:
    """What a person has put there (credentials) was closed by the directory until now."""
    for entry in os.scandir(state):
        if entry.is_symlink():
            continue
        if (mode := stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)) & SEE:
            os.chmod(entry.path, mode & ~SEE)


def closed(place: Place) -> Iterator[str]:
    """The directories above that others cannot pass, in a sentence each."""
    above = [parent for directory in (place.state, place.run) for parent in directory.parents]
    for parent in dict.fromkeys(above):
        mode = parent.stat().st_mode
        if parent not in (place.state, place.run) and mode & PASS != PASS:
            yield f"other users do not reach the doors: {parent} is closed to them ({stat.S_IMODE(mode):04o})"
