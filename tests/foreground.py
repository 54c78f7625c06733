"""Commands as somebody runs them who sits before a terminal."""

import fcntl
import os
import pty
import signal
import subprocess
import termios

from tests.small import PATIENCE_S, environment


class Foreground:
    """A command on a terminal of its own."""

    def __init__(self, command: list[str]) -> None:
        self.terminal, other = pty.openpty()
        self.process = subprocess.Popen(
            command, env=environment(TERM="xterm"), stdin=other, stdout=other, stderr=other,
            preexec_fn=own_terminal,  # noqa: PLW1509  two system calls
        )  # fmt: skip
        os.close(other)
        self.shown = ""

    def read(self) -> bool:
        """Take in what it shows; false at its end."""
        try:
            data = os.read(self.terminal, 4096)
        except OSError:  # nobody holds the other end any more
            data = b""
        self.shown += data.decode(errors="replace")
        return bool(data)

    def until_shown(self, words: str) -> None:
        """Read until these words are there."""
        try:
            while words not in self.shown:
                assert self.read(), self.shown
        except BaseException as error:
            error.add_note(f"{words!r} is not in {self.shown!r}")
            raise

    def end(self) -> int:
        """Read to the end; the exit status."""
        while self.read():
            pass
        os.close(self.terminal)
        return self.process.wait(PATIENCE_S)


def own_terminal() -> None:
    """Make standard input the controlling terminal: Ctrl-C comes as SIGINT, and SIGHUP is heeded, also if we run under nohup."""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
