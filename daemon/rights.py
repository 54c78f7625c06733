"""Who may do what at the doors: each verb with the least role that it needs, in one table for each door. Pure.

A verb that stands in neither table is nobody's but an administrator's; a test holds the tables against the verbs that
there are.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from mai.agents.doors import INCLUDED, ROLES, Grant, Role
from mai.daemon.readings import told

Concern = Literal["all", "process", "some"]
COMMAND: Final = "command"  # of a request to read
LONGEST: Final = 200  # characters of what a record says of a request
HINT: Final = "an administrator (root, or the daemon's own user) gives roles: [[doors]] in the organisation file"


class Need(NamedTuple):
    """What a verb needs.

    `concerns`: "process", that of its name, and so one client or the host; "some", the answer is cut to what the caller may
    see; "all", the whole company. At Mai's door everything concerns her client. `about`: the keys that say what it is about; at
    the watchdog's, whose journal outlives each client, names and nothing else.
    """

    role: Role
    concerns: Concern = "all"
    about: tuple[str, ...] = ()
    order: bool = True  # each use is on record by itself; else many uses are counted in one record
    own: bool = False  # what it makes is on record with who has asked, and no second record is made


ORDER: Final = Need("operator", "process", ("name", "then"))
AT_WATCHDOG: Final[Mapping[str, Need]] = {
    "status": Need("auditor", "some", order=False),
    "read": Need("auditor", "some", (COMMAND,)),
    "remedies": Need("auditor", "some", ("client",), order=False),
    **dict.fromkeys(("start", "stop", "restart", "reset", "pause", "resume", "drain"), ORDER),
    "archive": Need("administrator", about=("name",)),
    "reload": Need("administrator", about=("dry",)),
    "down": Need("administrator"),
    "clients": Need("auditor", order=False),
    "keys": Need("auditor", order=False),
    "rotate": Need("administrator", about=("name",)),
    **dict.fromkeys(("client_add", "client_remove", "client_erase", "client_export"), Need("administrator", about=("name",))),
    "person_erase": Need("administrator", about=("name",)),
    "wait_ready": Need("administrator", order=False),
    "follow": Need("administrator", about=("client",), order=False),
    "remedy": Need("administrator", about=("remedy", "target")),
    "announce": Need("administrator", about=("client",), order=False),
}
AT_MAI: Final[Mapping[str, Need]] = {
    "ask": Need("client", about=("request",), own=True),
    "history": Need("client", order=False),
    "deliver": Need("deliverer", about=("channel", "reference"), own=True),
    "thread": Need("client", order=False),
    "threads": Need("auditor", about=("thread",), order=False),
    "effects": Need("auditor", about=("key",), order=False),
    "escalations": Need("auditor", about=("id",), order=False),
    "answer": Need("operator", about=("id", "refused")),
    "resolve": Need("operator", about=("key", "happened", "note")),
    "approvals": Need("auditor", about=("id",), order=False),
    "approve": Need("operator", about=("id", "note")),
    "deny": Need("operator", about=("id", "reason")),
    "conflicts": Need("auditor", about=("case",), order=False),
    "rule_case": Need("operator", about=("case", "claim", "why")),
    "appeal_case": Need("operator", about=("case", "why")),
    "cancel": Need("operator", about=("request", "reason")),
    "release": Need("operator", about=("task", "how")),
    "shift": Need("operator", about=("name", "how", "until_ms", "why")),
}
OTHER: Final = Need("administrator")
OF_PROCESS: Final[Mapping[str, frozenset[str]]] = {  # what the company's own processes ask the watchdog
    "mai": frozenset({"follow", "remedy", "announce"}),  # of her own client
    "metrics": frozenset({"status"}),
}


class Rights(NamedTuple):
    """What somebody has been granted."""

    uid: int
    user: str  # its name, or "uid 1000"
    grants: tuple[Grant, ...]

    @property
    def who(self) -> str:
        """For sentences."""
        return self.user if self.user == f"uid {self.uid}" else f"{self.user} (uid {self.uid})"

    def has(self, role: Role, client: str = "") -> Role | Literal[""]:
        """The least of the granted roles that holds this one for a client, or for all of them; "" if none does."""
        fitting = {
            grant.role
            for grant in self.grants
            if role in INCLUDED[grant.role] and (not grant.clients or (client and client in grant.clients))
        }
        return next((one for one in ROLES if one in fitting), "")

    def clients(self, role: Role) -> frozenset[str] | None:
        """The clients for which this role is held; None: all."""
        fitting = [grant for grant in self.grants if role in INCLUDED[grant.role]]
        if any(not grant.clients for grant in fitting):
            return None
        return frozenset(client for grant in fitting for client in grant.clients)

    @property
    def everything(self) -> bool:
        """Is it an administrator?"""
        return bool(self.has("administrator"))


def administrator(uid: int, user: str) -> Rights:
    """All rights."""
    return Rights(uid, user, (Grant(role="administrator"),))


def role_for(rights: Rights, need: Need, client: str) -> Role | Literal[""]:
    """The role under which somebody may do this; "" if there is none. `client`: whom it concerns, "" for the host."""
    if need.concerns != "some" or rights.has(need.role):
        return rights.has(need.role, client)
    return next((role for one in rights.clients(need.role) or () if (role := rights.has(need.role, one))), "")


def client_of(process: str) -> str:
    """Whose process it is; "" for the host's."""
    owner, slash, _ = process.partition("/")
    return owner if slash else ""


def refusal_of(rights: Rights, verb: str, need: Need, client: str) -> str:
    """Why not, in a sentence."""
    of = f" for {client}" if client else "" if need.concerns == "some" else " for all clients"
    return f"{rights.who} may not {verb[:40]!r} here: that needs the role {need.role}{of if need.role != 'administrator' else ''}"


def about(need: Need, request: Mapping[str, Any]) -> str:
    """What a request is about, for the record."""
    words = [
        told(request[key]) if key == COMMAND else str(request[key]) for key in need.about if request.get(key) not in (None, "")
    ]
    return " ".join(words)[:LONGEST]
