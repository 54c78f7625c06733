"""Tasks that a department has to do without: left for it by the watchdog before a start, so that none of their code runs.

They stand in a file in the department's directory. What it says is on record before the file goes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from mai.agents.inputs import Withheld
from mai.sandbox import keys

if TYPE_CHECKING:
    from mai.agents.shell import Shell

FILE: Final = "withheld"
MOST: Final = 100


class Without(msgspec.Struct, frozen=True):
    """One task, who has put it away, and why."""

    task: str
    by: str
    why: str


def leave(home: Path, one: Without) -> None:
    """Add a task to those that the next start does without. Raises OSError."""
    kept = [other for other in left(home) if other.task != one.task]
    keys.write(home / FILE, msgspec.json.encode([*kept, one][-MOST:]))


def left(home: Path) -> list[Without]:
    """The tasks that the file names; none if it is not there, or nothing that we have written."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=list[Without])
    except (OSError, msgspec.MsgspecError):
        return []


def take(home: Path, shell: "Shell") -> None:
    """Put away what the file names."""
    found = left(home)
    for one in found:
        shell.feed(Withheld(one.task, one.by, one.why))
    if found:
        shell.commit(all_of_it=True)
        (home / FILE).unlink(missing_ok=True)
