"""Requests that have ended, on their way to a collector or a file: each once, in the order of their ends, over restarts.

How far it has come stands in a small file, written when the collector has taken what came before. So nothing is left out;
what was taken just before a crash goes once more, and is the same trace under the same ids.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from mai.daemon import cursors
from mai.daemon.books import Books
from mai.daemon.cursors import Reached
from mai.daemon.otlp import Span, export
from mai.daemon.otlp_contents import Contents
from mai.daemon.otlp_sending import Delivered
from mai.daemon.reader import NotFound, Reader
from mai.daemon.trace import Known, of
from mai.daemon.tree import OPEN, Trace, nodes
from mai.sandbox.durable import write
from mai.sandbox.errors import UsageFault
from mai.sandbox.place import Place
from mai.sandbox.record import Record

ENDED: Final = "request.ended"
PORTION: Final = 50  # requests that go together
SETTLE_S: Final = 60.0  # how long tasks may go on behind the end of their request, before it goes as it is


class Cursor:
    """How far each Mai's journal has gone out: the place of its last end, by process."""

    def __init__(self, path: Path | None) -> None:
        """Without a path it is forgotten. Raises UsageFault, OSError."""
        self._path, self.at = path, dict[str, Reached]()
        if path and path.exists():
            try:
                self.at = cursors.decode(path.read_bytes())
            except msgspec.MsgspecError:
                raise UsageFault(
                    f"{path} is no cursor of mai otlp", "name another file, or remove it to send all again"
                ) from None

    def known(self) -> bool:
        """Has anything gone out yet?"""
        return bool(self.at)

    def move(self, process: str, reached: Reached) -> None:
        """All up to this end has been taken. Raises OSError."""
        self.at[process] = reached
        if self._path:
            write(self._path, cursors.encode(self.at))


class Ready(NamedTuple):
    """One request that has ended, and its spans."""

    process: str
    reached: Reached
    spans: list[Span]


class Following:
    """What is to go out, of one client or of all."""

    def __init__(self, place: Place, client: str | None, cursor: Cursor, *, contents: bool, settle_s: float = SETTLE_S) -> None:
        self._place, self._client, self._cursor, self._contents = place, client, cursor, contents
        self._settle_s = settle_s

    def begin_now(self) -> None:
        """Leave out what has ended until now."""
        for process in self._mais():
            with closing(Reader(self._place, process)) as reader:
                self._cursor.move(process, cursors.end(reader))

    def ready(self, *, all_: bool) -> Iterator[list[Ready]]:
        """Portions of what has ended and is not out yet; unless `all_` it waits for tasks that go on. Raises LedgerFault."""
        for process in self._mais():
            portion = list[Ready]()
            with closing(Reader(self._place, process)) as reader:
                after, made_ns = self._begin(reader), reader.made_ns
            for ended in self._ends(process, after):
                trace = of(self._place, Known(process.partition("/")[0], ended.request))
                if not all_ and _goes_on(trace) and time.time_ns() < ended.at_ns + self._settle_s * 1e9:
                    break
                portion.append(Ready(process, cursors.behind(ended, made_ns), self._spans(trace)))
                if len(portion) == PORTION:
                    yield portion
                    portion = []
            if portion:
                yield portion

    def _begin(self, reader: Reader) -> int:
        """Behind which record it goes on; what the cursor said of a ledger that is not there any more is forgotten."""
        if (reached := self._cursor.at.get(reader.process)) is None:
            return 0
        if (here := cursors.begin(reader, reached)) != reached:
            self._cursor.move(reader.process, here)  # else the ledger would grow up to it unseen
        return here.seq

    def _ends(self, process: str, after: int) -> Iterator[Record]:
        """Each end behind one."""
        while True:
            with closing(Reader(self._place, process)) as reader:
                found = reader.records("kind = ? AND seq > ?", ENDED, after, limit=PORTION)
            yield from found
            if len(found) < PORTION:
                return
            after = found[-1].seq

    def _spans(self, trace: Trace) -> list[Span]:
        if not self._contents:
            return export(trace)
        with Books(self._place) as books:
            return export(trace, Contents(books, trace.request))

    def _mais(self) -> list[str]:
        found = [one for one in self._place.processes() if one.endswith("/mai") and self._client in (None, one.partition("/")[0])]
        if not found:
            raise NotFound(f"there is no client {self._client!r}" if self._client else "nobody has a ledger here yet",
                           "see which there are: mai status")  # fmt: skip
        return found

    def deliver(self, send: Callable[[list[Span]], Delivered], *, all_: bool) -> Iterator[tuple[int, Delivered]]:
        """Send what is there, and keep how far it came: how many requests, and what became of their spans."""
        for portion in self.ready(all_=all_):
            taken = send([span for one in portion for span in one.spans])
            self._cursor.move(portion[-1].process, portion[-1].reached)
            yield len(portion), taken


def _goes_on(trace: Trace) -> bool:
    """Is one of its tasks open yet? What boards do for its cases is not waited for."""
    return any(node.state == OPEN for node in nodes(trace))
