"""The simulated host: what the processes get instead of clock, randomness, disk, signals and sockets. Their own code stays.

`hosted(host)` puts it in place; one host at a time in an interpreter. A ledger is a database in memory that outlives its
connection; what a connection had not committed when its process was ended is rolled back, as SQLite does it.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pysqlite3 as sqlite3
import zmq

from mai.agents import context, ending, handlers, linked, loop, process, retention_scope, rotating, runner, shell
from mai.daemon import gateway, hearing, reception, spool
from mai.sandbox import ledger, made, points
from tests import sim_company
from tests.sim_letters import PLACES

LOAD = handlers.load
LOOK_NS = 1_000  # that a look at the clock takes
_worlds = itertools.count()
_templates: dict[str, Any] = {}  # by process: a connection to an empty ledger of its


class Disk:
    """The ledgers of one world, by process."""

    def __init__(self) -> None:
        self.number = next(_worlds)
        self.anchors: dict[str, Any] = {}  # they keep the databases, and see what is committed
        self.open: dict[str, list[Any]] = {}

    def connect(self, path: Path, *, write: bool) -> Any:
        """What sandbox.ledger asks for when it opens a file."""
        name = f"{path.parent.parent.name}/{path.parent.name}"
        if name not in self.anchors:
            self.anchors[name] = self._plug(name)
            if name in _templates:
                _templates[name].backup(self.anchors[name])
        db = self._plug(name)
        db.execute("PRAGMA recursive_triggers=ON")
        self.open.setdefault(name, []).append(db)
        return db

    def _plug(self, name: str) -> Any:
        return sqlite3.connect(f"file:/{self.number}.{name.replace('/', '.')}?vfs=memdb", uri=True, isolation_level=None)

    def keep_empty(self, name: str) -> None:
        """If this ledger was just made, and nothing is in it yet: the next world copies it."""
        if name not in _templates and not self.anchors[name].execute("SELECT count(*) FROM journal").fetchone()[0]:
            _templates[name] = sqlite3.connect(":memory:", isolation_level=None)
            self.anchors[name].backup(_templates[name])

    def pull(self, name: str) -> None:
        """The process is gone: its connections are."""
        for db in self.open.pop(name, []):
            db.close()

    def close(self) -> None:
        """The end of this world."""
        for name in list(self.open):
            self.pull(name)
        for db in self.anchors.values():
            db.close()


class Host:
    """What a world says to its processes. `now_ns` is its clock, `starting` the process that is being made."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.now_ns = 1_800_000_000_000_000_000
        self.starting = ""
        self.retention = retention_scope.Retention()
        self.pid = 0

    # -- to be said by the world
    def chance(self) -> float:
        """A random number."""
        raise NotImplementedError

    def noise(self, count: int) -> bytes:
        """Random bytes."""
        raise NotImplementedError

    def heartbeat(self, name: str, state: str) -> None:
        """A process says how it is."""
        raise NotImplementedError

    def dealer(self, name: str) -> Any:
        """A department's end of a wire."""
        raise NotImplementedError

    def router(self) -> Any:
        """Mai's end of all wires."""
        raise NotImplementedError

    def door(self) -> Any:
        """The clients' way to Mai."""
        raise NotImplementedError

    def planning(self) -> Any:
        """What finds the departments."""
        raise NotImplementedError

    def reached(self, point: str) -> None:
        """A process is at one of its points."""
        raise NotImplementedError


class Beating:
    """A Notifier."""

    def __init__(self, host: Host) -> None:
        self._host, self._name = host, host.starting

    def beat(self, state: str, **told: object) -> None:
        """Alive."""
        self._host.heartbeat(self._name, state)

    def stopping(self, status: str = "") -> None:
        """On the way out."""


class Polling:
    """A poller that nobody asks: the world says what is ready."""

    def register(self, *given: object) -> None:
        """Noted by the world already."""


def _like(module: ModuleType, **changed: object) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(module), **changed})


_loaded: dict[Path, ModuleType] = {}


def _load(path: Path, source: bytes) -> ModuleType:
    """The workers' code holds no state of its own: one module for all worlds."""
    if path not in _loaded:
        _loaded[path] = LOAD(path, source)
    return _loaded[path]


def _nothing(*given: object, **named: object) -> None:
    return None


def looked(host: Host) -> int:
    """The clock; to look at it takes a little, so that who waits by looking does not wait for ever."""
    host.now_ns += LOOK_NS
    return host.now_ns


def _places(host: Host) -> list[tuple[Any, str, object]]:
    """Module, name, and what stands there while the world lasts."""
    clock = _like(
        time,
        time_ns=lambda: host.now_ns,
        time=lambda: host.now_ns / 1e9,
        monotonic=lambda: looked(host) / 1e9 - 1_799_000_000,
    )
    quiet: Callable[..., None] = _nothing
    return [
        *((module, "time", clock) for module in (ledger, shell, loop, rotating, runner, context, hearing, spool)),
        (ledger, "os", _like(os, urandom=host.noise)),
        (ledger, "connect", host.disk.connect),
        (made, "had", quiet),  # there are no files
        (made, "remember", quiet),
        (context, "random", host.chance),
        (loop, "host_pid", lambda: host.pid),
        (loop, "Signals", lambda: SimpleNamespace(stop_asked=False)),
        (loop, "Notifier", lambda: Beating(host)),
        (loop, "Lock", quiet),
        (loop, "keep_traceback", lambda home: ""),  # a descriptor for each life: one process has many here
        (loop, "keys", SimpleNamespace(read=lambda home: sim_company.hand(host.starting), stamp=lambda home: ())),
        (loop, "zmq", _like(zmq, Poller=Polling)),
        (loop, "read_mandate", lambda home: sim_company.part(host.starting)),
        (linked, "Dealer", lambda name, *_: host.dealer(name)),
        (gateway, "Router", lambda *_: host.router()),
        (reception, "Doorkeeper", lambda *_: host.door()),
        (gateway, "Planning", lambda *_: host.planning()),
        (gateway, "Room", lambda *_: SimpleNamespace(low=False)),
        (gateway, "Contracts", sim_company.contracts),
        (gateway, "Table", sim_company.table),
        (process, "Contracts", sim_company.contracts),
        (process, "Table", sim_company.table),
        (process, "matcher", sim_company.matched),
        (handlers, "import_from", quiet),
        (handlers, "show", quiet),
        (handlers, "load", _load),
        (runner, "show", quiet),
        (ending, "show", quiet),
        (loop, "Rotating", lambda ledger, kept, free: rotating.Rotating(ledger, host.retention, free)),
        (retention_scope, "LEAST", 10),
        (rotating, "LOOK_S", 1.0),
        *PLACES,
    ]


@contextlib.contextmanager
def hosted(host: Host) -> Iterator[None]:
    """All processes that are made in it live on this host."""
    before = []
    try:
        for module, name, value in _places(host):
            before.append((module, name, getattr(module, name)))
            setattr(module, name, value)
        points.arm(host.reached)
        yield
    finally:
        points.arm(None)
        for module, name, value in reversed(before):
            setattr(module, name, value)
        host.disk.close()
