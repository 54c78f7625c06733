"""What must hold of the rules by which boards decide: as of policies, and that a board with rules has no code that decides."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mai.agents.lines import KeyPath
from mai.agents.policy_rules import World, hidden, list_of

if TYPE_CHECKING:
    from mai.agents.organisation import Department
    from mai.agents.rules import Scene

Broken = Iterator[tuple[KeyPath, str, str]]


def board_decides_by_rule(scene: "Scene", department: "Department", where: KeyPath) -> Broken:
    """Whom and what a rule is about exists, its comparisons can hold, none hides another; its board decides by nothing else."""
    if not department.rules:
        return
    at = (*where, "rules")
    board = next((agent for agent in department.agents if agent.rank == "board"), None)
    if board and board.kind:
        hint = "what has code or a model decides by that: leave the rules out, or its handler, command or model"
        yield at, f"the board of {department.name} has rules, and is of kind {board.kind}", hint
    world = World(scene)
    world.open_to[department.name] |= {
        f"{department.name}.{one.name}" for one in department.contracts
    }  # the client asks for them
    rules = [
        world.rule(rule.policy(), (*at, index), department.name)._replace(
            label=f"the rule {rule.name} of the board of {department.name}"
        )
        for index, rule in enumerate(department.rules)
    ]  # fmt: skip
    yield from list_of(scene, world, rules, department.name)
    if not any(path[: len(at)] == at for path in scene.findings.known()):
        yield from hidden(rules, [])
