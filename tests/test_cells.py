"""What a program that a department starts finds around it, tried from inside by real programs."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mai.agents.cells import Cells, lacking
from mai.agents.organisation import Agent, Tool
from mai.agents.parts import Access
from mai.sandbox import cell, landlock
from tests.descriptors import left_open
from tests.lone import Lone, desk, organisation
from tests.small import ORGANISATION, Daemon

WHOLE = landlock.abi() >= 6
needs_landlock = pytest.mark.skipif(not WHOLE, reason="this kernel's Landlock has no scopes")
TRY = """
import ctypes, json, os, signal, socket, sys

def tried(what):
    try:
        what()
        return "done"
    except Exception as error:
        return type(error).__name__

libc = ctypes.CDLL(None, use_errno=True)

def called(number, *given):
    if libc.syscall(number, *given) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def told(name):
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"READY=1", name)

def led(name):
    os.symlink(name, "led")
    try:
        open("led").read()
    finally:
        os.unlink("led")

home, sock, parent, other = sys.argv[1:5]
parent = int(parent) or os.getppid()
print(json.dumps({
    "ledger": tried(lambda: open(f"{home}/ledger.db").read()),
    "ledger written": tried(lambda: open(f"{home}/ledger.db", "a").write("x")),
    "ledger by a link": tried(lambda: led(f"{home}/ledger.db")),
    "ledger by a hard link": tried(lambda: os.link(f"{home}/ledger.db", "mine")),
    "ledger barred": tried(lambda: os.chmod(f"{home}/ledger.db", 0o600)),
    "ledger aged": tried(lambda: os.utime(f"{home}/ledger.db", (0, 0))),
    "ledger gone": tried(lambda: os.rename(f"{home}/ledger.db", f"{home}/gone")),
    "key": tried(lambda: open(f"{home}/key").read()),
    "mandate": tried(lambda: open(f"{home}/mandate").read()),
    "home": tried(lambda: os.listdir(home)),
    "files": tried(lambda: open(f"{home}/files/data").read()),
    "files written": tried(lambda: open(f"{home}/files/data", "a").write("x")),
    "another's": tried(lambda: open(other).read()),
    "another's directory": tried(lambda: os.listdir(os.path.dirname(other))),
    "memory": tried(lambda: open(f"/proc/{parent}/mem", "rb").read(1)),
    "environment": tried(lambda: open(f"/proc/{parent}/environ", "rb").read()),
    "descriptors": tried(lambda: os.readlink(f"/proc/{parent}/fd/0")),
    "descriptor": tried(lambda: os.close(os.open(f"/proc/{parent}/fd/3", os.O_RDONLY | os.O_NONBLOCK))),
    "root of it": tried(lambda: os.listdir(f"/proc/{parent}/root{home}")),
    "traced": tried(lambda: called(101, 16, parent, 0, 0)),
    "signalled": tried(lambda: os.kill(parent, 0)),
    "ended": tried(lambda: os.kill(parent, signal.SIGCONT)),
    "limited": tried(lambda: called(302, parent, 7, None, ctypes.create_string_buffer(16))),
    "connected": tried(lambda: socket.socket(socket.AF_UNIX).connect(sock)),
    "told": tried(lambda: told(sock)),
    "internet": tried(lambda: socket.create_connection(("127.0.0.1", 9), 1)),
    "datagram": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
    "own": tried(lambda: open("own", "w").write("x")),
    "own directory": tried(lambda: (os.mkdir("below"), os.rename("own", "below/own"), os.unlink("below/own"), os.rmdir("below"))),
    "pair": tried(lambda: socket.socketpair()),
    "null": tried(lambda: open("/dev/null", "w").write("x")),
    "program": tried(lambda: os.popen("ls /usr").read() or 1 / 0),
    "code": tried(lambda: open(__file__).read()),
    "itself": tried(lambda: os.kill(os.getpid(), 0)),
    "cwd": os.getcwd(), "home of": os.environ["HOME"], "shown": os.environ.get("MAI_FILES", ""),
}))
"""
PYTHON = """
import asyncio, sqlite3, subprocess, tempfile, threading
tempfile.TemporaryFile()
sqlite3.connect("x.db").execute("CREATE TABLE t(x)")
asyncio.run(asyncio.sleep(0))
threading.Thread(target=print).start()
subprocess.run(["true"], check=True)
"""
WORKS = {"own", "own directory", "pair", "null", "program", "code", "itself"}


class Place:
    """A department's directory with its secrets in it, another program's, and a socket that listens."""

    def __init__(self, directory: Path) -> None:
        self.home, self.base = directory / "state" / "acme" / "support", directory / "base"
        self.other = self.home / "work" / "agents" / "other" / "note"
        for path in (self.home / "files", self.base, self.other.parent):
            path.mkdir(parents=True)
        for name in ("ledger.db", "key", "mandate", "files/data"):
            (self.home / name).write_text("secret")
        self.other.write_text("secret")
        (self.base / "try.py").write_text(TRY)
        self.path = directory / "s"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.cells = Cells(self.home, self.base, (directory / "state",))

    def tried(self, files: Access = "", **named: Any) -> dict[str, str]:
        """What came of all attempts in a cell."""
        made = self.cells.cell("agents", "desk", files, **named)
        command = [sys.executable, "-P", str(self.base / "try.py"), str(self.home), str(self.path)]
        try:
            return self.ran([*command, str(os.getpid()), str(self.other)], made)
        finally:
            made.close()

    def ran(self, command: list[str], made: cell.Cell | None) -> dict[str, str]:
        """What a program said of itself, in a cell or without."""
        parent, enter = os.getpid(), made.enter if made else lambda _: None
        where = made.home if made else self.home
        ran = subprocess.run(
            command, cwd=where, env={"PATH": os.environ["PATH"], "HOME": "", **(made.environment if made else {})},
            capture_output=True, timeout=60, check=False, preexec_fn=lambda: enter(parent),
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr.decode()
        return dict(json.loads(ran.stdout))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """One, beside the others of this host."""
    made = Place(tmp_path)
    yield made
    made.socket.close()


def done(tried: dict[str, str]) -> set[str]:
    """What could be done."""
    return {what for what, came in tried.items() if came == "done"}


@needs_landlock
def test_a_program_has_its_own_directory_and_nothing_else(place: Place) -> None:
    """No ledger, key, mandate, data, other program's directory, process, socket or network; its own work goes on."""
    tried = place.tried()
    assert done(tried) == WORKS, tried
    assert tried["cwd"] == tried["home of"] == str(place.home / "work" / "agents" / "desk") and tried["shown"] == ""
    assert (place.home / "ledger.db").read_text() == (place.home / "files" / "data").read_text() == "secret"
    assert (place.home / "ledger.db").stat().st_mode & 0o777


