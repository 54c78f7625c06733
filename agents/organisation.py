"""The organisation: who works here, in which department, in which rank, what each may do. Pure.

These Structs are what the organisation file (TOML) says; `check.py` reads the file and reports its faults,
`table.py` compiles who may hand a task to whom.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from mai.agents.approval_scope import Approvals
from mai.agents.board_scope import Rule
from mai.agents.budget_scope import DayLimits, RequestLimits
from mai.agents.channels import Channel, Voice
from mai.agents.clock import UTC, Offsets
from mai.agents.conflict_scope import Conflicts, Precedence
from mai.agents.doors import Grant, concerning
from mai.agents.escalation_scope import Escalations
from mai.agents.guard_scope import Guards
from mai.agents.leaves import Leaves, Shows
from mai.agents.memory_scope import Keeping, MemoryScope
from mai.agents.metering import Metrics
from mai.agents.models import Budget, Models, Routing
from mai.agents.objectives import Objectives, OwnObjectives
from mai.agents.parts import Access, Bytes, Count, Fields, Name, Part, Seconds, ToolName, Word
from mai.agents.policy_scope import Policy
from mai.agents.policy_scope import concerning as concerning_policies
from mai.agents.remedies import PREFIX, Operations
from mai.agents.retention_scope import OwnRetention, Retention
from mai.agents.shift_scope import Shift
from mai.agents.watching import OwnWatching, Watching

Rank = Literal["mai", "board", "coordinator", "specialist", "operator"]
RANKS: tuple[Rank, ...] = ("mai", "board", "coordinator", "specialist", "operator")
Effect = Literal["none", "idempotent", "queryable", "opaque"]
Kind = Literal["", "python", "model", "command"]
Service = Literal["models", "tools"]
SERVICES: tuple[Service, ...] = ("models", "tools")  # processes of a client that its agents ask through Mai
ENGINES = ("local-model", "embedder", "metrics")  # processes of the host, for all clients
RESERVED = ("mai", "client", "watchdog", "supervisor", *SERVICES, *ENGINES)  # no client or department is named so


class Limits(Part, frozen=True, kw_only=True):
    """Bounds of a client's work; each has a default that suits one host."""

    request_s: Seconds = 30.0  # a client's request, unless it names a deadline of its own
    task_s: Seconds = 30.0  # one agent's part in it
    hops: Count = 24  # how often one request may be handed on
    request: RequestLimits = RequestLimits()  # what one request may take
    queue: Count = 1000  # open tasks in a department, and open requests at Mai
    running: Count = 64  # handlers at work at once in a department
    message_bytes: Annotated[int, Meta(ge=1 << 14, le=1 << 26)] = 1 << 20  # one envelope
    request_bytes: Bytes = 64 << 10  # a client's text
    turn_s: Seconds = 2.0  # a worker's code between two of its steps
    heartbeat_s: Seconds = 5.0  # a process silent for longer is hung
    asks_per_s: Count = 1000  # what one process may want of others through its Mai in a second; five seconds' worth at once
    words_per_s: Count = 200  # what else it may say that carries no work: handshakes of a link, notices, what is malformed
    free_bytes: Annotated[int, Meta(ge=0, le=1 << 40)] = 64 << 20  # room on the disk below which nothing new is accepted; 0: none


class Server(Part, frozen=True, kw_only=True):
    """A server of tools that speaks MCP on its standard streams, started by its department."""

    name: Word
    command: tuple[str, ...]
    files: Access = ""


class Tool(Part, frozen=True, kw_only=True):
    """Something that an agent may call: a Python function, a command, or a tool of an MCP server."""

    name: ToolName
    handler: str = ""  # `file.py:function`
    command: tuple[str, ...] = ()  # its arguments come as JSON on standard input, its value goes to standard output
    files: Access = ""  # of a command: may it see the department's data, or change it?
    server: str = ""  # one of the department's servers
    tool: str = ""  # the server's name for it, by default the same
    input: Fields = field(default_factory=dict)  # what a command, or a function without annotations, takes
    hosts: tuple[str, ...] = ()  # a function that needs the network: "api.example.com", "api.example.com:8443"
    effect: Effect = "none"
    backup: str = ""  # a tool of the same effect that is called when this one fails; with an effect only if nothing has happened
    quality: str = ""  # what is given up when it stands in for another
    slow_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0  # a call that takes longer is slow; 0: four fifths of timeout_s
    undo: str = ""  # a tool of the same department that undoes what this one did
    asked_by: str | tuple[str, ...] = ""  # queryable: a function, a command or a server's tool that knows whether a key happened
    timeout_s: Seconds = 4.0  # a function without hosts runs in the department's own loop: below Limits.heartbeat_s
    about: str = ""

    @property
    def far(self) -> bool:
        """Is it used through Mai, by another process?"""
        return bool(self.hosts) or self.name.startswith(PREFIX)


