"""What must hold of `[approvals]`: the command that tells persons of new ones exists."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mai.agents.lines import KeyPath

if TYPE_CHECKING:
    from mai.agents.rules import Scene


def approvals_can_be_announced(scene: "Scene") -> Iterator[tuple[KeyPath, str, str]]:
    """The command is one that can be started."""
    announce = scene.organisation.approvals.announce
    if announce and (wrong := scene.sources.executable(announce[0])):
        yield ("approvals", "announce"), f"the command that announces approvals: {wrong[0]}", wrong[1]
