"""What must hold between the parts of an organisation: each rule is a function that yields what breaks it.

The parts come from decode.py, which has put something harmless in the place of what is faulty by itself; a rule leaves
such keys out, so that one mistake is one fault. A rule yields (path of the key, sentence, hint).

That each agent can be reached needs no rule of its own: a board is added where there is none, a coordinator as well, and
a worker whose coordinator exists is reached through it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from mai.agents import zones
from mai.agents.approval_rules import approvals_can_be_announced
from mai.agents.backup_rules import agent_is_backed_up, contract_is_backed_up
from mai.agents.board_rules import board_decides_by_rule
from mai.agents.channel_rules import channels_lead_somewhere
from mai.agents.conflict_rules import department_has_its_precedence, precedence_is_known
from mai.agents.door_rules import doors_let_somebody_in
from mai.agents.escalation_rules import escalations_can_be_answered
from mai.agents.faults import Findings, nearest, shown
from mai.agents.fields import flaws
from mai.agents.healing import MEDIC, REMEDIES
from mai.agents.leaving_rules import contract_may_leave, contract_names_its_subject, patterns_mean_something
from mai.agents.lines import KeyPath
from mai.agents.memory_rules import agent_has_its_memory, department_has_its_memory
from mai.agents.model_rules import agent_has_its_model, models_can_be_asked
from mai.agents.objective_rules import objectives_agree
from mai.agents.operations_rules import heals, operations_can_heal, remedies_are_built_in
from mai.agents.organisation import RESERVED, Agent, Contract, Department, Organisation, Rank, Tool, is_name
from mai.agents.parts import Part
from mai.agents.phrases import BadPhrase, Phrase
from mai.agents.policy_rules import policies_can_decide
from mai.agents.retention_rules import department_is_kept, journals_are_kept
from mai.agents.shift_rules import shifts_can_be_held
from mai.agents.sources import AGENT, PREPARE, Sources
from mai.agents.table import Table
from mai.agents.tool_rules import OF_TOOL, servers_can_be_started
from mai.agents.watching_rules import departments_have_an_order, figures_stay_on_the_host
from mai.sandbox.errors import UsageFault

BUILT_IN: Final[tuple[Rank, ...]] = ("board", "coordinator")  # added where there is none, under the rank's name
WORKERS: Final[tuple[Rank, ...]] = ("specialist", "operator")
Broken = Iterator[tuple[KeyPath, str, str]]
P = TypeVar("P", bound=Part)


class Scene:
    """What a rule may look at."""

    def __init__(self, organisation: Organisation, findings: Findings, sources: Sources) -> None:
        self.organisation, self.findings, self.sources = organisation, findings, sources
        self.departments = {department.name: department for department in organisation.departments}
        self.heartbeat_s = organisation.limits.heartbeat_s
        self.decoded = findings.known()  # faulty already, without any rule
        self.phrases: dict[tuple[str, ...], str] = {}  # the words of each, and the contract that it belongs to


def apply(scene: Scene) -> None:
    """Hold every rule against every part, and note what breaks it."""
    for rule in OF_ORGANISATION:
        _note(scene, rule(scene))
    for department in scene.organisation.departments:
        where: KeyPath = ("departments", department.name)
        if not scene.findings.sound(where):
            continue
        for of_department in OF_DEPARTMENT:
            _note(scene, of_department(scene, department, where))
        for agent, at in _sound(scene, department.agents, (*where, "agents")):
            for of_agent in OF_AGENT:
                _note(scene, of_agent(scene, department, agent, at))
        for tool, at in _sound(scene, department.tools, (*where, "tools")):
            for of_tool in OF_TOOL:
                _note(scene, of_tool(scene, department, tool, at))
        for contract, at in _sound(scene, department.contracts, (*where, "contracts")):
            for of_contract in OF_CONTRACT:
                _note(scene, of_contract(scene, department, contract, at))
    _note(scene, policies_can_decide(scene))  # where it is known what there is
    for department in scene.organisation.departments:
        if scene.findings.sound(where := ("departments", department.name)):
            _note(scene, board_decides_by_rule(scene, department, where))


def _note(scene: Scene, broken: Broken) -> None:
    for where, sentence, hint in broken:
        if where not in scene.decoded:
            scene.findings.add(where, sentence, hint)


def _sound(scene: Scene, parts: Sequence[P], where: KeyPath) -> Iterator[tuple[P, KeyPath]]:
    """The parts that are tables, with their paths."""
    return ((part, (*where, index)) for index, part in enumerate(parts) if scene.findings.sound((*where, index)))


def _label(kind: str, part: Agent | Tool | Contract, department: Department) -> str:
    return f"the {kind} {part.name} of {department.name}"


# -- the organisation
def clients_are_named(scene: Scene) -> Broken:
    """There is a client, and each has a name of its own that is not taken by a process of ours."""
    where: KeyPath = ("organisation", "clients")
    clients = scene.organisation.clients
    if not clients and scene.findings.sound(where):
        yield where, "the organisation has no clients", 'expected at least one, such as clients = ["acme"]'
    for index, client in enumerate(clients):
        if client in clients[:index]:
            yield (*where, index), f"the client {client} is named twice", "each client once"
        elif client in RESERVED:
            yield (*where, index), f"a client cannot be named {client}", f"{', '.join(RESERVED)} are taken"


def departments_are_named(scene: Scene) -> Broken:
    """There is a department, and each has a name that a directory and a socket can have."""
    if not scene.departments and scene.findings.sound(("departments",)):
        yield ("departments",), "the organisation has no departments", "expected at least one [departments.NAME]"
    for name in scene.departments:
        if not is_name(name):
            hint = "expected a name of small letters, digits, _ and - that begins with a letter"
            yield ("departments", name), f"{shown(name)} is no name of a department", hint
        elif name in RESERVED:
            yield ("departments", name), f"a department cannot be named {name}", f"{', '.join(RESERVED)} are taken"


def limits_agree(scene: Scene) -> Broken:
    """A client's text fits into a message, and a worker's turn into the time between two heartbeats."""
    limits = scene.organisation.limits
    if limits.request_bytes * 2 > limits.message_bytes:
        hint = "a request travels in a message: request_bytes may be half of message_bytes"
        yield ("limits", "request_bytes"), f"request_bytes is {limits.request_bytes}, message_bytes {limits.message_bytes}", hint
    if limits.turn_s >= limits.heartbeat_s:
        hint = "a process that sends no heartbeat for heartbeat_s is killed: turn_s has to be less"
        yield ("limits", "turn_s"), f"turn_s is {limits.turn_s:g}, heartbeat_s {limits.heartbeat_s:g}", hint


def zone_is_known(scene: Scene) -> Broken:
    """The host knows the time zone of the organisation."""
    try:
        zones.offsets(scene.organisation.timezone)
    except UsageFault as fault:
        yield ("organisation", "timezone"), fault.sentence, fault.hint


# -- a department
def names_are_distinct(scene: Scene, department: Department, where: KeyPath) -> Broken:
    """No two agents, tools or contracts of a department share a name; no agent is taken for Mai or the client."""
    kinds: tuple[tuple[str, Sequence[Agent | Tool | Contract]], ...] = (
        ("agent", department.agents), ("tool", department.tools), ("contract", department.contracts)
    )  # fmt: skip
    for kind, parts in kinds:
        seen: set[str] = set()
        for part, at in _sound(scene, parts, (*where, f"{kind}s")):
            if part.name in seen:
                yield (*at, "name"), f"{department.name} has two {kind}s named {part.name}", "give one of them another name"
            elif kind == "agent" and part.name in RESERVED:
                yield (*at, "name"), f"an agent cannot be named {part.name}", f"{', '.join(RESERVED)} are taken"
            seen.add(part.name)


def has_workers(scene: Scene, department: Department, where: KeyPath) -> Broken:
    """Somebody does the work."""
    works = heals(scene, department) or any(agent.rank in WORKERS for agent in department.agents)
    if not works and scene.findings.sound(where, "agents"):
        hint = f"expected a [[departments.{department.name}.agents]] of rank specialist or operator"
        yield where, f"the department {department.name} has no workers", hint


def has_one_board(scene: Scene, department: Department, where: KeyPath) -> Broken:
    """One agent answers for the department."""
    boards = [(agent.name, at) for agent, at in _sound(scene, department.agents, (*where, "agents")) if agent.rank == "board"]
    for name, at in boards[1:]:
        hint = "a department has one board: make it a coordinator"
        yield (*at, "rank"), f"{department.name} has a second board, {name} beside {boards[0][0]}", hint


def built_ins_can_be_added(scene: Scene, department: Department, where: KeyPath) -> Broken:
    """A department without a board or coordinator gets one of that name, which no other agent may have."""
    ranks = {agent.rank for agent in department.agents}
    for agent, at in _sound(scene, department.agents, (*where, "agents")):
        if agent.name in BUILT_IN and agent.name != agent.rank and agent.name not in ranks:
            hint = f"give it another name, or name a {agent.name} of {department.name}"
            yield (*at, "name"), f"{agent.name} is the name of the built-in {agent.name} of {department.name}", hint


def is_prepared(scene: Scene, department: Department, where: KeyPath) -> Broken:
    """What prepares the department's files exists."""
    if department.prepare and (wrong := scene.sources.function(department.prepare, PREPARE)):
        yield (*where, "prepare"), f"the department {department.name}: {wrong[0]}", wrong[1]