class Agent(Part, frozen=True, kw_only=True):
    """One worker. Without `handler`, `command` and `model` it has the built-in behaviour of its rank."""

    name: Name
    rank: Rank
    charter: str = ""
    skills: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()  # of its department; kind model: also contracts to ask for, `remember`, `conclude`
    handler: str = ""  # kind python: `file.py:function`
    command: tuple[str, ...] = ()  # kind command: an executable and its arguments
    files: Access = ""  # kind command: may it see the department's data, or change it?
    model: str = ""  # kind model: the name of a model; by default the organisation's
    turns: Count = 8  # kind model: how often one task may ask the model
    tokens: Count = 50_000  # kind model: of one task, input and output together
    figures: Literal["any", "given"] = "any"  # kind model: may its answer hold numbers that it was not given?
    budget: Budget = Budget()  # of what it asks models
    memory: MemoryScope = MemoryScope()  # besides its own, beside what its department may
    kind: Kind = ""  # how it works; "" in the file: as `handler`, `command` or `model` say
    reports_to: str = ""  # the coordinator of a specialist or operator; by default the first one
    backups: tuple[str, ...] = ()  # agents of its department, who get its tasks when it fails, best first
    quality: str = ""  # what is given up when it stands in for another
    escalations: bool = False  # a board or coordinator with code of its own: does that decide on escalations, too?
    task_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0  # 0: the department's limit; with backups half of what is left
    slow_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0  # a task that takes longer is slow; 0: four fifths of its time

    def __post_init__(self) -> None:
        if not self.kind:
            kind: Kind = "python" if self.handler else "command" if self.command else "model" if self.model else ""
            msgspec.structs.force_setattr(self, "kind", kind)


class Contract(Part, frozen=True, kw_only=True):
    """What a department offers to others: a named request with a typed input and a typed reply, and who may ask."""

    name: Word
    about: str
    served_by: str
    may_ask: tuple[str, ...]  # departments, or "client"
    request: Fields = field(default_factory=dict)
    reply: Fields = field(default_factory=dict)
    subject: str = ""  # the field of the request that says of whom or what it is
    bound: tuple[str, ...] = ()  # of may_ask, who may ask only about a subject that they were given for the client's request
    phrases: tuple[str, ...] = ()  # how a client asks for it: "refund order {order}"
    backups: tuple[str, ...] = ()  # contracts with the same fields, "department.contract", who get its tasks when it fails
    quality: str = ""  # what is given up when it stands in for another
    slow_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0  # an answer that takes longer is slow; 0: two fifths of request_s


