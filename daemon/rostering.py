"""A person's word about an agent, on its way through Mai: on record with who has said so, and sent, in one transaction. Pure."""

from typing import TYPE_CHECKING, ClassVar

from mai.agents.decider import Input, Send
from mai.agents.events import Event, register
from mai.agents.shift_messages import ShiftOrder

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider


class ShiftOrdered(Event, frozen=True, kw_only=True):
    """A person's word about an agent."""

    kind: ClassVar[str] = "shift.ordered"
    agent: str  # its address
    how: str
    until_ms: int
    by: str
    uid: int
    why: str = ""
    at_ms: int


register(ShiftOrdered)


class Rostering(Input, frozen=True):
    """A person says it; what is wrong was refused before."""

    process: str
    agent: str  # of that department
    how: str
    until_ms: int
    by: str
    uid: int
    why: str


def decide(mai: "MaiDecider", given: Rostering, at_ms: int) -> list[Event | Send]:
    """On record, and on its way."""
    ordered = ShiftOrdered(
        agent=f"{given.process}/{given.agent}", how=given.how, until_ms=given.until_ms, by=given.by, uid=given.uid, why=given.why,
        at_ms=at_ms,
    )  # fmt: skip
    ident = f"{given.process}!shift{mai.state.link(given.process).sent + 1}"
    body = ShiftOrder(ident, given.agent, given.how, given.until_ms, given.by, given.uid, given.why, at_ms)
    return [ordered, Send(given.process, ident, 0, body)]
