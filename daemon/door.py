"""A door: a unix stream socket where a person's command asks a process, one JSON object a line, and reads the answer.

A request gets one or more replies; each but the last carries `"more": true`. A fault is a reply too: `{"error", "hint",
"code"}`. One request at a time on a connection, as many as the caller likes. Who calls is what the kernel says (peer.py); who has
no role is not let in (roll.py), and what a role may ask is guard.py's. Everything is bounded: a line, a reply that nobody reads,
the connections, and those of one user.
"""

import contextlib
import json
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mai.daemon.rights import HINT, Rights
from mai.daemon.roll import ours, user_of
from mai.sandbox.errors import EXPIRED, FAILED, NOT_RUNNING, REFUSED, USAGE, Expired, MaiError, NotRunning, Refused, UsageFault
from mai.sandbox.peer import Peer, peer_of
from mai.sandbox.place import short
from mai.sandbox.proof import NAME, of_door

LINE_BYTES = 1 << 20  # a request
UNREAD_BYTES = 8 << 20  # replies that the caller does not read
REPLY_BYTES = 64 << 20  # one reply, as the caller accepts it
CALLERS = 256
OF_ONE = CALLERS // 2  # of one user who is no administrator
MOST_AGAIN = 10  # times that one request is asked
BACKLOG = 1024  # not let in yet
CONNECT_S = 10.0  # a caller waits so long until there is room in that queue
STRANGERS = 64  # turned away in one turn, so that who floods the queue keeps nobody out
_time = struct.Struct("ll")  # struct timeval
FAULTS: dict[int, type[MaiError]] = {
    FAILED: MaiError,
    USAGE: UsageFault,
    NOT_RUNNING: NotRunning,
    REFUSED: Refused,
    EXPIRED: Expired,
}

Reply = dict[str, Any]
Admit = Callable[[Peer], Rights | None]


def refusal(error: MaiError) -> Reply:
    """An error as a reply."""
    return {"error": error.sentence, "hint": error.hint, "code": error.code}


def fault(reply: Reply) -> MaiError:
    """The error that a reply tells of."""
    kind = FAULTS.get(reply.get("code", FAILED), MaiError)
    return kind(str(reply["error"]), str(reply.get("hint", "")))


class Door:
    """The caller's side; blocking. `timeout_s` bounds the wait for each reply; None waits for as long as it takes."""

    def __init__(self, path: Path, timeout_s: float | None = None) -> None:
        self.path = path
        self.timeout_s = timeout_s

    def ask(self, request: Reply) -> Iterator[Reply]:
        """The replies to one request, as they come. Raises NotRunning, Expired, UsageFault (too long).

        Who stands in for one who sleeps asks to be asked again, when she is awake (porter.py).
        """
        for _ in range(MOST_AGAIN):
            again = False
            for reply in self._ask(request):
                if again := "again" in reply:
                    break
                yield reply
            if not again:
                return
        raise NotRunning(f"nobody stays awake behind {self.path}", "look at its state: mai status")

    def line(self, request: Reply) -> bytes:
        """A request as it is written, with the proof that is asked of the daemon's own user. Raises UsageFault."""
        shown = of_door(self.path)
        line = json.dumps({**request, NAME: shown} if shown else request).encode() + b"\n"
        if len(line) > LINE_BYTES:
            raise UsageFault(f"a request of {len(line)} bytes, the limit is {LINE_BYTES}", "ask for less at once")
        return line

    def _ask(self, request: Reply) -> Iterator[Reply]:
        line = self.line(request)
        with self._connect() as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it refused before it read all: the reply says why
                connection.sendall(line)
            yield from self._replies(connection)

    def call(self, request: Reply) -> Reply:
        """The last reply to a request; a fault is raised as the error that it tells of."""
        reply: Reply = {}
        for reply in self.ask(request):
            if "error" in reply:
                raise fault(reply)
        return reply

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        wait_s = CONNECT_S if self.timeout_s is None else min(CONNECT_S, self.timeout_s)
        # Not settimeout(): without blocking the kernel says no at once when the queue is full, and nobody's turn ever comes.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _time.pack(int(wait_s), int(wait_s % 1 * 1e6)))
        try:
            connection.connect(short(self.path))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _time.pack(0, 0))
            connection.settimeout(self.timeout_s)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            connection.close()
            raise NotRunning(f"nobody listens at {self.path}", "start the daemon with: mai up") from None
        except PermissionError:
            connection.close()
            raise Refused(f"you may not use {self.path}", f"its directory is closed to you; {HINT}") from None
        except (TimeoutError, BlockingIOError):  # the queue of those who wait to be let in stayed full
            connection.close()
            raise Expired(f"nobody opens at {self.path}", "too many ask at once: try again in a moment") from None
        return connection

    def _replies(self, connection: socket.socket) -> Iterator[Reply]:
        with connection.makefile("rb") as file:
            while True:
                try:
                    line = file.readline(REPLY_BYTES)
                except TimeoutError:
                    raise Expired(f"no answer within {self.timeout_s:g} s", "ask again, or wait for longer") from None
                except ConnectionResetError:
                    line = b""
                if not line.endswith(b"\n"):
                    raise NotRunning("the daemon went away before it had answered", "look at its state: mai status")
                reply: Reply = json.loads(line)
                more = reply.pop("more", False)
                yield reply
                if not more:
                    return


