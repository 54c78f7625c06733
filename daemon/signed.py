"""Journals held against the heads that the watchdog has signed: part of `mai verify`.

Each head was told when the disk had its record, so a true journal holds it, whatever has happened since. All heads are
looked up, not only the last: a journal that was exchanged has heads of its new life behind it. A process that does not tell
where its journal ends, so that it can change it later, is found out by what the watchdog has signed of others meanwhile.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pysqlite3 as sqlite3

from mai.daemon.heads import KIND, LARGEST, HeadsSigned
from mai.daemon.reader import NotFound, Reader
from mai.daemon.rounds import Rounds
from mai.daemon.scrub import TAMPERED, Scrub
from mai.daemon.seals import client_of
from mai.daemon.verified import Verified
from mai.daemon.witness import Finding
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import GENESIS
from mai.sandbox.place import WATCHDOG, Place
from mai.sandbox.signing import signed

SILENT = "keep the file as evidence, and look at the code of that department: its process hides its journal from the watchdog"
ERASED = "erased"  # kind of the watchdog's record of an erasure
PORTION = 1000  # records in one SELECT


@dataclass
class Signatures:
    """How many heads were held against their journals, and by which public keys they are signed."""

    heads: int = 0
    keys: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)  # about the signatures, not about a journal
    good: dict[str, int] = field(default_factory=dict)  # by process: up to this record its journal is vouched for
    erased: dict[str, int] = field(default_factory=dict)  # clients, with the watchdog's record of their erasure
    rounds: Rounds = field(default_factory=Rounds)  # when something was signed


class Pinned:
    """One journal held against heads that somebody has of it: how far they fit, and the first that does not."""

    def __init__(self, scrub: Scrub) -> None:
        self.scrub = scrub
        self.good_seq = 0
        self.bad = False

    def hold(self, seq: int, digest: str, by: str) -> None:
        """Hold one head against it; `by` is who has it, as in "the watchdog has signed"."""
        if self.bad:
            return
        found = self.scrub.reader.digest(seq)
        if (found and found.hex() == digest) or (seq, digest) == (0, GENESIS.hex()):
            self.good_seq = max(seq, self.good_seq)
            return
        self.bad = True
        fits = f"; up to record {self.good_seq} it fits" if self.good_seq else ""
        if found or seq <= (last := self.scrub.reader.last()):
            self.scrub.found(
                seq, f"record {seq} is not the one that {by}: the journal was written anew{fits}", good_seq=self.good_seq
            )
        else:
            said = f"the journal ends with record {last}, but {by} record {seq}: it was cut, or is an older copy"
            self.scrub.found(last + 1, said + fits, good_seq=last)


class _Against(Pinned):
    """A journal against what the watchdog has signed."""

    def __init__(self, scrub: Scrub, after: int) -> None:
        """`after`: the watchdog's record of the erasure of an earlier client of that name; its heads are of other journals."""
        super().__init__(scrub)
        self._after = after

    def silent(self, rounds: Rounds) -> int:
        """Has it written on while the watchdog has signed others, again and again, and not told its head?

        Returns when the first record was written (ms) that no signed head covers; 0 if all are.
        """
        if self.bad:
            return 0
        span = self.scrub.reader.span(self.good_seq)
        if span is None:
            return 0
        first_seq, first_ns, last_ns = span
        if rounds.silent(first_ns // 1_000_000, last_ns // 1_000_000):
            text = f"the records from {first_seq} on were not told to the watchdog, which has signed others meanwhile"
            self.scrub.found(first_seq, f"{text}: they may have been changed", SILENT, good_seq=first_seq - 1)
        return int(first_ns // 1_000_000)

    def told(self, seq: int, digest: str, by_seq: int) -> None:
        """One head, with the watchdog's record of it."""
        if by_seq > self._after:
            self.hold(seq, digest, f"the watchdog has signed (its record {by_seq})")


def compare(place: Place, scrubs: Iterable[Scrub], since: Verified | None = None) -> Signatures:
    """Hold these journals against all signed heads, or those since then; what differs is noted with each. Never raises."""
    usable, found = [scrub for scrub in scrubs if scrub.usable], Signatures()
    if not usable or not place.ledger(WATCHDOG).exists():
        return found
    try:
        reader = Reader(place, WATCHDOG)
    except LedgerFault:
        return found  # the examination of the watchdog's own ledger says so
    try:
        _compare(reader, usable, since or Verified(), found)
    except (sqlite3.Error, LedgerFault, msgspec.MsgspecError, AttributeError, TypeError, ValueError) as error:
        found.findings.append(Finding(WATCHDOG, 0, f"the signed heads cannot be read: {error}", TAMPERED))
    finally:
        reader.close()
    return found


def _compare(reader: Reader, scrubs: list[Scrub], since: Verified, found: Signatures) -> None:
    after = since.marks[WATCHDOG].seq if WATCHDOG in since.marks else 0
    found.erased = {**(since.erased if after else {}), **_erased(reader, after)}
    against = {scrub.process: _Against(scrub, found.erased.get(client_of(scrub.process), 0)) for scrub in scrubs}
    if after:
        found.keys, found.rounds = list(since.keys), Rounds(since.rounds, since.lives, since.life)
        for process, mark in since.marks.items():
            if process in against:
                against[process].good_seq = mark.vouched
    for seq, life, text in _records(reader, after):
        if (heads := _heads(seq, text, found.findings)) is not None:
            found.keys += [] if heads.key in found.keys else [heads.key]
            found.heads += _hold(seq, heads, against)
            found.rounds.add(heads.at_ms, life)
    unsigned_ms = [one.silent(found.rounds) for one in against.values()]
    found.good = {process: one.good_seq for process, one in against.items()}
    oldest_ms = min((at_ms for at_ms in unsigned_ms if at_ms), default=LARGEST)
    found.rounds = found.rounds.since(oldest_ms)


def erased(place: Place, after: int) -> dict[str, int]:
    """Clients that were erased behind a record of the watchdog's. Never raises."""
    try:
        with closing(Reader(place, WATCHDOG)) as reader:
            return _erased(reader, after)
    except (sqlite3.Error, LedgerFault, NotFound, msgspec.MsgspecError, AttributeError, TypeError, ValueError):
        return {}  # its own examination says what is wrong


def _erased(reader: Reader, after: int) -> dict[str, int]:
    """Clients that were erased behind this record, each with the number of the last record that says so."""
    records = reader.of_kinds((ERASED,), after, reader.last())
    bodies = ((one.seq, msgspec.json.decode(reader.body(one, trust=True), type=dict[str, Any])) for one in records)
    return {client_of(str(body.get("process", ""))): seq for seq, body in bodies}


def _records(reader: Reader, after: int) -> Iterator[tuple[int, str, str]]:
    """Number, life and body of the records with signed heads behind this one, up to the newest just now."""
    upto = reader.last()
    while records := reader.of_kinds((KIND,), after, upto, PORTION):
        for one in records:
            yield one.seq, one.boot, reader.body(one, trust=True)
        after = records[-1].seq


def _heads(seq: int, text: str, findings: list[Finding]) -> HeadsSigned | None:
    try:
        heads = msgspec.json.decode(text, type=HeadsSigned)
    except msgspec.MsgspecError:
        findings.append(Finding(WATCHDOG, seq, f"record {seq} cannot be read: its body is no {KIND}", TAMPERED))
        return None
    if not signed(heads.key, heads.signature, heads.statement()):
        findings.append(Finding(WATCHDOG, seq, f"the signature of record {seq} does not fit what it says", TAMPERED))
        return None
    return heads


def _hold(by_seq: int, heads: HeadsSigned, against: dict[str, _Against]) -> int:
    held = 0
    for process, (seq, digest) in heads.heads.items():
        if process in against:
            against[process].told(seq, digest, by_seq)
            held += 1
    return held
