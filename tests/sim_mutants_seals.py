"""Deliberate bugs in the seals of decisions: what they leave out, and when they come; sim_mutants.py has the others."""

from typing import Any

from mai.agents import sealing
from tests.sim_mutation import Put, mutant


@mutant
def seal_without_the_life_before(put: Put) -> None:
    """After a death only what has come since counts as known."""
    put(sealing.Seals, "_recalled", lambda self, request: sealing.Threads(self._whole))


@mutant
def seal_without_the_last_record(put: Put) -> None:
    """What came just before the decision is left out."""
    bind = sealing.Thread.bind

    def short(self: Any, upto: int) -> sealing.Bound:
        last, self.since = self.since[-1:], self.since[:-1]
        bound = bind(self, upto)
        self.since = last + self.since
        return bound

    put(sealing.Thread, "bind", short)


@mutant
def no_seal_on_a_route(put: Put) -> None:
    """Who was given a task is not sealed."""
    seal = sealing.Seals.seal
    unless = lambda write: lambda one: 0 if one.what == "route" else write(one)  # noqa: E731
    put(sealing.Seals, "seal", lambda self, at_ms, write: seal(self, at_ms, unless(write)))


@mutant
def seal_a_commit_late(put: Put) -> None:
    """The seal comes with the commit after the one of its decision."""
    seal = sealing.Seals.seal

    def late(self: Any, at_ms: int, write: Any) -> None:
        held, self.held = getattr(self, "held", []), self._pending
        for one in held:
            self._turn.setdefault(one.event.request, [])
        self._pending = held
        seal(self, at_ms, write)

    put(sealing.Seals, "seal", late)
