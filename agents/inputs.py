"""What a department decides about: the inputs of its decider. Pure."""

from mai.agents.approval_messages import Consult, Decided
from mai.agents.body import Fields
from mai.agents.claim_messages import CaseTold, Weigh
from mai.agents.decider import Input
from mai.agents.errand_messages import Thought, Used
from mai.agents.escalation_messages import Parked, Ruled
from mai.agents.memory_messages import Recalled
from mai.agents.messages import Result, Task
from mai.agents.order_messages import Cancel, Notice, Release, Remedied, Resolve
from mai.agents.policies import Ruling
from mai.agents.shift_messages import ShiftOrder
from mai.agents.state import Done


class Arrived(Input, frozen=True):
    """A task from Mai for the board."""

    body: Task
    deadline_ms: int


class Answered(Input, frozen=True):
    """Mai brings the result of what a board asked for; `record` and `digest` say where it lies in her journal."""

    body: Result
    record: int = 0
    digest: str = ""


class Told(Input, frozen=True):
    """Mai answers about the client's memory."""

    body: Recalled


class Applied(Input, frozen=True):
    """Mai brings what came of a tool of another process."""

    body: Used | Remedied


class Considered(Input, frozen=True):
    """Mai brings what a model has answered."""

    body: Thought


class Order(Input, frozen=True):
    """What orders.py decides about."""


class Free(Order, frozen=True):
    """Mai brings that a task is to leave the quarantine."""

    body: Release


class Poisoned(Order, frozen=True):
    """The process has died so often while this task's code ran that it is not run again."""

    task: str


class Stop(Order, frozen=True):
    """Mai brings that a request is cancelled."""

    body: Cancel


class Unwound(Order, frozen=True):
    """All that can be undone of a cancelled request is undone."""

    request: str


class Withheld(Order, frozen=True):
    """The watchdog has been told, before this start, that the process is to do without this task."""

    task: str
    by: str
    why: str


class Warned(Order, frozen=True):
    """Mai brings what has happened to this department."""

    body: Notice


class Raised(Order, frozen=True):
    """Mai brings what has become of an escalation."""

    body: Parked | Ruled


class Asks(Order, frozen=True):
    """Mai asks the board about claims that contradict each other, or tells what was ruled."""

    body: Weigh | CaseTold


class Consulted(Order, frozen=True):
    """Mai asks the board about what the client asks of its department."""

    body: Consult
    deadline_ms: int


class Settled(Order, frozen=True):
    """Mai brings what a person has said of an effect in doubt."""

    body: Resolve


class Relieve(Order, frozen=True):
    """Somebody has come or gone: what waits for him, and what he leaves, goes on."""


class Rostered(Order, frozen=True):
    """Mai brings what a person has said of an agent."""

    body: ShiftOrder


class Doubted(Input, frozen=True):
    """Nobody knows whether the effect of a step happened."""

    task: str
    n: int
    why: str


class Consider(Input, frozen=True):
    """An agent was given a task."""

    task: str


class Back(Input, frozen=True):
    """What was handed on from a task has ended."""

    task: str
    step: int
    agent: str
    done: Done
    approves: str = ""  # a board has been asked about this approval


class Call(Input, frozen=True):
    """A worker's code asks for something that takes another agent, another department or Mai.

    `given` is what the step's record holds: {"to", "text", "input"} of an ask, {"key"[, "value"]} of the client's memory,
    {"tool", "input"} of a tool that needs the network, {"model", "inquiry"} of a question to a model, {"to"} of a task that
    is handed on as it is, {"reason"} of an escalation.
    """

    task: str
    n: int
    call: str  # ask, hand, escalate, model, recall, remember, tool, conclude
    given: Fields

    @property
    def to(self) -> str:
        """Whom or what it asks: an agent, or "sales.pipeline"."""
        return str(self.given["to"])

    @property
    def contract(self) -> str:
        """The contract that it asks for, "" if it asks an agent."""
        return self.to if self.call == "ask" and "." in self.to else ""


class Pleading(Input, frozen=True):
    """What approvals.py decides about."""


class Judged(Pleading, frozen=True):
    """A policy wants the board or a person to approve this call."""

    task: str
    call: Call
    ruling: Ruling


class Outdated(Pleading, frozen=True):
    """A step's approval was asked for, or given, under another organisation: its call is judged anew."""

    task: str
    n: int


class Said(Pleading, frozen=True):
    """Mai brings what persons have said of a call."""

    body: Decided


class Report(Input, frozen=True):
    """A worker's code has ended."""

    task: str
    done: Done
