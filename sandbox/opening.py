"""A ledger before it is opened to be written: is it ours, and whole as far as that is quickly seen?"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pysqlite3 as sqlite3

from mai.sandbox import made
from mai.sandbox.bodies import RESTORE, fault, read, sound
from mai.sandbox.bounds import Bounds
from mai.sandbox.errors import LedgerFault
from mai.sandbox.place import FORMAT
from mai.sandbox.whole import gone

TAIL: Final = 32  # records that are looked at


def look(path: Path, process: str, connect: Callable[..., sqlite3.Connection]) -> None:
    """Is this our ledger, whole as far as that is quickly seen? Read-only: what is not stays as it is, its log too."""
    if lost := made.lost(path):
        raise LedgerFault(lost, made.way_out(path))
    if not path.exists() or path.with_name(f"{path.name}-journal").exists():
        return  # not there yet, or the power went while it was made: only who may write can undo that
    db = connect(path, write=False)
    try:
        pages, page_bytes = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        if lacking := gone(path, page_bytes, pages):
            raise LedgerFault(f"the ledger {path} was cut short: {lacking}", RESTORE)
        if format_ := db.execute("PRAGMA user_version").fetchone()[0]:
            _ours(db, format_, path, process)
            last = db.execute("SELECT COALESCE(MAX(seq), 0) FROM journal").fetchone()[0]
            for record in read(db, Bounds(max(0, last - TAIL))):
                sound(db, record)
        elif made.had(path) is not None:
            raise LedgerFault(f"the ledger {path} is empty, and was not", made.way_out(path))
    except sqlite3.Error as error:
        raise fault(path, error) from error
    finally:
        db.close()


def _ours(db: sqlite3.Connection, format_: int, path: Path, process: str) -> None:
    if format_ > FORMAT:
        raise LedgerFault(
            f"the ledger {path} is of format {format_}, this version reads up to {FORMAT}",
            "install the newer version again",
        )
    owner = db.execute("SELECT value FROM meta WHERE key='process'").fetchone()
    if (owner[0] if owner else "nobody") != process:
        raise LedgerFault(
            f"the ledger {path} belongs to {owner[0] if owner else 'nobody'}, not to {process}",
            "put each ledger back in its place",
        )
