"""Engineering owns services, their hourly figures, deployments, incidents, who is on call, and customers' API keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from company.data import CUSTOMERS, build, chance, iso, working

SCHEMA = """
CREATE TABLE services (name TEXT PRIMARY KEY, team TEXT, tier INTEGER, version INTEGER);
CREATE TABLE hours (service TEXT, at TEXT, requests INTEGER, errors INTEGER, p95_ms INTEGER,
                    PRIMARY KEY (service, at)) WITHOUT ROWID;
CREATE TABLE deployments (id INTEGER PRIMARY KEY, service TEXT, version INTEGER, at TEXT, employee INTEGER, status TEXT);
CREATE TABLE incidents (id INTEGER PRIMARY KEY, service TEXT, severity INTEGER, opened_at TEXT, closed_at TEXT, summary TEXT,
                        deployment INTEGER);
CREATE TABLE on_call (team TEXT, week_on TEXT, employee INTEGER, PRIMARY KEY (team, week_on));
CREATE TABLE api_keys (customer INTEGER PRIMARY KEY, prefix TEXT, created_on TEXT, revoked_on TEXT, calls INTEGER);
CREATE TABLE rollbacks (key TEXT PRIMARY KEY, service TEXT, from_version INTEGER, to_version INTEGER, at TEXT);
"""
TEAMS = {
    "shop": ("checkout", "cart", "catalog", "search"),
    "money": ("billing", "payments", "pricing", "ledger"),
    "delivery": ("tracking", "warehouse", "labels", "routing"),
    "identity": ("login", "accounts", "sessions", "permissions"),
    "platform": ("gateway", "queue", "storage", "mailer"),
}
SERVICES = [(service, team) for team, services in TEAMS.items() for service in services]
HOURS = 72
DEPLOYMENTS, INCIDENTS, KEYS = 600, 120, 350
WHAT = ("answers slowly", "answers with errors", "is out of memory", "lost its database connection")


def prepare(files: Path) -> None:
    """Make engineering's database in its directory, once."""
    deployments = list(_deployments())
    latest = {row[1]: row[2] for row in deployments}
    tables = {
        "services": ((service, team, 1 + index % 3, latest[service]) for index, (service, team) in enumerate(SERVICES)),
        "hours": _hours(),
        "deployments": deployments,
        "incidents": _incidents(deployments),
        "on_call": _on_call(),
        "api_keys": _keys(),
    }
    build(files, SCHEMA, tables)


def _hours() -> Iterator[tuple[Any, ...]]:
    """The last 72 hours before today of each service."""
    r = chance("hours")
    for service, _ in SERVICES:
        load, faults, pace = 500 + int(r() * 9000), 0.0005 + r() ** 3 * 0.02, 40 + int(r() * 400)
        for hour in range(HOURS):
            requests = int(load * (0.6 + 0.8 * r()))
            at = f"{iso(-HOURS // 24 + hour // 24)} {hour % 24:02}:00"
            yield service, at, requests, int(requests * faults * 2 * r()), int(pace * (0.8 + 0.5 * r()))


def _deployments() -> Iterator[tuple[Any, ...]]:
    """Half a year of deployments, oldest first; one in ten failed."""
    r = chance("deployments")
    engineers = working("engineering")
    versions: dict[str, int] = {}
    for index in range(DEPLOYMENTS):
        service = SERVICES[int(r() * len(SERVICES))][0]
        versions[service] = versions.get(service, 0) + 1
        at = f"{iso(-180 + index * 180 // DEPLOYMENTS)} {9 + int(r() * 8):02}:{int(r() * 60):02}"
        status = "failed" if r() < 0.1 else "done"
        yield 5001 + index, service, versions[service], at, engineers[int(r() * len(engineers))].id, status


def _incidents(deployments: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """A year of incidents; some were caused by a deployment of the same day, the last ones are still open."""
    r = chance("incidents")
    for index in range(INCIDENTS):
        cause = deployments[int(r() * DEPLOYMENTS)] if r() < 0.4 else None
        service = cause[1] if cause else SERVICES[int(r() * len(SERVICES))][0]
        ago = 365 - index * 3
        on = cause[3][:10] if cause else iso(-ago)
        is_open = index >= INCIDENTS - 3
        on = iso(-int(r() * 2)) if is_open else on
        opened = f"{on} 17:{int(r() * 60):02}" if cause and not is_open else f"{on} {int(r() * 8):02}:{int(r() * 60):02}"
        closed = None if is_open else f"{on} {18 + int(r() * 6):02}:{int(r() * 60):02}"
        summary = f"{service} {WHAT[int(r() * 4)]}"
        yield 601 + index, service, 1 + int(r() ** 0.5 * 3), opened, closed, summary, cause[0] if cause and not is_open else None


def _on_call() -> Iterator[tuple[Any, ...]]:
    """Half a year of weeks around today, each named by its Monday."""
    engineers = working("engineering")
    for place, team in enumerate(TEAMS):
        for week in range(-13, 13):
            yield team, iso(7 * week), engineers[(place * 7 + week) % len(engineers)].id


def _keys() -> Iterator[tuple[Any, ...]]:
    r = chance("api_keys")
    for index in range(KEYS):
        customer = 3 + index * CUSTOMERS // KEYS
        yield customer, f"mk_{int(r() * 16**8):08x}", iso(-10 - int(r() * 900)), None, int(r() ** 3 * 90_000)
