"""`mai client erase`: all that a client has is destroyed, step by step in the watchdog's loop, and a certificate is left.

    measuring    each file's length and digest, each journal's head; nothing is changed yet →
    destroying   the draft of the certificate is on the disk: whoever comes after a death goes on from it →
                 signed certificate, the watchdog's own rows about the client go, `erased` on record: done

The key of what the watchdog's journal holds of the client (seals.py) is among the files. A watchdog that begins while a client of
that name is to run again ends the destruction before it makes anything anew, or takes the order back if nothing was changed.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from mai.agents.organisation import is_name
from mai.daemon import certificate as papers
from mai.daemon.belongings import roots, size_bytes
from mai.daemon.certificate import Certificate
from mai.daemon.destroying import Destroyed, destroy, heads, measure
from mai.daemon.seals import UNSEALED
from mai.sandbox.durable import sync
from mai.sandbox.errors import MaiError, Refused, UsageFault
from mai.sandbox.lock import holder

if TYPE_CHECKING:
    from mai.daemon.watchdog import Watchdog

Phase = Literal["measuring", "destroying"]
TURN_S: Final = 0.02  # of one turn of the watchdog's loop
NOUN: Final = UNSEALED


class Erasure(msgspec.Struct):
    """One that is under way."""

    client: str
    by: str
    asked_ms: int
    phase: Phase = "measuring"


class Erasing:
    """The erasure that is under way, if one is."""

    def __init__(self, watchdog: "Watchdog") -> None:
        """An erasure of before is gone on with, or ended at once."""
        self._watchdog, self._place = watchdog, watchdog.place
        self._steps: Iterator[int] = iter(())
        self.forget: Callable[[str], None] = lambda client: None  # what the watchdog has loaded of it; at first nothing
        self.fault = ""  # why it does not go on; nothing more happens until it is ordered again
        self.ended: tuple[str, str] = ("", "")  # the certificate, or why there is none
        self.done_bytes = self.of_bytes = 0
        row = watchdog.book.load(NOUN).get("")
        self.now: Erasure | None = msgspec.convert(row, Erasure) if row else None
        if self.now:
            self._resume(self.now)

    def _resume(self, now: Erasure) -> None:
        self._steps = self._work(now)
        if now.client not in self._watchdog.organisation.clients:
            return
        if now.phase == "measuring" and not papers.draft(self._paper(now)).exists():
            self._over("", f"{now.client} runs again")
        else:
            for _ in self._steps:
                pass
        self._watchdog.book.flush(time.monotonic())

    @property
    def at_work(self) -> bool:
        """Is there a next step?"""
        return self.now is not None and not self.fault

    def bar(self, client: str = "") -> None:
        """Raises Refused if this client is just being erased; without a name if one is at all, and goes on."""
        if self.now and (self.now.client == client or (not client and not self.fault)):
            raise Refused(f"{self.now.client} is being erased", "wait until that is done: mai client list")

    # -- an order
    def begin(self, client: str, by: str) -> None:
        """Destroy what a client that was removed has. Raises Refused, UsageFault: then nothing was done."""
        if self.now and self.now.client == client and self.fault:
            self.fault, self._steps = "", self._work(self.now)
            return
        self.bar(client)
        self.bar()
        if not is_name(client) or (client not in self._watchdog.organisation.clients and not roots(self._place, client)):
            raise UsageFault(f"nothing of a client {client!r:.60} lies here", "look at: mai client list")
        if client in self._watchdog.organisation.clients:
            raise Refused(f"{client} still runs", f"remove it first: mai client remove {client}; or say --yes, which does both")
        for process in self._place.processes("lock"):
            if process.startswith(f"{client}/") and (pid := holder(self._place.home(process))):
                raise Refused(f"process {pid} still works in {process}", "end it first")
        self.now = Erasure(client, by, time.time_ns() // 1_000_000)
        self._save("begun")
        self._watchdog.book.flush(time.monotonic())
        if fault := self._watchdog.book.fault:
            self.now = None
            raise Refused(f"the watchdog cannot write its ledger: {fault}", "make room, and try again")
        self._steps = self._work(self.now)

    def turn(self) -> None:
        """The next steps, as many as fit into a turn."""
        end_s = time.monotonic() + TURN_S
        while self.at_work and time.monotonic() < end_s:
            try:
                next(self._steps, 0)
            except (OSError, MaiError) as error:
                why = (
                    error.sentence if isinstance(error, MaiError) else f"{error.filename or self._place.state}: {error.strerror}"
                )
                self._fail(why)

    def _fail(self, why: str) -> None:
        assert self.now is not None
        if papers.draft(self._paper(self.now)).exists():
            self.fault = why  # half of it may be destroyed: there is no way back
        else:
            self._over("", why)

    def _paper(self, now: Erasure) -> Path:
        return papers.path_of(self._place, now.client, now.asked_ms)

    # -- the work
    def _work(self, now: Erasure) -> Iterator[int]:
        """Yields after each step. Raises OSError, MaiError."""
        path = self._paper(now)
        if not path.exists():
            if not papers.draft(path).exists():
                yield from self._measure(now)
            yield from self._destroy(now)
        self._watchdog.book.forget(now.client)
        self.forget(now.client)
        self._over(str(path.relative_to(self._place.state)), "")

    def _measure(self, now: Erasure) -> Iterator[int]:
        files: dict[str, Destroyed] = {}
        self.of_bytes, self.done_bytes = size_bytes(self._place, now.client), 0
        journals = heads(self._place, now.client)
        for read in measure(self._place, now.client, files):
            self.done_bytes += read
            yield read
        made = Certificate(client=now.client, by=now.by, asked_ms=now.asked_ms, journals=journals, files=list(files.values()))
        papers.put(papers.draft(self._paper(now)), made)  # from here on there is no way back
        now.phase = "destroying"
        self._save("measured")
        yield 0

    def _destroy(self, now: Erasure) -> Iterator[int]:
        path = self._paper(now)
        made = papers.read(papers.draft(path))
        self.of_bytes, self.done_bytes = made.bytes, 0
        known = {one.path: one for one in made.files}
        for written in destroy(self._place, now.client, known):
            self.done_bytes += written
            yield written
        at_ms = time.time_ns() // 1_000_000
        done = msgspec.structs.replace(made, files=list(known.values()), destroyed_ms=at_ms)
        papers.put(path, papers.sign(done, self._watchdog.signer))
        papers.draft(path).unlink()
        sync(path.parent)

    def _over(self, certificate: str, why: str) -> None:
        """Nothing is under way any more."""
        now = self.now
        assert now is not None
        self.now, self.ended = None, (certificate, why)
        body = {"process": f"{now.client}/mai", "state": "failed" if why else "done", "by": now.by}
        told = {"certificate": certificate} if certificate else {}
        self._watchdog.book.enter("erased" if certificate else "erasing", {**body, **told}, (NOUN, "", None))

    def _save(self, step: str) -> None:
        assert self.now is not None
        row = msgspec.to_builtins(self.now)
        self._watchdog.book.enter(
            "erasing", {"process": f"{self.now.client}/mai", "step": step, "by": self.now.by}, (NOUN, "", row)
        )
