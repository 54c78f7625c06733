"""How much of what is counted: granted with a task, used for it, told with its result. Pure."""

from typing import Final

import msgspec

UNBOUNDED: Final = 10**12  # where there is no limit


class Amounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Hand-ons inside departments, steps of agents' code, calls of tools."""

    hops: int = 0
    steps: int = 0
    tool_calls: int = 0

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(self.hops + other.hops, self.steps + other.steps, self.tool_calls + other.tool_calls)

    def __sub__(self, other: "Amounts") -> "Amounts":
        return Amounts(self.hops - other.hops, self.steps - other.steps, self.tool_calls - other.tool_calls)

    def at_most(self, other: "Amounts") -> "Amounts":
        """The lesser of each, and nothing negative."""
        return Amounts(
            max(0, min(self.hops, other.hops)),
            max(0, min(self.steps, other.steps)),
            max(0, min(self.tool_calls, other.tool_calls)),
        )

    def share(self, parts: int) -> "Amounts":
        """What one of so many gets, one at least of what there is; what has no limit has none for each."""
        return Amounts(_share(self.hops, parts), _share(self.steps, parts), _share(self.tool_calls, parts))


def _share(left: int, parts: int) -> int:
    if left >= UNBOUNDED // 2:
        return UNBOUNDED
    return max(0, -(-left // parts))
