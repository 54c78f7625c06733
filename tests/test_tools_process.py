"""Tools that need the network: the guard around one call, and the process that runs the calls, killed in their middle."""

import os
import socketserver
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec
import psutil
import pytest

from mai.agents.hosts import parse
from mai.agents.organisation import Tool
from mai.daemon.net_guard import Guard
from mai.daemon.net_tool import Given, Result
from tests.conftest import alive
from tests.small import MODULES, ORGANISATION, Daemon, until

CODE = """
import asyncio, os, socket, subprocess

def found(files, key):
    return f"found {key}"

def none(files, key):
    return None

def broken(files, key):
    raise OSError("the books are closed")

def fetch(files, port: int, word: str = "hello", *, key: str = "") -> str:
    with socket.create_connection(("localhost", port)) as wire:
        wire.sendall(word.encode() + b"\\n")
        return wire.makefile().readline()

def endless(files):
    while True: pass

def printing(files):
    print("on standard output")
    return 5

async def talk(port):
    reader, writer = await asyncio.open_connection("localhost", port)
    writer.write(b"hello\\n")
    return (await reader.readline()).decode()

def by_asyncio(files, port):
    return asyncio.run(talk(port))

WAYS = {
    "another host": lambda port: socket.getaddrinfo("other.example", port),
    "another name": lambda port: socket.gethostbyname("other.example"),
    "an address": lambda port: socket.create_connection(("192.0.2.1", port)),
    "another port": lambda port: socket.create_connection(("localhost", port + 1)),
    "the address of a listed name at another port": lambda port: socket.create_connection(("127.0.0.1", port + 1)),
    "a datagram": lambda port: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)),
    "a local socket": lambda port: socket.socket(socket.AF_UNIX).connect("/run/nothing.sock"),
    "an abstract socket": lambda port: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", "\\0x"),
    "netlink": lambda port: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "raw": lambda port: socket.socket(socket.AF_INET, socket.SOCK_RAW),
    "listening": lambda port: socket.socket().bind(("127.0.0.1", 0)),
    "a program": lambda port: subprocess.run(["true"]),
    "a shell": lambda port: os.system("true"),
    "exec": lambda port: os.execv("/bin/true", ["true"]),
}

def leave(files, way, port):
    try:
        WAYS[way](port)
    except PermissionError as error:
        return str(error)
    return "done"
"""


class Echo(socketserver.StreamRequestHandler):
    """Answers a line with the same line; `hold` is answered when the test says so."""

    def handle(self) -> None:
        """One connection."""
        server: Any = self.server
        word = self.rfile.readline()
        server.words.append(word.decode().strip())
        if word.startswith(b"hold"):
            server.gate.wait(60)
        self.wfile.write(word)


@pytest.fixture
def server() -> Iterator[Any]:
    """A server on loopback that notes the lines that it gets."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as echo:
        echo.daemon_threads = True
        echo.words, echo.gate = [], Event()  # type: ignore[attr-defined]
        Thread(target=echo.serve_forever, args=(0.01,), daemon=True).start()
        yield echo
        echo.gate.set()  # type: ignore[attr-defined]
        echo.shutdown()


def port_of(server: Any) -> int:
    """Where it listens."""
    return int(server.server_address[1])


def call(base: Path, function: str, given: dict[str, Any], hosts: tuple[str, ...], limit_s: float = 30.0) -> Result:
    """What one call gives, in its own process."""
    (base / "n.py").write_text(CODE)
    tool = Tool(name=function, handler=f"n.py:{function}", hosts=hosts, timeout_s=limit_s)
    (base / "files").mkdir(exist_ok=True)
    told = msgspec.json.encode(Given(str(base), str(base / "files"), tool, given, "key", 1000))
    ran = subprocess.run([sys.executable, "-P", "-m", "mai.daemon.net_tool"], input=told, capture_output=True, check=True)
    return msgspec.json.decode(ran.stdout, type=Result)


@pytest.mark.parametrize("function", ["fetch", "by_asyncio"])
def test_a_listed_host_is_reached(tmp_path: Path, server: Any, function: str) -> None:
    """By its name, and by the addresses that the name resolves to."""
    found = call(tmp_path, function, {"port": port_of(server)}, (f"localhost:{port_of(server)}",))
    assert found == Result("hello\n")


@pytest.mark.parametrize(
    "way",
    ["another host", "another name", "an address", "another port", "the address of a listed name at another port", "a datagram",
     "a local socket", "an abstract socket", "netlink", "raw", "listening", "a program", "a shell", "exec"],
)  # fmt: skip
def test_nothing_else_is(tmp_path: Path, way: str) -> None:
    """Each way out is refused with a sentence that names the hosts of the tool."""
    found = call(tmp_path, "leave", {"way": way, "port": 4433}, ("localhost:4433",))
    assert str(found.value).startswith("the tool leave ") and str(found.value).endswith("; its hosts are localhost:4433")


def test_what_comes_of_a_call(tmp_path: Path) -> None:
    """Arguments are checked, output is the log's, a busy loop is stopped, a large value refused."""
    hosts = ("localhost",)
    assert call(tmp_path, "fetch", {"port": "x"}, hosts).refused == "the tool fetch: port: expected int, found a text"
    assert call(tmp_path, "printing", {}, hosts) == Result(5)
    assert call(tmp_path, "endless", {}, hosts, 0.3) == Result(None, "the tool endless did not return within 0.3 s", True)


