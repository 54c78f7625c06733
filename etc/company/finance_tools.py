"""What finance's agents may look up and do."""

from pathlib import Path

from company.common import QUARTER, Row, day
from company.erasure import Held, erase_of, holdings_of
from company.store import Writing, row, rows, writing

INVOICES_OF = "invoice IN (SELECT id FROM invoices WHERE customer = :customer)"
UNPAID = "NOT EXISTS (SELECT 1 FROM payments p WHERE p.invoice = i.id)"
HELD = (
    Held("reminders", INVOICES_OF),
    Held("payments", INVOICES_OF, dated="paid_on", mask="payer = ''", named="payer <> ''"),
    Held("refunds", dated="refunded_on"),
    Held("invoices", dated="issued_on", mask="billed_to = '', email = ''", named="billed_to <> '' OR email <> ''"),
)
erase = erase_of(HELD)
holdings = holdings_of(HELD)


def sale(files: Path, order: int) -> Row | None:
    """All that matters for a refund of an order: its invoice, when it was paid, and whether it was refunded."""
    return row(
        files,
        """SELECT i."order", i.customer, i.issued_on, i.cents, julianday(:today) - julianday(i.issued_on) AS days,
                  (SELECT max(paid_on) FROM payments WHERE invoice = i.id) AS paid_on, r.id AS refund, r.refunded_on
           FROM invoices i LEFT JOIN refunds r ON r."order" = i."order" WHERE i."order" = :order""",
        order=order,
    )


def refund(files: Path, order: int, customer: int, cents: int, reason: str, *, key: str) -> Row:
    """Pay a refund and put it on record. The same key pays once; an order that another key has refunded is not paid again."""
    with writing(files) as db:
        done = _refund_by(db, "key = :value", key)
        if done is None and (before := _refund_by(db, '"order" = :value', order)):
            return before | {"again": True}
        if done is None:
            db.change(
                """INSERT INTO refunds (id, key, "order", customer, cents, refunded_on, reason)
                   SELECT max(id) + 1, :key, :order, :customer, :cents, :today, :reason FROM refunds""",
                key=key,
                order=order,
                customer=customer,
                cents=cents,
                reason=reason,
            )
            done = _refund_by(db, "key = :value", key)
    return (done or {}) | {"again": False}


def _refund_by(db: Writing, condition: str, value: object) -> Row | None:
    return db.row(f"SELECT id AS refund, refunded_on FROM refunds WHERE {condition}", value=value)


def overdue(files: Path) -> list[Row]:
    """Customers with overdue invoices, those who owe most first."""
    return rows(
        files,
        f"""SELECT customer, count(*) AS invoices, sum(cents) AS cents, min(due_on) AS oldest_on FROM invoices i
            WHERE due_on < :today AND {UNPAID} GROUP BY customer ORDER BY sum(cents) DESC, customer""",
    )


def revenue(files: Path) -> list[Row]:
    """What was invoiced and what was refunded, month by month."""
    return rows(
        files,
        """SELECT month, sum(invoiced) AS invoiced_cents, sum(refunded) AS refunded_cents FROM (
               SELECT substr(issued_on, 1, 7) AS month, cents AS invoiced, 0 AS refunded FROM invoices
               UNION ALL SELECT substr(refunded_on, 1, 7), 0, cents FROM refunds)
           GROUP BY month ORDER BY month""",
    )


def budgets(files: Path) -> list[Row]:
    """Every department's budget of this quarter."""
    return rows(
        files,
        """SELECT department, quarter, planned_cents, spent_cents, planned_cents - spent_cents AS left_cents
           FROM budgets WHERE quarter = :quarter ORDER BY department""",
        quarter=QUARTER,
    )


def payment_record(files: Path, customer: int) -> Row | None:
    """How a customer pays: her invoices, those paid late or overdue, and what is open."""
    return row(
        files,
        """SELECT count(*) AS invoices, coalesce(sum(coalesce(paid_on, :today) > due_on), 0) AS late,
                  coalesce(sum(cents) FILTER (WHERE paid_on IS NULL), 0) AS open_cents
           FROM (SELECT due_on, cents, (SELECT max(paid_on) FROM payments WHERE invoice = i.id) AS paid_on
                 FROM invoices i WHERE customer = :customer)""",
        customer=customer,
    )


def due_until(files: Path, days: int) -> Row | None:
    """Open invoices that fall due within so many days, and those that are overdue."""
    return row(
        files,
        f"""SELECT count(*) FILTER (WHERE due_on >= :today) AS invoices,
                   coalesce(sum(cents) FILTER (WHERE due_on >= :today), 0) AS cents,
                   coalesce(sum(cents) FILTER (WHERE due_on < :today), 0) AS overdue_cents
            FROM invoices i WHERE due_on <= :until AND {UNPAID}""",
        until=day(days),
    )


def refunds_since(files: Path, since: str) -> Row | None:
    """Refunds since a date, beside what was invoiced."""
    return row(
        files,
        """SELECT count(*) AS refunds, coalesce(sum(cents), 0) AS cents,
                  (SELECT coalesce(sum(cents), 0) FROM invoices WHERE issued_on >= :since) AS invoiced_cents
           FROM refunds WHERE refunded_on >= :since""",
        since=since,
    )


def open_invoices(files: Path, customer: int) -> list[Row]:
    """A customer's open invoices, the oldest first."""
    return rows(
        files,
        f"""SELECT id AS invoice, "order", due_on, cents FROM invoices i
            WHERE customer = :customer AND {UNPAID} ORDER BY due_on, id""",
        customer=customer,
    )


def invoice(files: Path, invoice: int) -> Row | None:
    """One invoice, whether it is paid, and how many reminders went out."""
    return row(
        files,
        f"""SELECT id AS invoice, customer, due_on, cents, email, NOT {UNPAID} AS paid,
                   (SELECT count(*) FROM reminders WHERE invoice = i.id) AS reminders
            FROM invoices i WHERE id = :invoice""",
        invoice=invoice,
    )


def remind(files: Path, invoice: int, *, key: str) -> Row:
    """Send the next reminder for an invoice; the same key sends one."""
    with writing(files) as db:
        db.change(
            "INSERT OR IGNORE INTO reminders SELECT :key, :invoice, 1 + count(*), :today FROM reminders WHERE invoice = :invoice",
            key=key,
            invoice=invoice,
        )
        return db.row("SELECT level, sent_on FROM reminders WHERE key = :key", key=key) or {}
