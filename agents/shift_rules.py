"""What must hold of the shifts of a department: rules for rules.py."""

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from mai.agents import zones
from mai.agents.clock import UTC
from mai.agents.faults import nearest, shown
from mai.agents.lines import KeyPath
from mai.agents.organisation import Department
from mai.sandbox.errors import UsageFault

if TYPE_CHECKING:
    from mai.agents.rules import Scene
    from mai.agents.shift_scope import Shift

WORKERS: Final = ("specialist", "operator")
Broken = Iterator[tuple[KeyPath, str, str]]


def shifts_can_be_held(scene: "Scene", department: Department, where: KeyPath) -> Broken:
    """Each has a name of its own and people who work in the department; its days exist, and so does its time zone."""
    workers = [agent.name for agent in department.agents if agent.rank in WORKERS]
    seen: set[str] = set()
    for index, one in enumerate(department.shifts):
        at: KeyPath = (*where, "shifts", index)
        if not scene.findings.sound(at):
            continue
        label = f"the shift {one.name} of {department.name}"
        if one.name in seen:
            yield (*at, "name"), f"{department.name} has two shifts named {one.name}", "give one of them another name"
        seen.add(one.name)
        if not one.operators and scene.findings.sound(at, "operators"):
            yield (*at, "operators"), f"{label} has nobody", 'such as operators = ["desk"]'
        for place, name in enumerate(one.operators):
            if name not in workers:
                hint = nearest(name, workers, f"the operators and specialists of {department.name}")
                yield (*at, "operators", place), f"{label} names {shown(name)}, who is no operator of {department.name}", hint
        yield from _times(one, label, at)


def _times(one: "Shift", label: str, at: KeyPath) -> Broken:
    for key in ("holidays", "also"):
        for place, day in enumerate(getattr(one, key)):
            if not _is_date(day):
                yield (*at, key, place), f"{label}: {key} has {shown(day)}, which is no date", 'such as "2026-12-25"'
    if one.offsets != UTC:
        yield (*at, "offsets"), f"{label} has a key 'offsets', which means nothing", "name a timezone"
    try:
        zones.offsets(one.timezone or "UTC")
    except UsageFault as fault:
        yield (*at, "timezone"), f"{label}: {fault.sentence}", fault.hint


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
