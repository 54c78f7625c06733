"""What marketing's agents may look up and do."""

from pathlib import Path

from company.common import Row, day
from company.erasure import Held, erase_of, holdings_of
from company.store import row, rows, writing

HELD = (Held("mailings"), Held("subscribers"))
erase = erase_of(HELD)
holdings = holdings_of(HELD)


def planned(files: Path) -> list[Row]:
    """Campaigns that are planned for a season, with the time that each may take place in."""
    return rows(
        files,
        """SELECT name AS campaign, season, lead_days, window_from, window_to, least_audience, budget_cents
           FROM campaigns WHERE status = 'planned' ORDER BY window_from""",
    )


def returns(files: Path) -> list[Row]:
    """Finished campaigns of the last year with spending and revenue, the best return first."""
    return rows(
        files,
        """SELECT c.id AS campaign, c.name, sum(r.spent_cents) AS spent_cents, sum(r.revenue_cents) AS revenue_cents,
           sum(r.leads) AS leads
           FROM campaigns c JOIN results r ON r.campaign = c.id WHERE c.status = 'finished' AND c.starts_on >= :since
           GROUP BY c.id ORDER BY 1.0 * sum(r.revenue_cents) / sum(r.spent_cents) DESC, c.id""",
        since=day(-365),
    )


def channels(files: Path) -> list[Row]:
    """What a lead costs by channel, over all campaigns, the cheapest first."""
    return rows(
        files,
        """SELECT channel, sum(leads) AS leads, sum(spent_cents) AS spent_cents, sum(spent_cents) / sum(leads) AS cents_per_lead
           FROM results JOIN campaigns ON id = campaign GROUP BY channel ORDER BY 1.0 * sum(spent_cents) / sum(leads)""",
    )


def audience(files: Path) -> list[Row]:
    """Subscribers by channel."""
    return rows(
        files,
        """SELECT channel, count(*) AS subscribers FROM subscribers WHERE unsubscribed_on IS NULL
           GROUP BY channel ORDER BY count(*) DESC, channel""",
    )


def subscribers(files: Path) -> list[int]:
    """Customers who are subscribed."""
    return [
        one["customer"] for one in rows(files, "SELECT customer FROM subscribers WHERE unsubscribed_on IS NULL ORDER BY customer")
    ]


def subjects(files: Path) -> list[Row]:
    """How often the mails of each subject line were opened, the best first."""
    return rows(
        files,
        """SELECT c.subject, count(*) AS sent, sum(t.opened) AS opened, round(100.0 *
           sum(t.opened) / count(*), 1) AS opened_percent
           FROM mailings t JOIN campaigns c ON c.id = t.campaign GROUP BY c.subject ORDER BY 1.0 *
           sum(t.opened) / count(*) DESC""",
    )


def clicked(files: Path, since: str) -> list[Row]:
    """Who clicked in which campaign since a date."""
    return rows(
        files,
        """SELECT DISTINCT c.name AS campaign, t.customer FROM mailings t JOIN campaigns c ON c.id = t.campaign
           WHERE t.clicked AND t.sent_on >= :since ORDER BY c.id, t.customer""",
        since=since,
    )


def running(files: Path) -> list[Row]:
    """Campaigns that run now, with what they have brought so far."""
    return rows(
        files,
        """SELECT c.name AS campaign, c.channel, c.starts_on, coalesce(sum(r.leads), 0) AS leads,
           coalesce(sum(r.spent_cents), 0) AS spent_cents
           FROM campaigns c LEFT JOIN results r ON r.campaign = c.id WHERE c.status = 'running' GROUP BY c.id
           ORDER BY c.starts_on""",
    )


def content_due(files: Path, days: int) -> list[Row]:
    """Content that is not done and due within so many days, what is late first."""
    return rows(
        files,
        """SELECT id AS content, title, due_on, status FROM content WHERE status <> 'done' AND due_on <= :until
           ORDER BY due_on, id""",
        until=day(days),
    )


def subscription(files: Path, customer: int) -> Row | None:
    """A customer's subscription."""
    return row(files, "SELECT customer, channel, unsubscribed_on FROM subscribers WHERE customer = :customer", customer=customer)


def unsubscribe(files: Path, customer: int, *, key: str) -> None:
    """End a subscription. Doing it again changes nothing, so the key need not be kept."""
    with writing(files) as db:
        sql = "UPDATE subscribers SET unsubscribed_on = :today WHERE customer = :customer AND unsubscribed_on IS NULL"
        db.change(sql, customer=customer)
