"""A bound in time on the users' code, which runs in our own loop: an interval timer whose signal breaks even a busy loop.

It never breaks our code, which the users' code calls into and which must not stop half-way through a change of state: the
handler looks at what it has interrupted, and raises only if the innermost frame of ours is one that lets the users' code
in. Else it waits for the next ring. A flag set and cleared around our code was rejected: a signal can fall between the
users' last instruction and the flag. Nor does it break an import, which would leave modules half-loaded for whoever
imports them next. What runs in C for long is not broken either; the watchdog ends the process then.
"""

import signal
from collections.abc import Callable
from os.path import dirname
from types import CodeType, FrameType
from typing import Final, ParamSpec, TypeVar

AGAIN_S: Final = 0.02  # between rings: the users' code may swallow the first, or be in the middle of ours
OURS: Final = tuple(f"{dirname(dirname(__file__))}/{part}/" for part in ("agents", "sandbox", "daemon"))
IMPORTS: Final = "<frozen importlib"
P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., object])

_letting_in: set[CodeType] = set()
_armed = False


class TooLong(BaseException):
    """The users' code took more time than it may."""


def lets_in(function: F) -> F:
    """Mark a function that calls or awaits the users' code directly: what it called may be broken, itself not."""
    _letting_in.add(function.__code__)
    return function


@lets_in
def bounded(limit_s: float, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call the users' code; it is given so long. Raises TooLong in it. May be nested: the outer time stands still then."""
    global _armed  # noqa: PLW0603  there is one timer and one handler in a process
    before, handler = _armed, signal.signal(signal.SIGALRM, _ring)
    outer = signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    _armed = True
    try:
        return call(*args, **kwargs)
    finally:
        _armed = before  # first: what rings now is not for us
        signal.setitimer(signal.ITIMER_REAL, *outer)
        signal.signal(signal.SIGALRM, handler)


def _ring(number: int, frame: FrameType | None) -> None:
    inner = frame
    while inner is not None and not inner.f_code.co_filename.startswith(OURS):
        if inner.f_code.co_filename.startswith(IMPORTS):
            return
        inner = inner.f_back
    if _armed and inner is not None and inner is not frame and inner.f_code in _letting_in:
        raise TooLong
