"""Marketing owns campaigns with their weekly results, subscribers, what was sent to whom, and the content plan."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from company.data import CUSTOMERS, build, chance, customers, iso

SCHEMA = """
CREATE TABLE campaigns (id INTEGER PRIMARY KEY, name TEXT, season TEXT, channel TEXT, subject TEXT, status TEXT, starts_on TEXT,
                        weeks INTEGER, lead_days INTEGER, window_from TEXT, window_to TEXT, least_audience INTEGER,
                        budget_cents INTEGER);
CREATE TABLE results (campaign INTEGER, week INTEGER, impressions INTEGER, clicks INTEGER, leads INTEGER, spent_cents INTEGER,
                      revenue_cents INTEGER, PRIMARY KEY (campaign, week));
CREATE TABLE subscribers (customer INTEGER PRIMARY KEY, email TEXT, channel TEXT, subscribed_on TEXT, unsubscribed_on TEXT);
CREATE TABLE mailings (id INTEGER PRIMARY KEY, campaign INTEGER, customer INTEGER, sent_on TEXT, opened INTEGER, clicked INTEGER);
CREATE TABLE content (id INTEGER PRIMARY KEY, campaign INTEGER, kind TEXT, title TEXT, due_on TEXT, status TEXT);
"""
FINISHED, RUNNING = 48, 4
CHANNELS = ("email", "search", "social", "print", "events")
SUBJECTS = ("A desk that fits", "Ten days only", "What is new", "For your team", "Sit better", "Light where you work")
THEMES = ("Comfort", "Clearance", "News", "Team", "Posture", "Light")
SEASONS = {  # season of 2026 -> preparation in days, first and last day, least number of consenting customers
    "spring": (14, "2026-03-02", "2026-05-31", 400),
    "summer": (28, "2026-06-01", "2026-08-31", 350),
    "autumn": (28, "2026-09-01", "2026-11-15", 350),
    "winter": (42, "2026-11-16", "2026-12-31", 300),
}
KINDS = ("article", "video", "banner", "letter")


def prepare(files: Path) -> None:
    """Make marketing's database in its directory, once."""
    campaigns = list(_campaigns())
    tables = {
        "campaigns": campaigns,
        "results": _results(campaigns),
        "subscribers": _subscribers(),
        "mailings": _mailings(campaigns),
        "content": _content(campaigns),
    }
    build(files, SCHEMA, tables)


def _campaigns() -> Iterator[tuple[Any, ...]]:
    r = chance("campaigns")
    for index in range(FINISHED + RUNNING):
        ago = 780 - index * 15 if index < FINISHED else 20 - (index - FINISHED) * 5
        status = "finished" if index < FINISHED else "running"
        channel, budget = CHANNELS[int(r() * 5)], (8 + int(r() * 60)) * 100_000
        name = f"{THEMES[index % 6]} {channel} {iso(-ago)[:7]}"
        yield 101 + index, name, "", channel, SUBJECTS[index % 6], status, iso(-ago), 8, 14, None, None, 0, budget
    for index, (season, (lead, start, end, least)) in enumerate(SEASONS.items()):
        plan = ("planned", None, 8, lead, start, end, least, (40 + 5 * index) * 100_000)
        yield (101 + FINISHED + RUNNING + index, f"{season.capitalize()} 2026", season, "email", SUBJECTS[index], *plan)


def _results(campaigns: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Eight weeks of each finished campaign; the running ones have those that are over."""
    r = chance("results")
    for number, *_, status, starts_on, weeks, _, _, _, _, budget in campaigns:
        pull = 0.4 + r() * 1.6
        for week in range(weeks if status == "finished" else 2 if status == "running" and starts_on <= iso(-14) else 0):
            seen = 2000 + int(r() * 9000)
            clicks = int(seen * (0.01 + 0.03 * r()))
            leads = 1 + int(clicks * 0.1 * pull)
            spent = int(budget / weeks * (0.8 + 0.3 * r()))
            yield number, week + 1, seen, clicks, leads, spent, int(spent * pull * (0.6 + r()))


def _subscribers() -> Iterator[tuple[Any, ...]]:
    r = chance("subscribers")
    for one in customers():
        if r() < 0.9:
            since = 30 + int(r() * 900)
            gone = iso(-int(r() * since)) if r() < 0.12 else None
            yield one.id, f"news@{one.domain}", ("email", "email", "phone", "post")[int(r() * 4)], iso(-since), gone


def _mailings(campaigns: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    r = chance("mailings")
    sent = [(row[0], row[6]) for row in campaigns if row[6]]
    for index in range(1500):
        campaign, on = sent[int((1 - r() ** 2) * len(sent))]
        opened = r() < 0.25 + 0.06 * (campaign % 6)  # campaigns that share a subject line share its pull
        yield index + 1, campaign, 1 + int(r() * CUSTOMERS), on, int(opened), int(opened and r() < 0.3)


def _content(campaigns: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    r = chance("content")
    for index in range(80):
        campaign = campaigns[FINISHED + int(r() * (len(campaigns) - FINISHED))]
        due = -20 + int(r() * 90)
        status = "done" if due < -2 or r() < 0.2 else "draft" if r() < 0.5 else "planned"
        yield index + 1, campaign[0], KINDS[index % 4], f"{KINDS[index % 4]} {index + 1} for {campaign[1]}", iso(due), status