# -- an agent
def agent_can_work(scene: Scene, department: Department, agent: Agent, where: KeyPath) -> Broken:
    """A worker has one kind of code, and that code exists."""
    label = _label("agent", agent, department)
    if agent.handler and agent.command:
        yield (*where, "command"), f"{label} has both a handler and a command", "expected one of them"
    built_in = agent.name == MEDIC and heals(scene, department)
    coded = agent.kind or built_in or not scene.findings.sound(where, "handler", "command", "kind", "rank")
    if not coded and agent.rank in WORKERS:
        hint = 'expected handler = "file.py:function", command = ["program"] or kind = "model"'
        yield (*where, "handler"), f"{label} is of rank {agent.rank} and has neither a handler nor a command", hint
    if agent.handler and (wrong := scene.sources.function(agent.handler, AGENT)):
        yield (*where, "handler"), f"{label}: {wrong[0]}", wrong[1]
    if agent.files and not agent.command:
        yield (*where, "files"), f"{label} has the key files and is no command", "it is for programs: leave it out"
    if agent.command and (wrong := scene.sources.executable(agent.command[0])):
        yield (*where, "command"), f"{label}: {wrong[0]}", wrong[1]


def agent_has_its_tools(scene: Scene, department: Department, agent: Agent, where: KeyPath) -> Broken:
    """Each tool of an agent is one of its department's, and named once; a model's may be contracts, memory, conclusions."""
    label = _label("agent", agent, department)
    tools = [*(tool.name for tool in department.tools), *(REMEDIES if heals(scene, department) else ())]
    if agent.kind == "model":
        tools += ["remember", "conclude", *Table(scene.organisation).open_to(department.name)]
    for index, name in enumerate(agent.tools):
        at = (*where, "tools", index)
        if name in agent.tools[:index]:
            yield at, f"{label} lists the tool {name} twice", "once is enough"
        elif name not in tools:
            yield at, f"{label} has an unknown tool {shown(name)}", nearest(name, tools, f"the tools of {department.name}")


