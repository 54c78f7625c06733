"""Whether an agent may read or write a key of the client's memory, by the organisation. Pure.

Its department asks before it sends anything, and Mai asks again: what a department says of itself is no ground.
"""

from collections.abc import Callable
from typing import NamedTuple

from mai.agents.memory_scope import admits
from mai.agents.organisation import Organisation
from mai.agents.remembering import READS


class Verdict(NamedTuple):
    """Why not, and what of it may be seen."""

    refused: str
    admits: Callable[[str], bool]


def patterns(organisation: Organisation, department: str, agent: str, way: str) -> tuple[str, ...]:
    """The keys that an agent may `read` or `write`: those of its department, and its own."""
    found = organisation.department(department)
    one = found.agent(agent) if found else None
    if found is None or one is None:
        return ()
    return tuple(dict.fromkeys((*getattr(found.memory.client, way), *getattr(one.memory.client, way))))


def judge(organisation: Organisation, department: str, agent: str, call: str, key: str) -> Verdict:
    """May this agent do this with this key? Lists and searches see those keys that it may read, if there are any at all."""
    way = "read" if call in READS else "write"
    open_ = patterns(organisation, department, agent, way)
    if open_ if call in ("recall_all", "search") else admits(open_, key):
        return Verdict("", lambda one: admits(open_, one))
    which = f"the key {key!r} of " if call not in ("recall_all", "search") else ""
    may = f"it may {way} {', '.join(open_)}" if open_ else f"its scope names none: memory = {{ client = {{ {way} = [...] }} }}"
    return Verdict(f"{department}/{agent} may not {way} {which}the client's memory; {may}", lambda _: False)


def told(organisation: Organisation) -> list[str]:
    """Who may do what with the client's memory, a line each; everybody who is not named may nothing."""
    lines = []
    for department in organisation.departments:
        own = [(f"{department.name}/{agent.name}", agent.memory) for agent in department.agents]
        for name, scope in ((department.name, department.memory), *own):
            ways = [f"{way}s {', '.join(keys)}" for way in ("read", "write") if (keys := getattr(scope.client, way))]
            if ways:
                lines.append(f"{name} {' and '.join(ways)}")
    return lines
