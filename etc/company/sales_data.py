"""Sales owns accounts, contacts, orders, products, deals and who of its people sells where."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from company.data import PRODUCTS, build, chance, customers, iso, orders, person, price, product_name, working

SCHEMA = """
CREATE TABLE accounts (customer INTEGER PRIMARY KEY, name TEXT, region TEXT, segment TEXT, industry TEXT, since TEXT,
                       rep INTEGER);
CREATE TABLE contacts (id INTEGER PRIMARY KEY, customer INTEGER, name TEXT, email TEXT, role TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, ordered_on TEXT, product INTEGER, units INTEGER, cents INTEGER);
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, cents INTEGER);
CREATE TABLE deals (id INTEGER PRIMARY KEY, customer INTEGER, stage TEXT, cents INTEGER, probability INTEGER,
                    created_on TEXT, close_on TEXT, rep INTEGER);
CREATE TABLE reps (employee INTEGER PRIMARY KEY, region TEXT, quarter_quota_cents INTEGER);
CREATE TABLE quotes (key TEXT PRIMARY KEY, id INTEGER, product INTEGER, units INTEGER, cents INTEGER, valid_until TEXT);
"""
FIRST_DEAL, DEALS = 2001, 500
OPEN_STAGES = (("qualified", 20), ("proposal", 45), ("negotiation", 70))  # with the chance of winning, in percent


def prepare(files: Path) -> None:
    """Make sales' database in its directory, once."""
    tables = {
        "accounts": _accounts(),
        "contacts": _contacts(),
        "orders": ((o.id, o.customer, iso(-o.ago), o.product, o.units, o.cents) for o in orders()),
        "products": ((product, product_name(product), price(product)) for product in range(1, PRODUCTS + 1)),
        "deals": _deals(),
        "reps": ((e.id, ("north", "south", "west")[i % 3], (16 + i % 5) * 1_000_000) for i, e in enumerate(working("sales"))),
    }
    build(files, SCHEMA, tables)


def _accounts() -> Iterator[tuple[Any, ...]]:
    r = chance("accounts")
    reps = working("sales")
    for one in customers():
        yield one.id, one.name, one.region, one.segment, one.industry, iso(-731 - int(r() * 2000)), reps[one.id % len(reps)].id


def _contacts() -> Iterator[tuple[Any, ...]]:
    r = chance("contacts")
    number = 0
    for one in customers():
        for role in ("owner", "buyer")[: 1 if r() < 0.55 else 2]:
            number += 1
            name = person(one.id * 5 + (role == "buyer"))
            yield number, one.id, name, f"{name.lower().replace(' ', '.')}@{one.domain}", role


def _deals() -> Iterator[tuple[Any, ...]]:
    r = chance("deals")
    reps = working("sales")
    for index in range(DEALS):
        customer = 1 + int(r() * len(customers()))
        cents = (5 + int(r() ** 2 * 145)) * 100_000
        if index < 300:
            close = -int(r() * 400)
            stage, probability = ("won", 100) if r() < 0.45 else ("lost", 0)
        else:
            close = 1 + int(r() ** 1.4 * 150)
            stage, probability = OPEN_STAGES[int(r() * 3)]
        created = min(close, 0) - 20 - int(r() * 100)
        yield FIRST_DEAL + index, customer, stage, cents, probability, iso(created), iso(close), reps[customer % len(reps)].id
