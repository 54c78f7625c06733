"""The command that calls a person: started without a shell, with JSON on its standard input, ended when its time is over."""

import select
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.job import Job
from mai.agents.program import environment, located
from mai.agents.remedies import Operations
from mai.sandbox.errors import Refused
from mai.sandbox.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST: Final = 4  # at once
OUTPUT_BYTES: Final = 1 << 16


def serve(job: Job) -> None:
    """Let it do what can be done at once."""
    poll, pipes = select.poll(), {pipe.descriptor: pipe for pipe in job.pipes()}
    for pipe in pipes.values():
        poll.register(pipe.descriptor, select.POLLOUT if pipe.writing else select.POLLIN)
    for descriptor, _ in poll.poll(0):
        pipes[descriptor].serve()


class Pager:
    """The calls that are under way."""

    def __init__(self, place: Place, operations: Operations, base: Path) -> None:
        self._place, self._operations, self._base = place, operations, base
        self._calls: dict[str, Job] = {}

    def take_up(self, operations: Operations, base: Path) -> None:
        """Call with these settings from now on."""
        self._operations, self._base = operations, base

    def call(self, what: dict[str, Any]) -> str:
        """Start the command; what was done, in words. Raises Refused, OSError."""
        if len(self._calls) >= MOST:
            raise Refused(f"{MOST} calls are under way")
        command = located(self._operations.page, self._base)
        self._calls[str(what["id"])] = Job(
            command, msgspec.json.encode(what), where=self._place.watchdog, environment=environment(),
            limit_s=self._operations.page_s, limit_bytes=OUTPUT_BYTES,
        )  # fmt: skip
        return f"{command[0]} was called"

    def turn(self) -> "Iterator[tuple[str, str]]":
        """The calls that have ended: their id, and how."""
        for ident, job in list(self._calls.items()):
            serve(job)
            job.tend()
            if job.outcome:
                del self._calls[ident]
                yield ident, f"the command {job.outcome.refused}" if job.outcome.refused else "the command has ended well"

    @property
    def busy(self) -> bool:
        """Is a call under way?"""
        return bool(self._calls)
