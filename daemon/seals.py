"""What the watchdog has on record of a client's processes stands there under that client's own key.

Its journal is one for all clients, is never changed, and outlives each of them. What a process printed last, what an agent
wrote as the reason of a remedy, which task was at work: that is the client's, and goes with the key, STATE/clients/NAME/seal
(XSalsa20 and Poly1305, by PyNaCl). In the clear are the names in OPEN: processes, times, numbers, who ordered what.
"""

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.sandbox.durable import write

if TYPE_CHECKING:
    from nacl.secret import SecretBox

OPEN: Final = frozenset({
    "process", "what", "pid", "file", "bound", "wanted", "by", "until_ms", "then", "state", "times", "step", "before", "after",
    "remedy", "figure", "worse", "at_ms", "boot", "certificate", "key", "next", "erasure", "processes", "round",
    "user", "uid", "role", "verb", "count",
})  # fmt: skip
SEALED: Final = "sealed"
UNSEALED: Final = "erasing"  # rows that have to outlive the key
GONE: Final = "(erased with its client)"
NAME: Final = "seal"
KEY_BYTES: Final = 32

Json = dict[str, Any]


class Seals:
    """The keys of all clients of one state directory, each read when it is first needed."""

    def __init__(self, state: Path) -> None:
        self._clients = state / "clients"
        self._boxes: dict[str, SecretBox] = {}

    def make(self, client: str) -> None:
        """See to it that the client has a key. Raises OSError."""
        from nacl.utils import random

        path = self._clients / client / NAME
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(path, random(KEY_BYTES))

    def forget(self, client: str) -> None:
        """Its key is no more."""
        self._boxes.pop(client, None)

    def seal(self, body: Json) -> Json:
        """A record's body for the journal; that of no client's process is left as it is. Without a key less is said."""
        client = client_of(str(body.get("process", "")))
        hidden = {name: value for name, value in body.items() if name not in OPEN}
        if not client or not hidden:
            return body
        clear = {name: value for name, value in body.items() if name in OPEN}
        return {**clear, SEALED: {"names": list(hidden), "box": self._shut(client, hidden)}}

    def open(self, body: Json) -> Json:
        """The same as it was; GONE in the place of what nobody can read any more."""
        found = body.get(SEALED)
        if not isinstance(found, dict) or not isinstance(names := found.get("names"), list):
            return body
        clear = {name: value for name, value in body.items() if name != SEALED}
        hidden = self._opened(client_of(str(body.get("process", ""))), found.get("box"))
        return {**clear, **(hidden if isinstance(hidden, dict) else dict.fromkeys(map(str, names), GONE))}

    def seal_row(self, noun: str, process: str, value: Any) -> Any:
        """A row of state about a process."""
        client = client_of(process)
        return {SEALED: {"process": process, "box": self._shut(client, value)}} if client and noun != UNSEALED else value

    def open_row(self, value: Any) -> Any:
        """The same as it was; None if nobody can read it any more."""
        if not isinstance(value, dict) or not isinstance(found := value.get(SEALED), dict):
            return value
        return self._opened(client_of(str(found.get("process", ""))), found.get("box"))

    def _shut(self, client: str, value: Any) -> str:
        box = self._box(client)
        return base64.b64encode(box.encrypt(msgspec.json.encode(value))).decode() if box else ""

    def _opened(self, client: str, text: object) -> Any:
        """What was sealed; None if the key or the text is not there, or not the right one."""
        from nacl.exceptions import CryptoError

        box = self._box(client)
        if not text or box is None:
            return None
        try:
            return msgspec.json.decode(box.decrypt(base64.b64decode(str(text))))
        except (CryptoError, ValueError, TypeError):
            return None

    def _box(self, client: str) -> "SecretBox | None":
        if client not in self._boxes:
            from nacl.secret import SecretBox

            try:
                key = (self._clients / client / NAME).read_bytes()
            except OSError:
                return None
            if len(key) != KEY_BYTES:
                return None
            self._boxes[client] = SecretBox(key)
        return self._boxes[client]


def client_of(process: str) -> str:
    """Whose process it is; "" for one of the host's."""
    client, slash, _ = process.partition("/")
    return client if slash else ""


def owner(key: str, row: Any) -> str:
    """Whose row of the watchdog's state this is, by its key or its seal; "" for nobody's."""
    found = row.get(SEALED) if isinstance(row, dict) else None
    return client_of(key) or (client_of(str(found.get("process", ""))) if isinstance(found, dict) else "")
