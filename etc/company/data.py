"""What the departments' data has in common, made from seeds: each department makes only its own tables, and they fit.

Whoever needs orders calls `orders()` and gets the same ones. Only `random()` of each generator is used: its sequence
is the same on every version of Python.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pysqlite3 as sqlite3
from company.common import day
from company.store import DATABASE

SEED = 640
CUSTOMERS = 900
FIRST_ORDER, ORDERS = 7601, 3000
PRODUCTS = 40
FIRST_EMPLOYEE = 1001
STAFF = {
    "marketing": 18,
    "sales": 30,
    "support": 30,
    "engineering": 40,
    "finance": 14,
    "legal": 8,
    "people": 10,
    "operations": 30,
}
REGIONS = ("north", "south", "west")
OLDEST = 3000  # days back that `iso` knows

MIGHT = "Amber Birch Cedar Coral Delta Ember Falcon Garnet Harbor Indigo Juniper Kestrel Linden Maple Nova Onyx Pine Quartz \
River Sable Tidal Umber Velvet Willow Yarrow Zephyr Aspen Basalt Cobalt Drift".split()
TRADE = "Bakery Books Brewery Ceramics Clinic Consulting Dental Electric Farms Films Foods Freight Garden Glass Hotels Interiors \
Kitchens Labs Legal Logistics Media Motors Music Optics Paper Pharma Press Robotics Studio Textiles".split()
FIRST = "Ada Ben Cleo Dora Elif Finn Gita Hugo Ines Jan Kira Lars Mona Nils Olga Paul Rosa Sami Tara Udo Vera Wim Xenia Yann \
Zoe Alma Boris Carla Dario Edda".split()
LAST = "Adler Brandt Costa Dietz Engel Falk Gruber Haas Ivanov Jansen Keller Lorenz Moreau Nowak Okafor Petrov Quint Rossi \
Sommer Tanaka Ulrich Vogel Weber Xu Yilmaz Ziegler Ahmed Bauer Conti Duarte".split()
MATERIAL = ("Oak", "Steel", "Felt", "Glass", "Birch", "Carbon", "Cork", "Linen")
THING = ("desk", "chair", "lamp", "shelf", "screen")

_DAYS = [day(offset) for offset in range(-OLDEST, 801)]


class Customer(NamedTuple):
    """A company that buys from ours."""

    id: int
    name: str
    region: str
    segment: str
    industry: str
    domain: str


class Order(NamedTuple):
    """What a customer bought."""

    id: int
    customer: int
    ago: int  # days before today
    product: int
    units: int
    cents: int


class Employee(NamedTuple):
    """Somebody who works or worked here."""

    id: int
    name: str
    department: str
    hired: int  # days after today, so negative
    left: int | None
    monthly_cents: int


def iso(offset: int) -> str:
    """The date so many days after today; from a table, because it is asked some 10,000 times."""
    return _DAYS[offset + OLDEST]


def chance(table: str) -> Callable[[], float]:
    """The random numbers of one table, the same for ever."""
    return Random(f"acme/{SEED}/{table}").random


def person(index: int) -> str:
    """A name; 900 different ones before they repeat."""
    return f"{FIRST[index % 30]} {LAST[(index // 30 + index) % 30]}"


def product_name(product: int) -> str:
    """What product 1..40 is called."""
    return f"{MATERIAL[(product - 1) // 5]} {THING[(product - 1) % 5]}"


def price(product: int) -> int:
    """Cents for one unit."""
    return (5 + product * 37 % 60) * 1000 + 900


@cache
def customers() -> list[Customer]:
    """Customers 1..900."""
    r = chance("customers")
    made = []
    for index in range(CUSTOMERS):
        trade = TRADE[(index // 30 + index) % 30]
        name = f"{MIGHT[index % 30]} {trade}"
        size = r()
        segment = "small" if size < 0.6 else "medium" if size < 0.9 else "large"
        domain = f"{name.lower().replace(' ', '-')}.example"
        made.append(Customer(index + 1, name, REGIONS[int(r() * 3)], segment, trade.lower(), domain))
    return made


@cache
def orders() -> list[Order]:
    """Orders 7601..10600 of the last two years, oldest first; more of late, and more from the older customers."""
    r = chance("orders")
    made = []
    for index in range(ORDERS):
        ago = int(730 * (1 - ((index + 1) / ORDERS) ** 0.6))
        product, units = 1 + int(r() * PRODUCTS), 1 + int(r() ** 2 * 12)
        made.append(Order(FIRST_ORDER + index, 1 + int(r() ** 1.6 * CUSTOMERS), ago, product, units, units * price(product)))
    return made


@cache
def employees() -> list[Employee]:
    """Employees 1001..1180, department by department; the first of each department heads it and has not left."""
    r = chance("employees")
    made: list[Employee] = []
    for department, size in STAFF.items():
        for place in range(size):
            hired = -60 - int(r() * 2400)
            left = hired + int(-hired * (0.3 + 0.7 * r())) if r() < 0.12 and place else None
            pay = 300000 + int(r() * 40) * 10000 + (250000 if place == 0 else 0)
            made.append(Employee(FIRST_EMPLOYEE + len(made), person(7 * len(made) + 3), department, hired, left, pay))
    return made


def working(department: str) -> list[Employee]:
    """Those of a department who have not left, its head first."""
    return [one for one in employees() if one.department == department and one.left is None]


def build(files: Path, schema: str, tables: Mapping[str, Iterable[tuple[Any, ...]]]) -> None:
    """Make a department's database, whole or not at all; one that exists is left alone.

    It is written under another name with no care for crashes, made durable once, and then renamed.
    """
    if (files / DATABASE).exists():
        return
    draft = files / f"{DATABASE}.new"
    draft.unlink(missing_ok=True)  # left by a start that was killed
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for statement in filter(str.strip, (schema + ERASURES).split(";")):
            connection.execute(statement)
        for table, rows in tables.items():
            _fill(connection, table, rows)
        connection.execute("COMMIT")
    _sync(draft)
    draft.rename(files / DATABASE)
    _sync(files)


def _fill(connection: Any, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    columns = len(connection.execute(f"PRAGMA table_info({table})").fetchall())
    connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})", rows)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


ERASURES = """
CREATE TABLE erasures (key TEXT PRIMARY KEY, customer INTEGER NOT NULL, body TEXT NOT NULL);
"""  # every department has one, see erasure.py
