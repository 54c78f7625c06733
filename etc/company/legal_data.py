"""Legal owns consents, agreements, the duties to keep records, and requests about privacy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from company.data import CUSTOMERS, build, chance, customers, iso
from company.operations_data import SUPPLIERS

SCHEMA = """
CREATE TABLE consents (id INTEGER PRIMARY KEY, customer INTEGER, purpose TEXT, given_on TEXT, expires_on TEXT, withdrawn_on TEXT);
CREATE TABLE agreements (id INTEGER PRIMARY KEY, kind TEXT, customer INTEGER, supplier INTEGER, signed_on TEXT, ends_on TEXT,
                         notice_days INTEGER, cents INTEGER);
CREATE TABLE duties (kind TEXT PRIMARY KEY, years INTEGER, law TEXT);
CREATE TABLE privacy_requests (id INTEGER PRIMARY KEY, key TEXT UNIQUE, customer INTEGER, kind TEXT, received_on TEXT,
                               due_on TEXT,
                               closed_on TEXT);
"""
CONSENT_DAYS = 730
DUTIES = (
    ("invoices", 10, "section 147 of the Fiscal Code"),
    ("payments", 10, "section 147 of the Fiscal Code"),
    ("refunds", 10, "section 147 of the Fiscal Code"),
    ("agreements", 6, "section 257 of the Commercial Code"),
    ("orders", 6, "section 257 of the Commercial Code"),
    ("shipments", 6, "section 257 of the Commercial Code"),
)


def prepare(files: Path) -> None:
    """Make legal's database in its directory, once."""
    tables = {"consents": _consents(), "agreements": _agreements(), "duties": DUTIES, "privacy_requests": _requests()}
    build(files, SCHEMA, tables)


def _consents() -> Iterator[tuple[Any, ...]]:
    r = chance("consents")
    number = 0
    for one in customers():
        for purpose in ("marketing", "analytics"):
            given, asked, taken_back = -10 - int(r() * (CONSENT_DAYS - 10)), r() < 0.85, r() < 0.08
            if asked:
                number += 1
                withdrawn = iso(given + int(-given * r())) if taken_back else None
                yield number, one.id, purpose, iso(given), iso(given + CONSENT_DAYS), withdrawn


def _agreements() -> Iterator[tuple[Any, ...]]:
    """A frame agreement with each large customer, and a supply agreement with most suppliers."""
    r = chance("agreements")
    parties: list[tuple[str, int | None, int | None]] = [("frame", one.id, None) for one in customers() if one.segment == "large"]
    parties += [("supply", None, supplier) for supplier in range(1, SUPPLIERS + 1) if r() < 0.8]
    for index, party in enumerate(parties):
        signed, ends = iso(-30 - int(r() * 900)), iso(min(5 + int(r() * 600), 400))
        yield (801 + index, *party, signed, ends, 30 * (1 + index % 3), (5 + int(r() * 200)) * 100_000)


def _requests() -> Iterator[tuple[Any, ...]]:
    r = chance("privacy_requests")
    for index in range(60):
        received = -3 - int(r() ** 2 * 300)
        done = iso(received + int(r() * 28)) if received < -28 or r() < 0.3 else None
        closed = done if done and done <= iso(0) else None
        kind = ("access", "erasure", "correction")[int(r() * 3)]
        yield 1 + index, f"old-{index + 1}", 1 + int(r() * CUSTOMERS), kind, iso(received), iso(received + 30), closed
