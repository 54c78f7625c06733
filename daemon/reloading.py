"""Another organisation takes the place of the one that runs, and only the processes that it touches are touched: `mai reload`,
and `mai client add` and `remove`, which change nothing but the clients.

    draining   Mai holds new tasks for the departments that change or go; those of requests that she had before still pass, so
               that they finish under the organisation under which they began. All idle, or time is up →
    applying   mandates and programs are the new ones; who changes is started again, who is new is started, who goes is stopped →
    settling   all of them are ready: done. One fails, or time is up: the same way back, which is `undone`

Where it stands is in the book before anything is done, and each step can be done twice: a watchdog that dies goes on with it.
When the supervisor dies everything starts again from the file and what was decided about clients, which changes in `applying`;
what was wanted of departments before is wanted again.
"""

import time
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from mai.daemon.adopting import Staged, stage, staged
from mai.daemon.case import Case, Reset, Restart, Start, Stop
from mai.daemon.control import Control
from mai.daemon.difference import Difference, difference
from mai.daemon.door import fault
from mai.daemon.draining import AT_REST
from mai.daemon.quarters import furnish
from mai.daemon.ward import Ward
from mai.sandbox.errors import MaiError, Refused

if TYPE_CHECKING:
    from mai.daemon.watchdog import Watchdog

Phase = Literal["draining", "applying", "settling"]
What = Literal["reload", "add", "remove"]
READY_S: Final = 60.0  # for all that it touches to be ready again, once the last of it may start
PATIENCE_S: Final = 30.0  # for the supervisor to read a file
NOUN: Final = "reload"
WHY: Final[dict[What, str]] = {
    "reload": "the organisation changes", "add": "a client comes", "remove": "the client is removed"
}  # fmt: skip


class Change(msgspec.Struct):
    """One that is under way."""

    phase: Phase
    by: str
    boot: str  # of the supervisor
    until_ms: int  # of its draining
    difference: Difference
    before: dict[str, dict[str, Any] | None] = {}  # drained departments: what was wanted of them
    idle: tuple[str, ...] = ()  # processes that were not to run
    undone: str = ""  # why it is taken back
    what: What = "reload"
    client: str = ""  # that comes or goes; "" for a reload
    left: dict[str, int] = {}  # processes that were not done in time, and what they have open

    @property
    def named(self) -> dict[str, Any]:
        """How its records begin. Those of a client are about that client, so that no other is told of them."""
        about = {"process": f"{self.client}/mai", "what": self.what} if self.client else {"process": "watchdog"}
        return {**about, "by": self.by, "before": self.difference.before, "after": self.difference.after}

    @property
    def comes(self) -> tuple[str, ...]:
        """Processes that are new."""
        return self.difference.removed if self.undone else self.difference.added

    @property
    def goes(self) -> tuple[str, ...]:
        """Processes that are no more."""
        return self.difference.added if self.undone else self.difference.removed


