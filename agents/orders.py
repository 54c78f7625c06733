"""What comes to a department from Mai, and what it does on a person's order: the way to those who decide it. Pure."""

from typing import TYPE_CHECKING

from mai.agents import cancelling, consulting, duty, effects, escalating, noticed, quarantine, weighing
from mai.agents.approval_messages import Consult, Decided
from mai.agents.claim_messages import CaseTold, Weigh
from mai.agents.decider import Input, Send
from mai.agents.errand_messages import Thought, Used
from mai.agents.escalation_messages import Parked, Ruled
from mai.agents.events import Event, Received
from mai.agents.inputs import (
    Answered,
    Applied,
    Arrived,
    Asks,
    Considered,
    Consulted,
    Free,
    Order,
    Poisoned,
    Raised,
    Relieve,
    Rostered,
    Said,
    Settled,
    Stop,
    Told,
    Unwound,
    Warned,
    Withheld,
)
from mai.agents.memory_messages import Recalled
from mai.agents.messages import Numbered, Result, Task
from mai.agents.order_messages import Cancel, Notice, Release, Remedied, Resolve
from mai.agents.shift_messages import ShiftOrder
from mai.agents.state import State

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider


def taken(received: Received) -> list[Input]:
    """The inputs that a message from Mai brings."""
    body, found = received.body, list[Input]()
    match body:
        case Task():
            found = [Arrived(body, received.deadline_ms)]
        case Result():
            found = [Answered(body, received.head_seq, received.head)]
        case Recalled():
            found = [Told(body)]
        case Used() | Remedied():
            found = [Applied(body)]
        case Thought():
            found = [Considered(body)]
        case Consult():
            found = [Consulted(body, received.deadline_ms)]
        case _:
            found = _ordered(body)
    return found


def _ordered(body: Numbered) -> list[Input]:
    """Those of an operator's word, which Mai has passed on."""
    found: list[Input] = []
    match body:
        case Cancel():
            found = [Stop(body)]
        case Release():
            found = [Free(body)]
        case Resolve():
            found = [Settled(body)]
        case Notice():
            found = [Warned(body)]
        case Decided():
            found = [Said(body)]
        case ShiftOrder():
            found = [Rostered(body)]
        case Parked() | Ruled():
            found = [Raised(body)]
        case Weigh() | CaseTold():
            found = [Asks(body)]
    return found


def decide(decider: "DepartmentDecider", given: Order, now_ms: int) -> list[Event | Send]:
    """What follows from an order."""
    found: list[Event | Send] = []
    match given:
        case Stop(body=cancel):
            found = cancelling.stop(decider, cancel)
        case Unwound(request=request):
            found = cancelling.unwound(decider, request)
        case Settled(body=resolve):
            found = effects.settle(decider, resolve, now_ms)
        case Consulted():
            found = consulting.decide(decider, given, now_ms)
        case Asks():
            found = weighing.decide(decider, given, now_ms)
        case Warned(body=notice):
            found = noticed.noted(decider, notice)
        case Raised(body=body):
            found = escalating.parked(decider, body) if isinstance(body, Parked) else escalating.ruled(decider, body)
        case Relieve() | Rostered():
            found = duty.decide(decider, given, now_ms)
        case Poisoned() | Withheld() | Free():
            found = quarantine.decide(decider, given, now_ms)
    return found


def fold(state: State, event: Event) -> None:
    """Fold a fact of any of these kinds."""
    cancelling.fold(state, event)
    escalating.fold(state, event)
    effects.fold(state, event)
    quarantine.fold(state, event)
