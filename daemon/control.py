"""The supervisor's remote control, XML-RPC on its unix socket: what `supervisorctl` uses, and the namespace `mai` beside it.

Standard library only, because every command and each restart of the watchdog pays for the imports.
"""

import http.client
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any

import msgspec

from mai.sandbox.errors import MaiError, NotRunning
from mai.sandbox.place import short
from mai.sandbox.proof import shown


class Fact(msgspec.Struct, frozen=True):
    """What the supervisor knows of one process."""

    name: str
    pid: int  # 0: does not run
    state: str  # supervisord's own: STOPPED STARTING RUNNING BACKOFF STOPPING EXITED FATAL UNKNOWN
    spawns: int  # how often it was started since the supervisor runs
    age_s: float  # since the last start


class Facts(msgspec.Struct, frozen=True):
    """What the supervisor knows."""

    pid: int
    boot: str  # which start of the supervisor this is
    stopping: bool  # the ordered stop was asked for
    processes: tuple[Fact, ...]


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__()
        self._path, self._timeout_s = path, timeout_s

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        _, self._extra_headers, _ = self.get_host_info(host)  # the proof
        connection = self._connection[1] or _Connection(self._path, self._timeout_s)
        self._connection = host, connection  # kept for the next call; the base class forgets it after an error
        return connection


class Control:
    """One connection to the supervisor. Each call raises NotRunning if it does not answer, MaiError if it says no."""

    def __init__(self, path: Path, timeout_s: float = 5.0) -> None:
        self._proxy = xmlrpc.client.ServerProxy(
            f"http://mai:{shown(path.parent)}@localhost", transport=_Transport(short(path), timeout_s)
        )

    def _call(self, method: str, *args: object) -> Any:
        try:
            return getattr(self._proxy, method)(*args)
        except xmlrpc.client.Fault as error:
            raise MaiError(f"the supervisor says: {error.faultString}") from error
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            self._proxy("close")()
            raise NotRunning(f"the supervisor does not answer: {error}", "start it with: mai up") from error

    def processes(self) -> Facts:
        """All processes as the supervisor sees them."""
        return msgspec.convert(self._call("mai.processes"), Facts)

    def start(self, name: str) -> int:
        """Spawn a process; returns its pid, also if it runs already."""
        return int(self._call("mai.start", name))

    def stop(self, name: str) -> None:
        """SIGTERM, and SIGKILL if it takes too long. Does not wait."""
        self._call("mai.stop", name)

    def signal(self, name: str, number: int) -> None:
        """Any signal, to the process of that name as it is now: no pid can be mistaken."""
        self._call("mai.signal", name, int(number))  # an enum does not cross

    def try_out(self) -> Any:
        """What the organisation file says now is laid down as `tried`; the reply holds an `error` if it has faults."""
        return self._call("mai.try_out")

    def adopt(self, stage: str) -> None:
        """Run the organisation of this stage from now on; see adopting.py."""
        self._call("mai.adopt", stage)

    def report(self, ready: bool, status: str) -> None:
        """Tell systemd, through the supervisor, how the whole is."""
        self._call("mai.report", ready, status)

    def down(self) -> None:
        """Ask for the ordered stop of everything."""
        self._call("mai.down")

    def finish(self) -> None:
        """The ordered stop is done: end what is left, the watchdog and the supervisor."""
        self._call("mai.finish")
