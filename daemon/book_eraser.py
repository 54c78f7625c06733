"""What the watchdog's own ledger holds of a person: last words of processes, reasons, in which a given word stands.

All of that is sealed under the client's key, which stays as long as the client does; so here what was sealed goes, and whoever
reads the record finds that it is gone; in rows of state a marker stands in its place. Done between two turns, as all that the
watchdog writes; segments last, in steps, while nothing is rotated (Book.hold).
"""

import time
from collections.abc import Generator, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from mai.agents import archive_eraser
from mai.agents.archive_eraser import Taken, looked_over
from mai.agents.erased import Redacted, Values
from mai.agents.events import encode
from mai.agents.markers import marker
from mai.agents.reaching import first
from mai.daemon.book import Book
from mai.daemon.person_files import Words
from mai.daemon.seals import SEALED, client_of, owner
from mai.sandbox import made
from mai.sandbox.errors import LedgerFault, MaiError
from mai.sandbox.ledger import Ledger
from mai.sandbox.points import reach
from mai.sandbox.purging import purge, redact
from mai.sandbox.record import BLOB, REDACTED, Record, chain, key_of
from mai.sandbox.references import named

ORDERS: Final = "person"  # the records of erasures themselves, and the rows that number them
TELLING: Final = frozenset({"text", "why"})  # fields that go from a row that is concerned, whatever they say
NAMING: Final = frozenset({"given", "task", "request"})  # and that go if a word stands in them
WAIT_MS: Final = 500  # for who reads the ledger: meanwhile the watchdog does nothing else

Row = tuple[str, str, str, Any]  # noun, key, whose it is, and the value


class About(NamedTuple):
    """Whom it is about."""

    words: Words
    requests: frozenset[str]
    erasure: str


def erase(book: Book, client: str, *, words: Words, requests: frozenset[str], said: Values) -> Generator[bool, None, int]:
    """Empty what concerns these words or requests, in steps; returns how many records. Raises OSError, MaiError.

    `said` is the record about it, without its list. Whoever comes after a death goes on with what the journal lists.
    """
    about = About(words, requests, said.erasure)
    for _ in looked_over(_ledger(book)):
        yield True
    ledger, bodies, texts, listed = _ledger(book), dict[int, str](), list[str](), list[tuple[int, str, str]]()
    for record, body in _of_client(ledger, client):
        hidden = {name: value for name, value in book.seals.open(body).items() if name not in body}
        if _concerned(hidden, about) and (left := _left(body)) != record.body:
            digest = chain(record.prev, record.seq, record.at_ns, record.term, (*record[3:8], left))
            bodies[record.seq] = left
            texts += named(record.body) if record.body.startswith(BLOB) else []
            listed.append((record.seq, record.digest.hex(), digest.hex()))
    rows = list(_rows(book, ledger, client, about))
    if bodies or rows:
        _replace(book, ledger, bodies, msgspec.structs.replace(said, records=tuple(listed), blobs=tuple(texts)), rows)
    events = _said(ledger, said.erasure)
    gone = frozenset(seq for one in events for seq, _, _ in one.records)
    lost = frozenset(text for one in events for text in one.blobs)
    taken = Taken(said.erasure, gone, lost, lambda record: _left(_body(ledger, record)))
    for _ in archive_eraser.erase(ledger, taken):
        yield True
    made.remember(ledger.path, ledger.seq)
    if events and not purge(ledger, wait_ms=WAIT_MS):
        raise MaiError("somebody reads the watchdog's ledger", "it is tried again")
    return len(gone)


def _ledger(book: Book) -> Ledger:
    """The ledger, with nothing left to write. Raises LedgerFault."""
    book.flush(time.monotonic())
    if (ledger := book.ledger) is None:
        raise LedgerFault(f"the watchdog cannot write its ledger: {book.fault}", "make room")
    return ledger


def _concerned(hidden: dict[str, Any], about: About) -> bool:
    ids = (str(hidden.get(name, "")) for name in ("task", "request"))
    return about.words.stand_in(msgspec.json.encode(hidden)) or any(first(one) in about.requests for one in ids)


def _left(body: dict[str, Any]) -> str:
    """A record's body without what was sealed in it."""
    return msgspec.json.encode({**body, SEALED: {**body[SEALED], "box": ""}}).decode()


def _replace(book: Book, ledger: Ledger, bodies: dict[int, str], event: Values, rows: list[Row]) -> None:
    """In one transaction: the bodies, the rows of state, and the record that says so; then in the watchdog's memory."""
    redact(ledger, bodies.items(), event.blobs)
    ledger.append(event.kind, encode(event))
    for seq, _, digest_now in event.records:
        ledger.save(REDACTED, key_of(seq), msgspec.json.encode(Redacted(digest_now, event.erasure)))
    for noun, key, process, value in rows:
        ledger.save(noun, key, msgspec.json.encode(book.seals.seal_row(noun, process, value)))
    ledger.commit()
    for recall in book.recalls:
        recall()
    reach("erase.committed")


def _said(ledger: Ledger, erasure: str) -> list[Values]:
    """What the journal says that this erasure has emptied: in this life, and before."""
    said = (msgspec.json.decode(ledger.body(one), type=Values) for one in ledger.records(0, Values.kind))
    return [one for one in said if one.erasure == erasure]


def _body(ledger: Ledger, record: Record) -> dict[str, Any]:
    text = ledger.body(record) if record.body.startswith(BLOB) else record.body
    return msgspec.json.decode(text, type=dict[str, Any])


def _of_client(ledger: Ledger, client: str) -> Iterator[tuple[Record, dict[str, Any]]]:
    """The records of which something is sealed for this client, each with its body."""
    for record in list(ledger.records()):
        if record.kind != ORDERS and (f'"{SEALED}":' in record.body or record.body.startswith(BLOB)):
            body = _body(ledger, record)
            if client_of(str(body.get("process", ""))) == client and isinstance(body.get(SEALED), dict):
                yield record, body


def _rows(book: Book, ledger: Ledger, client: str, about: About) -> Iterator[Row]:
    """Rows of state about its processes, as they are to be: last incidents, wishes, remedies, and why somebody was given up."""

    def left(fields: Any) -> Any:
        if isinstance(fields, list):
            return [left(one) for one in fields]
        if not isinstance(fields, dict) or not _concerned(fields, about):
            return fields
        named_in = {name for name in NAMING & fields.keys() if about.words.stand_in(msgspec.json.encode(fields[name]))}
        going = [name for name in (TELLING & fields.keys()) | named_in if fields[name]]
        gone = {name: {} if isinstance(fields[name], dict) else marker(about.erasure) for name in going}
        return {**fields, **gone}

    for noun in ledger.nouns():
        for key, data in ledger.load(noun).items() if noun != ORDERS else ():
            stored = msgspec.json.decode(data)
            row = book.seals.open_row(stored) if owner(key, stored) == client else None
            if (now := left(row)) != row:
                yield noun, key, stored[SEALED]["process"] if SEALED in stored else key, now
