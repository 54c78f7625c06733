"""What the tests' organisations allow: the client's memory, and every tool."""

from mai.agents.memory_scope import ClientMemory, MemoryScope
from mai.agents.policy_scope import Policy

OPEN = MemoryScope(client=ClientMemory(read=("*",), write=("*",)))  # all of it
ALLOWED = (Policy(name="all", verdict="allow", tools=("*",)),)  # every tool to everybody
