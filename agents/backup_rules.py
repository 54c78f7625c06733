"""What must hold of those who stand in for others: agents, tools and contracts; the rules of rules.py go on here."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mai.agents.faults import nearest, shown
from mai.agents.lines import KeyPath
from mai.agents.organisation import Agent, Contract, Department, Organisation, Tool

if TYPE_CHECKING:
    from mai.agents.rules import Scene

Broken = Iterator[tuple[KeyPath, str, str]]
Named = Mapping[str, Sequence[str]]  # name -> its backups, in the order of the file


def agent_is_backed_up(scene: "Scene", department: Department, agent: Agent, where: KeyPath) -> Broken:
    """Backups are other agents of the department, each once, and they do not lead back."""
    label = f"the agent {agent.name} of {department.name}"
    backups = {one.name: one.backups for one in department.agents}
    yield from _named(label, agent.name, backups, where, f"the agents of {department.name}", "agent")
    yield from _back(department.name, agent.name, backups, where)


def contract_is_backed_up(scene: "Scene", department: Department, contract: Contract, where: KeyPath) -> Broken:
    """Backups are other contracts, each once, with the same fields, open to all who may ask for this one; none leads back."""
    label, name = f"the contract {contract.name} of {department.name}", f"{department.name}.{contract.name}"
    found = _contracts(scene.organisation)
    backups = {one: found[one].backups for one in found}
    yield from _named(label, name, backups, where, "the contracts", "contract")
    yield from _back(department.name, name, backups, where)
    for index, backup in enumerate(contract.backups):
        if backup in found and backup != name:
            yield from _alike(label, contract, backup, found[backup], (*where, "backups", index))


def _contracts(organisation: Organisation) -> dict[str, Contract]:
    return {f"{one.name}.{contract.name}": contract for one in organisation.departments for contract in one.contracts}


def _alike(label: str, contract: Contract, name: str, backup: Contract, where: KeyPath) -> Broken:
    """A backup takes and gives the same, and may be asked by the same."""
    for side, mine, other in (("request", contract.request, backup.request), ("reply", contract.reply, backup.reply)):
        if mine != other:
            hint = f"who asks for {contract.name} has to get the same fields from both"
            yield where, f"{label} has the backup {name}, whose {side} has other fields", hint
    if missing := [asking for asking in contract.may_ask if asking not in backup.may_ask]:
        yield where, f"{label} has the backup {name}, which {missing[0]} may not ask for", f"add {missing[0]} to its may_ask"


def tool_is_backed_up(scene: "Scene", department: Department, tool: Tool, where: KeyPath) -> Broken:
    """A backup is another tool of the department, of the same effect, in the scope of all who have this one; none leads back."""
    if not tool.backup:
        return
    at, label = (*where, "backup"), f"the tool {tool.name} of {department.name}"
    names = {one.name: one for one in department.tools}
    other = names.get(tool.backup)
    if tool.backup == tool.name:
        yield at, f"{label} is its own backup", "name another tool"
    elif other is None:
        yield (
            at,
            f"{label} has an unknown backup {shown(tool.backup)}",
            nearest(tool.backup, names, f"the tools of {department.name}"),
        )
    elif other.effect != tool.effect:
        yield (
            at,
            f"{label} has the effect {tool.effect}, its backup {other.name} {other.effect}",
            "expected one of the same effect",
        )
    elif without := [one.name for one in department.agents if tool.name in one.tools and other.name not in one.tools]:
        hint = f"add {other.name} to its tools"
        yield at, f"{label} has the backup {other.name}, which {without[0]} may not use", hint
    backups = {name: (one.backup,) if one.backup else () for name, one in names.items()}
    yield from _back(department.name, tool.name, backups, where, "backup")


def _named(label: str, name: str, backups: Named, where: KeyPath, among: str, kind: str) -> Broken:  # noqa: PLR0917
    """Each is another, exists, and is named once."""
    mine = backups.get(name, ())
    for index, backup in enumerate(mine):
        at = (*where, "backups", index)
        if backup == name:
            yield at, f"{label} is its own backup", f"name another {kind}"
        elif backup in mine[:index]:
            yield at, f"{label} lists the backup {backup} twice", "once is enough"
        elif backup not in backups:
            yield at, f"{label} has an unknown backup {shown(backup)}", nearest(backup, [*backups.keys() - {name}], among)


def _back(whose: str, name: str, backups: Named, where: KeyPath, key: str = "backups") -> Broken:
    """No way over backups leads back; told once, of the first on it."""
    cycle = _cycle(name, backups)
    if cycle and name == next(one for one in backups if one in cycle):
        way = " → ".join((*cycle, name))
        yield (*where, key), f"the backups of {whose} lead back: {way}", "leave one of them out"


def _cycle(name: str, backups: Named) -> list[str]:
    """The shortest way over backups back to who has this name, without its end; empty if there is none."""
    ways = [[name]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for backup in backups.get(way[-1], ()):
            if backup == name and len(way) > 1:
                return way
            if backup not in seen and backup not in way:
                seen.add(backup)
                ways.append([*way, backup])
    return []
