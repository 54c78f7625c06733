"""Memory, in each journal that has some: versions count from 1, and what was read is what was last written. Pure.

A read is held against the writes before it in the same journal: the value of the version that it names, which is the newest
unless another was asked for; nothing where nothing was, or where it had been forgotten or had expired on record; a list
without a gap. What a department asks of Mai is read or refused on record. What Mai has read goes to the asker as she read
it, and is there the outcome of the step that asked.
"""

from typing import Any, Final, NamedTuple

import msgspec

from mai.agents.events import Event, Received, Remembered, Sent, Stepped
from mai.agents.kept import Shelf
from mai.agents.markers import marked
from mai.agents.memory import MemoryExpired, MemoryForgotten, MemoryRead, MemoryRefused, shelf_of
from mai.agents.memory_messages import Browse, Recall, Recalled
from mai.agents.remembering import CALLS, PAGES, WRITES, unscored
from mai.daemon.invariant_tasks import asked_by
from mai.daemon.invariants import Handler, Invariant, Notes

SHOWN: Final = 3  # keys that a finding names
OLD: Final = -1  # instead of a digest: written before there were versions
ERASED: Final = -3  # of a value that an erasure has taken

Versions = dict[int, int]  # number -> digest of the value


class Read(NamedTuple):
    """One read as it is on record."""

    call: str
    given: dict[str, Any]
    value: Any
    n: int
    all: bool  # whoever reads may see all of the shelf


