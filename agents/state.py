"""What a department knows: its open tasks, their steps, its links. Pure.

The state is changed by `evolve` alone, in place, and every change is noted so that the shell can write just that.
Memory is not held here: it lies in the ledger and is read when asked for, by `memory`.
"""

from typing import Any

import msgspec

from mai.agents.amounts import Amounts
from mai.agents.body import Fields, Outcome
from mai.agents.breaker import Breaker
from mai.agents.claim_messages import CaseTold
from mai.agents.deadlines import Deadlines
from mai.agents.escalation_messages import Cause, Plea
from mai.agents.handover import Handover
from mai.agents.kept import Fadings, Memories, Noted
from mai.agents.link import Link, Transit

Change = tuple[str, str]  # noun and key of a row of state


class Approving(msgspec.Struct, omit_defaults=True):
    """An approval that a step waits for, or has."""

    id: str  # the digest that binds it to one call
    name: str
    arguments: str
    organisation: str
    clause: str
    policies: str
    why: str
    at_ms: int
    expires_ms: int
    persons: int = 1  # who have to approve, beside a board that has
    approvers: str = "operator"
    requester: str = ""
    at: str = "board"  # where it is: board, person; then approved, used; or over
    by: tuple[str, ...] = ()  # who has approved
    count: int = 1  # how often this step was judged so


class Step(msgspec.Struct, omit_defaults=True):
    """One recorded step of a worker: the call, and what came of it once `done`."""

    n: int
    call: str
    given: Any
    done: bool = False
    value: Any = None
    refused: str = ""
    state: str = ""  # of what was refused, if it failed or expired
    text: str = ""
    by: str = ""
    sources: tuple[str, ...] = ()
    key: str = ""  # of an effect whose intent is on record
    effect: str = ""  # its class
    at_ms: int = 0  # when it was about to be called
    count: int = 0  # how often it was
    doubt: str = ""  # why nobody knows whether it happened
    changed: bool = False  # hand: as its Stepped says
    breach: str = ""  # the same
    free: str = ""  # it did not happen and may be called again; who knows: "asked", "resolved"
    approval: Approving | None = None
    stands: str = ""  # the tool that stands in for the one that was asked for

    @property
    def tool(self) -> str:
        """The tool that is called."""
        return self.stands or str(self.given["tool"])

    @property
    def called(self) -> Any:
        """What is called, and with what: as it was asked for, or who stands in."""
        return {**self.given, "tool": self.stands} if self.stands else self.given


class Work(msgspec.Struct, omit_defaults=True):
    """An open task: one agent's part in a request."""

    task: str
    request: str
    parent: str  # the task that it came from in this department; "" if it came from Mai
    step: int  # the parent's step that waits for it; 0 if the parent only handed it on
    sender: str
    agent: str
    asker: str
    contract: str
    text: str
    input: Fields
    deadline_ms: int
    hops: int
    watch: bool = False
    begun: bool = False
    code: str = ""  # the digest of the code that has begun it
    attempts: int = 0  # deaths of the process while its code ran
    traces: tuple[str, ...] = ()  # what they left, the last few
    released: bool = False  # from quarantine: nobody waits for its result
    children: int = 0  # how many tasks were handed on from here: their ids derive from it
    tried: tuple[str, ...] = ()  # agents that it was handed on to, by rank
    sources: tuple[str, ...] = ()
    ranked: tuple[str, ...] = ()  # whom Mai thinks the text is for, best first
    changed: bool = False  # a tool with an effect was called for it, or for what was handed on from it
    since_ms: int = 0  # when it was handed to this agent
    switched: tuple[str, ...] = ()  # what spoke against each agent that another stood in for here
    correction: str = ""  # why a reply to it came back
    approves: str = ""  # a board's: the id of the approval that it decides about
    allow: Amounts | None = None  # what Mai has granted with it, for all that derives from it here; None: no limit
    used: Amounts = Amounts()  # of that
    plea: Plea | None = None  # it is an escalation, or was one
    given_up: bool = False  # as a whole: its end is what comes back from above
    unsure: bool = False  # that was because it was not clear whom it is for
    asked_up: tuple[int, ...] = ()  # steps whose escalations went to Mai; 0: as a whole
    case: str = ""  # of a board that is asked about it: the case
    handover: Handover | None = None  # what was done for it by who had it before
    handed: bool = False  # a colleague has it now: its end goes to nobody


