"""Ledgers without all that is not journal: copied elsewhere, with their tables of state, views and indexes of words taken out.

What can be shown of them there can be shown of any copy, on any machine, without the organisation and the code that made them.
"""

import shutil
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pysqlite3 as sqlite3

from mai.sandbox import segment_files
from mai.sandbox.place import Place

if TYPE_CHECKING:
    from mai.daemon.replaying import Swept

JOURNAL = frozenset({"journal", "blob", "meta", "rotated", "segment"})  # tables that stay
KINDS = (  # of what goes, in this order: an index of words brings tables of its own
    ("VIEW", "type = 'view'"),
    ("TABLE", "type = 'table' AND sql LIKE 'CREATE VIRTUAL%'"),
    ("TABLE", "type = 'table'"),
)


def bare(place: Place, to: Path) -> Place:
    """Copy each ledger of a place, as it is now, into another directory, and leave of it the journal and its blobs alone."""
    there = Place(to)
    for process in sorted(place.processes(), key=lambda name: name.endswith("/models")):  # others refer to what these have
        there.home(process).mkdir(parents=True, exist_ok=True)
        paths = place.ledger(process), there.ledger(process)
        with closing(sqlite3.connect(paths[0])) as source, closing(sqlite3.connect(paths[1])) as copy:
            source.backup(copy)
            _strip(copy)
        for name in segment_files.found(place.home(process)):
            shutil.copyfile(place.home(process) / name, there.home(process) / name)
    return there


def _strip(db: sqlite3.Connection) -> None:
    for kind, which in KINDS:
        query = f"SELECT name FROM sqlite_schema WHERE {which} AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        for (name,) in db.execute(query).fetchall():
            if name not in JOURNAL:
                db.execute(f'DROP {kind} IF EXISTS "{name}"')
    db.commit()


def swept_bare(place: Place) -> "Swept":
    """Replay all decisions of a place from such copies. Raises LedgerFault."""
    from mai.daemon.replaying import sweep

    with tempfile.TemporaryDirectory(prefix="mai-") as room:
        return sweep(bare(place, Path(room)), None)
