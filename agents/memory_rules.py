"""What must hold of the scopes of memory: their patterns are keys, and each is named once."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mai.agents.faults import shown
from mai.agents.lines import KeyPath
from mai.agents.memory_scope import MemoryScope, wrong
from mai.agents.organisation import Agent, Department

if TYPE_CHECKING:
    from mai.agents.rules import Scene

Broken = Iterator[tuple[KeyPath, str, str]]


def department_has_its_memory(scene: "Scene", department: Department, where: KeyPath) -> Broken:
    """The keys of the client's memory that all agents of a department may use are keys."""
    yield from _keys(department.memory, f"the department {department.name}", where)


def agent_has_its_memory(scene: "Scene", department: Department, agent: Agent, where: KeyPath) -> Broken:
    """The same of one agent."""
    yield from _keys(agent.memory, f"the agent {agent.name} of {department.name}", where)


def _keys(scope: MemoryScope, label: str, where: KeyPath) -> Broken:
    for way, patterns in (("read", scope.client.read), ("write", scope.client.write)):
        for index, pattern in enumerate(patterns):
            at = (*where, "memory", "client", way, index)
            if why := wrong(pattern):
                yield at, f"{label}: {shown(pattern)} names no keys of the client's memory", why
            elif pattern in patterns[:index]:
                yield at, f"{label}: {way} names {shown(pattern)} twice", "once is enough"
