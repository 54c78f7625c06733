"""A decision to be made once more in a scratch process: what that is given, and what it says came out. Pure."""

from typing import Any, Literal

import msgspec

from mai.agents.organisation import Mandate


class Entry(msgspec.Struct, frozen=True):
    """A record of the journal, as it is folded again."""

    seq: int
    at_ns: int
    kind: str
    task: str
    body: dict[str, Any]


class Case(msgspec.Struct, frozen=True):
    """All that the scratch process knows. It reads no ledger."""

    process: str
    task: str
    decided: Entry
    entries: tuple[Entry, ...]  # of the request, in this process, also those after the decision
    texts: tuple[str, ...]  # that they name
    mandate: Mandate
    other: Mandate | None = None  # the same with other policies
    code: str = ""  # the digest of the code that decided


class Move(msgspec.Struct, frozen=True):
    """A step of an agent's code, as it would have been made."""

    n: int
    call: str
    given: Any
    how: Literal["on record", "differs", "not on record"]
    before: Any = None  # what it was, if it differs


class Judged(msgspec.Struct, frozen=True):
    """What policies say of something that was done, or asked for."""

    record: int
    what: str
    name: str
    before: str  # "allow", by the policies of the organisation as it is given
    after: str  # by the others
    clause: str  # that says so
    why: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What would have come out."""

    how: Literal["code", "behaviour", "policies", "model"]
    same: bool
    before: dict[str, Any]  # the decision, as it is on record; what an agent's code or a model has answered
    after: dict[str, Any] | None  # the same as it came out; None if nothing of its kind did
    moves: tuple[Move, ...] = ()
    judged: tuple[Judged, ...] = ()
    also: tuple[str, ...] = ()  # kinds of what else would have been put on record
    notes: tuple[str, ...] = ()
    fault: str = ""  # why it came to nothing
