"""The door at which commands ask a process: real sockets, a server in a thread of the test, and callers who misbehave."""

import contextlib
import json
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mai.daemon.door import CALLERS, LINE_BYTES, UNREAD_BYTES, Caller, Door, Doorkeeper, fault, refusal
from mai.sandbox.errors import Expired, MaiError, NotRunning, Refused, UsageFault

Handler = Callable[[Caller, dict[str, Any]], None]


def answer(caller: Caller, request: dict[str, Any]) -> None:
    """What the test's server does with a request."""
    match request.get("do"):
        case "count":
            for i in range(request["to"]):
                caller.answer({"i": i}, more=True)
            caller.answer({"end": True})
        case "flood":
            for left in reversed(range(request["times"])):
                caller.answer({"text": "x" * request["bytes"]}, more=left > 0)
        case "silence":
            pass
        case "fail":
            caller.answer(refusal(Refused("not you", "be somebody else")))
        case _:
            caller.answer({"echo": request})


@pytest.fixture
def door(state: Path) -> Iterator[Door]:
    """A door that is served."""
    keeper = Doorkeeper(state / "door.sock")
    reader, writer = os.pipe()

    def serve() -> None:
        while True:
            ready, _, _ = select.select([keeper.fileno(), reader], [], [])
            if reader in ready:
                return
            for caller, request in keeper.turn():
                answer(caller, request)

    thread = threading.Thread(target=serve)
    thread.start()
    yield Door(keeper.path, timeout_s=30)
    os.close(writer)
    thread.join()
    os.close(reader)
    keeper.close()


@contextlib.contextmanager
def raw(door: Door) -> Iterator[socket.socket]:
    """A caller who does as he likes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(30)
        connection.connect(str(door.path))
        yield connection


def replies(connection: socket.socket) -> list[dict[str, Any]]:
    """All that comes until the door hangs up."""
    data = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    return [json.loads(line) for line in data.splitlines()]


def test_a_request_is_answered(door: Door) -> None:
    """What goes in as JSON comes out as JSON, any text included."""
    request = {"do": "echo", "text": 'Grüße\n"quoted" \u2028 \U0001f600'}
    assert door.call(request) == {"echo": request}


def test_replies_come_one_by_one_and_in_order(door: Door) -> None:
    """A request may have many replies; the mark that more follow is not the caller's business."""
    assert list(door.ask({"do": "count", "to": 3})) == [{"i": 0}, {"i": 1}, {"i": 2}, {"end": True}]


def test_a_connection_serves_request_after_request(door: Door) -> None:
    """Requests that were sent together are answered one after the other, none is lost and none overtakes."""
    with raw(door) as connection:
        connection.sendall(b"".join(json.dumps({"n": n}).encode() + b"\n" for n in range(50)))
        with connection.makefile("rb") as file:
            assert [json.loads(file.readline())["echo"]["n"] for _ in range(50)] == list(range(50))


def test_a_request_may_come_in_pieces(door: Door) -> None:
    """A line that arrives byte by byte is one request, and others are served meanwhile."""
    with raw(door) as connection:
        for byte in b'{"do": "echo"}':
            connection.send(bytes([byte]))
            assert door.call({"a": 1}) == {"echo": {"a": 1}}
        connection.send(b"\n")
        with connection.makefile("rb") as file:
            assert json.loads(file.readline()) == {"echo": {"do": "echo"}}


@pytest.mark.parametrize(
    "data", [b"\n", b"nonsense\n", b"[1]\n", b'"text"\n', b"\xff\xfe\n", b'{"a": \n', b"[" * 100_000 + b"\n"]
)
def test_what_is_no_request_is_answered_with_a_sentence(door: Door, data: bytes) -> None:
    """Bytes that are no JSON object get an error and a hint, and the door hangs up; the next caller is served."""
    with raw(door) as connection:
        connection.sendall(data)
        (reply,) = replies(connection)
    assert reply["error"] == "a request is a JSON object on one line" and reply["hint"]
    assert door.call({"a": 1})


def test_half_a_line_is_answered(door: Door) -> None:
    """Who ends in the middle of a request is told so."""
    with raw(door) as connection:
        connection.sendall(b'{"do": "sta')
        connection.shutdown(socket.SHUT_WR)
        assert "middle of a line" in replies(connection)[0]["error"]


def test_a_line_without_end_is_refused(door: Door) -> None:
    """Ten megabytes are refused after one, with the limit in the sentence; the caller's own side refuses to send them."""
    with pytest.raises(UsageFault, match=str(LINE_BYTES)):
        door.call({"text": "x" * (10 << 20)})
    with raw(door) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"x" * (10 << 20))
        with connection.makefile("rb") as file:
            assert str(LINE_BYTES) in json.loads(file.readline())["error"]
    assert door.call({"a": 1})


