"""A process erases a person's values from its own ledger: at its start, before it has read anything of them into its memory.

    HOME/erasure.order    put there by the watchdog →
    one transaction       bodies of records replaced, texts gone, the state folded anew, the record that says so →
    the file written anew, its free pages with it, and the write-ahead log emptied →
    HOME/erasure.said     what came of it; the order is overwritten and goes

Whoever dies on the way does it again at the next start: what is committed is not done twice, what follows is. If the ledger is
not ready for it (a message of these requests is on its way, one of them is open here, another one names the subject, a segment is
missing), nothing is changed, and that is what is said.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from mai.agents import anew, events
from mai.agents.archive_eraser import Taken, erase, looked_over
from mai.agents.decider import Decider
from mai.agents.erased import DONE, Happened, Order, Values
from mai.agents.events import Event, Sent
from mai.agents.kept import Kept, Version
from mai.agents.link import Link
from mai.agents.markers import redacted
from mai.agents.naming import Names
from mai.agents.open_nouns import OPEN
from mai.agents.reaching import Reach, first, forgotten, left_open, walked
from mai.agents.texts import PARCEL
from mai.sandbox import durable
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import BLOB_BYTES, Ledger
from mai.sandbox.points import reach
from mai.sandbox.purging import blobs, purge, redact
from mai.sandbox.record import BLOB, Record, chain

ORDER: Final = "erasure.order"
SAID: Final = "erasure.said"
BEAT: Final = 2000  # records between two signs of life
PORTION: Final = 5000  # in one turn of the fold


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an order."""

    erasure: str
    round: int
    state: str  # done, waits (something is open), more (other requests name the subject)
    why: str = ""
    records: int = 0
    blobs: int = 0
    keys: int = 0


def obey(home: Path, ledger: Ledger, blank: Callable[[], Decider], beat: Callable[[], None], *, whole: bool = False) -> None:
    """Carry out the order that lies here, if one does. Raises LedgerFault, OSError.

    `blank()` is the process's own decider, knowing nothing; `whole`: it folds what messages say; `beat` tells that we live.
    """
    path = home / ORDER
    durable.destroy(home / f"{ORDER}{durable.GONE}")  # a life died at it
    try:
        order = msgspec.json.decode(durable.read(path), type=Order)
    except FileNotFoundError:
        return
    except msgspec.MsgspecError as error:
        raise LedgerFault(f"{path} is no order: {error}", "remove it, and order the erasure again") from error
    reach("erase.begun")
    made = Eraser(ledger, order, beat)
    said = made.lacks() or made.run(blank(), whole=whole)
    durable.write(home / SAID, msgspec.json.encode(said))
    if said.state == "done":
        for old in home.glob("state-before-*.jsonl*"):  # rows that a rebuild has kept
            durable.destroy(old)
    durable.destroy(path)


