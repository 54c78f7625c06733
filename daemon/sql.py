"""`mai sql`: questions to ledgers in SQL, and nothing but questions.

The file is opened read-only, `query_only` is on, an authorizer lets nothing through but reading, and a question has bounds in
time, rows, bytes and memory. It is read to its end before anything is shown: a slow pager would else hold the read transaction
open, and with it the write-ahead log of a process that works.

The views are made anew on the connection, as this version knows them: so a ledger of an older format has them too, and
nobody is shown what somebody has put into the file under their names.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, Final, NamedTuple

import pysqlite3 as sqlite3

from mai.daemon import apart
from mai.daemon.reader import Reader
from mai.daemon.sql_whole import Progress, lay
from mai.sandbox.errors import Expired, Refused, UsageFault
from mai.sandbox.ledger import fault
from mai.sandbox.place import Place
from mai.sandbox.views import VIEWS

ROWS: Final = 1000  # that are given, if nothing else is said
SECONDS: Final = 30.0
BYTES: Final = 64 << 20  # of all values together
HEAP_BYTES: Final = 512 << 20  # that SQLite may take of this process
STEPS: Final = 20_000  # of SQLite's machine between two looks at the clock
ONLY: Final = "here a ledger is only read"
FORMS: Final = "one SELECT, WITH or EXPLAIN"
LOOKS: Final = "look at: mai sql (the views), SCHEMA.md"
READING: Final = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
ASKED: Final = frozenset({  # pragmas that only tell
    "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "user_version", "data_version",
    "page_count", "page_size", "freelist_count", "compile_options", "function_list", "collation_list",
})  # fmt: skip
UNFIT: Final = frozenset({"load_extension", "fts3_tokenizer", "writefile", "edit"})


class Found(NamedTuple):
    """What a question gave."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    more: bool  # there are more rows than were to be given
    notes: tuple[str, ...] = ()  # what else who asks should know


class _Bounds(NamedTuple):
    rows: int
    seconds: float
    live: bool
    progress: Progress


def ask(
    place: Place,
    processes: Sequence[str],
    query: str,
    given: Sequence[str] = (),
    *,
    rows: int = ROWS,
    seconds: float = SECONDS,
    live: bool = False,
    progress: Progress = lambda *_: None,
) -> Found:
    """Ask each of these ledgers; of several, `process` is the first column. With `live` archived segments are left out.

    Raises NotFound, LedgerFault, and as `_asked`.
    """
    bounds = _Bounds(rows, seconds, live, progress)
    columns, found, notes, more = tuple[str, ...](), list[tuple[Any, ...]](), list[str](), False
    for process in processes:
        one = _one(place, process, query, given, bounds._replace(rows=rows - len(found)))
        alone = len(processes) == 1
        columns = one.columns if alone else ("process", *one.columns)
        found += one.rows if alone else [(process, *row) for row in one.rows]
        notes += one.notes
        if more := one.more:
            break
    return Found(columns, found, more, tuple(notes))


def _one(place: Place, process: str, query: str, given: Sequence[str], bounds: _Bounds) -> Found:
    """One ledger's answer, by who has no rights if we are root."""

    def work(ready: Callable[[], None]) -> Found:
        with closing(Reader(place, process)) as reader:
            return _asked(reader, query, given, bounds, ready)

    columns, rows, more, notes = apart.done(work)
    return Found(tuple(columns), [tuple(row) for row in rows], more, tuple(notes))


def _asked(reader: Reader, query: str, given: Sequence[str], bounds: _Bounds, ready: Callable[[], None]) -> Found:
    """One ledger's answer. Raises UsageFault, Refused, Expired, KeyboardInterrupt. All files are open when `ready` is called."""
    db, archived = reader.connection, bool(reader.archive.upto)
    try:
        _views(reader, whole=archived and not bounds.live, progress=bounds.progress)
    except sqlite3.Error as error:
        raise fault(reader.path, error) from error
    ready()
    until_s = time.monotonic() + bounds.seconds
    db.set_authorizer(_allowed)
    db.set_progress_handler(lambda: time.monotonic() > until_s, STEPS)
    try:
        cursor = db.execute(query, given)
        taken, more = _taken(cursor, bounds.rows)
        columns = tuple(column[0] for column in cursor.description or ())
        cursor.close()
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _fault(error, until_s, bounds.seconds) from error
    except MemoryError as error:
        raise Refused(
            "the question takes more memory than it may have", "ask for less: name columns, a request, a LIMIT"
        ) from error
    if not columns:
        raise UsageFault("that is no question", FORMS)
    return Found(columns, taken, more, (_note(reader),) if archived and bounds.live else ())


def _views(reader: Reader, *, whole: bool, progress: Progress) -> None:
    """Those of this version, in the place of the file's; over the whole journal."""
    db = reader.connection
    db.execute(f"PRAGMA hard_heap_limit={HEAP_BYTES}").fetchall()
    for name in ("trusted_schema=OFF", "cell_size_check=ON"):  # the file may be somebody's who means no good
        db.execute(f"PRAGMA {name}")
    db.execute("PRAGMA query_only=OFF")  # which the ledger is none the less: it was opened read-only
    if whole:
        lay(reader, progress)
    for view in VIEWS:
        db.execute(f"CREATE TEMP VIEW {view.sql}")
    db.execute("PRAGMA query_only=ON")


def _allowed(action: int, first: str | None, second: str | None, base: str | None, view: str | None) -> int:
    if action in READING:
        return int(sqlite3.SQLITE_OK)
    if action == sqlite3.SQLITE_FUNCTION:
        return int(sqlite3.SQLITE_DENY if (second or "").lower() in UNFIT else sqlite3.SQLITE_OK)
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in ASKED:
        return int(sqlite3.SQLITE_OK)
    return int(sqlite3.SQLITE_DENY)


def _taken(cursor: sqlite3.Cursor, most: int) -> tuple[list[tuple[Any, ...]], bool]:
    """So many rows at most, and whether there are more. Raises Refused, sqlite3.Error."""
    taken, size = list[tuple[Any, ...]](), 0
    for row in islice(cursor, most):
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if size > BYTES:
            raise Refused(f"the answer is larger than {BYTES >> 20} MiB", "name the columns that you need, or a LIMIT")
        taken.append(row)
    return taken, len(taken) == most and cursor.fetchone() is not None


def _fault(error: Exception, until_s: float, seconds: float) -> BaseException:
    """What SQLite said, in our words."""
    said = str(error)
    told: dict[str, Callable[[], BaseException]] = {
        "interrupted": lambda: (
            Expired(f"the question took longer than {seconds:g} s", "name a request or a LIMIT, or say --seconds")
            if time.monotonic() > until_s
            else KeyboardInterrupt()  # SQLite heard it first
        ),
        "not authorized": lambda: Refused(ONLY, f"{FORMS}; to change things there are commands"),
        "prohibited": lambda: Refused(f"{ONLY}: {said}", FORMS),
        "one statement": lambda: UsageFault("that is more than one statement", "ask one question at a time"),
        "malformed JSON": lambda: UsageFault("a record is no JSON: somebody has changed it", "mai verify says which"),
    }
    for words, made in told.items():
        if words in said:
            return made()
    return UsageFault(f"SQLite says: {said}", LOOKS)


def _note(reader: Reader) -> str:
    return f"{reader.process}: records 1 to {reader.archive.upto} lie in archived segments, and were left out"
