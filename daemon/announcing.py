"""The commands that tell persons of new approvals and escalations: started by the watchdog on a Mai's word.

As the one that pages: without a shell, with a line of JSON for each one on its standard input, ended when its time is over. The
Mai who asks is told how it ended; nothing of what was announced stands in the watchdog's journal.
"""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.approval_scope import Approvals
from mai.agents.escalation_scope import Escalations
from mai.agents.job import Job
from mai.agents.program import environment, located
from mai.daemon.door import Caller, Reply, refusal
from mai.daemon.paging import OUTPUT_BYTES, serve
from mai.sandbox.errors import Refused, UsageFault

if TYPE_CHECKING:
    from mai.agents.organisation import Organisation
    from mai.daemon.watchdog import Watchdog

MOST: Final = 4  # commands at once


class Announcer:
    """The commands that are under way, each with the Mai who waits for it."""

    def __init__(self, watchdog: "Watchdog", organisation: "Organisation") -> None:
        self._watchdog = watchdog
        self._settings: dict[str, Approvals | Escalations] = {}
        self._base = Path()
        self._jobs: list[tuple[Caller, Job]] = []
        self.take_up(organisation)

    def take_up(self, organisation: "Organisation") -> None:
        """Announce by another organisation from now on."""
        self._settings = {"approvals": organisation.approvals, "escalations": organisation.escalation}
        self._base = Path(organisation.base)

    def take(self, caller: Caller, request: Reply) -> None:
        """Start the command for a Mai; she is answered when it has ended. Raises UsageFault, Refused."""
        client, lines, what = request.get("client"), request.get("lines"), request.get("what")
        settings = self._settings.get(what) if isinstance(what, str) else None
        if not isinstance(client, str) or not isinstance(lines, list) or settings is None:
            raise UsageFault("there is nothing to announce")
        mai = self._watchdog.wards.get(f"{client}/mai")
        if mai is None or not mai.case.pid or caller.pid != mai.case.pid:
            raise Refused(f"process {caller.pid} is not the Mai of {client[:40]!r}")
        if not settings.announce:
            raise Refused(f"the organisation names no command that announces {what}")
        if len(self._jobs) >= MOST:
            raise Refused(f"{MOST} commands are under way", "ask again later")
        self._jobs.append((caller, self._job(settings, lines)))

    def _job(self, settings: Approvals | Escalations, lines: list[Any]) -> Job:
        command = located(settings.announce, self._base)
        given = b"".join(msgspec.json.encode(one) + b"\n" for one in lines)
        try:
            return Job(
                command, given, where=self._watchdog.place.watchdog, environment=environment(),
                limit_s=settings.announce_s, limit_bytes=OUTPUT_BYTES,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise Refused(f"the command {command[0]} cannot be started: {error}") from None

    def turn(self) -> None:
        """Answer those whose command has ended."""
        left: list[tuple[Caller, Job]] = []
        for caller, job in self._jobs:
            serve(job)
            job.tend()
            if not job.outcome:
                left.append((caller, job))
            elif job.outcome.refused:
                caller.answer(refusal(Refused(f"the command {job.outcome.refused}")))
            else:
                caller.answer({"announced": True})
        self._jobs = left

    @property
    def busy(self) -> bool:
        """Is a command under way?"""
        return bool(self._jobs)

    def close(self) -> None:
        """End what is under way."""
        for _, job in self._jobs:
            with contextlib.suppress(OSError):
                job.end("the watchdog ends")
