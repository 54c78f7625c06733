"""What must hold of how long journals are kept; rules.py goes on here."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mai.agents.lines import KeyPath
from mai.agents.organisation import Department
from mai.agents.retention_scope import flaws

if TYPE_CHECKING:
    from mai.agents.rules import Scene

Broken = Iterator[tuple[KeyPath, str, str]]


def journals_are_kept(scene: "Scene") -> Broken:
    """What is removed has left the journal before, and what is taken out of it is not what it needs itself."""
    for key, what, hint in flaws(scene.organisation.retention):
        yield ("retention", key), what, hint


def department_is_kept(scene: "Scene", department: Department, where: KeyPath) -> Broken:
    """The same of one department, with what it has from the organisation."""
    known = flaws(scene.organisation.retention)
    for key, what, hint in flaws(department.retention.over(scene.organisation.retention)):
        if (key, what, hint) not in known:
            yield (*where, "retention", key), f"the department {department.name}: {what}", hint
