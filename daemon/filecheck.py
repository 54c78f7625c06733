"""What a ledger's file is made of beside its records: pages, log, tables, check values, indexes. Part of `mai verify`."""

from collections.abc import Sequence

import pysqlite3 as sqlite3

from mai.daemon.scrub import OLDER, OTHER, REBUILD, RESTORE, Scrub
from mai.sandbox import log, made, words
from mai.sandbox.log import Damage
from mai.sandbox.place import FORMAT, Place
from mai.sandbox.schema import TABLES, crc

POWER = "a power cut leaves that as well: start the process, which goes on from what is whole; then verify again"


def look_at_log(place: Place, process: str) -> Damage | None:
    """Before the ledger is opened, which may begin a new log: where its write-ahead log stops to be one."""
    path = place.ledger(process)
    try:
        return log.damage(path.with_name(f"{path.name}-wal"))
    except OSError:
        return None  # SQLite will say so


def told_of_log(scrub: Scrub, place: Place, before: Damage | None) -> None:
    """Afterwards it still looks like that, so nobody was just writing it."""
    if before is None or look_at_log(place, scrub.process) != before:
        return
    where = f"in frame {before.frame}" if before.frame else "at its beginning"
    lost = f", and {before.lost} transaction{'s' if before.lost != 1 else ''} behind it are lost" if before.lost else ""
    what = f"the write-ahead log is damaged {where}{lost}"
    if before.sure:
        scrub.found(scrub.seq + 1, what, good_seq=scrub.seq)
    else:
        scrub.warn(scrub.seq + 1, what, POWER)


def snapshot(scrub: Scrub, *, whole: bool, fold: bool) -> None:
    """Fix how far is looked, and read the state as it stood then: all of it to `fold`, or only the links.

    With `whole` each row is held against its check value, and the full-text indexes against the rows.
    """
    db = scrub.reader.connection
    db.execute("BEGIN")
    try:
        scrub.upto = scrub.reader.last()
        scrub.format = db.execute("PRAGMA user_version").fetchone()[0]
        if whole and scrub.format == FORMAT:
            _check_values(scrub)
            _words(scrub)
        rows = db.execute("SELECT noun, key, value FROM state WHERE ? OR noun = 'link'", (fold,)).fetchall()
    finally:
        db.execute("ROLLBACK")
    scrub.state = {(noun, key): value for noun, key, value in rows}


def _check_values(scrub: Scrub) -> None:
    """Hold every row of state against its check value; an older format has none."""
    for noun, key, value, check in scrub.reader.connection.execute("SELECT noun, key, value, crc FROM state"):
        if crc(noun, key, value) != check:
            scrub.found(0, f"the row {noun} {key!r} of the state is not what was written: its check value differs", RESTORE)


def _words(scrub: Scrub) -> None:
    """What memory is found by is what stands in its rows. Whether the index itself is whole, SQLite's own check says."""
    db = scrub.reader.connection
    try:
        due, held = words.due(db.execute("SELECT noun, key, value FROM state WHERE noun LIKE 'version/%'")), words.held(db)
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # of a row whose check value has told
        scrub.found(0, f"the full-text index of memory cannot be compared with the state: {error}", REBUILD)
        return
    for shelf, key in sorted(row for row in due.keys() | held.keys() if due.get(row) != held.get(row)):
        scrub.found(0, f"the full-text index of the memory {shelf} does not say of {key!r} what the state says", REBUILD)


def pages(scrub: Scrub) -> None:
    """SQLite's own check: each page, each index against its table, each full-text index.

    It is one long read; while it runs the write-ahead log of a busy process grows.
    """
    said = [row[0] for row in scrub.reader.connection.execute("PRAGMA integrity_check(5)")]
    if said != ["ok"]:
        scrub.found(0, f"the file is damaged: {'; '.join(map(str, said))}", RESTORE)


def tables(scrub: Scrub) -> None:
    """The format, whose ledger it is, the tables and triggers, and how many records there have been."""
    db = scrub.reader.connection
    if scrub.format < FORMAT:
        scrub.found(0, f"the ledger is of format {scrub.format}, this version writes {FORMAT}", OLDER)
    elif scrub.format > FORMAT:
        scrub.found(0, f"the ledger is of format {scrub.format}, this version knows {FORMAT}", OTHER)
    else:
        _schema(scrub)
    had = made.had(scrub.reader.path) or 0
    if had > (last := scrub.reader.last()):
        text = f"the journal ends with record {last}, and had {had}: it was cut, or is an older copy"
        scrub.found(last + 1, text, good_seq=last)
    owner = db.execute("SELECT value FROM meta WHERE key='process'").fetchone()
    scrub.owned(owner[0] if owner else "nobody", 0)


def _schema(scrub: Scrub) -> None:
    indexes = [name.removeprefix(words.TABLE) for name in words.indexed(scrub.reader.connection)]
    ours, theirs = schema(sqlite3.connect(":memory:"), create=True, indexes=indexes), schema(scrub.reader.connection)
    for name in sorted(ours.keys() - theirs.keys()):
        scrub.found(0, f"the {name} was dropped")
    for name in sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]):
        scrub.found(0, f"the {name} is not the one that mai made")
    for name in sorted(theirs.keys() - ours.keys()):
        scrub.found(0, f"the {name} was added", "if it is yours, drop it: it may act on whatever is written")


def schema(db: sqlite3.Connection, *, create: bool = False, indexes: Sequence[str] = ()) -> dict[str, str]:
    """What a database is made of, `trigger journal_insert` -> its SQL; without SQLite's own. `indexes`: shelves that have one."""
    if create:
        db.executescript(TABLES)
        for shelf in indexes:
            db.execute(words.create(shelf))
    rows = db.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    return {f"{type_} {name}": sql for type_, name, sql in rows}
