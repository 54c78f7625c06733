"""The watchdog: readiness, heartbeats, restarts and incidents of every process, by the table in `policy.py`.

The shell around pure decisions: notices, the supervisor's events, operators' orders and the clock come in as events of the
policy; its actions go out to the supervisor. What is wanted and what is are compared on every event and every tick, and
with the supervisor's own view now and then, so that a lost datagram, or the death of this process, heals by itself.

    python -P -m mai.daemon.watchdog STATE RUN
"""

import os
import random
import select
import signal
import sys
import time
from typing import Any

import msgspec

from mai.agents.organisation import Organisation
from mai.daemon.book import Book
from mai.daemon.case import Action, Beat, Case, Ended, Event, Moment, Rules, Spawned, Stop, Tick, Unspawned, due_s
from mai.daemon.control import Control, Fact, Facts
from mai.daemon.door import Doorkeeper
from mai.daemon.notices import Notice, Notices
from mai.daemon.orders import Orders
from mai.daemon.policy import decide, excuse
from mai.daemon.programs import WATCHDOG, is_mai
from mai.daemon.quarters import furnish
from mai.daemon.ward import Ward
from mai.sandbox.errors import MaiError, NotRunning
from mai.sandbox.life import EX_CONFIG, Signals, leave_traceback, stdin_ended, stdin_to_watch
from mai.sandbox.lock import Lock
from mai.sandbox.place import Place
from mai.sandbox.points import obey
from mai.sandbox.room import Room

TICK_S = 1.0
COMPARE_S = 5.0  # with the supervisor's view; also our sign of life to it
ASLEEP_S = 2.5
FORGERS = 1000  # pids remembered, so that each is reported once
AT_REST = ("stopped", "failed", "waiting", "backoff")


