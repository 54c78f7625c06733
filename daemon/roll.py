"""The roll at a door: the grants of the organisation, with users and groups as this host knows them.

Names are looked up again after a while, so that who comes to the host or leaves it is known without a restart. Only who is
neither root nor the daemon's own user is looked up at all: a directory service that hangs must not keep those out.
"""

import functools
import grp
import os
import pwd
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from mai.agents.doors import Grant
from mai.agents.faults import Fault
from mai.agents.lines import KeyPath, line_map, line_of
from mai.daemon.rights import Rights, administrator
from mai.sandbox.peer import Peer

NOBODY: Final = 65_534  # who has no number in our namespace, user_namespaces(7)
AGAIN_S: Final = 10.0  # a name's number, and a number's name, is believed for so long
MOST: Final = 1000  # names that are remembered


_names: dict[int, tuple[float, str]] = {}  # by uid: until when it is believed, and the name


def user_of(uid: int) -> str:
    """The name of a user, as far as this host knows it."""
    until_s, name = _names.get(uid, (0.0, ""))
    if (now_s := time.monotonic()) >= until_s:
        if len(_names) >= MOST:
            _names.clear()
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = f"uid {uid}"
        _names[uid] = (now_s + AGAIN_S, name)
    return name


def ours(peer: Peer) -> Rights | None:
    """Root and our own user, and nobody else."""
    if peer.uid in (0, os.getuid(), os.geteuid()):
        return administrator(peer.uid, user_of(peer.uid))
    return administrator(0, "root") if peer.uid == NOBODY and alone() else None


@functools.cache
def alone() -> bool:
    """Are we in a user namespace that shows no user but our own? Then nobody has been given a role (walled.py), so the socket is
    closed to all but root and our own user: who comes from outside, and has no number in here, is root.
    """
    with open("/proc/self/uid_map") as file:
        return [line.split()[2] for line in file] == ["1"]


class Roll:
    """Says what somebody has been granted."""

    def __init__(self, grants: tuple[Grant, ...]) -> None:
        self.grants = grants
        self._known: dict[tuple[str, str], tuple[float, int | None]] = {}  # kind and name -> until when it is believed, number

    def take_up(self, grants: tuple[Grant, ...]) -> None:
        """Other grants from now on; who is connected already has what he had."""
        self.grants = grants

    def rights(self, peer: Peer) -> Rights | None:
        """What this peer may; None: nothing."""
        if found := ours(peer):
            return found
        held = tuple(grant for grant in self.grants if self._fits(grant, peer))
        return Rights(peer.uid, user_of(peer.uid), held) if held else None

    def _fits(self, grant: Grant, peer: Peer) -> bool:
        return self.named(grant.users, grant.groups, peer)

    def named(self, users: Iterable[str], groups: Iterable[str], peer: Peer) -> bool:
        """Is this peer one of these users, or in one of these groups?"""
        if any(self._number("user", name) == peer.uid for name in users):
            return True
        return any(self._number("group", name) in peer.groups for name in groups)

    def _number(self, kind: str, name: str) -> int | None:
        until_s, number = self._known.get((kind, name), (0.0, None))
        if (now_s := time.monotonic()) >= until_s:
            number = NUMBERS[kind](name)
            self._known[kind, name] = (now_s + AGAIN_S, number)
        return number


def uid_of(name: str) -> int | None:
    """The number of a user; None if this host has none of that name."""
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def gid_of(name: str) -> int | None:
    """The number of a group; None if this host has none of that name."""
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


LATER: Final = "the role holds once there is one of that name: mai client add"
NUMBERS: Final[dict[str, Callable[[str], int | None]]] = {"user": uid_of, "group": gid_of}


def warnings(file: Path, grants: tuple[Grant, ...], clients: Iterable[str]) -> list[Fault]:
    """Users and groups that this host does not know, clients that the (checked) file does not name, with their lines."""
    lines = line_map(file.read_text("utf-8-sig").replace("\r\n", "\n")) if grants else {}
    return [
        *(
            Fault(str(file), line_of(lines, where), f"this host has no {kind} {name}", "nobody gets a role by that name here")
            for where, kind, name in _strangers(grants)
        ),
        *(
            Fault(str(file), line_of(lines, ("doors", index, "clients", at)), f"{name!r} is no client of this file", LATER)
            for index, grant in enumerate(grants)
            for at, name in enumerate(grant.clients)
            if name not in set(clients)
        ),
    ]


def _strangers(grants: Iterable[Grant]) -> Iterator[tuple[KeyPath, str, str]]:
    for index, grant in enumerate(grants):
        for kind, names in (("user", grant.users), ("group", grant.groups)):
            for at, name in enumerate(names):
                if NUMBERS[kind](name) is None:
                    yield ("doors", index, f"{kind}s", at), kind, name
