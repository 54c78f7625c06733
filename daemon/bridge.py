"""Mai's end of the watchdog's door: she follows its records from the last one that she has, and never waits for it.

`fileno()` goes into Mai's poll: when it is readable, `turn()`. While the watchdog is away it is looked for again with each
heartbeat of hers, which costs no wake-up of its own.
"""

import json
import select
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mai.daemon.door import Reply
from mai.sandbox.place import short

AGAIN_S: Final = 0.9  # between two looks for a watchdog that is away
LINE_BYTES: Final = 4 << 20


class Bridge:
    """One client's ear at the watchdog. `after` is the last record that this Mai has, -1 if she has none."""

    def __init__(self, path: Path, client: str, after: int) -> None:
        self._path, self._client, self._after = path, client, after
        self._watch = select.epoll()
        self._socket: socket.socket | None = None
        self._inbox = bytearray()
        self._again_s = 0.0

    @property
    def there(self) -> bool:
        """Does the watchdog tell us?"""
        return self._socket is not None

    def fileno(self) -> int:
        """To poll for reading; stands for the connection, if there is one."""
        return self._watch.fileno()

    def look(self, now_s: float) -> None:
        """Connect if we are not connected, from time to time."""
        if self._socket is not None or now_s < self._again_s:
            return
        self._again_s = now_s + AGAIN_S
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            made.connect(short(self._path))
            made.sendall(json.dumps({"do": "follow", "client": self._client, "after": self._after}).encode() + b"\n")
        except OSError:
            made.close()
            return
        self._socket = made
        self._watch.register(made, select.EPOLLIN)

    def turn(self) -> list[Reply]:
        """What has been said: `{"standing": ...}` after each new connection, then `{"record": ...}`, in order."""
        said: list[Reply] = []
        try:
            while self._socket is not None and (data := self._socket.recv(1 << 16)):
                self._inbox += data
                *lines, self._inbox = self._inbox.split(b"\n")
                said += [self._heard(json.loads(line)) for line in lines]
                if len(self._inbox) > LINE_BYTES:
                    break
            self._hang_up()
        except BlockingIOError:
            pass
        except (OSError, ValueError, KeyError, TypeError):  # gone, or nothing that a watchdog says
            self._hang_up()
        return said

    def _heard(self, reply: Reply) -> Reply:
        reply.pop("more", None)
        found: dict[str, Any] = reply["record"] if "record" in reply else reply["standing"]
        seq = int(found["seq"])
        if "record" in reply or self._after < 0 or 0 < seq < self._after:
            self._after = seq
        return reply

    def _hang_up(self) -> None:
        with suppress(OSError):
            if self._socket is not None:
                self._socket.close()  # which takes it out of the epoll
        self._socket = None
        self._inbox.clear()

    def close(self) -> None:
        """Hang up for good."""
        self._hang_up()
        self._watch.close()