class Reloading:
    """The change of the organisation, if one is under way, and how the last one ended."""

    def __init__(self, watchdog: "Watchdog") -> None:
        self._watchdog = watchdog
        self.ended: tuple[str, str] = ("", "")  # done or undone, and why
        self.left: dict[str, int] = {}  # what was open then in those that were not done in time
        self._until_s = 0.0  # for what is to become ready
        self._words = ""  # why it is taken back, with what a process said last: for who has ordered it, not for the record
        self._old: dict[str, int] = {}  # processes that were told to start again: the pid that has to be gone
        row = watchdog.book.load(NOUN).get("")
        self.now: Change | None = msgspec.convert(row, Change) if row else None

    def resume(self, boot: str) -> None:
        """A watchdog begins while a change is under way."""
        if (now := self.now) is None:
            return
        if now.boot != boot:
            self._end("done" if self._has_come(now.difference) else "undone", "all was started again")
            return
        for name in now.goes:
            if name not in self._watchdog.wards:
                self._watchdog.wards[name] = Ward(name, self._watchdog.place.log(name), Case())
        if now.phase == "settling":
            now.phase = "applying"

    def _has_come(self, found: Difference) -> bool:
        """Does what was to come run already?"""
        runs = self._watchdog.organisation
        return runs.digest == found.after and (not found.clients or set(found.clients) == set(runs.clients))

    # -- an order
    def look(self) -> Difference:
        """What the file says now, against what runs. Raises MaiError: it has faults."""
        self.free()
        reply = Control(self._watchdog.place.supervisor_socket, PATIENCE_S).try_out()
        if reply:
            raise fault(reply)
        return difference(self._watchdog.organisation, staged(self._watchdog.place, "tried").organisation)

    def begin(self, by: str, timeout_s: float, now_s: float) -> Difference:
        """Change it as the file says. Raises MaiError: then nothing was done."""
        found = self.look()
        self.change(staged(self._watchdog.place, "tried"), Change(
            phase="draining", by=by, boot=self._watchdog.view.boot, until_ms=_in_ms(timeout_s), difference=found,
        ), now_s)  # fmt: skip
        return found

    def free(self) -> None:
        """Raises Refused if a change is under way, of keys too, or none could be put on record."""
        self._watchdog.turnover.bar()
        if self.now:
            raise Refused(f"the organisation is being changed by {self.now.by}", "look at it with: mai status")
        self._watchdog.erasing.bar()
        if self._watchdog.book.fault:
            fault = self._watchdog.book.fault
            raise Refused(f"the watchdog cannot write its ledger: {fault}", "make room, and try again")

    def change(self, to: Staged, now: Change, now_s: float) -> None:
        """Begin with a change. Raises MaiError, OSError: then nothing was done."""
        book, place = self._watchdog.book, self._watchdog.place
        runs = Staged(self._watchdog.organisation, place.organisation.read_bytes(), self._watchdog.clientele)
        stage(place, "next", to)
        stage(place, "last", runs)
        found, wards = now.difference, self._watchdog.wards
        drained = [name for name in found.drained if name in wards and wards[name].case.state not in ("stopped", "failed")]
        now.before = {name: book.wants.get(name) for name in drained}
        now.idle = tuple(name for name, ward in wards.items() if not ward.case.wanted)
        self.now = now
        for name in drained:
            book.want(name, "drain", now.by, WHY[now.what], then="change", until_ms=now.until_ms)
        self._save("begun")
        self.turn(now_s)

    def bar(self, name: str) -> None:
        """Raises Refused if a process is part of what is under way."""
        if self.now and (name in self.now.difference.touched or name in self.now.before):
            raise Refused(f"{name} is part of a change of the organisation by {self.now.by}", "wait until that is done")

    def waits_for(self) -> dict[str, str]:
        """Process → what it still has to do."""
        if (now := self.now) is None:
            return {}
        if now.phase == "draining":
            return {name: f"{ward.word.queue if ward.word else 0} open" for name, ward in self._busy()}
        return {name: self._watchdog.wards[name].case.state for name in self._unsettled(now)}

    # -- what time brings
    def turn(self, now_s: float) -> None:
        """The next step, if it is time for one."""
        if (now := self.now) is None:
            return
        if now.phase == "draining":
            busy = self._busy()
            if busy and time.time_ns() // 1_000_000 < now.until_ms:
                return
            then = "the client is added again" if now.what == "remove" else "it runs under the new organisation"
            for name, ward in busy:
                now.left[name] = ward.word.queue if ward.word else 0
                text = f"was not done in time: {now.left[name]} open; they go on when {then}"
                self._watchdog.book.incident(name, "drain", text, pid=ward.case.pid)
            now.phase = "applying"
            self._save("drained")
        if now.phase == "applying":
            self._apply(now, now_s)
        elif now.phase == "settling":
            self._settle(now, now_s)

    def _busy(self) -> list[tuple[str, Ward]]:
        """Departments that have something to finish."""
        assert self.now is not None
        drained = [(name, ward) for name in self.now.before if (ward := self._watchdog.wards.get(name))]
        return [
            (name, ward) for name, ward in drained
            if ward.case.state not in AT_REST and not self._watchdog.drains.is_idle(ward)
        ]  # fmt: skip

    def _apply(self, now: Change, now_s: float) -> None:
        """Mandates, programs, processes."""
        place, chosen = self._watchdog.place, "last" if now.undone else "next"
        self._watchdog.book.flush(now_s)  # what follows must be found by who comes after us
        try:
            organisation = staged(place, "last" if now.undone else "next").organisation
            furnish(place, organisation, self._watchdog.keyring)
            self._watchdog.view.control.adopt(chosen)
        except (MaiError, OSError) as error:
            if not now.undone:
                self._back(now, f"it could not be set up: {error.sentence if isinstance(error, MaiError) else error}")
            return  # the way back is tried again
        self._watchdog.take_up(organisation)
        self._until_s, now.phase = now_s + READY_S, "settling"
        self._save("applied")
        for name in now.difference.changed:
            self._again(self._watchdog.wards[name], now, now_s)
        for name in now.goes:
            self._watchdog.apply(self._watchdog.wards[name], Stop(), now_s, now.by)
        for name in now.comes:
            if name not in now.idle:
                self._watchdog.apply(self._watchdog.wards[name], Start(), now_s, now.by)

    def _again(self, ward: Ward, now: Change, now_s: float) -> None:
        """Start a process again that is to run."""
        if ward.name in now.idle:
            return
        self._old[ward.name] = ward.case.pid
        failed = ward.case.state in ("failed", "backoff")
        self._watchdog.apply(ward, Reset() if failed else Restart(), now_s, now.by)

    def _unsettled(self, now: Change) -> list[str]:
        """Processes that are not yet as they are to be."""
        wards = self._watchdog.wards
        starts = [name for name in (*now.difference.changed, *now.comes) if name not in now.idle]
        late = [name for name in starts if wards[name].case.state != "ready" or wards[name].case.pid == self._old.get(name)]
        return [*late, *(name for name in now.goes if wards[name].case.state not in ("stopped", "failed"))]

    def _settle(self, now: Change, now_s: float) -> None:
        late = self._unsettled(now)
        if any(self._watchdog.wards[name].case.state == "queued" for name in late):
            self._until_s = max(self._until_s, now_s + READY_S)  # to wait for one's turn to start is nobody's fault
        failed = [name for name in late if self._watchdog.wards[name].case.state == "failed"]
        if not late:
            self._end("undone" if now.undone else "done", now.undone)
        elif failed or now_s > self._until_s:
            names = ", ".join(failed or late)
            text = f"{names}: {'given up' if failed else f'not ready within {READY_S:g} s'}"
            if now.undone:
                return self._end("undone", f"{now.undone}; and the former organisation is not ready: {text}")
            self._back(now, text)
            self._words = f"{names}: {self._watchdog.wards[failed[0]].case.why}" if failed else ""

    def _back(self, now: Change, why: str) -> None:
        """It does not work: the former organisation again."""
        self._watchdog.book.incident(str(now.named["process"]), "reload", "the new organisation is taken back", why=why[:1000])
        now.undone, now.phase = why, "applying"
        self._old.clear()
        self._save("taken back")

    def _end(self, state: str, why: str) -> None:
        """Nothing is under way any more."""
        now, book = self.now, self._watchdog.book
        assert now is not None
        runs = self._watchdog.organisation
        for name in (*now.difference.added, *now.difference.removed):
            if name in runs.engines() or name in runs.processes():
                book.revive(name)
                continue
            self._watchdog.starts.forget(name)
            if self._watchdog.wards.pop(name, None) and state == "done":
                # before what was wanted is forgotten, or Mai would take it for free
                book.give_up(name, "it is no part of the organisation any more", now.boot)
            book.want(name, "run", now.by)
        for name, before in now.before.items():
            if name in self._watchdog.wards:
                book.wish(name, before, now.by)
        self._watchdog.view.tidy()
        self.now, self.ended, self.left = None, (state, self._words or why), now.left
        self._words = ""
        self._old.clear()
        book.enter("reloaded", {**now.named, "state": state, "why": why[:1000]}, (NOUN, "", None))

    def _save(self, step: str) -> None:
        assert self.now is not None
        row = msgspec.to_builtins(self.now)
        self._watchdog.book.enter("reload", {**self.now.named, "step": step}, (NOUN, "", row))


def _in_ms(seconds: float) -> int:
    """Milliseconds since 1970, so many seconds from now."""
    return time.time_ns() // 1_000_000 + int(seconds * 1000)
