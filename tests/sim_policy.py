"""The restart policy alone: deaths, words, silence and orders in any order, against a supervisor that is as bad as it may be.

A process here is real enough: it is spawned or cannot be, speaks or hangs, dies by itself or when it is told to. The watchdog
is killed at times, and finds what runs. Then everything goes well, and what is wanted has to run, what is not must not.
"""

from random import Random

from mai.daemon.case import (
    ALIVE,
    PHASES,
    Action,
    Beat,
    Case,
    Ended,
    Event,
    Moment,
    Reset,
    Restart,
    Rules,
    Spawned,
    Start,
    Stop,
    Tick,
    Unspawned,
)
from mai.daemon.policy import decide, excuse

STEPS = 200
CALM_STEPS = 400
ORDERS: tuple[Event, ...] = (Start(), Stop(), Restart(), Reset())


class Watched:
    """One process under the policy, for one seed. `run` raises AssertionError."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.rules = Rules()
        self.case = Case()
        self.now_s, self.gate, self.bad = 1000.0, True, True
        self.running, self.pids = 0, 0  # its pid, and the last one
        self.hangs = False
        self.notices: list[Event] = []  # on their way to the watchdog
        self.spawned_s: list[float] = []
        self.log: list[tuple[float, object, str]] = []

    def tell(self, event: Event) -> None:
        """The policy decides, and the supervisor is told."""
        before = self.case
        turn = not self.bad or self.random.random() < 0.8  # others start just now, at times
        verdict = decide(before, event, Moment(self.now_s, self.random.random(), self.gate, self.rules, turn))
        self.case = verdict.case
        self.log.append((self.now_s, event, self.case.state))
        ended = event.pid if isinstance(event, Ended) else 0
        for action in verdict.actions:
            if action == "spawn":
                assert not self.running or self.running not in (before.pid, ended), f"{self.running} runs, another is started"
                assert verdict.actions == ("spawn",), "it is started twice"
            self.obey(action)

    # -- the supervisor
    def obey(self, action: Action) -> None:
        """It does what it was told, unless it does not answer; it never runs two."""
        if self.bad and self.random.random() < 0.05:
            if self.random.random() < 0.5:
                self.serve(action)  # only its answer was lost
            return self.tell(Unspawned())
        if action == "spawn" and self.bad and self.random.random() < 0.05:
            return self.tell(Ended(0, "could not be spawned"))
        self.serve(action)
        if action == "spawn":
            self.tell(Spawned(self.running))
        return None

    def serve(self, action: Action) -> None:
        """What becomes of the process."""
        if action == "spawn" and not self.running:
            self.pids += 1
            self.running, self.hangs = self.pids, False
            self.spawned_s.append(self.now_s)
        elif action != "spawn" and (action == "kill" or not self.hangs):
            self.die(asked=action == "terminate")

    def die(self, *, asked: bool = False, code: int = -1) -> None:
        """The process ends; the watchdog will hear of it, if it lives."""
        if self.running:
            self.notices.append(Ended(self.running, "was killed", code, asked))
            self.running = 0

    def compare(self) -> None:
        """The watchdog asks the supervisor how things are, as watchdog.py does."""
        case = self.case
        if (case.pid and case.pid != self.running) or (case.state == "starting" and not self.running):
            self.tell(Ended(case.pid, "ended unseen"))
        elif self.running and self.running != case.pid:
            self.tell(Spawned(self.running, self.random.choice([0.0, 100.0])))
        elif case.state == "stopping" and self.running:
            self.obey("terminate")

    # -- what happens
    def step(self) -> None:
        """One thing, whatever it is."""
        random = self.random
        self.now_s += random.choice([0.0, 0.01, 0.2, 1.0, 4.0])
        match random.randrange(10):
            case 0 | 1 if self.running and self.running == self.case.pid and not self.hangs:
                self.tell(Beat(random.choice(PHASES)))
            case 2:
                self.die(code=78 if random.random() < 0.05 else -1)
            case 3 if random.random() < 0.3:
                self.tell(random.choice(ORDERS))
            case 4:
                self.gate = random.random() < 0.8
            case 5 if random.random() < 0.1:
                self.hangs = True
            case 6 if random.random() < 0.05:
                self.case, self.notices = Case(), []  # another watchdog, which knows nothing
                self.compare()
            case 7 | 8 if self.notices:
                self.tell(self.notices.pop(0))
            case 9 if random.random() < 0.3:
                self.compare()
            case _ if random.random() < 0.02:
                self.case = excuse(self.case, 5.0)
            case _:
                self.tell(Tick())

    def run(self) -> "Watched":
        """All of it. Raises AssertionError."""
        for _ in range(STEPS):
            self.step()
            lately = [at_s for at_s in self.spawned_s if at_s > self.now_s - self.rules.period_s]
            assert len(lately) <= 2 * self.rules.deaths, f"{len(lately)} starts in {self.rules.period_s} s"
        self.gate, self.hangs, self.bad = True, False, False
        for number in range(CALM_STEPS):
            self.now_s += 0.2
            if self.case.state == "failed":
                self.tell(Reset())  # an operator looks after what was given up
            if self.notices:
                self.tell(self.notices.pop(0))
            elif self.running and self.running == self.case.pid and self.case.state in ALIVE:
                self.tell(Beat("ready"))
            if number % 10 == 0:
                self.compare()
            self.tell(Tick())
        wanted = self.case.wanted
        assert wanted == bool(self.running), f"wanted: {wanted}, runs: {self.running}, {self.case.state}, {self.case.why}"
        assert self.case.state == ("ready" if wanted else "stopped"), self.case.state
        assert self.case.pid == self.running
        return self
