"""`mai erase`: a person's values are destroyed in all ledgers of a client, step by step in the watchdog's loop.

    searching   all journals of the client are read: which requests are concerned (person_search.py)
    waiting     until none of them is open
    telling     each process that holds something of them gets an order and is started again; it erases from its own ledger before
                it reads it (agents/eraser.py), and says what came of it. Requests that came meanwhile: all over again, another
                round
    files       what was printed, files of deaths and spools; then the certificate

The job, with the subject in it, lies in STATE/clients/NAME/erasing.json until it is done, and is then overwritten and removed:
whoever comes after a death goes on from it. The watchdog's journal has the number of the erasure, who ordered it and how far it
came, and nothing of whom it is about.
"""

import os
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pysqlite3 as sqlite3

from mai.agents import eraser
from mai.agents.erased import Order, Values
from mai.daemon import book_eraser, person_files, person_paper
from mai.daemon.case import Restart
from mai.daemon.person_paper import Erased, Paper
from mai.daemon.person_search import Search
from mai.daemon.reader import Reader
from mai.sandbox.durable import GONE, destroy, rewrite, write
from mai.sandbox.errors import LedgerFault, MaiError, Refused, UsageFault
from mai.sandbox.place import WATCHDOG

if TYPE_CHECKING:
    from mai.daemon.watchdog import Watchdog

NAME: Final = "erasing.json"
NOUN: Final = "person"
TURN_S: Final = 0.02  # of one turn of the watchdog's loop
AGAIN_S: Final = 0.1  # between two looks at what waits
RETRY_S: Final = 2.0  # until a process that was not ready for it gets its order again
MOST_RETRY_S: Final = 60.0  # the same, once it has had it often: what is missing may be missing for long
GROWTH: Final = 1.3
MOST_ROUNDS: Final = 20
SALT_BYTES: Final = 32


class Job(msgspec.Struct, kw_only=True):
    """One that is under way."""

    erasure: str
    client: str
    subject: str
    also: tuple[str, ...]
    requests: tuple[str, ...]  # so far
    reference: str
    salt: bytes
    by: str
    role: str
    asked_ms: int
    round: int = 0
    phase: str = "searching"
    values: tuple[str, ...] = ()  # what these requests have written, so far: who was told has erased by what they were found
    files: tuple[tuple[str, str], ...] = ()  # of spools, so far
    again: int = 0  # how often requests have come meanwhile
    last: bool = False  # all were told, and what lies beside is at work
    spooled: tuple[str, ...] = ()  # files that were there, so far
    abandoned: str = ""  # by whom

    def once_more(self, more: Iterable[str]) -> None:
        """Requests have come meanwhile: another round, for them too. Raises Refused if that has been so too often.

        Not what `round` counts, which are deaths too: whoever is killed often enough would else never be done.
        """
        self.requests, self.again = tuple(sorted({*self.requests, *more})), self.again + 1
        if self.again >= MOST_ROUNDS:
            self.again = 0
            raise Refused("requests that concern the person come again and again", "pause the departments: mai pause")


