"""Which hosts a process may reach: an audit hook on its sockets, which nothing in Python can take away again.

It is a guard against mistakes and against instructions that came in with a text: a tool reaches the hosts in its list,
the addresses that those names resolved to, and nothing else; it opens no other kind of socket, listens nowhere and starts
no program. It is none against hostile native code (ctypes, an extension), which needs no Python to open a socket: that
takes walls of the kernel's.
"""

import _socket
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from mai.agents.hosts import parse, plain_name

PROGRAMS: Final = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "pty.spawn")
LOOKUPS: Final = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
TALKS: Final = ("socket.connect", "socket.sendto", "socket.sendmsg")
INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
Ports = set[int]  # empty: any


class Guard:
    """The hosts of one tool; `learn` adds what their names resolve to."""

    def __init__(self, tool: str, hosts: tuple[str, ...]) -> None:
        self._tool, self._listed = tool, ", ".join(hosts) or "none"
        self._hosts: dict[str, Ports] = {}
        for name, port in filter(None, map(parse, hosts)):
            self._hosts.setdefault(name, set()).add(port)
        self._addresses: dict[str, Ports] = {}

    def allows(self, host: object, port: object) -> bool:
        """May this host be reached at this port? A port that is no number is not known yet."""
        name = plain_name(host.decode(errors="replace") if isinstance(host, bytes | bytearray) else str(host))
        ports = self._hosts.get(name, set()) | self._addresses.get(name, set())
        number = int(port) if isinstance(port, int) or (isinstance(port, str) and port.isdecimal()) else None
        return bool(ports) and (0 in ports or number is None or number in ports)

    def learn(self, host: object, addresses: list[str]) -> None:
        """What a listed name has resolved to may be reached at its ports."""
        name = plain_name(host.decode(errors="replace") if isinstance(host, bytes | bytearray) else str(host))
        for address in addresses:
            self._addresses.setdefault(plain_name(address), set()).update(self._hosts.get(name, ()))

    # -- the hook
    def audit(self, event: str, given: tuple[Any, ...]) -> None:
        """See sys.addaudithook. Raises PermissionError."""
        if event in PROGRAMS:
            self._refuse("starts no programs")
        if not event.startswith("socket."):
            return
        if event == "socket.__new__":
            _, family, kind, _ = given
            if family not in (*INTERNET, socket.AF_UNIX, -1) or kind & 0xF == socket.SOCK_RAW:
                self._refuse(f"opens no socket of the family {family}, type {kind}")
        elif event in LOOKUPS:
            self._look(given[0], given[1] if len(given) > 1 else None)
        elif event in TALKS:
            self._talk(given[0], given[1])
        elif event == "socket.getnameinfo":
            self._look(*given[0][:2])
        elif event == "socket.bind":
            self._refuse("listens nowhere")

    def _look(self, host: object, port: object) -> None:
        if host is None or not self.allows(host, port):
            self._refuse(f"may not reach {_shown(host, port)}")

    def _talk(self, sock: Any, address: Any) -> None:
        if address is None:
            return  # to where it is connected
        if sock.family not in INTERNET or not isinstance(address, tuple) or len(address) < 2:
            self._refuse(f"may not reach the local socket {address!r:.100}")
        elif not self.allows(*address[:2]):
            self._refuse(f"may not reach {_shown(*address[:2])}")

    def _refuse(self, what: str) -> None:
        raise PermissionError(f"the tool {self._tool} {what}; its hosts are {self._listed}")


def _shown(host: object, port: object) -> str:
    name = host.decode(errors="replace") if isinstance(host, bytes | bytearray) else str(host)
    return f"{name:.200}:{port}" if port else f"{name:.200}"


def install(tool: str, hosts: tuple[str, ...]) -> None:
    """From now on this process reaches these hosts only, and for good."""
    guard = Guard(tool, hosts)
    taught: dict[str, Callable[[Any], list[str]]] = {
        "getaddrinfo": lambda found: [str(one[4][0]) for one in found],
        "gethostbyname": lambda found: [found],
        "gethostbyname_ex": lambda found: list(found[2]),
    }
    for name, addresses in taught.items():
        learning = _learning(guard, getattr(_socket, name), addresses)
        setattr(_socket, name, learning)
        if name != "getaddrinfo":  # socket has one of its own, which calls that of _socket
            setattr(socket, name, learning)
    sys.addaudithook(guard.audit)


def _learning(guard: Guard, real: Callable[..., Any], addresses: Callable[[Any], list[str]]) -> Callable[..., Any]:
    def look_up(host: object, *more: Any, **named: Any) -> Any:
        found = real(host, *more, **named)
        guard.learn(host, addresses(found))
        return found

    return look_up