def agent_reports_to_a_coordinator(scene: Scene, department: Department, agent: Agent, where: KeyPath) -> Broken:
    """A worker can be reached: the coordinator that it reports to is one."""
    if not agent.reports_to or not scene.findings.sound(where, "rank", "reports_to"):
        return
    at = (*where, "reports_to")
    label = _label("agent", agent, department)
    if agent.rank not in WORKERS:
        yield at, f"{label} is of rank {agent.rank} and has reports_to", "only specialists and operators have it"
        return
    coordinators = [one.name for one in department.agents if one.rank == "coordinator"] or ["coordinator"]
    above = department.agent(agent.reports_to)
    if agent.reports_to not in coordinators and above is None:
        hint = nearest(agent.reports_to, coordinators, f"the coordinators of {department.name}")
        yield at, f"{label} cannot be reached: it reports to {shown(agent.reports_to)}, which {department.name} has not", hint
    elif agent.reports_to not in coordinators:
        hint = nearest("", coordinators, f"the coordinators of {department.name}")
        yield at, f"{label} cannot be reached: it reports to {agent.reports_to}, which is no coordinator", hint


# -- a contract
def contract_is_served(scene: Scene, department: Department, contract: Contract, where: KeyPath) -> Broken:
    """An agent with code of its own serves it: the built-in ranks hand work on and make no values."""
    if not scene.findings.sound(where, "served_by"):
        return
    label = _label("contract", contract, department)
    agent = department.agent(contract.served_by)
    if agent is None and contract.served_by not in BUILT_IN:
        known = [one.name for one in department.agents if one.kind]
        hint = nearest(contract.served_by, known, f"the agents of {department.name}")
        yield (*where, "served_by"), f"{label} is served by {shown(contract.served_by)}, which {department.name} has not", hint
    elif agent is None or (not agent.kind and agent.rank in BUILT_IN):
        hint = "expected an agent with a handler, a command or a model"
        yield (*where, "served_by"), f"{label} is served by {contract.served_by}, which only hands work on", hint


