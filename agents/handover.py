"""What a colleague gets with a task that he takes over: what was done so far, and by whom. Pure."""

from typing import Any, Final

import msgspec

from mai.agents.body import Fields

MOST: Final = 50  # steps that are told, the last ones
SHOWN_BYTES: Final = 4096  # of what one step was given, and of what it gave


class Done(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step that has an outcome."""

    n: int
    call: str
    given: Any = None
    value: Any = None
    text: str = ""
    refused: str = ""


class Handover(msgspec.Struct, frozen=True, omit_defaults=True):
    """The context of a task that has changed hands. Nothing was changed for it: else it would have stayed where it was."""

    by: str  # the address of who had it
    why: str
    at_ms: int
    steps: tuple[Done, ...] = ()
    claims: tuple[Fields, ...] = ()  # what was concluded
    before: tuple[str, ...] = ()  # who had it before him


def short(value: Any) -> Any:
    """A value, or of a long one the beginning of its JSON."""
    data = msgspec.json.encode(value)
    return value if len(data) <= SHOWN_BYTES else data[:SHOWN_BYTES].decode(errors="replace") + f" … ({len(data)} bytes)"
