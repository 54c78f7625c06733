"""`mai trace REQUEST`: the tree of hops of one request, put together from the journals of all of a client's processes.

The ids of tasks derive from their cause, so that they say the tree: `request/1` is the first part of a request, `.2`
behind a task the second that was handed on from it, `.m3` what its third step asked for through Mai. The times are those
of the records; all processes of a client read the same clock.
"""

from collections import Counter
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from mai.daemon.reader import NotFound, Reader, chosen, listed, opened
from mai.daemon.trace_folding import Fold
from mai.daemon.tree import Note, Trace
from mai.sandbox.bodies import REMOVED
from mai.sandbox.errors import LedgerFault
from mai.sandbox.place import Place

MOST: Final = 20_000  # records of one request in one ledger
MOST_CASES: Final = 20
RECENT: Final = 5  # requests that an error names
LATELY: Final = 50_000  # records that are looked through for them
UNREAD: Final = "cannot be read: mai verify"  # of another version, or changed
THINNED: Final = "can only be counted: retention has removed what they say"


class Known(NamedTuple):
    """A request by its whole name."""

    client: str
    request: str


# -- finding it
def find(place: Place, name: str) -> Known:
    """The request that is meant by an id, by a beginning that no other has, or by `client/id`. Raises NotFound."""
    client, slash, start = name.rpartition("/")
    mais = [process for process in chosen(place, client if slash else None) if process.endswith("/mai")]
    found = [Known(reader.process.partition("/")[0], one) for reader in opened(place, mais) for one in _matching(reader, start)]
    exact = [known for known in found if known.request == start]
    match exact or found:
        case [one]:
            return one
        case []:
            recent = [one for reader in opened(place, mais) for one in _recent(reader)]
            hint = f"recent ones are {listed(recent)}" if recent else "nobody has asked anything yet"
            raise NotFound(f"no request begins with {start!r}", hint)
        case several:
            names = [f"{known.client}/{known.request}" for known in several]
            raise NotFound(f"{start!r} is not enough to tell which request", f"there are {listed(names)}")


def _matching(reader: Reader, start: str) -> list[str]:
    """The requests that begin so; the one that is named just so is the first in this order."""
    return reader.requests(start, RECENT) if start else []


def _recent(reader: Reader) -> list[str]:
    """The last requests that were answered here, newest first."""
    found = reader.records("seq > ? AND kind = 'request.ended'", reader.last() - LATELY, limit=RECENT, newest=True)
    return [one.request for one in found]


# -- reading it
def trace(place: Place, name: str) -> Trace:
    """The whole tree of a request. Raises NotFound, LedgerFault."""
    return of(place, find(place, name))


def of(place: Place, known: Known) -> Trace:
    """The whole tree of a request that is known to be there, with the cases that its claims were in. Raises LedgerFault."""
    processes = sorted(chosen(place, known.client), key=lambda process: not process.endswith("/mai"))  # first who accepted it
    readers = [Reader(place, process) for process in processes]
    try:
        fold = _folded(Fold(known.client, known.request), readers)
        found = fold.whole()
        cases = [_folded(Fold(known.client, case, found.accepted_ns), readers) for case in islice(fold.cases, MOST_CASES)]
        found.cases = [case.whole() for case in cases]
    finally:
        for reader in readers:
            reader.close()
    return found


def _folded(fold: Fold, readers: list[Reader]) -> Fold:
    for reader in readers:
        unread = Counter[str]()
        for count, record in enumerate(reader.of_request(fold.trace.request)):
            if count == MOST:
                fold.trace.notes.append(Note(0.0, f"of {reader.process} only the first {MOST:,} records are here", "cut"))
                break
            try:
                fold.add(reader.process, record, reader.body(record))
            except (msgspec.MsgspecError, LedgerFault, KeyError, TypeError, AttributeError):
                unread[THINNED if record.body == REMOVED else UNREAD] += 1
        for why, count in unread.items():
            said = "1 record" if count == 1 else f"{count:,} records"
            fold.trace.notes.append(Note(0.0, f"{said} of {reader.process} {why}", "cut"))
    return fold


def fields(found: Trace) -> dict[str, Any]:
    """The trace as scripts read it."""
    data: dict[str, Any] = msgspec.to_builtins(found)
    return data
