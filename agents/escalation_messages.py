"""Messages about escalations: what goes up to a person, with all that was tried, and what comes back down. Pure."""

from typing import Literal

import msgspec

from mai.agents.body import Body, Fields, Outcome

Cause = Literal["", "choice", "refusal", "failure", "deadline", "fallback", "doubt", "budget", "difference"]


class Try(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was tried before somebody else gets it: who, what, why that did not help, and when."""

    who: str  # an address
    what: str
    why: str
    at_ms: int


class Plea(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an escalation says to whoever has it next."""

    agent: str  # the address of who could not do it
    reason: str
    cause: Cause
    tried: tuple[Try, ...] = ()  # oldest first


class Escalate(Body, frozen=True, tag="escalate"):
    """A department can do no more: a person has to answer."""

    id: str  # derives from the task and its step
    request: str
    task: str  # of the board, which waits
    asker: str
    contract: str
    text: str
    input: Fields
    plea: Plea
    deadline_ms: int  # of what waits, as it is now
    final: bool = False  # the answer becomes the task's own, without code that looks at it


class Parked(Body, frozen=True, tag="parked"):
    """To a department: what this task waits for is with a person, and it may take so long."""

    id: str  # of the escalation
    request: str
    task: str  # of the receiver
    owner: str
    due_ms: int  # until when the person has time
    deadline_ms: int  # of the task from now on


class Ruled(Body, frozen=True, tag="ruled"):
    """The one answer to Escalate: what a person has said, or why nobody did."""

    id: str
    request: str
    task: str
    state: Outcome  # answered, refused, expired
    text: str
    value: Fields
    reason: str
    by: str  # "acme/person/ann"


class Withdrawn(Body, frozen=True, tag="withdrawn"):
    """Nobody waits any more for the answer to an escalation."""

    id: str
    request: str
    task: str
    why: str
