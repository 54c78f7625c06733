"""That there was a ledger: a small file beside it, `ledger.made`, with how many records it had when it was last opened; the
watchdog, whom nobody else could tell, writes it anew with every commit.

A process that finds no ledger would begin a new one, as at its first start, and all that it ever promised were forgotten. Its
peers see that, if it has any and they have a reason to speak; this file shows it at the first touch. It is written after
the ledger's own commit and may be behind, never ahead of it.
"""

import contextlib
import os
from pathlib import Path

NAME = "ledger.made"


def marker(ledger: Path) -> Path:
    """The file for a ledger."""
    return ledger.with_suffix(".made")


def had(ledger: Path) -> int | None:
    """How many records a ledger had at least; None if there was none."""
    try:
        return int(marker(ledger).read_text() or "0")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        return 0  # it is there, whatever the disk has left of it


def lost(ledger: Path) -> str:
    """Which records are gone with a ledger that is not there; "" if none are, or none are known of."""
    if ledger.exists() or (count := had(ledger)) is None:
        return ""
    return f"the ledger {ledger} is gone: it had {count} records or more, 1 to {count} are missing here"


def way_out(ledger: Path) -> str:
    """What to do about it."""
    return f"put the newest copy of the ledger back, then mai reset; to begin a new one, remove {marker(ledger)}"


def remember(ledger: Path, seq: int) -> None:
    """The ledger is there, with so many records. Never raises: on a full disk the older word stays."""
    part = marker(ledger).with_suffix(".made-part")
    with contextlib.suppress(OSError):
        part.write_text(f"{seq}\n")
        os.replace(part, marker(ledger))
