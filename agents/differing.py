"""What is said of a task that does other things than it did before it was interrupted. Pure."""

from typing import Any

from mai.agents.plain import readable
from mai.agents.state import Step


def other(step: Step, call: str, given: Any, codes: tuple[str, str]) -> str:
    """Another step than this recorded one is made; `codes`: the digests of the code before ("" if unknown) and now."""
    return f"{_before(step)} and is {call} {_shown(given)} now: {_why(*codes)}"


def missing(step: Step, codes: tuple[str, str]) -> str:
    """The code has ended before this recorded step."""
    return f"{_before(step)} and is not made now: {_why(*codes)}"


def _shown(given: Any) -> str:
    return readable(repr(given), 300)


def _before(step: Step) -> str:
    return f"step {step.n} was {step.call} {_shown(step.given)} before the interruption"


def _why(before: str, now: str) -> str:
    if before not in ("", now):
        return f"its code has changed since then, from {before} to {now}"
    return f"its code ({now}) does not do the same each time, or what it uses has changed"
