"""The tools process of a client: tools that need the network, each call in a child process of its own (net_tool.py).

python -P -m mai.daemon.tools STATE RUN client/tools
"""

import os
import sys

import msgspec

from mai.agents import channels
from mai.agents.cells import ours
from mai.agents.decider import room_bytes
from mai.agents.events import Event
from mai.agents.job import Job
from mai.agents.linked import Linked
from mai.agents.loop import run_process
from mai.agents.plain import NotPlain, plain
from mai.agents.program import environment
from mai.agents.shell import Shell, now_ms
from mai.daemon.net_tool import CERTIFICATES, Given, Result
from mai.daemon.tooling import Happened, Lost, OpenUse, ToolEnded, ToolsDecider, Wanted
from mai.sandbox.cell import Cell
from mai.sandbox.place import Place

CHILD = (sys.executable, "-P", "-m", "mai.daemon.net_tool")
START_S = 5.0  # for a child to load; it keeps the tool's own time itself
AROUND_BYTES = 1 << 12  # of a result's line, around the value


class ToolsProcess(Linked):
    """The tools that need the network, at work; at most `limits.running` calls at once."""

    decider: ToolsDecider
    folds_messages = True

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name)
        self.decider = self.blank()
        self.files = self.home / "files"
        self.value_bytes = room_bytes(self.limit_bytes)
        self.jobs: dict[str, Job] = {}
        self.dial()
        self.shell = Shell(
            self.ledger,
            self.decider,
            self.organisation.digest,
            self.send,
            seen=self._seen,
            noticed=self.noticed,
            burst=self.burst,
        )
        self._restore()

    def blank(self) -> ToolsDecider:
        """A decider that knows nothing."""
        return ToolsDecider(self.mandate)

    def _restore(self) -> None:
        for key, data in self.ledger.load("use").items():
            self.decider.state.uses[key] = msgspec.json.decode(data, type=OpenUse)
        self.shell.restore()
        self.started()
        for use in list(self.decider.state.uses.values()):
            self.shell.feed(Lost(use.id) if use.attempts else Wanted(use.id))

    def _seen(self, event: Event) -> None:
        if isinstance(event, ToolEnded):
            self.done += 1
            self.progress_ms = now_ms()
            if job := self.jobs.pop(event.task, None):
                job.end("nobody waits for it any more")

    # -- the turn
    def poll(self, wait_ms: int) -> list[tuple[object, int]]:
        """The poll, with the pipes of the calls."""
        pipes = [pipe for job in self.jobs.values() for pipe in job.pipes()]
        return self.poll_with(pipes, min([wait_ms, *(job.wait_ms() for job in self.jobs.values())]))

    def work(self) -> bool:
        """Take what has ended, begin what waits: first on record, then in deed."""
        for ident, job in list(self.jobs.items()):
            job.tend()
            if job.outcome:
                del self.jobs[ident]
                self.shell.feed(self._happened(ident, *job.outcome))
        waiting = (use for use in self.decider.state.uses.values() if use.id not in self.jobs and use.deadline_ms > now_ms())
        begin = [use for use, _ in zip(waiting, range(self.organisation.limits.running - len(self.jobs)), strict=False)]
        for use in begin:
            if not use.doubt:
                self.shell.apply(self.decider.begin(use))
        if begin:
            self.shell.commit()
        for use in begin:
            self._start(use)
        return False

    def _start(self, use: OpenUse) -> None:
        tool = self.decider.tool(use)
        assert tool is not None, "a use that has begun is in its agent's scope"
        files = self.files / use.tool.partition(".")[0]
        key = channels.key_of(use.key)
        given = Given(self.organisation.base, str(files), tool, use.input, key, self.value_bytes, bool(use.doubt))
        certificates = {name: os.environ[name] for name in CERTIFICATES if name in os.environ}
        try:
            cell = Cell(
                files, runs=(self.organisation.base, *ours()), reads=certificates.values(),
                hidden=(self.home, self.place.state, self.place.run), network=True,
            )  # fmt: skip
            self.jobs[use.id] = Job(
                list(CHILD), msgspec.json.encode(given), where=cell, environment={**environment(), **certificates},
                limit_s=tool.timeout_s + START_S, limit_bytes=self.value_bytes + AROUND_BYTES,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            self.shell.feed(Happened(use.id, None, f"the process of the tool {tool.name} cannot be started: {error}", False))

    def _happened(self, ident: str, output: bytes, refused: str, late: bool) -> Happened:
        """What a child has said of its call."""
        tool = self.decider.state.uses[ident].tool
        if refused:
            return Happened(ident, None, f"the process of the tool {tool} {refused}", late)
        try:
            result = msgspec.json.decode(output, type=Result)
            return Happened(ident, plain(result.value, self.value_bytes), result.refused, result.late)
        except (msgspec.MsgspecError, NotPlain, RecursionError) as error:
            return Happened(ident, None, f"the process of the tool {tool} gave no result: {error}", True)

    def queue(self) -> int:
        """Open uses."""
        return len(self.decider.state.uses)

    def close(self) -> None:
        """End the calls, hang up."""
        for job in self.jobs.values():
            job.end("the process ends")
        super().close()


if __name__ == "__main__":
    sys.exit(run_process(sys.argv[1:], ToolsProcess))
