"""A database that a department keeps in its files, copied as it is at one moment, by a child who is nobody but its owner.

SQLite makes two files beside a database that it reads. Made by root they are root's for a moment, and the department that opens
its database then may not: so who reads it as root is its owner before SQLite looks. A path may also lead elsewhere by the time it
is opened, for the department may put links there: so the child has no other directory than the database's (chroot(2)). And a
department may hold a lock for ever: so the child has an end.
"""

import os
import signal
from contextlib import closing
from pathlib import Path
from typing import Final

import pysqlite3 as sqlite3

from mai.daemon.backup import PAGES

SLOWEST_BYTES: Final = 5 << 20  # of a database, in a second
LEAST_S: Final = 30
FOREVER_S: Final = 1_000_000  # to wait for a lock: the alarm comes first
DONE, NONE = 0, 3  # how the child ends: copied; it is no database after all
LOCKED: Final = "its department did not let go of it"
FAILED: Final = "it cannot be copied"
OTHER: Final = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})  # what SQLite says of what is no database


def copied(name: str, above: int, file: int, target: Path) -> str | None:
    """Copy the database `name` of the directory `above`, open as `file`. None: it is none; else why it is left out, or "".

    Raises OSError of the copy.
    """
    owner = os.fstat(file)
    limit_s = LEAST_S + owner.st_size // SLOWEST_BYTES
    child = os.fork()
    if not child:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(limit_s)
            os._exit(_copy(name, above, owner, target))
        except BaseException:  # in a child of a fork nothing may go further up
            os._exit(NONE + 1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == DONE and _same(name, above, owner):
        with closing(sqlite3.connect(str(target), isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode=DELETE")  # one file that can be read from whatever it lies on
        target.chmod(0o600)
        return ""
    target.unlink(missing_ok=True)
    if code == NONE:
        return None
    return LOCKED if code == -signal.SIGALRM else FAILED


def _same(name: str, above: int, owner: os.stat_result) -> bool:
    """Does the name still mean the file that was opened?"""
    try:
        return os.path.samestat(os.stat(name, dir_fd=above, follow_symlinks=False), owner)
    except OSError:
        return False


def _copy(name: str, above: int, owner: os.stat_result, target: Path) -> int:
    """In the child: how it ends. Raises OSError, sqlite3.Error: without its log a database that is written is not whole."""
    with closing(sqlite3.connect(str(target), isolation_level=None)) as copy:
        # The copy is open before we are somebody else, and has no file beside it. What fails leaves no copy.
        copy.execute("PRAGMA journal_mode=OFF").fetchall()
        copy.execute("PRAGMA synchronous=OFF")
        copy.execute("SELECT 1 FROM sqlite_schema").fetchall()
        path = Path(_become(owner, above), name)
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=FOREVER_S)) as source:
            try:
                source.execute("SELECT 1 FROM sqlite_schema").fetchall()  # the errors of a backup have no code
            except sqlite3.Error as error:
                if error.sqlite_errorcode & 0xFF in OTHER:
                    return NONE
                raise
            source.backup(copy, pages=PAGES)
    return DONE


def _become(owner: os.stat_result, directory: int) -> str:
    """Be the owner, and see this directory alone; what it is called then. Who is not root stays himself. Raises OSError."""
    os.fchdir(directory)
    if os.geteuid():
        return os.getcwd()
    os.chroot(".")
    os.setgroups([])
    os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
    os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)
    return "/"
