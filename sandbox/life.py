"""How a process lives and ends: with its parent, on a signal that its poll loop sees, and never without a traceback."""

import contextlib
import ctypes
import faulthandler
import os
import signal
import stat
import sys
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1  # prctl(2)
TRACEBACK_BYTES = 64 << 10  # of what a death has left
ABORTED = int(signal.SIGABRT)  # the exit status of a process that was aborted in a pid namespace of its own
EX_OSERR = 71  # sysexits.h: the host does not give what it gave before
EX_CONFIG = 78  # sysexits.h: a restart will not make it better
EX_TEMPFAIL = 75  # sysexits.h: the disk is in the way just now; a later start may find it better

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """From now on a SIGKILL comes when the parent dies; ends the process at once if it has died already.

    `parent` is its pid, taken by the parent before the fork. Has to be called after setuid, which clears it, and in a
    child of the parent's main thread: it is the death of the forking thread that counts, prctl(2).
    """
    if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(1)


def leave_traceback() -> None:
    """SIGABRT, and every fatal signal, writes the traceback of each thread on standard error before the process ends.

    The first process of a pid namespace gets no default action of a signal, so abort() would leave it at work. faulthandler
    gives SIGABRT on to what was there before: that is _exit(2) then, with the signal's number as its status (`ABORTED`).
    """
    if os.getpid() == 1:
        _libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
        _libc.signal(signal.SIGABRT, ctypes.cast(_libc._exit, ctypes.c_void_p))
    faulthandler.enable()


def keep_traceback(home: Path) -> str:
    """The traceback that the last death in this directory left, which now also goes to standard error; "" if it left none.

    From now on they are left there, so that the next life can say what the last one died of. The directory has to be ours.
    SIGKILL and os._exit leave none.
    """
    descriptor = os.open(home / "traceback", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    left = os.pread(descriptor, TRACEBACK_BYTES, 0).decode(errors="replace").strip()
    if left:
        with contextlib.suppress(OSError, ValueError):
            print(f"the last life of this process ended so:\n{left}", file=sys.stderr, flush=True)
        os.ftruncate(descriptor, 0)
    faulthandler.enable(descriptor)
    return left


def stdin_to_watch() -> int | None:
    """The descriptor whose end means that the parent is gone: standard input, if the parent holds the other end."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return None
    return 0 if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None


def stdin_ended() -> bool:
    """To be called when descriptor 0 is readable: is it its end? What else may lie there is thrown away."""
    try:
        return not os.read(0, 4096)
    except (BlockingIOError, InterruptedError):
        return False
    except OSError:
        return True


class Signals:
    """SIGTERM and SIGINT as something to poll: `fileno()` gets readable, `stop_asked` counts them.

    A handler alone does not wake a loop: since PEP 475 poll() goes on waiting after EINTR. One per process.
    """

    def __init__(self, *others: signal.Signals) -> None:
        """`others`: further signals that only wake the loop."""
        self.stop_asked = 0
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        for number in others:
            signal.signal(number, self._wake)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))  # blocked for us until here, see outer.py

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.stop_asked += 1

    def _wake(self, number: int, frame: FrameType | None) -> None:
        pass

    def fileno(self) -> int:
        """To poll for reading."""
        return self._reader

    def drain(self) -> bytes:
        """The numbers of the signals since the last time, one byte each; the descriptor is quiet afterwards."""
        try:
            return os.read(self._reader, 4096)
        except BlockingIOError:
            return b""

    def wake(self) -> None:
        """Make the descriptor readable, so that the next poll returns at once."""
        os.write(self._writer, b"\0")

    def close(self) -> None:
        """Leave the signals to their handlers."""
        signal.set_wakeup_fd(-1)
        os.close(self._reader)
        os.close(self._writer)
