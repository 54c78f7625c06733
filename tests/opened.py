"""Scopes of the client's memory for the tests' organisations."""

from mai.agents.memory_scope import ClientMemory, MemoryScope

OPEN = MemoryScope(client=ClientMemory(read=("*",), write=("*",)))  # all of it
