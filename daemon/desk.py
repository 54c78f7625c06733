"""What Mai knows and what she is told: open requests, passages, errands, and the inputs of her decider. Pure."""

from typing import Any, NamedTuple

import msgspec

from mai.agents.amounts import Amounts
from mai.agents.decider import VIA_MAI, Input
from mai.agents.effects import AGAIN
from mai.agents.errand_messages import Think, Thought, Use, Used
from mai.agents.memory_messages import Browse, Forget, Recall, Remember
from mai.agents.messages import Result, Task
from mai.agents.order_messages import Cancelled, Doubt, Released, Remedy
from mai.agents.organisation import Service
from mai.agents.state import State
from mai.daemon.cases import Healing
from mai.daemon.dispute import Conflicts
from mai.daemon.keyed import Keyed
from mai.daemon.parking import Parking
from mai.daemon.pending import Approvals
from mai.daemon.pulse import Pulse
from mai.daemon.records import PartAnswer, PartPlan
from mai.daemon.spooled import Spooled
from mai.daemon.threads import Carry, Rows, Stalled
from mai.daemon.told import Watched
from mai.daemon.turn_ids import BACKUP, CORRECTED, first

__all__ = ("BACKUP", "CORRECTED", "first")  # of other files; who asks the desk for ids need not know where they are made
LONGEST_ID = 4096  # of a task; each hop adds a little


class Request(msgspec.Struct):
    """An open request of the client."""

    request: str
    asker: str
    text: str
    accepted_ms: int
    deadline_ms: int
    watch: bool
    parts: tuple[PartPlan, ...] = ()
    answers: dict[str, PartAnswer] = {}  # by task
    thread: str = ""  # the conversation that it belongs to
    notice_ms: int = 0  # when the person is told that it takes longer
    notices: int = 0  # how often he was
    by: str = ""  # the user who made it; "" if none did
    uid: int = -1
    asks: int = 0  # contracts that were asked for it, by departments
    turns: int = 0  # questions to models
    again: tuple[str, ...] = ()  # tasks that their departments have had once more
    plain: bool = False  # its answer is worded without a model
    touched: tuple[str, ...] = ()  # tasks of hers, by their first ids, for which a department has had something changed


class Passage(msgspec.Struct):
    """Something that one department has asked of another, and that is not answered yet."""

    task: str
    request: str
    asking: str
    contract: str
    deadline_ms: int
    body: Task | None = None  # what went on


class Grant(msgspec.Struct):
    """What a department may take for a task."""

    to: str  # the process
    allow: Amounts


class Granted(msgspec.Struct):
    """What departments have of an open request's budget."""

    request: str
    used: Amounts = Amounts()  # for tasks that have ended
    open: dict[str, Grant] = {}  # by task


class Amended(msgspec.Struct):
    """A task that its department has once more, because its reply did not leave."""

    task: str  # as who asks knows it
    ident: str  # its id there now


class Turn(msgspec.Struct):
    """Who has a task now whose contract has backups."""

    task: str  # as who asks knows it
    request: str
    asking: str  # a department, or "client"
    contract: str  # that was asked for
    now: str  # that has it
    ident: str  # the task's id there
    since_ms: int
    until_ms: int
    deadline_ms: int
    body: Task
    n: int = 0
    tried: tuple[str, ...] = ()  # contracts that have had it
    switched: tuple[str, ...] = ()  # what spoke against each


class Errand(msgspec.Struct):
    """Something asked of a service, and not answered yet."""

    id: str
    request: str
    asking: str  # the process
    service: Service
    deadline_ms: int


class Cancellation(msgspec.Struct):
    """A request that was cancelled, and what the processes that took part in it have said to that."""

    request: str
    by: str
    reason: str
    order: str  # the id of the operator's order, which may be repeated
    at_ms: int
    to: tuple[str, ...]  # processes
    answers: dict[str, Cancelled] = {}  # by process

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Who has not answered yet."""
        return tuple(process for process in self.to if process not in self.answers)


class Doubtful(msgspec.Struct):
    """An effect in doubt, until a person has said whether it happened."""

    process: str  # the department that has it
    id: str  # of the message that told of it
    at_ms: int  # when it came
    doubt: Doubt


class ReleaseOrder(msgspec.Struct):
    """An operator's order to let a task out of quarantine, and what its department said."""

    order: str  # its id
    process: str
    request: str
    task: str
    how: str
    by: str
    answered: bool = False
    refused: str = ""


class Holding(NamedTuple):
    """A task that Mai gave to a department, and that is open: who has it, for which request, until when."""

    process: str
    request: str
    deadline_ms: int


class Answered(msgspec.Struct):
    """A request that has been answered, as it is kept for who asks again."""

    request: str
    asker: str
    text: str
    at_ms: int
    state: str
    answer: str
    parts: tuple[PartAnswer, ...]
    elapsed_ms: int
    thread: str = ""
    note: str = ""


class Hold(msgspec.Struct, frozen=True):
    """Why a department gets no new tasks."""

    how: str
    by: str = ""
    why: str = ""
    at_ms: int = 0

    def same(self, other: "Hold | None") -> bool:
        """Is it the same, whenever it began?"""
        return other is not None and (self.how, self.by, self.why) == (other.how, other.by, other.why)


class Held(msgspec.Struct, frozen=True):
    """A task that waits."""

    task: str
    request: str
    to: str  # the process of its department
    deadline_ms: int
    body: Task
    seq: int  # of its record: the order in which they came


