"""What the organisation file says of approvals (`[approvals]`): what an undecided board means, who is told, and when. Pure."""

from typing import Annotated, Literal

from msgspec import Meta

from mai.agents.parts import Part, Seconds


class Approvals(Part, frozen=True, kw_only=True):
    """How calls are approved that a policy wants approved."""

    undecided: Literal["person", "deny"] = "person"  # who decides where a board does not: a person, or nobody
    expires_s: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 0.0  # waited at most, unless the policy says; 0: the deadline
    announce: tuple[str, ...] = ()  # the command that tells persons; it gets the approval as JSON on standard input
    announce_s: Seconds = 10.0  # that command may take so long
