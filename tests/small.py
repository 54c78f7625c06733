"""A small organisation and a real daemon for it: what the tests of the whole start, ask, kill and look into.

Two departments: `support`, whose desk asks `finance` to refund an order, and whose porter (a shell program) waits until a
test opens a FIFO; `finance`, whose clerk pays into a database of its own and would pay twice if its tool were called twice.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pysqlite3 as sqlite3

from mai.daemon.asking import ask
from mai.daemon.door import Door
from mai.daemon.seals import Seals
from mai.sandbox.bounds import Bounds
from mai.sandbox.errors import MaiError
from mai.sandbox.ledger import Record, connect, digest_of, read
from mai.sandbox.place import Place

PATIENCE_S = 60.0
MAI = [sys.executable, "-P", "-c", "from mai.cli import main; main(prog_name='mai')"]
PROCESSES = ["acme/mai", "acme/support", "acme/finance"]
T = TypeVar("T")

ORGANISATION = """
[organisation]
name = "Small"
clients = ["acme"]

[limits]
request_s = 60
task_s = 60
request_bytes = 4096

[departments.support]
charter = "Helps customers with what they have bought."
memory = { client = { read = ["*"], write = ["*"] } }

[[departments.support.agents]]
name = "refund-desk"
rank = "specialist"
charter = "Sees to refunds."
skills = ["refunds"]
handler = "small.py:desk"

[[departments.support.agents]]
name = "porter"
rank = "operator"
charter = "Opens the gate."
skills = ["gate"]
command = ["sh", "porter.sh"]
files = "read"

[[departments.support.contracts]]
name = "refund"
about = "Refund an order"
served_by = "refund-desk"
may_ask = ["client"]
request = { order = "int" }
reply = { refund = "int" }
phrases = ["refund order {order}"]

[departments.finance]
charter = "Pays."
memory = { client = { read = ["*"], write = ["*"] } }
prepare = "small.py:prepare"

[[departments.finance.agents]]
name = "clerk"
rank = "operator"
charter = "Pays money back."
skills = ["payments", "budget"]
tools = ["pay"]
handler = "small.py:clerk"

[[policies]]
name = "all"
verdict = "allow"
tools = ["finance.*"]

[[departments.finance.tools]]
name = "pay"
handler = "small.py:pay"
effect = "idempotent"

[[departments.finance.contracts]]
name = "pay_back"
about = "Pay an order back"
served_by = "clerk"
may_ask = ["support"]
request = { order = "int" }
reply = { refund = "int" }
"""
HANDLERS = """
import pysqlite3 as sqlite3
from mai.agents.context import Answer, Refusal


def prepare(files):
    with sqlite3.connect(files / "finance.db") as db:
        db.execute("CREATE TABLE refunds(id INTEGER PRIMARY KEY, key TEXT UNIQUE, \\"order\\" INTEGER)")


def pay(files, order, *, key):
    with sqlite3.connect(files / "finance.db") as db:
        db.execute("INSERT OR IGNORE INTO refunds(key, \\"order\\") VALUES(?, ?)", (key, order))
        return db.execute("SELECT id FROM refunds WHERE key = ?", (key,)).fetchone()[0]


async def clerk(ctx, task):
    if not task.contract:
        raise Refusal("the budget is secret")
    return {"refund": await ctx.tool("pay", order=task.input["order"])}


async def desk(ctx, task):
    reply = await ctx.ask("finance.pay_back", order=task.input["order"])
    return Answer(f"Order {task.input['order']} was refunded.", reply.value)
"""
PORTER = """while IFS= read -r task; do
    read -r word <"$MAI_FILES/gate"
    printf '{"text": "The gate is open: %s."}\\n' "$word"
done
"""


def until(look: Callable[[], T], what: str) -> T:
    """The first true value that `look` gives; that it has no answer yet is no error. Patience has an end."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        try:
            if found := look():
                return found
        except (MaiError, psutil.Error):
            pass
        time.sleep(0.01)
    raise AssertionError(f"in vain: {what}")


def environment(**more: str) -> dict[str, str]:
    """What a command gets: no settings but those of the test."""
    return {**{name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}, **more}


