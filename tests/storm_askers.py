"""Clients of the storm: each asks one thing after another and writes into its log what it was told, and when."""

import random
import time
from threading import Event, Lock, Thread
from typing import NamedTuple

from mai.daemon.asking import ask, new_id
from mai.sandbox.errors import MaiError, Refused
from mai.sandbox.place import Place
from tests.company_facts import FACTS
from tests.storm_company import CLIENT

READING = [fact.text for fact in FACTS[:69]]  # those that change nothing
TRIALS = ("weigh {n}", "weigh {n}", "brief {n}", "press {n}")
DEADLINE_S = 15.0
AGAIN_S = 0.1
VAIN = ("again later", "was given up")
LATE_S = 2.0  # from a deadline to the word that it has passed, on a machine that has much to do


class Entry(NamedTuple):
    """One line of a client's log."""

    request: str
    text: str
    at_s: float  # monotonic, when it was asked
    took_s: float
    accepted: bool
    state: str  # of the answer; "door": not let in, and `said` says why; "lost": no word at all
    said: str

    @property
    def good(self) -> bool:
        """Does it count for the company? A refusal does, unless it was for lack of room, or because a department had failed."""
        return self.state == "answered" or (self.state == "refused" and not any(words in self.said for words in VAIN))


class Askers:
    """A stream of requests. `log`: one entry for each."""

    def __init__(self, place: Place, seed: str, count: int, pause_s: float, *, trials: bool = True) -> None:
        """`pause_s`: of each between two requests, on the average; `trials`: there is the department of that name."""
        self._place, self._pause_s, self._trials = place, pause_s, trials
        self.log: list[Entry] = []
        self._guard, self._end = Lock(), Event()
        self._threads = [Thread(target=self._run, args=(random.Random(f"{seed} {n}"),), daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, chance: random.Random) -> None:
        while not self._end.wait(chance.random() * 2 * self._pause_s):
            texts = TRIALS if self._trials and chance.random() < 0.4 else READING
            self.ask(chance.choice(texts).format(n=chance.randrange(1, 1000)))

    def ask(self, text: str) -> Entry:
        """Ask, and write down what came of it."""
        request, begun_s, accepted = new_id(), time.monotonic(), False
        state, said = "lost", ""
        while state == "lost" and time.monotonic() < begun_s + DEADLINE_S:
            try:
                for reply in ask(self._place, CLIENT, text, request=request, timeout_s=DEADLINE_S, watch=False):
                    accepted = accepted or "accepted" in reply or "answer" in reply
                    if "answer" in reply:
                        state, said = reply["answer"]["state"], reply["answer"]["answer"]
            except Refused as error:
                state, said = "door", error.sentence
            except MaiError as error:  # as the hint says: the same text and the same id
                said = error.sentence
                time.sleep(AGAIN_S)
        entry = Entry(request, text, begun_s, time.monotonic() - begun_s, accepted, state, said)
        with self._guard:
            self.log.append(entry)
        return entry

    def late(self) -> list[Entry]:
        """What has no answer, or none by its deadline."""
        return [one for one in self.log if one.state == "lost" or one.took_s > DEADLINE_S + LATE_S]

    def end(self) -> None:
        """Let each get the answer for which it waits."""
        self._end.set()
        for thread in self._threads:
            thread.join(4 * DEADLINE_S)
