"""The loop of a client's process, a department's or Mai's: poll, take in, decide, commit, send, say that we are alive.

Nothing in it blocks but the poll, and the heartbeat comes from here: a loop that is stuck falls silent.
"""

import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq

from mai.agents.decider import Decider, Tick
from mai.agents.eraser import obey as obey_order
from mai.agents.events import ProcessStarted, ProcessStopped
from mai.agents.organisation import Mandate
from mai.agents.rotating import Rotating, unneeded
from mai.agents.shell import Shell, now_ms
from mai.sandbox import keys
from mai.sandbox.confine import confine, host_pid, walled
from mai.sandbox.errors import LedgerFault, MaiError, UsageFault
from mai.sandbox.ledger import Ledger
from mai.sandbox.libraries import libraries
from mai.sandbox.life import EX_CONFIG, EX_TEMPFAIL, Signals, keep_traceback, leave_traceback, stdin_ended, stdin_to_watch
from mai.sandbox.lock import Lock
from mai.sandbox.notify import Notifier
from mai.sandbox.orphans import bury
from mai.sandbox.place import Place
from mai.sandbox.points import obey, reach
from mai.sandbox.version import VERSION

HEARTBEAT_S = 1.0
LOCK_WAIT_S = 5.0  # a predecessor that is being killed may take so long to go

Ready = dict[object, int]  # what the poll found: a descriptor or a ZeroMQ socket -> events


def read_mandate(home: Path) -> Mandate:
    """What this process was told of the organisation. Raises LedgerFault."""
    try:
        return msgspec.msgpack.decode((home / "mandate").read_bytes(), type=Mandate)
    except (OSError, msgspec.MsgspecError) as error:
        hint = "start the process through the daemon: mai up"
        raise LedgerFault(f"{home / 'mandate'} cannot be read: {error}", hint) from error