class Persons:
    """The erasure that is under way, if one is."""

    def __init__(self, watchdog: "Watchdog") -> None:
        """One of before is gone on with."""
        self._watchdog, self._place = watchdog, watchdog.place
        self._numbers: dict[str, int] = {client: int(row["n"]) for client, row in watchdog.book.load(NOUN).items()}
        self._steps: Iterator[bool] = iter(())
        self._look_s = 0.0  # when to look again at what waits
        self.now: Job | None = None
        self.waits: dict[str, str] = {}
        self.busy = False  # is there a next step at once?
        self.ended: tuple[str, Paper | None] = ("", None)  # the certificate's file
        for path in (self._place.state / "clients").glob(f"*/{NAME}{GONE}"):
            destroy(path)  # of a life that died at it
        for path in sorted((self._place.state / "clients").glob(f"*/{NAME}")):
            try:
                self._take_up(msgspec.json.decode(path.read_bytes(), type=Job))
                break  # others in the next life: there is one at a time
            except msgspec.MsgspecError as error:
                print(f"watchdog: {path} is no order to erase: {error}", file=sys.stderr, flush=True)

    def _take_up(self, job: Job) -> None:
        self.now, self.busy = job, True
        self._watchdog.book.hold(held=job.last)
        self._steps = self._work(job)

    @property
    def due_s(self) -> float:
        """When there is something to look at again."""
        return self._look_s if self.now else float("inf")

    # -- an order
    def begin(self, given: Job) -> None:
        """Erase. The same order again joins the one that is under way. Raises Refused, UsageFault, OSError: nothing was done."""
        if self.now:
            if (self.now.client, self.now.subject) == (given.client, given.subject):
                return
            raise Refused(f"something is being erased from {self.now.client} just now", "try again when that is done")
        if given.client not in self._watchdog.organisation.clients:
            raise UsageFault(f"there is no client {given.client!r:.60}", "look at: mai client list")
        self._watchdog.erasing.bar(given.client)
        self._watchdog.reloading.free()
        n = self._numbers[given.client] = self._numbers.get(given.client, 0) + 1
        given.erasure, given.salt = f"e{n}", os.urandom(SALT_BYTES)
        self._save(given)
        self._enter(given, "begun")
        self._watchdog.book.flush(time.monotonic())
        self._take_up(given)

    def abandon(self, client: str, subject: str, by: str) -> tuple[str, list[str]]:
        """Give up what is under way: its number, and who has not done it. Raises UsageFault, OSError.

        What was erased stays erased, and on record as ordered. Who has not begun keeps what he has, and no other erasure finds
        there what these requests had written: where that stood it is gone.
        """
        job = self.now
        if job is None or (job.client, job.subject) != (client, subject):
            raise UsageFault(f"no such person is being erased from {client!r:.60}", "only what has begun can be abandoned")
        left = sorted(self.waits)
        for process in self._place.processes():
            if process.partition("/")[0] == client:
                destroy(self._place.home(process) / eraser.ORDER)
        job.abandoned = by
        self._enter(job, "abandoned", by=by, processes=left)
        self._ended(job, "", None)
        return job.erasure, left

    def turn(self, now_s: float) -> None:
        """The next steps, as many as fit into a turn."""
        if self.now is None or (not self.busy and now_s < self._look_s):
            return
        end_s = now_s + TURN_S
        try:
            while self.now and time.monotonic() < end_s:
                self.busy = next(self._steps, False)
                if not self.busy:
                    self._look_s = now_s + AGAIN_S
                    return
        except (OSError, MaiError, sqlite3.Error, msgspec.MsgspecError) as error:
            self.waits = {WATCHDOG: error.sentence if isinstance(error, MaiError) else str(error)}
            if self.now:  # tried again from its beginning: what was done stays done
                self._steps, self.busy, self._look_s = self._work(self.now), False, now_s + RETRY_S

    # -- the work
    def _work(self, job: Job) -> Iterator[bool]:
        """Yields after each step, whether there is another at once. Raises OSError, MaiError."""
        search = yield from self._searched(job)
        while told := self._to_tell(job, search):
            job.round += 1
            self._phase(job, "telling")
            more = yield from self._tell(job, told, search)
            if not more:
                break
            job.once_more(more)
            search = yield from self._searched(job)
        job.last = True
        self._phase(job, "files")
        paper = yield from self._files(job, search)
        self._over(job, paper)

    def _searched(self, job: Job) -> Generator[bool, None, Search]:
        """Who is concerned, once nothing of theirs is open; returns the Search."""
        while True:
            self._phase(job, "searching")
            search = Search(self._place, job.client, job.subject, also=job.also, more=job.requests)
            search.values.update(job.values)
            search.files.update(job.files)
            for _ in search.requests_of():
                yield True
            job.requests, job.values = tuple(sorted(search.requests)), tuple(sorted(search.values))
            job.files = tuple(sorted(search.files))
            self._save(job)
            if not (open_ := search.open()):
                for _ in search.count():
                    yield True
                return search
            self._phase(job, "waiting")
            while open_:
                self.waits = dict(what.split(": ", 1) for what in open_)
                yield False
                open_ = search.open()
            self.waits = {}

    def _to_tell(self, job: Job, search: Search) -> list[str]:
        """The processes that hold something, or have not done what they were told."""
        homes = {process: self._place.home(process) for process in search.processes}
        return [process for process, home in homes.items() if search.counts[process] or eraser.ordered(home)]

    def _tell(self, job: Job, processes: list[str], search: Search) -> Generator[bool, None, set[str]]:
        """Have each of them do it; returns the requests that have to be looked for as well."""
        order = Order(
            erasure=job.erasure, round=job.round, subject=job.subject, requests=job.requests,
            values=tuple(sorted(search.values)), salt=job.salt, by=job.by, role=job.role, at_ms=job.asked_ms,
        )  # fmt: skip
        self._enter(job, "told", round=job.round, processes=processes, requests=(*job.requests, *search.readers))
        self._watchdog.book.flush(time.monotonic())  # on record first: what nobody has ordered is no erasure
        if fault := self._watchdog.book.fault:
            raise LedgerFault(f"the watchdog cannot write its ledger: {fault}", "make room")
        waiting = {process: Telling(self._watchdog, process, order) for process in processes}
        while waiting:
            now_s, self.waits = time.monotonic(), {}
            for process, telling in list(waiting.items()):
                telling.turn(now_s)
                if telling.more:
                    return telling.more
                if telling.done:
                    del waiting[process]
                else:
                    self.waits[process] = telling.why
            yield False
        return set()

    def _files(self, job: Job, search: Search) -> Generator[bool, None, Paper]:
        """What lies beside the ledgers; returns the certificate."""
        words, requests = person_files.Words((job.subject, *job.also)), frozenset(job.requests)
        lines = 0
        for path in person_files.logs(self._place, job.client):
            lines += person_files.overwrite_lines(path, words, f"(erased {job.erasure})")
            yield True
        deaths = person_files.clear_deaths(self._place, job.client, words, requests, job.erasure)
        spooled = search.spooled()
        job.spooled = tuple(sorted({*job.spooled, *map(str, spooled)}))
        self._save(job)  # whoever has to begin again does not find them
        for path in spooled:
            destroy(path)
            yield True
        own = yield from self._own(job, words, requests)
        left = [f"{one.process}: record {one.seq}, {one.kind}" for one in search.hits]
        left += [f"{search.left - len(search.hits)} records more"] if search.left > len(search.hits) else []
        left += list(person_files.files_with(self._place, search.processes, words))
        ledgers = [self._ledger(job, process) for process in search.processes]
        ledgers += [Erased(WATCHDOG, own, 0, 0)] if own else []
        return Paper(
            client=job.client, erasure=job.erasure, reference=job.reference, by=job.by, role=job.role, asked_ms=job.asked_ms,
            done_ms=time.time_ns() // 1_000_000, requests=len(job.requests), ledgers=ledgers, log_lines=lines,
            deaths=deaths, spool_files=len(job.spooled), left=left,
        )  # fmt: skip

    def _own(self, job: Job, words: person_files.Words, requests: frozenset[str]) -> Generator[bool, None, int]:
        """What the watchdog's own journal holds; returns how many records. Raises MaiError, OSError."""
        book = self._watchdog.book
        book.hold(held=True)
        said = Values(erasure=job.erasure, round=job.round, by=job.by, role=job.role, at_ms=job.asked_ms)
        return (yield from book_eraser.erase(book, job.client, words=words, requests=requests, said=said))

    def _ledger(self, job: Job, process: str) -> Erased:
        """What a ledger's own journal says of it."""
        reader, records, texts, keys = Reader(self._place, process), set[int](), set[str](), 0
        try:
            for record in reader.records("kind = ?", Values.kind):
                event = msgspec.json.decode(reader.body(record), type=Values)
                if event.erasure == job.erasure:
                    records.update(seq for seq, _, _ in event.records)
                    texts.update(event.blobs)
                    keys += event.keys
        finally:
            reader.close()
        return Erased(process, len(records), len(texts), keys)

    # -- on record
    def _over(self, job: Job, paper: Paper) -> None:
        path = person_paper.path_of(self._place, job.client, job.erasure, job.asked_ms)
        signed = paper.signed_by(self._watchdog.signer)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(path, msgspec.json.format(msgspec.json.encode(signed), indent=1))
        name = str(path.relative_to(self._place.state))
        self._enter(job, "done", certificate=name, records=sum(one.records for one in paper.ledgers))
        self._ended(job, name, signed)

    def _ended(self, job: Job, certificate: str, paper: Paper | None) -> None:
        self._watchdog.book.flush(time.monotonic())
        destroy(self._path(job))
        self._steps = iter(())
        self.now, self.waits, self.busy, self.ended = None, {}, False, (certificate, paper)
        self._watchdog.book.hold(held=False)

    def _phase(self, job: Job, phase: str) -> None:
        job.phase, self.waits = phase, {}
        self._save(job)

    def _path(self, job: Job) -> Path:
        return self._place.state / "clients" / job.client / NAME

    def _save(self, job: Job) -> None:
        rewrite(self._path(job), msgspec.json.encode(job))

    def _enter(self, job: Job, step: str, **more: Any) -> None:
        about = {"process": f"{job.client}/mai", "erasure": job.erasure, "step": step, "by": job.by, "role": job.role, **more}
        self._watchdog.book.enter("person", about, (NOUN, job.client, {"n": self._numbers[job.client]}))


