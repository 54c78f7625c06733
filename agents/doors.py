"""Roles, and who has them: the table `doors` of an organisation file. Pure.

A role is given to users and groups of the host, by name or by number. Root and the daemon's own user are administrators;
nobody else has anything by default. What each role may do stands in daemon/rights.py.
"""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from mai.agents.parts import Name, Part

Role = Literal["deliverer", "client", "auditor", "operator", "administrator"]
ROLES: Final[tuple[Role, ...]] = ("deliverer", "client", "auditor", "operator", "administrator")  # the least first
INCLUDED: Final[dict[Role, frozenset[Role]]] = {  # role -> the roles that it holds
    "deliverer": frozenset({"deliverer"}),  # brings what others have written, on a channel
    "client": frozenset({"client"}),  # talks to a client's Mai, in the client's name
    "auditor": frozenset({"auditor"}),  # reads, and changes nothing
    "operator": frozenset({"operator", "auditor"}),  # does not speak in a client's name
    "administrator": frozenset(ROLES),
}


class Grant(Part, frozen=True, kw_only=True):
    """A role for some users and groups, with all clients or with those named."""

    role: Role
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    clients: tuple[Name, ...] = ()  # none named: all


def concerning(grants: Iterable[Grant], client: str) -> tuple[Grant, ...]:
    """The grants that hold for one client, as if there was no other."""
    found = (grant for grant in grants if not grant.clients or client in grant.clients)
    return tuple(msgspec.structs.replace(grant, clients=(client,) if grant.clients else ()) for grant in found)
