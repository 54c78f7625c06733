"""The locksmith of the chaos campaign: gives one process after another other keys, whatever happens meanwhile."""

import random
from threading import Event, Thread

from mai.daemon.door import Door
from mai.sandbox.errors import MaiError
from tests.chaos_company import DOOR_S, Company
from tests.chaos_world import INSIDE

PAUSE_S = 1.0


class Locksmith:
    """Works beside the company until `end`. `turned`: how often a change of keys was begun."""

    def __init__(self, company: Company, seed: str) -> None:
        self.company, self.turned = company, 0
        self._chance = random.Random(f"{seed} locksmith")
        self._end = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(PAUSE_S):
            try:
                for _ in Door(self.company.place.door, DOOR_S).ask(self._order()):
                    pass
            except MaiError:  # the watchdog is away, or dies over it: it goes on by itself
                continue
            self.turned += 1

    def _order(self) -> dict[str, object]:
        return {"do": "rotate", "name": self._chance.choice(INSIDE), "timeout_s": DOOR_S}

    def end(self) -> None:
        """No more."""
        self._end.set()
        self._thread.join()
