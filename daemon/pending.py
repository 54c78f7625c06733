"""Approvals as Mai keeps them: a row for each that waits for persons, and one for what became of it. Pure."""

from collections.abc import Callable, Iterator
from typing import ClassVar, Final

import msgspec

from mai.agents.approval_messages import Approval
from mai.agents.body import Fields
from mai.agents.deadlines import Deadlines
from mai.agents.decider import Input
from mai.agents.events import Event, register
from mai.agents.state import Approving

TRIES = 5  # of the command that announces
NOUN, SETTLED, GIVEN, WORD, ASK = "approval", "settled", "given", "word", "ask"  # of the rows
QUESTION: Final = "a"  # in the id of what a board is asked about a part of a request: behind it, how often


class Vote(msgspec.Struct, frozen=True):
    """What one person has said."""

    user: str
    uid: int
    role: str
    approved: bool
    note: str
    at_ms: int

    @property
    def who(self) -> str:
        """As it stands on record."""
        return self.user if self.user == f"uid {self.uid}" else f"{self.user} (uid {self.uid})"


class Pending(msgspec.Struct, frozen=True):
    """A call that waits for persons."""

    process: str  # the department that has it
    message: str  # the id of what told of it
    seq: int  # of its record: the order in which they came
    by: str  # the user who made the client's request; "" if none did
    uid: int  # -1 if none did
    approval: Approval
    votes: tuple[Vote, ...] = ()
    announced: str = ""  # how its announcing has ended

    @property
    def left(self) -> int:
        """How many still have to approve."""
        return self.approval.persons - sum(vote.approved for vote in self.votes)


class Settled(msgspec.Struct, frozen=True):
    """What became of one."""

    pending: Pending
    state: str  # approved, denied, over
    at_ms: int
    why: str = ""  # it is over


class Given(msgspec.Struct, frozen=True):
    """A call that persons have approved, as long as its request is open: Mai lets it through once, if it comes to her."""

    approval: Approval
    passed: str = ""  # the id under which it came


class Passed(msgspec.Struct, frozen=True):
    """A call that its department's board has approved, and that Mai has let through: she does so once."""

    request: str
    task: str  # the id under which it came


class Ask(msgspec.Struct, frozen=True):
    """A part of a request that waits for an approval."""

    task: str
    request: str
    name: str  # the contract
    given: Fields  # {"to", "text", "input"}
    by: str  # the user who made the request; "" if none did
    uid: int
    one: Approving

    @property
    def until_ms(self) -> int:
        """When something has to be done about it: a board has half of the time, whoever it leaves it to the rest."""
        one = self.one
        return one.at_ms + max(1, (one.expires_ms - one.at_ms) // 2) if one.at == "board" else one.expires_ms


def asked_of(question: str) -> str:
    """The part of a request that a board is asked about by this id: `R/1` for `R/1a2`; "" if the id has another form."""
    return question.rpartition(QUESTION)[0]


class ApprovalRaised(Event, frozen=True, kw_only=True):
    """A call waits for persons; `uid` made the client's request, and may not approve it."""

    kind: ClassVar[str] = "approval.raised"
    request: str
    task: str
    agent: str
    process: str
    id: str  # of the message that told of it
    by: str = ""
    uid: int = -1
    approval: Approval


class ApprovalVoted(Event, frozen=True, kw_only=True):
    """A person has said something of a call; with `last` it is decided, and its department is told."""

    kind: ClassVar[str] = "approval.voted"
    request: str
    task: str
    agent: str
    approval: str  # its id
    approved: bool
    user: str
    uid: int
    role: str
    note: str = ""
    last: bool
    at_ms: int


class ApprovalClosed(Event, frozen=True, kw_only=True):
    """Nobody has to say anything of a call any more."""

    kind: ClassVar[str] = "approval.closed"
    request: str
    task: str
    agent: str
    approval: str
    why: str
    at_ms: int


class ApprovalPassed(Event, frozen=True, kw_only=True):
    """A call that was approved goes to another department or to the network, or is a claim that Mai takes."""

    kind: ClassVar[str] = "approval.passed"
    request: str
    task: str  # the id under which it came
    agent: str
    approval: str
    by: str = ""  # the board that approves it, as its department says; "": persons, as Mai has on record herself


class ApprovalAnnounced(Event, frozen=True, kw_only=True):
    """The command that tells persons of new approvals has ended, or is given up."""

    kind: ClassVar[str] = "approval.announced"
    request: str
    task: str
    approval: str
    well: bool
    text: str
    tries: int


register(ApprovalRaised, ApprovalVoted, ApprovalClosed, ApprovalPassed, ApprovalAnnounced)


class Pleaded(Input, frozen=True):
    """A department asks for persons, or says that it needs them no more."""

    peer: str
    id: str
    body: Approval


class Voting(Input, frozen=True):
    """A person approves or denies a call."""

    id: str
    vote: Vote


class Announced(Input, frozen=True):
    """How the announcing of one has ended."""

    id: str
    well: bool
    text: str
    tries: int


class Approvals:
    """All that wait, in the order in which they came."""

    def __init__(self) -> None:
        self.rows: dict[str, Pending] = {}  # by id
        self.of_request: dict[str, set[str]] = {}
        self.deadlines = Deadlines()
        self.given: dict[str, dict[str, Given]] = {}  # request -> id -> what persons have approved
        self.words: dict[str, dict[str, str]] = {}  # request -> id of what a board has approved -> as what it has passed
        self.asks: dict[str, Ask] = {}  # by task: parts of requests that wait
        self.asked = Deadlines()  # of these

    def put(self, one: Pending) -> None:
        """This waits."""
        ident = one.approval.id
        if ident not in self.rows:
            self.of_request.setdefault(one.approval.request, set()).add(ident)
            self.deadlines.put(ident, one.approval.expires_ms)
        self.rows[ident] = one

    def drop(self, ident: str) -> Pending | None:
        """This waits no more."""
        one = self.rows.pop(ident, None)
        if one is not None:
            self.deadlines.drop(ident)
            others = self.of_request[one.approval.request]
            others.discard(ident)
            if not others:
                del self.of_request[one.approval.request]
        return one

    def give(self, one: Given) -> None:
        """This may pass."""
        self.given.setdefault(one.approval.request, {})[one.approval.id] = one

    def ask(self, one: Ask) -> None:
        """A part waits, or waits for another."""
        self.asks[one.task] = one
        self.asked.put(one.task, one.until_ms)

    def unask(self, task: str) -> None:
        """It waits no more."""
        del self.asks[task]
        self.asked.drop(task)

    def soonest_ms(self) -> int:
        """When the next of them is over; 0 for never."""
        return min(filter(None, (self.deadlines.soonest_ms(), self.asked.soonest_ms())), default=0)

    def load(self, noun: Callable[[str], dict[str, bytes]]) -> None:
        """Take up what is kept."""
        rows, given, words = noun(NOUN), noun(GIVEN), noun(WORD)
        for data in noun(ASK).values():
            self.ask(msgspec.json.decode(data, type=Ask))
        for ident, data in words.items():
            passed = msgspec.json.decode(data, type=Passed)
            self.words.setdefault(passed.request, {})[ident] = passed.task
        for data in given.values():
            self.give(msgspec.json.decode(data, type=Given))
        found = [msgspec.json.decode(data, type=Pending) for data in rows.values()]
        for one in sorted(found, key=lambda one: one.seq):
            self.put(one)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)
