"""The process `metrics`: figures for a collector, by HTTP on a unix socket or on loopback. It reads, and nobody waits for it.

    curl --unix-socket STATE/run/metrics.sock http://localhost/metrics    Prometheus's text
    curl --unix-socket STATE/run/metrics.sock http://localhost/status     `mai status --json`

Connections are served in threads; what they show is made in the work loop, which alone reads the ledgers.

    python -P -m mai.daemon.exporter STATE RUN
"""

import json
import os
import queue
import select
import socket
import socketserver
import sys
import threading
import time
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

import msgspec

from mai.agents.metering import SOCKET
from mai.daemon.door import Door
from mai.daemon.meter import DOOR_S, Meter
from mai.sandbox.confine import confine
from mai.sandbox.errors import MaiError, UsageFault
from mai.sandbox.life import EX_CONFIG, Signals, leave_traceback, stdin_ended, stdin_to_watch
from mai.sandbox.lock import Lock
from mai.sandbox.notify import Notifier
from mai.sandbox.place import Place, short

HEARTBEAT_S: Final = 1.0
ASKED_S: Final = 10.0  # a collector waits for so long
SILENT_S: Final = 5.0  # and may take so long to say what it wants
MOST: Final = 8  # collectors at once
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
JSON: Final = "application/json"


class Asked:
    """What collectors have asked for, on its way to the work loop."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._queue: queue.SimpleQueue[tuple[str, Future[bytes]]] = queue.SimpleQueue()

    def fileno(self) -> int:
        """Readable when there is something."""
        return self._reader.fileno()

    def ask(self, path: str) -> bytes:
        """From a thread: the page. Raises TimeoutError."""
        future: Future[bytes] = Future()
        self._queue.put((path, future))
        self._writer.send(b".")
        return future.result(ASKED_S)

    def take(self) -> tuple[str, "Future[bytes]"]:
        """In the work loop: the next one; there has to be one."""
        self._reader.recv(1)
        return self._queue.get()


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens on a unix socket or on loopback."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, place: Place, listen: str, asked: Asked) -> None:
        """Raises OSError, UsageFault."""
        self.asked, self._room = asked, threading.BoundedSemaphore(MOST)
        if listen == SOCKET:
            self.address_family, path = socket.AF_UNIX, place.metrics
            path.unlink(missing_ok=True)
            super().__init__(short(path), Page)  # type: ignore[arg-type]  # its types know of TCP only
            os.chmod(path, 0o600)
        else:
            host, _, port = listen.rpartition(":")
            super().__init__((host, int(port)), Page)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, if there is room for one more."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Until it is served."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A collector that goes away is no event."""


class Page(BaseHTTPRequestHandler):
    """One collector."""

    timeout = SILENT_S
    server: Server

    def do_GET(self) -> None:
        """Serve `/metrics` or `/status`."""
        path = self.path.partition("?")[0]
        if path not in ("/metrics", "/status"):
            return self.send_error(404, "there are /metrics and /status")
        try:
            data = self.server.asked.ask(path)
        except TimeoutError:
            return self.send_error(503, "the journals are being read")
        self.send_response(200)
        self.send_header("Content-Type", TEXT if path == "/metrics" else JSON)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None

    def address_string(self) -> str:
        """Who asks has no name on a unix socket."""
        return "a collector"

    def log_message(self, format: str, *args: Any) -> None:
        """No line for each look."""


class Exporter:
    """The process."""

    def __init__(self, place: Place) -> None:
        home = place.home("metrics")
        self.place, self.signals, self.notifier = place, Signals(), Notifier()
        self.lock = Lock(home, "metrics", 5.0)
        self.notifier.beat("replaying")
        self.meter, self.asked, self.done = Meter(place), Asked(), 0
        self.server = Server(place, _wanted(home), self.asked)
        self._beat_s, self._progress_ms = 0.0, time.time_ns() // 1_000_000

    def run(self) -> None:
        """Work until asked to stop."""
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        poll, stdin = select.poll(), stdin_to_watch()
        for descriptor in (self.signals.fileno(), self.asked.fileno(), *([] if stdin is None else [stdin])):
            poll.register(descriptor, select.POLLIN)
        more = True
        try:
            while not self.signals.stop_asked:
                ready = {descriptor for descriptor, _ in poll.poll(0 if more else self._beat())}
                if self.signals.fileno() in ready:
                    self.signals.drain()
                if stdin is not None and stdin in ready and stdin_ended():
                    break
                more = self.meter.step() if more else False
                if self.asked.fileno() in ready and not more:
                    self._serve()
                self._beat()
        finally:
            self.notifier.stopping("asked to stop")
            self.server.socket.close()

    def _serve(self) -> None:
        path, future = self.asked.take()
        if path == "/metrics":
            future.set_result(self.meter.all().text().encode())
        else:
            future.set_result(json.dumps(self._status()).encode())
        self.done, self._progress_ms = self.done + 1, time.time_ns() // 1_000_000

    def _status(self) -> dict[str, Any]:
        try:
            return Door(self.place.door, DOOR_S).call({"do": "status"})
        except MaiError as error:
            return {"error": error.sentence, "hint": error.hint}

    def _beat(self) -> int:
        """Say how we are if it is due; the milliseconds until it is due again."""
        now_s = time.monotonic()
        if now_s >= self._beat_s:
            self._beat_s = now_s + HEARTBEAT_S
            self.notifier.beat("ready", done=self.done, progress_ms=self._progress_ms, status=f"{self.done} looks")
        return max(1, int((self._beat_s - now_s) * 1000))


def _wanted(home: Path) -> str:
    """Where to listen. Raises UsageFault."""
    try:
        return msgspec.json.decode((home / "settings").read_bytes(), type=dict[str, str])["listen"]
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        hint = "start the process through the daemon: mai up"
        raise UsageFault(f"{home / 'settings'} cannot be read: {error}", hint) from None


def main(arguments: list[str]) -> int:
    """Run the process to its end; returns the exit status, 78 if a restart would not help."""
    leave_traceback()
    confine()
    state, run = arguments
    try:
        Exporter(Place(state, run)).run()
    except MaiError as error:
        print(f"metrics: {error.sentence}; {error.hint}", file=sys.stderr, flush=True)
        return EX_CONFIG
    except OSError as error:  # the address is taken, or cannot be had: it may be free later
        print(f"metrics: cannot listen: {error.strerror or error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
