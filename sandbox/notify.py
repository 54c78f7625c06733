"""The child's side of systemd's readiness protocol, sd_notify(3): datagrams to the socket in $NOTIFY_SOCKET.

A heartbeat says everything anew (ready or not, queue, progress), so that whoever listens may be restarted in between. It
comes from the process's own work loop, never from a thread: a stuck loop has to fall silent.
"""

import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from mai.sandbox.confine import walled
from mai.sandbox.place import short


class Notifier:
    """Says how the process is. Never raises and never blocks: while the socket is away or full, the word is lost."""

    def __init__(self, path: str | None = None) -> None:
        """`path`: the socket, by default $NOTIFY_SOCKET; "" to be silent."""
        self.address = _address(os.environ.get("NOTIFY_SOCKET", "") if path is None else path)
        self.interval_s = interval_s()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def ready(self, status: str = "") -> None:
        """Accepting work from now on."""
        self.beat("ready", status=status)

    def beat(
        self,
        state: str,
        *,
        queue: int = 0,
        done: int = 0,
        progress_ms: int = 0,
        commits: int = 0,
        pending: int = 0,
        waits_for: Sequence[str] = (),
        floods: Sequence[str] = (),
        replayed: int = 0,
        head: tuple[int, bytes] = (0, b""),
        keys: str = "",
        status: str = "",
    ) -> None:
        """Alive: `state` is replaying, ready or draining, `progress_ms` the wall clock of the last piece of work done.

        `pending`: all that is not done yet; `waits_for`: processes for which there are messages that were not taken; `floods`:
        processes that have to be stopped, because they flood this one; `replayed`: rows and records that were read back at the
        start; `head`: the journal's last durable record, for the watchdog to sign; `keys`: the digest of the keys that it has
        read. Added are how it is walled, and the descriptors that are open: behind walls nobody else can count them.
        """
        told = {
            "state": state,
            "queue": queue,
            "done": done,
            "progress_ms": progress_ms,
            "commits": commits,
            "pending": pending,
            "waits_for": list(waits_for),
            "floods": list(floods),
            "replayed": replayed,
            "seq": head[0],
            "head": head[1].hex(),
            "keys": keys,
            "files": len(os.listdir("/proc/self/fd")),
            "walls": walled().level,
        }
        self.say(READY="1" if state == "ready" else "", WATCHDOG="1", STATUS=status, X_MAI=json.dumps(told))

    def stopping(self, status: str = "") -> None:
        """On the way out."""
        self.say(STOPPING="1", STATUS=status)

    def say(self, **fields: str) -> None:
        """One datagram of the fields that are not empty. The address is looked up each time: a new listener is found."""
        text = "\n".join(f"{name}={value.replace(chr(10), ' ')}" for name, value in fields.items() if value)
        try:
            if self.address and text:
                self._socket.sendto(text.encode(), self.address)
        except OSError:
            pass  # nobody listens, or the queue is full; the next heartbeat says it again

    def close(self) -> None:
        """Say nothing more."""
        self._socket.close()


def interval_s() -> float:
    """How often a heartbeat is due: half of $WATCHDOG_USEC, as sd_watchdog_enabled(3) advises; 0 if none is wanted."""
    try:
        return int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6
    except ValueError:
        return 0.0


def _address(path: str) -> str:
    """What to send to: an abstract socket, a path that fits into sun_path, or "" for nowhere."""
    if path.startswith("@"):
        return "\0" + path[1:]
    try:
        return path and short(Path(path))
    except OSError:
        return ""
