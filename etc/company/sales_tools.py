"""What sales' agents may look up and do."""

from pathlib import Path

from company.common import QUARTER_END, TODAY, Row, day
from company.erasure import Held, erase_of, holdings_of
from company.store import row, rows, writing

OPEN = "stage NOT IN ('won', 'lost')"
HELD = (
    Held("contacts"),
    Held("deals"),
    Held("orders", dated="ordered_on"),  # holds a customer's number, but nobody's name
    Held("accounts"),
)
erase = erase_of(HELD)
holdings = holdings_of(HELD)


def open_deals(files: Path, until: str) -> list[Row]:
    """Open deals that should close from today up to a date."""
    return rows(
        files,
        f"""SELECT id AS deal, customer, close_on, cents, probability FROM deals
            WHERE {OPEN} AND close_on BETWEEN :today AND :until ORDER BY close_on, id""",
        until=until,
    )


def pipeline_stages(files: Path) -> list[Row]:
    """Open deals by stage, with what they are worth and what may be expected of them."""
    return rows(
        files,
        f"""SELECT stage, count(*) AS deals, sum(cents) AS cents, sum(cents * probability) / 100 AS weighted_cents
            FROM deals WHERE {OPEN} GROUP BY stage ORDER BY max(probability)""",
    )


def deals_above(files: Path, cents: int) -> list[Row]:
    """Open deals above an amount that should close this quarter, the largest first, with the customer's name."""
    return rows(
        files,
        f"""SELECT d.id AS deal, d.customer, a.name, d.close_on, d.cents, d.stage FROM deals d JOIN accounts a USING (customer)
            WHERE {OPEN} AND d.cents > :cents AND d.close_on BETWEEN :today AND :until ORDER BY d.cents DESC, d.id""",
        cents=cents,
        until=QUARTER_END,
    )


def quarter_figures(files: Path) -> Row:
    """This quarter: won so far, expected of what is open, and the quota of all reps."""
    found = row(
        files,
        f"""SELECT coalesce(sum(cents) FILTER (WHERE stage = 'won'), 0) AS won_cents,
                   coalesce(sum(cents * probability) FILTER (WHERE {OPEN}), 0) / 100 AS weighted_cents,
                   (SELECT sum(quarter_quota_cents) FROM reps) AS quota_cents
            FROM deals WHERE close_on BETWEEN :start AND :until""",
        start=f"{TODAY.year}-01-01",
        until=QUARTER_END,
    )
    return found or {}


def accounts(files: Path, customers: list[int]) -> list[Row]:
    """Name, region and segment of some customers; unknown ones are left out."""
    return rows(
        files,
        """SELECT customer, name, region, segment FROM accounts
           WHERE customer IN (SELECT value FROM json_each(:customers)) ORDER BY customer""",
        customers=customers,
    )


def account(files: Path, customer: int) -> Row | None:
    """One customer with all that sales knows, her orders summed."""
    return row(
        files,
        """SELECT a.customer, a.name, a.region, a.segment, a.industry, a.since, a.rep,
                  count(o.id) AS orders, coalesce(sum(o.cents), 0) AS cents
           FROM accounts a LEFT JOIN orders o USING (customer) WHERE a.customer = :customer GROUP BY a.customer""",
        customer=customer,
    )


def purchases(files: Path, customer: int) -> list[Row]:
    """What a customer bought, product by product, the most expensive first."""
    return rows(
        files,
        """SELECT o.product, p.name, count(*) AS orders, sum(o.units) AS units, sum(o.cents) AS cents
           FROM orders o JOIN products p ON p.id = o.product WHERE o.customer = :customer
           GROUP BY o.product ORDER BY sum(o.cents) DESC, o.product""",
        customer=customer,
    )


def buyers(files: Path, since: str) -> list[Row]:
    """Who ordered since a date, and for how much."""
    return rows(
        files,
        """SELECT customer, count(*) AS orders, sum(cents) AS cents FROM orders
           WHERE ordered_on >= :since GROUP BY customer ORDER BY customer""",
        since=since,
    )


def units_sold(files: Path, product: int, since: str) -> Row | None:
    """How many units of a product were ordered since a date."""
    return row(
        files,
        """SELECT p.id AS product, p.name, coalesce(sum(o.units), 0) AS units
           FROM products p LEFT JOIN orders o ON o.product = p.id AND o.ordered_on >= :since
           WHERE p.id = :product GROUP BY p.id""",
        product=product,
        since=since,
    )


def order(files: Path, order: int) -> Row | None:
    """One order."""
    return row(
        files,
        """SELECT o.id AS "order", o.customer, o.ordered_on, o.product, p.name, o.units, o.cents
           FROM orders o JOIN products p ON p.id = o.product WHERE o.id = :order""",
        order=order,
    )


def quiet_buyers(files: Path, days: int) -> list[Row]:
    """Customers who ordered at least three times, but not within so many days; those who spent most first."""
    return rows(
        files,
        """SELECT customer, name, count(*) AS orders, sum(cents) AS cents, max(ordered_on) AS last_on
           FROM orders JOIN accounts USING (customer) GROUP BY customer
           HAVING count(*) >= 3 AND max(ordered_on) < :since ORDER BY sum(cents) DESC, customer""",
        since=day(-days),
    )


def price_of(files: Path, product: int) -> Row | None:
    """A product's name and price for one unit."""
    return row(files, "SELECT id AS product, name, cents FROM products WHERE id = :product", product=product)


def record_quote(files: Path, product: int, units: int, cents: int, *, key: str) -> Row:
    """Put a quote on record; the same key gives the same quote."""
    with writing(files) as db:
        db.change(
            """INSERT OR IGNORE INTO quotes SELECT :key, 7001 + count(*), :product, :units, :cents, :valid FROM quotes""",
            key=key,
            product=product,
            units=units,
            cents=cents,
            valid=day(30),
        )
        found = db.row("SELECT id AS quote, cents, valid_until FROM quotes WHERE key = :key", key=key)
    return found or {}
