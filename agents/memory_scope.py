"""What the organisation file says of memory: bounds, and who may read and write which keys of the client's. Pure.

An agent's own memory is its own, the department's is open to all of its agents. The client's memory is closed to everybody
but those whom `memory = { client = { read = ["customer.*"], write = ["customer.note"] } }` names: of a department, which
counts for all of its agents, or of one agent, which adds to that of its department.
"""

from typing import Annotated, Final

from msgspec import Meta

from mai.agents.parts import Count, Part

LONGEST: Final = 200  # of a key
STAR: Final = "*"


class ClientMemory(Part, frozen=True, kw_only=True):
    """Keys of the client's memory: `customer.note` is that key, `customer.*` all that begin so, `*` all."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()


class MemoryScope(Part, frozen=True, kw_only=True):
    """What of memory somebody may use besides his own."""

    client: ClientMemory = ClientMemory()


class Keeping(Part, frozen=True, kw_only=True):
    """Bounds of memory (`[memory]`)."""

    value_bytes: Annotated[int, Meta(ge=256, le=1 << 24)] = 64 << 10  # of one value; never more than half of a message
    agent_items: Count = 1000  # keys of one agent
    department_items: Count = 10_000
    client_items: Count = 10_000
    versions: Annotated[int, Meta(ge=1, le=1000)] = 10  # of a key that are kept, with the newest

    def items(self, level: str) -> int:
        """How many keys a shelf of this level may have."""
        most: int = getattr(self, f"{level}_items")
        return most


def admits(patterns: tuple[str, ...], key: str) -> bool:
    """Is the key one of these?"""
    return any(key == one or (one.endswith(STAR) and key.startswith(one[:-1])) for one in patterns)


def wrong(pattern: str) -> str:
    """Why this is no pattern of keys; "" if it is one."""
    if not pattern or len(pattern) > LONGEST:
        return f"expected a key of at most {LONGEST} characters"
    return "a star stands at the end, for the rest of a key" if STAR in pattern[:-1] else ""
