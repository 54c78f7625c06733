"""What there is on the host besides the daemon, and could be reached from inside: files, sockets, ports, queues, keys.

All of it belongs to the daemon's user, says `token` to whoever gets at it, and is bound to loopback or named `mai-escape-…`.
"""

import contextlib
import ctypes
import os
import secrets
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from tests.escape_kit import libc, syscall

IPC_CREAT, IPC_RMID, USER_KEYRING = 0o1000, 0, -4
KEYCTL_SETPERM, KEYCTL_UNLINK = 5, 9


class Host:
    """Opened for one configuration, closed afterwards."""

    def __init__(self, directory: Path) -> None:
        self.token = secrets.token_hex(16)
        self.name = f"mai-escape-{self.token[:8]}"
        self.directory = directory
        self.heard: list[bytes] = []  # by UDP, and by those who connected
        self.handed = 0  # descriptors that came
        self.lacking: list[str] = []  # what this host does not offer
        self._made: list[int] = []
        self._open: list[Any] = []
        self._selector = selectors.DefaultSelector()
        self._files()
        self._sockets()
        self._shared()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    # -- files
    def _files(self) -> None:
        private = self.directory / "private"
        private.write_text(self.token)
        private.chmod(0o600)
        self.files = {
            "host_file": private,
            "tmp_file": Path(tempfile.gettempdir(), self.name),
            "shm_file": Path("/dev/shm", self.name),
        }
        for path in list(self.files.values())[1:]:
            path.write_text(self.token)
            path.chmod(0o666)

    # -- sockets
    def _sockets(self) -> None:
        self.socket_path = self.directory / "host.sock"
        self.port = self._listen(socket.AF_INET, ("127.0.0.1", 0))
        self.port6 = self._listen(socket.AF_INET6, ("::1", 0))
        self._listen(socket.AF_UNIX, str(self.socket_path))
        self.socket_path.chmod(0o777)
        self._listen(socket.AF_UNIX, "\0" + self.name)
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("127.0.0.1", 0))
        self.udp_port = one.getsockname()[1]
        self._selector.register(one, selectors.EVENT_READ, self._datagram)
        self._open.append(one)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.free_port = free.getsockname()[1]

    def _listen(self, family: int, address: Any) -> int:
        try:
            one = socket.socket(family)
            one.bind(address)
            one.listen(100)
        except OSError as error:
            self.lacking.append(f"{address}: {error}")
            return 1
        self._selector.register(one, selectors.EVENT_READ, self._accept)
        self._open.append(one)
        return int(one.getsockname()[1]) if family != socket.AF_UNIX else 0

    def _serve(self) -> None:
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            while self._open:
                for key, _ in self._selector.select(0.2):
                    with contextlib.suppress(OSError):
                        key.data(key.fileobj)

    def _datagram(self, one: socket.socket) -> None:
        self.heard.append(one.recv(2000))

    def _accept(self, one: socket.socket) -> None:
        other, _ = one.accept()
        with other:
            other.settimeout(1)
            other.sendall(self.token.encode())
            if one.family == socket.AF_UNIX:
                data, descriptors, _, _ = socket.recv_fds(other, 100, 4)
                self.handed += len(descriptors)
                for descriptor in descriptors:
                    os.close(descriptor)
            else:
                data = other.recv(100)
            self.heard.append(data)

    # -- System V, POSIX, keys
    def _shared(self) -> None:
        self.sysv_key = int(self.token[:7], 16) + 1
        self.segment = self.queue = self.semaphore = self.key = self.posix = -1
        with self._may("System V"):
            self.segment = syscall("shmget", self.sysv_key, 64, IPC_CREAT | 0o600)
            place = libc.shmat(self.segment, None, 0)
            ctypes.memmove(place, self.token.encode(), 32)
            self.semaphore = syscall("semget", self.sysv_key, 1, IPC_CREAT | 0o600)
            self.queue = syscall("msgget", self.sysv_key, IPC_CREAT | 0o600)
        with self._may("POSIX queue"):
            self.posix = syscall("mq_open", self.name.encode(), os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, 0o600, None)
        with self._may("keyring"):
            self.key = syscall("add_key", b"user", self.name.encode(), self.token.encode(), 32, USER_KEYRING)
            syscall("keyctl", KEYCTL_SETPERM, self.key, 0x3F3F0000)

    @contextlib.contextmanager
    def _may(self, what: str) -> Any:
        try:
            yield
        except OSError as error:
            self.lacking.append(f"{what}: {error}")

    def fill(self) -> None:
        """A message in each queue, which an attempt may take."""
        with self._may("queue"):
            data = (1).to_bytes(8, sys.byteorder) + self.token.encode()
            libc.msgsnd(self.queue, data, ctypes.c_size_t(32), 0o4000)
            libc.mq_send(self.posix, self.token.encode(), ctypes.c_size_t(32), 0)

    # -- what is told and asked
    def known(self) -> dict[str, Any]:
        """Where everything is."""
        return {
            **{name: str(path) for name, path in self.files.items()},
            "host_socket": str(self.socket_path), "abstract": self.name, "abstract_free": f"{self.name}-free",
            "offered": str(self.directory / "offered.sock"), "port": self.port, "port6": self.port6, "udp_port": self.udp_port,
            "free_port": self.free_port, "sysv_key": self.sysv_key, "queue": self.name, "key": self.name,
            "survivor": self.token[:12],
        }  # fmt: skip

    def secret(self, name: str) -> str:
        """What only the host knows."""
        match name:
            case "abstract_name":
                return self.name
            case "interface":
                return "lo"
            case "port_hex":
                return f"0100007F:{self.port:04X}"
        assert name == "host", name
        return self.token

    def close(self) -> None:
        """Everything is gone."""
        opened, self._open = self._open, []
        self._thread.join(5)
        for one in opened:
            one.close()
        for path in list(self.files.values())[1:]:
            with contextlib.suppress(OSError):
                path.unlink()
        with contextlib.suppress(OSError):
            syscall("shmget", self.sysv_key, 64, 0)
            libc.shmctl(self.segment, IPC_RMID, None)
            libc.semctl(self.semaphore, 0, IPC_RMID)
            libc.msgctl(self.queue, IPC_RMID, None)
        for name in (self.name, "mai-escape-hoard"):
            libc.mq_unlink(b"/" + name.encode())
        if self.posix >= 0:
            os.close(self.posix)
        if self.key >= 0:
            with contextlib.suppress(OSError):
                syscall("keyctl", KEYCTL_UNLINK, self.key, USER_KEYRING)


def processes_named(name: str) -> list[int]:
    """The pids of processes of this name, as ps sees them."""
    found = subprocess.run(["ps", "-eo", "pid=,comm="], capture_output=True, text=True, check=False).stdout
    return [int(line.split()[0]) for line in found.splitlines() if line.split()[1:] == [name[:15]]]
