"""A process rotates its own journal: a little after each turn, and never for more than a fourth of its time."""

import time

from mai.agents.rotation_events import Rotated
from mai.sandbox.ledger import Ledger
from mai.sandbox.rotation import KIND, Rotation

SHARE = 4  # so many times as long as a step took passes until the next
assert Rotated.kind == KIND, "what is written is what is read"


class Rotating:
    """The rotation that a ledger is in, if it is in one. Whoever dies in one goes on with it in his next life."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._rotation: Rotation | None = Rotation(ledger)
        self._next_s = 0.0
        self.fault = ""  # why the last one was given up

    @property
    def busy(self) -> bool:
        """Is there something to do?"""
        return self._rotation is not None

    def begin(self, upto: int) -> None:
        """Rotate up to this record, if it is not doing so already."""
        if self._rotation is None and upto > self._ledger.archive.upto:
            self._rotation = Rotation(self._ledger, upto)

    def due(self, now_s: float) -> bool:
        """Is it time for a step?"""
        return self._rotation is not None and now_s >= self._next_s

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next step; infinite if there is none."""
        return max(0.0, self._next_s - now_s) if self._rotation else float("inf")

    def step(self) -> None:
        """One, after a turn whose commit was of all that it brought. Raises LedgerFault."""
        assert self._rotation
        begun_s = time.monotonic()
        if not self._rotation.step():
            self.fault, self._rotation = self._rotation.fault, None
        now_s = time.monotonic()
        self._next_s = now_s + (now_s - begun_s) * (SHARE - 1)
