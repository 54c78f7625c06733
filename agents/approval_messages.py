"""Messages about calls that wait for an approval: a department asks its Mai for a person, and hears what was said. Pure."""

from typing import Any

import msgspec

from mai.agents.body import Body, Fields, Outcome


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who has approved what a department sends through Mai: she holds it against the policies, and lets it pass once."""

    id: str  # the digest that binds it to one call
    task: str  # that the step is of
    n: int  # the step
    count: int  # how often it was judged so
    by: tuple[str, ...]  # the board's address; users, each with its number
    at_ms: int  # when it was asked for


class Approval(Body, frozen=True, tag="approval"):
    """A call waits for persons, with all that is known of it; or, with `over`, it waits no more."""

    id: str  # the digest that binds what is said to this one call
    request: str
    task: str
    n: int  # the step
    agent: str  # an address
    call: str  # tool, ask, conclude
    name: str  # "support.refund", "sales.order"
    given: Any  # what it is called with; cut if it is long
    arguments: str  # the digest of the whole of it
    organisation: str  # the digest of the organisation that it was judged under
    clause: str  # the policy that wants it
    policies: str  # the digest of the policies
    at_ms: int  # when it was asked for
    expires_ms: int
    persons: int = 1  # how many different ones have to approve
    approvers: str = "operator"  # the least role that may approve
    requester: str = ""  # for whom the task is done
    why: str = ""  # what the policy says, and what the board said
    over: str = ""  # why nobody has to say anything any more


class Consult(Body, frozen=True, tag="consult"):
    """Mai asks a board about a call that waits for it: of its department's contract, by the client."""

    task: str  # the id of the question
    request: str
    id: str  # the digest that binds what is said to this one call
    agent: str  # who asks for it: an address
    name: str  # the contract
    input: Fields
    text: str
    requester: str
    subject: str
    policy: str  # the clause that wants it
    why: str
    at_ms: int  # when it was asked for
    expires_ms: int


class Opinion(Body, frozen=True, tag="opinion"):
    """What a board says to that: approve, deny, person; "" if it is undecided, with the reason."""

    task: str
    request: str
    id: str
    state: Outcome
    word: str
    note: str
    by: str  # an address


class Decided(Body, frozen=True, tag="decided"):
    """What persons have said of one call."""

    id: str
    request: str
    task: str
    n: int
    agent: str  # an address
    approved: bool
    by: tuple[str, ...]  # users, each with its number
    note: str
    at_ms: int
