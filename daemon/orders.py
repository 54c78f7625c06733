"""What an operator asks of the watchdog at its door: how things are, and to start, stop, restart, reset or end them.

An order is answered when it is done: who stops a process hears of its exit, who starts one hears that it is ready, or why
not. Each wait has an end. Who may what is gate.py's to say.
"""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec
import psutil

from mai.agents.organisation import SERVICES
from mai.daemon.adopting import staged
from mai.daemon.archive_orders import archive
from mai.daemon.case import SHOWN, Event, Reset, Restart, Start, State, Stop
from mai.daemon.client_orders import ClientOrders, changing, named
from mai.daemon.door import Caller, Reply, refusal
from mai.daemon.gate import Gate
from mai.daemon.key_form import shown_keys
from mai.daemon.person_orders import PersonOrders
from mai.daemon.programs import STOP_S, SUPERVISOR, is_mai
from mai.daemon.rights import client_of
from mai.daemon.stream import Follower
from mai.daemon.vigil import Vigil
from mai.daemon.walling import layers_of
from mai.daemon.ward import Ward, memory
from mai.sandbox.errors import Expired, MaiError, Refused, UsageFault
from mai.sandbox.place import WATCHDOG

if TYPE_CHECKING:
    from mai.daemon.watchdog import Watchdog

START_S = 60.0  # an order to start waits for so long
GRACE_S = 5.0
LONGEST_WHY = 300  # characters
EVENTS: dict[str, Event] = {"start": Start(), "stop": Stop(), "restart": Restart(), "reset": Reset()}


class Order(msgspec.Struct):
    """One request at the door; what else it holds is ignored."""

    do: str
    name: str = ""
    pss: bool = False
    timeout_s: float = 600.0  # of wait_ready
    client: str = ""  # whose records to follow; "" for all
    after: int = -1  # the last record that the caller has
    why: str = ""  # somebody wants that
    then: Literal["stop", "run"] = "stop"  # what follows when it is drained
    dry: bool = False  # only say what a reload would do
    command: list[str] = []  # that reads
    subject: str = ""  # whose values are to be erased
    also: list[str] = []  # words that are looked for
    requests: list[str] = []  # that are about him too
    reference: str = ""
    abandon: bool = False  # that erasure is to be given up
    before_ns: int = 0  # what is older is to leave the journal
    terminal: bool = False  # what it prints is for a terminal, which likes colours


