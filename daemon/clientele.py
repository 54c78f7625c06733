"""Which clients there are: those that the organisation file names, and what was added and removed at run time. Pure.

The file is the user's and is never written. What was decided at run time stands beside it, in STATE/clients.json, and is laid
over the file whenever that is read: a client that was *added* is one more; one that was *removed* while the file names it
is left out, and that is said at each reload until the file agrees. An entry that the file has come to agree with
goes: from then on the file alone says it.
"""

from typing import Final, Literal

import msgspec

from mai.agents.organisation import RESERVED, Organisation, is_name
from mai.sandbox.errors import Refused, UsageFault

MOST: Final = 256  # clients on one host
Origin = Literal["file", "added"]


class Mark(msgspec.Struct, frozen=True):
    """Who decided it, and when."""

    by: str
    at_ms: int


class Clientele(msgspec.Struct, frozen=True):
    """What was decided at run time, by client."""

    added: dict[str, Mark] = {}
    removed: dict[str, Mark] = {}  # the file names them, and they do not run

    def over(self, named: tuple[str, ...]) -> tuple[str, ...]:
        """The clients that run, if the file names these."""
        return (*(name for name in named if name not in self.removed), *(name for name in self.added if name not in named))

    def settled(self, named: tuple[str, ...]) -> "Clientele":
        """Without what the file agrees with."""
        added = {name: mark for name, mark in self.added.items() if name not in named}
        return Clientele(added, {name: mark for name, mark in self.removed.items() if name in named})

    def with_client(self, name: str, mark: Mark) -> "Clientele":
        """The same, and this client runs."""
        removed = {one: was for one, was in self.removed.items() if one != name}
        return Clientele(self.added if name in self.removed else {**self.added, name: mark}, removed)

    def without(self, name: str, mark: Mark) -> "Clientele":
        """The same, and this client does not run."""
        if name in self.added:
            return Clientele({one: was for one, was in self.added.items() if one != name}, self.removed)
        return Clientele(self.added, {**self.removed, name: mark})

    def origin(self, name: str) -> Origin:
        """Where a client that runs stands."""
        return "added" if name in self.added else "file"

    def words(self) -> tuple[str, ...]:
        """What differs from the file, a line each."""
        added = (f"added at run time: {', '.join(self.added)}",) if self.added else ()
        return (*added, *self.remarks())

    def remarks(self) -> tuple[str, ...]:
        """Where the file and what runs differ, and what to do; a sentence each."""
        return tuple(
            f"the file names the client {name}, which {mark.by} has removed: take it out of the file, or: mai client add {name}"
            for name, mark in self.removed.items()
        )


def over(organisation: Organisation, clientele: Clientele) -> tuple[Organisation, Clientele]:
    """The organisation of a file with the clients that really run; and what of the run time's decisions still counts.

    Raises UsageFault if no client is left.
    """
    clients = clientele.over(organisation.clients)
    if not clients:
        raise UsageFault("all clients of the organisation file were removed", *clientele.remarks()[:1])
    return msgspec.structs.replace(organisation, clients=clients), clientele.settled(organisation.clients)


def addable(name: str, clients: tuple[str, ...]) -> None:
    """May a client of this name be added to these? Raises UsageFault, Refused."""
    if not is_name(name):
        hint = "small letters, digits, - and _, a letter first, at most 40: such as beta"
        raise UsageFault(f"{name!r:.60} is no name for a client", hint)
    if name in RESERVED:
        raise UsageFault(f"a client cannot be named {name}", f"{', '.join(RESERVED)} are taken")
    if name in clients:
        raise Refused(f"the client {name} is there already", "look at: mai client list")
    if len(clients) >= MOST:
        raise Refused(f"{len(clients)} clients run here, which is the limit", "let another host take the next ones")


def removable(name: str, clients: tuple[str, ...]) -> None:
    """May this one of these clients be removed? Raises UsageFault, Refused."""
    if name not in clients:
        raise UsageFault(f"there is no client {name!r:.60}", f"there are: {', '.join(clients[:12])}")
    if len(clients) == 1:
        raise Refused(f"{name} is the last client: there would be nothing left to do", "add another before, or end all: mai down")
