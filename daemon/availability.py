"""`mai sla`: what clients and departments have kept of their objectives, from the journals alone.

Mai's journal is read once, in portions of numbers, and only the kinds that open or end something are decoded; what is kept
meanwhile is what is open at that moment. What was never accepted is in no journal: it is told as the time in which Mai was
away, by what she and the watchdog have on record.
"""

import re
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any, Final

import msgspec

from mai.agents import events
from mai.agents.events import Event, ProcessStarted, ProcessStopped
from mai.agents.loop import read_mandate
from mai.agents.organisation import Organisation
from mai.daemon import cancel, outcomes
from mai.daemon.account import Account, Line, away, held_s
from mai.daemon.asking import LONGEST_S
from mai.daemon.desk import Passage, Request
from mai.daemon.outcomes import FREED, HELD, ON_PURPOSE, End
from mai.daemon.pulse import Marks
from mai.daemon.reader import NotFound, Reader, chosen
from mai.daemon.records import ContractChecked, ContractEnded, PartEnded, RequestAccepted, RequestEnded, RequestPlanned
from mai.daemon.turned import DoorRefused
from mai.sandbox.errors import LedgerFault, UsageFault
from mai.sandbox.place import WATCHDOG, Place

PORTION: Final = 20_000  # numbers of records that one SELECT looks through
HOLDS: Final = (HELD, FREED)
LIVES: Final = (ProcessStarted.kind, ProcessStopped.kind)
ENDS: Final = (
    RequestAccepted.kind, RequestPlanned.kind, RequestEnded.kind, PartEnded.kind, ContractChecked.kind, ContractEnded.kind,
    cancel.RequestCancelled.kind, DoorRefused.kind,
)  # fmt: skip
ENDED: Final = frozenset({"death", "hung", "failed"})  # incidents after which a process is not there
UNITS: Final = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}

Row = tuple[int, int, str, str]  # number, time in nanoseconds, kind, body


class Pause(msgspec.Struct, frozen=True):
    """How long a department was paused or drained on purpose."""

    department: str
    seconds: float


class Client(msgspec.Struct, frozen=True):
    """One client: its own line, its departments', and what no request tells."""

    client: str
    line: Line
    departments: list[Line]
    open: int  # requests that have no end yet
    away_s: float  # Mai was not there: who asked then and gave up is in no journal
    unwitnessed: int  # starts of Mai after an end that nobody saw: before each she was away for an unknown time
    maintenance: list[Pause]


class Held(msgspec.Struct):
    """What is read of a hold: the department, and how."""

    department: str = ""
    how: str = ""


class Course:
    """What is open at some place of a journal."""

    def __init__(self) -> None:
        self.requests: dict[str, Request] = {}
        self.passages: dict[str, Passage] = {}
        self.marks = Marks()

    def step(self, event: Event) -> list[End]:
        """Fold one fact; what it ends."""
        found = list(outcomes.ends(self, self.marks, event))
        outcomes.mark(self, self.marks, event)
        match event:
            case RequestAccepted():
                self.requests[event.request] = Request(
                    event.request, event.asker, "", event.accepted_ms, event.deadline_ms, False
                )
            case RequestPlanned() if event.request in self.requests:
                self.requests[event.request].parts = event.parts
            case PartEnded() if event.request in self.requests:
                self.requests[event.request].answers[event.task] = event.answer
            case RequestEnded():
                self.requests.pop(event.request, None)
            case ContractChecked(allowed=True):
                self.passages[event.task] = Passage(event.task, event.request, event.asking, event.contract, event.deadline_ms)
            case ContractEnded():
                self.passages.pop(event.task, None)
        return found


