"""What must hold of the precedence between claims: each clause has a name of its own, and its `by` names what there is."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mai.agents.conflict_scope import CRITERIA, Precedence
from mai.agents.faults import nearest, shown
from mai.agents.lines import KeyPath
from mai.agents.organisation import Department

if TYPE_CHECKING:
    from mai.agents.rules import Scene

Broken = Iterator[tuple[KeyPath, str, str]]


def precedence_is_known(scene: "Scene") -> Broken:
    """[conflicts]: departments and agents of the organisation."""
    names = [*CRITERIA, *scene.departments]
    agents = [f"{one.name}/{agent.name}" for one in scene.organisation.departments for agent in one.agents]
    yield from _clauses(scene, scene.organisation.conflicts.precedence, ("conflicts", "precedence"), names, agents)


def department_has_its_precedence(scene: "Scene", department: Department, where: KeyPath) -> Broken:
    """What a department prefers among its own claims, and its board among all."""
    agents = [f"{department.name}/{agent.name}" for agent in department.agents]
    names = [*CRITERIA, *scene.departments]
    yield from _clauses(scene, department.precedence, (*where, "precedence"), names, agents)


def _clauses(
    scene: "Scene", clauses: Sequence[Precedence], where: KeyPath, names: Sequence[str], agents: Sequence[str]
) -> Broken:
    seen: set[str] = set()
    for index, clause in enumerate(clauses):
        at = (*where, index)
        if not scene.findings.sound(at):
            continue
        label = f"the precedence {shown(clause.name)}"
        if clause.name in seen:
            yield (*at, "name"), f"two precedences are named {shown(clause.name)}", "a ruling names its clause: give it another"
        seen.add(clause.name)
        if not clause.by:
            yield (*at, "by"), f"{label} decides by nothing", f"expected some of {', '.join(CRITERIA)}, departments, agents"
        for place, one in enumerate(clause.by):
            known = agents if "/" in one else names
            if one not in known:
                hint = nearest(one, known, "what decides")
                yield (*at, "by", place), f"{label} decides by {shown(one)}, which there is not", hint
            elif one in clause.by[:place]:
                yield (*at, "by", place), f"{label} names {shown(one)} twice", "once is enough"
