"""Processes that sleep: stopped after a time without work, started by the next message for them.

A department sleeps when it has had nothing to do for its `sleep_s`, Mai when nobody else of her client is up. What is asked of
her meanwhile waits at her door (porter.py), and wakes her; what she then has for a department wakes that one alone: she names
whom she waits for in her heartbeat. So a client that sleeps costs nothing, and the first answer two starts.

Before a process is stopped it is on record that it lies down; that it sleeps, only when it has said at its end that nothing is
left undone. Whoever dies in between, watchdog or all, finds a process that lies down, and lets it run.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from mai.daemon.case import ALIVE, Case, Idle, Wake
from mai.daemon.door import Reply, refusal
from mai.daemon.draining import BEATS
from mai.daemon.programs import is_mai
from mai.daemon.ward import Ward, Word
from mai.sandbox.errors import NotRunning

if TYPE_CHECKING:
    from mai.daemon.watchdog import Watchdog

RUNS: Final = (*ALIVE, "waiting", "queued", "stopping", "aborted", "backoff")


class Rest(msgspec.Struct):
    """Since when a process has had nothing to do."""

    since_s: float
    pid: int
    quiet: bool  # as its last heartbeat said
    done: int = 0
    progress_ms: int = 0


class Sleepers:
    """Who sleeps, and who is waked."""

    def __init__(self, watchdog: "Watchdog") -> None:
        self._watchdog = watchdog
        self._rests: dict[str, Rest] = {}
        self._took: dict[str, tuple[int, int]] = {}  # client -> Mai's pid when the porter came to her door, her beats by then

    def begin(self) -> None:
        """A watchdog begins: what one before it has left half done."""
        wards, book, porter = self._watchdog.wards, self._watchdog.book, self._watchdog.porter
        for name in [name for name in book.asleep if name not in wards or not wards[name].case.asleep]:
            book.wake(name)
        for client in self._watchdog.organisation.clients:
            porter.mend(client)
            mai = wards.get(f"{client}/mai")
            if mai and mai.case.asleep and mai.case.state == "stopped":
                porter.take(client)

    # -- what they say
    def heard(self, ward: Ward, now_s: float) -> None:
        """A heartbeat."""
        word, rest = ward.word or Word("replaying"), self._rests.get(ward.name)
        quiet = ward.case.state == "ready" and not word.pending and not word.queue
        same = rest is not None and (rest.pid, rest.done, rest.progress_ms) == (ward.case.pid, word.done, word.progress_ms)
        since_s = rest.since_s if rest and quiet and same else now_s
        self._rests[ward.name] = Rest(since_s, ward.case.pid, quiet, word.done, word.progress_ms)
        for name in word.waits_for:
            if is_mai(ward.name) and name.partition("/")[0] == ward.name.partition("/")[0]:
                self.wake(name, now_s)

    def wake(self, name: str, now_s: float) -> None:
        """There is something for a process: it is started if it sleeps, and what has to be ready before it too."""
        ward = self._watchdog.wards.get(name)
        if ward is None or self._watchdog.halting:
            return
        for other in self._watchdog.wards.needs(ward):
            if other.case.asleep:
                self.wake(other.name, now_s)
        if ward.case.asleep or name in self._watchdog.book.asleep:
            self._rests.pop(name, None)
            self._watchdog.apply(ward, Wake(), now_s)
            self._watchdog.book.wake(name)

    def remember(self, ward: Ward, before: Case) -> None:
        """Keep the book of it."""
        if before.asleep and not ward.case.asleep:
            self._watchdog.book.wake(ward.name)
        elif ward.case.asleep and (ward.case.state, before.state) == ("stopped", "stopping"):
            self._watchdog.book.sleep(ward.name, sure=True)

    # -- what time brings
    def turn(self, now_s: float) -> None:
        """Wake for whom somebody stands at the door, and put to sleep who has had nothing to do."""
        for client in self._watchdog.porter.turn():
            self.wake(f"{client}/mai", now_s)
        for ward in list(self._watchdog.wards.values()):
            if ward.case.state == "waiting":
                for other in self._watchdog.wards.needs(ward):
                    self.wake(other.name, now_s)
        clients = self._watchdog.organisation.clients
        for client in clients:
            if mai := self._watchdog.wards.get(f"{client}/mai"):
                self._client(mai, now_s)
        for client in [one for one in self._watchdog.porter.clients if one not in clients]:
            self._watchdog.porter.leave(client, refusal(NotRunning(f"{client} is no client any more", "see: mai client list")))

    def _client(self, mai: Ward, now_s: float) -> None:
        client = mai.name.partition("/")[0]
        others = [one for one in self._watchdog.wards.values() if one.name.startswith(f"{client}/") and one is not mai]
        up = any(one.case.state in RUNS for one in others)
        if mai.case.asleep and up:
            self.wake(mai.name, now_s)
        for ward in others:
            self._lay_down(ward, now_s, free=self._free(ward) and not self._is_waited_for(mai, ward))
        free = self._free(mai) and not up
        self._mind_the_door(client, mai, now_s, free=free)
        self._lay_down(mai, now_s, free=free and self._is_quiet_since(client, mai))

    def _free(self, ward: Ward) -> bool:
        """Has it been without work for long enough, and does nobody want anything else of it?"""
        dog, rest = self._watchdog, self._rests.get(ward.name)
        changing = dog.reloading.now or dog.turnover.now or dog.halting or dog.book.fault
        wanted = ward.case.wanted and ward.name not in dog.book.wants
        quiet = rest is not None and rest.quiet and rest.pid == ward.case.pid
        return wanted and not changing and quiet and ward.case.state == "ready" and bool(ward.rules.sleep_s)

    def _lay_down(self, ward: Ward, now_s: float, *, free: bool) -> None:
        """On record first, then in fact."""
        book, rest = self._watchdog.book, self._rests.get(ward.name)
        idle_s = now_s - rest.since_s if rest else 0.0
        lies = ward.name in book.asleep
        if free and idle_s >= ward.rules.sleep_s and not lies:
            book.sleep(ward.name, sure=False)
        elif free and lies and book.written:
            self._watchdog.apply(ward, Idle(idle_s), now_s)
        elif lies and not free and ward.case.state == "ready":
            self.wake(ward.name, now_s)

    def _is_waited_for(self, mai: Ward, ward: Ward) -> bool:
        return mai.word is not None and ward.name in mai.word.waits_for

    # -- Mai's door
    def _mind_the_door(self, client: str, mai: Ward, now_s: float, *, free: bool) -> None:
        """Stand there before she is stopped, and leave when she is up again, or will not be."""
        porter, rest = self._watchdog.porter, self._rests.get(mai.name)
        if client not in porter.clients:
            if free and rest and now_s - rest.since_s >= mai.rules.sleep_s and porter.take(client):
                self._took[client] = (mai.case.pid, mai.beats)
        elif mai.case.state == "failed" or (mai.case.state == "stopped" and not mai.case.asleep):
            porter.leave(client, _away(mai))
        elif mai.case.state == "ready" and self._took.get(client, (0, 0))[0] != mai.case.pid:
            porter.leave(client)
        elif mai.case.state == "ready" and not free:
            porter.give_back(client)

    def _is_quiet_since(self, client: str, mai: Ward) -> bool:
        """Has she said that nothing came any more, after the porter came to her door?"""
        pid, beats = self._took.get(client, (0, 0))
        return client in self._watchdog.porter.clients and pid == mai.case.pid and mai.beats >= beats + BEATS


def _away(mai: Ward) -> Reply:
    if mai.case.state == "failed":
        return refusal(NotRunning(f"{mai.name} has failed", f"look at `mai logs {mai.name}`, then: mai reset {mai.name}"))
    return refusal(NotRunning(f"{mai.name} is stopped", f"start it with: mai start {mai.name}"))