class Duty(msgspec.Struct, omit_defaults=True):
    """What a person has said of an agent, whatever the calendar of shifts says."""

    how: str  # on, off, pause
    until_ms: int  # 0: until another word
    by: str
    uid: int
    why: str = ""
    at_ms: int = 0


class Parked(msgspec.Struct, omit_defaults=True):
    """A task, or a step of one, that waits until somebody is on."""

    task: str
    n: int
    wanted: str
    until_ms: int  # when the next shift begins; 0: nobody knows
    deadline_ms: int = 0  # of the task
    at_ms: int = 0  # since when it waits


class Assigned(msgspec.Struct):
    """When somebody of a team had his last turn."""

    seq: int


class Day(msgspec.Struct, omit_defaults=True):
    """What a department has taken in one day."""

    day: str = ""  # 2026-11-28; "" before the first that is counted
    tasks: int = 0
    hops: int = 0
    tool_calls: int = 0
    ms: int = 0  # that its tasks were open


class Undo(msgspec.Struct, omit_defaults=True):
    """One effect of a cancelled request, and how far its undoing is."""

    request: str
    task: str
    agent: str
    n: int
    key: str  # of the effect
    tool: str
    undo: str = ""  # the tool that undoes it
    input: Fields = {}  # what the effect was called with
    value: Any = None  # what it gave
    attempts: int = 0  # how often its undoing has begun
    state: str = ""  # as messages.Undone has it; "" while it is to be undone
    note: str = ""


class Cancelling(msgspec.Struct, omit_defaults=True):
    """A request that was cancelled and is being undone."""

    request: str
    by: str
    stopped: tuple[str, ...]  # tasks
    planned: bool = False  # is it known what is to be undone?
    undos: tuple[str, ...] = ()  # keys, in the order in which they are undone


class Quarantined(msgspec.Struct, omit_defaults=True):
    """A task that killed its process again and again, as it stood when it was put away."""

    work: Work
    steps: tuple[Step, ...]
    traces: tuple[str, ...]
    at_ms: int


class Suspect(msgspec.Struct):
    """A task that the process died of before anything of it was on the disk."""

    task: str
    deaths: int = 0
    traces: tuple[str, ...] = ()


class Holds(msgspec.Struct, omit_defaults=True):
    """A claim of one of the department's agents."""

    agent: str
    subject: str
    attribute: str
    value: Any
    why: str
    until_ms: int
    seq: int


class Ruling(msgspec.Struct):
    """What was ruled about claims of the department."""

    body: CaseTold
    seq: int


class Done(msgspec.Struct):
    """How a task ended, for whoever handed it on."""

    state: Outcome
    text: str
    value: Fields
    reason: str
    by: str
    sources: tuple[str, ...]
    changed: bool = False  # something was changed for it in another department, or may have been
    breach: str = ""  # the rule by which an answer may not leave
    cause: Cause = ""  # of what is given up, if its code did not choose that


class State:
    """All of one process. `changes` holds the rows that differ from what is stored; None removes a row."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self.transits: dict[str, Transit] = {}
        self.work: dict[str, Work] = {}
        self.steps: dict[str, dict[int, Step]] = {}
        self.cancels: dict[str, Cancelling] = {}  # by request
        self.quarantine: dict[str, Quarantined] = {}  # by task
        self.suspects: dict[str, Suspect] = {}  # by task
        self.claims: dict[str, Holds] = {}  # by id, oldest first
        self.rulings: dict[str, Ruling] = {}  # by canonical.key, oldest first
        self.undos: dict[str, Undo] = {}  # by the effect's key
        self.day = Day()
        self.duty: dict[str, Duty] = {}  # by agent
        self.parked: dict[str, Parked] = {}  # TASK/N
        self.assigned: dict[str, Assigned] = {}  # by agent
        self.breakers: dict[str, Breaker] = {}  # by what and name
        self.approvals = Deadlines()  # steps that wait for one, TASK/N
        self.fading = Fadings()  # what of memory expires
        self.changes: dict[Change, msgspec.Struct | None] = {}
        self.memory: Memories = Noted(self.changes)  # the shell puts the ledger's in its place

    def link(self, peer: str) -> Link:
        """The link with a peer; a new one has seen nothing."""
        if peer not in self.links:
            self.links[peer] = Link(peer)
        return self.links[peer]

    def transit(self, peer: str) -> Transit:
        """What is on its way to a peer."""
        if peer not in self.transits:
            self.transits[peer] = Transit()
        return self.transits[peer]

    def changed(self, noun: str, key: str, value: msgspec.Struct | None) -> None:
        """Note that a row of state has this value now."""
        self.changes[noun, key] = value
