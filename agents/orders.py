"""What a department does on a person's order, or about a task that kills it: the way to those who decide it. Pure."""

from typing import TYPE_CHECKING

from mai.agents import cancelling, effects, noticed, quarantine
from mai.agents.approval_messages import Decided
from mai.agents.decider import Input, Send
from mai.agents.events import Event
from mai.agents.inputs import Free, Order, Poisoned, Said, Settled, Stop, Unwound, Warned, Withheld
from mai.agents.messages import Numbered
from mai.agents.order_messages import Cancel, Notice, Release, Resolve
from mai.agents.state import State

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider


def taken(body: Numbered) -> list[Input]:
    """The inputs that an operator's word brings, which Mai has passed on."""
    match body:
        case Cancel():
            return [Stop(body)]
        case Release():
            return [Free(body)]
        case Resolve():
            return [Settled(body)]
        case Notice():
            return [Warned(body)]
        case Decided():
            return [Said(body)]
    return []


def decide(decider: "DepartmentDecider", given: Order, now_ms: int) -> list[Event | Send]:
    """What follows from an order."""
    match given:
        case Stop(body=cancel):
            return cancelling.stop(decider, cancel)
        case Unwound(request=request):
            return cancelling.unwound(decider, request)
        case Settled(body=resolve):
            return effects.settle(decider, resolve, now_ms)
        case Warned(body=notice):
            return noticed.noted(decider, notice)
        case Poisoned() | Withheld() | Free():
            return quarantine.decide(decider, given, now_ms)
    return []


def fold(state: State, event: Event) -> None:
    """Fold a fact of any of these kinds."""
    cancelling.fold(state, event)
    effects.fold(state, event)
    quarantine.fold(state, event)
