"""Messages about what persons, healers and the watchdog want of a department, and what came of it. Pure."""

from typing import Any

import msgspec

from mai.agents.body import Body, Fields


class Remedy(Body, frozen=True, tag="remedy"):
    """An agent of the operations department wants something healed, by a remedy of the list (remedies.py)."""

    id: str  # derives from the task and the step
    request: str
    agent: str  # an address
    remedy: str
    target: str  # a process
    given: Fields
    why: str


class Remedied(Body, frozen=True, tag="remedied"):
    """What came of Remedy: what was done, or why not."""

    id: str
    request: str
    value: Any = None
    refused: str = ""
    doubt: bool = False  # it may have been done


class Notice(Body, frozen=True, tag="notice"):
    """To a department: what has happened to it, for the coordinators whom that concerns."""

    id: str
    request: str  # under which it is healed
    process: str
    what: str
    text: str
    waits: int  # messages that waited for it at Mai
    replayed: int  # records that its start had to read


class Cancel(Body, frozen=True, tag="cancel"):
    """All that is done for a request is to stop, and what can be undone of it is to be undone."""

    request: str
    by: str  # the user who said so
    reason: str


class Undone(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one effect of a request that was cancelled."""

    key: str
    tool: str
    state: str  # undone, failed, doubt (of the undoing), unknown (whether there is anything to undo), stays (nothing undoes it)
    undo: str = ""  # the tool that undoes it
    note: str = ""


class Cancelled(Body, frozen=True, tag="cancelled"):
    """The answer to Cancel: what was stopped and undone."""

    request: str
    stopped: tuple[str, ...]  # ids of tasks, calls or uses
    undone: tuple[Undone, ...] = ()
    more: int = 0  # so many of either are left out here


class Doubt(Body, frozen=True, tag="doubt"):
    """An effect is in doubt, with all that is known of it: a person has to say whether it happened."""

    key: str
    request: str
    task: str
    agent: str  # an address
    tool: str
    effect: str
    given: Any  # what it was called with; cut if it is long
    at_ms: int  # when it was about to be called
    why: str  # it is in doubt
    count: int  # how often it was called, this time with it
    deadline_ms: int  # of the task that waits for it
    ended: bool  # the task has ended, and waits no more
    known: bool = False  # it was told before; only its task has ended since


class Resolve(Body, frozen=True, tag="resolve"):
    """What a person has said of an effect in doubt."""

    key: str
    request: str
    task: str
    agent: str  # an address
    happened: bool
    value: Any
    by: str
    note: str


class Release(Body, frozen=True, tag="release"):
    """A task is to leave the quarantine: to be run again, or to be dropped."""

    id: str  # of the order
    request: str
    task: str
    how: str  # retry, drop
    by: str


class Released(Body, frozen=True, tag="released"):
    """The answer to Release."""

    id: str
    request: str
    task: str
    refused: str = ""