class Department(Part, frozen=True, kw_only=True):
    """A group of agents with one board: one process for each client."""

    name: Name
    charter: str
    agents: tuple[Agent, ...]
    contracts: tuple[Contract, ...] = ()
    tools: tuple[Tool, ...] = ()
    servers: tuple[Server, ...] = ()
    policies: tuple[Policy, ...] = ()  # of its agents; those of the organisation come first
    rules: tuple[Rule, ...] = ()  # by which its board, if that has no code, decides about calls that wait for it
    leaves: Leaves = Leaves()
    shows: Shows = "result"  # what others see of a finished task; who asked under a contract gets what that names
    budget: Budget = Budget()  # of what its agents ask models
    shifts: tuple[Shift, ...] = ()  # when its operators are on; nobody in a shift always is
    day: DayLimits = DayLimits()  # what it may take in a day
    memory: MemoryScope = MemoryScope()  # what all of its agents may
    objectives: OwnObjectives = OwnObjectives()
    watchdog: OwnWatching = OwnWatching()
    retention: OwnRetention = OwnRetention()
    precedence: tuple[Precedence, ...] = ()  # who wins where its own claims contradict each other, and what its board votes by
    after: tuple[str, ...] = ()  # departments that have to be ready before it is started
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
    guards: Guards = Guards()
    memory: Keeping = Keeping()
    models: Models = Models()
    routing: Routing = Routing()
    conflicts: Conflicts = Conflicts()
    objectives: Objectives = Objectives()
    escalation: Escalations = Escalations()
    watchdog: Watching = Watching()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()
    operations: Operations | None = None  # who heals; None: nobody
    policies: tuple[Policy, ...] = ()  # of all departments
    timezone: str = "UTC"  # of the times of day in policies, of the days and months of budgets
    offsets: Offsets = UTC  # the same as a table
    approvals: Approvals = Approvals()  # what waits for the board, or for persons
    doors: tuple[Grant, ...] = ()  # who may do what, beside root and the daemon's own user
    channels: tuple[Channel, ...] = ()  # on which people outside write
    voice: Voice = Voice()
    base: str = ""  # the directory that the handlers' paths are relative to
    digest: str = ""  # SHA-256 of the file's bytes, 16 hexadecimal digits

    def department(self, name: str) -> Department | None:
        """The department of that name."""
        return next((department for department in self.departments if department.name == name), None)

    def channel(self, name: str) -> Channel | None:
        """The channel of that name."""
        return next((channel for channel in self.channels if channel.name == name), None)

    def services(self) -> list[Service]:
        """The services that each client has a process for."""
        needs_network = any(tool.hosts for department in self.departments for tool in department.tools)
        return [*(["models"] if self.models.models else []), *(["tools"] if needs_network else [])]  # type: ignore[list-item]

    def processes(self) -> list[str]:
        """Names of the clients' processes in the order of their start: each Mai, then her services, then her departments."""
        names = ("mai", *self.services(), *(department.name for department in self.departments))
        return [f"{client}/{name}" for client in self.clients for name in names]

    def engines(self) -> list[str]:
        """Names of the host's own processes: those that hold a model's weights, and the one that offers figures."""
        local = any(provider.kind == "local" for provider in self.models.providers)
        wanted = {"local-model": local, "embedder": self.routing.embeddings, "metrics": self.metrics.listen}
        return [name for name in ENGINES if wanted[name]]


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
    doors = concerning(organisation.doors, client) if department == "mai" else ()
    channels = tuple(one for one in organisation.channels if department in ("mai", one.department))
    whole = msgspec.structs.replace(organisation, clients=(client,), doors=doors, channels=channels)
    if department == "mai":
        return Mandate(client=client, organisation=whole, department=department)
    if department in SERVICES:
        departments = tuple(_for_service(one) for one in organisation.departments)
        cut = msgspec.structs.replace(whole, departments=departments, memory=Keeping(), policies=(), conflicts=Conflicts())
    else:
        departments = tuple(
            one
            if one.name == department
            else Department(name=one.name, charter="", agents=(), contracts=asked, leaves=one.leaves, shows=one.shows)
            for one in organisation.departments
            if (asked := tuple(c for c in one.contracts if department in c.may_ask)) or one.name == department
        )
        models = msgspec.structs.replace(organisation.models, providers=())
        policies = concerning_policies(organisation.policies, department)
        own_part = msgspec.structs.replace(organisation.conflicts, precedence=())  # it names other departments
        cut = msgspec.structs.replace(whole, departments=departments, models=models, policies=policies, conflicts=own_part)
    return Mandate(client=client, organisation=cut, department=department)


def engine_settings(organisation: Organisation) -> dict[str, dict[str, str]]:
    """What the host's own processes are told."""
    file = next((provider.file for provider in organisation.models.providers if provider.kind == "local" and provider.file), "")
    told: dict[str, dict[str, str]] = {"local-model": {"file": file}, "embedder": {"embeddings": organisation.routing.embeddings}}
    told["metrics"] = {"listen": organisation.metrics.listen}
    return {engine: told[engine] for engine in organisation.engines()}


def _for_service(department: Department) -> Department:
    """What a service knows of a department: its agents' names, scopes and budgets, and the tools that need the network."""
    agents = tuple(
        Agent(name=a.name, rank=a.rank, tools=a.tools, model=a.model, kind=a.kind, budget=a.budget) for a in department.agents
    )
    tools = tuple(tool for tool in department.tools if tool.hosts)
    return Department(name=department.name, charter="", agents=agents, tools=tools, budget=department.budget, day=department.day)
