"""What the models process knows, is told and puts on record: calls, the attempts of each, what they cost. Pure.

Its records have addresses, sizes, tokens and prices; what was asked and answered are blobs beside them. A key is nowhere.
"""

from typing import ClassVar

import msgspec

from mai.agents.body import Outcome
from mai.agents.decider import Input
from mai.agents.errand_messages import Inquiry, Think, Transcript, Usage
from mai.agents.events import Event, register
from mai.agents.models import Period
from mai.agents.order_messages import Cancel
from mai.agents.state import State
from mai.daemon.pace import Pace
from mai.daemon.spending import Account, Spent


class Attempt(msgspec.Struct, omit_defaults=True):
    """One question to one provider, under way."""

    n: int  # of this call's attempts
    provider: str
    model: str  # the provider's name for it
    bound: Usage  # reserved
    at_ms: int = 0  # when it began
    asked: int = 0  # the record of what it has sent
    request: str = ""  # the digest of that
    heard: int = 0  # and of what came back
    response: str = ""


class Call(msgspec.Struct, omit_defaults=True):
    """An open call: a Think that has no Thought yet."""

    id: str
    request: str
    agent: str
    peer: str  # who brought it, and gets the Thought
    model: str
    inquiry: Inquiry
    input_tokens: int  # at most
    output_tokens: int
    deadline_ms: int
    seq: int = 0  # of the record that took it in
    n: int = 0  # attempts so far
    attempt: Attempt | None = None
    target: int = 0  # place in the model's chain
    tries: int = 0  # attempts that failed there
    faults: tuple[str, ...] = ()  # why they did
    due_ms: int = 0  # not tried again before; 0 after a fault: not at all there
    answer: str = ""  # the address of its text
    by: str = ""  # who gave it
    usage: Usage = Usage()
    left: tuple[str, ...] = ()  # why targets of the chain were given up
    notes: tuple[str, ...] = ()  # what else the asker should know
    until_ms: int = 0  # as CallTaken
    transcript: Transcript | None = None  # of the attempt that answered


class OfRequest(msgspec.Struct):
    """What was spent for one request."""

    until_ms: int  # after that nothing is asked for it any more
    spent: Spent = msgspec.field(default_factory=Spent)


class CallTaken(Event, frozen=True, kw_only=True):
    """A call was taken in: it gets one Thought."""

    kind: ClassVar[str] = "call.taken"
    request: str
    task: str  # the call's id
    agent: str
    peer: str
    model: str
    inquiry: Inquiry
    input_tokens: int
    output_tokens: int
    deadline_ms: int
    until_ms: int = 0  # the deadline of its request, if that has a budget of its own


class AttemptBegun(Event, frozen=True, kw_only=True):
    """A provider is about to be asked; its bound is reserved."""

    kind: ClassVar[str] = "attempt.begun"
    request: str
    task: str
    agent: str
    n: int
    provider: str
    model: str
    bound: Usage
    at_ms: int


class AttemptEnded(Event, frozen=True, kw_only=True):
    """An attempt is over: with an answer, or with a reason; `usage` is booked."""

    kind: ClassVar[str] = "attempt.ended"
    request: str
    task: str
    agent: str
    n: int
    answer: str = ""  # the address of its text
    size: int = 0  # its bytes
    why: str = ""  # why there is no answer
    again_ms: int = 0  # when it may be tried again at this target; 0: not at all
    counts: bool = True  # as one of the attempts that the model allows there
    sick: bool = False  # the target seems to be out of order
    slow: bool = False  # it took most of the time that a call has
    usage: Usage = Usage()
    at_ms: int
    periods: tuple[str, ...] = ()  # of the organisation's time zone, in which it is booked; () for UTC


class TargetLeft(Event, frozen=True, kw_only=True):
    """A target of the chain is given up for this call; the next one is asked."""

    kind: ClassVar[str] = "target.left"
    request: str
    task: str
    agent: str
    why: str


class BudgetNearlySpent(Event, frozen=True, kw_only=True):
    """Four fifths of a budget are spent; said once in its period."""

    kind: ClassVar[str] = "budget.nearly"
    request: str
    task: str  # the call that reached it
    agent: str
    scope: str
    per: Period
    text: str


class CallEnded(Event, frozen=True, kw_only=True):
    """The one end of a call."""

    kind: ClassVar[str] = "call.ended"
    request: str
    task: str
    agent: str
    state: Outcome
    reason: str = ""
    by: str = ""
    answer: str = ""
    usage: Usage = Usage()
    transcript: Transcript | None = None


register(CallTaken, AttemptBegun, AttemptEnded, TargetLeft, BudgetNearlySpent, CallEnded)


class Asked(Input, frozen=True):
    """A question for a model."""

    peer: str
    body: Think
    deadline_ms: int


class Over(Input, frozen=True):
    """An attempt has ended. `share` in [0, 1) is a random number: how much of the longest wait there will be."""

    id: str
    n: int
    answer: str = ""
    size: int = 0
    tokens: tuple[int, int] | None = None  # input and output, if the provider said
    why: str = ""  # why there is no answer
    again: bool = False  # may the same be tried at the same target?
    counts: bool = True
    sick: bool = True
    charged: bool = True  # may the provider have charged for it, if he did not say?
    wait_ms: int = 0  # he wants to be left alone for so long
    share: float = 0.0


class Settle(Input, frozen=True):
    """What an attempt has cost is booked: is a budget nearly spent?"""

    id: str


class Dropped(Input, frozen=True):
    """Mai brings that a request is cancelled."""

    body: Cancel


class Follow(Input, frozen=True):
    """An attempt or a target is over: what follows for the call?"""

    id: str


class Dispatch(Input, frozen=True):
    """Something has changed: which call may begin an attempt?"""


class Resume(Input, frozen=True):
    """The process starts: what was under way when the last one ended has ended with it."""


class CallsState(State):
    """All that the models process knows. Turns are not kept. Its breakers are those of models, by "provider/model"."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, Call] = {}
        self.accounts: dict[str, Account] = {}  # by scope
        self.of_requests: dict[str, OfRequest] = {}  # by request, where it has a budget of its own; the first to end first
        self.paces: dict[str, Pace] = {}  # by provider
        self.turns: dict[str, int] = {}  # agent -> the last of all attempts that was begun for it


def by(provider: str, model: str) -> str:
    """Who answers, as people read it: "main/gpt-5-mini"."""
    return f"{provider}/{model}" if model else provider