def test_who_does_not_read_is_dropped_and_nobody_waits_for_him(door: Door) -> None:
    """Replies that are not read are kept up to a bound; the door never blocks on them. One alone may be longer."""
    with raw(door) as connection:
        connection.sendall(json.dumps({"do": "flood", "bytes": UNREAD_BYTES, "times": 9}).encode() + b"\n")
        assert door.call({"a": 1}) == {"echo": {"a": 1}}
        received = 0
        while data := connection.recv(1 << 20):
            received += len(data)
        assert received < 2 * UNREAD_BYTES
    assert len(door.call({"do": "flood", "bytes": 2 * UNREAD_BYTES, "times": 1})["text"]) == 2 * UNREAD_BYTES


def test_idle_connections_give_way(door: Door) -> None:
    """More callers than there are places: those who ask nothing lose theirs, and a request is still answered."""
    with contextlib.ExitStack() as stack:
        for _ in range(CALLERS + 10):
            stack.enter_context(raw(door))
        assert door.call({"a": 1}) == {"echo": {"a": 1}}


def test_too_many_who_wait_are_refused(door: Door) -> None:
    """When every place is taken by somebody who waits for an answer, the next one is told so."""
    with contextlib.ExitStack() as stack:
        for _ in range(CALLERS):
            stack.enter_context(raw(door)).sendall(b'{"do": "silence"}\n')
        with raw(door) as connection:
            assert replies(connection)[0]["error"] == f"{CALLERS} others are being served"


def test_nobody_listens(state: Path) -> None:
    """No socket, or one that a dead process left, is an error that names what to do."""
    with pytest.raises(NotRunning, match=r"door\.sock") as caught:
        Door(state / "door.sock").call({})
    assert "mai up" in caught.value.hint
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(str(state / "door.sock"))
    with pytest.raises(NotRunning):
        Door(state / "door.sock").call({})
    keeper = Doorkeeper(state / "door.sock")  # binds over it
    keeper.close()


def test_an_answer_that_never_comes_has_an_end(door: Door) -> None:
    """The caller's patience is bounded by the caller."""
    with pytest.raises(Expired):
        Door(door.path, timeout_s=0.05).call({"do": "silence"})


def test_an_answer_cut_off_is_an_error(state: Path) -> None:
    """When the process goes away before the last reply, the caller hears of it and does not take it for the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(state / "door.sock"))
        listener.listen()

        def half() -> None:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(b'{"i": 1, "more": true}\n{"half')
            connection.close()

        thread = threading.Thread(target=half)
        thread.start()
        asked = Door(state / "door.sock", timeout_s=30).ask({})
        assert next(asked) == {"i": 1}
        with pytest.raises(NotRunning):
            next(asked)
        thread.join()


@pytest.mark.parametrize("kind", [MaiError, UsageFault, NotRunning, Refused, Expired])
def test_an_error_crosses_the_door(kind: type[MaiError]) -> None:
    """An error arrives as the same kind, with its sentence, hint and exit code."""
    error = fault(json.loads(json.dumps(refusal(kind("this", "do that")))))
    assert type(error) is kind
    assert (error.sentence, error.hint, error.code) == ("this", "do that", kind.code)


def test_a_fault_is_raised_at_the_caller(door: Door) -> None:
    """`call` raises what the process answered."""
    with pytest.raises(Refused, match="not you"):
        door.call({"do": "fail"})


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_is_not_let_in(state: Path) -> None:
    """Even where the socket's mode would let him: the kernel's word on who calls decides."""
    state.chmod(0o755)
    keeper = Doorkeeper(state / "door.sock")
    keeper.path.chmod(0o777)
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        with contextlib.suppress(BaseException), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(keeper.path))
            text = connection.recv(4096)
            os._exit(0 if b"root" in text else 1)
        os._exit(2)
    select.select([keeper], [], [], 30)
    assert keeper.turn() == []
    assert os.waitpid(pid, 0)[1] == 0
    keeper.close()


def test_a_long_path_works(state: Path) -> None:
    """Server and caller meet at a path longer than a socket's address may be."""
    deep = state / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    keeper = Doorkeeper(deep / "door.sock")
    asked = []
    thread = threading.Thread(target=lambda: asked.append(Door(keeper.path, timeout_s=30).call({"a": 1})))
    thread.start()
    while not asked:
        select.select([keeper], [], [], 0.1)
        for caller, request in keeper.turn():
            answer(caller, request)
    thread.join()
    assert asked == [{"echo": {"a": 1}}]
    keeper.close()