class Eraser:
    """One order, carried out on one ledger."""

    def __init__(self, ledger: Ledger, order: Order, beat: Callable[[], None]) -> None:
        self._ledger, self._order, self._beat = ledger, order, beat
        alias = order.erasure if order.round == 1 else f"{order.erasure}-{order.round}"
        self._reach = Reach(Names(order.subject, alias, order.salt), order.requests, order.values)
        self._column: dict[int, str] = {}  # bodies that were replaced, as the column has them now

    def lacks(self) -> Said | None:
        """Nothing is done while a segment is elsewhere, or damaged."""
        why = self._in(looked_over(self._ledger))
        return self._said("waits", why) if why else None

    def run(self, decider: Decider, *, whole: bool) -> Said:
        """Do it, as far as it is not done."""
        if found := self._done():
            return self._purged(found)
        if why := next(self._open(), ""):
            return self._said("waits", f"{self._ledger.process} still has {why}")
        self._pass()
        if self._reach.others:
            return self._said("more", " ".join(sorted(self._reach.others)))
        self._ledger.stage()
        made = self._replace()
        whole_journal = all(entry.kept == "all" for entry in self._ledger.archive.entries)
        self._fresh = [(self._ledger.append(one.kind, data), one.kind, data.decode()) for one, data in self._encoded()]
        self._store(self._folded(decider, whole=whole) if whole_journal else self._walked())
        self._ledger.commit()
        reach("erase.committed")
        return self._purged(made)

    def _in(self, steps: Iterator[None]) -> str:
        """What is wrong with a segment; the process does without it, and the erasure waits. Raises LedgerFault."""
        try:
            for _ in steps:
                self._beat()
        except LedgerFault as error:
            if self._ledger.failed:
                raise
            return error.sentence
        return ""

    def _said(self, state: str, why: str) -> Said:
        return Said(erasure=self._order.erasure, round=self._order.round, state=state, why=why)

    def _done(self) -> Values | None:
        """The record of this order, if it was carried out before."""
        row = self._ledger.get(DONE, self._order.erasure)
        if row is None or msgspec.json.decode(row, type=Happened).round < self._order.round:
            return None
        found = [msgspec.json.decode(self._ledger.body(one), type=Values) for one in self._ledger.records(0, Values.kind)]
        return next(one for one in reversed(found) if one.erasure == self._order.erasure)

    def _purged(self, made: Values) -> Said:
        """What follows once it is on record: the segments, free pages and the log."""
        taken = Taken(made.erasure, frozenset(one[0] for one in made.records), frozenset(made.blobs), self._left)
        if why := self._in(erase(self._ledger, taken)):
            return self._said("waits", why)
        if not purge(self._ledger):
            return self._said("waits", f"somebody reads the ledger of {self._ledger.process}")
        reach("erase.purged")
        return Said(
            erasure=made.erasure, round=made.round, state="done", records=len(made.records), blobs=len(made.blobs), keys=made.keys
        )

    def _left(self, record: Record) -> str:
        """What is to stand in the column of a record in a segment; the same as was listed."""
        if column := self._column.get(record.seq):
            return column
        body = self._ledger.body(record) if record.body.startswith(BLOB) else record.body
        return self._kept(redacted(record.kind, body, self._reach.names))

    def _kept(self, body: str) -> str:
        data = body.encode()
        return body if len(data) <= BLOB_BYTES else f'{{"blob":"{self._ledger.keep(data)}","bytes":{len(data)}}}'

    # -- is it time?
    def _open(self) -> Iterator[str]:
        rows = ((noun, key, msgspec.json.decode(value)) for noun in OPEN for key, value in self._ledger.load(noun).items())
        yield from left_open(rows, self._reach.requests)
        links = [msgspec.json.decode(value, type=Link) for value in self._ledger.load("link").values()]
        if oldest := min((link.oldest for link in links if link.oldest), default=0):
            acked = {link.peer: link.acked for link in links}
            for record in self._ledger.records(oldest - 1, Sent.kind):
                sent = events.decode(record.kind, self._ledger.body(record))
                assert isinstance(sent, Sent)
                if sent.lseq > acked.get(sent.to, 0) and (sent.request or first(sent.id)) in self._reach.requests:
                    yield f"a message for {sent.to} on its way"

    # -- what goes
    def _pass(self) -> None:
        for record in self._ledger.records():
            body = record.body if not record.body.startswith(BLOB) else self._ledger.body(record)
            self._reach.note(record.seq, record.kind, record.request, record.body, body)
            if record.seq % BEAT == 0:
                self._beat()

    def _replace(self) -> Values:
        """Put the new bodies in their place, and journal it; the transaction stays open."""
        listed = []
        for change in self._reach.changes:
            self._column[change.seq] = self._kept(change.body)
        for record in self._ledger.records():
            if column := self._column.get(record.seq, ""):
                digest = chain(record.prev, record.seq, record.at_ns, record.term, (*record[3:8], column))
                listed.append((record.seq, record.digest.hex(), digest.hex()))
        gone = self._reach.gone(self._ledger.blob, blobs(self._ledger))
        redact(self._ledger, self._column.items(), gone)
        keys = list(forgotten(self._shelves(), self._reach, f"erasure {self._order.erasure}"))
        order = self._order
        made = Values(
            erasure=order.erasure, round=order.round, by=order.by, role=order.role, at_ms=order.at_ms, records=tuple(listed),
            blobs=tuple(gone), keys=len(keys),
        )  # fmt: skip
        self._made: list[Event] = [made, *keys]  # in this order: a life may begin with the first of them
        return made

    def _shelves(self) -> Iterator[tuple[str, str, Kept, Version | None]]:
        for noun in self._ledger.nouns():
            level, _, shelf = noun.partition("/")
            for key, data in self._ledger.load(noun).items() if level == "memory" else ():
                kept = msgspec.json.decode(data, type=Kept)
                newest = self._ledger.get(f"version/{shelf}", f"{key}/{kept.n}")
                yield shelf, key, kept, msgspec.json.decode(newest, type=Version) if newest else None

    # -- the state that the journal gives now
    def _encoded(self) -> list[tuple[Event, bytes]]:
        return [(event, events.encode(event)) for event in self._made]

    def _walked(self) -> dict[tuple[str, str], bytes]:
        """The state of a journal of which retention has taken so much that it cannot be folded: its rows, without the values."""
        rows = {(noun, key): value for noun in self._ledger.nouns() for key, value in self._ledger.load(noun).items()}
        return walked(rows, self._reach, self._made)

    def _folded(self, decider: Decider, *, whole: bool) -> dict[tuple[str, str], bytes]:
        def bodies(after: int) -> list[tuple[int, str, str]]:
            self._beat()
            rows = [
                (one.seq, one.kind, self._column.get(one.seq, one.body)) for one in islice(self._ledger.records(after), PORTION)
            ]
            return rows or [one for one in self._fresh if one[0] > after]

        def body_of(seq: int, column: str) -> str:
            data = self._ledger.blob(column.split('"')[3])
            if data is None:
                raise LedgerFault(f"record {seq} points to a blob that is missing", "run `mai verify`")
            return data.decode()

        try:
            folded = anew.fold(decider, bodies, body_of, whole=whole)
        except anew.Unfolded as error:
            raise LedgerFault(f"record {error.seq} cannot be folded: {error}", "look at it with `mai verify`") from error
        return {change: msgspec.json.encode(value) for change, value in folded.items()}

    def _store(self, due: dict[tuple[str, str], Any]) -> None:
        """All rows of state as they are due; texts on their way are no fold, and stay."""
        stored = {(noun, key) for noun in self._ledger.nouns() if noun != PARCEL for key in self._ledger.load(noun)}
        self._ledger.clear_words()
        for change in stored - due.keys():
            self._ledger.save(*change, None)
        for change, value in due.items():
            self._ledger.save(*change, value)


def said(home: Path) -> Said | None:
    """What the process has said last of an order; None if nothing."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(durable.read(home / SAID), type=Said)
    return None


def give(home: Path, order: Order) -> None:
    """Put an order into a process's directory; an older one is overwritten. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(home / SAID)
    durable.rewrite(home / ORDER, msgspec.json.encode(order))


def ordered(home: Path) -> bool:
    """Does an order lie there, be it half destroyed?"""
    return (home / ORDER).exists() or (home / f"{ORDER}{durable.GONE}").exists()
