"""What a step may be given, and how a task's code ends when it gives no answer: a Refusal and its kin. Pure."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from mai.agents.plain import readable

LEVELS: Final = ("agent", "department", "client")
LONGEST_NAME: Final = 200  # of a receiver, a key, a subject, an attribute
LONGEST_S: Final = 10 * 366 * 86_400  # until something expires


class Refusal(Exception):
    """A task or a step that was not done, and why. Raise it to refuse a task; a step that was not done raises it.

    `state` says how it ended: refused, failed or expired. If `ctx.all` raises it, `answers` holds what came of each, in
    order: the answer, or the Refusal.
    """

    reason, state = "it gives no reason", "refused"  # for a subclass that does not call us
    n = 0  # the step that was not done; 0: its code refuses by itself
    changed = False  # of what was handed on: something was changed for it before it came back
    answers: Sequence[Any] = ()

    def __init__(self, reason: str, state: str = "refused") -> None:
        super().__init__(reason)
        self.reason, self.state = reason, state


class Escalation(BaseException):  # a worker's `except Exception` must not keep it
    """A worker gives its task up to those above it."""


class Told:
    """The Reply to an escalation. Code that does nothing with it ends with it: whoever asked has that answer."""

    def __init__(self, reply: Any, heard: Callable[[], None]) -> None:
        """`heard` is called when it is looked at."""
        self._reply, self._heard = reply, heard

    def __getattr__(self, name: str) -> Any:
        self._heard()
        return getattr(self._reply, name)


class Unheard(BaseException):
    """Code goes on without a look at what those above have answered: then its task ends with that."""


class Divergence(BaseException):
    """A step differs from what this task did before it was interrupted."""


def a_text(what: str, text: str) -> str:
    """A text, of whatever subclass. Raises Refusal."""
    if not isinstance(text, str):
        raise Refusal(f"{what} has to be a str, not {type(text).__name__}", "failed")
    return str.__str__(text)  # of a subclass, too


def a_name(what: str, name: str) -> str:
    """A text that stands in sentences and keys. Raises Refusal."""
    name = a_text(what, name)
    if len(name) > LONGEST_NAME or readable(name) != name:
        raise Refusal(f"{what} has to be a text of at most {LONGEST_NAME} characters", "failed")
    return name


def a_level(level: str) -> str:
    """One of the levels of memory. Raises Refusal."""
    level = a_text("a memory level", level)
    if level not in LEVELS:
        raise Refusal(f"there is no memory level {readable(level, 40)!r}; the levels are {', '.join(LEVELS)}", "failed")
    return level


def a_share(what: str, share: float) -> float:
    """A number from 0 to 1. Raises Refusal."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not (math.isfinite(share) and 0 <= share <= 1):
        raise Refusal(f"{what} has to be a number from 0 to 1", "failed")
    return float(share)


def a_count(what: str, number: int, most: int = 1 << 53) -> int:
    """A whole number from 1. Raises Refusal."""
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
        raise Refusal(f"{what} has to be a whole number from 1{f' to {most}' if most < 1 << 53 else ''}", "failed")
    return int(number)


def a_span(what: str, seconds: float) -> float:
    """A time in seconds, of at most ten years. Raises Refusal."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_S:
        raise Refusal(f"{what} has to be a number of seconds, more than 0 and at most ten years", "failed")
    return float(seconds)