def contract_may_be_asked(scene: Scene, department: Department, contract: Contract, where: KeyPath) -> Broken:
    """Somebody may ask for it: other departments that exist, or the client."""
    label = _label("contract", contract, department)
    if not contract.may_ask and scene.findings.sound(where, "may_ask"):
        yield (*where, "may_ask"), f"nobody may ask for {label}", 'expected departments, or "client"'
    others = {"client", *scene.departments} - {department.name}
    for index, asking in enumerate(contract.may_ask):
        at = (*where, "may_ask", index)
        if asking == department.name:
            yield at, f"{label} is open to its own department", "an agent asks another of its department by name, not by contract"
        elif asking not in others:
            yield at, f"{label} is open to {shown(asking)}, which is no department", nearest(asking, others, "who may ask")
        elif asking in contract.may_ask[:index]:
            yield at, f"{label} names {asking} twice", "once is enough"


def contract_is_typed(scene: Scene, department: Department, contract: Contract, where: KeyPath) -> Broken:
    """The fields of request and reply have types."""
    label = _label("contract", contract, department)
    for side, declared in (("request", contract.request), ("reply", contract.reply)):
        for path, sentence, hint in flaws(declared):
            field = ".".join(str(part) for part in path if isinstance(part, str))
            yield (*where, side, *path), f"{label}: {side}.{field}: {sentence}", hint


def contract_has_its_phrases(scene: Scene, department: Department, contract: Contract, where: KeyPath) -> Broken:
    """A client who says a phrase may ask, says all that the request needs, and means this contract alone."""
    label = _label("contract", contract, department)
    if contract.phrases and "client" not in contract.may_ask and scene.findings.sound(where, "may_ask"):
        yield (*where, "phrases"), f"{label} has phrases, and the client may not ask for it", 'add "client" to may_ask'
    if flaws(contract.request) or not scene.findings.sound(where, "request"):
        return
    for index, phrase in enumerate(contract.phrases):
        at = (*where, "phrases", index)
        try:
            said = Phrase(phrase, contract.request).said
        except BadPhrase as error:
            yield at, f"{label}: {error.args[0]}", error.args[1]
            continue
        name = f"{department.name}.{contract.name}"
        if (other := scene.phrases.setdefault(said, name)) != name:
            yield at, f"{label}: {shown(phrase)} is said for {other}, too", "a phrase stands for one contract"


OF_ORGANISATION: Final[tuple[Callable[[Scene], Broken], ...]] = (
    clients_are_named,
    departments_are_named,
    limits_agree,
    journals_are_kept,
    models_can_be_asked,
    objectives_agree,
    operations_can_heal,
    departments_have_an_order,
    figures_stay_on_the_host,
    doors_let_somebody_in,
    channels_lead_somewhere,
    zone_is_known,
    precedence_is_known,
    approvals_can_be_announced,
    escalations_can_be_answered,
)
OF_DEPARTMENT: Final[tuple[Callable[[Scene, Department, KeyPath], Broken], ...]] = (
    names_are_distinct,
    has_workers,
    has_one_board,
    built_ins_can_be_added,
    is_prepared,
    servers_can_be_started,
    shifts_can_be_held,
    remedies_are_built_in,
    department_has_its_memory,
    department_is_kept,
    department_has_its_precedence,
    patterns_mean_something,
)
OF_AGENT: Final[tuple[Callable[[Scene, Department, Agent, KeyPath], Broken], ...]] = (
    agent_can_work,
    agent_has_its_model,
    agent_has_its_tools,
    agent_reports_to_a_coordinator,
    agent_is_backed_up,
    agent_has_its_memory,
)
OF_CONTRACT: Final[tuple[Callable[[Scene, Department, Contract, KeyPath], Broken], ...]] = (
    contract_is_served,
    contract_may_be_asked,
    contract_is_typed,
    contract_has_its_phrases,
    contract_is_backed_up,
    contract_may_leave,
    contract_names_its_subject,
)
