"""`mai keys rotate`: new keys take the place of old ones while everything runs, and no message is lost for it.

    offering      the new pairs lie beside the old ones; each Mai accepts both →
    changing      departments and services take theirs, and dial anew with it →
    serving       each Mai whose own key changes takes hers, and listens with it; connections of before stay →
    telling       her departments learn it, and dial anew →
    withdrawing   no Mai accepts the old keys any more, on whatever connection: done

What leaves and comes in between is in the links' numbers: who dials anew says Hello, and the rest is sent again. A step is
over when every process concerned has said in a heartbeat that it has read the files that lie there now; one that does not
run reads them when it starts. Where it stands is in the book before anything is done, and each step can be done twice: a
watchdog that dies goes on with it, and both halves of what lies on the disk fit together at every moment.
"""

import time
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from mai.daemon.draining import AT_REST
from mai.daemon.programs import is_mai
from mai.sandbox import keys
from mai.sandbox.errors import MaiError, Refused, UsageFault
from mai.sandbox.points import reach

if TYPE_CHECKING:
    from mai.daemon.watchdog import Watchdog

Phase = Literal["offering", "changing", "serving", "telling", "withdrawing"]
PHASES: Final[tuple[Phase, ...]] = ("offering", "changing", "serving", "telling", "withdrawing")
NOUN: Final = "turnover"


class Rotation(msgspec.Struct):
    """One that is under way."""

    by: str
    processes: tuple[str, ...]
    phase: Phase = "offering"

    @property
    def clients(self) -> tuple[str, ...]:
        """Whose keys change."""
        return tuple(dict.fromkeys(name.partition("/")[0] for name in self.processes))


class Turnover:
    """The change of keys, if one is under way."""

    def __init__(self, watchdog: "Watchdog") -> None:
        self._watchdog = watchdog
        self._done: Phase | None = None  # whose files lie there, as far as this life knows
        self._fault = ""  # why they do not
        row = watchdog.book.load(NOUN).get("")
        self.now: Rotation | None = msgspec.convert(row, Rotation) if row else None

    # -- an order
    def begin(self, by: str, name: str, now_s: float) -> tuple[str, ...]:
        """Change the keys of a process, a client, or all (""); which processes those are. Raises MaiError."""
        watchdog = self._watchdog
        watchdog.reloading.free()
        known = watchdog.keyring.held
        chosen = tuple(one for one in watchdog.wards if one in known and name in ("", one, one.partition("/")[0]))
        if not chosen:
            raise UsageFault(f"{name[:80]!r} is no process or client that has a key", f"there are: {', '.join(known)}")
        self.now = Rotation(by, chosen)
        for process in chosen:
            self._offer(process, by)
        reach("keys.offered")
        watchdog.book.enter(NOUN, self._told("begun"), (NOUN, "", msgspec.to_builtins(self.now)))
        self._done = None
        self.turn(now_s)
        return chosen

    def _offer(self, process: str, by: str) -> None:
        """Make the pair that is to follow."""
        keyring, pair = self._watchdog.keyring, keys.made()
        keys.keep(self._watchdog.place.home(process) / keys.NEXT, pair)
        keyring.held[process].next = pair.public.decode()
        keyring.note(process, "offered", next=keys.fingerprint(pair.public), by=by)

    def bar(self) -> None:
        """Raises Refused while keys are being changed."""
        if self.now:
            raise Refused(f"keys are being changed by {self.now.by}", "wait until that is done: mai keys list")

    # -- what time brings
    def turn(self, now_s: float) -> None:
        """The next step, if it is time for one."""
        while (now := self.now) is not None:
            try:
                if self._done != now.phase:
                    self._watchdog.book.flush(now_s)  # what follows must be found by who comes after us
                    if self._watchdog.book.fault:
                        return
                    self._act(now, now_s)
                    self._done, self._fault = now.phase, ""
            except (MaiError, OSError) as error:
                return self._say(error.sentence if isinstance(error, MaiError) else str(error))
            if self.waits_for():
                return
            self._next(now, now_s)

    def _say(self, fault: str) -> None:
        """It is tried again in the next turn, and said once."""
        if fault != self._fault:
            self._fault = fault
            self._watchdog.book.incident("watchdog", "keys", f"keys cannot be changed now: {fault}"[:1000])

    def _act(self, now: Rotation, now_s: float) -> None:
        """Lay the files of this phase. Raises OSError, MaiError."""
        if now.phase in ("offering", "changing", "serving"):
            self._mend(now)
        if now.phase in ("changing", "serving"):
            for process in self._concerned(now):
                keys.take(self._watchdog.place.home(process))
                reach("keys.taken")
        else:
            if now.phase == "withdrawing":
                self._withdraw(now)
                self._watchdog.book.flush(now_s)
            for client in now.clients:
                names = [name for name in self._watchdog.keyring.held if name.partition("/")[0] == client]
                self._watchdog.keyring.publish(client, [name for name in names if name in self._watchdog.wards])
                reach("keys.published")

    def _mend(self, now: Rotation) -> None:
        """A pair that waited and is gone was taken, or is lost: then there is another."""
        for process in now.processes:
            home, held = self._watchdog.place.home(process), self._watchdog.keyring.held[process]
            lies = [keys.own(home, name).public.decode() for name in (keys.KEY, keys.NEXT) if (home / name).exists()]
            if held.next not in lies:
                self._offer(process, now.by)
                now.phase = "offering"

    def _withdraw(self, now: Rotation) -> None:
        """The old keys are worth nothing from now on; on record before a Mai hears it."""
        keyring, at_ms = self._watchdog.keyring, time.time_ns() // 1_000_000
        for process in now.processes:
            held = keyring.held[process]
            if held.next:
                before = held.fingerprint
                held.renew(held.next, at_ms)
                keyring.note(process, "changed", before=before, by=now.by)

    def _concerned(self, now: Rotation) -> list[str]:
        """Whose files are replaced in this phase, or who has to read others."""
        if now.phase == "changing":
            return [name for name in now.processes if not is_mai(name)]
        if now.phase == "serving":
            return [name for name in now.processes if is_mai(name)]
        if now.phase == "telling":
            clients = {name.partition("/")[0] for name in now.processes if is_mai(name)}
            return [name for name in self._watchdog.keyring.held if name.partition("/")[0] in clients]
        return [f"{client}/mai" for client in now.clients]

    def waits_for(self) -> dict[str, str]:
        """Process → its state, of those that have not read their keys yet."""
        if self.now is None:
            return {}
        wards = self._watchdog.wards
        return {name: wards[name].case.state for name in self._concerned(self.now) if name in wards and not self.heeds(name)}

    def heeds(self, name: str) -> bool:
        """Has the process read the keys that lie in its directory, or will it when it starts?"""
        ward = self._watchdog.wards[name]
        if ward.case.state in AT_REST:
            return True
        try:
            return ward.word is not None and ward.word.keys == keys.read(self._watchdog.place.home(name)).digest
        except UsageFault:
            return False  # what lies there is not what we have put there

    def _next(self, now: Rotation, now_s: float) -> None:
        if now.phase == "withdrawing":
            self.now = None
            self._watchdog.book.enter(NOUN, {**self._told("done"), "by": now.by}, (NOUN, "", None))
            return
        now.phase = PHASES[PHASES.index(now.phase) + 1]
        self._watchdog.book.enter(NOUN, self._told(now.phase), (NOUN, "", msgspec.to_builtins(now)))

    def _told(self, step: str) -> dict[str, str]:
        return {"process": "watchdog", "step": step, "by": self.now.by if self.now else ""}
