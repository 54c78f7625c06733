"""Decisions: each has one seal in its commit, and nothing else has one. Pure.

What a seal binds is held against the records themselves by `mai replay --all`, which knows their digests.
"""

from mai.agents.events import Event, ProcessStarted, Stepped
from mai.agents.sealing import DECISIONS, Sealed
from mai.daemon.invariants import Handler, Invariant, Notes


class Decisions(Invariant):
    """The decisions of one process, a department's or Mai's."""

    law = "decisions"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self._sealing = False  # does this life seal? Those of older versions did not

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            **dict.fromkeys(DECISIONS, self._decided),
            Sealed.kind: self._sealed,
            ProcessStarted.kind: self._started,
        }

    def _started(self, seq: int, event: Event) -> None:
        assert isinstance(event, ProcessStarted)
        self._sealing = bool(event.libraries)

    def _decided(self, seq: int, event: Event) -> None:
        if not self._sealing or not getattr(event, "request", ""):
            return
        if not isinstance(event, Stepped) or (event.call == "model" and not event.refused):
            self.dues.owe((str(seq),), seq, "a decision, has no seal in its commit")

    def _sealed(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sealed)
        if self.dues.settle((str(event.record),)) is None:
            self.found(seq, f"record {seq} seals record {event.record}, which is no decision, or was sealed before", event.record)
