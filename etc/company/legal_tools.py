"""What legal's agents may look up and do."""

from pathlib import Path

from company.common import Row, day
from company.erasure import Held, erase_of, holdings_of
from company.store import row, rows, writing

HELD = (
    Held("consents"),
    Held("privacy_requests"),
    Held("agreements", dated="signed_on"),  # with companies; holds nobody's name
)
erase = erase_of(HELD)
holdings = holdings_of(HELD)


def duties(files: Path) -> list[Row]:
    """Which records must be kept for how many years, and by which law."""
    return rows(files, "SELECT kind, years, law FROM duties ORDER BY kind")


def valid_consents(files: Path, purpose: str, days: list[str]) -> list[Row]:
    """How many customers' consents to a purpose are valid on each of some days, as far as is known today."""
    return rows(
        files,
        """SELECT d.value AS "on", count(DISTINCT c.customer) AS valid FROM json_each(:days) d
           LEFT JOIN consents c ON c.purpose = :purpose AND c.withdrawn_on IS NULL AND c.given_on <= d.value
           AND c.expires_on >= d.value
           GROUP BY d.value ORDER BY d.value""",
        purpose=purpose,
        days=days,
    )


def expiring_consents(files: Path, days: int) -> list[Row]:
    """Consents that run out within so many days, the next first."""
    return rows(
        files,
        """SELECT id AS consent, customer, purpose, expires_on FROM consents
           WHERE withdrawn_on IS NULL AND expires_on BETWEEN :today AND :until ORDER BY expires_on, id""",
        until=day(days),
    )


def consenting(files: Path, purpose: str) -> list[int]:
    """Customers whose consent to a purpose is valid today."""
    found = rows(
        files,
        """SELECT DISTINCT customer FROM consents WHERE purpose = :purpose AND withdrawn_on IS NULL AND expires_on >= :today
           ORDER BY customer""",
        purpose=purpose,
    )
    return [one["customer"] for one in found]


def ending_agreements(files: Path, days: int) -> list[Row]:
    """Agreements whose notice must be given within so many days, the most urgent first."""
    return rows(
        files,
        """SELECT id AS agreement, kind, ends_on, date(ends_on, -notice_days || ' days') AS notice_by, cents FROM agreements
           WHERE date(ends_on, -notice_days || ' days') BETWEEN :today AND :until ORDER BY notice_by, id""",
        until=day(days),
    )


def supplier_agreements(files: Path) -> list[int]:
    """Suppliers with whom an agreement is in force."""
    found = rows(
        files, "SELECT DISTINCT supplier FROM agreements WHERE supplier IS NOT NULL AND ends_on >= :today ORDER BY supplier"
    )  # fmt: skip
    return [one["supplier"] for one in found]


def customer_agreement(files: Path, customer: int) -> Row | None:
    """The agreement with a customer that ends last."""
    return row(
        files,
        """SELECT id AS agreement, customer, signed_on, ends_on, cents FROM agreements WHERE customer = :customer
           ORDER BY ends_on DESC LIMIT 1""",
        customer=customer,
    )


def requests_due(files: Path) -> list[Row]:
    """Open requests about privacy, the most urgent first."""
    return rows(
        files,
        "SELECT id AS request, customer, kind, due_on FROM privacy_requests WHERE closed_on IS NULL ORDER BY due_on, id",
    )


def withdraw(files: Path, customer: int, *, key: str) -> int:
    """Withdraw all consents of a customer; returns how many were withdrawn with this key or before it, today."""
    with writing(files) as db:
        db.change(
            "UPDATE consents SET withdrawn_on = :today WHERE customer = :customer AND withdrawn_on IS NULL", customer=customer
        )
        found = db.row(
            "SELECT count(*) AS n FROM consents WHERE customer = :customer AND withdrawn_on = :today", customer=customer
        )
        return int(found["n"]) if found else 0
