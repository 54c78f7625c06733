"""A process looks after its own journal: it rotates, thins and removes what the organisation's retention, or an order, says.

A little after each turn, and never for more than a fourth of its time. Whoever dies in the midst of it goes on in his next life.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from mai.agents import open_nouns
from mai.agents.events import Acked, Counted, Received, Sent, counted, encode
from mai.agents.link import Link
from mai.agents.reaching import first
from mai.agents.retention_scope import SEGMENT, Extent, Retention, among, overdue, removable, wanted
from mai.agents.rotation_events import Rotated, SegmentRemoved, SegmentThinned
from mai.agents.wording import cut, printable
from mai.sandbox import durable
from mai.sandbox.bounds import Bounds
from mai.sandbox.errors import LedgerFault, MaiError
from mai.sandbox.ledger import Ledger
from mai.sandbox.record import ERASED, Record
from mai.sandbox.rewriting import GONE, THINNED, removed, rewritten, without
from mai.sandbox.rotation import KIND, Chore, Rotation
from mai.sandbox.segment import Entry

SHARE: Final = 4  # so many times as long as a step took passes until the next
COUNTED: Final = frozenset({Sent.kind, Acked.kind, Received.kind})  # kinds that say how far links have come
LOOK_S: Final = 10.0  # between two looks whether something is due
REST_S: Final = 600.0  # before what was given up is tried again
ORDER: Final = "archive.order"  # in the process's directory: what somebody asked for, see Asked
LONGEST: Final = 400  # characters that are told of why it was given up
SAID: Final = "archive.said"  # beside it, once that is given up: why, see Vain
assert (Rotated.kind, SegmentThinned.kind, SegmentRemoved.kind) == (KIND, THINNED, GONE), "what is written is what is read"


class Asked(msgspec.Struct, frozen=True):
    """Somebody wants records to be rotated: all up to this time that nothing open needs."""

    before_ns: int


class Vain(msgspec.Struct, frozen=True):
    """It is given up."""

    why: str


def give(home: Path, asked: Asked) -> None:
    """Put an order into a process's directory. Raises OSError."""
    (home / SAID).unlink(missing_ok=True)
    durable.write(home / ORDER, msgspec.json.encode(asked))


def vain(home: Path) -> str:
    """Why the last order of this process was given up, once it does not lie there any more; "" if it was carried out."""
    try:
        return cut(printable(msgspec.json.decode(durable.read(home / SAID), type=Vain).why), LONGEST)
    except FileNotFoundError:
        return ""
    except (OSError, MaiError, msgspec.MsgspecError):
        return "the rotation of the journal is given up, and why could not be written down"


def unneeded(ledger: Ledger) -> int:
    """The record up to which nothing that is open needs any, by what is committed: unacknowledged messages, open requests."""
    links = [msgspec.json.decode(value, type=Link) for value in ledger.load("link").values()]
    least = [link.oldest for link in links if link.oldest] + [ledger.seq + 1]
    for request in _open(ledger):
        record = next(ledger.live(Bounds(request=request)), None)
        least += [record.seq] if record else []
    return min(least) - 1


def _open(ledger: Ledger) -> set[str]:
    nouns = (noun for noun in open_nouns.OPEN if noun not in open_nouns.LASTING)
    rows = ((noun, key, msgspec.json.decode(value)) for noun in nouns for key, value in ledger.load(noun).items())
    found = {first(open_nouns.whose(key, row)) for noun, key, row in rows if not open_nouns.over(noun, row)}
    return found - {""}