class Telling:
    """One process that has to erase."""

    def __init__(self, watchdog: "Watchdog", process: str, order: Order) -> None:
        self._watchdog, self._process, self._order = watchdog, process, order
        self._home = watchdog.place.home(process)
        self._given_s = 0.0  # when it got the order
        self._asked_pid = 0  # the life that was ended for it
        self._wait_s = RETRY_S / GROWTH  # until the next one is, if it is not ready for it
        self.done = False
        self.why = ""  # it has not done it
        self.more: set[str] = set()

    def turn(self, now_s: float) -> None:
        """Look what it says, and see to it that it does it."""
        if self._given_s and (said := self._said()):
            self._heard(said, now_s)
        if self.done or self.more:
            return
        ward = self._watchdog.wards.get(self._process)
        if ward is None:
            self.why = "nobody runs it: it is no part of the organisation any more"
        elif ward.case.asleep:
            self._give(now_s)
            self._watchdog.sleepers.wake(self._process, now_s)
        elif ward.case.state in ("stopped", "failed"):
            self._give(now_s)
            self.why = f"it is {ward.case.state}: start it, and it will"
        elif ward.case.state == "ready" and now_s >= self._given_s + (self._wait_s if self.why else 0.0):
            self._give(now_s)
            if self._asked_pid != ward.case.pid:
                self._asked_pid = ward.case.pid
                self._wait_s = min(self._wait_s * GROWTH, MOST_RETRY_S)
                self._watchdog.apply(ward, Restart(), now_s, self._order.by)

    def _said(self) -> eraser.Said | None:
        said = eraser.said(self._home)
        fits = said is not None and (said.erasure, said.round) == (self._order.erasure, self._order.round)
        return said if fits else None

    def _heard(self, said: eraser.Said, now_s: float) -> None:
        if said.state == "done" and not eraser.ordered(self._home):
            self.done = True
        elif said.state == "more":
            self.more = set(said.why.split())
        elif said.state == "waits" and self.why != said.why:
            self.why, self._given_s, self._asked_pid = said.why, now_s, 0

    def _give(self, now_s: float) -> None:
        if not (self._home / eraser.ORDER).exists() or not self._given_s:
            eraser.give(self._home, self._order)
            self._given_s = now_s
