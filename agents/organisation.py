"""The organisation: who works here, in which department, in which rank, what each may do. Pure.

These Structs are what the organisation file (TOML) says; `check.py` reads the file and reports its faults,
`table.py` compiles who may hand a task to whom.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Rank = Literal["mai", "board", "coordinator", "specialist", "operator"]
RANKS: tuple[Rank, ...] = ("mai", "board", "coordinator", "specialist", "operator")
Effect = Literal["none", "idempotent", "queryable", "opaque"]
Kind = Literal["", "python", "command"]

Name = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_-]*\Z", max_length=40)]  # of a client, a department, an agent
Word = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]*\Z", max_length=40)]  # of a contract, a tool, a field
Seconds = Annotated[float, Meta(ge=0.05, le=86_400)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=1 << 10, le=1 << 26)]

Fields = dict[str, object]  # name -> a type's name ("int", "list[str]", "date?"), a list of one table, or a table


class Part(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What all tables of the file share: an unknown key is a fault."""


class Limits(Part, frozen=True, kw_only=True):
    """Bounds of a client's work; each has a default that suits one host."""

    request_s: Seconds = 30.0  # a client's request, unless it names a deadline of its own
    task_s: Seconds = 30.0  # one agent's part in it
    hops: Count = 24  # how often one request may be handed on
    queue: Count = 1000  # open tasks in a department, and open requests at Mai
    running: Count = 64  # handlers at work at once in a department
    message_bytes: Annotated[int, Meta(ge=1 << 14, le=1 << 26)] = 1 << 20  # one envelope
    request_bytes: Bytes = 64 << 10  # a client's text
    turn_s: Seconds = 2.0  # a worker's code between two of its steps
    heartbeat_s: Seconds = 5.0  # a process silent for longer is hung


class Tool(Part, frozen=True, kw_only=True):
    """Something that an agent may call: a Python function of the user's, `file.py:function`."""

    name: Word
    handler: str
    effect: Effect = "none"
    timeout_s: Seconds = 4.0  # below Limits.heartbeat_s: a tool runs in the department's own loop
    about: str = ""


class Agent(Part, frozen=True, kw_only=True):
    """One worker. Without `handler` and `command` it has the built-in behaviour of its rank."""

    name: Name
    rank: Rank
    charter: str = ""
    skills: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    handler: str = ""  # kind python: `file.py:function`
    command: tuple[str, ...] = ()  # kind command: an executable and its arguments
    reports_to: str = ""  # the coordinator of a specialist or operator; by default the first one
    backups: tuple[str, ...] = ()
    task_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0  # 0: the department's limit

    @property
    def kind(self) -> Kind:
        """How it works: `python`, `command`, or "" for the behaviour of its rank."""
        return "python" if self.handler else "command" if self.command else ""


class Contract(Part, frozen=True, kw_only=True):
    """What a department offers to others: a named request with a typed input and a typed reply, and who may ask."""

    name: Word
    about: str
    served_by: str
    may_ask: tuple[str, ...]  # departments, or "client"
    request: Fields = {}
    reply: Fields = {}
    phrases: tuple[str, ...] = ()  # how a client asks for it: "refund order {order}"


class Department(Part, frozen=True, kw_only=True):
    """A group of agents with one board: one process for each client."""

    name: Name
    charter: str
    agents: tuple[Agent, ...]
    contracts: tuple[Contract, ...] = ()
    tools: tuple[Tool, ...] = ()
    prepare: str = ""  # `file.py:function`, called with the department's own directory before its first start

    def agent(self, name: str) -> Agent | None:
        """The agent of that name."""
        return next((agent for agent in self.agents if agent.name == name), None)

    def contract(self, name: str) -> Contract | None:
        """The contract of that name."""
        return next((contract for contract in self.contracts if contract.name == name), None)

    @property
    def board(self) -> Agent:
        """The one agent of rank board; `check` sees to it that there is one."""
        return next(agent for agent in self.agents if agent.rank == "board")


class Organisation(Part, frozen=True, kw_only=True):
    """One organisation file, complete: defaults filled in, built-in boards and coordinators added."""

    name: str
    clients: tuple[Name, ...]
    departments: tuple[Department, ...]
    charter: str = ""  # Mai's
    limits: Limits = Limits()
    base: str = ""  # the directory that the handlers' paths are relative to
    digest: str = ""  # SHA-256 of the file's bytes, 16 hexadecimal digits

    def department(self, name: str) -> Department | None:
        """The department of that name."""
        return next((department for department in self.departments if department.name == name), None)

    def processes(self) -> list[str]:
        """Names of the clients' processes in the order of their start: each Mai before its departments."""
        return [f"{client}/{name}" for client in self.clients for name in ("mai", *(d.name for d in self.departments))]


class Mandate(Part, frozen=True, kw_only=True):
    """What one process is told of the organisation: enough for its part, nothing of another client."""

    client: str
    organisation: Organisation  # for a department: itself whole, of the others only what it may ask for
    department: str  # "mai" for Mai


def is_name(text: str) -> bool:
    """Is this a Name?"""
    try:
        return bool(msgspec.convert(text, Name))
    except msgspec.ValidationError:
        return False


def mandate(organisation: Organisation, client: str, department: str) -> Mandate:
    """Cut out of the organisation what one process has to know."""
    if department == "mai":
        return Mandate(client=client, organisation=msgspec.structs.replace(organisation, clients=(client,)), department="mai")
    departments = tuple(
        one if one.name == department else Department(name=one.name, charter="", agents=(), contracts=asked)
        for one in organisation.departments
        if (asked := tuple(c for c in one.contracts if department in c.may_ask)) or one.name == department
    )
    cut = msgspec.structs.replace(organisation, clients=(client,), departments=departments)
    return Mandate(client=client, organisation=cut, department=department)
