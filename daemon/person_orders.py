"""What an operator orders at the watchdog's door about a person: that his values are erased. Answered when it is done."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from mai.daemon.door import Caller, refusal
from mai.daemon.persons import Job
from mai.daemon.vigil import Vigil
from mai.sandbox.errors import Expired, MaiError, Refused, UsageFault

if TYPE_CHECKING:
    from mai.daemon.orders import Order
    from mai.daemon.watchdog import Watchdog

SHORTEST: Final = 2  # characters of a subject
LONGEST: Final = 300
MOST: Final = 1000  # words, and requests that are named


class PersonOrders:
    """The orders of one door."""

    def __init__(self, watchdog: "Watchdog", wait: Callable[[Vigil], None]) -> None:
        self._watchdog, self._wait = watchdog, wait

    def erase(self, caller: Caller, order: "Order", now_s: float) -> None:
        """Begin, or join what has begun. Raises UsageFault, Refused."""
        persons = self._watchdog.persons
        if self._watchdog.halting:
            raise Refused("everything is being stopped", "start it again with: mai up")
        checked(order.subject, order.also, order.requests)
        try:
            if order.abandon:
                erasure, left = persons.abandon(order.name, order.subject, caller.user)
                return caller.answer({"state": "abandoned", "erasure": erasure, "left": left})
            persons.begin(
                Job(
                    erasure="", client=order.name, subject=order.subject, also=tuple(order.also), requests=tuple(order.requests),
                    reference=order.reference[:LONGEST], salt=b"", by=caller.user, role="administrator",
                    asked_ms=time.time_ns() // 1_000_000,
                )
            )  # fmt: skip
        except OSError as error:
            raise UsageFault(f"the state directory cannot be written: {error}", "make room, or set its rights") from error
        job, shown = persons.now, list[object]()
        assert job is not None

        def step() -> bool:
            if persons.now is job:
                told = [job.phase, dict(persons.waits)]
                if told != shown:
                    shown[:] = told
                    caller.answer({"erasure": job.erasure, "phase": job.phase, "waits_for": dict(persons.waits)}, more=True)
                return False
            if job.abandoned:
                caller.answer(refusal(Refused(f"{job.erasure} was abandoned by {job.abandoned}", "see: mai tail --kind person")))
                return True
            certificate, paper = persons.ended
            assert paper is not None, "whoever is at work no more has left it"
            caller.answer({"state": "erased", "certificate": certificate, **msgspec.to_builtins(paper)})
            return True

        def late() -> MaiError:
            waits = "; ".join(f"{name} ({why})" for name, why in persons.waits.items()) or job.phase
            return Expired(
                f"{job.erasure} is not done yet: {waits}", "the watchdog goes on with it; the same command waits again"
            )

        self._wait(Vigil(caller, now_s + order.timeout_s, step, late))


def checked(subject: str, also: list[str], requests: list[str]) -> None:
    """Raises UsageFault if that is no subject, or if there is too much of it."""
    if not SHORTEST <= len(subject.strip()) == len(subject) <= LONGEST:
        raise UsageFault(
            f"{subject!r:.60} is no subject", f"a word of {SHORTEST} to {LONGEST} characters, as in keys: anna@example.org"
        )
    if len(also) > MOST or len(requests) > MOST or any(not SHORTEST <= len(word) <= LONGEST for word in also):
        raise UsageFault("that are too many words or requests, or words that are too long or short", f"at most {MOST} of each")
