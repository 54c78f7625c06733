"""Support owns tickets, their messages, the help articles and the notes that its operators make."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from company.data import CUSTOMERS, ORDERS, build, chance, customers, iso, orders, working

SCHEMA = """
CREATE TABLE tickets (id INTEGER PRIMARY KEY, customer INTEGER, "order" INTEGER, region TEXT, topic TEXT, subject TEXT,
                      priority TEXT, opened_at TEXT, closed_at TEXT, employee INTEGER, sender TEXT);
CREATE TABLE messages (id INTEGER PRIMARY KEY, ticket INTEGER, at TEXT, author TEXT, text TEXT);
CREATE TABLE articles (id INTEGER PRIMARY KEY, topic TEXT, title TEXT, views INTEGER, helpful INTEGER);
CREATE TABLE notes (key TEXT PRIMARY KEY, ticket INTEGER, at TEXT, text TEXT);
CREATE INDEX messages_of ON messages (ticket);
"""
FIRST_TICKET, TICKETS = 30001, 1200
TOPICS = {  # topic -> what customers write
    "delivery": "Where is my delivery?",
    "invoice": "A question about my invoice",
    "product": "The product is damaged",
    "login": "I cannot log in",
    "checkout": "The checkout fails",
    "return": "I want to send something back",
}
ARTICLES = ("How to {}", "Questions about {}", "{} step by step", "What to do when {} fails", "{}: deadlines and costs")
LONGEST_DAYS = 12  # until an ordinary ticket is closed
STALE_DAYS = 90  # until every ticket is


def prepare(files: Path) -> None:
    """Make support's database in its directory, once."""
    tickets = list(_tickets())
    tables = {"tickets": tickets, "messages": _messages(tickets), "articles": _articles()}
    build(files, SCHEMA, tables)


def _tickets() -> Iterator[tuple[Any, ...]]:
    """Seven in ten are about an order; those that are not new are nearly all closed."""
    r = chance("tickets")
    topics, desk, people, bought = list(TOPICS), working("support"), customers(), orders()
    for index in range(TICKETS):
        order = bought[int(r() ** 0.6 * ORDERS)] if r() < 0.7 else None
        ago = max(0, order.ago - int(r() * 20)) if order else int(r() * 400)
        customer = people[order.customer - 1 if order else int(r() * CUSTOMERS)]
        topic = topics[int(r() * 6)]
        closing = ago - int(r() * LONGEST_DAYS) if r() < 0.97 or ago > STALE_DAYS else -1
        urgency = r()
        priority = "urgent" if urgency < 0.06 else "high" if urgency < 0.2 else "normal" if urgency < 0.8 else "low"
        opened = f"{iso(-ago)} {int(8 + r() * 6):02}:{int(r() * 60):02}"
        closed = f"{iso(-closing)} 18:{int(r() * 60):02}" if closing > 0 else None
        about = (order.id if order else None, customer.region, topic, TOPICS[topic], priority)
        worker = desk[index % len(desk)].id
        yield (FIRST_TICKET + index, customer.id, *about, opened, closed, worker, f"office@{customer.domain}")


def _messages(tickets: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The customer's first message, mostly an answer within some hours, sometimes a second message."""
    r = chance("messages")
    number = 0
    for ticket, _, _, _, _, subject, _, opened, closed, _, sender in tickets:
        number += 1
        yield number, ticket, opened, "customer", f"{subject} Regards, {sender}"
        if closed or r() < 0.6:
            number += 1
            yield number, ticket, _later(opened, int(r() ** 2 * 560)), "support", "We are looking into it."
        if r() < 0.25:
            number += 1
            yield number, ticket, _later(opened, 570 + int(r() * 20)), "customer", "Is there any news?"


def _later(at: str, minutes: int) -> str:
    """Some minutes later on the same day; tickets are opened between 8 and 14 o'clock."""
    total = int(at[11:13]) * 60 + int(at[14:16]) + minutes
    return f"{at[:10]} {min(total, 1439) // 60:02}:{min(total, 1439) % 60:02}"


def _articles() -> Iterator[tuple[Any, ...]]:
    r = chance("articles")
    for index in range(60):
        topic = list(TOPICS)[index % 6]
        views = 200 + int(r() * 4000)
        yield 401 + index, topic, ARTICLES[index // 6 % 5].format(topic), views, int(views * (0.2 + 0.7 * r()))
