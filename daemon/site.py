"""`mai export --datasette`: a directory that Datasette serves as a site to browse: copies of ledgers, described, with questions.

    datasette DIRECTORY

The ledgers are one consistent cut (backup.py), each a file of its own under the name of its process, with the views of this
version and with what its archived segments hold. They are for reading: to verify or restore there are `mai client export` and
`mai backup`.
"""

import contextlib
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pysqlite3 as sqlite3

from mai.daemon.backup import Kept, Progress, copied, quiet, whole
from mai.daemon.reader import Reader
from mai.daemon.sql_whole import portions
from mai.sandbox.errors import UsageFault
from mai.sandbox.ledger import blob_of
from mai.sandbox.place import Place
from mai.sandbox.views import STATEMENTS, VIEWS

METADATA: Final = "metadata.json"  # what Datasette reads from a directory; 1.0 has questions and settings in CONFIG
CONFIG: Final = "datasette.json"
SETTINGS: Final = {"default_page_size": 50, "sql_time_limit_ms": 10_000, "truncate_cells_html": 400, "facet_time_limit_ms": 2_000}
EVERYWHERE: Final = {
    "one_request": (
        "Everything about a request",
        "SELECT seq, at, kind, task, agent, body FROM records WHERE request = :request AND request <> '' ORDER BY seq",
    ),
    "kinds": (
        "What there is",
        "SELECT kind, count(*) AS records, min(seq) AS first, max(seq) AS last FROM journal GROUP BY kind ORDER BY 2 DESC",
    ),
    "latest": ("The last records", "SELECT seq, at, kind, request, task, agent, body FROM records ORDER BY seq DESC LIMIT 200"),
    "refused": ("What was refused, and by which rule", "SELECT * FROM refusals ORDER BY seq DESC LIMIT 200"),
}
OF_MAI: Final = {
    "not_answered": ("Requests that were not answered", "SELECT * FROM requests WHERE state <> 'answered' ORDER BY at DESC"),
    "by_persons": (
        "What waited for persons",
        "SELECT at, request, agent, name, state, by, note, decided FROM approvals ORDER BY seq DESC",
    ),
    "slowest": (
        "The slowest answers",
        "SELECT request, at, elapsed_ms, text, answer FROM requests ORDER BY elapsed_ms DESC LIMIT 50",
    ),
}
OF_DEPARTMENTS: Final = {
    "one_task": (
        "A task, step by step",
        "SELECT n, at, call, given, value, refused, text FROM steps WHERE request = :request AND task = :task ORDER BY n",
    ),
    "effects_not_done": ("Effects that are not done", "SELECT * FROM effects WHERE state <> 'done' ORDER BY seq DESC"),
    "who_knew": (
        "Who read or wrote a key",
        'SELECT at, agent, did, level, "key", value, rule FROM memory_log WHERE "key" = :key ORDER BY seq',
    ),
}
OF_MODELS: Final = {
    "spent": (
        "What was spent, by agent and model",
        "SELECT agent, model, count(*) AS calls, sum(input_tokens) AS read, sum(output_tokens) AS written, sum(cost) AS cost "
        "FROM calls GROUP BY 1, 2 ORDER BY cost DESC",
    ),
}
QUESTIONS: Final = {"every process": EVERYWHERE, "Mai": OF_MAI, "departments": OF_DEPARTMENTS, "models": OF_MODELS}


def build(place: Place, processes: list[str], directory: Path, progress: Progress = quiet) -> tuple[Kept, ...]:
    """Write the directory, which is there whole or not at all. Raises MaiError."""
    if directory.exists():
        raise UsageFault(f"{directory} exists", "name a directory that does not; each copy has its own")
    with whole(directory) as part:
        room = part / "ledgers"
        made = copied(place, processes, room, progress, common=())
        for one in made.ledgers:
            target = part / f"{name(one.process)}.db"
            (room / one.path).rename(target)
            _prepare(place, one.process, target)
        shutil.rmtree(room)
        described = metadata(made.ledgers, made.made_ms)
        _write(part / METADATA, described)
        questions = {name_: {"queries": one["queries"]} for name_, one in described["databases"].items()}
        _write(part / CONFIG, {"settings": SETTINGS, "databases": questions})
        _write(part / "settings.json", SETTINGS)
    return made.ledgers


def name(process: str) -> str:
    """What Datasette calls a ledger: no slash, which would be one of an address."""
    return process.replace("/", "-")


def _prepare(place: Place, process: str, copy: Path) -> None:
    """The views of this version, and what was archived."""
    with contextlib.closing(sqlite3.connect(str(copy), isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        for (view,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'view'").fetchall():
            db.execute(f'DROP VIEW "{view}"')
        for statement in STATEMENTS:
            db.execute(statement)
        if archived := (db.execute("SELECT upto FROM rotated").fetchone() or (0,))[0]:
            _restore(place, process, db, archived)
        db.execute("COMMIT")


def _restore(place: Place, process: str, db: sqlite3.Connection, upto: int) -> None:
    """Put back into a copy what lies in segments: records, and the values that they point to."""
    db.execute("DROP TRIGGER journal_insert")
    with contextlib.closing(Reader(place, process)) as reader:
        for rows, values in portions(reader, upto, lambda address: blob_of(db, address) is not None):
            db.executemany("INSERT OR IGNORE INTO journal VALUES(?,?,?,?,?,?,?,?,?,?,?)", rows)
            db.executemany("INSERT INTO blob VALUES(?, ?)", values)


def _write(path: Path, value: Any) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1))


def metadata(ledgers: tuple[Kept, ...], made_ms: int) -> dict[str, Any]:
    """Titles, what each table and column is, and questions, as Datasette reads them."""
    at = datetime.fromtimestamp(made_ms / 1000, UTC).isoformat(timespec="seconds")
    tables = {
        view.name: {
            "description": f"{view.about} Has rows in ledgers of: {view.where}.",
            "columns": {column.name.strip('"'): column.about for column in view.columns},
        }
        for view in VIEWS
    }
    return {
        "title": "What is on record",
        "description": f"Copies of the ledgers as they were at {at}. SCHEMA.md of mai describes them.",
        "databases": {
            name(one.process): {
                "description": f"The ledger of {one.process}, up to record {one.seq}, whose digest is {one.head}",
                "tables": tables,
                "queries": {key: {"title": title, "sql": sql} for key, (title, sql) in _questions(one.process).items()},
            }
            for one in ledgers
        },
    }


def _questions(process: str) -> dict[str, tuple[str, str]]:
    """Of a process."""
    _, _, department = process.partition("/")
    own: dict[str, tuple[str, str]] = {"": {}, "mai": OF_MAI, "models": OF_MODELS}.get(department, OF_DEPARTMENTS)
    return {**own, **EVERYWHERE}
