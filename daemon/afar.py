"""Commands for who has no right to the ledgers' files: the daemon reads, and its output is printed here as if we had read."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mai.daemon.readings import here, named
from mai.daemon.terminal import on_terminal
from mai.sandbox.errors import FAILED, MaiError
from mai.sandbox.place import Place

if TYPE_CHECKING:
    from mai.daemon.door import Reply

STREAMS = ("tail", "logs")  # that somebody stops listening is an ordinary end of these, see output.py
HELP = frozenset({"-h", "--help"})


def closed(place: Place) -> bool:
    """Is there a state directory here whose ledgers this user may not read?"""
    clients = place.state / "clients"
    try:
        clients.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(clients, os.R_OK | os.X_OK)


def wanted(place: Place, words: Sequence[str]) -> bool:
    """Has the daemon to run this command?"""
    return bool(named(words)) and HELP.isdisjoint(words) and not here(words) and closed(place)


def run(place: Place, words: Sequence[str]) -> int:
    """Have it run, and print what it prints; its exit status. Raises MaiError."""
    try:
        for reply in _replies(place, words, terminal=on_terminal()):
            if "status" in reply:
                return int(reply["status"])
            for name, stream in (("out", sys.stdout), ("err", sys.stderr)):
                if name in reply:
                    stream.buffer.write(_bytes(reply[name]))
                    stream.buffer.flush()
    except KeyboardInterrupt:
        if words[0] not in STREAMS:
            raise
    except BrokenPipeError:
        if words[0] not in STREAMS:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def document(place: Place, *words: str) -> Any:
    """What a command with --json prints. Raises MaiError, with its own sentence if it fails."""
    said = {"out": b"", "err": b""}
    status = FAILED
    for reply in _replies(place, (*words, "--json")):
        status = int(reply.get("status", status))
        for name in said:
            said[name] += _bytes(reply.get(name, ""))
    if status:
        sentence, _, hint = said["err"].decode(errors="replace").strip().partition("\nhint: ")
        error = MaiError(sentence.removeprefix("mai: "), hint)
        error.code = status
        raise error
    return json.loads(said["out"])


def _replies(place: Place, words: Sequence[str], *, terminal: bool = False) -> "Iterator[Reply]":
    from mai.daemon.door import Door, fault  # late: who may read by himself need not wait for it

    for reply in Door(place.door).ask({"do": "read", "command": list(words), "terminal": terminal}):
        if "error" in reply:
            raise fault(reply)
        yield reply


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
