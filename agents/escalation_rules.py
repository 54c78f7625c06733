"""What must hold of `[escalation]`: who is asked has time, what is set means something, and the command exists."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mai.agents.escalation_scope import Escalations
from mai.agents.lines import KeyPath

if TYPE_CHECKING:
    from mai.agents.rules import Scene

Broken = Iterator[tuple[KeyPath, str, str]]


def escalations_can_be_answered(scene: "Scene") -> Broken:
    """Persons have time for what comes because time is over; what is never in doubt has no margin; the command can be started."""
    settings = scene.organisation.escalation
    if settings.deadline == "person" and not settings.person_s:
        hint = 'give persons time, such as person_s = 3600, or let it end with the board: deadline = "board"'
        yield ("escalation", "deadline"), "who is asked because a task's time is over has no time either: person_s is 0", hint
    if settings.doubt == "no" and settings.margin != Escalations().margin:
        yield ("escalation", "margin"), "margin means nothing while doubt is no", 'doubt = "board" or doubt = "person"'
    if settings.announce and (wrong := scene.sources.executable(settings.announce[0])):
        yield ("escalation", "announce"), f"the command that announces escalations: {wrong[0]}", wrong[1]