class Study:
    """One client's journal, read once."""

    def __init__(self, place: Place, client: str, since_ms: int | None, until_ms: int) -> None:
        self.place, self.client, self.until_ms = place, client, until_ms
        organisation = read_mandate(place.home(f"{client}/mai")).organisation
        self.accounts = _accounts(client, organisation, since_ms, until_ms)
        self.first_ms = min(account.since_ms for account in self.accounts.values())
        self.course = Course()
        self.holds: list[tuple[int, str, str]] = []  # when, which department, how; "" for freed
        self.lives: list[tuple[int, str]] = []

    def read(self) -> Client:
        """The figures. Raises LedgerFault."""
        with closing(Reader(self.place, f"{self.client}/mai")) as reader:
            upto = reader.last()
            begin = first_after(reader, self.first_ms - int(LONGEST_S * 1000), upto)
            for row in rows(reader, 0, begin, (*HOLDS, *LIVES)):
                self._note(row)
            for row in rows(reader, begin, upto, (*ENDS, *HOLDS, *LIVES)):
                self._note(row)
                if row[2] in ENDS:
                    self._count(reader, row)
        return self._client()

    def _note(self, row: Row) -> None:
        """What is held, and the lives of Mai."""
        _, at_ns, kind, body = row
        if kind in LIVES:
            self.lives.append((at_ns // 1_000_000, "up" if kind == ProcessStarted.kind else "down"))
        elif kind in HOLDS:
            held = msgspec.json.decode(body, type=Held)
            outcomes.hold(self.course.marks, kind, held.department, held.how)
            name = held.department.rpartition("/")[2]
            self.holds.append((at_ns // 1_000_000, name, held.how if kind == HELD else ""))

    def _count(self, reader: Reader, row: Row) -> None:
        seq, at_ns, kind, body = row
        try:
            event = events.decode(kind, reader.body_of(seq, body))
        except msgspec.MsgspecError as error:
            raise LedgerFault(f"record {seq} of {reader.process} cannot be read: {error}", "run `mai verify`") from error
        for end in self.course.step(event):
            name = end.department
            if name and name not in self.accounts:  # of an organisation that was
                whole = self.accounts[""]
                self.accounts[name] = Account(f"{self.client}/{name}", whole.objectives, whole.since_ms, self.until_ms)
            self.accounts[name].add(end, at_ns // 1_000_000)

    def _client(self) -> Client:
        whole = self.accounts.pop("")
        facts = sorted([*self.lives, *watched(self.place, f"{self.client}/mai")])
        gone = away(facts, whole.since_ms, self.until_ms)
        lines = [account.line() for _, account in sorted(self.accounts.items())]
        return Client(
            self.client, whole.line(), lines, len(self.course.requests), round(gone.seconds, 3), gone.unwitnessed,
            self._maintenance(whole.since_ms),
        )  # fmt: skip

    def _maintenance(self, since_ms: int) -> list[Pause]:
        found = []
        for name in sorted({name for _, name, _ in self.holds}):
            facts = ((at_ms, how in ON_PURPOSE) for at_ms, one, how in self.holds if one == name)
            if seconds := held_s(facts, since_ms, self.until_ms):
                found.append(Pause(f"{self.client}/{name}", round(seconds, 3)))
        return found


def _accounts(client: str, organisation: Organisation, since_ms: int | None, until_ms: int) -> dict[str, Account]:
    """One for the client, under "", and one for each of its departments."""
    whole = organisation.objectives
    promised = {"": whole, **{one.name: one.objectives.over(whole) for one in organisation.departments}}
    return {
        name: Account(
            f"{client}/{name}" if name else client,
            one,
            until_ms - one.window_s * 1000 if since_ms is None else since_ms,
            until_ms,
        )
        for name, one in promised.items()
    }


def rows(reader: Reader, after: int, upto: int, kinds: tuple[str, ...]) -> Iterator[Row]:
    """The records of some kinds, each SELECT over a bounded part of the journal. Raises LedgerFault."""
    for first in range(after, upto, PORTION):
        found = reader.of_kinds(kinds, first, min(first + PORTION, upto))
        yield from ((one.seq, one.at_ns, one.kind, one.body) for one in found)


def first_after(reader: Reader, at_ms: int, upto: int) -> int:
    """A number before which all records are older, by halving: the clock that they bear seldom goes back."""
    low, high = 0, upto
    while low < high:
        middle = (low + high + 1) // 2
        found = reader.record(middle)
        if found and found.at_ns >= at_ms * 1_000_000:
            high = middle - 1
        else:
            low = middle
    return low


def watched(place: Place, process: str) -> Iterator[tuple[int, str]]:
    """What the watchdog has on record of the ends of a process, and its own starts; nothing if it has no ledger."""
    if not place.ledger(WATCHDOG).exists():
        return
    with closing(Reader(place, WATCHDOG)) as reader:
        for _, at_ns, kind, body in rows(reader, 0, reader.last(), ("incident", "started")):
            found = msgspec.json.decode(body, type=dict[str, Any])
            if kind == "started":
                yield at_ns // 1_000_000, "watch"
            elif found.get("process") == process and found.get("what") in ENDED:
                yield at_ns // 1_000_000, "down"


def study(place: Place, client: str | None, since: str | None) -> list[Client]:
    """The figures of one client, or of all. Raises NotFound, LedgerFault, UsageFault."""
    until_ms = time.time_ns() // 1_000_000
    since_ms = None if since is None else since_of(since, until_ms)
    names = [process.partition("/")[0] for process in chosen(place, client) if process.endswith("/mai")]
    if not names:
        raise NotFound(f"{client} is no client", f"such as: {chosen(place, None)[0].partition('/')[0]}")
    return [Study(place, name, since_ms, until_ms).read() for name in names]


def since_of(text: str, now_ms: int) -> int:
    """When a span begins: "90min", "6h", "7d" before now, or a date. Raises UsageFault."""
    if found := re.fullmatch(r"(\d{1,9})\s*(s|min|m|h|d|w)", text.strip()):
        return now_ms - int(found[1]) * UNITS[found[2]] * 1000
    try:
        at_ms = int(datetime.fromisoformat(text.strip()).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise UsageFault(f"{text:.40} is no span of time", "such as 90min, 6h, 7d, 2026-11-01 or 2026-11-01T08:00") from None
    if at_ms >= now_ms:
        raise UsageFault(f"{text:.40} is not in the past", "name a time that is over")
    return at_ms