def test_without_a_cell_all_of_that_can_be_done(place: Place) -> None:
    """So each attempt is one: what fails in a cell fails for its walls."""
    own, one = place.home / "work" / "agents" / "desk", place.cells.cell("agents", "desk")
    one.close()
    command = [sys.executable, "-P", str(place.base / "try.py"), str(place.home), str(place.path)]
    free = cell.Cell.__new__(cell.Cell)
    free.home, free.environment = own, {"HOME": str(own)}
    free.enter = lambda parent: None  # type: ignore[method-assign]
    tried = place.ran([*command, str(os.getpid()), str(place.other)], free)
    reached = {
        "key",
        "mandate",
        "ledger barred",
        "files",
        "another's",
        "environment",
        "descriptors",
        "signalled",
        "told",
        "datagram",
    }
    assert reached | WORKS <= done(tried), tried


@needs_landlock
@pytest.mark.parametrize(("files", "more"), [("read", {"files"}), ("write", {"files", "files written"})])
def test_the_data_of_the_department_is_shown_as_the_organisation_says(place: Place, files: Access, more: set[str]) -> None:
    """To read, or to change as well, and where it lies."""
    tried = place.tried(files)
    assert done(tried) == WORKS | more, tried
    assert tried["shown"] == str(place.home / "files")


@needs_landlock
def test_an_organisation_around_the_state_does_not_show_it(tmp_path: Path) -> None:
    """Programs may read the organisation's directory, but not what is secret in it."""
    made = Place(tmp_path)
    try:
        made.cells = Cells(made.home, tmp_path, (tmp_path / "state",))
        assert done(made.tried()) == WORKS
    finally:
        made.socket.close()


@needs_landlock
def test_a_program_of_a_program_has_no_more(place: Place) -> None:
    """What it starts is held by the same walls, whatever it says in between; so is who leaves its session."""
    made = place.cells.cell("agents", "desk")
    inner = "import os,sys; os.setsid(); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    command = [sys.executable, "-c", inner, "-P", str(place.base / "try.py"), str(place.home), str(place.path)]
    tried = place.ran([*command, str(os.getpid()), str(place.other)], made)
    made.close()
    assert done(tried) == WORKS, tried


@needs_landlock
@pytest.mark.parametrize(
    "command",
    [
        ["sh", "-c", "echo '{}' >a && cat a && rm a && ln -s a b"],
        [sys.executable, "-c", PYTHON],
        ["node", "-e", "let s = 0; for (let i = 0; i < 1e6; i++) s += Math.sqrt(i); require('fs').writeFileSync('x', '' + s)"],
        ["perl", "-e", "open(F, '>', 'x'); print F 1; close F; print `ls`"],
    ],
    ids=["sh", "python", "node", "perl"],
)  # fmt: skip
def test_programs_do_their_work(place: Place, command: list[str]) -> None:
    """Shells, interpreters, and what translates code in its memory."""
    if not shutil.which(command[0]):
        pytest.skip(f"no {command[0]} here")
    made, parent = place.cells.cell("tools", "work"), os.getpid()
    ran = subprocess.run(
        command, cwd=made.home, env={"PATH": os.environ["PATH"], **made.environment}, capture_output=True, timeout=60,
        check=False, preexec_fn=lambda: made.enter(parent),
    )  # fmt: skip
    made.close()
    assert ran.returncode == 0, ran.stderr


