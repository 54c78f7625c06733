"""What must hold of the order in which departments start, and of where figures are offered; rules.py goes on here."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mai.agents.faults import nearest
from mai.agents.lines import KeyPath
from mai.agents.metering import flaw

if TYPE_CHECKING:
    from mai.agents.rules import Scene


def departments_have_an_order(scene: "Scene") -> Iterator[tuple[KeyPath, str, str]]:
    """A department starts after others that there are, and none of them after it."""
    after = {
        name: [one for one in department.after if one in scene.departments] for name, department in scene.departments.items()
    }
    for name, department in scene.departments.items():
        where = ("departments", name, "after")
        for other in department.after:
            if other not in scene.departments:
                yield (
                    where,
                    f"{name} starts after {other}, which is no department",
                    nearest(other, scene.departments, "there are"),
                )
        if name in (circle := _way_back(name, after)):
            way = " after ".join((name, *circle))
            yield where, f"{way}: none of them could ever start", "take one of them out"


def figures_stay_on_the_host(scene: "Scene") -> Iterator[tuple[KeyPath, str, str]]:
    """Figures are offered on a socket or on loopback."""
    if wrong := flaw(scene.organisation.metrics.listen):
        yield ("metrics", "listen"), wrong, ""


def _way_back(name: str, after: dict[str, list[str]]) -> list[str]:
    """The way from a department to itself; empty if there is none."""
    ways, seen = [[one] for one in after[name]], set[str]()
    while ways:
        way = ways.pop(0)
        if way[-1] == name:
            return way
        if way[-1] not in seen:
            seen.add(way[-1])
            ways += [[*way, one] for one in after[way[-1]]]
    return []
