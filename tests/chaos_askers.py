"""Clients of the chaos campaign: each asks for transfers one after another, and repeats a request until it has an answer."""

import queue
import random
import time
from threading import Event, Lock, Thread
from typing import Any, NamedTuple

from mai.daemon import ordering
from mai.daemon.asking import ask
from mai.daemon.reader import NotFound
from mai.sandbox.errors import Expired, MaiError, NotRunning, Refused, UsageFault
from tests.chaos_company import Company
from tests.chaos_world import CLIENT, TEXT, WAYS

ACCOUNTS = 20
ANSWER_S = 240.0  # from the first asking to the answer, whatever happens: else it is lost
AGAIN_S = 0.05
HURRIED = 0.06  # the share of the requests whose deadline is short
HURRY_S = 1.0
REGRETTED = 0.08  # the share of the requests that are cancelled …
REGRET_S = 0.12  # … before so much time has passed
CANCELLED_S = 60.0
TWICE = 0.05  # the share of the answers that are asked for once more


class Transfer(NamedTuple):
    """One request."""

    ref: int
    amount: int
    source: int
    target: int
    way: str

    @property
    def request(self) -> str:
        """Its id."""
        return f"T{self.ref}"

    @property
    def text(self) -> str:
        """As a client says it."""
        return TEXT.format(**self._asdict())


def transfer(ref: int, chance: random.Random) -> Transfer:
    """A request, drawn."""
    source, target = chance.sample(range(ACCOUNTS), 2)
    return Transfer(ref, chance.randrange(1, 100), source, target, chance.choice(sorted(WAYS)))


class Askers:
    """A stream of requests. `answers`: request -> what its asker was told; `faults`: what must not have happened.

    `cancelled`: the requests that were, or may be; `repeats`: how often one was asked again.
    """

    def __init__(self, company: Company, seed: str, count: int, pause_s: float) -> None:
        """`pause_s`: of each asker between two requests, on the average."""
        self.company, self.transfers = company, dict[str, Transfer]()
        self.answers: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []
        self.repeats, self.cancelled = 0, set[str]()
        self._pause_s, self._guard = pause_s, Lock()
        self._refs: queue.SimpleQueue[int] = queue.SimpleQueue()
        for ref in range(1, 100_000):
            self._refs.put(ref)
        self._end = Event()
        self._threads = [Thread(target=self._run, args=(random.Random(f"{seed} {n}"),), daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, chance: random.Random) -> None:
        while not self._end.wait(chance.random() * 2 * self._pause_s):
            one = transfer(self._refs.get(), chance)
            with self._guard:
                self.transfers[one.request] = one
            regret = Thread(target=self._cancel, args=(one, chance.random() * REGRET_S), daemon=True)
            if chance.random() < REGRETTED:
                regret.start()
            told = self._told(one, HURRY_S if chance.random() < HURRIED else None)
            if regret.ident:
                regret.join()
            if told is None:
                return
            self.answers[one.request] = told
            if chance.random() < TWICE:
                again = self._told(one, None)
                if again != told:
                    self.faults.append(f"{one.request} was answered with {told}, later with {again}")

    def _told(self, one: Transfer, timeout_s: float | None) -> dict[str, Any] | None:
        """The answer; asked for again, with the same id, for as long as there is none."""
        end_s = time.monotonic() + ANSWER_S
        while time.monotonic() < end_s:
            try:
                for reply in ask(self.company.place, CLIENT, one.text, request=one.request, timeout_s=timeout_s, watch=False):
                    if "answer" in reply:
                        return dict(reply["answer"])
            except (NotRunning, Expired):
                self.repeats += 1
            except (Refused, UsageFault) as error:
                self.faults.append(f"{one.request} was refused at the door: {error.sentence}")
                return None
            except MaiError as error:
                self.repeats += 1
                self.company.noted.append(f"{one.request}: {error.sentence}")
            time.sleep(AGAIN_S)
        self.faults.append(f"{one.request} has no answer after {ANSWER_S:g} s: lost")
        return None

    def _cancel(self, one: Transfer, pause_s: float) -> None:
        """Regret a request that may have been accepted, or have ended, by then."""
        time.sleep(pause_s)  # not for anything to happen: for any moment of its life
        try:
            ordering.cancel(self.company.place, one.request, "regretted", CANCELLED_S)
            self.cancelled.add(one.request)
        except (Refused, NotFound):
            pass  # too late, or too early
        except MaiError:
            self.cancelled.add(one.request)  # perhaps: the answer did not come

    def end(self) -> None:
        """Let each asker get the answer for which it waits."""
        self._end.set()
        for thread in self._threads:
            thread.join(2 * ANSWER_S)
