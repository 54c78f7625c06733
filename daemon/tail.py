"""`mai tail`: the journals of some processes as one stream, in order of time, and further as they grow.

Every record is shown once, whatever restarts its process: the place in a journal is the number of a record, which does
not depend on who writes. Records of one process keep their order even when the clock was set back between them.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from mai.daemon.reader import BATCH, Body, NotFound, Reader, chosen, clock
from mai.daemon.status import painted
from mai.daemon.summary import clean, summary
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Record
from mai.sandbox.place import Place

POLL_S = 0.05  # a look at 30 idle ledgers takes less than 1 ms
WINDOW_S = 0.1  # so long a record is held back for an earlier one of another process that is not committed yet
APPEAR_S = 1.0  # between two looks for ledgers of new processes
SPAN = 50_000  # records that one backward look goes through
COLOURS = {"hop": 36, "message": 90, "step": 34, "effect": 35, "request": 32, "part": 32, "contract": 33, "process": 33}
BAD = (
    "hop.refused",
    "message.refused",
    "effect.unknown",
    "doubt.raised",
    "escalated",
    "task.interrupted",
    "incident",
    "given_up",
)


class Line(NamedTuple):
    """One record, and what it says."""

    process: str
    record: Record
    body: Body


class Wanted(NamedTuple):
    """Which records are shown. `agent` is a name or an address, or the end of one: `planner`, `sales/analyst`."""

    kind: str = ""  # how the kind begins: `message`, `request.ended`
    request: str = ""
    agent: str = ""

    def where(self, process: str) -> tuple[str, tuple[object, ...]]:
        """The condition as SQL, with its values."""
        terms: list[tuple[str, tuple[object, ...]]] = [("TRUE", ())]
        if self.kind:
            terms.append(("substr(kind, 1, ?) = ?", (len(self.kind), self.kind)))
        if self.request:
            terms.append(("request = ? AND request <> ''", (self.request,)))  # the second half makes the partial index fit
        if self.agent:
            end = f"/{self.agent}"
            terms.append(("substr('/' || ? || '/' || agent, ?) = ?", (process, -len(end), end)))
        return " AND ".join(term for term, _ in terms), tuple(value for _, values in terms for value in values)


class _Source:
    """One ledger, and how far it has been read."""

    def __init__(self, place: Place, process: str, wanted: Wanted) -> None:
        self.reader = Reader(place, process)
        self._where, self._given = wanted.where(process)
        self._read = 0  # the number of the last record that was looked at
        self._newest_ns = 0

    def latest(self, count: int) -> list[tuple[int, Line]]:
        """The last records that are wanted, each with the time that it is put in order by."""
        upto = self._read = self.reader.last()
        found: list[Record] = []
        while upto > 0 and len(found) < count:
            within = f"seq > ? AND seq <= ? AND {self._where}"
            found += self.reader.records(within, upto - SPAN, upto, *self._given, limit=count - len(found), newest=True)
            upto -= SPAN
        return [self._timed(record) for record in reversed(found)]

    def more(self) -> list[tuple[int, Line]]:
        """What has come since, up to a bound; the rest is for the next call."""
        upto = self.reader.last()
        if upto <= self._read:
            return []
        records = self.reader.records(f"seq > ? AND seq <= ? AND {self._where}", self._read, upto, *self._given)
        self._read = records[-1].seq if len(records) == BATCH else upto
        return [self._timed(record) for record in records]

    def _timed(self, record: Record) -> tuple[int, Line]:
        self._newest_ns = max(self._newest_ns, record.at_ns)
        return self._newest_ns, Line(self.reader.process, record, self.reader.fields(record))


class _Held(NamedTuple):
    """A record that waits for its turn; compares as the stream is ordered."""

    at_ns: int
    process: str
    seq: int
    since_s: float
    line: Line


class Tail:
    """The stream over the processes that `what` names (as in reader.chosen). Raises NotFound, LedgerFault.

    With `alone` it is over this one process, and the caller sees to it that nobody is shown what is not for them.
    """

    def __init__(self, place: Place, what: str | None = None, wanted: Wanted | None = None, *, alone: str = "") -> None:
        self._place, self._what, self._wanted = place, what, wanted or Wanted()
        self._held: list[_Held] = []
        self._alone = bool(alone)
        self._looked_s = -APPEAR_S
        self._sources = {
            process: _Source(place, process, self._wanted) for process in ([alone] if alone else chosen(place, what))
        }

    def latest(self, count: int) -> list[Line]:
        """The last records of all, oldest first; what `more` gives then begins right behind them."""
        found = [(at_ns, line.process, line.record.seq, line) for s in self._sources.values() for at_ns, line in s.latest(count)]
        found.sort(key=lambda one: one[:3])
        return [line for *_, line in found[max(0, len(found) - count) :]]

    def more(self, now_s: float, window_s: float = WINDOW_S) -> list[Line]:
        """What has come since the last call and may be shown at `now_s` (monotonic), in order of time.

        A record is shown when it, or one behind it, has been held for the window. What comes later than that is shown
        late: nothing is left out.
        """
        self._appear(now_s)
        for process, source in self._sources.items():
            self._held += [_Held(at_ns, process, line.record.seq, now_s, line) for at_ns, line in source.more()]
        self._held.sort(key=lambda held: held[:3])
        if len(self._sources) == 1:
            window_s = 0.0  # there is no other process to wait for
        due = [index for index, held in enumerate(self._held) if held.since_s <= now_s - window_s]
        count = due[-1] + 1 if due else 0
        shown, self._held = self._held[:count], self._held[count:]
        return [held.line for held in shown]

    def _appear(self, now_s: float) -> None:
        """Open the ledgers of processes that are new. One that is being made just now is tried again the next time."""
        if self._alone or now_s < self._looked_s + APPEAR_S:
            return
        self._looked_s = now_s
        for process in self._place.processes():
            if process not in self._sources and self._what in (None, process, process.partition("/")[0]):
                try:
                    source = _Source(self._place, process, self._wanted)
                    source.reader.last()
                except (LedgerFault, NotFound):
                    continue
                self._sources[process] = source

    def follow(self, wait: Callable[[float], None] = time.sleep) -> Iterator[Line]:
        """What comes, without an end."""
        while True:
            yield from self.more(time.monotonic())
            wait(POLL_S)

    def lines(self, count: int, *, follow: bool = False) -> Iterator[Line]:
        """The last records, and then what comes."""
        yield from self.latest(count)
        if follow:
            yield from self.follow()

    def close(self) -> None:
        """Close all files."""
        for source in self._sources.values():
            source.reader.close()


def text(line: Line, *, colour: bool = False) -> str:
    """A record as one line for people."""
    record = line.record
    at = clock(record.at_ns).strftime("%m-%d %H:%M:%S.%f")[:-3]
    shade = 31 if record.kind in BAD else COLOURS.get(record.kind.partition(".")[0], 0)
    kind = painted(f"{clean(record.kind):<16}", shade, colour and bool(shade))
    where = f"{clean(record.task or record.request):<18}  "
    what = summary(record.kind, line.body)
    return f"{painted(at, 90, colour)}  {line.process:<18}  {kind}  {painted(where, 90, colour)}{what}"


def fields(line: Line) -> dict[str, Any]:
    """A record as scripts read it, with its whole body."""
    record = line.record
    at = clock(record.at_ns).isoformat(timespec="milliseconds")
    columns = {name: getattr(record, name) for name in ("seq", "at_ns", "term", "boot", "kind", "request", "task", "agent")}
    return {"process": line.process, "at": at, **columns, "body": line.body, "digest": record.digest.hex()}


def json_line(line: Line) -> str:
    """The same as one line of JSON."""
    return msgspec.json.encode(fields(line)).decode()
