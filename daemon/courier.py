"""What takes Mai's orders for remedies to the watchdog's door, and never waits for it.

The answer comes with the watchdog's records (bridge.py), once it is on its disk: what is said at the door is not listened to.
An order that has no answer yet is said again from time to time; the watchdog knows it by its id.
"""

import json
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from mai.daemon.cases import RemedyOrder
from mai.sandbox.place import short

AGAIN_S: Final = 2.0  # before an order without an answer is said again
LOOK_S: Final = 0.9  # between two looks for a watchdog that is away


class Courier:
    """One client's way to the watchdog."""

    def __init__(self, path: Path, client: str) -> None:
        self._path, self._client = path, client
        self._socket: socket.socket | None = None
        self._look_s = 0.0
        self._said: dict[str, float] = {}  # order -> when it may be said again

    def carry(self, orders: Iterable[RemedyOrder], now_s: float) -> None:
        """Say each order that is due; what is committed may be called here, and nothing else."""
        open_ = {order.id: order for order in orders}
        if not open_:
            return self.close()
        self._said = {ident: at_s for ident, at_s in self._said.items() if ident in open_}
        self._listen()
        for ident, order in open_.items():
            if now_s >= self._said.get(ident, 0.0) and self._say(order, now_s):
                self._said[ident] = now_s + AGAIN_S

    def _say(self, order: RemedyOrder, now_s: float) -> bool:
        if self._socket is None and not self._connect(now_s):
            return False
        assert self._socket is not None, "connected a moment ago"
        line = json.dumps(said(self._client, order)).encode() + b"\n"
        try:
            whole = self._socket.send(line) == len(line)
        except OSError:
            whole = False
        if not whole:  # a part of a line must not stand before the next one
            self.close()
        return whole

    def _connect(self, now_s: float) -> bool:
        if now_s < self._look_s:
            return False
        self._look_s = now_s + LOOK_S
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            made.connect(short(self._path))
        except OSError:
            made.close()
            return False
        self._socket = made
        return True

    def _listen(self) -> None:
        """What the door says is let go; that it has gone is noticed."""
        try:
            while self._socket is not None and self._socket.recv(1 << 16):
                pass
            self.close()
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def close(self) -> None:
        """Hang up; what has no answer yet is said again."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
        self._socket = None
        self._said.clear()


def said(client: str, order: RemedyOrder) -> dict[str, object]:
    """An order as the watchdog takes it."""
    return {
        "do": "remedy", "id": order.id, "client": client, "remedy": order.remedy, "target": order.target, "given": order.given,
        "by": order.agent, "why": order.why, "request": order.request,
    }  # fmt: skip
