"""Who may hand a task to whom: the ranks inside a department, the contracts between departments. Pure.

`MATRIX` below is the whole rule inside a department. A `Table` is that matrix laid over one organisation, or over the
part of it that one process has a mandate for. Replies need no permission: they go back the way the request came.
"""

from typing import Final, NamedTuple

import msgspec

from mai.agents.organisation import Contract, Department, Mandate, Organisation, Rank

MATRIX: Final[dict[Rank, tuple[Rank, ...]]] = {
    # from: to
    "mai": ("board",),
    "board": ("mai", "coordinator", "specialist"),
    "coordinator": ("board", "coordinator", "specialist", "operator"),
    "specialist": ("coordinator",),
    "operator": ("coordinator",),
}
NAMED: Final[dict[Rank, str]] = {
    "mai": "Mai",
    "board": "the board",
    "coordinator": "a coordinator",
    "specialist": "a specialist",
    "operator": "an operator",
}
SHOWN: Final = 5  # names that a refusal lists; `instead` holds all


class Verdict(msgspec.Struct, frozen=True):
    """May this go ahead, by which rule (one sentence), and if not, what would be allowed instead."""

    allowed: bool
    rule: str
    instead: tuple[str, ...] = ()  # names of agents, or of contracts
    contract: Contract | None = None  # what was asked for, if that is allowed


class Paths(NamedTuple):
    """The directed ways on which one client's Mai and agents may hand each other tasks."""

    agents: int  # Mai included
    hops: int  # inside departments, and between the boards and Mai
    contracts: int  # a department and a contract that it may ask for

    @property
    def all(self) -> int:
        """Every way that is allowed."""
        return self.hops + self.contracts

    @property
    def mesh(self) -> int:
        """The ways if everybody could talk to everybody."""
        return self.agents * (self.agents - 1)


class Table:
    """The compiled table; every question about something unknown is a refusal, never an exception."""

    def __init__(self, source: Organisation | Mandate) -> None:
        organisation = source.organisation if isinstance(source, Mandate) else source
        self._ranks: dict[str, dict[str, Rank]] = {one.name: _ranks(one) for one in organisation.departments}
        self._above: dict[str, dict[str, str]] = {one.name: _above(one) for one in organisation.departments}
        self._contracts = {
            f"{department.name}.{contract.name}": contract
            for department in organisation.departments
            for contract in department.contracts
        }

    # -- inside a department
    def hop(self, department: str, sender: str, receiver: str) -> Verdict:
        """May `sender` hand a task to `receiver`? Both are agents of the department, or "mai"."""
        ranks = self._ranks.get(department)
        if ranks is None:
            return Verdict(False, f"there is no department {department}", tuple(self._ranks))
        if sender not in ranks:
            return Verdict(False, f"{department} has no agent {sender}")
        if receiver == sender:
            return self._refusal(department, sender, f"{sender} does not hand a task to itself")
        if receiver not in ranks:
            return self._refusal(department, sender, f"{department} has no agent {receiver}")
        giving, taking = ranks[sender], ranks[receiver]
        if taking in MATRIX[giving]:
            return Verdict(True, f"{NAMED[giving]} may hand a task to {NAMED[taking]}")
        allowed = " or ".join(NAMED[rank] for rank in MATRIX[giving])
        return self._refusal(department, sender, f"{NAMED[giving]} may hand a task to {allowed} only, not to {NAMED[taking]}")

    def _refusal(self, department: str, sender: str, rule: str) -> Verdict:
        instead = self.receivers(department, sender)
        shown = ", ".join(instead[:SHOWN]) + (" …" if len(instead) > SHOWN else "")
        return Verdict(False, f"{rule}: ask {shown}" if shown else rule, instead)

    def receivers(self, department: str, sender: str) -> tuple[str, ...]:
        """All to whom an agent may hand a task; for a worker its own coordinator comes first."""
        ranks = self._ranks.get(department, {})
        if sender not in ranks:
            return ()
        own = self.coordinator_of(department, sender)
        allowed = [name for name, rank in ranks.items() if name != sender and rank in MATRIX[ranks[sender]]]
        return tuple(sorted(allowed, key=lambda name: name != own))

    def rank(self, department: str, agent: str) -> Rank | None:
        """The rank of an agent of the department, or of "mai"."""
        return self._ranks.get(department, {}).get(agent)

    def coordinator_of(self, department: str, agent: str) -> str:
        """The coordinator that a specialist or operator reports to; "" for all others."""
        return self._above.get(department, {}).get(agent, "")

    def reports(self, department: str, coordinator: str) -> tuple[str, ...]:
        """The specialists and operators that report to a coordinator."""
        return tuple(name for name, above in self._above.get(department, {}).items() if above == coordinator)

    # -- between departments
    def contract(self, asking: str, name: str) -> Verdict:
        """May a department, or "client", ask for the contract `department.name`?"""
        offering = name.partition(".")[0]
        contract = self._contracts.get(name)
        if contract is not None and asking in contract.may_ask and asking != offering:
            return Verdict(True, f"{name} may be asked for by {asking}", contract=contract)
        if asking == offering:
            return Verdict(False, f"{name} is {asking}'s own: hand the task to an agent of {asking}", self._servers(asking, name))
        instead = self.open_to(asking)
        near = tuple(one for one in instead if one.startswith(f"{offering}.")) or instead
        shown = ", ".join(near[:SHOWN]) + (" …" if len(near) > SHOWN else "")
        what = f"{asking} may not ask for {name}" if contract is not None else f"no contract {name} is open to {asking}"
        return Verdict(False, f"{what}; it may ask for {shown or 'none'}", instead)

    def _servers(self, department: str, name: str) -> tuple[str, ...]:
        contract = self._contracts.get(name)
        return (contract.served_by,) if contract is not None and contract.served_by in self._ranks.get(department, {}) else ()

    def open_to(self, asking: str) -> tuple[str, ...]:
        """The contracts that a department, or "client", may ask for, as `department.name`."""
        return tuple(
            name for name, contract in self._contracts.items() if asking in contract.may_ask and asking != name.partition(".")[0]
        )

    # -- the whole
    def paths(self) -> Paths:
        """How many ways there are for one client."""
        hops = sum(len(self.receivers(name, sender)) for name, ranks in self._ranks.items() for sender in ranks)
        contracts = sum(len(self.open_to(asking)) for asking in self._ranks)
        return Paths(1 + sum(len(ranks) - 1 for ranks in self._ranks.values()), hops, contracts)


def _ranks(department: Department) -> dict[str, Rank]:
    return {"mai": "mai", **{agent.name: agent.rank for agent in department.agents}}


def _above(department: Department) -> dict[str, str]:
    """Worker -> its coordinator: the one it names, else the department's first."""
    coordinators = [agent.name for agent in department.agents if agent.rank == "coordinator"]
    workers = [agent for agent in department.agents if agent.rank in ("specialist", "operator")]
    first = coordinators[0] if coordinators else ""
    return {agent.name: agent.reports_to if agent.reports_to in coordinators else first for agent in workers}