class Memory(Invariant):
    """What was written, forgotten, expired and read on the shelves of one ledger."""

    law = "memory"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.shelves: dict[Shelf, dict[str, Versions]] = {}
        self.read: dict[str, tuple[int, int, int]] = {}  # Mai: message -> record, digest and version of what was read for it
        self.told: dict[tuple[str, int], tuple[int, int, int]] = {}  # department: step -> the same of what Mai has told

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Remembered.kind: self._written,
            MemoryForgotten.kind: self._forgotten,
            MemoryExpired.kind: self._expired,
            MemoryRead.kind: self._read_for,
            MemoryRefused.kind: self._refused,
            Stepped.kind: self._stepped,
            Sent.kind: self._sent,
            Received.kind: self._received,
        }

    # -- what is there
    def _written(self, seq: int, event: Event) -> None:
        assert isinstance(event, Remembered)
        shelf = self.shelves.setdefault(shelf_of(event), {})
        held = shelf.setdefault(event.key, {})
        if not event.n:
            shelf[event.key] = {1: OLD}
            return
        newest = max(held, default=0)
        if event.n != newest + 1:
            self.found(seq, f"record {seq} writes version {event.n} of {event.key!r}, and {newest} was the newest")
        held[event.n] = digest(event.value)
        for n in [n for n in held if n < event.oldest]:
            del held[n]

    def _forgotten(self, seq: int, event: Event) -> None:
        assert isinstance(event, MemoryForgotten)
        self._gone(seq, shelf_of(event), event.key, event.n, "has it forgotten")

    def _expired(self, seq: int, event: Event) -> None:
        assert isinstance(event, MemoryExpired)
        if event.whole:
            self._gone(seq, shelf_of(event), event.key, event.n, "lets it expire")
        else:
            self.shelves.get(shelf_of(event), {}).get(event.key, {}).pop(event.n, None)

    def _gone(self, seq: int, shelf: Shelf, key: str, n: int, how: str) -> None:
        held = self.shelves.get(shelf, {}).pop(key, {})
        if max(held, default=0) != n:
            self.found(seq, f"record {seq} {how}, version {n} of {key!r}, and {max(held, default=0)} was the newest")

    # -- what was read
    def _stepped(self, seq: int, event: Event) -> None:
        assert isinstance(event, Stepped)
        if told := self.told.pop((event.task, event.n), None):
            if not event.refused and not same(told[1:], (digest(event.value), event.version)):
                self.found(seq, f"record {seq} is the outcome of step {event.n}, and not what Mai has told", told[0])
        elif event.call in CALLS and not event.refused and event.given and event.given.get("level") in ("agent", "department"):
            level = event.given["level"]
            shelf = Shelf(level, event.agent if level == "agent" else "")
            read = Read(event.call, event.given, event.value, event.version, True)
            self._hold(seq, self.shelves.get(shelf, {}), read)

    def _read_for(self, seq: int, event: Event) -> None:
        assert isinstance(event, MemoryRead)
        if not event.id:  # of a version that wrote less down
            self.dues.drop(lambda due: due[0] == "read")
            return
        self.dues.settle(("read", event.id))
        value = unscored(event.value) if event.call in PAGES else event.value
        n = len(value["items"]) if event.call in PAGES else event.n
        self.read[event.id] = seq, digest(value), n
        self._hold(seq, self.shelves.get(Shelf("client"), {}), Read(event.call, event.given, event.value, event.n, False))

    def _refused(self, seq: int, event: Event) -> None:
        assert isinstance(event, MemoryRefused)
        self.dues.settle(("read", event.id))

    def _hold(self, seq: int, shelf: dict[str, Versions], read: Read) -> None:
        if marked(read.given) or marked(read.value):
            return  # what it was is erased
        held = shelf.get(read.given.get("key", ""), {})
        if read.call == "recall":
            self._one(seq, held, read)
        elif read.call == "forget" and held:
            self.found(seq, f"record {seq} has {read.given['key']!r} forgotten, and it is still there")
        elif read.call == "remember" and read.n and read.n != max(held, default=0):
            self.found(seq, f"record {seq} has remembered version {read.n} of {read.given['key']!r}, which is not the newest")
        elif read.call in WRITES:
            return
        else:
            self._page(seq, shelf, read)

    def _one(self, seq: int, held: Versions, read: Read) -> None:
        given, value, n = read.given, read.value, read.n
        newest, key = max(held, default=0), given["key"]
        if OLD in held.values() or (value is not None and not n):
            return  # of a version that did not number them
        if n and held.get(n) not in (digest(value), ERASED):
            self.found(seq, f"record {seq} reads version {n} of {key!r}, and not what was written as that")
        elif n and "version" not in given and n != newest:
            self.found(seq, f"record {seq} reads version {n} of {key!r}, and {newest} was the newest")
        elif not n and given.get("version", newest) in held:
            self.found(seq, f"record {seq} reads nothing of {key!r}, and {given.get('version', newest)} was there")

    def _page(self, seq: int, shelf: dict[str, Versions], read: Read) -> None:
        given, page = read.given, read.value
        wrong = [one["key"] for one in page["items"] if not self._fits(shelf, read.call, one)]
        if wrong:
            self.found(seq, f"record {seq} lists what was not kept so: {', '.join(map(repr, wrong[:SHOWN]))}")
        if read.call == "recall_all" and read.all and not page["more"]:
            due = {key for key in shelf if key.startswith(given["prefix"]) and key > given["after"]}
            if missing := sorted(due - {one["key"] for one in page["items"]}):
                self.found(seq, f"record {seq} lists all but {', '.join(map(repr, missing[:SHOWN]))}")

    def _fits(self, shelf: dict[str, Versions], call: str, one: dict[str, Any]) -> bool:
        held = shelf.get(one["key"], {})
        right = held.get(one["version"]) in (digest(one["value"]), OLD, ERASED)
        return right and (call == "versions" or one["version"] == max(held))

    # -- between Mai and the asker
    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        read = self.read.pop(event.body.id, None) if isinstance(event.body, Recalled) else None
        if read and isinstance(event.body, Recalled) and not same(read[1:], (digest(event.body.value), event.body.n)):
            self.found(seq, f"record {seq} tells {event.to} other than what was read", read[0])

    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        body = event.body
        if isinstance(body, Recall | Browse):
            self.dues.owe(
                ("read", body.id), seq, f"{event.sender} reads the client's memory as {body.id}, and that is not on record"
            )
        if isinstance(body, Recalled) and body.n and not body.refused:
            self.told[asked_by(body.id)] = seq, digest(body.value), body.n


def digest(value: Any) -> int:
    """Of a value: equal ones have the same; ERASED, which equals all, of one that was."""
    if marked(value):
        return ERASED
    return hash(msgspec.json.encode(value, order="deterministic")) & ~1  # even: never OLD or ERASED


def same(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Are these the same, each a digest and a version?"""
    return one[1] == other[1] and (one[0] == other[0] or ERASED in (one[0], other[0]))
