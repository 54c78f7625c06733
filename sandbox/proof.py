"""The proof that who comes to a door as our own user is no process of the company: it can read a file that none of those sees.

To the kernel a process without a user of its own is the user whom the daemon runs as, and that is an administrator. So this
user's word counts with the proof alone: a random text in RUN, which the walls show to nobody (Landlock hides it, too, where
a host gives no namespaces). Without any wall it proves nothing; `mai doctor` says what there is.
"""

import contextlib
import hashlib
import hmac
import os
from pathlib import Path
from typing import Final

from mai.sandbox import durable
from mai.sandbox.errors import UsageFault

NAME: Final = "proof"  # in RUN; and its digest, in the directory of a process that has a door
BYTES: Final = 32


def make(run: Path) -> None:
    """Lay it into the directory of the sockets; one that is there stays good. Raises OSError."""
    if not shown(run):
        durable.write(run / NAME, os.urandom(BYTES).hex().encode())


def shown(run: Path) -> str:
    """The proof, for who may read it; "" for all others."""
    with contextlib.suppress(OSError, UsageFault, UnicodeDecodeError):
        found = durable.read(run / NAME).decode()
        return found if len(found) == 2 * BYTES else ""
    return ""


def of_door(door: Path) -> str:
    """The same, for who stands before a door: each has a directory of its own in RUN."""
    return shown(door.parents[1])


def digest(given: str) -> str:
    """By which it is known again, in hexadecimal digits; "" for none."""
    return hashlib.sha256(given.encode()).hexdigest() if given else ""


class Proven:
    """What a door knows of it: whom it has to be asked of, and whether it is the right one."""

    def __init__(self, known: str) -> None:
        """`known`: its digest; with "" nobody of our own user is believed."""
        self._known = known

    @classmethod
    def at(cls, home: Path) -> "Proven":
        """As it was told to the process whose directory that is (`tell`)."""
        with contextlib.suppress(OSError, UsageFault, UnicodeDecodeError):
            return cls(durable.read(home / NAME).decode())
        return cls("")

    def holds(self, uid: int, given: object) -> bool:
        """May who comes as this user be taken for a person?"""
        if uid != os.geteuid():
            return True  # no process of ours has that user, or it is root, who may do everything anyway
        return isinstance(given, str) and bool(given) and hmac.compare_digest(digest(given), self._known)


def tell(home: Path, run: Path) -> None:
    """Tell the process of this directory by what it knows the proof. Raises OSError."""
    durable.write(home / NAME, digest(shown(run)).encode())