class Watchdog:
    """All that it knows, and its loop. Holds its directory's lock for life."""

    def __init__(self, place: Place, organisation: Organisation) -> None:
        self.place = place
        self.rules = Rules(heartbeat_s=organisation.limits.heartbeat_s)
        self.parent = os.getppid()
        self.lock = Lock(place.watchdog, wait_s=5.0)
        self.book = Book(place.ledger(WATCHDOG))
        furnish(place, organisation)
        self.room = Room(place.state, organisation.limits.free_bytes)
        self.control = Control(place.supervisor_socket)
        self.wards = {name: self._ward(name) for name in (*organisation.engines(), *organisation.processes())}
        self.facts: Facts | None = None
        self.halting = False
        self.signals = Signals()
        self.notices = Notices(place.notify)
        self.orders = Orders(self, Doorkeeper(place.door))
        self._compared_s = self._turned_s = self.started_s = time.monotonic()
        self._reported = (False, "")
        self._behind = False  # who follows has not been told all
        self._forgers: set[int] = set()

    def _ward(self, name: str) -> Ward:
        wanted = name not in self.book.unwanted
        return Ward(name, self.place.log(name), Case(wanted=wanted, state="waiting" if wanted else "stopped"))

    # -- the loop
    def run(self) -> None:
        """Until a signal, or the end of the supervisor."""
        poll = select.poll()
        stdin = stdin_to_watch()
        for descriptor in (self.notices.fileno(), self.orders.keeper.fileno(), self.signals.fileno(), stdin):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        self._begin()
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._timeout_s() * 1000)}
            if self.signals.stop_asked or (stdin in ready and stdin_ended()):
                return
            self.turn()

    def _begin(self) -> None:
        """Learn what runs already: this may not be the first watchdog of this company."""
        self.book.started(pid=os.getpid())
        facts = self.control.processes()
        for name, failure in self.book.failed.items():
            if name in self.wards and failure["boot"] == facts.boot:
                self.wards[name].case = Case(state="failed", why=failure["why"])
        if (starts := next(fact.spawns for fact in facts.processes if fact.name == WATCHDOG)) > 1:
            self.book.incident(WATCHDOG, "death", f"this is start number {starts} under the same supervisor", pid=os.getpid())
        self._compare(facts, time.monotonic())
        self.turn()

    def turn(self) -> None:
        """One turn: hear everything, then answer, then see what time has brought."""
        now_s = time.monotonic()
        self._excuse(now_s)
        self.signals.drain()
        for notice in self.notices.receive():
            self._hear(notice, now_s)
        self.orders.turn(now_s)
        self._tick(now_s)
        self.book.flush(now_s)
        self._behind = self.orders.tell()

    def _timeout_s(self) -> float:
        now_s = time.monotonic()
        if self._behind:
            return 0.0
        due = min((due_s(ward.case, self.rules) for ward in self.wards.values()), default=now_s + TICK_S)
        return min(max(due - now_s, 0.0), TICK_S) + 0.001

    def _excuse(self, now_s: float) -> None:
        gap_s = now_s - self._turned_s
        self._turned_s = now_s
        if gap_s > ASLEEP_S:
            for ward in self.wards.values():
                ward.case = excuse(ward.case, gap_s)

    def _tick(self, now_s: float) -> None:
        for ward in self.wards.values():
            self.apply(ward, Tick(), now_s)
        if now_s >= self._compared_s + COMPARE_S:
            self.compare(now_s)
        if said := self.room.tend():
            self.book.incident(WATCHDOG, "disk", said)
        if self.halting:
            self._halt_further(now_s)
        self._report()

    # -- events in
    def _hear(self, notice: Notice, now_s: float) -> None:
        ward = next((ward for ward in self.wards.values() if ward.case.pid == notice.pid), None)
        if ward:
            self.apply(ward, Beat(ward.hear(notice)), now_s)
        elif notice.pid == self.parent:
            self._hear_supervisor(notice.fields.get("X_MAI_EVENT", "{}"), now_s)
        elif notice.pid not in self._forgers and len(self._forgers) < FORGERS:
            self._hear_stranger(notice, now_s)

    def _hear_supervisor(self, text: str, now_s: float) -> None:
        event: dict[str, Any] = msgspec.json.decode(text)
        ward = self.wards.get(event.get("name", ""))
        if event.get("event") == "stop" or event.get("down"):
            self.halting = True
        elif ward and event["event"] == "started":
            ward.spawns += ward.case.pid != event["pid"]
            self._spawned(ward, Spawned(event["pid"]), now_s)
        elif ward and event["event"] == "ended":
            self.apply(ward, ended(ward, event), now_s)

    def _hear_stranger(self, notice: Notice, now_s: float) -> None:
        """Started a moment ago, or dead by now, or somebody who may not speak here."""
        self.compare(now_s)
        if any(ward.case.pid == notice.pid for ward in self.wards.values()):
            return self._hear(notice, now_s)
        self._forgers.add(notice.pid)
        if alive(notice.pid):
            text = f"process {notice.pid} of user {notice.uid} spoke as if it were one of ours; not heard"
            self.book.incident(WATCHDOG, "forged", text, pid=notice.pid)

    def apply(self, ward: Ward, event: Event, now_s: float) -> None:
        """Decide, put it on record, act."""
        before = ward.case
        moment = Moment(now_s, random.random(), self._gate(ward), self.rules)
        ward.case, actions, notes = decide(before, event, moment)
        for note in notes:
            self.book.incident(ward.name, note.what, note.text, pid=before.pid)
        if ward.case != before and not self.halting:
            self._remember(ward, before, "supervisorctl" if isinstance(event, Spawned | Ended) else "an operator")
        for action in actions:
            self._act(ward, action, now_s)
        if ward.case.state == "ready" and before.state != "ready":
            for other in self.wards.values():  # those who waited for it
                self.apply(other, Tick(), now_s)

    def _gate(self, ward: Ward) -> bool:
        """May it be started: its Mai is ready, if it has one, and the end has not begun."""
        mai = self._mai_of(ward)
        return not self.halting and (mai is None or mai.case.state == "ready")

    def _mai_of(self, ward: Ward) -> Ward | None:
        """The Mai that a process needs; herself and the host's processes need none."""
        return None if is_mai(ward.name) else self.wards.get(f"{ward.name.split('/')[0]}/mai")

    def _remember(self, ward: Ward, before: Case, by: str) -> None:
        self.book.want(ward.name, ward.case.wanted, by)
        if ward.case.state == "failed" and before.state != "failed":
            self.book.give_up(ward.name, ward.case.why, self.facts.boot if self.facts else "")
        elif before.state == "failed" and ward.case.state != "failed":
            self.book.revive(ward.name)

    def _act(self, ward: Ward, action: Action, now_s: float) -> None:
        """What the policy wants of the supervisor. If it does not answer, the next comparison tells what became of it."""
        try:
            match action:
                case "spawn":
                    ward.spawned(now_s)
                    pid = self.control.start(ward.name)
                    ward.spawns += 1
                    self._spawned(ward, Spawned(pid), now_s)
                case "terminate":
                    self.control.stop(ward.name)
                case "abort":
                    self.control.signal(ward.name, signal.SIGABRT)
                case "kill":
                    self.control.signal(ward.name, signal.SIGKILL)
        except NotRunning:
            self._compared_s = 0.0
            self.apply(ward, Unspawned(), now_s)
        except MaiError as error:
            self._compared_s = 0.0
            if action == "spawn":
                self.apply(ward, Ended(0, f"could not be started: {error.sentence}", 127), now_s)

    def _spawned(self, ward: Ward, event: Spawned, now_s: float) -> None:
        if ward.case.pid != event.pid:
            ward.spawned(now_s, event.age_s)
        self.apply(ward, event, now_s)

    # -- the supervisor's view
    def compare(self, now_s: float) -> None:
        """Ask the supervisor how things are, and mend what differs."""
        self._compared_s = now_s
        try:
            self._compare(self.control.processes(), now_s)
        except MaiError as error:
            print(f"watchdog: {error.sentence}", file=sys.stderr, flush=True)

    def _compare(self, facts: Facts, now_s: float) -> None:
        self.facts = facts
        self.halting = self.halting or facts.stopping
        for fact in facts.processes:
            if ward := self.wards.get(fact.name):
                ward.spawns = fact.spawns
                self._mend(ward, fact, now_s)

    def _mend(self, ward: Ward, fact: Fact, now_s: float) -> None:
        if (ward.case.pid and ward.case.pid != fact.pid) or (ward.case.state == "starting" and not fact.pid):
            asked = fact.state == "STOPPED" and ward.case.state != "starting"
            self.apply(ward, Ended(ward.case.pid, "ended unseen", asked=asked), now_s)
        elif fact.pid and fact.pid != ward.case.pid:
            self._spawned(ward, Spawned(fact.pid, fact.age_s), now_s)
        elif ward.case.state == "stopping" and fact.state == "RUNNING":
            self._act(ward, "terminate", now_s)

    # -- the end, and the whole
    def _halt_further(self, now_s: float) -> None:
        """Departments, then each Mai, then the rest, which is the supervisor's."""
        departments = [ward for ward in self.wards.values() if not is_mai(ward.name)]
        for group in (departments, [ward for ward in self.wards.values() if is_mai(ward.name)]):
            for ward in group:
                if ward.case.wanted:
                    self.apply(ward, Stop(), now_s)
            if any(ward.case.state not in AT_REST for ward in group):
                return
        self.orders.farewell()
        try:
            self.control.finish()
        except MaiError:
            return  # it is on its way out already, or will be asked in the next turn

    def summary(self) -> tuple[bool, str]:
        """Has everything become ready, or was given up; and how `systemctl status` says it."""
        wanted = [ward for ward in self.wards.values() if ward.case.wanted]
        count = sum(ward.case.state == "ready" for ward in wanted)
        failed = [ward.name for ward in wanted if ward.case.state == "failed"]
        stuck = sum(ward.case.state == "waiting" and self._in_vain(ward) for ward in wanted)
        text = (
            "stopping"
            if self.halting
            else f"{count} of {len(wanted)} ready" + (f"; failed: {', '.join(failed)}" if failed else "")
        )
        return not self.halting and count + len(failed) + stuck == len(wanted), text

    def _in_vain(self, ward: Ward) -> bool:
        """It waits for a Mai that will not become ready by herself."""
        mai = self._mai_of(ward)
        return mai is not None and mai.case.state in ("failed", "stopped")

    def _report(self) -> None:
        """To systemd, when it changes."""
        if (report := self.summary()) != self._reported:
            try:
                self.control.report(*report)
                self._reported = report
            except MaiError:
                pass  # the next turn tries again


def ended(ward: Ward, event: dict[str, Any]) -> Ended:
    """The supervisor's word on an end, with the last words of the process itself."""
    words, how, code = ward.last_words(), event["how"], event["code"]
    if code == EX_CONFIG:
        how = words or how
    elif code >= 0 and words:
        how = f"{how}: {words}"
    return Ended(event["pid"], how, code, event["asked"])


def alive(pid: int) -> bool:
    """Is there such a process?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def main(arguments: list[str]) -> int:
    """The exit status: 0 asked to stop, 78 a restart will not help."""
    leave_traceback()
    obey(WATCHDOG)
    place = Place(*arguments)
    try:
        data = (place.supervisor / "organisation").read_bytes()
        Watchdog(place, msgspec.msgpack.decode(data, type=Organisation)).run()
    except (MaiError, OSError) as error:
        sentence, hint = (error.sentence, error.hint) if isinstance(error, MaiError) else (str(error), "")
        print(f"mai: {sentence}" + (f"\nhint: {hint}" if hint else ""), file=sys.stderr, flush=True)
        return 1 if isinstance(error, NotRunning) else EX_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
