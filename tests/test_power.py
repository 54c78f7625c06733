"""Power cuts: what the ledger has acknowledged is on the disk, and without its syncs it would not be."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

POWER = Path(__file__).with_name("power.py")


def cuts(number: int, synchronous: str) -> dict[str, Any]:
    """The result of so many cuts, in a process of their own."""
    ran = subprocess.run([sys.executable, "-P", POWER, str(number), synchronous], capture_output=True, text=True, check=False)
    assert ran.stdout, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_a_power_cut_loses_nothing_that_was_acknowledged() -> None:
    """Cut anywhere, in checkpoints, in the change to this format: all that was acknowledged is there, state and journal."""
    found = cuts(24, "FULL")
    assert found["where"] == {"anywhere": 12, "checkpoint": 6, "migration": 6}
    assert not found["first"]


def test_without_syncs_it_would() -> None:
    """The same cuts with synchronous=OFF lose acknowledged records: the test above can fail."""
    assert cuts(24, "OFF")["losing"] > 0
