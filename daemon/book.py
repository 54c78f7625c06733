"""The watchdog's book: incidents and what operators want, in its ledger.

Unlike every other process, the watchdog goes on when its ledger fails (a full disk must not end the care for all others):
what happens meanwhile is kept in memory, up to a bound, and written when the ledger can be opened again.
"""

import sys
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import msgspec

from mai.agents.retention_scope import Retention
from mai.agents.rotating import Rotating
from mai.daemon.seals import Seals, client_of, owner
from mai.sandbox import made
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import WATCHDOG

RECENT = 10  # incidents per process that `mai status` shows
UNWRITTEN = 1000  # entries that wait for a ledger; the oldest are lost first
REOPEN_S = 10.0

Json = dict[str, Any]
Wanted = Literal["run", "pause", "drain", "switch", "stop"]


class Book:
    """Opened for life, under the lock of its directory. Raises LedgerFault if it cannot be opened at first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seals = Seals(path.parent.parent)
        self.seen: Callable[[Json], None] = lambda entry: None  # is called with each incident
        self.fault = ""  # why nothing is written now
        self._ledger: Ledger | None = Ledger(path, WATCHDOG)
        self.retention = Retention()
        self._rotating: Rotating | None = None
        self._held = False
        self._retry_s = 0.0
        self._unwritten: deque[tuple[str, Json, list[tuple[str, str, Any]]]] = deque(maxlen=UNWRITTEN)
        self.recalls: list[Callable[[], None]] = [self._recall]  # who has rows of it in memory
        self._recall()

    def _recall(self) -> None:
        self.recent: dict[str, list[Json]] = self.load("incidents")
        older = {name: {"how": "stop", "by": "", "why": ""} for name in self.load("unwanted")}  # of format 3
        self.wants: dict[str, Json] = older | self.load("wants")  # what operators want of processes, if not that they run
        self.asleep: dict[str, Json] = self.load("asleep")  # processes that sleep, or lie down for it (`sure` is False)
        self.failed: dict[str, Json] = self.load("failed")  # processes that were given up, and why

    def load(self, noun: str) -> dict[str, Any]:
        """Rows of its state, by key; when it is opened, and when somebody has changed them (`recalls`)."""
        assert self._ledger is not None
        rows = {key: self.seals.open_row(msgspec.json.decode(value)) for key, value in self._ledger.load(noun).items()}
        return {key: value for key, value in rows.items() if value is not None}

    def incident(self, process: str, what: str, text: str, **more: Any) -> None:
        """What the watchdog saw."""
        entry = {"process": process, "what": what, "text": text, **more}
        shown = {"at_ms": time.time_ns() // 1_000_000, **entry}
        self.recent[process] = [*self.recent.get(process, []), shown][-RECENT:]
        self.enter("incident", entry, ("incidents", process, self.recent[process]))
        self.seen(shown)

    def want(self, process: str, how: Wanted, by: str, why: str = "", **more: Any) -> None:
        """An operator wants this of a process; survives a restart of everything."""
        want = None if how == "run" else {"how": how, "by": by, "why": why, **more}
        if want == self.wants.get(process):
            return
        if want is None:
            del self.wants[process]
        else:
            self.wants[process] = want
        entry = {"process": process, "wanted": how, "by": by, "why": why, **more}
        self.enter("wanted", entry, ("wants", process, want), ("unwanted", process, None))

    def wish(self, process: str, want: Json | None, by: str) -> None:
        """Want again what was wanted before: an entry of `wants`, or None."""
        more = {name: value for name, value in (want or {}).items() if name not in ("how", "by", "why")}
        how: Wanted = want["how"] if want else "run"
        self.want(process, how, str(want["by"]) if want else by, str(want["why"]) if want else "", **more)

    @property
    def unwanted(self) -> set[str]:
        """Processes that are not to run."""
        return {name for name, want in self.wants.items() if want["how"] == "stop"}

    def give_up(self, process: str, why: str, boot: str) -> None:
        """A process is failed, under this start of the supervisor; the next start of everything tries it again."""
        self.failed[process] = {"why": why, "boot": boot}
        self.enter("given_up", {"process": process, "why": why}, ("failed", process, self.failed[process]))

    def revive(self, process: str) -> None:
        """It is failed no longer."""
        if self.failed.pop(process, None):
            self.enter("revived", {"process": process}, ("failed", process, None))

    def forget(self, client: str) -> None:
        """A client is erased: all rows about its processes go with the next commit. Raises LedgerFault."""
        assert self._ledger is not None, "who erases has looked whether there is one"
        rows: list[tuple[str, str, Any]] = []
        for noun in self._ledger.nouns():
            found = {key: msgspec.json.decode(value) for key, value in self._ledger.load(noun).items()}
            rows += [(noun, key, None) for key, row in found.items() if owner(key, row) == client]
        self.enter("erasing", {"process": f"{client}/mai", "step": "forgotten"}, *rows)
        for known in (self.recent, self.wants, self.failed, self.asleep):
            for name in [name for name in known if client_of(name) == client]:
                del known[name]
        self.seals.forget(client)

    def sleep(self, process: str, *, sure: bool) -> None:
        """A process is about to be stopped for want of work; `sure` when it is, and has left nothing undone."""
        self.asleep[process] = {"since_ms": time.time_ns() // 1_000_000, "sure": sure}
        self.enter("sleeps" if sure else "lies_down", {"process": process}, ("asleep", process, self.asleep[process]))

    def wake(self, process: str) -> None:
        """It sleeps no longer, or is not to any more."""
        if self.asleep.pop(process, None):
            self.enter("wakes", {"process": process}, ("asleep", process, None))

    @property
    def written(self) -> bool:
        """Is all that was entered durable?"""
        return not self._unwritten

    def started(self, **facts: Any) -> None:
        """The watchdog has begun its work."""
        self.enter("started", facts)

    @property
    def ledger(self) -> Ledger | None:
        """The ledger, while there is one: for who changes what stands in it (book_eraser.py), with nothing left to write."""
        return self._ledger if not self._unwritten else None

    def hold(self, *, held: bool) -> None:
        """Somebody else is at work on its segments: nothing is rotated, and no file removed that he has still to overwrite."""
        self._held, self._rotating = held, None

    @property
    def seq(self) -> int:
        """The last record that is durable; 0 while there is no ledger."""
        return self._ledger.durable[0] if self._ledger else 0

    @property
    def head(self) -> tuple[int, bytes] | None:
        """Number and digest of the last record that is durable; None while there is no ledger."""
        return self._ledger.durable if self._ledger else None

    def entries(self, after: int, most: int) -> list[tuple[int, int, str, Json]]:
        """Durable records after a number: number, milliseconds since 1970, kind, body. Raises LedgerFault."""
        ledger = self._ledger
        if ledger is None or ledger.durable[0] <= after:
            return []
        records = islice(ledger.records(after), most)
        bodies = ((one, self.seals.open(msgspec.json.decode(ledger.body(one)))) for one in records)
        return [(one.seq, one.at_ns // 1_000_000, one.kind, body) for one, body in bodies]

    def desired(self) -> dict[str, str]:
        """What operators want of a process, where that is not that it runs."""
        return {name: str(self.wants[name]["how"]) for name in sorted(self.wants)}

    def whose(self) -> dict[str, tuple[str, str]]:
        """Who wants that, and why."""
        return {name: (str(want["by"]), str(want["why"])) for name, want in sorted(self.wants.items())}

    def enter(self, kind: str, body: Json, *state: tuple[str, str, Any]) -> None:
        """A record, with the rows of state (noun, key, value; None removes it) that change with it."""
        self._unwritten.append((kind, body, list(state)))

    def flush(self, now_s: float) -> None:
        """Once in a turn: write what was entered. Never raises."""
        if now_s < self._retry_s:
            return
        try:
            if not self._unwritten:
                return self._rotate(now_s)
            self._ledger = self._ledger or Ledger(self.path, WATCHDOG)
            for entry in self._unwritten:
                self._write(self._ledger, *entry)
            self._ledger.commit()
            made.remember(self.path, self._ledger.seq)
        except LedgerFault as error:
            return self._give_way(error, now_s)
        self.fault = ""
        self._unwritten.clear()

    def _rotate(self, now_s: float) -> None:
        """In a turn that has brought nothing: a little of what the journal's retention wants. Nothing of it is ever removed."""
        if (ledger := self._ledger) is None or self._held:
            return
        if self._rotating is None:
            self._rotating = Rotating(ledger, self.retention, lambda: ledger.seq, forgets=False)
        self._rotating.ask(self.path.parent)
        if self._rotating.due(now_s):
            before = self._rotating.fault
            self._rotating.step()
            if self._rotating.fault not in ("", before):
                print(f"watchdog: {self._rotating.fault}", file=sys.stderr, flush=True)

    def _write(self, ledger: Ledger, kind: str, body: Json, state: list[tuple[str, str, Any]]) -> None:
        ledger.append(kind, msgspec.json.encode(self.seals.seal(body)))
        for noun, key, value in state:
            row = None if value is None else self.seals.seal_row(noun, str(body.get("process", "")), value)
            ledger.save(noun, key, None if row is None else msgspec.json.encode(row))

    def close(self) -> None:
        """Let go of the ledger."""
        if self._ledger:
            self._ledger.close()

    def _give_way(self, error: LedgerFault, now_s: float) -> None:
        """Forget the ledger, which may not be used after an error, and open it anew later."""
        if self.fault != error.sentence:
            print(f"watchdog: {error.sentence}", file=sys.stderr, flush=True)
        self.close()
        self._rotating = None
        self._ledger, self.fault, self._retry_s = None, error.sentence, now_s + REOPEN_S
