"""Finance owns invoices, payments, refunds, reminders and the departments' budgets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from company.data import ORDERS, STAFF, build, chance, customers, iso, orders

SCHEMA = """
CREATE TABLE invoices (id INTEGER PRIMARY KEY, "order" INTEGER, customer INTEGER, issued_on TEXT, due_on TEXT, cents INTEGER,
                       billed_to TEXT, email TEXT);
CREATE TABLE payments (id INTEGER PRIMARY KEY, invoice INTEGER, paid_on TEXT, cents INTEGER, payer TEXT);
CREATE TABLE refunds (id INTEGER PRIMARY KEY, key TEXT UNIQUE, "order" INTEGER UNIQUE, customer INTEGER, cents INTEGER,
                      refunded_on TEXT, reason TEXT);
CREATE TABLE reminders (key TEXT PRIMARY KEY, invoice INTEGER, level INTEGER, sent_on TEXT);
CREATE TABLE budgets (department TEXT, quarter TEXT, planned_cents INTEGER, spent_cents INTEGER,
                      PRIMARY KEY (department, quarter));
CREATE INDEX invoices_of ON invoices (customer);
CREATE INDEX invoices_for ON invoices ("order");
CREATE INDEX payments_of ON payments (invoice);
"""
INVOICE_OFFSET = 500_000  # invoice 510423 is for order 10423
FIRST_PAYMENT, FIRST_REFUND = 700_001, 9001
TERM_DAYS = 30
NOT_YET_REFUNDED = 10_400  # of the orders from here on none has been refunded
QUARTERS = ("2025-Q1", "2025-Q2", "2025-Q3", "2025-Q4", "2026-Q1")


def prepare(files: Path) -> None:
    """Make finance's database in its directory, once."""
    paid = list(_payments())
    tables = {"invoices": _invoices(), "payments": paid, "refunds": _refunds({row[1] for row in paid}), "budgets": _budgets()}
    build(files, SCHEMA, tables)


def _invoices() -> Iterator[tuple[Any, ...]]:
    people = customers()
    for order in orders():
        one = people[order.customer - 1]
        issued, due = iso(-order.ago), iso(TERM_DAYS - order.ago)
        yield INVOICE_OFFSET + order.id, order.id, one.id, issued, due, order.cents, one.name, f"accounts@{one.domain}"


def _payments() -> Iterator[tuple[Any, ...]]:
    """Half pay by card at once, the others after 5 to 45 days, and three in a hundred not at all."""
    r = chance("payments")
    people = customers()
    number = FIRST_PAYMENT
    for order in orders():
        card, never, after = r() < 0.5, r() < 0.03, 5 + int(r() * 40)
        ago = order.ago if card else order.ago - after
        if ago >= 0 and (card or not never):
            yield number, INVOICE_OFFSET + order.id, iso(-ago), order.cents, people[order.customer - 1].name
            number += 1


def _refunds(paid: set[int]) -> Iterator[tuple[Any, ...]]:
    r = chance("refunds")
    number = FIRST_REFUND
    for order in orders()[:ORDERS]:
        back = r() < 0.04
        when = order.ago - 40 - int(r() * 10)
        if back and order.id < NOT_YET_REFUNDED and when >= 0 and INVOICE_OFFSET + order.id in paid:
            yield number, f"old-{number}", order.id, order.customer, order.cents, iso(-when), "sent back"
            number += 1


def _budgets() -> Iterator[tuple[Any, ...]]:
    r = chance("budgets")
    for department, size in STAFF.items():
        for quarter in QUARTERS:
            planned = size * (2000 + int(r() * 800)) * 1000
            share = 0.3 + r() * 0.4 if quarter == QUARTERS[-1] else 0.85 + r() * 0.2
            yield department, quarter, planned, int(planned * share)
