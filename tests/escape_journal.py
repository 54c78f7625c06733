"""Attempts of the escape campaign: a department's own journal. The file is its own, so they work; `mai verify` finds it out.

That is shown by tests/test_hostile.py. Here everything is put back at once, so that the department can go on.
"""

import os
from contextlib import closing
from pathlib import Path

from tests.escape_kit import Facts, attempt, need


@attempt("journal", "write over a place in its own ledger", listed="one's own journal")
def overwrite(f: Facts) -> object:
    descriptor = os.open(f"{f.home}/ledger.db", os.O_RDWR)
    return os.pwrite(descriptor, os.pread(descriptor, 16, 0), 0)


@attempt("journal", "cut its own ledger", listed="one's own journal")
def cut(f: Facts) -> None:
    descriptor = os.open(f"{f.home}/ledger.made", os.O_RDWR)
    os.ftruncate(descriptor, os.fstat(descriptor).st_size)


@attempt("journal", "put another ledger in the place of its own", listed="one's own journal")
def exchange(f: Facts) -> None:
    path, aside = f"{f.home}/ledger.db", f"{f.home}/ledger.aside"
    os.rename(path, aside)
    os.rename(aside, path)


@attempt("journal", "change its records, without the triggers that refuse it", listed="one's own journal")
def change(f: Facts) -> None:
    import pysqlite3 as sqlite3

    with closing(sqlite3.connect(f"{f.home}/ledger.db", isolation_level=None, timeout=5)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("DROP TRIGGER journal_update")
        changed = db.execute("UPDATE journal SET at_ns = 1 WHERE seq = 1").rowcount
        db.execute("ROLLBACK")
    need(changed == 1, "no record")


@attempt("journal", "write its journal with another's process number in the lock", changes="second_writer")
def steal_lock(f: Facts) -> object:
    """Open the vault's ledger for writing beside it, as if it were its own process."""
    import pysqlite3 as sqlite3

    with closing(sqlite3.connect(f"{f.vault_home}/ledger.db", isolation_level=None, timeout=2)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO blob VALUES('planted', x'00')")
        return db.execute("COMMIT").rowcount


@attempt("journal", "make the daemon forget that there was a ledger", listed="one's own journal")
def forget(f: Facts) -> object:
    marker = Path(f.home, "ledger.made")
    text = marker.read_text()
    marker.unlink()
    return marker.write_text(text)
