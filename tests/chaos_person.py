"""The person of the chaos campaign: looks up in the bank each effect in doubt, and says what it knows: `mai effects resolve`."""

import json
from threading import Event, Thread

from mai.daemon.door import Door
from mai.sandbox.errors import MaiError
from tests.chaos_books import calls
from tests.chaos_company import DOOR_S, Company
from tests.chaos_world import CLIENT

LOOK_S = 0.3


class Person:
    """Works beside the company until `end`. `resolved`: how many were."""

    def __init__(self, company: Company) -> None:
        self.company, self.resolved = company, 0
        self._end = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(LOOK_S):
            for key in self.doubts():
                self._resolve(key)

    def doubts(self) -> list[str]:
        """The keys of the effects that wait for a person, as far as Mai is there to tell."""
        try:
            found = Door(self.company.place.sockets(CLIENT) / "door.sock", DOOR_S).call({"do": "effects", "all": False})
        except MaiError:
            return []
        return [one["key"] for one in found["effects"]]

    def _resolve(self, key: str) -> None:
        """The bank is asked first: whoever called it is dead, or was ended by force, before there is a doubt."""
        ref = next((call.ref for call in calls(self.company.bank) if call.key == key), None)
        said = ["--happened", "--value", json.dumps(ref)] if ref is not None else ["--did-not"]
        ran = self.company.mai("effects", "resolve", key, *said, "--note", "the bank says so")
        self.resolved += ran.returncode == 0
        if ran.returncode and "already" not in ran.stderr:
            self.company.noted.append(f"effects resolve {key}: {ran.stderr}")

    def end(self) -> None:
        """No doubt is left."""
        self._end.set()
        self._thread.join()
