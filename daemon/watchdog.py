"""The watchdog: readiness, heartbeats, restarts and incidents of every process, by the table in `policy.py`.

The shell around pure decisions: notices, the supervisor's events, operators' orders and the clock come in as events of the
policy; its actions go out to the supervisor. What is wanted and what is are compared on every event and every tick, and
with the supervisor's own view now and then, so that a lost datagram, or the death of this process, heals by itself.

    python -P -m mai.daemon.watchdog STATE RUN
"""

import os
import random
import select
import sys
import time
from typing import Any

import msgspec

from mai.agents.organisation import Organisation
from mai.daemon import allotment
from mai.daemon.adopting import decided
from mai.daemon.announcing import Announcer
from mai.daemon.book import Book
from mai.daemon.case import NO_LACK, Beat, Case, Ended, Event, Floods, Moment, Restart, Spawned, Stop, Tick, due_s
from mai.daemon.control import Control
from mai.daemon.deaths import Deaths
from mai.daemon.draining import AT_REST, Drains
from mai.daemon.erasing import Erasing
from mai.daemon.heads import KIND, Heads, HeadsSigned
from mai.daemon.healer import Healer, marked
from mai.daemon.keyring import Keyring
from mai.daemon.notices import Ears, Notice
from mai.daemon.orders import Orders
from mai.daemon.persons import Persons
from mai.daemon.policy import decide, excuse
from mai.daemon.porter import Porter
from mai.daemon.programs import is_mai
from mai.daemon.quarters import furnish
from mai.daemon.reloading import Reloading
from mai.daemon.seals import client_of
from mai.daemon.sleepers import Sleepers
from mai.daemon.starts import KIND as START
from mai.daemon.starts import Starts
from mai.daemon.tempo import ACCUSED_S
from mai.daemon.turnover import Turnover
from mai.daemon.view import View, alive, ended
from mai.daemon.ward import Ward
from mai.daemon.wards import Wards
from mai.sandbox.confine import hide
from mai.sandbox.errors import MaiError, NotRunning
from mai.sandbox.life import EX_CONFIG, Signals, leave_traceback, stdin_ended, stdin_to_watch
from mai.sandbox.lock import Lock
from mai.sandbox.place import WATCHDOG, Place
from mai.sandbox.points import obey
from mai.sandbox.room import Room
from mai.sandbox.signing import Signer

TICK_S = 1.0
ASLEEP_S = 2.5
FORGERS = 1000  # pids remembered, so that each is reported once
HEADS = "heads"  # rows of state: the last signed head of each journal


