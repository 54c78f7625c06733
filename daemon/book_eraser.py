"""What the watchdog's own journal holds of a person: last words of processes, reasons, in which a given word stands.

All of that is sealed under the client's key, which stays as long as the client does; so here what was sealed goes, and whoever
reads the record finds that it is gone. Done between two turns, as all that the watchdog writes.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from mai.agents.erased import Redacted, Values
from mai.agents.events import encode
from mai.agents.markers import marker
from mai.agents.reaching import first
from mai.daemon.book import Book
from mai.daemon.person_files import Words
from mai.daemon.seals import SEALED, client_of
from mai.sandbox import made
from mai.sandbox.ledger import Ledger
from mai.sandbox.purging import purge, redact
from mai.sandbox.record import REDACTED, chain, key_of

ORDERS: Final = "person"  # the records of erasures themselves
INCIDENTS: Final = "incidents"


def erase(book: Book, ledger: Ledger, client: str, *, words: Words, requests: frozenset[str], said: Values) -> int:
    """Empty what concerns these words or requests; returns how many records. Raises LedgerFault.

    `said` is the record about it, without its list.
    """
    bodies, listed = dict[int, str](), list[tuple[int, str, str]]()
    for record, body in _of_client(ledger, client):
        hidden = {name: value for name, value in book.seals.open(body).items() if name not in body}
        if not words.stand_in(msgspec.json.encode(hidden)) and first(str(hidden.get("task", ""))) not in requests:
            continue
        left = msgspec.json.encode({**body, SEALED: {**body[SEALED], "box": ""}}).decode()
        if left != record.body:
            digest = chain(record.prev, record.seq, record.at_ns, record.term, (*record[3:8], left))
            bodies[record.seq] = left
            listed.append((record.seq, record.digest.hex(), digest.hex()))
    if not bodies:
        return 0
    redact(ledger, bodies.items(), [])
    event = msgspec.structs.replace(said, records=tuple(listed))
    ledger.append(event.kind, encode(event))
    for seq, _, digest_now in listed:
        ledger.save(REDACTED, key_of(seq), msgspec.json.encode(Redacted(digest_now, said.erasure)))
    for process, row in _recent(book, client, words, said.erasure):
        ledger.save(INCIDENTS, process, msgspec.json.encode(book.seals.seal_row(INCIDENTS, process, row)))
    ledger.commit()
    made.remember(ledger.path, ledger.seq)
    purge(ledger)
    return len(bodies)


def _of_client(ledger: Ledger, client: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The records of which something is sealed for this client, each with its body."""
    for record in list(ledger.records()):
        if record.kind != ORDERS and f'"{SEALED}":' in record.body:
            body = msgspec.json.decode(record.body, type=dict[str, Any])
            if client_of(str(body.get("process", ""))) == client and isinstance(body.get(SEALED), dict):
                yield record, body


def _recent(book: Book, client: str, words: Words, erasure: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The last incidents of its processes, as they are shown: each text in which a word stands goes."""
    for process in [name for name in book.recent if client_of(name) == client]:
        row = [
            {**one, "text": marker(erasure)} if words.stand_in(msgspec.json.encode(one)) else one for one in book.recent[process]
        ]
        if row != book.recent[process]:
            book.recent[process] = row
            yield process, row
