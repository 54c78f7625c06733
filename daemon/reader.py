"""Ledgers as people's commands open them: read-only, beside the process that writes, one short SELECT at a time.

A read transaction that stays open keeps the write-ahead log from being checkpointed, and the log grows without a bound
(sqlite.org/wal.html#avoiding_excessively_large_wal_files). So every query here has a limit and is read to its end at once.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import pysqlite3 as sqlite3

from mai.daemon.seals import SEALED, Seals
from mai.sandbox.errors import LedgerFault, UsageFault
from mai.sandbox.ledger import Record, body_of, connect, fault
from mai.sandbox.place import Place

if TYPE_CHECKING:
    from sqlite_utils import Database

BATCH = 5000  # records in one SELECT
START = "start the daemon with `mai up FILE`, or name its directory with --state"
NAMED = 12  # names that an error lists
LATEST_NS = 253_000_000_000 * 10**9  # in the year 9987: what a datetime can still hold
COLUMNS = "seq, at_ns, term, boot, kind, request, task, agent, body, prev, digest"

Body = dict[str, Any]  # of a record, decoded


class NotFound(UsageFault):
    """What was named is not there; the hint says what is."""


class Reader:
    """One process's ledger. Raises NotFound if there is none, LedgerFault if it cannot be read; so does each method."""

    def __init__(self, place: Place, process: str) -> None:
        self.process, self.path = process, place.ledger(process)
        self._seals = Seals(place.state)
        if not self.path.exists():
            raise missing(place, process)
        self.connection = connect(self.path, write=False)

    @cached_property
    def db(self) -> "Database":
        """The same connection for queries that show something. Imported late: that takes longer than most queries."""
        from sqlite_utils import Database

        return Database(self.connection, recursive_triggers=False, execute_plugins=False)

    def select(self, query: str, *given: object) -> list[dict[str, Any]]:
        """All rows of one query, which has to have a limit of its own."""
        try:
            return list(self.db.query(query, given))
        except sqlite3.Error as error:
            raise fault(self.path, error) from error

    def records(self, where: str, *given: object, limit: int = BATCH, newest: bool = False) -> list[Record]:
        """The first records in the order of their numbers, or the newest ones backwards, for which some SQL holds."""
        query = f"SELECT {COLUMNS} FROM journal WHERE {where} ORDER BY seq {'DESC' if newest else ''} LIMIT ?"
        return [Record(**row) for row in self.select(query, *given, limit)]

    def portion(self, after: int, upto: int) -> list[tuple[Any, ...]]:
        """The next records behind one, up to another, as plain rows: for who reads them all. Raises what SQLite raises."""
        query = f"SELECT {COLUMNS} FROM journal WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT {BATCH}"
        rows: list[tuple[Any, ...]] = self.connection.execute(query, (after, upto)).fetchall()
        return rows

    def bodies(self, after: int, upto: int) -> list[tuple[int, str, str]]:
        """Number, kind and body of the next records, as `portion`: for who folds them."""
        query = f"SELECT seq, kind, body FROM journal WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT {BATCH}"
        rows: list[tuple[int, str, str]] = self.connection.execute(query, (after, upto)).fetchall()
        return rows

    def plain(self, query: str, *given: object) -> list[tuple[Any, ...]]:
        """All rows of one query, which has to have a bound of its own, as they are."""
        try:
            found: list[tuple[Any, ...]] = self.connection.execute(query, given).fetchall()
        except sqlite3.Error as error:
            raise fault(self.path, error) from error
        return found

    def record(self, seq: int) -> Record | None:
        """The record of this number."""
        return next(iter(self.records("seq = ?", seq, limit=1)), None)

    def of_request(self, request: str) -> Iterator[Record]:
        """All records of a request, in order; read in portions."""
        after = 0
        while found := self.records("request = ? AND request <> '' AND seq > ?", request, after):
            yield from found
            after = found[-1].seq

    def blob(self, address: str) -> bytes | None:
        """What lies at an address, whatever it is; None if there is nothing."""
        rows = self.plain("SELECT value FROM blob WHERE address = ? LIMIT 1", address)
        return bytes(rows[0][0]) if rows else None

    def last(self) -> int:
        """The number of the newest record; 0 if there is none."""
        try:
            number: int | None = self.connection.execute("SELECT MAX(seq) FROM journal").fetchone()[0]
        except sqlite3.Error as error:
            raise fault(self.path, error) from error
        return number or 0

    def body(self, record: Record, *, trust: bool = False) -> str:
        """The JSON text of a record's body, wherever it lies; `trust`: its digest was looked at. Raises LedgerFault."""
        return body_of(self.connection, record, trust=trust)

    def body_of(self, seq: int, body: str) -> str:
        """The same for a record of this number, of which only the body is at hand."""
        return body_of(self.connection, Record(seq, 0, 0, "", "", "", "", "", body, b"", b""), trust=True)

    def fields(self, record: Record) -> Body:
        """A record's body, decoded; what is no JSON object (somebody has changed it) is given whole under ``unreadable``."""
        try:
            found = msgspec.json.decode(self.body(record), type=Body)
            return self._seals.open(found) if SEALED in found else found
        except LedgerFault as error:
            return {"unreadable": error.sentence}
        except msgspec.MsgspecError:
            return {"unreadable": record.body}

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


def clock(at_ns: int) -> datetime:
    """The local time of a record; whatever number stands there."""
    return datetime.fromtimestamp(min(max(at_ns, 0), LATEST_NS) / 1e9).astimezone()


def missing(place: Place, process: str) -> NotFound:
    """The error for a process, or a client, that has no ledger."""
    known = place.processes()
    if not known:
        return NotFound(f"no ledger lies in {place.state}", START)
    return NotFound(f"there is no process {process!r}", f"there are {listed(known)}")


def listed(names: Sequence[str]) -> str:
    """Some names for a sentence, not too many."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def chosen(place: Place, what: str | None) -> list[str]:
    """The processes that somebody means: all of them (None), one client's, or one. Raises NotFound."""
    found = [process for process in place.processes() if what is None or what in (process, process.partition("/")[0])]
    if not found:
        raise missing(place, what or "")
    return found


def opened(place: Place, processes: Sequence[str]) -> Iterator[Reader]:
    """Each of these ledgers in turn, closed before the next."""
    for process in processes:
        reader = Reader(place, process)
        try:
            yield reader
        finally:
            reader.close()
