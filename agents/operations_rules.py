"""What must hold of `[operations]`: the department that heals, its medic, and the command that pages."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from mai.agents.faults import nearest, shown
from mai.agents.healing import CONTRACT, MEDIC
from mai.agents.lines import KeyPath
from mai.agents.organisation import Department
from mai.agents.remedies import PREFIX, Operations

if TYPE_CHECKING:
    from mai.agents.rules import Scene

Broken = Iterator[tuple[KeyPath, str, str]]
WHERE: Final = "operations"


def operations_can_heal(scene: "Scene") -> Broken:
    """The department that heals is one, or the built-in one; its medic can work, and the command that pages exists."""
    operations = scene.organisation.operations
    if operations is None:
        return
    default = Operations().department
    if operations.department not in scene.departments and operations.department != default:
        hint = nearest(operations.department, [*scene.departments, default], "the departments")
        yield (WHERE, "department"), f"{shown(operations.department)}, which is to heal, is no department", hint
    department = scene.departments.get(operations.department)
    medic = department.agent(MEDIC) if department else None
    if operations.medic == "model" and not scene.organisation.models.models and not (medic and medic.kind not in ("", "model")):
        yield (
            (WHERE, "medic"),
            "the medic is a model, and the organisation has no models",
            'expected [[models.models]], or "rules"',
        )
    if operations.page and (wrong := scene.sources.executable(operations.page[0])):
        yield (WHERE, "page"), f"the command that pages: {wrong[0]}", wrong[1]


def remedies_are_built_in(scene: "Scene", department: Department, where: KeyPath) -> Broken:
    """No tool has the name of a remedy, and in the department that heals the medic and its contract are ours."""
    for index, tool in enumerate(department.tools):
        if tool.name.startswith(PREFIX):
            hint = "remedies are there by themselves, where [operations] says: leave it out"
            yield (*where, "tools", index, "name"), f"a tool of {department.name} cannot be named {shown(tool.name)}", hint
    if not heals(scene, department):
        return
    for index, contract in enumerate(department.contracts):
        if contract.name == CONTRACT:
            hint = "it is built in, where [operations] says: give yours another name"
            yield (*where, "contracts", index, "name"), f"{department.name} cannot have a contract {CONTRACT} of its own", hint
    for index, agent in enumerate(department.agents):
        if agent.name == MEDIC and agent.rank not in ("specialist", "operator"):
            hint = 'expected rank = "specialist" or "operator"'
            yield (*where, "agents", index, "rank"), f"the medic of {department.name} is of rank {agent.rank}", hint


def heals(scene: "Scene", department: Department) -> bool:
    """Is this the department that `[operations]` names?"""
    operations = scene.organisation.operations
    return operations is not None and operations.department == department.name
