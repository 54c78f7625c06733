"""A request that waits until the test lets it go on: the porter of tests/small.py opens when somebody writes into his FIFO."""

import os
from pathlib import Path

from tests.small import Daemon


def gate(daemon: Daemon) -> Path:
    """The FIFO that the porter waits at; whoever writes a word into it lets him answer."""
    path = daemon.place.home("acme/support") / "files" / "gate"
    if not path.exists():
        os.mkfifo(path)
    return path


def waits(daemon: Daemon, request: str) -> bool:
    """Is an agent of support at work for this request? Its journal says so; a queue's length may still be another's."""
    return any(body["request"] == request for _, body in daemon.journal("acme/support", "task.begun"))
