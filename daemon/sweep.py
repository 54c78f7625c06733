"""The reading of `mai verify`: all journals of some processes, side by side in the order of time.

So read, both ends of a link come by about together: a message is held against its other end soon after it was read, and is
forgotten. What is known then fits into some hundred numbers: it is what a run leaves for the next (verified.py), and what an
interrupted run that reads everything goes on from.
"""

import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import permutations

import msgspec
import pysqlite3 as sqlite3

from mai.daemon import filecheck, sealed_check, signed, witness
from mai.daemon.reader import NotFound
from mai.daemon.rounds import Rounds
from mai.daemon.scrub import Scrub
from mai.daemon.signed import Signatures
from mai.daemon.summary import clean
from mai.daemon.verified import Mark, Part, Verified, fits, of_clients
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import fault
from mai.sandbox.log import Damage
from mai.sandbox.place import WATCHDOG, Place

Progress = Callable[[str, int, int], None]  # process, how many records are read, of how many
Keep = Callable[[Part], None]

SETTLED = 20  # portions between two looks at what both ends have
UNWRITTEN = (msgspec.MsgspecError, struct.error, AttributeError, KeyError, TypeError, ValueError)  # of values of another kind
KEPT_S = 5.0  # between two times that what is known so far is kept


class Stopped(Exception):
    """Raised by who is told of the progress: between two portions, so that what is known then can be kept."""


