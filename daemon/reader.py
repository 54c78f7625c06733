"""Ledgers as people's commands open them: read-only, beside the process that writes, one short SELECT at a time.

A read transaction that stays open keeps the write-ahead log from being checkpointed, and the log grows without a bound
(sqlite.org/wal.html#avoiding_excessively_large_wal_files). So every query here has a limit and is read to its end at once.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pysqlite3 as sqlite3

from mai.daemon.seals import SEALED, Seals
from mai.sandbox.archive import Archive
from mai.sandbox.bodies import REMOVED
from mai.sandbox.bounds import LAST, Bounds, bounds
from mai.sandbox.errors import LedgerFault, UsageFault
from mai.sandbox.ledger import Record, body_of, connect, fault
from mai.sandbox.place import Place
from mai.sandbox.record import COLUMNS

if TYPE_CHECKING:
    from sqlite_utils import Database

BATCH = 5000  # records in one SELECT
START = "start the daemon with `mai up FILE`, or name its directory with --state"
NAMED = 12  # names that an error lists
LATEST_NS = 253_000_000_000 * 10**9  # in the year 9987: what a datetime can still hold

Body = dict[str, Any]  # of a record, decoded
Row = TypeVar("Row", bound=tuple[Any, ...])


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
        try:
            self.archive = Archive(self.connection, self.path.parent)
        except (sqlite3.Error, ValueError) as error:
            self.connection.close()
            raise fault(self.path, error if isinstance(error, sqlite3.Error) else sqlite3.DatabaseError("malformed")) from error
        self._sieve: sqlite3.Connection | None = None  # in memory: conditions in SQL on records that come from segments

    @cached_property
    def db(self) -> "Database":
        """The same connection for queries that show something. Imported late: that takes longer than most queries."""
        from sqlite_utils import Database

        return Database(self.connection, recursive_triggers=False, execute_plugins=False)

    @cached_property
    def made_ns(self) -> int:
        """When the ledger was made, also of a copy; 0: nobody knows."""
        found = self.plain("SELECT value FROM meta WHERE key = 'created_ns' LIMIT 1")
        return int(found[0][0]) if found else 0

    def select(self, query: str, *given: object) -> list[dict[str, Any]]:
        """All rows of one query, which has to have a limit of its own."""
        try:
            return list(self.db.query(query, given))
        except sqlite3.Error as error:
            raise fault(self.path, error) from error

    def records(self, where: str, *given: object, limit: int = BATCH, newest: bool = False) -> list[Record]:
        """The first records in the order of their numbers, or the newest ones backwards, for which some SQL holds.

        Of what is rotated only those blocks are unpacked that bounds.py understands to be meant.
        """
        wanted, plain = bounds(where, given)
        query = f"SELECT {COLUMNS} FROM journal WHERE {where} ORDER BY seq {'DESC' if newest else ''} LIMIT ?"
        try:
            return self._found(
                wanted,
                lambda count: [Record(*row) for row in self.connection.execute(query, (*given, count))],
                lambda within: self._sifted(within, () if plain else (where, *given), newest),
                limit,
                newest=newest,
            )
        except sqlite3.Error as error:
            raise fault(self.path, error) from error

    def _found(
        self,
        wanted: Bounds,
        live: Callable[[int], list[Row]],
        rotated: Callable[[Bounds], Iterator[Row]],
        limit: int,
        *,
        newest: bool = False,
    ) -> list[Row]:
        """From segments and from the journal that goes on, which is cut beside us: none is left out, none comes twice.

        A row begins with the number of its record.
        """
        found: list[Row] = []
        if newest:
            found = live(limit)
            upto = self.archive.refresh()  # after: what it had before the cut was in what we read
            upto = min(upto, found[-1][0] - 1) if found else upto
            if len(found) < limit and wanted.met(1, upto):
                found += islice(rotated(wanted._replace(upto=min(wanted.upto, upto))), limit - len(found))
            return found
        done = wanted.after
        while True:
            upto = min(self.archive.upto, wanted.upto)
            if done < upto:
                found += islice(rotated(wanted._replace(after=done, upto=upto)), limit - len(found))
                done = upto
            if len(found) >= limit or done >= wanted.upto:
                return found
            more = live(limit - len(found))
            if self.archive.refresh() <= max(done, upto):  # not cut meanwhile, or not beyond where we are
                return found + more

    def _sifted(self, within: Bounds, condition: tuple[object, ...], newest: bool) -> Iterator[Record]:
        """Records of segments within these bounds, for which the SQL holds as well."""
        records = self.archive.records(within, newest=newest)
        while condition and (some := list(islice(records, BATCH))):
            yield from self._sieved(some, str(condition[0]), condition[1:])
        yield from records

    def _sieved(self, some: list[Record], where: str, given: tuple[object, ...]) -> Iterator[Record]:
        if self._sieve is None:
            self._sieve = sqlite3.connect(":memory:", isolation_level=None)
            self._sieve.execute(f"CREATE TABLE journal({COLUMNS})")
        self._sieve.execute("DELETE FROM journal")
        self._sieve.executemany(f"INSERT INTO journal VALUES({','.join('?' * len(Record._fields))})", some)
        fits = {seq for (seq,) in self._sieve.execute(f"SELECT seq FROM journal WHERE {where}", given)}
        return (one for one in some if one.seq in fits)

    def portion(self, after: int, upto: int) -> list[tuple[Any, ...]]:
        """The next records behind one, up to another, as plain rows: for who reads them all. Raises as `bodies`."""
        return self._portion(COLUMNS, self.archive.records, after, upto)

    def bodies(self, after: int, upto: int) -> list[tuple[int, str, str]]:
        """Number, kind and body of the next records, as `portion`. Raises what SQLite raises, LedgerFault of segments."""

        def rotated(wanted: Bounds) -> Iterator[tuple[int, str, str]]:
            return ((one.seq, one.kind, one.body) for one in self.archive.records(wanted))

        return self._portion("seq, kind, body", rotated, after, upto)

    def _portion(self, columns: str, rotated: Callable[[Bounds], Iterator[Row]], after: int, upto: int) -> list[Row]:
        query = f"SELECT {columns} FROM journal WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"

        def live(count: int) -> list[Row]:
            return self.connection.execute(query, (after, upto, count)).fetchall()  # type: ignore[no-any-return]

        return self._found(Bounds(after, upto), live, rotated, BATCH)

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

    def removed(self, seq: int) -> str:
        """Since when and why a record, or its body, is not kept any more; "" if it is."""
        self.archive.refresh()
        entry = self.archive.gap(seq) or self.archive.thinned(seq)
        if entry is None or (entry.kept == "some" and not self._thinned(seq)):
            return ""
        said = self.record(entry.seq)
        on = f" on {clock(said.at_ns):%Y-%m-%d}" if said else ""
        why = f" ({self.fields(said).get('why')})" if said and entry.kept == "none" else ""
        return f"was removed by retention{on}{why}"

    def _thinned(self, seq: int) -> bool:
        record = self.record(seq)
        return record is not None and record.body == REMOVED

    def digest(self, seq: int) -> bytes | None:
        """The digest of a record, also of one that was removed since, if it was the last of its segment."""
        found = self.record(seq)
        return found.digest if found else self.archive.head(seq)

    def span(self, after: int) -> tuple[int, int, int] | None:
        """The first number, the earliest and the latest time of all records behind one; None if there are none."""
        found = self.plain("SELECT MIN(seq), MIN(at_ns), MAX(at_ns) FROM journal WHERE seq > ?", after)
        gone = [one for one in self.archive.entries if one.last > after]  # whole segments, which is near enough
        first = after + 1 if gone else found[0][0]
        if first is None:
            return None
        times = [ns for one in gone for ns in (one.since_ns, one.until_ns)] + [ns for ns in found[0][1:] if ns is not None]
        return first, min(times), max(times)

    def of_request(self, request: str) -> Iterator[Record]:
        """All records of a request, in order; read in portions."""
        after = 0
        while found := self.records("request = ? AND request <> '' AND seq > ?", request, after):
            yield from found
            after = found[-1].seq

    def of_kinds(self, kinds: Collection[str], after: int, upto: int, limit: int = LAST) -> list[Record]:
        """All records of these kinds behind one, up to another, or so many of them: who asks bounds it by these numbers."""
        marks = ", ".join("?" * len(kinds))
        return self.records(f"seq > ? AND seq <= ? AND kind IN ({marks})", after, upto, *kinds, limit=limit)

    def requests(self, start: str, count: int) -> list[str]:
        """The first requests, in the order of their names, that begin so."""
        end = f"{start}\U0010ffff"
        query = (
            "SELECT DISTINCT request FROM journal WHERE request >= ? AND request < ? AND request <> '' ORDER BY request LIMIT ?"
        )
        live = [name for (name,) in self.plain(query, start, end, count)]
        self.archive.refresh()
        return sorted({*live, *self.archive.requests(start, end, count)})[:count]

    def blob(self, address: str) -> bytes | None:
        """What lies at an address, whatever it is; None if there is nothing."""
        rows = self.plain("SELECT value FROM blob WHERE address = ? LIMIT 1", address)
        return bytes(rows[0][0]) if rows else self.archive.blob(address)

    def last(self) -> int:
        """The number of the newest record; 0 if there is none."""
        try:
            query = "SELECT COALESCE((SELECT MAX(seq) FROM journal), (SELECT upto FROM rotated), 0)"
            number: int = self.connection.execute(query).fetchone()[0]
        except sqlite3.Error as error:
            raise fault(self.path, error) from error
        return number

    def body(self, record: Record, *, trust: bool = False) -> str:
        """The JSON text of a record's body, wherever it lies; `trust`: its digest was looked at. Raises LedgerFault."""
        return body_of(self.connection, record, trust=trust, elsewhere=self.archive.blob)

    def body_of(self, seq: int, body: str) -> str:
        """The same for a record of this number, of which only the body is at hand."""
        return self.body(Record(seq, 0, 0, "", "", "", "", "", body, b"", b""), trust=True)

    def fields(self, record: Record) -> Body:
        """A record's body, decoded; what is no JSON object (somebody has changed it) is given whole under ``unreadable``."""
        try:
            found = msgspec.json.decode(self.body(record), type=Body)
            return self._seals.open(found) if SEALED in found else found
        except LedgerFault as error:
            now = self._now(record)
            return self.fields(now) if now and now.body != record.body else {"unreadable": error.sentence}
        except msgspec.MsgspecError:
            return {"unreadable": record.body}

    def _now(self, record: Record) -> Record | None:
        """The same record as it is now: retention or an erasure may have taken its text since it was read."""
        with suppress(LedgerFault):
            return self.record(record.seq)
        return None

    def close(self) -> None:
        """Close the files."""
        self.archive.close()
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
