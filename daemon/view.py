"""The supervisor as the watchdog sees it: what it is told to do, what it says of each process, and what differs.

What runs is compared with the supervisor's own view now and then, so that a lost datagram, or the death of the watchdog,
heals by itself.
"""

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from mai.daemon.case import Action, Ended, Spawned, Unspawned
from mai.daemon.control import Control, Fact, Facts
from mai.daemon.ward import Ward
from mai.sandbox.errors import MaiError, NotRunning
from mai.sandbox.life import EX_CONFIG

if TYPE_CHECKING:
    from mai.daemon.watchdog import Watchdog

COMPARE_S = 5.0  # also our sign of life to it


class View:
    """What the supervisor said last, and the way to it."""

    def __init__(self, watchdog: "Watchdog", control: Control) -> None:
        self.control = control
        self.facts: Facts | None = None
        self._watchdog = watchdog
        self._compared_s = 0.0

    @property
    def boot(self) -> str:
        """Which start of the supervisor this is; "" if it has not been heard yet."""
        return self.facts.boot if self.facts else ""

    def act(self, ward: Ward, action: Action, now_s: float) -> None:
        """What the policy wants of the supervisor. If it does not answer, the next comparison tells what became of it."""
        try:
            match action:
                case "spawn":
                    ward.spawned(now_s)
                    pid = self.control.start(ward.name)
                    ward.spawns += 1
                    self._watchdog.spawned(ward, Spawned(pid), now_s)
                case "terminate":
                    self.control.stop(ward.name)
                case "abort":
                    self.control.signal(ward.name, signal.SIGABRT)
                case "kill":
                    self.control.signal(ward.name, signal.SIGKILL)
        except NotRunning:
            self._compared_s = 0.0
            self._watchdog.apply(ward, Unspawned(), now_s)
        except MaiError as error:
            self._compared_s = 0.0
            if action == "spawn":
                self._watchdog.apply(ward, Ended(0, f"could not be started: {error.sentence}", 127), now_s)

    def tidy(self) -> None:
        """Programs that are no part of the organisation, and are stopped, need not be known any more."""
        try:
            self.control.adopt("")
        except MaiError as error:
            print(f"watchdog: {error.sentence}", file=sys.stderr, flush=True)

    def turn(self, now_s: float) -> None:
        """Compare when it is time."""
        if now_s >= self._compared_s + COMPARE_S:
            self.compare(now_s)

    def compare(self, now_s: float) -> None:
        """Ask the supervisor how things are, and mend what differs."""
        try:
            self.take(self.control.processes(), now_s)
        except MaiError as error:
            self._compared_s = now_s
            print(f"watchdog: {error.sentence}", file=sys.stderr, flush=True)

    def take(self, facts: Facts, now_s: float) -> None:
        """Mend what differs from these facts."""
        self._compared_s, self.facts = now_s, facts
        self._watchdog.halting = self._watchdog.halting or facts.stopping
        for fact in facts.processes:
            if ward := self._watchdog.wards.get(fact.name):
                ward.spawns = fact.spawns
                self._mend(ward, fact, now_s)

    def _mend(self, ward: Ward, fact: Fact, now_s: float) -> None:
        if (ward.case.pid and ward.case.pid != fact.pid) or (ward.case.state == "starting" and not fact.pid):
            asked = fact.state == "STOPPED" and ward.case.state != "starting"
            self._watchdog.apply(ward, Ended(ward.case.pid, "ended unseen", asked=asked), now_s)
        elif fact.pid and fact.pid != ward.case.pid:
            self._watchdog.spawned(ward, Spawned(fact.pid, fact.age_s), now_s)
        elif ward.case.state == "stopping" and fact.state == "RUNNING":
            self.act(ward, "terminate", now_s)


def ended(ward: Ward, event: dict[str, Any]) -> Ended:
    """The supervisor's word on an end, with the last words of the process itself."""
    words, how, code = ward.last_words(), event["how"], event["code"]
    if code == EX_CONFIG:
        how = words or how
    elif code >= 0 and words:
        how = f"{how}: {words}"
    word = ward.word
    rested = word is not None and word.state == "draining" and not word.pending
    return Ended(event["pid"], how, code, event["asked"], rested)


def alive(pid: int) -> bool:
    """Is there such a process?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
