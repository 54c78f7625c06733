"""What a loop waits for on behalf of something that it runs: a descriptor, in which direction, and whom to call then. Pure."""

from collections.abc import Callable
from typing import NamedTuple


class Pipe(NamedTuple):
    """One end of a pipe. `serve()` does what can be done at once when it is ready, and never blocks."""

    descriptor: int
    writing: bool
    serve: Callable[[], None]