class Watchdog:
    """All that it knows, and its loop. Holds its directory's lock for life."""

    def __init__(self, place: Place, organisation: Organisation) -> None:
        self.place = place
        self.organisation = organisation
        self.parent = os.getppid()
        self.lock = Lock(place.watchdog, wait_s=5.0)
        self.book = Book(place.ledger(WATCHDOG))
        self.book.retention = organisation.retention
        self.signer = Signer(place.watchdog)
        self.erasing = Erasing(self)  # first of all: nothing is made anew of what is being destroyed
        self.persons = Persons(self)
        self.heads = Heads(self.book.load(HEADS))
        self.book.started(pid=os.getpid())
        self.keyring = Keyring(place, self.book)
        furnish(place, organisation, self.keyring)
        self.room = Room(place.state, organisation.limits.free_bytes)
        self.wards = Wards(organisation, place, self.book.unwanted, self.book.asleep)
        self.starts = Starts(1, self.wards.rank)
        self.porter, self.sleepers = Porter(place), Sleepers(self)
        self.view = View(self, Control(place.supervisor_socket))
        self.drains = Drains(self)
        self.healer = Healer(self, organisation)
        self.announcer = Announcer(self, organisation)
        self.clientele = decided(place)
        self.reloading = Reloading(self)
        self.turnover = Turnover(self)
        self.deaths = Deaths(place)
        self.allotment = allotment.found()
        self.halting = False
        self.signals = Signals()
        self.ears = Ears(place.notify)
        self.ears.listen(place.notice(name) for name in self.wards)
        self.orders = Orders(self)
        self._turned_s = self.started_s = time.monotonic()
        self._reported = (False, "")
        self._behind = False  # who follows has not been told all
        self._boots = False  # all starts for the first time: nobody is served yet
        self._dead: list[tuple[Ward, str]] = []  # whose deaths are still to be told whole, each with the task that it had at work
        self._forgers: set[int] = set()
        self.erasing.forget = self.forget

    # -- the loop
    def run(self) -> None:
        """Until a signal, or the end of the supervisor."""
        poll = select.poll()
        stdin = stdin_to_watch()
        for descriptor in (
            self.ears.fileno(),
            *self.orders.gate.descriptors(),
            self.signals.fileno(),
            self.porter.fileno(),
            stdin,
        ):
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
        facts = self.view.control.processes()
        for name, failure in list(self.book.failed.items()):
            if name in self.wards and failure["boot"] == facts.boot:
                self.wards[name].case = Case(state="failed", why=failure["why"])
            elif name in self.wards:
                self.book.revive(name)  # all was started again
        starts = next(fact.spawns for fact in facts.processes if fact.name == WATCHDOG)
        self._boots = starts == 1
        if starts > 1:
            self.book.incident(WATCHDOG, "death", f"this is start number {starts} under the same supervisor", pid=os.getpid())
        self.reloading.resume(facts.boot)
        self.view.take(facts, time.monotonic())
        self.sleepers.begin()
        self.turn()

    def turn(self) -> None:
        """One turn: hear everything, then answer, then see what time has brought."""
        now_s = time.monotonic()
        self._excuse(now_s)
        self.signals.drain()
        for notice in self.ears.receive(now_s):
            self._hear(notice, now_s)
        self._start_further(now_s)  # whoever has died is away until then
        self.orders.turn(now_s)
        self._tick(now_s)
        self._start_further(now_s)
        self.book.flush(now_s)
        self._behind = self.orders.tell()

    def _timeout_s(self) -> float:
        now_s = time.monotonic()
        if self._behind or self.erasing.at_work or self.persons.busy:
            return 0.0
        due = min((due_s(ward.case, ward.rules) for ward in self.wards.values()), default=now_s + TICK_S)
        due = min(due, self.starts.due_s(now_s), self.persons.due_s)
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
            self.allotment.turn(ward)
            if measured := ward.measured(now_s):
                self.apply(ward, measured, now_s)
        self.view.turn(now_s)
        if not self.halting:
            self.drains.turn(now_s)
            self.reloading.turn(now_s)
            self.erasing.turn()
            self.persons.turn(now_s)
            self.sleepers.turn(now_s)
            self.turnover.turn(now_s)
            self.healer.turn(time.time_ns() // 1_000_000)
            self.announcer.turn()
        if said := self.room.tend():
            self.book.incident(WATCHDOG, "disk", said)
        self._sign(now_s)
        if self.halting:
            self._halt_further(now_s)
        self._report()

    def _sign(self, now_s: float, *, now: bool = False) -> None:
        """Put the heads that are new on record, signed, with our own as it was before."""
        if fresh := self.heads.due(now_s, self.organisation.watchdog.sign_s, now=now):
            own = {WATCHDOG: (self.book.head[0], self.book.head[1].hex())} if self.book.head else {}
            heads = HeadsSigned(at_ms=time.time_ns() // 1_000_000, heads=own | fresh, key=self.signer.public)
            body = msgspec.structs.replace(heads, signature=self.signer.sign(heads.statement()))
            self.book.enter(KIND, msgspec.to_builtins(body), *((HEADS, process, head) for process, head in fresh.items()))

    def _start_further(self, now_s: float) -> None:
        """Those who wait for nothing but their turn, in order; then what there is to tell of the dead."""
        most, cores = self.organisation.watchdog.starts, len(os.sched_getaffinity(0))
        self._boots = self._boots and not self.summary()[0]
        self.starts.most = cores if self._boots and not most else most or max(1, cores - 1)
        for _ in range(len(self.wards)):
            if ward := self.wards.get(self.starts.next(now_s)):
                self.apply(ward, Tick(), now_s, turn=True)
        while self._dead:
            self.deaths.write(*self._dead.pop(0))

    # -- events in
    def _hear(self, notice: Notice, now_s: float) -> None:
        if ward := self.wards.of(notice.pid):
            self.apply(ward, Beat(ward.hear(notice)), now_s)
            if ward.word and (wrong := self.heads.hear(ward.name, ward.word.seq, ward.word.head)):
                self.book.incident(ward.name, "journal", wrong, pid=notice.pid)
            self.sleepers.heard(ward, now_s)
            self._stop_floods(ward, now_s)
        elif notice.pid == self.parent:
            self._hear_supervisor(notice.fields.get("X_MAI_EVENT", "{}"), now_s)
        elif notice.pid not in self._forgers and len(self._forgers) < FORGERS:
            self._hear_stranger(notice, now_s)

    def _stop_floods(self, mai: Ward, now_s: float) -> None:
        """Whom a Mai accuses, of her own client, if it is not another life by now."""
        for name in mai.word.floods if mai.word and is_mai(mai.name) else ():
            ward = self.wards.get(name)
            if ward and client_of(name) == client_of(mai.name) and not is_mai(name) and now_s > ward.spawned_s + ACCUSED_S:
                self.apply(ward, Floods(), now_s)

    def _hear_supervisor(self, text: str, now_s: float) -> None:
        event: dict[str, Any] = msgspec.json.decode(text)
        ward = self.wards.get(event.get("name", ""))
        if event.get("event") == "stop" or event.get("down"):
            self.halting = True
        elif ward and event["event"] == "started":
            ward.spawns += ward.case.pid != event["pid"]
            self.spawned(ward, Spawned(event["pid"]), now_s)
        elif ward and event["event"] == "ended":
            told = {**event, "how": self.allotment.ended(ward.name, event["how"])}
            self.apply(ward, ended(ward, told), now_s)

    def _hear_stranger(self, notice: Notice, now_s: float) -> None:
        """Started a moment ago, or dead by now, or somebody who may not speak here."""
        self.view.compare(now_s)
        if self.wards.of(notice.pid):
            return self._hear(notice, now_s)
        self._forgers.add(notice.pid)
        if alive(notice.pid):
            text = f"process {notice.pid} of user {notice.uid} spoke as if it were one of ours; not heard"
            self.book.incident(WATCHDOG, "forged", text, pid=notice.pid)

    def apply(self, ward: Ward, event: Event, now_s: float, by: str = "an operator", *, turn: bool = False) -> None:
        """Decide, put it on record, act. `by`: who has ordered it, if it is an order; `turn`: it may start in this moment."""
        before = ward.case
        gate = not self.halting and self.wards.gate(ward)
        lack = ward.lack(now_s) if isinstance(event, Tick) else NO_LACK
        ward.case, actions, notes = decide(before, event, Moment(now_s, random.random(), gate, ward.rules, turn, lack))
        dead = any(note.what == "death" for note in notes)
        more = {"file": self.deaths.begin(ward, before, event, now_s)} if dead and isinstance(event, Ended) else {}
        for note in notes:
            told = {**more, **self._at_work(ward)} if note.what == "death" else {"bound": note.bound} if note.bound else {}
            self.book.incident(ward.name, note.what, note.text, pid=before.pid, **told)
        if ward.case != before and not self.halting:
            self._remember(ward, before, "supervisorctl" if isinstance(event, Spawned | Ended) else by)
        if "spawn" in actions:
            self.book.enter(START, {"process": ward.name, **self.starts.figures(now_s)})
        self.starts.note(ward.name, ward.case)
        for action in actions:
            self.view.act(ward, action, now_s)
        if dead:
            self._dead.append((ward, self._at_work(ward).get("task", "")))
        if ward.case.state in ("ready", "failed") and before.state != ward.case.state:
            self.deaths.over(ward, now_s)
        if dead and self.organisation.watchdog.strategy == "rest_for_one":
            for other in [one for one in self.wards.leaning(ward) if not one.case.asleep]:
                self.apply(other, Restart(), now_s)
        if ward.case.state == "ready" and before.state != "ready":
            for other in self.wards.values():  # those who waited for it
                self.apply(other, Tick(), now_s)

    def _at_work(self, ward: Ward) -> dict[str, str]:
        """The task whose code was running when it died, if one was."""
        running = self.place.home(ward.name) / "running"
        if not running.exists():
            return {}
        task = marked(running.read_bytes())
        return {"task": task} if task else {}

    def _remember(self, ward: Ward, before: Case, by: str) -> None:
        self.sleepers.remember(ward, before)
        if ward.case.wanted == (ward.name in self.book.unwanted):
            self.book.want(ward.name, "run" if ward.case.wanted else "stop", by)
        if ward.case.state == "failed" and before.state != "failed":
            self.book.give_up(ward.name, ward.case.why, self.view.boot)
        elif before.state == "failed" and ward.case.state != "failed":
            self.book.revive(ward.name)

    def spawned(self, ward: Ward, event: Spawned, now_s: float) -> None:
        """It runs under this pid, as somebody says."""
        if ward.case.pid != event.pid:
            ward.spawned(now_s, event.age_s)
            self.heads.begin(ward.name)
        self.apply(ward, event, now_s)

    def take_up(self, organisation: Organisation) -> None:
        """Care for the processes of another organisation from now on; those that are no part of it have still to be stopped."""
        self.organisation, self.clientele = organisation, decided(self.place)
        self.room = Room(self.place.state, organisation.limits.free_bytes)
        self.wards.extend(organisation, self.book.unwanted)
        self.ears.listen(self.place.notice(name) for name in self.wards)
        self.healer.take_up(organisation)
        self.announcer.take_up(organisation)
        self.orders.gate.take_up(organisation)

    def forget(self, client: str) -> None:
        """A client is erased: whoever has its name later begins anew."""
        for process in [name for name in self.keyring.held if client_of(name) == client]:
            self.keyring.forget(process)
        for process in self.heads.known(client):
            self.heads.forget(process)
        self.healer.remedies.forget(client)
        self.healer.bounds.forget(client)

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
        self._sign(now_s, now=True)
        self.book.flush(now_s)
        self.orders.farewell()
        try:
            self.view.control.finish()
        except MaiError:
            return  # it is on its way out already, or will be asked in the next turn

    def summary(self) -> tuple[bool, str]:
        """Has everything become ready, or was given up; and how `systemctl status` says it."""
        return (False, "stopping") if self.halting else self.wards.summary()

    def _report(self) -> None:
        """To systemd, when it changes."""
        if (report := self.summary()) != self._reported:
            try:
                self.view.control.report(*report)
                self._reported = report
            except MaiError:
                pass  # the next turn tries again


def main(arguments: list[str]) -> int:
    """The exit status: 0 asked to stop, 78 a restart will not help."""
    leave_traceback()
    hide()
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
