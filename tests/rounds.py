"""How long a campaign is: short in `make test`, all of it in `make test LONG=1`."""

import os
from typing import TypeVar

LONG = bool(os.environ.get("LONG"))
T = TypeVar("T")


def rounds(short: T, long: T) -> T:
    """What is played now. The short one leaves out what comes again, never what comes once."""
    return long if LONG else short