class MaiState(State):
    """All that Mai knows."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: dict[str, Request] = {}
        self.passages: dict[str, Passage] = {}
        self.turns: dict[str, Turn] = {}  # by the task's first id
        self.amended: dict[str, Amended] = {}  # by the task's first id
        self.subjects: dict[str, tuple[str, ...]] = {}  # by the task's first id: of whom it was told in replies
        self.errands: dict[str, Errand] = {}
        self.granted: dict[str, Granted] = {}  # by request
        self.cancellations: dict[str, Cancellation] = {}  # to which not all have answered
        self.doubts: dict[str, Doubtful] = {}  # by key
        self.approving = Approvals()  # what waits for persons
        self.parking = Parking()  # escalations to persons
        self.releases: dict[str, ReleaseOrder] = {}  # the last ones, by order
        self.watched = Watched()  # what the watchdog has told
        self.conflicts = Conflicts()  # claims, cases, and what waits for them
        self.healing = Healing()  # and what is done about it
        self.pulse = Pulse()
        self.keyed = Keyed()  # which keys are good
        self.held: dict[str, Hold] = {}  # departments that take no new tasks
        self.waiting: dict[str, Held] = {}  # tasks for them, by their first id
        self.carries: dict[str, Carry] = {}  # what is on its way out on channels, by message
        self.stalled: dict[str, Stalled] = {}  # conversations that wait for room in their departments
        self.spooled: dict[str, Spooled] = {}  # files that are on record, and are to be moved
        self.rows = Rows(self.changes)


class Asked(Input, frozen=True):
    """The client asks; the plan was made by plan.py. None: it will come with `Planned`."""

    request: str
    asker: str
    text: str
    deadline_ms: int
    watch: bool
    parts: tuple[PartPlan, ...] | None
    by: str = ""  # the user at the door, who may under this role; "" if Mai asks herself
    uid: int = -1
    role: str = ""
    thread: str = ""


class Planned(Input, frozen=True):
    """The plan of a request that was accepted before; if it has no parts, why, and what the client is asked back."""

    request: str
    parts: tuple[PartPlan, ...]
    why: str = ""
    question: str = ""


class Crossing(Input, frozen=True):
    """A board asks for another department's contract."""

    peer: str
    body: Task
    deadline_ms: int


class Returned(Input, frozen=True):
    """A department answers a task; `record` and `digest` say where the answer lies in its journal."""

    peer: str
    body: Result
    record: int = 0
    digest: str = ""
    screened: bool = False  # it has come through MaiDecider.screen


class Memory(Input, frozen=True):
    """A department reads or writes the client's memory."""

    peer: str
    body: Recall | Remember | Forget | Browse
    deadline_ms: int = 0


class Errands(Input, frozen=True):
    """An agent asks a service, or a service answers."""

    peer: str
    body: Think | Use | Thought | Used
    deadline_ms: int


class Wanted(Input, frozen=True):
    """An agent wants something healed."""

    peer: str
    body: Remedy
    deadline_ms: int


class Healed(Input, frozen=True):
    """A request of Mai's own about a process has ended, well or not."""

    process: str
    well: bool


class Cancels(Input, frozen=True):
    """An operator cancels an open request; `to` are the processes that have taken part in it."""

    request: str
    by: str
    reason: str
    order: str
    to: tuple[str, ...]


class Releases(Input, frozen=True):
    """An operator lets a task out of quarantine."""

    order: ReleaseOrder


class Forsaken(Input, frozen=True):
    """The watchdog has given a process up."""

    process: str


class Freed(Input, frozen=True):
    """A department answers that."""

    peer: str
    body: Released


class Stopped(Input, frozen=True):
    """A process has stopped what it did for a cancelled request, and undone what can be undone."""

    peer: str
    body: Cancelled


class Raised(Input, frozen=True):
    """A department tells of an effect in doubt."""

    peer: str
    id: str
    body: Doubt


class Resolving(Input, frozen=True):
    """A person says of an effect in doubt whether it happened."""

    key: str
    happened: bool
    value: Any
    by: str
    note: str


def tasks(request: str, parts: tuple[PartPlan, ...]) -> list[str]:
    """The ids of a request's parts: they derive from it."""
    return [f"{request}/{number}" for number in range(1, len(parts) + 1)]


def root_of(task: str) -> str:
    """The task of Mai's that a department has as this one or has made it of: `R/1.2.m4` for `R/1.2.m4.1.3`."""
    while "." in task and task.rpartition(".")[2].isdecimal():
        task = task.rpartition(".")[0]
    return task


def above(task: str) -> tuple[str, ...]:
    """The tasks of Mai's, by their first ids, for which a department's task is done: the nearest first."""
    root, found = root_of(task), list[str]()
    while root:
        found.append(first(root))
        root = origin(root)
    return tuple(found)


def origin(task: str) -> str:
    """The task of Mai's from which a department's ask derives: `R/1` for `R/1.2.1.m4`; "" if the id has another form."""
    work, via, step = first(task).rpartition(VIA_MAI)
    n, again, count = step.partition(AGAIN)
    if not via or not n.isdecimal() or (again and not count.isdecimal()) or len(task) > LONGEST_ID:
        return ""
    while work.rpartition(".")[2].isdecimal() and "." in work:
        work = work.rpartition(".")[0]
    return work
