"""What Mai's journal holds of claims and cases, and the inputs that bring it there. Pure."""

from typing import ClassVar, Final

import msgspec

from mai.agents.claim_messages import Claim, Vote
from mai.agents.decider import Input
from mai.agents.events import Event, register
from mai.daemon.dispute import Ballot, Stand, Verdict


# -- records
class ClaimNoted(Event, frozen=True, kw_only=True):
    """A claim is known to Mai, and how it stands."""

    kind: ClassVar[str] = "claim.noted"
    request: str
    task: str
    agent: str
    claim: Stand
    replaces: tuple[str, ...] = ()  # earlier ones of the same agent
    why: str = ""  # it has lost without a case


class CaseOpened(Event, frozen=True, kw_only=True):
    """These claims contradict each other; a case that was settled is opened again by one that does (`how`: claim)."""

    kind: ClassVar[str] = "case.opened"
    request: str  # the case
    subject: str
    attribute: str
    claims: tuple[str, ...]
    of: str = ""  # the request in which the last of them was made
    at_ms: int


class CaseReopened(Event, frozen=True, kw_only=True):
    """One more claim contradicts what was ruled, or what is open."""

    kind: ClassVar[str] = "case.reopened"
    request: str
    claim: str
    of: str = ""
    at_ms: int


class CaseAsked(Event, frozen=True, kw_only=True):
    """Somebody has to say which claim stands: boards, or a person; or boards whether they accept a ruling (owner "")."""

    kind: ClassVar[str] = "case.asked"
    request: str
    owner: str
    tasks: dict[str, str] = msgspec.field(default_factory=dict)
    deadline_ms: int
    at_ms: int
    why: str = ""


class CaseVoted(Event, frozen=True, kw_only=True):
    """A board has said it, or that it cannot; `late` if nobody waited for it any more."""

    kind: ClassVar[str] = "case.voted"
    request: str
    task: str
    department: str
    claim: str
    state: str
    why: str
    by: str
    at_ms: int
    late: bool = False


class CaseRuled(Event, frozen=True, kw_only=True):
    """The ruling: whose claim stands, whose has lost, by which clause, on which votes, and who says so."""

    kind: ClassVar[str] = "case.ruled"
    request: str
    ruling: Verdict
    votes: dict[str, Ballot] = msgspec.field(default_factory=dict)
    uid: int = -1
    role: str = ""


class CaseAppealed(Event, frozen=True, kw_only=True):
    """A ruling is appealed against, which may be done once: it is open again, and a person's."""

    kind: ClassVar[str] = "case.appealed"
    request: str
    by: str
    uid: int = -1
    role: str = ""
    why: str
    at_ms: int


class CaseExpired(Event, frozen=True, kw_only=True):
    """The ruling was valid until now; or there are no two sides left that are valid."""

    kind: ClassVar[str] = "case.expired"
    request: str
    at_ms: int
    why: str


register(ClaimNoted, CaseOpened, CaseReopened, CaseAsked, CaseVoted, CaseRuled, CaseAppealed, CaseExpired)
EVENTS: Final = (ClaimNoted, CaseOpened, CaseReopened, CaseAsked, CaseVoted, CaseRuled, CaseAppealed, CaseExpired)


# -- inputs
class Disputed(Input, frozen=True):
    """What conflicts.py decides about."""


class Asserted(Disputed, frozen=True):
    """A department tells of a claim."""

    peer: str
    body: Claim


class Voted(Disputed, frozen=True):
    """A board votes."""

    peer: str
    body: Vote


class Ask(Disputed, frozen=True):
    """A case is open, and somebody has to be asked."""

    case: str


class Counted(Disputed, frozen=True):
    """All boards have voted."""

    case: str


class Ordered(Disputed, frozen=True):
    """A person rules, or appeals (without a claim)."""

    case: str
    claim: str
    why: str
    by: str
    uid: int = -1
    role: str = ""


class Free(Input, frozen=True):
    """An answer that waited is looked at again."""

    task: str


class Look(Input, frozen=True):
    """The answers to a request's parts are looked at again."""

    request: str
