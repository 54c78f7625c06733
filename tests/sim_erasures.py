"""Worlds at whose end a person's values are erased, while the erasing processes die and clients ask on; and bugs in that.

A world is played as ever, comes to rest and is checked. Then whoever it was about whose number stands in one of the requests is
erased: each process gets its order and is ended, dies again at any of its points, and has to come to an end of it. What others
asked, and what the journals prove, has to be as it was.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pysqlite3 as sqlite3

from mai.agents import eraser, markers
from mai.agents.erased import Order, Values
from mai.agents.eraser import Eraser
from mai.agents.naming import Names
from mai.agents.reaching import READING, Reach, case_of, first, naming, request_of, written
from mai.agents.sealing import Sealed
from mai.daemon.case import Reset
from mai.daemon.redacted import Erasures
from mai.daemon.replaying import Replays
from mai.sandbox.bodies import body_of, read
from mai.sandbox.durable import destroy
from mai.sandbox.ledger import GENESIS, Record, digest_of
from tests import sim_checks
from tests.sim_lives import MAI, Violation
from tests.sim_mutation import Mutant, Put, applied
from tests.sim_world import World

MOST_ROUNDS = 12
MOST_TURNS = 80_000
DEATHS = 12  # of processes that erase
BUGS: dict[str, Mutant] = {}


class Alone(Exception):
    """It waits until somebody retries or drops a task that is in quarantine, which nobody does in these worlds."""


class Erasing(World):
    """One world, and an erasure at its end. `lethal`: how likely it is that a process that begins dies on the way."""

    def __init__(self, seed: int, directory: Path, aim: str = "") -> None:
        super().__init__(seed, directory)
        self.aim_of_erasure, self.erasing = aim, False
        self.chance_of_erasure = Random(seed + 2)
        self.before: dict[str, list[Record]] = {}
        for name in self.names:
            for file in (eraser.ORDER, eraser.SAID):
                (self.place.home(name) / file).unlink(missing_ok=True)  # another world's

    def checked(self) -> int:
        """As any world; then the erasure, and what has to be so after it."""
        found = super().checked()
        wishes = [wish for wish in self.clients.wishes if re.search(r" for \d+$", wish.text) and wish.accepted]
        if not wishes:
            return found
        wish = self.chance_of_erasure.choice(wishes)
        self.subject = wish.text.rpartition(" ")[2]
        if wish.request not in self.concerned():  # it was cancelled before its words became an argument: free text, and not found
            return found
        self.counts["erasures"] += 1
        self.before = {name: list(read(self.disk.anchors[name])) for name in self.names}
        try:
            requests = self.erase()
        except Alone:
            self.counts["waits for a person"] += 1
            return found
        if wrong := next(self.after(requests), ""):
            raise Violation(f"after the erasure of {self.subject}: {wrong}")
        return found

    # -- doing it
    def reached(self, point: str) -> None:
        """Orders are replaced and taken back by the watchdog, which is no process here."""
        if self.acting is not None or point != "erase.overwritten":
            super().reached(point)

    def trouble(self) -> None:
        """While it is erased clients ask again, and processes die."""
        if not self.erasing:
            return super().trouble()
        if self.chance_of_erasure.random() < 0.05:
            self.clients.act()
        life = self.lives.get(self.chance_of_erasure.choice(self.names))
        if life and self.chance_of_erasure.random() < 0.02 and self.counts["die"] < DEATHS:
            life.fuse = self.chance_of_erasure.randrange(1, 30)
        return None

    def disputed(self, found: set[str]) -> set[str]:
        """Cases that a claim of theirs has come to."""
        bodies = ((one, body_of(self.disk.anchors[MAI], one)) for one in read(self.disk.anchors[MAI]))
        return found | {case for one, body in bodies if (case := case_of(one.kind, one.request, body, found))}

    def written(self, requests: set[str]) -> tuple[str, ...]:
        """What they have written to memory."""
        records = ((db, one) for db in self.disk.anchors.values() for one in read(db))
        bodies = ((one, body_of(db, one)) for db, one in records)
        own = (written(one.kind, body) for one, body in bodies if request_of(one.request, body) in requests)
        return tuple(filter(None, own))

    def concerned(self) -> set[str]:
        """The requests that name the subject, in any journal."""
        names, found = Names(self.subject, "e0"), set[str]()
        for name in self.names:
            for record in read(self.disk.anchors[name]):
                body = body_of(self.disk.anchors[name], record)
                if naming(record.kind, body, names) and (whose := request_of(record.request, body)):
                    found.add(whose)
        return self.disputed(found)

    def erase(self) -> frozenset[str]:
        """Round after round, as the watchdog has it done; returns whose records were concerned."""
        requests, values = self.concerned(), set[str]()
        self.erasing, self.faulty, self.kill_share, self.aim = True, True, 0.4, self.aim_of_erasure
        deaths = self.counts["die"]
        for number in range(1, MOST_ROUNDS):
            if self.counts["die"] - deaths > DEATHS:
                self.kill_share = 0.0
            values.update(self.written(requests))  # of what the first one who was told has erased nothing is to be seen any more
            order = Order(
                erasure="e1", round=number, subject=self.subject, requests=tuple(sorted(requests)),
                values=tuple(sorted(values)), salt=b"salt", by="root", role="administrator", at_ms=self.now_ns // 1_000_000,
            )  # fmt: skip
            more = self.told_to(order)
            if not more:
                break
            requests = self.disputed(requests | more)
            self.calm()
        else:
            raise Violation(f"it is not erased after {MOST_ROUNDS} rounds")
        self.calm()
        return frozenset(requests)

    def calm(self) -> None:
        """Until all is at rest."""
        self.erasing = self.faulty = False
        for life in self.lives.values():
            life.fuse = 0
        self.revive()
        self.rest()
        self.erasing = self.faulty = True

    def revive(self) -> None:
        """An operator resets what was given up."""
        for name in self.names:
            if self.cases[name].state == "failed":
                self.policy(name, Reset())

    def told_to(self, order: Order) -> set[str]:
        """Each process does it; returns the requests that have to be looked for as well."""
        left = dict.fromkeys(self.names, False)  # has it the order?
        due, wait = Counter[str](), Counter[str]()  # the turn from which it gets it again: who waits has to come to its work
        for turn in range(MOST_TURNS):
            for name, has in list(left.items()):
                home, life = self.place.home(name), self.lives.get(name)
                said = eraser.said(home) if has else None
                if said and said.round == order.round and not eraser.ordered(home):
                    if said.state == "more":
                        for other in self.names:
                            destroy(self.place.home(other) / eraser.ORDER)
                        return set(said.why.split())
                    left[name] = False
                    if said.state == "done":
                        del left[name]
                    elif "still has quarantine" in said.why:
                        raise Alone(said.why)
                    else:
                        wait[name] = wait[name] * 2 or 20
                        due[name] = turn + wait[name]
                elif not has and life and life.process and turn >= due[name]:
                    eraser.give(home, order)
                    left[name] = True
                    self.kill(life)
            if not left:
                return set()
            self.revive()
            self.step()
        said_last = [eraser.said(self.place.home(name)) for name in left]
        raise Violation(f"{', '.join(left)} did not erase: {said_last}")

    # -- what has to be so
    def after(self, requests: frozenset[str]) -> Iterator[str]:
        """What is wrong."""
        journals = {name: list(read(self.disk.anchors[name])) for name in self.names}
        touched = {name: Erasures(said_in(records, self.disk.anchors[name])) for name, records in journals.items()}
        yield from self.standing()
        for name, records in journals.items():
            yield from self.chained(name, records, touched[name])
            yield from self.others(name, records, requests)
        if not any(one.touched for one in touched.values()):
            yield "nothing was erased"
        whole = {
            name: [one._replace(body=body_of(self.disk.anchors[name], one)) for one in records]
            for name, records in journals.items()
        }
        yield from sim_checks.states(self, whole)
        yield from sim_checks.deeply(whole)
        for name, records in journals.items():
            replays = Replays(sim_checks.Carried(name, self.disk.anchors[name], records, self.place.home(name)))
            for record in records:
                if record.kind == Sealed.kind:
                    found = replays.replay(
                        msgspec.json.decode(body_of(self.disk.anchors[name], record), type=Sealed), record.seq, whole=False
                    )
                    self.counts[f"replay {found.verdict}"] += 1
                    if found.verdict == "differs":
                        yield f"{found.decision} {found.what}: {found.faults}"

    def standing(self) -> Iterator[str]:
        """Values of the person, anywhere in the pages of a ledger."""
        number = re.escape(self.subject)
        said = re.compile(rf'(for|notes:) {number}\b|"cents":\s*{number}\b|"cents", {number}\b')
        for name in self.names:
            path = self.place.state / "pages.db"
            path.unlink(missing_ok=True)
            with closing(sqlite3.connect(str(path))) as copy:
                self.disk.anchors[name].backup(copy)  # page by page, free ones too
            text = path.read_bytes().decode("latin-1")
            if found := said.search(text):
                yield f"{name} still holds {text[max(0, found.start() - 80) : found.end() + 20]!r}"

    def chained(self, name: str, records: list[Record], erasures: Erasures) -> Iterator[str]:
        """Each record follows from the one before; those that do not fit their digest are listed, and those listed do not."""
        head = GENESIS
        for number, record in enumerate(records, 1):
            if (record.seq, record.prev) != (number, head):
                yield f"{name}: record {number} does not follow"
            if (digest_of(record) != record.digest) != (erasures.of(record) is not None):
                yield f"{name}: record {number} is changed and not on record, or the other way round"
            head = record.digest

    def others(self, name: str, records: list[Record], requests: frozenset[str]) -> Iterator[str]:
        """What belongs to other requests is as it was."""
        for was, now in zip(self.before[name], records, strict=False):
            if was.request and first(was.request) not in requests and was != now and was.kind not in READING:
                yield f"{name}: record {was.seq} of {was.request} was changed"


def said_in(records: list[Record], db: Any) -> Iterator[tuple[int, Values]]:
    """What a journal says of erasures."""
    for record in records:
        if record.kind == Values.kind:
            yield record.seq, msgspec.json.decode(body_of(db, record), type=Values)


# -- bugs
def bug(function: Mutant) -> Mutant:
    """Note it."""
    BUGS[function.__name__] = function
    return function


@bug
def leave_what_steps_were_given(put: Put) -> None:
    """A value stays in one place."""
    put(markers, "VALUES", markers.VALUES - {"given"})


@bug
def leave_one_off_the_record(put: Put) -> None:
    """A record is changed, and nothing says so."""
    replace = Eraser._replace

    def short(self: Any) -> Values:
        made = replace(self)
        less = msgspec.structs.replace(made, records=made.records[1:])
        self._made[0] = less
        return less

    put(Eraser, "_replace", short)


@bug
def leave_the_state(put: Put) -> None:
    """Rows of state stay as they were."""
    put(Eraser, "_store", lambda self, due: None)


@bug
def believe_that_it_is_done(put: Put) -> None:
    """An order that was read counts as carried out."""
    put(Eraser, "run", lambda self, decider, whole: eraser.Said(erasure="e1", round=self._order.round, state="done"))


@bug
def take_others_along(put: Put) -> None:
    """Two requests that it is not about are erased with it."""
    begin = Reach.__init__
    put(Reach, "__init__", lambda self, names, requests, values: begin(self, names, {*requests, "r0", "r1"}, values))


def first_wrong(name: str, most: int, directory: Path) -> str:
    """What is found first in worlds with this bug; "" if it lives through so many."""
    with applied(BUGS[name]):
        for seed in range(most):
            try:
                Erasing(seed, directory).run()
            except Violation as violation:
                return f"seed {seed}: {violation}"
    return ""
