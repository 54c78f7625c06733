"""Messages about claims that contradict each other: what was concluded, what boards are asked, and what was ruled. Pure."""

from typing import Any

import msgspec

from mai.agents.approval_messages import Word
from mai.agents.body import Body, Outcome


class Ground(msgspec.Struct, frozen=True):
    """What a claim rests on, as its agent names it, and the record of the own journal that it was found in."""

    name: str  # task, step:3, record:17, memory:agent/key/2, claim:ID
    seq: int = 0  # 0: it is no record of its own
    digest: str = ""


class Claim(Body, frozen=True, tag="claim"):
    """An agent has concluded something. Of the value, the reason and the grounds there is as much as may leave its department."""

    id: str  # task/step
    request: str
    task: str
    agent: str  # an address
    subject: str
    attribute: str
    digest: str  # of the canonical value
    confidence: float
    from_ms: int
    until_ms: int
    at_ms: int
    shown: bool = False  # is the value here?
    value: Any = None
    why: str = ""
    grounds: tuple[Ground, ...] = ()
    rests: tuple[str, ...] = ()  # claims that it names among its grounds
    word: Word | None = None  # who has approved it


class Side(msgspec.Struct, frozen=True, omit_defaults=True):
    """A claim of a case, as another board may see it."""

    side: int  # claims of one number say the same
    claim: str
    department: str
    agent: str = ""  # an address; "" where the department shows nothing of its work
    rank: str = ""
    confidence: float = 1.0
    at_ms: int = 0
    shown: bool = False
    value: Any = None
    why: str = ""
    grounds: tuple[Ground, ...] = ()


class Weigh(Body, frozen=True, tag="weigh"):
    """A board is asked which claim of a case stands; with a `ruling`, whether it accepts that: a vote for a loser appeals."""

    task: str
    request: str  # the case
    deadline_ms: int
    subject: str
    attribute: str
    sides: tuple[Side, ...]
    ruling: str = ""  # the claim that has won, and why
    winner: str = ""


class Vote(Body, frozen=True, tag="vote"):
    """What a board says to that; "" if it is undecided, with the reason."""

    task: str
    request: str
    state: Outcome
    claim: str
    why: str
    by: str  # an address


class CaseTold(Body, frozen=True, tag="case_told"):
    """To the departments of a case: it was ruled, or that ruling is no longer in force (`open`)."""

    id: str
    request: str  # the case
    subject: str
    attribute: str
    open: bool = False
    winner: str = ""  # claims
    losers: tuple[str, ...] = ()
    digest: str = ""  # of the winning value
    lost: tuple[str, ...] = ()  # digests of the others
    shown: bool = False
    value: Any = None  # that has won
    clause: str = ""
    why: str = ""
    by: str = ""
    until_ms: int = 0
