"""The rows of escalations: which are open, which was answered how, and what each one's request waits for. Pure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from mai.agents.body import Fields
from mai.agents.deadlines import Deadlines
from mai.agents.escalation_messages import Escalate
from mai.agents.messages import Result

if TYPE_CHECKING:
    from mai.agents.state import State

NOUN = "escalation"  # of a request that is open
PAST = "escalated"  # of one that has ended
LINE = "escalated.at"  # its place in the order of those


class Row(msgspec.Struct, omit_defaults=True):
    """One escalation to a person."""

    process: str
    at_ms: int
    due_ms: int
    body: Escalate
    state: str = ""  # "": open; answered, refused, expired, withdrawn
    text: str = ""
    value: Fields = {}
    reason: str = ""
    by: str = ""
    ended_ms: int = 0
    announced: str = ""  # how the command that tells persons has ended
    held: Result | None = None  # of a task of Mai's own: what she tells without an answer


class Line(msgspec.Struct):
    """An escalation among those that are over."""

    id: str


class Parking:
    """All of one Mai's, by id; those of open requests."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._by_request: dict[str, dict[str, None]] = {}
        self._due = Deadlines()
        self.unannounced: dict[str, None] = {}  # open ones that no command has been told of, oldest first

    def put(self, row: Row) -> None:
        """A new one, or how one stands now."""
        self.rows[row.body.id] = row
        self._by_request.setdefault(row.body.request, {})[row.body.id] = None
        if row.state:
            self._due.drop(row.body.id)
        else:
            self._due.put(row.body.id, row.due_ms)
        if row.state or row.announced:
            self.unannounced.pop(row.body.id, None)
        else:
            self.unannounced[row.body.id] = None

    def of(self, request: str) -> list[Row]:
        """Those of a request, in their order."""
        return [self.rows[ident] for ident in self._by_request.get(request, ())]

    def count(self, request: str) -> int:
        """How many a request has had."""
        return len(self._by_request.get(request, ()))

    def open(self) -> Iterator[Row]:
        """Those that wait for a person, oldest first."""
        return (row for row in self.rows.values() if not row.state)

    def requests(self) -> int:
        """How many requests wait for a person."""
        return len({row.body.request for row in self.open()}) if self.soonest_ms() else 0

    def late(self, now_ms: int) -> list[Row]:
        """Those whose time is over."""
        return [self.rows[ident] for ident in self._due.due(now_ms)]

    def soonest_ms(self) -> int:
        """When the next one's time is over; 0 if none is open."""
        return self._due.soonest_ms()

    def drop(self, state: "State", request: str, state_of: str, seq: int) -> None:
        """A request has ended: what was open of it is withdrawn, and all is kept among those that are over."""
        gone = sorted((self.rows[ident].at_ms, ident) for ident in self._by_request.pop(request, ()))
        for place, (_, ident) in enumerate(gone):  # in an order that a new life knows, too
            row = self.rows.pop(ident)
            self._due.drop(ident)
            self.unannounced.pop(ident, None)
            row.state = row.state or "withdrawn"
            row.reason = row.reason or (f"its request was {state_of}" if row.state == "withdrawn" else "")
            state.changed(NOUN, ident, None)
            state.changed(PAST, ident, row)
            state.changed(LINE, f"{seq:012}.{place:03}", Line(ident))

    def load(self, rows: dict[str, bytes]) -> None:
        """From the rows of state."""
        for row in sorted((msgspec.json.decode(data, type=Row) for data in rows.values()), key=lambda one: one.at_ms):
            self.put(row)
