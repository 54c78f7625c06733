"""Who reads aloud: the watchdog's children that run a reading command for a caller at the door, and what they print.

    {"do": "read", "command": ["tail", "-f", "acme/finance"]}
 -> {"out": "..."} {"err": "..."} ... {"status": 0}

A child runs as the daemon's user, with a setting that shows it the caller's clients and no others, a small share of the
processor, and an end when its caller goes. The watchdog never waits for it: its pipes and its end are in one epoll, and
nothing is taken from a pipe while the caller has not read what came before.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from typing import Final

from mai.daemon.door import Caller, refusal
from mai.daemon.readings import Order, order
from mai.sandbox.errors import Expired, Refused
from mai.sandbox.life import die_with_parent
from mai.sandbox.place import ONLY, TERMINAL, Place

MOST: Final = 8  # at once
OF_ONE: Final = 4  # of one user who is no administrator
PIECE_BYTES: Final = 1 << 16
UNREAD_BYTES: Final = 1 << 20  # a caller who has so much to read gets no more for now
LONGEST_S: Final = 3600.0  # of a reading that does not follow
NICE: Final = 10  # the company's work goes first
KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "PYTHONPATH")


class Lector:
    """All readings of one door. `fileno()` goes into the watchdog's poll: when it is readable, `turn()`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._watch = select.epoll()
        self._readings: list[Reading] = []

    def fileno(self) -> int:
        """To poll for reading; stands for all children."""
        return self._watch.fileno()

    def take(self, caller: Caller, words: list[str], clients: frozenset[str] | None, *, terminal: bool) -> None:
        """Begin to read. `clients` are those that the caller may see, None: all. Raises UsageFault, Refused."""
        wanted = order(words)
        if wanted.whole and clients is not None:
            raise Refused(f"`mai {wanted.command[0]}` shows all clients", f"you may see {', '.join(sorted(clients))}")
        of_one = sum(one.caller.uid == caller.uid for one in self._readings)
        if len(self._readings) >= MOST or (of_one >= OF_ONE and not caller.rights.everything):
            raise Refused("too much is being read just now", "end one that follows, or try again in a moment")
        try:
            self._readings.append(
                Reading(caller, wanted, self._watch, command(self._place, wanted), environment(clients, terminal))
            )
        except OSError as error:
            raise Refused(f"nobody can be started to read: {error.strerror}", "try again in a moment") from error

    def turn(self, now_s: float) -> None:
        """Hand on what has been read, and see to the ends."""
        if self._readings:
            self._watch.poll(0)
            self._readings = [one for one in self._readings if not one.over(now_s)]

    def close(self) -> None:
        """End all."""
        for one in self._readings:
            one.end()
        self._readings.clear()
        self._watch.close()


class Reading:
    """One child, and its caller. Raises OSError if it cannot be started."""

    def __init__(self, caller: Caller, wanted: Order, watch: select.epoll, words: list[str], environment: dict[str, str]) -> None:
        self.caller = caller
        self._until_s = float("inf") if wanted.follows else time.monotonic() + LONGEST_S
        self._watch, parent = watch, os.getpid()
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, process_group=0,
            preexec_fn=lambda: _begin(parent),  # noqa: PLW1509  two system calls between fork and exec
        )  # fmt: skip
        self._pipes: dict[int, str] = {}
        self._taken = True  # the caller has read what came before: what the child writes is looked for
        self._pidfd = os.pidfd_open(self._process.pid)  # -1 once it has ended
        for stream, name in ((self._process.stdout, "out"), (self._process.stderr, "err")):
            assert stream is not None, "both are pipes"
            os.set_blocking(stream.fileno(), False)
            self._pipes[stream.fileno()] = name
        for descriptor in (self._pidfd, *self._pipes):
            watch.register(descriptor, select.EPOLLIN)

    def over(self, now_s: float) -> bool:
        """Hand on what there is; true at the end, which the caller is told."""
        if self.caller.gone:
            return self.end()
        if now_s >= self._until_s:
            self.end()
            self.caller.answer(refusal(Expired(f"it has not ended within {LONGEST_S:g} s", "ask for less at once")))
            return True
        for descriptor in list(self._pipes):
            self._hand_on(descriptor)
        self._heed()
        if self._process.poll() is None:
            return False
        self._forget()
        if self._pipes:
            return False
        status = self._process.returncode
        self.end()
        self.caller.answer({"status": status if status >= 0 else 128 - status})
        return True

    def _hand_on(self, descriptor: int) -> None:
        """What is in a pipe, as far as the caller reads."""
        while self.caller.unread < UNREAD_BYTES:
            try:
                data = os.read(descriptor, PIECE_BYTES)
            except BlockingIOError:
                return
            if not data:
                return self._shut(descriptor)
            self.caller.answer({self._pipes[descriptor]: data.decode(errors="surrogateescape")}, more=True)
            if self.caller.gone:
                return None
        return None

    def _heed(self) -> None:
        """Look for what the child writes only while its caller reads: a full pipe would wake us without an end."""
        if (taken := self.caller.unread < UNREAD_BYTES) != self._taken:
            self._taken = taken
            for descriptor in self._pipes:  # not watched for nothing: that it was hung up would be told all the same
                if taken:
                    self._watch.register(descriptor, select.EPOLLIN)
                else:
                    self._watch.unregister(descriptor)

    def _forget(self) -> None:
        """It has ended: that is not told any more."""
        if self._pidfd >= 0:
            self._watch.unregister(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _shut(self, descriptor: int) -> None:
        del self._pipes[descriptor]
        if self._taken:
            self._watch.unregister(descriptor)
        for stream in (self._process.stdout, self._process.stderr):
            if stream and not stream.closed and stream.fileno() == descriptor:
                stream.close()

    def end(self) -> bool:
        """By force if it has not ended; always true."""
        with contextlib.suppress(OSError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for descriptor in list(self._pipes):
            self._shut(descriptor)
        self._forget()
        return True


def _begin(parent: int) -> None:
    die_with_parent(parent)
    os.nice(NICE)


def command(place: Place, wanted: Order) -> list[str]:
    """The child's command line."""
    return [sys.executable, "-P", "-m", "mai.cli", "--state", str(place.state), *wanted.command]


def environment(clients: frozenset[str] | None, terminal: bool) -> dict[str, str]:
    """What the child finds: nothing of the caller's, and whose processes it may see."""
    assert clients is None or clients, "who may see no client may not read"
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    kept |= {ONLY: ",".join(sorted(clients))} if clients is not None else {}
    return kept | ({TERMINAL: "1"} if terminal else {})
