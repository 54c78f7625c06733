"""One child process for one call: all it needs on its standard input, its result on its standard output. Never blocks.

It has a process group, a directory and a clean environment of its own, so much time and so much room for its output. What
it started is ended with it, as far as that has stayed in its group.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from mai.agents.pipes import Pipe
from mai.agents.plain import readable
from mai.sandbox.cell import Cell
from mai.sandbox.life import die_with_parent
from mai.sandbox.orphans import done, mine

CHUNK_BYTES: Final = 1 << 16  # taken at once: whoever writes without end does not hold us
LEFT_CHUNKS: Final = 17  # a pipe holds no more, unless root has made it larger
LOG_BYTES: Final = 1 << 16  # of its standard error that goes to our log
TAIL_BYTES: Final = 4096  # of its standard error that a reason is looked for in
LONGEST_LINE: Final = 400  # of that reason


class Outcome(NamedTuple):
    """How a job ended: its output, or why there is none; `late` if it was ended by force, done or not."""

    output: bytes
    refused: str = ""
    late: bool = False


class Job:
    """One running child. `outcome` is there once it has ended."""

    def __init__(
        self, command: list[str], given: bytes, *,
        where: Cell | Path, environment: dict[str, str], limit_s: float, limit_bytes: int,
    ) -> None:  # fmt: skip
        """Start it in a cell, which is used up, or without walls in a directory. Raises OSError or ValueError."""
        self.outcome: Outcome | None = None
        self.until_s = time.monotonic() + limit_s
        self._limit_s, self._limit_bytes = limit_s, limit_bytes
        self._given, self._output, self._errors = memoryview(given), bytearray(), bytearray()
        self._logged = 0
        self._process = _started(command, where, environment)
        streams = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._stdin, self._stdout, self._stderr = (stream.fileno() for stream in streams if stream)
        for descriptor in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(descriptor, False)
        self._open = {self._stdin, self._stdout, self._stderr}
        mine(self._process.pid)
        self._pidfd = os.pidfd_open(self._process.pid)
        self._write()

    @property
    def ended(self) -> bool:
        """Has it?"""
        return self.outcome is not None

    def pipes(self) -> list[Pipe]:
        """What it waits for; nothing once it has ended."""
        if self.outcome:
            return []
        serves = ((self._stdin, True, self._write), (self._stdout, False, self._read), (self._stderr, False, self._listen))
        return [Pipe(self._pidfd, False, self._leave), *(Pipe(*one) for one in serves if one[0] in self._open)]

    def wait_ms(self) -> int:
        """How long a loop may wait for its pipes."""
        return 0 if self.outcome else max(0, int((self.until_s - time.monotonic()) * 1000) + 1)

    def tend(self) -> None:
        """End it if its time is over."""
        if not self.outcome and time.monotonic() >= self.until_s:
            self.end(f"did not end within {self._limit_s:g} s")

    def end(self, why: str) -> None:
        """End it by force, with what it started."""
        if not self.outcome:
            self._close()
            self.outcome = Outcome(b"", why, late=True)

    # -- its pipes
    def _write(self) -> None:
        try:
            while self._given and self._stdin in self._open:
                self._given = self._given[os.write(self._stdin, self._given) :]
        except BlockingIOError:
            return
        except OSError:
            pass  # it reads no more, which is its own affair
        self._shut(self._stdin)

    def _read(self) -> None:
        data = self._take(self._stdout)
        self._output += data
        if len(self._output) > self._limit_bytes:
            self.end(f"wrote more than {self._limit_bytes} bytes, which is the limit")

    def _listen(self) -> None:
        """Its standard error is for the log, and its last line may say why it failed."""
        data = self._take(self._stderr)
        self._errors = (self._errors + data)[-TAIL_BYTES:]
        if shown := data[: max(LOG_BYTES - self._logged, 0)]:
            self._logged += len(shown)
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(shown.decode(errors="replace"))
                sys.stderr.flush()

    def _take(self, descriptor: int) -> bytes:
        if descriptor not in self._open:
            return b""
        try:
            data = os.read(descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return b""
        if not data:
            self._shut(descriptor)
        return data

    def _shut(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.discard(descriptor)
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                if stream and not stream.closed and stream.fileno() == descriptor:
                    with contextlib.suppress(OSError):
                        stream.close()

    # -- its end
    def _leave(self) -> None:
        """It has ended by itself: what it left in its pipes is its result."""
        if self.ended or not self._drain():
            return
        self._close()
        status = self._process.returncode
        last = readable(self._errors.decode(errors="replace").strip().rpartition("\n")[2], LONGEST_LINE)
        if status == 0:
            self.outcome = Outcome(bytes(self._output))
        elif status > 0:
            self.outcome = Outcome(b"", f"exited with status {status}" + (f": {last}" if last else ""))
        else:
            self.outcome = Outcome(b"", f"was ended by signal {-status}", late=True)

    def _drain(self) -> bool:
        """Take what its pipes still hold; False if that was too much."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what it started and left writes no more
        for _ in range(LEFT_CHUNKS):
            for descriptor, take in ((self._stdout, self._read), (self._stderr, self._listen)):
                if descriptor in self._open and _readable(descriptor):
                    take()
        return not self.ended

    def _close(self) -> None:
        """Before it is waited for its group is its own; afterwards the number may be somebody else's."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        done(self._process.pid)
        os.close(self._pidfd)
        for descriptor in tuple(self._open):
            self._shut(descriptor)


def _started(command: list[str], where: Cell | Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    parent = os.getpid()
    home, more, enter = (where.home, where.environment, where.enter) if isinstance(where, Cell) else (where, {}, die_with_parent)
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
            cwd=home, env={**environment, **more},
            preexec_fn=lambda: enter(parent),  # noqa: PLW1509  a few system calls that were prepared
        )  # fmt: skip
    finally:
        if isinstance(where, Cell):
            where.close()


def _readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