class Daemon:
    """One daemon with the small organisation in one directory."""

    def __init__(self, directory: Path, organisation: str = ORGANISATION) -> None:
        self.place = Place(directory / "s")
        self.file = directory / "o" / "small.toml"
        self.file.parent.mkdir()
        for name, text in (("small.toml", organisation), ("small.py", HANDLERS), ("porter.sh", PORTER)):
            (self.file.parent / name).write_text(text)

    # -- the command line
    def command(self, *arguments: str) -> list[str]:
        """`mai` with these arguments, for this state directory."""
        return [*MAI, "--state", str(self.place.state), *arguments]

    def mai(self, *arguments: str, stdin: bytes = b"", **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        ran = subprocess.run(
            self.command(*arguments), input=stdin, env=environment(**more), capture_output=True, timeout=PATIENCE_S, check=False
        )
        return subprocess.CompletedProcess(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())

    def up(self) -> "Daemon":
        """Start it in the background and wait until all is ready."""
        ran = self.mai("up", "--detach", str(self.file))
        assert ran.returncode == 0, ran.stderr
        return self

    def down(self) -> None:
        """End it in order."""
        ran = self.mai("down")
        assert ran.returncode == 0, ran.stderr

    # -- its processes
    def supervisor(self, **more: str) -> subprocess.Popen[bytes]:
        """Start the supervisor as a child of the test's, as systemd would."""
        places = [str(self.place.state), str(self.place.run), str(self.file)]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "mai.daemon.supervisor", *places], env=environment(**more), stdin=subprocess.DEVNULL
        )

    def status(self) -> dict[str, dict[str, Any]]:
        """Process name -> its entry in `mai status --json`. Raises NotRunning while there is no watchdog."""
        return {one["name"]: one for one in Door(self.place.door, PATIENCE_S).call({"do": "status"})["processes"]}

    def ready(self) -> bool:
        """Are all processes of the client ready?"""
        return all(one["state"] == "ready" for one in self.status().values())

    def pids(self) -> dict[str, list[int]]:
        """Process name -> the pids that run under it, found in the system's own table."""
        found: dict[str, list[int]] = {}
        for name in filter(str.isdigit, os.listdir("/proc")):  # not by psutil: tests look again and again
            try:
                words = Path("/proc", name, "cmdline").read_text().split("\0")[:-1]
            except (OSError, UnicodeDecodeError):
                continue
            if str(self.place.state) in words and (module := next((word for word in words if word in MODULES), "")):
                found.setdefault(MODULES[module] or words[-1], []).append(int(name))
        return found

    # -- what it is asked, and what it has on record
    def ask(self, text: str, request: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The answer to a request."""
        replies = list(ask(self.place, "acme", text, request=request, timeout_s=timeout_s, watch=False))
        return dict(replies[-1]["answer"])

    def raw(self, given: dict[str, Any]) -> dict[str, Any]:
        """Mai's last reply at her door, whatever is asked."""
        return list(Door(self.place.sockets("acme") / "door.sock", PATIENCE_S).ask(given))[-1]

    def journal(self, process: str, kind: str = "") -> list[tuple[Record, dict[str, Any]]]:
        """The records of a process, with their bodies."""
        with closing(connect(self.place.ledger(process), write=False)) as db:
            wanted = Bounds(kinds=frozenset({kind}) if kind else None)
            seals = Seals(self.place.state)
            return [(record, seals.open(json.loads(record.body))) for record in read(db, wanted)]

    def refunds(self) -> list[int]:
        """The orders that were paid back, as often as they were."""
        with closing(sqlite3.connect(self.place.home("acme/finance") / "files" / "finance.db")) as db:
            return [order for (order,) in db.execute('SELECT "order" FROM refunds ORDER BY "order"')]

    def check_ledger(self, process: str) -> None:
        """The chain holds, and no two starts of the process wrote at the same time."""
        prev, boots = bytes(32), list[str]()
        for number, (record, _) in enumerate(self.journal(process), 1):
            assert (record.seq, record.prev, record.digest) == (number, prev, digest_of(record)), f"{process} {number}"
            prev = record.digest
            if not boots or boots[-1] != record.boot:
                boots.append(record.boot)
        assert len(set(boots)) == len(boots), f"{process} had two writers"


MODULES = {  # of the command line -> the process; "" where the last argument names it
    "mai.daemon.supervisor": "supervisor",
    "mai.daemon.watchdog": "watchdog",
    "mai.daemon.gateway": "",
    "mai.daemon.models": "",
    "mai.daemon.tools": "",
    "mai.daemon.local": "local-model",
    "mai.daemon.embedder": "embedder",
    "mai.daemon.exporter": "metrics",
    "mai.agents.process": "",
}


@contextmanager
def running(directory: Path) -> Iterator[Daemon]:
    """A daemon that is up, and down afterwards."""
    daemon = Daemon(directory)
    try:
        yield daemon.up()
    finally:
        daemon.mai("down")