class Caller:
    """The server's side of one connection. `busy`: a request is being answered; `gone`: nobody reads the answer any more.

    `rights` is what the caller might when it came.
    """

    def __init__(self, connection: socket.socket, watch: select.epoll, peer: Peer, rights: Rights) -> None:
        self.peer, self.rights = peer, rights
        self.busy = False
        self.gone = False
        self._last = False  # close after what is in the outbox
        self._connection, self._watch = connection, watch
        self._inbox, self._outbox = bytearray(), bytearray()
        connection.setblocking(False)
        watch.register(connection, select.EPOLLIN)

    @property
    def pid(self) -> int:
        """Which process asks."""
        return self.peer.pid

    @property
    def uid(self) -> int:
        """Which user asks, as the kernel vouches for it."""
        return self.peer.uid

    @property
    def user(self) -> str:
        """Its name."""
        return self.rights.user

    @property
    def unread(self) -> int:
        """Bytes that it has not taken yet."""
        return len(self._outbox)

    def answer(self, reply: Reply, more: bool = False) -> None:
        """Send one reply; with `more`, others follow. Never raises: a caller who is away, or reads too slowly, is `gone`."""
        if self.gone:
            return
        if len(self._outbox) > UNREAD_BYTES:  # of earlier replies; one by itself may be larger
            return self.close()
        self._outbox += json.dumps({**reply, "more": True} if more else reply).encode() + b"\n"
        self.busy = self.busy and more
        self.flush()

    def refuse(self, sentence: str, hint: str, code: int = USAGE) -> None:
        """Answer with a fault and hang up."""
        self._last = True
        self.answer({"error": sentence, "hint": hint, "code": code})

    def flush(self) -> None:
        """Write what the socket takes, and wait for what comes next: room in the socket, or a request."""
        try:
            while self._outbox:
                del self._outbox[: self._connection.send(self._outbox)]
        except BlockingIOError:
            pass
        except OSError:
            return self.close()
        if self._last and not self._outbox:
            return self.close()
        # With a line already in the inbox the socket will not get readable: being writable brings us back here.
        again = self._outbox or (not self.busy and b"\n" in self._inbox)
        self._watch.modify(
            self._connection, (select.EPOLLOUT if again else 0) | (0 if self.busy or self._last else select.EPOLLIN)
        )

    def next_request(self, readable: bool) -> Reply | None:
        """The next request, if a whole one is there. What is no request is refused."""
        if self.busy or self._last or self.gone:
            return None
        ended = readable and self._read()
        line, newline, rest = self._inbox.partition(b"\n")
        if not newline or len(line) > LINE_BYTES:
            if len(self._inbox) > LINE_BYTES:
                self.refuse(f"a request is one line of at most {LINE_BYTES} bytes", "ask for less at once")
            elif ended and self._inbox:
                self.refuse("the request ends in the middle of a line", "end it with a newline")
            elif ended:
                self.close()
            return None
        self._inbox = rest
        return self._parse(bytes(line))

    def _read(self) -> bool:
        """Take in what is there, up to the bound; true at the end of the stream."""
        try:
            while len(self._inbox) <= LINE_BYTES:
                data = self._connection.recv(1 << 16)
                if not data:
                    return True
                self._inbox += data
        except BlockingIOError:
            pass
        except OSError:
            self.close()
        return False

    def _parse(self, line: bytes) -> Reply | None:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if isinstance(request, dict):
            self.busy = True
            self.flush()
            return request
        self.refuse("a request is a JSON object on one line", 'such as {"do": "status"}')
        return None

    def close(self) -> None:
        """Hang up."""
        if not self.gone:
            self.gone = True
            self._watch.unregister(self._connection)
            self._connection.close()