class Orders:
    """Takes the requests of the watchdog's door in each turn, and keeps those who wait."""

    def __init__(self, watchdog: "Watchdog") -> None:
        self._watchdog = watchdog
        self.gate = Gate(watchdog)
        self._vigils: list[Vigil] = []
        self._followers: list[Follower] = []
        self._leaving: list[Caller] = []  # who asked for the end
        self._table: dict[str, Callable[[Caller, Order, float], None]] = {
            "status": self._status,
            "wait_ready": self._wait_ready,
            "down": self._down,
            "follow": self._follow,
            **dict.fromkeys(EVENTS, self._command),
            **dict.fromkeys(("pause", "resume"), self._pause),
            "drain": self._drain,
            "remedies": self._remedies,
            "reload": self._reload,
            **ClientOrders(watchdog, self._wait).table,
            "person_erase": PersonOrders(watchdog, self._wait).erase,
            "keys": self._keys,
            "rotate": self._rotate,
            "archive": self._archive,
            "read": self._read,
        }

    def turn(self, now_s: float) -> None:
        """Serve the door, and everybody who waits."""
        for caller, request in self.gate.keeper.turn():
            try:
                self._take(caller, request, now_s)
            except MaiError as error:
                caller.answer(refusal(error))
        self._vigils = [vigil for vigil in self._vigils if not vigil.over(now_s)]
        self.gate.turn(now_s)

    def _wait(self, vigil: Vigil) -> None:
        self._vigils.append(vigil)

    def tell(self) -> bool:
        """Tell those who follow what has become durable; true if there is more to tell at once."""
        for follower in self._followers:
            follower.step()
        self._followers = [follower for follower in self._followers if not follower.caller.gone]
        return any(follower.behind for follower in self._followers)

    def _take(self, caller: Caller, request: Reply, now_s: float) -> None:
        self.gate.check(caller, request)
        if request.get("do") == "remedy":
            return caller.answer(self._watchdog.healer.take(caller, request, time.time_ns() // 1_000_000))
        if request.get("do") == "announce":
            return self._watchdog.announcer.take(caller, request)
        try:
            order = msgspec.convert(request, Order)
        except msgspec.ValidationError as error:
            raise UsageFault(f"not an order: {error}", 'such as {"do": "status"}') from None
        if order.do not in self._table:
            raise UsageFault(f"nobody here knows how to {order.do[:40]!r}", f"known are: {', '.join(self._table)}")
        self._table[order.do](caller, order, now_s)

    def farewell(self) -> None:
        """Everything is stopped."""
        for caller in self._leaving:
            caller.answer({"stopped": True, "pid": os.getppid()})
        self._leaving.clear()

    # -- the orders
    def _status(self, caller: Caller, order: Order, now_s: float) -> None:
        recent = self._watchdog.book.recent
        seen = self.gate.clients(caller)
        wards = [
            {**ward.describe(now_s, recent.get(ward.name, []), pss=order.pss), **self._wanted(ward.name)}
            for ward in self._watchdog.wards.values()
            if seen is None or client_of(ward.name) in seen
        ]
        host = self._ourselves(now_s, pss=order.pss) if seen is None else []
        clients = {name: self._watchdog.clientele.origin(name) for name in self._watchdog.organisation.clients}
        caller.answer(
            {
                "processes": [*wards, *host],
                "clients": {name: origin for name, origin in clients.items() if seen is None or name in seen},
                "disk": self._watchdog.room.describe(),
                "walls": layers_of(self._watchdog.place).missing,
                "cgroup": self._watchdog.allotment.controllers(),
            }
        )

    def _wanted(self, name: str) -> Reply:
        """What operators want of a process, who, and why."""
        want = self._watchdog.book.wants.get(name, {"how": "run", "by": "", "why": ""})
        return {"wanted": want["how"], "wanted_by": want["by"], "wanted_why": want["why"]}

    def _ourselves(self, now_s: float, *, pss: bool) -> list[Reply]:
        facts = self._watchdog.view.facts
        own = next((fact for fact in facts.processes if fact.name == WATCHDOG), None) if facts else None
        status = self._watchdog.book.fault
        return [
            self._entry(WATCHDOG, os.getpid(), now_s - self._watchdog.started_s, own.spawns - 1 if own else 0, status, pss=pss),
            self._entry(SUPERVISOR, os.getppid(), age_s(os.getppid()), 0, self._watchdog.summary()[1], pss=pss),
        ]

    def _entry(self, name: str, pid: int, uptime_s: float, restarts: int, status: str, *, pss: bool) -> Reply:
        state = "draining" if self._watchdog.halting else "ready"
        incidents = self._watchdog.book.recent.get(name, [])
        still = {"queue": 0, "done": 0, "last_progress_s": None, "status": status, "incidents": incidents}
        return {
            "name": name,
            "pid": pid,
            "state": state,
            "asleep": False,
            **self._wanted(name),
            "restarts": restarts,
            "uptime_s": round(uptime_s, 3),
            **memory(pid, pss=pss),
            "walls": "trusted",
            **still,
        }

    def _command(self, caller: Caller, order: Order, now_s: float) -> None:
        ward = self._find(order.name, caller)
        if self._watchdog.halting:
            raise Refused("everything is being stopped", "start it again with: mai up")
        self._watchdog.reloading.bar(ward.name)
        old, event = ward.case.pid, EVENTS[order.do]
        if order.do == "start" and self._watchdog.book.desired().get(ward.name) == "drain":
            self._watchdog.book.want(ward.name, "run", caller.user)
        stop_only, slept = order.do == "stop", ward.case.asleep
        if slept and not stop_only:
            self._watchdog.sleepers.wake(ward.name, now_s)
        else:
            self._watchdog.apply(ward, event, now_s, caller.user)
        until_s = now_s + STOP_S + GRACE_S + (0.0 if stop_only else START_S)

        def step() -> bool:
            vain = self._watchdog.wards.vain(ward)
            reply = stopped(ward) if stop_only else started(ward, old if order.do == "restart" else 0, vain)
            if reply:
                caller.answer(reply)
            return bool(reply)

        def late() -> MaiError:
            return Expired(f"{ward.name} is still {shown(ward.case.state)}", f"look at its output: mai logs {ward.name}")

        self._vigils.append(Vigil(caller, until_s, step, late))

    def _archive(self, caller: Caller, order: Order, now_s: float) -> None:
        if order.name != WATCHDOG:
            self._find(order.name, caller)
        self._vigils.append(archive(self._watchdog, caller, order, now_s))

    def _pause(self, caller: Caller, order: Order, now_s: float) -> None:
        """Mai holds its new tasks, or no longer; the process itself runs on."""
        ward, by = self._department(order.name, caller), caller.user
        before = self._watchdog.book.desired().get(ward.name, "run")
        if order.do == "pause" or before in ("pause", "drain"):
            self._watchdog.book.want(ward.name, "pause" if order.do == "pause" else "run", by, order.why[:LONGEST_WHY])
        caller.answer({"name": ward.name, "state": "paused" if order.do == "pause" else shown(ward.case.state)})

    def _drain(self, caller: Caller, order: Order, now_s: float) -> None:
        """Mai holds its new tasks; when it has finished what it has it stops, or is started again."""
        ward, by = self._department(order.name, caller), caller.user
        old, until_ms = ward.case.pid, time.time_ns() // 1_000_000 + int(order.timeout_s * 1000)
        self._watchdog.book.want(ward.name, "drain", by, order.why[:LONGEST_WHY], then=order.then, until_ms=until_ms)
        last: list[object] = []

        def step() -> bool:
            if self._watchdog.book.desired().get(ward.name) == "drain":
                now = [ward.word.queue if ward.word else 0, shown(ward.case.state)]
                if now != last:
                    last[:] = now
                    caller.answer({"name": ward.name, "state": now[1], "queue": now[0]}, more=True)
                return False
            reply = stopped(ward) if order.then == "stop" else started(ward, old, "")
            if reply:
                caller.answer(reply)
            return bool(reply)

        def late() -> MaiError:
            return Expired(f"{ward.name} is still {shown(ward.case.state)}", f"look at its output: mai logs {ward.name}")

        self._vigils.append(Vigil(caller, now_s + order.timeout_s + STOP_S + GRACE_S + START_S, step, late))

    def _department(self, name: str, caller: Caller) -> Ward:
        """A department that runs. Raises MaiError."""
        ward = self._find(name, caller)
        if is_mai(ward.name) or "/" not in ward.name or ward.name.partition("/")[2] in SERVICES:
            raise UsageFault(f"{ward.name} is no department: Mai holds tasks for departments", "see: mai status")
        if self._watchdog.halting:
            raise Refused("everything is being stopped", "start it again with: mai up")
        self._watchdog.reloading.bar(ward.name)
        if ward.case.state in ("stopped", "failed") and not ward.case.asleep:
            hint = f"mai {'start' if ward.case.state == 'stopped' else 'reset'} {ward.name}"
            raise Refused(f"{ward.name} is {ward.case.state}: it gets no tasks now", f"let it run with: {hint}")
        return ward

    def _find(self, name: str, caller: Caller) -> Ward:
        if name in (WATCHDOG, SUPERVISOR):
            raise UsageFault(f"the {name} is not started or stopped by itself", "end everything with: mai down")
        if name not in self._watchdog.wards:
            clients = self.gate.clients(caller)
            known = [one for one in self._watchdog.wards if clients is None or client_of(one) in clients]
            raise UsageFault(f"there is no process {name[:80]!r}", f"there are: {', '.join(known)}")
        return self._watchdog.wards[name]

    def _reload(self, caller: Caller, order: Order, now_s: float) -> None:
        """Another organisation, without an end of what it does not touch; see reloading.py."""
        reloading = self._watchdog.reloading
        if self._watchdog.halting:
            raise Refused("everything is being stopped", "start it again with: mai up")
        if order.dry:
            found = msgspec.to_builtins(reloading.look())
            return caller.answer({"state": "looked", "difference": found, **named(staged(self._watchdog.place, "tried"))})
        found = msgspec.to_builtins(reloading.begin(caller.user, order.timeout_s, now_s))
        runs = staged(self._watchdog.place, "next")
        self._vigils.append(changing(reloading, caller, now_s + order.timeout_s, lambda: {"difference": found, **named(runs)}))

    def _keys(self, caller: Caller, order: Order, now_s: float) -> None:
        """Whose key is which."""
        caller.answer(shown_keys(self._watchdog, order.name))

    def _rotate(self, caller: Caller, order: Order, now_s: float) -> None:
        """Other keys, without an end of anything; see turnover.py."""
        turnover = self._watchdog.turnover
        if self._watchdog.halting:
            raise Refused("everything is being stopped", "start it again with: mai up")
        chosen, last = turnover.begin(caller.user, order.name, now_s), list[object]()

        def step() -> bool:
            if turnover.now:
                told = [turnover.now.phase, turnover.waits_for()]
                if told != last:
                    last[:] = told
                    caller.answer({"phase": told[0], "waits_for": told[1]}, more=True)
                return False
            caller.answer({"state": "done", **shown_keys(self._watchdog, *chosen)})
            return True

        def late() -> MaiError:
            return Expired("the keys are still being changed", "the watchdog goes on with it: mai keys list")

        self._vigils.append(Vigil(caller, now_s + order.timeout_s, step, late))

    def _read(self, caller: Caller, order: Order, now_s: float) -> None:
        self.gate.lector.take(caller, order.command, self.gate.clients(caller), terminal=order.terminal)

    def _remedies(self, caller: Caller, order: Order, now_s: float) -> None:
        clients, known = self.gate.clients(caller), self._watchdog.healer.remedies.known.values()
        seen = (one for one in known if clients is None or client_of(one.process) in clients)
        found = [msgspec.to_builtins(one) for one in seen if not order.client or one.process.startswith(f"{order.client}/")]
        caller.answer({"remedies": found})

    def _wait_ready(self, caller: Caller, order: Order, now_s: float) -> None:
        seen: dict[str, str] = {}

        def step() -> bool:
            wards = self._watchdog.wards.values()
            states = {ward.name: shown(ward.case.state) for ward in wards}
            changed = {name: state for name, state in states.items() if seen.get(name) != state}
            over, text = self._watchdog.summary()
            failed = {ward.name: ward.case.why for ward in self._watchdog.wards.values() if ward.case.state == "failed"}
            over = over or self._watchdog.halting
            if changed or over:
                seen.update(states)
                asleep = sum(ward.case.asleep for ward in wards if ward.case.state == "stopped")
                figures = {"ready": list(states.values()).count("ready") + asleep, "total": len(states)}
                end = {"failed": failed, "all_ready": not failed and not self._watchdog.halting} if over else {}
                caller.answer({"changed": changed, **figures, "status": text, **end}, more=not over)
            return over

        def late() -> MaiError:
            return Expired(f"not ready within {order.timeout_s:g} s: {self._watchdog.summary()[1]}", "look at: mai status")

        self._vigils.append(Vigil(caller, now_s + order.timeout_s, step, late))

    def _follow(self, caller: Caller, order: Order, now_s: float) -> None:
        self._followers.append(Follower(self._watchdog.book, caller, order.client, order.after))

    def _down(self, caller: Caller, order: Order, now_s: float) -> None:
        self._watchdog.view.control.down()
        self._watchdog.halting = True
        self._leaving.append(caller)


def shown(state: State) -> str:
    """A state as people are told it."""
    return SHOWN.get(state, state)


def stopped(ward: Ward) -> Reply | None:
    """The answer to who waits for its end."""
    return {"name": ward.name, "state": "stopped"} if ward.case.state == "stopped" else None


def started(ward: Ward, old: int, vain: str) -> Reply | None:
    """The answer to who waits until it is ready; `old` is the pid that has to be gone first."""
    case = ward.case
    if case.state == "ready" and case.pid != old:
        return {"name": ward.name, "state": "ready", "pid": case.pid}
    if case.state == "failed":
        return refusal(MaiError(f"{ward.name} failed: {case.why}", f"look at its output: mai logs {ward.name}"))
    if case.asleep and case.state == "stopped":
        return {"name": ward.name, "state": "stopped", "asleep": True}
    if case.state == "stopped":
        return refusal(Refused(f"{ward.name} was stopped by somebody else meanwhile"))
    return refusal(Refused(vain, "start that one first")) if vain else None


def age_s(pid: int) -> float:
    """How long a process has been running."""
    try:
        return time.time() - float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0
