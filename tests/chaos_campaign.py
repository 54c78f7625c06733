"""One round of the chaos campaign: a fresh company, a stream of requests, faults of one kind, rest, and the examination."""

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mai.daemon import deep
from mai.daemon.bare import swept_bare
from mai.daemon.scripted import running
from mai.sandbox import traps
from mai.sandbox.errors import MaiError
from tests.chaos_askers import Askers
from tests.chaos_books import Audit
from tests.chaos_company import Company
from tests.chaos_faults import KINDS
from tests.chaos_locksmith import Locksmith
from tests.chaos_person import Person
from tests.chaos_world import INSIDE, write
from tests.small import until

MIXED = "of all kinds"
ASKERS = 5
PAUSE_S = 0.08  # of an asker between two requests
BREATH_S = 0.1  # from a fault to the next one, if that is in haste; else at most …
PATIENT_S = 2.0
HASTY = 0.35
REST_S = 30.0
LOOK_S = 0.3


@dataclass
class Round:
    """What a round was, and what came of it."""

    kind: str
    seed: str
    kills: int = 0
    others: int = 0
    vain: int = 0  # faults that did not strike
    requests: int = 0
    states: Counter[str] = field(default_factory=Counter)
    effects: int = 0
    doubts: int = 0
    resolved: int = 0
    cancelled: int = 0
    resets: int = 0
    restarts: int = 0  # of the whole daemon
    repeats: int = 0  # of requests whose answer did not come
    turned: int = 0  # changes of keys
    decisions: int = 0  # that replay verified, from the journals alone
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)  # by kind
    struck: Counter[str] = field(default_factory=Counter)  # by what they struck, or where
    points: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Played(NamedTuple):
    """A round that is over, and what it left."""

    round: Round
    company: Company
    askers: Askers


def play(kind: str, seed: str, directory: Path, enough: Callable[[Round], bool], kinds: Sequence[str] = tuple(KINDS)) -> Played:
    """Faults of one kind (MIXED: of these in turn) until `enough`, then rest; `directory` has to be new, its path short."""
    begun_s, chance, done = time.monotonic(), random.Random(seed), Round(kind, seed)
    turns = itertools.cycle(chance.sample(kinds, len(kinds)) if kind == MIXED else [kind])
    directory.mkdir(parents=True)
    with running() as provider:
        bank = directory / "p" / "bank"
        company = Company(directory, write(directory / "o", bank, provider.url), INSIDE)
        bank.touch()
        bank.chmod(0o666)  # as root each process is a user of its own
        try:
            until(company.ready, "the company is ready")
            askers, person, smith = Askers(company, seed, ASKERS, PAUSE_S), Person(company), Locksmith(company, seed)
            while not enough(done) and not askers.faults and not company.faults:
                strike(done, next(turns), company, chance)
                live(askers, chance)
            askers.end()
            smith.end()
            rest(company)
            person.end()
        finally:
            company.down()
    examine(done, company, askers)
    done.resolved, done.turned, done.seconds = person.resolved, smith.turned, time.monotonic() - begun_s
    return Played(done, company, askers)


def strike(done: Round, kind: str, company: Company, chance: random.Random) -> None:
    """One fault."""
    struck = KINDS[kind](company, chance)
    done.kills += struck.kills
    done.others += struck.others
    if struck.what and struck.kills + struck.others:
        done.faults[kind] += 1
        done.struck[struck.what] += 1
    else:
        done.vain += 1


def live(askers: Askers, chance: random.Random) -> None:
    """Let some answers come before the next fault, or hardly any time pass."""
    enough = len(askers.answers) + chance.randrange(1, 9)
    end_s = time.monotonic() + (BREATH_S if chance.random() < HASTY else PATIENT_S)
    while time.monotonic() < end_s and len(askers.answers) < enough:
        time.sleep(0.01)


def rest(company: Company) -> None:
    """Wait until everybody is ready and has nothing to do, and nothing is on its way."""

    def open_() -> dict[str, int]:
        """What is under way; an effect in doubt whose task has ended may stay so."""
        return {what: n for what, n in deep.examined(company.place).under_way.items() if n and what != "effects in doubt"}

    end_s = time.monotonic() + REST_S
    while time.monotonic() < end_s:
        try:
            if company.idle() and not open_():
                return
        except MaiError:
            pass
        time.sleep(LOOK_S)
    company.faults.append(f"no rest within {REST_S:g} s: {open_()}")


def examine(done: Round, company: Company, askers: Askers) -> None:
    """All that has to be true now."""
    audit = Audit(company.place, company.bank, askers)
    report = deep.check(company.place, at_rest=True)
    wrong = [f"mai verify --rest: {one.process}: {one.what}" for one in report.findings]
    replayed = swept_bare(company.place)
    wrong += [f"mai replay --all: {one.decision}: {fault}" for one in replayed.wrong for fault in one.faults]
    done.decisions = replayed.verified
    done.violations = [*company.faults, *askers.faults, *audit.faults, *wrong]
    done.notes = company.noted
    done.requests, done.states = len(askers.transfers), audit.states
    done.cancelled = len(askers.cancelled)
    done.effects, done.doubts = len(audit.done), audit.doubts
    done.resets, done.restarts, done.repeats = company.resets, company.deaths, askers.repeats
    for counts in traps.reached(company.points).values():
        done.points.update(counts)
