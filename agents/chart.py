"""The organisation's chart: a tree for the terminal, SVG, Mermaid or JSON, and its figures. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

from mai.agents.drawing import svg
from mai.agents.organisation import RANKS, Agent, Contract, Department, Organisation, Rank
from mai.agents.table import Table
from mai.agents.wording import cut, plain

OURS: Final = ("supervisor", "watchdog")  # processes that all clients share
BOLD, DIM = "1", "2"
COLOURS: Final[dict[Rank, str]] = {"mai": "1;35", "board": "1;34", "coordinator": "36", "specialist": "32", "operator": "33"}
T = TypeVar("T")


class Figures(msgspec.Struct, frozen=True):
    """What the chart counts. Agents and paths are those of one client; Mai is one of its agents."""

    clients: int
    departments: int
    agents: int
    ranks: dict[Rank, int]
    contracts: int
    shared: tuple[str, ...]  # processes of the host that all clients share
    services: tuple[str, ...]  # processes of each client, beside Mai and the departments
    processes: int
    hops: int  # directed ways by rank: inside departments, and between their boards and Mai
    paths: int  # with those that contracts open between departments
    mesh: int  # n(n-1): everybody to everybody


def figures(organisation: Organisation) -> Figures:
    """Count."""
    ranks: dict[Rank, int] = {rank: int(rank == "mai") for rank in RANKS}
    for department in organisation.departments:
        for agent in department.agents:
            ranks[agent.rank] += 1
    paths = Table(organisation).paths()
    return Figures(
        clients=len(organisation.clients),
        departments=len(organisation.departments),
        agents=paths.agents,
        ranks=ranks,
        contracts=sum(len(department.contracts) for department in organisation.departments),
        shared=(*OURS, *organisation.engines()),
        services=tuple(organisation.services()),
        processes=len(OURS) + len(organisation.engines()) + len(organisation.processes()),
        hops=paths.hops,
        paths=paths.all,
        mesh=paths.mesh,
    )


def sentences(count: Figures) -> list[str]:
    """The figures in words."""
    below = [f"{number} {rank}{'s' * (number > 1 and rank != 'board')}" for rank, number in count.ranks.items() if number]
    ranks = ", ".join(["1 Mai", *below[1:]])
    return [
        f"{count.agents} agents for each client: {ranks}",
        f"{count.processes} processes: {_listed(*count.shared)}, and for {_each(count.clients)} "
        + _listed("Mai", *count.services, f"{count.departments} department{'s' * (count.departments != 1)}"),
        f"{count.paths} paths ({count.hops} by rank, {count.paths - count.hops} by contract);"
        f" a mesh of {count.agents} would have {count.mesh}",
    ]


def _listed(*names: str) -> str:
    """`one, two and three`."""
    return ", ".join(names[:-1]) + f" and {names[-1]}"


def _each(clients: int) -> str:
    return "the client" if clients == 1 else f"each of {clients} clients"


# -- the tree
def tree(organisation: Organisation, colour: bool = False, width: int = 0) -> str:
    """The chart for a terminal, in lines of at most `width` characters; 0 for as many as it takes."""
    drawn = _Tree(organisation, colour, width)
    return "\n".join([*drawn.lines(), "", *sentences(figures(organisation))]) + "\n"


class _Tree:
    """The lines of a tree. Each is cut before it is coloured, so that only what is seen counts."""

    def __init__(self, organisation: Organisation, colour: bool, width: int) -> None:
        self.organisation, self.colour, self.width = organisation, colour, width
        self.table = Table(organisation)

    def lines(self) -> Iterator[str]:
        """Mai, and below her the departments."""
        yield self.line(
            "", f"Mai of {plain(self.organisation.name)}", COLOURS["mai"], f"for {', '.join(self.organisation.clients)}"
        )
        for last, department in _lasts(self.organisation.departments):
            yield self.line(_branch(last), department.name, BOLD, plain(department.charter))
            if scope := scope_of(department):
                yield self.line(_below(last), scope, DIM, "")
            yield from self.department(department, _below(last))

    def department(self, department: Department, indent: str) -> Iterator[str]:
        """Its board, its coordinators with those who report to them, and what it offers."""
        coordinators = [agent for agent in department.agents if agent.rank == "coordinator"]
        offers = bool(department.contracts)
        yield self.agent(indent + _branch(not coordinators and not offers), department.board)
        for at_end, coordinator in _lasts(coordinators):
            last = at_end and not offers
            yield self.agent(indent + _branch(last), coordinator)
            reports = self.table.reports(department.name, coordinator.name)
            for last_report, worker in _lasts([agent for agent in department.agents if agent.name in reports]):
                yield self.agent(indent + _below(last) + _branch(last_report), worker)
        for last, contract in _lasts(department.contracts):
            name = f"offers {department.name}.{contract.name}({', '.join(contract.request)})"
            yield self.line(indent + _branch(last), name, DIM, f"to {', '.join(_asking(contract))}")

    def agent(self, indent: str, agent: Agent) -> str:
        """One agent: its name, rank, and what it is good at."""
        what = plain(", ".join(agent.skills) or agent.charter)
        return self.line(indent, agent.name, COLOURS[agent.rank], f"{agent.rank}{': ' if what else ''}{what}")

    def line(self, indent: str, name: str, colour: str, note: str) -> str:
        """One line: where it hangs, what it is called, what is to be said of it."""
        if self.width:
            name = cut(name, self.width - len(indent))
            note = cut(note, self.width - len(indent) - len(name) - 2)
        if self.colour:
            name, note = f"\x1b[{colour}m{name}\x1b[0m", f"\x1b[{DIM}m{note}\x1b[0m" if note else ""
        return f"{indent}{name}  {note}".rstrip()


def scope_of(department: Department) -> str:
    """What may leave a department and what others see of its work, as far as the file says something of it."""
    leaves = department.leaves
    said = {
        "lets out": (*leaves.fields, *(["its texts"] if leaves.text else [])),
        "withholds": leaves.withheld, "tells of": leaves.subjects,
        "shows": () if department.shows == "result" else (department.shows,),
    }  # fmt: skip
    return "; ".join(f"{what} {', '.join(patterns)}" for what, patterns in said.items() if patterns)


def _asking(contract: Contract) -> list[str]:
    """Who may ask, and who only about a subject that he was given."""
    return [f"{name} (of its own {contract.subject})" if name in contract.bound else name for name in contract.may_ask]


def _branch(last: bool) -> str:
    return "└── " if last else "├── "


def _below(last: bool) -> str:
    return "    " if last else "│   "


def _lasts(things: Sequence[T]) -> Iterator[tuple[bool, T]]:
    """Each thing with whether it is the last."""
    return ((number == len(things), thing) for number, thing in enumerate(things, 1))


# -- for other programs
def mermaid(organisation: Organisation) -> str:
    """The chart as a Mermaid flowchart: ranks as lines, contracts as dotted arrows from who asks to who offers."""
    table = Table(organisation)
    lines = ["flowchart TD", f'  mai(["Mai of {_label(organisation.name)}"])']
    ids = {department.name: f"d{number}" for number, department in enumerate(organisation.departments)}
    for department in organisation.departments:
        lines += _mermaid_department(department, ids[department.name], table)
    for department in organisation.departments:
        for contract in department.contracts:
            asking = [ids[name] for name in contract.may_ask if name in ids] + ["client"] * ("client" in contract.may_ask)
            lines += [f'  {one} -. "{department.name}.{contract.name}" .-> {ids[department.name]}' for one in asking]
    return "\n".join(lines) + "\n"


def _mermaid_department(department: Department, ident: str, table: Table) -> Iterator[str]:
    nodes = {agent.name: f"{ident}a{number}" for number, agent in enumerate(department.agents)}
    yield f'  subgraph {ident}["{department.name}"]'
    yield from (f'    {nodes[agent.name]}["{agent.name}<br/><small>{agent.rank}</small>"]' for agent in department.agents)
    for agent in department.agents:
        if agent.rank != "board":
            above = table.coordinator_of(department.name, agent.name) or department.board.name
            yield f"    {nodes[above]} --- {nodes[agent.name]}"
    yield "  end"
    yield f"  mai --- {nodes[department.board.name]}"


def _label(text: str) -> str:
    """A text between the quotes of a Mermaid label."""
    return plain(text).replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def describe(organisation: Organisation) -> dict[str, Any]:
    """The chart for a program, as JSON has it."""
    described: dict[str, Any] = msgspec.to_builtins(organisation)
    for private in ("base", "limits"):
        del described[private]
    return {**described, "figures": msgspec.to_builtins(figures(organisation))}


def _json(organisation: Organisation) -> str:
    return msgspec.json.format(msgspec.json.encode(describe(organisation)), indent=2).decode() + "\n"


def _svg(organisation: Organisation) -> str:
    return svg(organisation, sentences(figures(organisation)))


FORMATS: Final[dict[str, Callable[[Organisation], str]]] = {"tree": tree, "svg": _svg, "mermaid": mermaid, "json": _json}


def draw(organisation: Organisation, form: str = "tree", colour: bool = False, width: int = 0) -> str:
    """The chart in one of FORMATS; colour and width concern the tree."""
    return tree(organisation, colour, width) if form == "tree" else FORMATS[form](organisation)
