"""What the kernel lets each process take, with all that it has started: bounds of its cgroup, where a tree is delegated to us.

The watchdog's own bounds warn first and end with a traceback; these are the wall behind them, for what comes on too fast.
"""

import sys
from typing import TYPE_CHECKING, Final

from mai.sandbox.cgroup import Groups, delegated

if TYPE_CHECKING:
    from mai.daemon.ward import Ward

USED_UP: Final = "its memory was used up, says the kernel"


class Allotment:
    """The bounds as they were last set, and how often the kernel has killed for them."""

    def __init__(self, groups: Groups | None) -> None:
        self._groups = groups
        self._set: dict[str, tuple[int, int]] = {}  # process -> the pid and the bytes
        self._kills: dict[str, int] = {}

    def turn(self, ward: "Ward") -> None:
        """Compare what is wanted with what was set: another life, or a bound that was raised or lowered."""
        wanted = (ward.case.pid, ward.rules.memory_bytes)
        if self._groups is None or not ward.case.pid or self._set.get(ward.name) == wanted:
            return
        self._set[ward.name] = wanted  # once for each: a kernel that refuses it will refuse it again
        try:
            self._groups.bound(ward.name, ward.rules.memory_bytes)
        except OSError as error:
            print(f"watchdog: the cgroup of {ward.name}: {error}", file=sys.stderr, flush=True)

    def ended(self, process: str, how: str) -> str:
        """How a process ended, with the kernel's reason if there is one."""
        if self._groups is None:
            return how
        kills, before = self._groups.memory_kills(process), self._kills.get(process, 0)
        self._kills[process] = kills
        return f"{how}: {USED_UP}" if kills > before else how

    def controllers(self) -> list[str]:
        """By what each process is bounded; none where nothing is delegated."""
        try:
            return self._groups.controllers() if self._groups else []
        except OSError:
            return []


def found() -> Allotment:
    """The allotments in the tree that this process is in."""
    return Allotment(delegated())
