"""What must hold of an organisation's objectives; the rules of rules.py go on here."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mai.agents.lines import KeyPath
from mai.agents.objectives import SHARE, Objectives, OwnObjectives

if TYPE_CHECKING:
    from mai.agents.rules import Scene


def objectives_agree(scene: "Scene") -> Iterator[tuple[KeyPath, str, str]]:
    """Each objective can be kept and can be missed: a latency is below the deadline, and a share has one that it is of."""
    whole = scene.organisation.objectives
    owns: list[tuple[KeyPath, OwnObjectives | Objectives, str]] = [(("objectives",), whole, "the objectives")]
    for name, department in scene.departments.items():
        owns.append((("departments", name, "objectives"), department.objectives, f"the objectives of {name}"))
    for where, own, label in owns:
        meant = own.over(whole) if isinstance(own, OwnObjectives) else own
        yield from _agrees(scene, where, own, meant, label)


def _agrees(
    scene: "Scene", where: KeyPath, own: OwnObjectives | Objectives, meant: Objectives, label: str
) -> Iterator[tuple[KeyPath, str, str]]:
    request_s = scene.organisation.limits.request_s
    if own.latency_s >= request_s:
        hint = "whoever has no answer after request_s has none at all: latency_s has to be less"
        yield (*where, "latency_s"), f"{label}: latency_s is {own.latency_s:g}, request_s {request_s:g}", hint
    if own.latency_share not in (0, SHARE) and not meant.latency_s:
        yield (*where, "latency_share"), f"{label} have a latency_share and no latency_s", "expected a latency_s beside it"
    if isinstance(own, OwnObjectives):
        for key in ("availability", "latency_share"):
            if 0 < (share := getattr(own, key)) < 0.5:  # 0 stands for the organisation's
                yield (*where, key), f"{label}: {key} is {share:g}, expected a number from 0.5 to 0.99999", ""
