"""Power cuts under our own ledger: a VFS in Python remembers what each file held at its last sync, and loses what came after.

    python tests/power.py [CUTS]      200 cuts with synchronous=FULL, and as many with OFF, which has to lose something

`kill -9` cannot show this: the page cache survives it. At a cut each write since the last sync is kept, lost or torn at a
sector, by the seed; so are the last syncs of nothing. The ledger is `mai.sandbox.ledger.Ledger` itself: in this process apsw
stands where it imports pysqlite3 from, so its pragmas, its transaction and its order of acknowledgement are what is tried.
Never import this in a process that has pysqlite3 open on the same files: two SQLite libraries drop each other's locks.
"""

import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import apsw

SECTOR_BYTES = 512
FULL_CUTS = 200
FORMAT_1_ROWS = 40


class Cut(Exception):
    """The power is gone."""


class Disk:
    """What the disk has of each file, what was written since, and when the power goes."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.synced: dict[str, bytearray | None] = {}  # None: the directory does not know it yet
        self.pending: dict[str, list[tuple[int, bytes | None]]] = {}  # (offset, data), or (length, None) for a truncation
        self.left = -1  # operations until the cut; negative: never
        self.counts: Callable[[str], bool] = lambda path: True  # which operations count
        self.over = False

    def knows(self, path: str) -> None:
        """A file is opened: what it holds now was there before the power came on, or it is new."""
        if path not in self.synced:
            file = Path(path)
            old = file.exists() and file.stat().st_size
            self.synced[path] = bytearray(file.read_bytes()) if old else None
            self.pending[path] = []

    def operation(self, path: str) -> None:
        """One more thing is asked of the disk. Raises Cut."""
        if self.over:
            return  # what closes the connections afterwards
        if self.left == 0:
            raise Cut
        if self.left > 0 and self.counts(path):
            self.left -= 1

    def sync(self, path: str) -> None:
        """All that was written to a file is on the disk."""
        self.synced[path] = self._after(path, lambda: True)
        self.pending[path] = []

    def _after(self, path: str, kept: Callable[[], bool]) -> bytearray:
        data = bytearray(self.synced[path] or b"")
        for at, written in self.pending[path]:
            if written is None:
                if kept():
                    del data[at:]
                continue
            for start in range(0, len(written), SECTOR_BYTES):
                if kept():
                    sector, offset = written[start : start + SECTOR_BYTES], at + start
                    data.extend(bytes(max(0, offset + len(sector) - len(data))))
                    data[offset : offset + len(sector)] = sector
        return data

    def leave(self, target: Path) -> None:
        """Write what is left after the cut into another directory; how much of the cache got there differs from cut to cut."""
        self.over = True
        share = self.rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for path, durable in self.synced.items():
            found = self._after(path, lambda: self.rng.random() < share)
            if durable is not None or (found and self.rng.random() < share):
                (target / Path(path).name).write_bytes(found)


class Vfs(apsw.VFS):
    """SQLite's own, with the disk between."""

    def __init__(self, disk: Disk) -> None:
        super().__init__("power", "")
        self.disk = disk

    def xOpen(self, name: Any, flags: list[int]) -> "File":
        return File(self.disk, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:
        self.disk.operation(name)
        super().xDelete(name, sync)
        if not self.disk.over:
            self.disk.synced.pop(name, None)
            self.disk.pending.pop(name, None)


class File(apsw.VFSFile):
    """One file: reads come from the real one, which is the cache; syncs go to the disk alone."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self.disk = disk
        self.path: str = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        if self.path:
            disk.knows(self.path)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self.path:
            self.disk.operation(self.path)
            self.disk.pending[self.path].append((offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, length: int) -> None:
        if self.path:
            self.disk.operation(self.path)
            self.disk.pending[self.path].append((length, None))
        super().xTruncate(length)

    def xSync(self, flags: int) -> None:
        if self.path:
            self.disk.operation(self.path)
            self.disk.sync(self.path)  # and not the real file, whose disk nobody turns off


# -- apsw, as far as the ledger uses DB-API
class Cursor:
    """The rows of one statement."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self._rows = rows

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The others."""
        return list(self._rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows


class Connection:
    """One connection, on the failing disk if there is one."""

    def __init__(self, name: str, vfs: str | None) -> None:
        flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        reading = name.endswith("mode=ro") and vfs
        self._db = apsw.Connection(name.replace("mode=ro", "mode=rw") if reading else name, flags=flags, vfs=vfs)
        if vfs:  # a VFS in Python has no shared memory
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        if reading:  # a reader leaves the log alone
            self._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

    def execute(self, statement: str, given: tuple[Any, ...] = ()) -> Cursor:
        """Run one statement; as in DB-API its first step is done at once."""
        cursor = self._db.execute(statement, given)
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            cursor.fetchall()
        return Cursor(cursor)

    def executemany(self, statement: str, given: Any) -> None:
        """Run one statement for each of these."""
        for values in given:
            self._db.execute(statement, values).fetchall()

    def executescript(self, statements: str) -> None:
        """Run them all."""
        self._db.execute(statements).fetchall()

    @property
    def in_transaction(self) -> bool:
        """Is one open?"""
        return bool(self._db.in_transaction)

    def close(self) -> None:
        """Let the file go."""
        self._db.close(True)


def adapter(vfs: str | None) -> ModuleType:
    """A module for the place of pysqlite3; `vfs` can be set on it."""
    module: Any = ModuleType("pysqlite3")
    module.vfs = vfs
    module.Error = module.OperationalError = module.DatabaseError = apsw.Error
    module.Connection = Connection
    module.sqlite_version = apsw.sqlite_lib_version()
    module.sqlite_version_info = tuple(map(int, module.sqlite_version.split(".")))
    module.connect = lambda name, **_: Connection(name, module.vfs)
    return module  # type: ignore[no-any-return]


SQLITE: Any = adapter(None)


def said(*given: Any) -> None:
    """Tell of an exception that nobody catches, unless it is the power cut."""
    if Cut not in (given[0], getattr(given[0], "exc_type", None)):
        (sys.__excepthook__ if len(given) > 1 else sys.__unraisablehook__)(*given)


def prepared(synchronous: str) -> Any:
    """The ledger's module, on apsw; checkpoints come often, so that many are cut."""
    sys.modules["pysqlite3"] = SQLITE
    sys.excepthook = sys.unraisablehook = said  # apsw tells of what a callback raised where nobody can catch it
    from mai.sandbox import ledger

    ours: dict[str, tuple[str, str, object]] = {"wal_autocheckpoint": ("wal_autocheckpoint", "25", 25)}
    if synchronous == "OFF":
        ours["synchronous"] = ("synchronous", "OFF", 0)
    module: Any = ledger
    module.PRAGMAS = tuple(ours.get(pragma[0], pragma) for pragma in module.PRAGMAS)
    return module


# -- one trial
class Told:
    """What the ledger has acknowledged: after a commit has come back, and never before."""

    def __init__(self) -> None:
        self.seq = self.turn = 0
        self.head = bytes(32)


def work(ledger: Any, told: Told, rng: random.Random) -> None:
    """Turns without end: records, state, large bodies."""
    turn = told.turn
    while True:
        turn += 1
        for _ in range(rng.randint(1, 4)):
            ledger.append("note", b'{"turn":%d,"x":"%s"}' % (turn, b"x" * rng.randint(0, 900)))
        if rng.random() < 0.1:
            ledger.append("large", b'"%s"' % (rng.randbytes(12_000).hex().encode()))
        ledger.save("turn", f"{turn % 17}", b"%d" % turn)
        ledger.save("turn", "last", b"%d" % turn)
        ledger.save("version/department", f"k{turn % 5}/{turn}", b'{"value":"turn %d"}' % turn)
        ledger.save("version/department", f"k{turn % 5}/{turn - 10}", None)
        if rng.random() < 0.2:
            ledger.stage()  # as a search does
        ledger.append("end", b'{"turn":%d}' % turn)
        ledger.commit()
        (told.seq, told.head), told.turn = ledger.durable, turn


def lost(module: Any, path: Path, told: Told) -> str:
    """What is wrong with a ledger after a cut; "" if all that was acknowledged is there and whole."""
    try:
        ledger = module.Ledger(path, "acme/support")
    except module.LedgerFault as error:
        return f"cannot be opened: {error.sentence}"
    try:
        return _lost(module, ledger, told)
    except module.LedgerFault as error:
        return error.sentence  # type: ignore[no-any-return]
    finally:
        ledger.close()


def _lost(module: Any, ledger: Any, told: Told) -> str:
    from mai.sandbox import words

    head, records = module.GENESIS, list(ledger.records())
    for number, record in enumerate(records, 1):
        if (record.seq, record.prev, record.digest) != (number, head, module.digest_of(record)):
            return f"record {number} does not fit into the chain"
        ledger.body(record)
        head = record.digest
    if ledger.seq < told.seq or (told.seq and records[told.seq - 1].digest != told.head):
        return f"{told.seq} records were acknowledged, {ledger.seq} are there"
    state = {key: int(value) for key, value in ledger.load("turn").items()}
    ended = [json.loads(record.body)["turn"] for record in records if record.kind == "end"]
    last = ended[-1] if ended else 0
    if state.get("last", 0) != last or (records and records[-1].kind != "end"):
        return f"the journal ends with turn {last}, the state with {state.get('last', 0)}"
    kept = [("version/department", key, data.decode()) for key, data in ledger.load("version/department").items()]
    if words.due(kept) != words.held(ledger._db):
        return "the full-text index is not what the state says"
    wrong = [turn for turn in range(max(1, last - 16), last + 1) if state.get(f"{turn % 17}") != turn]
    told.seq, told.head, told.turn = ledger.seq, head, last
    return f"the state of turn {wrong[0]} is not there" if wrong else ""


def cut(module: Any, room: tuple[Path, Path], seed: int, where: str, told: Told) -> str:
    """One life on a failing disk, from what lies in one directory until the cut, and what is left of it in another."""
    before, after = room
    rng = random.Random(seed)
    disk = Disk(rng)
    operations = rng.randint(0, 60 if where == "checkpoint" else 400)
    disk.counts = lambda path: where == "anywhere" or not path.endswith("-wal")  # in WAL mode only a checkpoint writes the file
    disk.left = operations
    vfs = Vfs(disk)
    SQLITE.vfs = "power"
    ledger = None
    try:
        ledger = module.Ledger(before / "ledger.db", "acme/support")
        if where == "checkpoint":
            disk.left = operations  # the file is made: from here on it is written by checkpoints alone
        work(ledger, told, rng)
    except (module.LedgerFault, apsw.Error, Cut):
        pass  # how the power cut looks from above
    finally:
        SQLITE.vfs = None
        disk.leave(after)
    del ledger, vfs
    return lost(module, after / "ledger.db", told)


def trial(module: Any, seed: int) -> tuple[str, str]:
    """Two lives and two cuts, the second from what the first has left. Returns where it was cut, and what is wrong."""
    rng = random.Random(seed * 7919)
    where = ("anywhere", "anywhere", "checkpoint", "migration")[seed % 4]
    told = Told()
    with tempfile.TemporaryDirectory(prefix="mai-power-") as room:
        one, two, three = (Path(room, name) for name in ("one", "two", "three"))
        for directory in (one, two, three):
            directory.mkdir()
        if where == "migration":
            return where, migration(module, one, two, seed, rng.randint(0, 45))
        return where, cut(module, (one, two), seed, where, told) or cut(module, (two, three), seed + 1, where, told)


def migration(module: Any, before: Path, after: Path, seed: int, operations: int) -> str:
    """A cut while a ledger of format 1 is brought up to date: all rows are there afterwards, whichever format it has."""
    from tests.formats import format_1

    format_1(Connection((before / "ledger.db").as_uri(), None), "acme/support", FORMAT_1_ROWS)
    disk = Disk(random.Random(seed))
    disk.left = operations
    vfs = Vfs(disk)
    SQLITE.vfs = "power"
    try:
        module.Ledger(before / "ledger.db", "acme/support")
    except (module.LedgerFault, apsw.Error, Cut):
        pass
    finally:
        SQLITE.vfs = None
        disk.leave(after)
    del vfs
    try:
        ledger = module.Ledger(after / "ledger.db", "acme/support")
        rows, records = ledger.load("task"), list(ledger.records())
        ledger.close()
    except module.LedgerFault as error:
        return error.sentence  # type: ignore[no-any-return]
    return "" if len(rows) == len(records) == FORMAT_1_ROWS else f"{len(rows)} rows and {len(records)} records are left"


def main(arguments: list[str]) -> int:
    """`CUTS [SYNCHRONOUS]`: a line of JSON says how many cuts, where, and what was lost; without the second, both are tried.

    The exit status is 0 if FULL has lost nothing, and OFF something.
    """
    cuts = int(arguments[0]) if arguments else FULL_CUTS
    synchronous = arguments[1] if len(arguments) > 1 else "FULL"
    if len(arguments) < 2:
        command = [sys.executable, "-P", __file__, str(cuts)]
        return max(subprocess.run([*command, setting], check=False).returncode for setting in ("FULL", "OFF"))
    module, places, wrong = prepared(synchronous), Counter[str](), dict[str, str]()
    for seed in range(cuts):
        where, what = trial(module, seed)
        places[where] += 1
        if what:
            wrong[f"{seed} {where}"] = what
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{seed + 1} of {cuts} cuts")
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    print(
        json.dumps(
            {
                "synchronous": synchronous,
                "cuts": cuts,
                "where": places,
                "losing": len(wrong),
                "first": dict(list(wrong.items())[:5]),
            }
        )
    )
    return int(bool(wrong) == (synchronous == "FULL"))


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))
    sys.exit(main(sys.argv[1:]))
