"""What support's agents may look up and do."""

from pathlib import Path

from company.common import TODAY, Row, day
from company.erasure import Held, erase_of, holdings_of
from company.store import row, rows, writing

TICKETS_OF = "ticket IN (SELECT id FROM tickets WHERE customer = :customer)"
HELD = (Held("notes", TICKETS_OF), Held("messages", TICKETS_OF), Held("tickets"))
erase = erase_of(HELD)
holdings = holdings_of(HELD)


def open_tickets(files: Path, customers: list[int]) -> list[Row]:
    """Open tickets of some customers, the oldest first."""
    return rows(
        files,
        """SELECT id AS ticket, customer, subject, priority, date(opened_at) AS opened_on FROM tickets
           WHERE closed_at IS NULL AND customer IN (SELECT value FROM json_each(:customers)) ORDER BY opened_at, id""",
        customers=customers,
    )


def backlog(files: Path) -> list[Row]:
    """Open tickets by priority, with the day of the oldest."""
    return rows(
        files,
        """SELECT priority, count(*) AS tickets, date(min(opened_at)) AS oldest_on FROM tickets
           WHERE closed_at IS NULL GROUP BY priority ORDER BY count(*) DESC, priority""",
    )


def queue(files: Path, region: str) -> list[Row]:
    """Open tickets of a region in the order in which its desk should take them."""
    return rows(
        files,
        """SELECT id AS ticket, customer, subject, priority, date(opened_at) AS opened_on FROM tickets
           WHERE closed_at IS NULL AND region = :region
           ORDER BY instr('urgent high normal low', priority), opened_at, id""",
        region=region,
    )


def first_answers(files: Path, days: int) -> list[Row]:
    """For tickets opened in the last days: the minutes until support's first answer; NULL without one, shortest first."""
    return rows(
        files,
        """SELECT t.id AS ticket, (unixepoch(min(m.at)) - unixepoch(t.opened_at)) / 60 AS minutes
           FROM tickets t LEFT JOIN messages m ON m.ticket = t.id AND m.author = 'support'
           WHERE t.opened_at >= :since GROUP BY t.id ORDER BY minutes""",
        since=day(-days),
    )


def topics(files: Path, days: int) -> list[Row]:
    """What tickets of the last days were about, the most frequent first."""
    return rows(
        files,
        """SELECT topic, count(*) AS tickets FROM tickets WHERE opened_at >= :since
           GROUP BY topic ORDER BY count(*) DESC, topic""",
        since=day(-days),
    )


def weak_articles(files: Path, most: int) -> list[Row]:
    """The help articles that help least, by the share of readers who said so."""
    return rows(
        files,
        """SELECT id AS article, title, views, 100 * helpful / views AS helpful_percent FROM articles
           ORDER BY 1.0 * helpful / views, id LIMIT :most""",
        most=most,
    )


def tickets_between(files: Path, topic: str, opened: str, closed: str) -> list[int]:
    """Tickets about a topic that were opened within a time, day by day."""
    found = rows(
        files,
        """SELECT id FROM tickets WHERE topic = :topic AND date(opened_at) BETWEEN date(:opened) AND date(:closed) ORDER BY id""",
        topic=topic,
        opened=opened,
        closed=closed,
    )
    return [one["id"] for one in found]


def tickets_of_order(files: Path, order: int) -> list[int]:
    """Open tickets about an order."""
    return [t["id"] for t in rows(files, 'SELECT id FROM tickets WHERE "order" = :n AND closed_at IS NULL ORDER BY id', n=order)]


def ticket(files: Path, ticket: int) -> Row | None:
    """One ticket."""
    sql = "SELECT id AS ticket, customer, subject, priority, closed_at FROM tickets WHERE id = :ticket"
    return row(files, sql, ticket=ticket)


def note(files: Path, ticket: int, text: str, *, key: str) -> None:
    """Write a note to a ticket; the same key writes it once."""
    with writing(files) as db:
        sql = "INSERT OR IGNORE INTO notes VALUES (:key, :ticket, :today, :text)"
        db.change(sql, key=key, ticket=ticket, text=text)


def close(files: Path, ticket: int, *, key: str) -> bool:
    """Close a ticket; closing it again with the same key changes nothing. False when somebody else had closed it."""
    with writing(files) as db:
        if db.row("SELECT 1 FROM notes WHERE key = :key", key=key):
            return True
        sql = "UPDATE tickets SET closed_at = :at WHERE id = :ticket AND closed_at IS NULL"
        if not db.change(sql, at=f"{TODAY} 18:00", ticket=ticket):
            return False
        db.change("INSERT INTO notes VALUES (:key, :ticket, :today, 'closed on request')", key=key, ticket=ticket)
        return True
