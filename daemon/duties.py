"""What the supervisor does of its own accord, once in each turn of its loop: tell systemd, keep a watchdog, stop in order.

Each duty has `turn(now_s)`, which says when it wants the next turn at the latest. Monotonic clock throughout.
"""

import json
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor.states import ProcessStates, SupervisorStates

from mai.daemon.case import EX_CONFIG, Rules
from mai.daemon.policy import delay_s
from mai.sandbox.notify import Notifier
from mai.sandbox.place import short

if TYPE_CHECKING:
    from mai.daemon.supervisor import Supervisor

NEVER = float("inf")
WATCHDOG_RULES = Rules(first_delay_s=0.1, longest_delay_s=5.0)
WATCHDOG_SETTLED_S = 2.0  # it ran for that long: its next death is a new story
WATCHDOG_SILENT_S = 20.0  # it asks how things are at least every 5 s
ABORT_S = 1.0
UNTOLD = 1000  # events that wait; what is lost is found by the watchdog's next comparison
AGAIN_S = 0.02  # until the watchdog's queue is tried again
REPEAT_S = 0.5  # of the word to stop, in case it was lost
ORDERLY_S = 45.0  # for an ordered stop
ABSENT_S = 5.0  # the watchdog does not even begin with it
ASLEEP_S = 3.0  # the loop itself did not turn for that long: nobody else is to blame for silence


class Upward:
    """Our side of Type=notify and WatchdogSec=; silent if nobody above listens."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._next_s = 0.0
        self.is_ready = False

    def report(self, ready: bool, status: str) -> None:
        """READY=1 once, and what `systemctl status` shows."""
        self._notifier.say(READY="1" if ready and not self.is_ready else "", STATUS=status)
        self.is_ready = self.is_ready or ready

    def stopping(self) -> None:
        """On the way out."""
        self._notifier.stopping("stopping")

    def turn(self, now_s: float) -> float:
        """WATCHDOG=1, from the loop itself, as often as systemd wants it."""
        if not self._notifier.interval_s:
            return NEVER
        if now_s >= self._next_s:
            self._notifier.say(WATCHDOG="1")
            self._next_s = now_s + self._notifier.interval_s
        return self._next_s


class Herald:
    """Tells the watchdog what happened, in order. Its queue takes 10 datagrams (net.unix.max_dgram_qlen): the rest waits here.

    While nobody listens nothing is kept: a watchdog that starts asks for everything.
    """

    def __init__(self, path: Path) -> None:
        self._address = short(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._waiting: deque[bytes] = deque(maxlen=UNTOLD)

    def tell(self, event: str, body: dict[str, Any]) -> None:
        """An event, now or as soon as there is room."""
        self._waiting.append(b"X_MAI_EVENT=" + json.dumps({"event": event, **body}).encode())
        self._send()

    def _send(self) -> None:
        try:
            while self._waiting:
                self._socket.sendto(self._waiting[0], self._address)
                self._waiting.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._waiting.clear()

    def turn(self, now_s: float) -> float:
        """Try again."""
        self._send()
        return now_s + AGAIN_S if self._waiting else NEVER


class Watch:
    """Keeps one watchdog: started again in the turn in which it died, later if it dies fast, aborted if it is silent."""

    def __init__(self, supervisor: "Supervisor", clock: Callable[[], float]) -> None:
        self._supervisor = supervisor
        self._clock = clock
        self._attempt = 0
        self._next_s = 0.0  # not before that
        self._heard_s = self._turned_s = clock()
        self._aborted_s = 0.0

    def heard(self) -> None:
        """It asked something, so it is alive."""
        self._heard_s = self._clock()

    def ended(self, process: Any, how: str, code: int) -> None:
        """It is gone; when to start the next one."""
        now_s = self._clock()
        if now_s - process.spawned_s >= WATCHDOG_SETTLED_S:
            self._attempt = 0
        self._next_s = now_s + delay_s(self._attempt, 0.0, WATCHDOG_RULES)
        self._attempt += 1
        self._supervisor.log(f"the watchdog {how}")
        if code == EX_CONFIG:
            self._supervisor.give_up("the watchdog cannot work, its last words are above")

    def turn(self, now_s: float) -> float:
        """Compare what is with what has to be."""
        if now_s - self._turned_s > ASLEEP_S:
            self._heard_s = now_s
        self._turned_s = now_s
        process = self._supervisor.watchdog
        if process.pid:
            return self._listen(process, now_s)
        if process.state not in (ProcessStates.EXITED, ProcessStates.FATAL) or not self._supervisor.is_running:
            return NEVER  # not begun yet, stopped with supervisorctl, or on the way out
        if now_s < self._next_s:
            return self._next_s
        self._heard_s, self._aborted_s = now_s, 0.0
        if not process.spawn():  # no memory, no processes left: it is FATAL in its own books, and tried again here
            process.transition()
            self._next_s, self._attempt = now_s + delay_s(self._attempt + 1, 0.0, WATCHDOG_RULES), self._attempt + 1
            return self._next_s
        process.transition()
        return NEVER

    def _listen(self, process: Any, now_s: float) -> float:
        if self._aborted_s and now_s > self._aborted_s + ABORT_S:
            process.signal(signal.SIGKILL)
            return NEVER
        if now_s > self._heard_s + WATCHDOG_SILENT_S and not self._aborted_s:
            self._supervisor.log("the watchdog is silent: aborted")
            self._aborted_s = now_s
            process.signal(signal.SIGABRT)
        return self._aborted_s + ABORT_S if self._aborted_s else self._heard_s + WATCHDOG_SILENT_S


class Halt:
    """The ordered stop. The watchdog leads it (departments, then each Mai); if it is not there, all are stopped at once."""

    def __init__(self, supervisor: "Supervisor", clock: Callable[[], float]) -> None:
        self._supervisor = supervisor
        self._clock = clock
        self._asked_s = 0.0
        self._next_s = NEVER
        self.times = 0
        self.acknowledged = False  # the watchdog has begun

    @property
    def asked(self) -> bool:
        """Is it under way?"""
        return self.times > 0

    def ask(self) -> None:
        """Begin; at the second time no longer in order, at the third without asking."""
        self.times += 1
        if self.times == 1:
            self._asked_s = self._next_s = self._clock()
            self._supervisor.upward.stopping()
        elif self.times == 2:
            self.finish()
        else:
            self._supervisor.kill_all()

    def finish(self) -> None:
        """Stop all that is left, and end."""
        self.times = max(self.times, 1)
        self._supervisor.options.mood = min(self._supervisor.options.mood, SupervisorStates.SHUTDOWN)

    def turn(self, now_s: float) -> float:
        """Remind the watchdog; lose patience."""
        if not self.asked or not self._supervisor.is_running:
            return NEVER
        patience_s = ORDERLY_S if self.acknowledged else ABSENT_S
        if self._supervisor.watchdog.state == ProcessStates.STOPPED:  # with supervisorctl: it will not come back
            patience_s = 0.0
        if now_s > self._asked_s + patience_s:
            self._supervisor.log("the watchdog does not lead the stop: stopping all at once")
            self.finish()
            return NEVER
        if now_s >= self._next_s:
            self._supervisor.options.herald.tell("stop", {"pid": os.getpid()})
            self._next_s = now_s + REPEAT_S
        return self._next_s