class Doorkeeper:
    """Listens at `path` and never blocks. `fileno()` goes into the process's own poll loop: when it is readable, `turn()`."""

    def __init__(self, path: Path, admit: Admit = ours) -> None:
        """`admit` says what a caller may, None for nothing: he is turned away. A socket that a dead listener left is replaced."""
        self.path = path
        self.turned_away: deque[Peer] = deque(maxlen=100)  # since somebody has looked
        self._admit = admit
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        part = path.with_name(f"{path.name}.new")  # who finds the path finds somebody who listens, before and after
        part.unlink(missing_ok=True)
        self._socket.bind(short(part))
        part.chmod(0o600)
        self._socket.listen(BACKLOG)
        self._inode = part.stat().st_ino
        part.rename(path)
        self._watch = select.epoll()  # itself readable when one of its descriptors is
        self._watch.register(self._socket, select.EPOLLIN)
        self._callers: dict[int, Caller] = {}  # by descriptor, oldest first

    def fileno(self) -> int:
        """To poll for reading; stands for all connections."""
        return self._watch.fileno()

    @property
    def count(self) -> int:
        """How many are connected."""
        return len(self._callers)

    def turn(self) -> list[tuple[Caller, Reply]]:
        """Read and write what can be; the requests that came, each to be answered through its caller, now or later."""
        requests = []
        ready = dict(self._watch.poll(0))
        knocking = ready.pop(self._socket.fileno(), 0)
        for descriptor, events in ready.items():
            if (caller := self._callers.get(descriptor)) and (request := self._serve(caller, events)) is not None:
                requests.append((caller, request))
        if knocking:  # last: who has just asked is not idle
            self._accept()
        self._callers = {descriptor: caller for descriptor, caller in self._callers.items() if not caller.gone}
        return requests

    def _serve(self, caller: Caller, events: int) -> Reply | None:
        if events & (select.EPOLLHUP | select.EPOLLERR) and not events & select.EPOLLIN:
            caller.close()
            return None
        request = caller.next_request(bool(events & select.EPOLLIN))
        if not caller.gone:
            caller.flush()
        return request

    def _accept(self) -> bool:
        """Let one in; those before it who have no role are turned away. False if nobody waits."""
        for _ in range(STRANGERS):
            try:
                connection, _ = self._socket.accept()
                peer = peer_of(connection)
            except OSError:
                return False  # gone again, or out of descriptors: those that wait stay in the backlog
            if rights := self._admit(peer):
                self._seat(Caller(connection, self._watch, peer, rights), connection.fileno())
                return True
            self._turn_away(connection, peer)
        return True

    def _turn_away(self, connection: socket.socket, peer: Peer) -> None:
        self.turned_away.append(peer)
        with connection, contextlib.suppress(OSError):
            connection.setblocking(False)
            said = {"error": f"{user_of(peer.uid)} has no role at this door", "hint": HINT, "code": REFUSED}
            connection.send(json.dumps(said).encode() + b"\n")

    def _seat(self, caller: Caller, descriptor: int) -> None:
        """Give the caller a place, if there is one."""
        of_one = sum(other.uid == caller.uid for other in self._callers.values())
        if of_one >= OF_ONE and not caller.rights.everything:
            return caller.refuse(f"{OF_ONE} connections of {caller.user} are being served", "close one of them", REFUSED)
        if len(self._callers) >= CALLERS and not self._make_room():
            return caller.refuse(f"{CALLERS} others are being served", "try again in a moment", REFUSED)
        self._callers[descriptor] = caller

    def dismiss(self, reply: Reply) -> None:
        """The same last reply for everybody, also for who waits to be let in."""
        for _ in range(BACKLOG + CALLERS):
            for caller in self._callers.values():
                caller.answer(reply)
                caller.close()
            self._callers.clear()
            if not self._accept():
                return

    def open_to(self, others: bool) -> None:
        """May users other than root and our own connect? What they may then is `admit`'s to say."""
        self.path.chmod(0o666 if others else 0o600)

    def look_again(self) -> None:
        """Hang up on those who may not what they might when they came."""
        for caller in self._callers.values():
            if caller.rights != self._admit(caller.peer):
                caller.close()

    def _make_room(self) -> bool:
        """Hang up on the oldest caller who asks nothing."""
        idle = next((descriptor for descriptor, caller in self._callers.items() if not caller.busy), None)
        if idle is None:
            return False
        self._callers.pop(idle).close()
        return True

    def close(self) -> None:
        """Hang up on everybody and take the socket away."""
        for caller in self._callers.values():
            caller.close()
        self._watch.close()
        self._socket.close()
        with contextlib.suppress(OSError):
            if self.path.stat().st_ino == self._inode:  # somebody else may stand there for us
                self.path.unlink()