def test_hosts() -> None:
    """What names a host, and what it allows."""
    assert parse("API.Example.com.:8443") is None and parse("API.Example.com:8443") == ("api.example.com", 8443)
    assert parse("[::1]:443") == ("::1", 443) and parse("10.0.0.1") == ("10.0.0.1", 0)
    for wrong in ("", "https://a.example", "a.example/b", "a:0", "a:70000", "a b", "*", "user@a", "[zz]", "::1"):
        assert parse(wrong) is None
    guard = Guard("t", ("a.example:443", "b.example", "127.0.0.1:80"))
    for host, port in (("a.example", 443), ("A.EXAMPLE.", 443), (b"a.example", "443"), ("a.example", "https"), ("b.example", 1),
                       ("::ffff:127.0.0.1", 80)):  # fmt: skip
        assert guard.allows(host, port)
    for host, port in (("a.example", 80), ("x.a.example", 443), ("127.0.0.1", 443), ("192.0.2.7", 443)):
        assert not guard.allows(host, port)
    guard.learn("a.example", ["192.0.2.7"])
    assert guard.allows("192.0.2.7", 443) and not guard.allows("192.0.2.7", 80)


# -- the process
NET = """
async def clerk(ctx, task):
    try:
        return Answer(await ctx.tool("fetch", port=int(task.text.split()[-1]), word="hold"))
    except Refusal as refusal:
        return Answer(f"{refusal.state}: {refusal.reason}")
"""


class Netted(Daemon):
    """The small daemon, whose clerk uses a tool that needs the network."""

    def __init__(self, directory: Path, port: int, effect: str, said: str = "") -> None:
        tool = f"""
[[departments.finance.tools]]
name = "fetch"
handler = "net.py:fetch"
hosts = ["localhost:{port}"]
timeout_s = 50
effect = "{effect}"
{f'asked_by = "net.py:{said}"' if said else ""}
"""
        text = ORGANISATION.replace('tools = ["pay"]', 'tools = ["pay", "fetch"]').replace("small.py:clerk", "net.py:clerk")
        super().__init__(directory, text + tool)
        imports = "from mai.agents.context import Answer, Refusal\n"
        (self.file.parent / "net.py").write_text(imports + textwrap.dedent(CODE) + NET)


@pytest.mark.parametrize(("effect", "calls", "said"), [("idempotent", 2, ""), ("queryable", 1, "found"), ("queryable", 2, "none"),
                                                       ("queryable", 1, "broken"), ("opaque", 1, "")])  # fmt: skip
def test_a_kill_in_the_middle_of_a_call(state: Path, server: Any, effect: str, calls: int, said: str) -> None:
    """Begun without an end: what may be repeated is, with the same key; what can be asked is; of the rest a person is told."""
    MODULES.setdefault("mai.daemon.tools", "")
    daemon, doubts = Netted(state, port_of(server), effect, said), effect == "opaque" or said == "broken"
    daemon.up()
    try:
        answers: list[dict[str, Any]] = []
        asking = Thread(target=lambda: answers.append(daemon.ask(f"finance payments {port_of(server)}", "R1")))
        asking.start()
        until(lambda: len(server.words) == 1, "the call begins")
        (pid,) = daemon.pids()["acme/tools"]
        family = [psutil.Process(pid), *psutil.Process(pid).children()]
        assert len(family) == 2
        os.kill(pid, 9)
        until(lambda: not any(alive(one) for one in family), "the call ends with its process")
        if calls == 2:
            until(lambda: len(server.words) == 2, "the call begins again")
        server.gate.set()
        if doubts:
            (doubt,) = until(lambda: daemon.journal("acme/mai", "doubt.raised"), "a person is told")
            assert daemon.mai("effects", "resolve", doubt[1]["doubt"]["key"], "--happened", "--value", '"hold"').returncode == 0
        asking.join(60)
        (answer,) = answers
        begun = [body for _, body in daemon.journal("acme/tools", "tool.begun")]
        ended = [body for _, body in daemon.journal("acme/tools", "tool.ended")]
        assert len(begun) == len(server.words) == calls and len({body["key"] for body in begun}) == 1 and len(ended) == 1
        assert ("found" if said == "found" else "hold") in answer["answer"] and ended[0].get("doubt", False) is doubts
        assert len(daemon.journal("acme/finance", "effect.unknown")) == doubts
        queried = [body["found"] for _, body in daemon.journal("acme/tools", "tool.queried")]
        assert queried == ([said == "found"] if said in ("found", "none") else [])
        assert len(daemon.journal("acme/tools", "tool.doubted")) == (effect == "queryable")
        daemon.check_ledger("acme/tools")
        verified = daemon.mai("verify", "--state", "--deep")
        assert verified.returncode == 0, verified.stdout + verified.stderr
    finally:
        server.gate.set()
        daemon.mai("down")
