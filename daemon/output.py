"""Lines that come one after the other on standard output, until they end or nobody wants more."""

import os
import sys
from collections.abc import Iterable


def stream(lines: Iterable[str]) -> None:
    """Print each line as it comes. Ctrl-C and a reader that goes away (`| head`) are ordinary ends."""
    try:
        for line in lines:
            print(line, flush=True)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # The interpreter flushes once more at its end, which must not fail: docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
