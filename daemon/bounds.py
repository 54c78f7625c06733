"""Bounds that a remedy has raised: how far they are, in the watchdog's book, over restarts of everything."""

from typing import TYPE_CHECKING, Final

import msgspec

from mai.agents.organisation import Organisation
from mai.agents.remedies import BOUNDS, RAISED, Operations
from mai.daemon.book import Book
from mai.daemon.seals import client_of
from mai.daemon.wards import rules_of
from mai.sandbox.errors import Refused

if TYPE_CHECKING:
    from mai.daemon.ward import Ward
    from mai.daemon.wards import Wards

NOUN: Final = "raised"


class Bounds:
    """How many times what the organisation says each process may take."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._raised: dict[str, dict[str, float]] = book.load(NOUN)  # process -> bound -> times
        self._organisation: Organisation | None = None

    def take_up(self, organisation: Organisation, wards: "Wards") -> None:
        """Raise what was raised over the bounds of this organisation."""
        self._organisation = organisation
        for ward in wards.values():
            self._set(ward)

    def lift(self, ward: "Ward", bound: str, operations: Operations | None) -> str:
        """Half as much again; what is so now, in words. Raises Refused: there is no such bound, or it is as high as may be."""
        if self._organisation is None or operations is None or not getattr(ward.rules, BOUNDS[bound]):
            raise Refused(f"{ward.name} has no bound of {bound}")
        times = self._raised.get(ward.name, {}).get(bound, 1.0)
        if times >= operations.raise_most:
            raise Refused(f"the bound of {bound} of {ward.name} is {times:g} times what the organisation says: that is the most")
        times = min(times * RAISED, operations.raise_most)
        self._raised[ward.name] = {**self._raised.get(ward.name, {}), bound: times}
        self._keep(ward, bound, times)
        return f"{ward.name} may take {times:g} times as much {bound} as the organisation says"

    def forget(self, client: str) -> None:
        """A client is erased; its rows are gone already."""
        self._raised = {process: raised for process, raised in self._raised.items() if client_of(process) != client}

    def lower(self, ward: "Ward") -> None:
        """As the organisation says."""
        for bound in self._raised.pop(ward.name, {}):
            self._keep(ward, bound, 1.0)

    def _keep(self, ward: "Ward", bound: str, times: float) -> None:
        row = self._raised.get(ward.name)
        self._book.enter("raised", {"process": ward.name, "bound": bound, "times": times}, (NOUN, ward.name, row))
        self._set(ward)

    def _set(self, ward: "Ward") -> None:
        assert self._organisation is not None
        declared = rules_of(self._organisation, ward.name)
        raised = self._raised.get(ward.name, {})
        known = {BOUNDS[bound]: (getattr(declared, BOUNDS[bound]), times) for bound, times in raised.items()}
        lifted = {name: type(value)(value * times) for name, (value, times) in known.items()}
        ward.rules = msgspec.structs.replace(declared, **lifted)
