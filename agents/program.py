"""One running executable that speaks in lines: lines out, lines in, never blocking the department's loop."""

import contextlib
import os
import select
import signal
import subprocess
from collections import deque
from pathlib import Path
from typing import Any, Final

import msgspec

from mai.sandbox.cell import Cell
from mai.sandbox.orphans import done, mine

LINE_BYTES: Final = 1 << 20
CHUNK_BYTES: Final = 1 << 16  # taken at once: whoever writes without end does not hold us
LEAVING_MS: Final = 250  # from the end of its output to its own end, else it has only closed the one
KEPT: Final = ("PATH", "LANG", "LC_ALL")  # of our environment


def environment() -> dict[str, str]:
    """What a program of the users' finds of our environment."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}


def located(command: tuple[str, ...], base: Path) -> list[str]:
    """A command whose arguments that are files below `base` are found there."""
    return [str(base / part) if (base / part).is_file() else part for part in command]


class Program:
    """A child in a process group of its own.

    `task` is what it has, `free` whether it has answered it, `closed` says why there will be no further line.
    """

    def __init__(self, agent: str, command: tuple[str, ...], cell: Cell, base: Path, line_bytes: int = LINE_BYTES) -> None:
        """Start it in this cell, which is used up; arguments that are files below `base` are found there.

        Raises OSError or ValueError.
        """
        self.agent, self.task, self.free, self.closed = agent, "", True, ""
        self._line_bytes = line_bytes
        self.lines: deque[bytes] = deque()
        self._part = bytearray()
        self._unwritten = bytearray()
        parent = os.getpid()
        try:
            self._process = subprocess.Popen(
                located(command, base), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                cwd=cell.home, process_group=0, env={**environment(), **cell.environment},
                preexec_fn=lambda: cell.enter(parent),  # noqa: PLW1509  a few system calls that were prepared
            )  # fmt: skip
        finally:
            cell.close()
        mine(self._process.pid)
        assert self._process.stdin is not None and self._process.stdout is not None
        self.stdin, self.stdout = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self.stdin, False)
        os.set_blocking(self.stdout, False)

    # -- to it
    def write(self, message: dict[str, Any]) -> None:
        """Owe the program a line; what its pipe does not take now goes out later."""
        self._unwritten += msgspec.json.encode(message) + b"\n"
        self.flush()

    def flush(self) -> None:
        """Write what the pipe takes."""
        try:
            while self._unwritten:
                del self._unwritten[: os.write(self.stdin, self._unwritten)]
        except BlockingIOError:
            pass
        except OSError:
            self._unwritten.clear()  # it has gone: read() says so

    @property
    def stuck(self) -> bool:
        """Does a line wait for room in the pipe?"""
        return bool(self._unwritten)

    # -- from it
    @property
    def wanted(self) -> bool:
        """Should its output be read? Not while it has said what nobody has taken yet."""
        return not self.closed and not self.lines

    def read(self) -> None:
        """Take some of what it has written."""
        try:
            data = os.read(self.stdout, CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._ended()
            return
        *lines, rest = bytes(self._part + data).split(b"\n")
        self._part = bytearray(rest)
        self.lines.extend(line for line in lines if line.strip())
        if len(self._part) > self._line_bytes:
            self.closed = f"wrote a line of more than {self._line_bytes} bytes"

    def quiet(self) -> bool:
        """Is it ready for a task: alive, the last one answered, nothing half said, nothing unread?"""
        if not self.closed:
            self.read()
        return self.free and not (self.closed or self.lines or self._part or self.stuck)

    def _ended(self) -> None:
        half = f" after half a line: {self._part[:80].decode(errors='replace')!r}" if self._part else ""
        left = self._leaving()
        self._end()
        status = self._process.returncode
        if not left:
            self.closed = f"closed its standard output{half}"
        elif status < 0:
            self.closed = f"was ended by signal {-status} before it answered{half}"
        else:
            self.closed = f"exited with status {status} before it answered{half}"

    def _leaving(self) -> bool:
        """Has it ended, or does so now?"""
        descriptor = os.pidfd_open(self._process.pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return bool(poll.poll(LEAVING_MS))
        finally:
            os.close(descriptor)

    def kill(self) -> None:
        """End it and what it started, and give its descriptors back."""
        self._end()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    def _end(self) -> None:
        """Before the program is waited for its group is its own; afterwards the number may be somebody else's."""
        if self._process.returncode is None:
            with contextlib.suppress(OSError):  # it may have left its group
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
            done(self._process.pid)