class Loop:
    """What all client processes share. A subclass makes `decider` and `shell`, and says what it polls and does."""

    decider: Decider
    shell: Shell
    folds_messages = False  # does its decider fold what messages say?
    packages: tuple[str, ...] = ()  # distributions that it loads later, if it needs them

    def __init__(self, place: Place, name: str) -> None:
        self.place, self.name, self.home = place, name, place.home(name)
        self.signals = Signals()
        self.notifier = Notifier()
        self.lock = Lock(self.home, "process of this name", LOCK_WAIT_S)
        self.left = keep_traceback(self.home)
        reach("start.locked")
        self.mandate = read_mandate(self.home)
        self.organisation = self.mandate.organisation
        self.ledger = Ledger(place.ledger(name), name)
        reach("start.opened")
        own = self.organisation.department(name.partition("/")[2])
        kept = own.retention.over(self.organisation.retention) if own else self.organisation.retention
        self.rotating = Rotating(self.ledger, kept, lambda: unneeded(self.ledger))
        self.notifier.beat("replaying")
        obey_order(self.home, self.ledger, self.blank, lambda: self.notifier.beat("replaying"), whole=self.folds_messages)
        self.poller = zmq.Poller()
        self.done, self.progress_ms = 0, now_ms()
        self._beat_s = 0.0  # when the next heartbeat is due, on the monotonic clock: the other one may be set back
        self._replayed = 0  # rows and records that were read back
        self.hand: keys.Hand | None = None  # the keys that this process has read
        self._stamp: tuple[tuple[int, int], ...] = ()
        self.halted = ""  # why this process cannot go on

    # -- what a subclass says
    def blank(self) -> Decider:
        """Its decider, knowing nothing: to fold the journal anew. Called before anything but the mandate is there."""
        raise NotImplementedError

    def take(self, ready: Ready) -> None:
        """Take in what the poll found."""

    def work(self) -> bool:
        """Do what is to be done this turn before the commit; true if there is more to do at once."""
        return False

    def after(self) -> None:
        """What may leave the process now that the turn is committed."""

    def look(self) -> None:
        """Once in each heartbeat: has something in the process's directory changed?"""

    def queue(self) -> int:
        """How much is waiting or in work."""
        return 0

    def pending(self) -> int:
        """All that is not done yet: as long as there is something, it must not be put to sleep."""
        return self.queue() + sum(len(transit.waiting) for transit in self.decider.state.transits.values())

    def waits_for(self) -> tuple[str, ...]:
        """For whom there are messages that were not taken."""
        return ()

    def floods(self) -> tuple[str, ...]:
        """Who floods this process, so that it has to be stopped."""
        return ()

    def urgent(self) -> bool:
        """Is there a word for the watchdog that must not wait for the next heartbeat?"""
        return False

    def policies(self) -> str:
        """The digest of the policies by which it judges what its agents do; "" if that is not its part."""
        return ""

    def status(self) -> str:
        """How it is, in a few words."""
        return f"{self.queue()} open"

    def close(self) -> None:
        """Give back what the subclass holds."""

    # -- its keys
    def read_keys(self) -> keys.Hand:
        """Read the keys that lie in its directory. Raises UsageFault."""
        self._stamp = keys.stamp(self.home)  # before, so that what changes meanwhile is seen the next time
        self.hand = keys.read(self.home)
        return self.hand

    def new_keys(self) -> keys.Hand | None:
        """The keys that lie in its directory, if others were put there since they were read."""
        before = self.hand
        if before is None or keys.stamp(self.home) == self._stamp:
            return None
        try:
            found = self.read_keys()
        except UsageFault:
            return None  # it has those that it has; the next heartbeat looks again
        return found if found.digest != before.digest else None

    # -- the loop
    def started(self) -> None:
        """Journal that a new life of this process begins."""
        reach("start.loaded")
        digest, self._replayed = self.organisation.digest, self.ledger.read_back
        self.shell.apply(
            ProcessStarted(
                process=self.name,
                version=VERSION,
                organisation=digest,
                pid=host_pid(),
                walls=str(walled()),
                policies=self.policies(),
                libraries=libraries(self.packages),
            )
        )

    def run(self) -> None:
        """Work until asked to stop. Raises MaiError."""
        try:
            self._until_asked()
            self._stop()
        finally:
            self.close()
            self.ledger.close()
        if self.halted:
            raise LedgerFault(f"{self.name} halts: {self.halted}", "put the newest copy of its ledger back")

    def _until_asked(self) -> None:
        self.poller.register(self.signals, zmq.POLLIN)
        if (stdin := stdin_to_watch()) is not None:
            self.poller.register(stdin, zmq.POLLIN)
        more = True
        while not self.signals.stop_asked and not self.halted:
            ready: Ready = dict(self.poll(0 if more else self._wait_ms()))
            if self.signals.fileno() in ready:
                self.signals.drain()
            if stdin is not None and stdin in ready and stdin_ended():
                break
            more = self._round(ready)

    def _round(self, ready: Ready) -> bool:
        """One round of the loop after the poll; true if there is more to do at once."""
        if 0 < self.decider.next_deadline_ms() <= now_ms():  # before what has just come: what is late ends as such
            self.shell.feed(Tick())
        self.take(ready)
        return self._turn()

    def poll(self, wait_ms: int) -> list[tuple[object, int]]:
        """Wait for something to happen."""
        return self.poller.poll(wait_ms)

    def _wait_ms(self) -> int:
        beat_ms = math.ceil((self._beat_s - time.monotonic()) * 1000)
        if self.rotating.busy:
            beat_ms = min(beat_ms, math.ceil(self.rotating.wait_s(time.monotonic()) * 1000))
        deadline_ms = self.decider.next_deadline_ms()
        return max(0, min(beat_ms, deadline_ms - now_ms()) if deadline_ms else beat_ms)

    def _turn(self) -> bool:
        more = self.work()
        beat = time.monotonic() >= self._beat_s or self.urgent()
        self.shell.commit(all_of_it=beat)
        self.after()
        if self.rotating.due(time.monotonic()):
            self._rotate()
        if beat:
            self.look()
            self.rotating.ask(self.home)
            self._beat_s = time.monotonic() + HEARTBEAT_S
            queue, commits = self.queue(), self.ledger.commits
            told = {"queue": queue, "done": self.done, "progress_ms": self.progress_ms, "commits": commits}
            told["replayed"], told["pending"] = self._replayed, self.pending()
            bury()
            digest, waits_for = self.hand.digest if self.hand else "", self.waits_for()
            floods, status = self.floods(), self.status()
            self.notifier.beat(
                "ready", **told, waits_for=waits_for, floods=floods, head=self.ledger.durable, keys=digest, status=status
            )
        return more

    def _rotate(self) -> None:
        """A little of what the journal's retention wants, after a turn that is committed as a whole."""
        self.shell.commit(all_of_it=True)
        before = self.rotating.fault
        self.rotating.step()
        if self.rotating.fault not in ("", before):
            print(f"{self.name}: {self.rotating.fault}", file=sys.stderr, flush=True)

    def _stop(self) -> None:
        self.notifier.stopping(self.halted or "asked to stop")
        self.shell.apply(ProcessStopped(why=self.halted or "asked to stop"))
        self.shell.commit(all_of_it=True)
        left = self.pending()  # after the commit: what has come in the last turn counts
        self.notifier.beat("draining", pending=left, head=self.ledger.durable, status=self.halted or "asked to stop")


def run_process(arguments: list[str], make: Callable[[Place, str], Loop]) -> int:
    """Run one process, `STATE RUN NAME`, to its end; returns the exit status.

    It is 78 if a restart would not help, 75 if the disk is in the way just now.
    """
    leave_traceback()
    confine()
    state, run, name = arguments
    obey(name)
    try:
        make(Place(state, run), name).run()
    except MaiError as error:
        print(f"{name}: {error.sentence}; {error.hint}", file=sys.stderr, flush=True)
        if isinstance(error, LedgerFault) and not error.lasting:
            os._exit(EX_TEMPFAIL)  # not one more write or sync, not even that of closing a file
        return EX_CONFIG if isinstance(error, LedgerFault) else 1
    return 0
