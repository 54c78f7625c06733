"""Who stands at the door of a Mai that sleeps: callers are let in, she is waked, and they are asked to ask again.

    Mai:door      hers, as ever; `door.sock` leads to her
    porter:door   `door.sock` leads to us. While she runs her own socket has a second name beside it: if she is not put to sleep
                  after all, that one goes back. Once she is up again she has bound her own over ours →
                  everybody who stands here is told `again`, and finds her under the same name

Each step replaces one name by another, so that who comes in between finds the one or the other, and nobody is refused. Nothing
that a caller says is read: what he may is for Mai to say, and for her to put on record.
"""

import contextlib
import os
import select
import socket
from pathlib import Path
from typing import Final

from mai.daemon.door import Doorkeeper, Reply
from mai.daemon.rights import Rights
from mai.daemon.roll import user_of
from mai.sandbox.peer import Peer
from mai.sandbox.place import Place, short

ASIDE: Final = "door.mai"  # the second name of a Mai's own socket
AGAIN: Final[Reply] = {"again": True}


class Porter:
    """At the doors of the clients that sleep, or are about to. `fileno()` is readable when somebody comes."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._watch = select.epoll()
        self._doors: dict[str, Doorkeeper] = {}  # by client

    def fileno(self) -> int:
        """To poll for reading."""
        return self._watch.fileno()

    @property
    def clients(self) -> list[str]:
        """At whose doors we stand."""
        return list(self._doors)

    def take(self, client: str) -> bool:
        """Stand at this door from now on; False if that cannot be now."""
        try:
            self._take(client, self._path(client))
        except OSError:
            return False
        return True

    def _take(self, client: str, path: Path) -> None:
        before = path.stat() if path.exists() else None
        if before:
            self._aside(client).unlink(missing_ok=True)
            os.link(path, self._aside(client))
        door = self._doors[client] = Doorkeeper(path, _anybody)
        if before:  # whoever could reach her can reach us
            path.chmod(before.st_mode & 0o777)
            if os.geteuid() == 0:
                os.chown(path, before.st_uid, before.st_gid)
        self._watch.register(door, select.EPOLLIN)

    def turn(self) -> list[str]:
        """Clients at whose doors somebody stands."""
        for door in self._doors.values():
            door.turn()
        return [client for client, door in self._doors.items() if door.count]

    def give_back(self, client: str) -> None:
        """She is the one from whom we took it, and goes on."""
        with contextlib.suppress(OSError):
            self._aside(client).rename(self._path(client))
        self.leave(client, AGAIN)

    def leave(self, client: str, reply: Reply = AGAIN) -> None:
        """Somebody else stands there now, or nobody will."""
        if door := self._doors.pop(client, None):
            self._watch.unregister(door)
            door.dismiss(reply)
            door.close()
        self._aside(client).unlink(missing_ok=True)

    def mend(self, client: str) -> None:
        """A watchdog before us may have stood there when it died: if her own socket is the one that is heard, it goes back."""
        aside, path = self._aside(client), self._path(client)
        if aside.exists() and listens(aside) and not listens(path):
            aside.rename(path)
        aside.unlink(missing_ok=True)

    def _path(self, client: str) -> Path:
        return self._place.sockets(client) / "door.sock"

    def _aside(self, client: str) -> Path:
        return self._place.sockets(client) / ASIDE


def _anybody(peer: Peer) -> Rights:
    return Rights(peer.uid, user_of(peer.uid), ())


def listens(path: Path) -> bool:
    """Does somebody listen there?"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
        try:
            connection.connect(short(path))
        except BlockingIOError:
            return True  # so many wait that there is no room
        except OSError:
            return False
    return True
