"""What must hold of `[[doors]]`: a role is given to somebody. Its clients may come later (`mai client add`)."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from mai.agents.faults import shown
from mai.agents.lines import KeyPath

if TYPE_CHECKING:
    from mai.agents.rules import Scene

LISTS: Final = ("users", "groups")
# useradd(8) wants less; what comes from a directory service may have a domain, blanks and capitals.
NAMED: Final = re.compile(r"[^\s:,/\x00-\x1f\x7f][^:,/\x00-\x1f\x7f]{0,255}")


def doors_let_somebody_in(scene: "Scene") -> Iterator[tuple[KeyPath, str, str]]:
    """Each grant names users or groups; a client's has clients, an administrator's has none."""
    for index, grant in enumerate(scene.organisation.doors):
        where: KeyPath = ("doors", index)
        if not scene.findings.sound(where):
            continue
        if not grant.users and not grant.groups and scene.findings.sound(where, *LISTS):
            yield where, f"door {index} gives the role {grant.role} to nobody", 'expected users = ["alice"] or groups = ["ops"]'
        for key in LISTS:
            for at, name in enumerate(getattr(grant, key)):
                if not NAMED.fullmatch(name):
                    yield (*where, key, at), f"{shown(name)} is no name of a {key[:-1]}", "a name of this host, or a number"
        if not scene.findings.sound(where, "role", "clients"):
            continue
        if grant.role == "client" and not grant.clients:
            yield where, "the role client is given for no client", 'say whose: clients = ["acme"]'
        if grant.role == "administrator" and grant.clients:
            yield (*where, "clients"), "an administrator is one of the whole", 'leave clients away, or say role = "operator"'
