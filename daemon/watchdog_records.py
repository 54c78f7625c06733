"""What the watchdog's journal holds: one Struct for each kind of record, as the schemas and SCHEMA.md have it. Pure.

The watchdog writes them as plain JSON and folds none of them, so nothing decodes into these. Of a record about a client's
process all but the fields in `seals.OPEN` is sealed with that client's key; here it is as the key opens it.
"""

from typing import Any, ClassVar, Final

import msgspec

from mai.agents.events import Event
from mai.daemon.heads import HeadsSigned


class Started(Event, frozen=True, kw_only=True):
    """The watchdog has begun its work."""

    kind: ClassVar[str] = "started"
    pid: int


class Incident(Event, frozen=True, kw_only=True):
    """What the watchdog saw: a death, a hung process, a full disk …"""

    kind: ClassVar[str] = "incident"
    process: str
    what: str
    text: str
    pid: int = 0
    file: str | None = None  # of a death: what it died of, and what it had in hand
    task: str = ""  # whose code was running
    bound: str = ""  # that was passed
    why: str = ""


class Wanted(Event, frozen=True, kw_only=True):
    """An operator, a remedy or a change wants this of a process: run, pause, drain, switch, stop."""

    kind: ClassVar[str] = "wanted"
    process: str
    wanted: str | bool  # a bool in journals of format 3 and before
    by: str
    why: str = ""
    then: str = ""  # of a drain: what follows
    until_ms: int = 0  # of a drain: how long it may take


class GivenUp(Event, frozen=True, kw_only=True):
    """A process failed too often, or is no part of the organisation any more."""

    kind: ClassVar[str] = "given_up"
    process: str
    why: str


class Revived(Event, frozen=True, kw_only=True):
    """One that was given up is tried again."""

    kind: ClassVar[str] = "revived"
    process: str


class LiesDown(Event, frozen=True, kw_only=True):
    """A process is about to be stopped for want of work."""

    kind: ClassVar[str] = "lies_down"
    process: str


class Sleeps(Event, frozen=True, kw_only=True):
    """It is stopped, and has left nothing undone."""

    kind: ClassVar[str] = "sleeps"
    process: str


class Wakes(Event, frozen=True, kw_only=True):
    """It sleeps no longer, or is not to any more."""

    kind: ClassVar[str] = "wakes"
    process: str


class Start(Event, frozen=True, kw_only=True):
    """A process is started."""

    kind: ClassVar[str] = "start"
    process: str
    beside: int  # that start at the same time
    late: int  # that have taken too long, and hold no place any more
    most: int  # that may
    waiting: int


class Reload(Event, frozen=True, kw_only=True):
    """A change of the organisation, or a client that comes or goes, has taken a step."""

    kind: ClassVar[str] = "reload"
    process: str
    by: str
    before: str  # digests of the organisation
    after: str
    step: str
    what: str = ""  # of a client: add, remove


class Reloaded(Event, frozen=True, kw_only=True):
    """It is done, or was undone."""

    kind: ClassVar[str] = "reloaded"
    process: str
    by: str
    before: str
    after: str
    state: str
    why: str
    what: str = ""


class Exported(Event, frozen=True, kw_only=True):
    """All that a client has was copied."""

    kind: ClassVar[str] = "exported"
    process: str
    by: str


class RemedyDone(Event, frozen=True, kw_only=True):
    """A remedy: what was asked, what was done, how it ended."""

    kind: ClassVar[str] = "remedy"
    id: str
    remedy: str
    process: str
    by: str
    why: str
    given: dict[str, Any]
    request: str
    state: str
    text: str
    figure: str
    worse: bool


class RemedyForgotten(Event, frozen=True, kw_only=True):
    """An old remedy is no longer kept in the state."""

    kind: ClassVar[str] = "forgotten"
    process: str
    id: str


class Term(Event, frozen=True, kw_only=True):
    """A pause ends by itself then; 0: it does not any more."""

    kind: ClassVar[str] = "term"
    process: str
    until_ms: int


class Raised(Event, frozen=True, kw_only=True):
    """A process may take so many times as much of something as the organisation says."""

    kind: ClassVar[str] = "raised"
    process: str
    bound: str
    times: float


class KeyStep(Event, frozen=True, kw_only=True):
    """Something has become of the key of a process."""

    kind: ClassVar[str] = "key"
    process: str
    step: str
    key: str = ""  # its fingerprint
    next: str = ""
    before: str = ""
    by: str = ""
    why: str = ""


class Turnover(Event, frozen=True, kw_only=True):
    """The change of many keys has taken a step."""

    kind: ClassVar[str] = "turnover"
    process: str
    step: str
    by: str


class Erasing(Event, frozen=True, kw_only=True):
    """The end of a client has taken a step, or could not be."""

    kind: ClassVar[str] = "erasing"
    process: str
    step: str = ""
    state: str = ""
    by: str = ""


class Erased(Event, frozen=True, kw_only=True):
    """All that a client had is destroyed."""

    kind: ClassVar[str] = "erased"
    process: str
    state: str
    by: str
    certificate: str


class Person(Event, frozen=True, kw_only=True):
    """A person's values are erased from a client's ledgers: begun, told to these processes (once in each round), done.

    Or abandoned, with those that had not done it.
    """

    kind: ClassVar[str] = "person"
    process: str  # the client's Mai
    erasure: str
    step: str
    by: str
    role: str
    round: int = 0
    processes: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()  # whose records are concerned, beside those that belong to none
    certificate: str = ""
    records: int = 0


RECORDS: Final[dict[str, type[msgspec.Struct]]] = {
    HeadsSigned.kind: HeadsSigned,
    **{
        one.kind: one
        for one in (
            *(Started, Incident, Wanted, GivenUp, Revived, LiesDown, Sleeps, Wakes, Start, Reload, Reloaded, Exported),
            *(RemedyDone, RemedyForgotten, Term, Raised, KeyStep, Turnover, Erasing, Erased, Person),
        )
    },
}
