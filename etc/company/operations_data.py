"""Operations owns shipments, stock, suppliers and purchases."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from company.data import ORDERS, PRODUCTS, REGIONS, build, chance, customers, iso, orders

SCHEMA = """
CREATE TABLE shipments (id INTEGER PRIMARY KEY, "order" INTEGER, customer INTEGER, warehouse TEXT, carrier TEXT, shipped_on TEXT,
                        promised_on TEXT, delivered_on TEXT, recipient TEXT, address TEXT);
CREATE TABLE stock (product INTEGER, warehouse TEXT, units INTEGER, reorder_at INTEGER, PRIMARY KEY (product, warehouse));
CREATE TABLE suppliers (id INTEGER PRIMARY KEY, name TEXT, country TEXT, lead_days INTEGER);
CREATE TABLE purchases (id INTEGER PRIMARY KEY, key TEXT UNIQUE, supplier INTEGER, product INTEGER, units INTEGER,
                        ordered_on TEXT,
                        expected_on TEXT, received_on TEXT);
CREATE INDEX shipments_for ON shipments ("order");
"""
WAREHOUSES = ("Bremen", "Ulm", "Gera")  # of the north, the south and the west
CARRIERS = (("Blitz", 2), ("Kombi", 4), ("Taube", 7))  # with the days that it may be late
SUPPLIERS = 30
COUNTRIES = ("DE", "PL", "IT", "SE", "PT")
PLACES = ("Elbe", "Havel", "Isar", "Lahn", "Mosel", "Neckar")
WARES = ("Timber", "Metals", "Fabrics", "Lights", "Fittings")


def prepare(files: Path) -> None:
    """Make operations' database in its directory, once."""
    tables = {"shipments": _shipments(), "stock": _stock(), "suppliers": _suppliers(), "purchases": _purchases()}
    build(files, SCHEMA, tables)


def _shipments() -> Iterator[tuple[Any, ...]]:
    """The second half of all orders, each in one shipment; what was ordered yesterday has not left."""
    r = chance("shipments")
    people = customers()
    for index, order in enumerate(orders()[ORDERS // 2 :]):
        carrier, slack = CARRIERS[int(r() * 3)]
        shipped, taken = order.ago - 1 - int(r() * 3), 2 + int(r() ** 2 * (3 + slack))
        left = iso(-shipped) if shipped >= 0 else None
        arrived = iso(taken - shipped) if shipped - taken >= 0 else None
        one = people[order.customer - 1]
        address = f"{1 + one.id % 90} {PLACES[one.id % 6]} Street"
        warehouse = WAREHOUSES[REGIONS.index(one.region)]
        yield (80001 + index, order.id, one.id, warehouse, carrier, left, iso(6 - order.ago), arrived, one.name, address)


def _stock() -> Iterator[tuple[Any, ...]]:
    r = chance("stock")
    for product in range(1, PRODUCTS + 1):
        for warehouse in WAREHOUSES:
            yield product, warehouse, int(r() ** 1.3 * 160), 15 + int(r() * 25)


def _suppliers() -> Iterator[tuple[Any, ...]]:
    for index in range(SUPPLIERS):
        yield 1 + index, f"{PLACES[index % 6]} {WARES[index // 6]}", COUNTRIES[index % 5], 7 + index * 11 % 28


def _purchases() -> Iterator[tuple[Any, ...]]:
    r = chance("purchases")
    for index in range(240):
        supplier = 1 + int(r() * SUPPLIERS)
        lead = 7 + (supplier - 1) * 11 % 28
        ago = 400 - index * 5 // 3
        takes = lead + int((r() - 0.5) * 24)
        received = iso(-(ago - takes)) if ago - takes >= 0 else None
        product, units = 1 + int(r() * PRODUCTS), 20 * (1 + int(r() * 10))
        yield 6001 + index, f"old-{index}", supplier, product, units, iso(-ago), iso(-(ago - lead)), received
