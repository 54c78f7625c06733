"""What the watchdog of a simulated world tells Mai: departments are paused, drained, freed, or given up for a while."""

from random import Random
from typing import TYPE_CHECKING

from mai.daemon.told import Told

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

SHARE = 0.02  # of the steps of a world


class Records:
    """Its journal, as far as it concerns Mai."""

    def __init__(self, chance: Random, departments: list[str]) -> None:
        self.chance, self.departments = chance, departments
        self.told: list[Told] = []

    def act(self) -> None:
        """Now and then something is put on record."""
        if self.chance.random() < SHARE:
            process = self.chance.choice(self.departments)
            if self.chance.random() < 0.3:
                self._tell(self.chance.choice(["given_up", "given_up", "revived"]), process, "run")
            else:
                self._tell("wanted", process, self.chance.choice(["pause", "drain", "run", "run"]))

    def rest(self) -> None:
        """All departments are wanted, and none is given up."""
        for process in self.departments:
            self._tell("revived", process, "run")
            self._tell("wanted", process, "run")

    def _tell(self, kind: str, process: str, wanted: str) -> None:
        self.told.append(Told(len(self.told) + 1, 0, kind, process, {"wanted": wanted, "by": "root", "why": "an upgrade"}))

    def new(self, mai: "Gateway") -> list[Told]:
        """What she has not on record yet."""
        return self.told[max(mai.decider.state.watched.seq, 0) :]
