"""Named points of a process's life, at which a test may end it, hold it, or look: fail points, as FreeBSD's fail(9) has them.

A process that nobody has armed pays one look at a variable for each. What is promised must hold whatever happens at any
of them; `make chaos` sees to it that each was reached.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

SETTING: Final = "MAI_POINTS"  # for tests: a directory, see traps.py
POINTS: Final = {
    "start.locked": "the directory is ours, the ledger not opened yet",
    "start.opened": "the ledger is open, no state loaded",
    "start.loaded": "state and links are loaded, nothing is decided",
    "start.resumed": "open tasks were begun again, nothing of it is committed",
    "receive.before": "a message is whole and new, not journaled",
    "receive.after": "it is journaled and decided about, not committed",
    "commit.before": "a turn is collected, its transaction not begun",
    "commit.inside": "all rows are written, the transaction is open",
    "commit.after": "the disk has the turn, nothing of it has left",
    "send.before": "acknowledgements and greetings have left, a message is about to",
    "send.after": "a message has left, others may wait",
    "ack.received": "a peer's acknowledgement is noted, not committed",
    "effect.intended": "the intent of an effect is on the disk, the tool not called",
    "effect.called": "the tool has returned, nothing of it is recorded",
    "effect.recorded": "its outcome is recorded, not committed",
    "undo.intended": "the intent to undo an effect is on the disk, the tool not called",
    "undo.called": "that tool has returned, nothing of it is recorded",
    "keys.offered": "the watchdog has laid new key pairs beside the old ones, nothing of it is on record",
    "keys.taken": "a new pair has taken the place of an old one, others may follow",
    "keys.published": "a client's public keys are handed out, others may follow",
    "keys.heeded": "a process has read other keys than it had, and does not speak with them yet",
    "erase.begun": "an order to erase a person's values is read, nothing is changed",
    "erase.committed": "the ledger says so, old bytes may lie in free pages",
    "erase.purged": "they are gone, the order still lies there",
    "erase.overwritten": "a file that goes has lost its name and its bytes, and still lies there",
    "spool.taken": "a file of a spool is decided about, not committed",
    "spool.moving": "it is on record, and about to leave new/",
    "rotation.written": "a segment is written beside the ledger, it has no name yet",
    "rotation.sealed": "it has its name, the journal says nothing of it",
    "rotation.recorded": "it is on record, none of its records has left the journal",
    "rotation.inside": "records, or blobs, of a segment are taken out, the transaction is open",
    "rotation.after": "that is on the disk, more may follow",
    "retention.written": "a segment without some of its bodies is written, the journal says nothing of it",
    "retention.recorded": "that a segment is thinned, or removed, is on record; its file is still there",
    "door.accepted": "a request is committed, its asker not told",
    "door.answered": "an answer is committed, its asker not told",
}

_armed: Callable[[str], None] | None = None


def reach(name: str) -> None:
    """Say that the process is at one of POINTS."""
    if _armed is not None:
        _armed(name)


def arm(trap: Callable[[str], None] | None) -> None:
    """From now on `trap` is told of each point; None disarms. One for a process."""
    global _armed  # noqa: PLW0603  # the one switch of a process, as its signal handlers are
    _armed = trap


def obey(process: str) -> None:
    """Arm this process if it was started by a test that wants to strike it, see traps.py."""
    if directory := os.environ.get(SETTING):
        from mai.sandbox.traps import Trap

        arm(Trap(Path(directory), process))