def test_what_is_bounded_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel has no Landlock a cell is made all the same, and a sentence names what is open."""
    assert lacking() == "" or not WHOLE or landlock.lacking()
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    assert "its ledger and key" in lacking() and "mai doctor" in lacking()


@needs_landlock
def test_a_program_cannot_take_more_than_its_share(place: Place) -> None:
    """Memory of a process, files, core dumps."""
    limits = "r.RLIMIT_DATA, r.RLIMIT_NOFILE, r.RLIMIT_CORE"
    code = f"import resource as r; print([r.getrlimit(x)[0] for x in ({limits})])\nbytearray(5 << 30)"
    made, parent = place.cells.cell("tools", "work"), os.getpid()
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=made.home, env=made.environment, capture_output=True, timeout=60, check=False,
        preexec_fn=lambda: made.enter(parent),
    )  # fmt: skip
    made.close()
    assert ran.stdout.decode().strip() == f"[{4 << 30}, 1024, 0]" and b"MemoryError" in ran.stderr


# -- in a department
SPY = """
import json, os, sys
sys.stdin.readline()
def seen(path):
    try:
        return open(path).read()
    except OSError as error:
        return type(error).__name__
found = [seen(path) for path in HERE]
print(json.dumps({"text": "|".join(found) + "|" + os.getcwd()}), flush=True)
"""


@needs_landlock
@pytest.mark.parametrize("make", ["agent", "tool"])
def test_agents_and_tools_work_in_cells(tmp_path: Path, make: str) -> None:
    """A department's programs are started in them: each in its own directory, and none finds the ledger."""
    here = [str(tmp_path / "home" / name) for name in ("ledger.db", "files/data")]
    (tmp_path / "spy.py").write_text(SPY.replace("HERE", repr(here)))
    spy = (sys.executable, "-S", "spy.py")
    if make == "agent":
        lone = Lone(tmp_path, organisation(tmp_path, Agent(name="desk", rank="operator", command=spy, files="read")))
    else:
        code = 'async def desk(ctx, task):\n    return (await ctx.tool("spy"))["text"]'
        lone = Lone(tmp_path, desk(tmp_path, code, tools=(Tool(name="spy", command=spy, files="read"),)))
    (lone.home / "files" / "data").write_text("shown")
    where = lone.home / "work" / ("agents/desk" if make == "agent" else "tools/spy")
    assert lone.ask().text == f"PermissionError|shown|{where}"
    lone.check()
    lone.close()


def _lay(path: Path, text: str, home: Path) -> None:
    """A file below a process's directory, as that process would have made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for made in (path, *path.parents):
        if made.is_relative_to(home) and made != home:
            os.chown(made, home.stat().st_uid, home.stat().st_gid)


AT_WORK = TRY.replace("print(json.dumps({", 'sys.stdin.readline()\nprint(json.dumps({"value": {"tried": {').replace(
    "}))", "}}}), flush=True)"
)
SPYING = """
[[departments.support.agents]]
name = "spy"
rank = "operator"
charter = "Looks around."
skills = ["looking"]
command = ["python3", "try.py", "HOME", "SOCKET", "0", "OTHER"]
"""


@needs_landlock
def test_in_a_company_that_runs_a_program_has_its_own_directory_and_nothing_else(state: Path) -> None:
    """With the department's own walls around it: as in a cell alone, and Mai's socket and the watchdog's are none of its."""
    daemon = Daemon(state)
    home, other = daemon.place.home("acme/support"), daemon.place.home("acme/support") / "work" / "agents" / "porter" / "note"
    for link in ("link/mai.sock", "../notify.d/notify.sock"):
        text = SPYING.replace("HOME", str(home)).replace("SOCKET", str(daemon.place.sockets("acme") / link))
        daemon.file.write_text(ORGANISATION + text.replace("OTHER", str(other)))
        (daemon.file.parent / "try.py").write_text(AT_WORK)
        daemon.up()
        try:
            _lay(other, "secret", home)
            assert daemon.place.sockets("acme").joinpath(link).is_socket()
            answer = daemon.ask("@support: look around, spy", f"look-{len(link)}")
            assert answer["state"] == "answered", answer
            tried = answer["parts"][0]["value"]["tried"]
            assert done(tried) <= WORKS, tried
            assert {"own", "own directory", "pair", "null", "program", "code"} <= done(tried), tried
            assert answer["parts"][0]["by"].endswith("/spy")
        finally:
            daemon.down()


def test_a_cell_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """Neither one that was used, nor one whose program could not be started."""
    code = 'async def desk(ctx, task):\n    await ctx.tool("no")'
    lone = Lone(tmp_path, desk(tmp_path, code, tools=(Tool(name="no", command=("nonesuch",)),)))
    assert not left_open(lambda: Cells(lone.home, tmp_path).cell("tools", "x").close())
    lone.ask()

    def work() -> None:
        for n in range(2, 6):
            lone.task(ident=f"r/{n}")
        lone.settle()

    assert not left_open(work)
    lone.close()
