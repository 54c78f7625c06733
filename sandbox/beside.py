"""The two files that SQLite has beside a ledger, its log and the log's index: the ledger's owner's from the first moment on.

Who reads a ledger that nobody has open makes them. SQLite makes root's as root's, and gives them to the ledger's owner a
moment later (os_unix.c, robustFchown). A process with a user of its own that starts in this moment may not open its own
ledger, and ends for good: "unable to open database file". So where we read as root we lay them there before SQLite looks.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

FORMATS: Final = (18, b"\x02\x02")  # where a database says that it has a log, sqlite.org/fileformat2.html
ENDINGS: Final = ("-wal", "-shm")


def lay(ledger: Path) -> None:
    """Before it is read: what is missing, if we are root and it is another user's. Never raises; SQLite says what is wrong."""
    if os.geteuid():
        return
    with contextlib.suppress(OSError):
        owner = ledger.lstat()
        missing = [ending for ending in ENDINGS if not os.path.lexists(f"{ledger}{ending}")]
        if owner.st_uid and missing and _logged(ledger):
            for ending in missing:
                _give(ledger.parent, f"{ledger.name}{ending}", owner)


def _logged(ledger: Path) -> bool:
    """Has it a log? Raises OSError. Not asked of one that we have open: to close it again would end SQLite's own locks."""
    descriptor = os.open(ledger, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, len(FORMATS[1]), FORMATS[0]) == FORMATS[1]
    finally:
        os.close(descriptor)


def _give(parent: Path, name: str, owner: os.stat_result) -> None:
    """An empty file that has its owner before it has its name (open(2), O_TMPFILE). Raises OSError, also if there is one now."""
    directory = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        made = os.open(parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(made, owner.st_mode & 0o777)
            os.fchown(made, owner.st_uid, owner.st_gid)
            os.link(f"/proc/self/fd/{made}", name, dst_dir_fd=directory, follow_symlinks=True)
        finally:
            os.close(made)
    finally:
        os.close(directory)
