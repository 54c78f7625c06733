"""Mai's end of the embedder's door. It never blocks, and what it has not been told yet, it does not know.

`fileno()` goes into Mai's poll: when it is readable, `turn()`. While the embedder is away it is looked for again.
"""

import json
import select
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mai.daemon.door import Reply, fault
from mai.sandbox.errors import MaiError
from mai.sandbox.place import short

AGAIN_S = 0.2  # between two looks for an embedder that is away
REPLY_BYTES = 4 << 20
LONGEST = 400  # characters of a text: rare ones take 3 ms each, and the embedder hears nobody meanwhile
WAITING = 256  # lists of texts that are asked for and not answered


class Embedding:
    """A set of descriptions, and texts that are to be held against it.

    `why` says why it is not `there`.
    """

    def __init__(self, path: Path, descriptions: Sequence[str]) -> None:
        self._path, self._descriptions = path, list(descriptions)
        self._watch = select.epoll()
        self._socket: socket.socket | None = None
        self._inbox, self._outbox = bytearray(), bytearray()
        self._waiting: deque[list[str]] = deque()  # the first one has been sent
        self._set = ""
        self._again_s = 0.0
        self.why = "the embedder is not there"

    @property
    def there(self) -> bool:
        """Is the embedder there, and does it know the descriptions?"""
        return bool(self._set)

    @property
    def usable(self) -> bool:
        """Does it take texts now?"""
        return self.there and len(self._waiting) < WAITING

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
        except OSError:
            made.close()
            return
        self._socket, self.why = made, "the descriptions are not embedded yet"
        self._watch.register(made, select.EPOLLIN)
        self._say({"do": "describe", "texts": self._descriptions})

    def ask(self, texts: list[str]) -> None:
        """Ask for the cosines of some texts. Not to be called while it is not usable."""
        self._waiting.append(texts)
        if len(self._waiting) == 1:
            self._say({"do": "compare", "set": self._set, "texts": texts})

    def turn(self) -> dict[str, list[float]]:
        """Write and read what can be; the cosines of the texts that were answered."""
        found: dict[str, list[float]] = {}
        try:
            self._flush()
            while self._socket is not None and (data := self._socket.recv(1 << 16)):
                self._inbox += data
                if len(self._inbox) > REPLY_BYTES:
                    break
                while b"\n" in self._inbox:
                    line, _, self._inbox = self._inbox.partition(b"\n")
                    found |= self._heard(json.loads(line))
            self._hang_up("the embedder has gone")  # the end of the stream, or more than it may say
        except BlockingIOError:
            pass
        except MaiError as error:
            self._hang_up(f"the embedder says: {error.sentence}")
        except (OSError, ValueError, KeyError, TypeError):
            self._hang_up("the embedder has gone")
        return found

    def _heard(self, reply: Reply) -> dict[str, list[float]]:
        if "error" in reply:
            raise fault(reply)
        if not self._set:
            self._set = str(reply["set"])
            return {}
        found = dict(zip(self._waiting.popleft(), reply["cosines"], strict=True))
        if any(len(cosines) != len(self._descriptions) for cosines in found.values()):
            raise ValueError("cosines to other descriptions")
        if self._waiting:
            self._say({"do": "compare", "set": self._set, "texts": self._waiting[0]})
        return found

    def _say(self, request: Reply) -> None:
        self._outbox += json.dumps(request).encode() + b"\n"
        with suppress(OSError):  # turn() will find out
            self._flush()

    def _flush(self) -> None:
        if self._socket is None:
            return
        with suppress(BlockingIOError):
            while self._outbox:
                del self._outbox[: self._socket.send(self._outbox)]
        self._watch.modify(self._socket, select.EPOLLIN | (select.EPOLLOUT if self._outbox else 0))

    def _hang_up(self, why: str) -> None:
        if self._socket is not None:
            self._socket.close()  # which takes it out of the epoll
        self._socket, self._set, self.why = None, "", why
        self._inbox.clear()
        self._outbox.clear()
        self._waiting.clear()

    def close(self) -> None:
        """Hang up for good."""
        self._hang_up("closed")
        self._watch.close()
