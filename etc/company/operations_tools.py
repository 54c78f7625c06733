"""What operations' agents may look up and do."""

from pathlib import Path

from company.common import Row, day
from company.erasure import Held, erase_of, holdings_of
from company.store import row, rows, writing

HELD = (Held("shipments", dated="promised_on", mask="recipient = '', address = ''", named="recipient <> '' OR address <> ''"),)
erase = erase_of(HELD)
holdings = holdings_of(HELD)


def late_deliveries(files: Path) -> list[Row]:
    """Shipments that have left but not arrived when promised, the latest first."""
    return rows(
        files,
        """SELECT id AS shipment, "order", customer, carrier, promised_on,
                  CAST(julianday(:today) - julianday(promised_on) AS INTEGER) AS days
           FROM shipments WHERE shipped_on IS NOT NULL AND delivered_on IS NULL AND promised_on < :today
           ORDER BY promised_on, id""",
    )


def carriers(files: Path) -> list[Row]:
    """How many of each carrier's deliveries came when promised, the most reliable first."""
    return rows(
        files,
        """SELECT carrier, count(*) AS deliveries, sum(delivered_on <= promised_on) AS on_time,
                  round(100.0 * sum(delivered_on <= promised_on) / count(*), 1) AS percent
           FROM shipments WHERE delivered_on IS NOT NULL GROUP BY carrier ORDER BY percent DESC, carrier""",
    )


def low_stock(files: Path) -> list[Row]:
    """Where a product has fallen below its reorder point, the emptiest first."""
    return rows(
        files,
        """SELECT product, warehouse, units, reorder_at FROM stock WHERE units < reorder_at
           ORDER BY 1.0 * units / reorder_at, product, warehouse""",
    )


def stock_of(files: Path, product: int) -> Row | None:
    """How many units of a product lie in all warehouses."""
    return row(
        files,
        """SELECT product, sum(units) AS units, count(*) FILTER (WHERE units > 0) AS warehouses FROM stock
           WHERE product = :product GROUP BY product""",
        product=product,
    )


def late_purchases(files: Path) -> list[Row]:
    """Purchases that should have come in, the latest first."""
    return rows(
        files,
        """SELECT p.id AS purchase, s.name AS supplier, p.product, p.units, p.expected_on FROM purchases p
           JOIN suppliers s ON s.id = p.supplier WHERE p.received_on IS NULL AND p.expected_on < :today
           ORDER BY p.expected_on, p.id""",
    )


def suppliers(files: Path) -> list[Row]:
    """All suppliers."""
    return rows(files, "SELECT id AS supplier, name FROM suppliers ORDER BY id")


def slow_suppliers(files: Path, most: int) -> list[Row]:
    """The suppliers whose goods come latest beside what was expected, on average."""
    return rows(
        files,
        """SELECT s.id AS supplier, s.name, count(*) AS purchases,
                  round(avg(julianday(p.received_on) - julianday(p.expected_on)), 1) AS days_late
           FROM purchases p JOIN suppliers s ON s.id = p.supplier WHERE p.received_on IS NOT NULL
           GROUP BY s.id ORDER BY avg(julianday(p.received_on) - julianday(p.expected_on)) DESC, s.id LIMIT :most""",
        most=most,
    )


def shipment(files: Path, order: int) -> Row | None:
    """The shipment of an order."""
    return row(
        files,
        """SELECT id AS shipment, "order", customer, carrier, shipped_on, promised_on, delivered_on FROM shipments
           WHERE "order" = :order""",
        order=order,
    )


def best_supplier(files: Path, product: int) -> Row | None:
    """Who delivered a product before: the one who takes least time, with the largest number of units so far."""
    return row(
        files,
        """SELECT s.id AS supplier, s.name, s.lead_days, max(p.units) AS units FROM purchases p
           JOIN suppliers s ON s.id = p.supplier
           WHERE p.product = :product GROUP BY s.id ORDER BY s.lead_days, s.id""",
        product=product,
    )


def order_goods(files: Path, supplier: int, product: int, units: int, lead_days: int, *, key: str) -> Row:
    """Order goods from a supplier; the same key orders once."""
    with writing(files) as db:
        db.change(
            """INSERT OR IGNORE INTO purchases
               SELECT max(id) + 1, :key, :supplier, :product, :units, :today, :expected, NULL FROM purchases""",
            key=key,
            supplier=supplier,
            product=product,
            units=units,
            expected=day(lead_days),
        )
        return db.row("SELECT id AS purchase, expected_on FROM purchases WHERE key = :key", key=key) or {}