class Sweep:
    """Several ledgers under examination."""

    def __init__(self, place: Place, processes: Iterable[str], progress: Progress) -> None:
        self.place, self.progress = place, progress
        self.scrubs = [Scrub(process) for process in processes]
        self._logs: dict[str, Damage | None] = {}
        self._files: list[str] = []
        self._blobs: dict[str, str] = {}
        self.before, self.since = Verified(), Verified()  # what is known, and what this run goes on from
        self.gone: list[str] = []  # whose ledgers were there then
        self._keep: Keep | None = None
        self._kept_s = time.monotonic()
        self._began_ms = time.time_ns() // 1_000_000

    # -- what it goes on from
    def begin(self, since: Verified, when: str) -> None:
        """Go on from what was verified before: of each client whose journals still are those, and fit together."""
        names = {scrub.process for scrub in self.scrubs}
        known = {process: mark for process, mark in since.marks.items() if process in names}
        good = fits(known) & {process.partition("/")[0] for process in names if process in known}
        clients = [process for process in self.place.processes() if "/" in process]
        good -= {process.partition("/")[0] for process in clients if process not in names}  # of half a client nothing is settled
        for client in sorted(good):
            own = [scrub for scrub in self.scrubs if scrub.process.partition("/")[0] == client and scrub.process in known]
            resumed = [self.guarded(scrub, lambda scrub: scrub.resume(known[scrub.process], when)) for scrub in own]
            if not all(resumed):
                good.discard(client)
                for scrub in own:
                    scrub.anew()
        self.since = of_clients(since, {process.partition("/")[0] for process in since.marks} - good)

    def remember(self, before: Verified) -> Verified:
        """What is known from before, without clients that were erased: what has the name of one now, if anything, is another."""
        erased = signed.erased(self.place, before.marks[WATCHDOG].seq if WATCHDOG in before.marks else 0)
        self.before = of_clients(before, set(erased))
        self.gone = sorted(process for process in self.before.marks if not self.place.ledger(process).exists())
        return self.before

    def go_on(self, part: Part) -> None:
        """Go on from where a run that reads everything was interrupted."""
        self.begin(part.reached, "by the run that was interrupted")
        self._began_ms, self._files, self._blobs = part.began_ms, list(part.files), dict(part.blobs)

    # -- reading
    def open(self, *, whole: bool, fold: bool) -> None:
        """Open all, and fix how far each is looked at."""
        for scrub in self.scrubs:
            self._logs[scrub.process] = filecheck.look_at_log(self.place, scrub.process)
            self.guarded(scrub, lambda scrub: scrub.open(self.place))
        for scrub in self.scrubs:
            self.guarded(scrub, lambda scrub: filecheck.snapshot(scrub, whole=whole, fold=fold))

    def read(self, *, whole: bool, keep: Keep | None) -> None:
        """Read each up to its snapshot, then a little further: what the others claim of it is held against that."""
        self._keep = keep
        for scrub in self.scrubs:
            if whole and scrub.process not in self._files:
                self.guarded(scrub, filecheck.pages)
                self._files.append(scrub.process)
            self.guarded(scrub, filecheck.tables)
            self.guarded(scrub, lambda scrub: sealed_check.examine(scrub, files=whole))
        for number, scrub in enumerate(self._in_time(), 1):
            self.progress(scrub.process, scrub.seq, scrub.upto)
            if number % SETTLED == 0:
                self.settle()
                self._keep_now_and_then()
        for scrub in self.scrubs:
            self.guarded(scrub, Scrub.claim)
        for scrub in self.scrubs:
            self.guarded(scrub, lambda scrub: self._to_the_end(scrub, whole))

    def _in_time(self) -> Iterator[Scrub]:
        """Portion by portion, always of the journal that is furthest behind; gives whose it was."""
        left = [scrub for scrub in self.scrubs if scrub.readable]
        while left:
            scrub = min(left, key=lambda scrub: scrub.at_ns)
            if self.guarded(scrub, lambda scrub: scrub.step(scrub.upto)):
                yield scrub
            else:
                left.remove(scrub)

    def _to_the_end(self, scrub: Scrub, whole: bool) -> None:
        scrub.journal(scrub.reader.last(), lambda done: None)
        if whole:
            for address in scrub.blob(self._blobs.get(scrub.process, "")):
                self._blobs[scrub.process] = address
                self._keep_now_and_then()
                self.progress(scrub.process, scrub.seq, scrub.upto)
        filecheck.told_of_log(scrub, self.place, self._logs[scrub.process])
        scrub.spared()
        scrub.broken()

    def settle(self) -> None:
        """What both ends of a link have, and alike, is done with."""
        for sender, receiver in permutations([scrub for scrub in self.scrubs if scrub.usable], 2):
            witness.settle(sender.ends, receiver.ends)

    def guarded(self, scrub: Scrub, work: Callable[[Scrub], bool | None]) -> bool:
        """Do something with a ledger unless it could not be read before; that it cannot be is a finding too."""
        if not scrub.readable:
            return False
        begun_s = time.monotonic()
        try:
            return bool(work(scrub))
        except (LedgerFault, NotFound) as error:
            scrub.found(scrub.seq + 1 if scrub.seq else 0, error.sentence, error.hint, good_seq=scrub.seq)
            scrub.readable = scrub.usable = False
        except UNWRITTEN as error:
            what = f"the ledger holds what no ledger can have written: {clean(repr(error), 200)}"
            scrub.found(scrub.seq + 1 if scrub.seq else 0, what, good_seq=scrub.seq)
            scrub.readable = scrub.usable = False
        except sqlite3.Error as error:
            said = fault(scrub.reader.path, error)
            scrub.found(scrub.seq + 1 if scrub.seq else 0, said.sentence, said.hint, good_seq=scrub.seq)
            scrub.readable = scrub.usable = False
        finally:
            scrub.seconds += time.monotonic() - begun_s
        return False

    # -- what is kept
    def _keep_now_and_then(self) -> None:
        if self._keep and time.monotonic() - self._kept_s > KEPT_S:
            self.keep()

    def keep(self) -> None:
        """Keep how far it is, if nothing was found so far."""
        self._kept_s = time.monotonic()
        if self._keep and not any(scrub.findings or scrub.bad_seq for scrub in self.scrubs):
            self.settle()
            with suppress(sqlite3.Error, LedgerFault):
                reached = msgspec.structs.replace(self.since, marks=self._marks({}, set()))
                blobs = dict(self._blobs)
                self._keep(Part(began_ms=self._began_ms, reached=reached, files=tuple(self._files), blobs=blobs))

    def result(self, signatures: Signatures, wrong: set[str], *, whole: bool) -> Verified:
        """What is known now, for the next run.

        Of a client of which something was found wrong, or not all was read, it is what was known before.
        """
        self.settle()
        before, names = self.before, {scrub.process for scrub in self.scrubs}
        partly = {process.partition("/")[0] for process in self.place.processes() if process not in names}
        bad = {process.partition("/")[0] for process in wrong} | partly
        with suppress(sqlite3.Error, LedgerFault):
            now_ms = time.time_ns() // 1_000_000
            read = {process.partition("/")[0] for process in names} - bad
            kept = of_clients(before, read).marks
            sure = WATCHDOG in names and WATCHDOG not in wrong
            rounds = signatures.rounds if sure else Rounds(before.rounds, before.lives, before.life)
            return Verified(
                at_ms=now_ms, full_ms=self._began_ms if whole and sure and not bad else before.full_ms,
                marks={**kept, **self._marks(signatures.good, bad)},
                rounds=tuple(rounds.times), lives=tuple(rounds.lives), life=rounds.life,
                erased=signatures.erased if sure else before.erased,
                keys=tuple(signatures.keys) if sure else before.keys,
            )  # fmt: skip
        return before

    def _marks(self, vouched: dict[str, int], without: set[str]) -> dict[str, Mark]:
        found = {}
        for scrub in self.scrubs:
            if scrub.readable and scrub.process.partition("/")[0] not in without:
                if (mark := scrub.mark(vouched.get(scrub.process, 0))) is None:
                    without.add(scrub.process.partition("/")[0])
                else:
                    found[scrub.process] = mark
        return {process: mark for process, mark in found.items() if process.partition("/")[0] not in without}