class Rotating:
    """What is being done to a ledger's journal. `free()` gives the number up to which nothing open needs its records."""

    def __init__(self, ledger: Ledger, kept: Retention, free: Callable[[], int], *, forgets: bool = True) -> None:
        self._ledger, self._kept, self._free, self._forgets = ledger, kept, free, forgets
        self._chore: Chore | None = Rotation(ledger)
        self._next_s = self._look_s = 0.0
        self._before_ns = 0  # somebody has asked for that
        self._order: Path | None = None  # where it stands
        self._rest: dict[str, float] = {}  # what was given up, and until when: it would most likely fail again at once
        self.fault = ""  # why something was given up

    @property
    def busy(self) -> bool:
        """Is something being done?"""
        return self._chore is not None or self._before_ns > 0

    def ask(self, home: Path) -> None:
        """Take up what somebody asked for, if he did. The file stays until it is done, over deaths too."""
        self._order = home / ORDER
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            self.rotate(msgspec.json.decode(self._order.read_bytes(), type=Asked).before_ns)

    def _answered(self, why: str = "") -> None:
        self._before_ns = 0
        if self._order is None:
            return
        with contextlib.suppress(OSError):
            if why:
                self._told(self._order.with_name(SAID), why)
            self._order.unlink(missing_ok=True)

    def _told(self, path: Path, why: str) -> None:
        assert self._order
        try:
            durable.write(path, msgspec.json.encode(Vain(why)))
        except OSError:  # most likely there is no room, and the name alone needs none
            self._order.replace(path)

    def rotate(self, before_ns: int) -> None:
        """Rotate what is older than that, as far as nothing open needs it."""
        self._before_ns = max(self._before_ns, before_ns)

    def due(self, now_s: float) -> bool:
        """Is it time for a step, or for a look whether there is something to do?"""
        return now_s >= (self._next_s if self.busy else self._look_s)

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next step; infinite if nothing is being done: the heartbeats look."""
        return max(0.0, self._next_s - now_s) if self.busy else float("inf")

    def step(self) -> None:
        """One, after a turn whose commit was of all that it brought. Raises LedgerFault."""
        begun_s = time.monotonic()
        if self._chore is None:
            self._chore = self._what(time.time_ns())
            self._look_s = begun_s + LOOK_S
        if self._chore and not self._chore.step():
            if self._chore.fault:
                self.fault = self._chore.fault
                self._rest[self._chore.what] = begun_s + REST_S
                if self._before_ns and isinstance(self._chore, Rotation):
                    self._answered(self.fault)  # it would fail again
            else:
                self._look_s = 0.0  # there may be more
            self._chore = None
        now_s = time.monotonic()
        self._next_s = now_s + (now_s - begun_s) * (SHARE - 1)

    # -- what is to be done
    def _what(self, now_ns: int) -> Chore | None:
        if self._before_ns and (upto := self._asked()):
            return Rotation(self._ledger, upto)
        now_s = time.monotonic()
        return next((one for one in self._due(now_ns) if self._rest.get(one.what, 0.0) <= now_s), None)

    def _due(self, now_ns: int) -> Iterator[Chore]:
        """All that retention wants now, what comes first before the rest."""
        if upto := self._by_retention(now_ns):
            yield Rotation(self._ledger, upto)
        if self._forgets:
            yield from self._forgetting(now_ns)

    def _extent(self) -> Extent:
        ledger = self._ledger
        first = next(ledger.live(Bounds(ledger.archive.upto, ledger.archive.upto + 1)), None)
        if first is None:
            return Extent(1, 0, 0, 0)
        return Extent(first.seq, ledger.seq, first.at_ns, self._free())

    def _by_retention(self, now_ns: int) -> int:
        extent = self._extent()
        upto, before_ns = wanted(self._kept, extent, now_ns)
        return self._older(extent.first, upto, before_ns)

    def _asked(self) -> int:
        extent = self._extent()
        found = self._older(extent.first, min(extent.free, extent.first + SEGMENT - 1), self._before_ns)
        if found < extent.first:
            self._answered()
            return 0
        return found

    def _older(self, first: int, upto: int, before_ns: int) -> int:
        """The last number up to one that is older than this, by halving; 0 if there is none."""
        low, high = first - 1, upto
        while low < high:
            middle = (low + high + 1) // 2
            record = next(self._ledger.live(Bounds(middle - 1, middle)), None)
            if record and record.at_ns < before_ns:
                low = middle
            else:
                high = middle - 1
        return low if low >= first else 0

    def _forgetting(self, now_ns: int) -> Iterator[Chore]:
        """Segments that are to be removed, or to be thinned, oldest first; not those that were carried away."""
        older = False  # is one kept that is older?
        for entry in self._ledger.archive.entries:
            if entry.kept == "none" or entry.last > min(self._ledger.archive.upto, self._ledger.moved()):
                continue
            if self._ledger.archive.beside(entry):
                if removable(self._kept, entry.until_ns, now_ns) and not (older and self._says_erased(entry)):
                    yield Chore(self._ledger, f"the removal of {entry.file}", self._removal(entry))
                elif kinds := self._to_thin(entry, overdue(self._kept, entry.until_ns, now_ns)):
                    yield self._thinning(entry, kinds)
            older = True

    def _removal(self, entry: Entry) -> Iterator[None]:
        """Remove a segment, and leave on record how far the links had come with it: who verifies goes on from there."""
        links: dict[str, tuple[int, int, int]] = {}
        gone = next((one for one in self._ledger.archive.entries if one.last == entry.first - 1), None)
        if gone and (before := next(self._ledger.records(gone.seq - 1, GONE), None)) and before.seq == gone.seq:
            links |= msgspec.json.decode(before.body, type=SegmentRemoved).links
        segment = self._ledger.archive.segment(entry)
        for block in segment.blocks(Bounds(kinds=COUNTED)):
            for record in segment.unpacked(block):
                if record.kind in COUNTED:
                    _count(links, record.kind, counted(self._ledger.body(record)))
            yield
        why = f"older than {self._kept.keep_days} days"
        event = SegmentRemoved(first=entry.first, last=entry.last, was=entry.sha256, why=why, links=links)
        yield from removed(self._ledger, entry, encode(event))

    def _says_erased(self, entry: Entry) -> bool:
        """Does it hold what was said of an erasure, or may it, because it cannot be read?

        Records without their values, in older segments, were otherwise such that somebody has changed.
        """
        try:
            return bool(self._ledger.archive.segment(entry).blocks(Bounds(kinds=frozenset({ERASED}))))
        except LedgerFault as error:
            self._unreadable(f"the removal of {entry.file}", error)
            return True

    def _to_thin(self, entry: Entry, kinds: frozenset[str]) -> frozenset[str]:
        """Those of these kinds whose bodies are still in it; none if it cannot be read."""
        if not kinds:
            return kinds
        try:
            thin = self._ledger.archive.segment(entry).meta.get("thinned", "")
        except LedgerFault as error:
            self._unreadable(f"the thinning of {entry.file}", error)
            return frozenset()
        return kinds if kinds - set(thin.split()) else frozenset()

    def _unreadable(self, what: str, error: LedgerFault) -> None:
        if self._ledger.failed:
            raise error
        self.fault = f"{what} is given up: {error.sentence}"

    def _thinning(self, entry: Entry, kinds: frozenset[str]) -> Chore:
        def change(record: Record) -> Record:
            return without(record) if among(record.kind, kinds) else record

        def say(new: Entry, count: int) -> tuple[str, bytes]:
            event = SegmentThinned(
                first=new.first, last=new.last, file=new.file, bytes=new.bytes, sha256=new.sha256, was=entry.sha256,
                kinds=tuple(sorted(kinds)), records=count,
            )  # fmt: skip
            return event.kind, encode(event)

        steps = rewritten(self._ledger, entry, change, say, {"thinned": " ".join(sorted(kinds))})
        return Chore(self._ledger, f"the thinning of {entry.file}", steps)


def _count(links: dict[str, tuple[int, int, int]], kind: str, told: Counted) -> None:
    """One message more on a link, or one acknowledgement."""
    peer = told.to or told.sender or told.peer
    sent, acked, received = links.get(peer, (0, 0, 0))
    if kind == Sent.kind:
        sent = told.lseq
    elif kind == Acked.kind:
        acked = told.received
    else:
        received = told.lseq
    links[peer] = sent, acked, received
