"""What a department's journal has of approvals: asked, given to a person, decided, used, or over without any of it. Pure.

    asked → referred | decided | over        by the board, where the policy names it
    asked, referred → decided | over         by persons
    decided (approved) → used | over         just before the call

Each names the approval by `id`, the digest that binds it to one call.
"""

from typing import Any, ClassVar

from mai.agents.events import Event, register


class ApprovalAsked(Event, frozen=True, kw_only=True):
    """A step waits: a policy wants the board or persons to approve its call."""

    kind: ClassVar[str] = "approval.asked"
    request: str
    task: str
    agent: str
    n: int
    id: str
    call: str  # tool, ask
    name: str  # "support.refund", "sales.order"
    given: Any
    arguments: str  # the digest of what it is called with
    organisation: str
    verdict: str  # board, person
    clause: str
    policies: str  # their digest
    why: str = ""
    persons: int = 1
    approvers: str = "operator"
    requester: str = ""
    count: int = 1  # how often this step was judged so
    at_ms: int
    expires_ms: int


class ApprovalReferred(Event, frozen=True, kw_only=True):
    """The board has left it to a person, or did not decide; or it approves, and the policy wants one more."""

    kind: ClassVar[str] = "approval.referred"
    request: str
    task: str
    agent: str
    n: int
    id: str
    by: str  # the board's address
    how: str  # left, undecided, approved
    why: str = ""
    persons: int = 1


class ApprovalDecided(Event, frozen=True, kw_only=True):
    """The one decision about an approval. One that is `late` counts for nothing."""

    kind: ClassVar[str] = "approval.decided"
    request: str
    task: str
    agent: str
    n: int
    id: str
    approved: bool
    who: str  # board, person, organisation
    by: tuple[str, ...]  # the board's address; users, each with its number
    note: str = ""
    clause: str = ""
    policies: str = ""
    at_ms: int = 0
    late: str = ""  # why nothing waited for it any more


class ApprovalUsed(Event, frozen=True, kw_only=True):
    """The call that was approved is made; where it has an effect, its intent is the next record."""

    kind: ClassVar[str] = "approval.used"
    request: str
    task: str
    agent: str
    n: int
    id: str
    name: str
    arguments: str


class ApprovalExpired(Event, frozen=True, kw_only=True):
    """An approval is over before it was used: its time, its task, or what it was judged under."""

    kind: ClassVar[str] = "approval.expired"
    request: str
    task: str
    agent: str
    n: int
    id: str
    why: str
    again: bool = False  # the call is judged anew


register(ApprovalAsked, ApprovalReferred, ApprovalDecided, ApprovalUsed, ApprovalExpired)
