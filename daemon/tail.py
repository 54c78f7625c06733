"""`mai tail`: the journals of some processes as one stream, in order of time, and further as they grow.

Every record is shown once, whatever restarts its process, rotates its journal or puts its ledger back: the place in a journal
is a record (cursors.py), which does not depend on who writes. Records of one process keep their order even when the clock was
set back between them. Each look is a few short SELECTs, read to their end: nobody who writes waits for a tail.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from mai.daemon import cursors
from mai.daemon.awake import Awake
from mai.daemon.cursors import Reached
from mai.daemon.reader import BATCH, NotFound, Reader, missing
from mai.daemon.tail_form import Line
from mai.daemon.wanted import Wanted
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Record
from mai.sandbox.place import Place

WINDOW_S = 0.1  # so long a record is held back for an earlier one of another process that is not committed yet
APPEAR_S = 1.0  # between two looks at all ledgers, and for those of new processes
HOT_S = 1.0  # so long we look again at a ledger that is written: its bytes are told before they are committed
HOT_POLL_S = 0.005  # between two looks at such
POLL_S = 0.05  # between two looks at all, where the kernel does not tell; 30 idle ledgers take 0.1 ms of the processor
SHOWN_S = 1.0  # so long a line may take to be shown once we are told to end
SPAN = 50_000  # records that one backward look goes through


class _Source:
    """One ledger, and how far it has been read."""

    def __init__(self, place: Place, process: str, wanted: Wanted, after: Reached) -> None:
        self._path = place.ledger(process)
        self.ident = self._ident()  # before it is opened: what is put there meanwhile is another one
        self.reader = Reader(place, process)
        self._where, self._given = wanted.where(process)
        self.reached = cursors.begin(self.reader, after)  # the last record that was looked at
        self.behind = False  # there is more than was read
        self._newest_ns = 0

    def _ident(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return 0, 0
        return found.st_dev, found.st_ino

    def replaced(self) -> bool:
        """Lies another file there now, or none? A copy was put back, or the client was erased."""
        return self._ident() != self.ident

    def latest(self, count: int) -> list[tuple[int, Line]]:
        """The last records that are wanted, each with the time that it is put in order by."""
        self.reached = cursors.end(self.reader)
        upto = self.reached.seq
        found: list[Record] = []
        while upto > 0 and len(found) < count:
            within = f"seq > ? AND seq <= ? AND {self._where}"
            found += self.reader.records(within, upto - SPAN, upto, *self._given, limit=count - len(found), newest=True)
            upto -= SPAN
        return [self._timed(record) for record in reversed(found)]

    def more(self) -> list[tuple[int, Line]]:
        """What has come since, up to a bound; the rest is for the next call."""
        end, after = cursors.end(self.reader), self.reached
        if end.seq <= after.seq:
            return []
        records = self.reader.records(f"seq > ? AND seq <= ? AND {self._where}", after.seq, end.seq, *self._given)
        found = [self._timed(record) for record in records]
        self.behind = len(records) == BATCH
        reached = cursors.behind(records[-1], end.made_ns) if self.behind else end
        self.reached = reached._replace(at_ns=max(after.at_ns, reached.at_ns))
        return found

    @property
    def front_ns(self) -> int:
        """What has not been read yet is not earlier than this, if there is more to read."""
        return self._newest_ns

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

    With `alone` it is over this one process, and the caller sees to it that nobody is shown what is not for them. With `places`,
    one for each process, it begins behind these; `keep` is told of the places when all that was due is shown.
    """

    def __init__(
        self,
        place: Place,
        what: str | None = None,
        wanted: Wanted | None = None,
        *,
        alone: str = "",
        places: Mapping[str, Reached] | None = None,
        keep: Callable[[dict[str, Reached]], None] | None = None,
    ) -> None:
        self._place, self._what, self._wanted = place, what, wanted or Wanted()
        self._held: list[_Held] = []
        self._alone, self._keep = bool(alone), keep
        self._looked_s = -APPEAR_S
        self._places = dict(places or {})  # of processes that have no ledger just now
        self._awake: Awake | None = None
        self._told = True  # the kernel has told of all that we have found
        self._untold: set[str] = set()  # who was found to have more though nobody said so
        self._ready: deque[Line] = deque()  # what may be shown; the first one is being shown
        self._waiting = self._looking = self._stopping = False
        self._stopping_s = 0.0  # since when
        processes = [alone] if alone else self._chosen()
        if not processes:
            raise missing(place, what or self._wanted.about)
        self._sources = {process: self._open(process) for process in processes}

    def _chosen(self) -> list[str]:
        all_ = self._place.processes()
        return [one for one in all_ if self._what in (None, one, one.partition("/")[0]) and self._wanted.of(one)]

    def _open(self, process: str) -> _Source:
        return _Source(self._place, process, self._wanted, self._places.pop(process, Reached()))

    @property
    def places(self) -> dict[str, Reached]:
        """Up to which record of each process everything was given: with these another tail goes on."""
        found = {**self._places, **{process: source.reached for process, source in self._sources.items()}}
        for process, record in [(line.process, line.record) for line in [*self._ready, *(held.line for held in self._held)]]:
            if record.seq <= found[process].seq:
                found[process] = cursors.before(record, found[process].made_ns)
        return found

    @property
    def last(self) -> int:
        """How many records there are, whatever is wanted of them."""
        return sum(source.reader.last() for source in self._sources.values())

    def latest(self, count: int) -> list[Line]:
        """The last records of all, oldest first; what `more` gives then begins right behind them."""
        found = [(at_ns, line.process, line.record.seq, line) for s in self._sources.values() for at_ns, line in s.latest(count)]
        found.sort(key=lambda one: one[:3])
        return [line for *_, line in found[max(0, len(found) - count) :]]

    def more(self, now_s: float, window_s: float = WINDOW_S, among: set[str] | None = None) -> list[Line]:
        """What has come since the last call and may be shown at `now_s` (monotonic), in order of time.

        A record is shown when it, or one behind it, has been held for the window, and nothing earlier is known to be unread. What
        comes later than that is shown late: nothing is left out. `among`: only these processes are looked at, if it is not time
        to look at all.
        """
        told = among
        if now_s >= self._looked_s + APPEAR_S:
            self._looked_s, among = now_s, None
            self._appear()
        waiting = dict.fromkeys(self._sources, 0)
        for held in self._held:
            waiting[held.process] = waiting.get(held.process, 0) + 1
        for process, source in self._sources.items():
            if (among is None or process in among or source.behind) and waiting[process] < BATCH:
                source.behind, before = False, source.reached.seq
                self._held += [_Held(at_ns, process, line.record.seq, now_s, line) for at_ns, line in self._read(source)]
                if told is not None and process not in told and source.reached.seq > before:
                    self._untold.add(process)
        return self._due(now_s, window_s if len(self._sources) > 1 else 0.0)  # alone there is no other to wait for

    def _read(self, source: _Source) -> list[tuple[int, Line]]:
        try:
            return source.more()
        except LedgerFault:
            if not source.replaced():
                raise
            self._looked_s -= APPEAR_S  # the segments of the other one lie there now: let go of it at the next look
            return []

    def _due(self, now_s: float, window_s: float) -> list[Line]:
        self._held.sort(key=lambda held: held[:3])
        unread_ns = min((source.front_ns for source in self._sources.values() if source.behind), default=1 << 63)
        due = [i for i, held in enumerate(self._held) if held.since_s <= now_s - window_s and held.at_ns <= unread_ns]
        count = due[-1] + 1 if due else 0
        shown, self._held = self._held[:count], self._held[count:]
        return [held.line for held in shown]

    def _appear(self) -> None:
        """Open the ledgers of processes that are new, or that lie there anew; let go of those that are gone.

        One that is being made just now is tried again the next time. What was read of a ledger is shown before it is let go of.
        """
        waiting = {held.process for held in self._held}
        for process in [name for name, source in self._sources.items() if name not in waiting and source.replaced()]:
            source = self._sources.pop(process)
            self._places[process] = source.reached
            source.reader.close()
            if self._awake:
                self._awake.forget(process)
        for process in () if self._alone and self._sources else self._missing():
            try:
                source = _Source(self._place, process, self._wanted, self._places.get(process, Reached()))
            except (LedgerFault, NotFound, OSError):
                continue
            self._places.pop(process, None)
            self._sources[process] = source

    def _missing(self) -> list[str]:
        names = list(self._places) if self._alone else self._chosen()
        return [process for process in names if process not in self._sources]

    def follow(self, wait: Callable[[float], set[str] | None] | None = None) -> Iterator[Line]:
        """What comes, without an end. `wait` is told how long at most, and says who was written to; None: it cannot tell."""
        hot: dict[str, float] = {}  # who was written to -> until when we look again and again
        told: set[str] | None = None
        wait = wait or self._wait
        while True:
            now_s = time.monotonic()
            hot = {name: until_s for name, until_s in hot.items() if until_s > now_s}
            hot |= dict.fromkeys(told or (), now_s + HOT_S)
            self._look(now_s, among=set(hot) if told is not None and self._told else None)
            if self._ready:
                yield from self._given()
            self._waiting = True
            if self._stopping:
                return
            told = wait(self._pause(now_s, hot))
            self._waiting = False
            if told is not None and self._untold - told:
                self._told = False  # from now on we look at all
            self._untold.clear()

    def _look(self, now_s: float, window_s: float = WINDOW_S, among: set[str] | None = None) -> None:
        """Take what may be shown. It is not interrupted: a line would be read, and not be there to be shown."""
        self._looking = True
        try:
            self._ready += self.more(now_s, window_s, among)
        finally:
            self._looking = False

    def _given(self) -> Iterator[Line]:
        while self._ready:
            yield self._ready[0]
            self._ready.popleft()
            if self._stopping:
                return
        if self._keep:
            self._keep(self.places)

    def stop(self) -> None:
        """For a handler of signals: end as soon as no line is half shown. Raises KeyboardInterrupt, or lets it go on.

        Told again after a while, end at once: nobody takes the line, and whether it was shown nobody knows.
        """
        now_s = time.monotonic()
        if self._waiting or (self._stopping and now_s >= self._stopping_s + SHOWN_S and not self._looking):
            raise KeyboardInterrupt
        self._stopping, self._stopping_s = True, self._stopping_s or now_s

    def rest(self) -> Iterator[Line]:
        """What there is behind the places, to the end."""
        while True:
            self._look(time.monotonic(), 0.0)
            yield from self._given()
            if self._stopping or not (self._held or any(source.behind for source in self._sources.values())):
                return

    def _pause(self, now_s: float, hot: Mapping[str, float]) -> float:
        """How long nothing has to be done, if nobody writes."""
        if any(source.behind for source in self._sources.values()):
            return 0.0
        pauses = [self._looked_s + APPEAR_S - now_s]
        if hot:
            pauses.append(HOT_POLL_S)
        if self._held:
            pauses.append(self._held[0].since_s + WINDOW_S - now_s)
        if self._awake and not (self._awake.able and self._told):
            pauses.append(POLL_S)
        return max(0.001, min(pauses))

    def _wait(self, seconds: float) -> set[str] | None:
        if self._awake is None:
            self._awake, seconds = Awake(), 0.0  # and then look once more: what came before it was watched, nobody tells
        for process, source in self._sources.items():
            self._awake.watch(process, source.reader.path.with_name(f"{source.reader.path.name}-wal"))
        return self._awake.wait(seconds)

    def lines(self, count: int, *, follow: bool = False) -> Iterator[Line]:
        """The last records, and then what comes."""
        self._ready += self.latest(count)
        yield from self._given()
        if follow:
            yield from self.follow()

    def close(self) -> None:
        """Close all files."""
        for source in self._sources.values():
            source.reader.close()
        if self._awake:
            self._awake.close()
