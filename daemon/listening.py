"""What Mai says while a person sits before his prompt: shown at once above what he is typing, and once.

A thread of the command's own reads the conversation at her door as it grows, and asks again behind the last line that it had
when the door goes away. What answers the person's own requests is shown by who has asked.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from mai.daemon.door import Door, Reply
from mai.sandbox.errors import MaiError

AGAIN_S: Final = 1.0  # between two tries to be let in
BEHIND: Final = 100  # lines that are fetched at once

Line = dict[str, Any]


class Listening:
    """One conversation from a line on. `show` gets each line that nobody else shows, one at a time."""

    def __init__(self, door: Door, asked: Reply, seen: int, show: Callable[[Line], None]) -> None:
        self._door, self._asked, self._seen, self._show = door, asked, seen, show
        self._own = dict[str, list[Line] | None]()  # requests of who asks here: what is kept back; None: all has been shown
        self._lock = threading.Lock()

    def start(self) -> None:
        """Listen in a thread until the command ends."""
        threading.Thread(target=self._listen, name="listening", daemon=True).start()

    def own(self, request: str) -> None:
        """The answer to this request is shown by who asks it."""
        with self._lock:
            self._own[request] = []

    def answered(self, request: str) -> None:
        """Who asks has shown the answer: it is not shown again when it is heard here, and nothing is kept back any more."""
        with self._lock:
            self._own[request] = None

    def left(self, request: str) -> None:
        """Who has asked waits no longer: what has come meanwhile is shown here, and what comes."""
        with self._lock:
            self._tell(self._own.pop(request, None) or ())

    def look(self) -> None:
        """Show what is new by now, for who does not listen in a thread. Raises MaiError."""
        while lines := self._door.call(self._behind())["lines"]:
            self._heard(lines)

    def _behind(self) -> Reply:
        return {**self._asked, "after": self._seen, "last": BEHIND}

    def _listen(self) -> None:
        waits = threading.Event()
        while True:
            with suppress(MaiError):
                for reply in self._door.ask({**self._behind(), "follow": True}):
                    self._heard(reply.get("lines", ()))
            waits.wait(AGAIN_S)

    def _heard(self, lines: Iterable[Line]) -> None:
        with self._lock:
            for line in lines:
                self._seen = line["n"]
                if line["what"] == "later" or line["request"] not in self._own:
                    self._tell([line])
                elif (kept := self._own[line["request"]]) is not None:
                    kept.append(line)

    def _tell(self, lines: Iterable[Line]) -> None:
        for line in lines:
            if line["what"] != "message":
                self._show(line)
