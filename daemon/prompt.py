"""Where a person types, line by line, and what is shown above his line meanwhile.

readline is not made for threads: who draws from another one takes its line in the middle of a change, and half of it stays.
So who has something to show hands it to the main thread by a signal, and that one has readline draw between two keys.
"""

import ctypes
import os
import signal
import sys
import threading
from collections import deque
from types import FrameType
from typing import Final

import click

from mai.daemon.terminal import on_terminal

CALL: Final = signal.SIGURG  # ignored by who does not expect it, so a late one harms nobody
AGAIN_S: Final = 0.02  # a signal that comes just before readline waits does not wake it: then once more
EDITING: Final = 0x80000  # RL_STATE_CALLBACK: between the prompt and the end of the line


class Prompt:
    """A line to type on; without a terminal there is nothing but the lines. Made and read in the main thread."""

    def __init__(self, text: str) -> None:
        self.typing = sys.stdin.isatty() and on_terminal()
        self._text = text if sys.stdin.isatty() else ""
        self._handed = deque[tuple[str, threading.Event]]()
        self._reading = False
        self._library: ctypes.CDLL | None = None
        if self.typing:
            self._library = _gnu_readline()
            signal.signal(CALL, self._called)

    def line(self) -> str | None:
        """What the person types; None at the end."""
        self._reading = True
        try:
            return input(self._text)
        except EOFError:
            return None
        except KeyboardInterrupt:
            click.echo()
            return None
        finally:
            self._reading = False

    def above(self, text: str) -> None:
        """Show something above the line that is being typed, which stays as it is. May be called from any thread."""
        if not self.typing:
            click.echo(f"{text}\n")
        elif threading.current_thread() is threading.main_thread():
            self._draw(text)
        else:
            drawn = threading.Event()
            self._handed.append((text, drawn))
            while not drawn.is_set():
                signal.pthread_kill(threading.main_thread().ident or 0, CALL)
                drawn.wait(AGAIN_S)

    def _called(self, _number: int, _frame: FrameType | None) -> None:
        while self._handed:
            text, drawn = self._handed[0]
            try:
                self._draw(text)
            finally:  # also if Ctrl-C comes here
                self._handed.popleft()
                drawn.set()

    def _draw(self, text: str) -> None:
        if self._library and ctypes.c_ulong.in_dll(self._library, "rl_readline_state").value & EDITING:
            self._library.rl_clear_visible_line()
            self._library.fflush(None)
            _put(f"{text}\n\n")
            self._library.rl_on_new_line()
            self._library.rl_redisplay()
        elif self._library or not self._reading:
            _put(f"{text}\n\n")
        else:
            import readline

            _put(f"\r\x1b[K{text}\n\n{self._text}{readline.get_line_buffer()}")


def _gnu_readline() -> ctypes.CDLL | None:
    """The library behind Python's module; None if that is another one, as libedit, or does not tell where it lies."""
    import readline

    try:
        library = ctypes.CDLL(readline.__file__)
        for name in ("rl_clear_visible_line", "rl_on_new_line", "rl_redisplay", "rl_readline_state", "fflush"):
            library[name]
    except (AttributeError, OSError):
        return None
    return None if "libedit" in (readline.__doc__ or "") else library


def _put(text: str) -> None:
    """Write it past the buffers, which the main thread may be at when the signal comes."""
    data = text.encode(sys.stdout.encoding, "replace")
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]
