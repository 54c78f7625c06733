"""What `[operations]` adds to an organisation: a medic with the remedies for tools, and the contract `incident`. Pure."""

from typing import Final

from msgspec.structs import replace

from mai.agents.organisation import Agent, Contract, Department, Organisation, Tool
from mai.agents.remedies import HANDLER, LIST, PREFIX, takes

MEDIC: Final = "medic"
CONTRACT: Final = "incident"
CHARTER: Final = "Heals what has failed, with the remedies that there are, and calls a person when they are used up."
REQUEST: Final[dict[str, object]] = {
    "process": "str", "what": "str", "text": "str",
    "incidents": "int",  # deaths in a short time, this one with them
    "alike": "int",  # incidents of this very kind, likewise
    "bound": "str",  # at which it was ended
    "task": "str",  # that was at work at most of the deaths
    "guilty": "int",  # at how many
    "waits": "int",  # messages for it that it has not taken
    "replayed": "int",  # records that its last start has read
    "department": "bool",
    "backup": "bool",  # has it contracts with backups
    "tried": "list[str]",  # remedies of the last time
}  # fmt: skip
REPLY: Final[dict[str, object]] = {"remedy": "str", "target": "str", "why": "str", "text": "str"}
REMEDIES: Final = tuple(f"{PREFIX}{remedy.name}" for remedy in LIST)


def equipped(organisation: Organisation) -> Organisation:
    """The organisation with its operations department able to heal; as it is if it has no `[operations]`."""
    if organisation.operations is None:
        return organisation
    name, departments = organisation.operations.department, organisation.departments
    if organisation.department(name) is None:
        departments = (*departments, Department(name=name, charter="Keeps everything running.", agents=()))
    by_model = organisation.operations.medic == "model"
    return replace(organisation, departments=tuple(_healing(one, by_model) if one.name == name else one for one in departments))


def _healing(department: Department, by_model: bool) -> Department:
    agents = tuple(_medic(one, by_model) if one.name == MEDIC else one for one in department.agents)
    if department.agent(MEDIC) is None:
        agents = (*agents, _medic(Agent(name=MEDIC, rank="specialist"), by_model))
    contract = Contract(
        name=CONTRACT, about="Heal a process that has failed", served_by=MEDIC, may_ask=(), request=REQUEST, reply=REPLY
    )
    tools = tuple(
        Tool(name=f"{PREFIX}{remedy.name}", about=remedy.about, input=takes(remedy), effect="idempotent") for remedy in LIST
    )
    return replace(department, agents=agents, tools=(*department.tools, *tools), contracts=(*department.contracts, contract))


def _medic(agent: Agent, by_model: bool) -> Agent:
    """The medic with its tools and its code; one that the file names keeps what it has."""
    tools = agent.tools if any(tool.startswith(PREFIX) for tool in agent.tools) else (*agent.tools, *REMEDIES)
    agent = replace(agent, tools=tools, charter=agent.charter or CHARTER)
    if agent.kind:
        return agent
    return replace(agent, kind="model") if by_model else replace(agent, kind="python", handler=HANDLER)
