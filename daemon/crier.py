"""What has new approvals and escalations announced: Mai's way to the watchdog's door, which starts the command.

She never waits for it. A few at a time go in one request; the answer says how the command has ended. One that failed is tried
again later, a few times; each end is on record. What was under way when Mai died is announced once more.
"""

import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from mai.daemon.pending import TRIES
from mai.sandbox.place import short

AT_ONCE: Final = 20
AGAIN_S: Final = 5.0  # before the next try, each time twice as long
AWAY_S: Final = 1.0  # between two looks for a watchdog that is away
LONGEST: Final = 1 << 16


class Cried(NamedTuple):
    """How the announcing of one has ended."""

    id: str
    well: bool
    text: str
    tries: int


class Crier:
    """One client's, for one kind of things: "approvals", "escalations"."""

    def __init__(self, path: Path, client: str, what: str, wanted: bool) -> None:
        """`wanted`: does the organisation name a command?"""
        self._path, self._client, self._what, self.wanted = path, client, what, wanted
        self._socket: socket.socket | None = None
        self._heard = b""
        self._said: tuple[str, ...] = ()  # ids that are being announced
        self._tries: dict[str, int] = {}
        self._next_s = 0.0

    def ready(self, now_s: float) -> bool:
        """May more be said?"""
        return self.wanted and not self._said and now_s >= self._next_s

    def cry(self, told: Sequence[dict[str, Any]], now_s: float) -> None:
        """Have these announced; what is committed may be told, and nothing else."""
        if told and not self._say(told):
            self._next_s = now_s + AWAY_S

    def _say(self, told: Sequence[dict[str, Any]]) -> bool:
        line = json.dumps({"do": "announce", "client": self._client, "what": self._what, "lines": told}).encode() + b"\n"
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            made.connect(short(self._path))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(line) * 2)
            whole = made.send(line) == len(line)
        except OSError:
            whole = False
        if not whole:
            made.close()
            return False
        self._socket, self._heard, self._said = made, b"", tuple(one["id"] for one in told)
        return True

    def listen(self, now_s: float) -> list[Cried]:
        """How the command has ended, if it has."""
        if self._socket is None:
            return []
        try:
            data = self._socket.recv(LONGEST)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        self._heard += data
        if data and b"\n" not in self._heard:
            return []
        return self._ended(now_s)

    def _ended(self, now_s: float) -> list[Cried]:
        reply: dict[str, Any] = {"error": "the watchdog went away"}
        with suppress(ValueError):
            reply = json.loads(self._heard)
        said, well, text = self._said, "announced" in reply, str(reply.get("error", ""))[:500]
        self.close()
        for ident in said:
            self._tries[ident] = self._tries.get(ident, 0) + 1
        found = [Cried(ident, well, text or "the command has ended well", self._tries[ident]) for ident in said]
        self._next_s = 0.0 if well else now_s + AGAIN_S * 2 ** (min(self._tries.get(one, 1) for one in said) - 1)
        for ident in said:
            if well or self._tries[ident] >= TRIES:
                del self._tries[ident]
        return found

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
        self._socket, self._said = None, ()
