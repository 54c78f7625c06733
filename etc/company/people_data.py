"""People owns employees, candidates, interviews, leave, and which customer recommended which candidate."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from company.data import CUSTOMERS, STAFF, build, chance, employees, iso, person, working

SCHEMA = """
CREATE TABLE employees (id INTEGER PRIMARY KEY, name TEXT, department TEXT, title TEXT, phone TEXT, hired_on TEXT, left_on TEXT,
                        monthly_cents INTEGER);
CREATE TABLE candidates (id INTEGER PRIMARY KEY, name TEXT, department TEXT, stage TEXT, applied_on TEXT, hired_on TEXT,
                         wanted_cents INTEGER);
CREATE TABLE interviews (id INTEGER PRIMARY KEY, key TEXT UNIQUE, candidate INTEGER, employee INTEGER, at TEXT, outcome TEXT);
CREATE TABLE leave (id INTEGER PRIMARY KEY, employee INTEGER, kind TEXT, from_on TEXT, to_on TEXT, days INTEGER);
CREATE TABLE referrals (id INTEGER PRIMARY KEY, customer INTEGER, candidate INTEGER, said_by TEXT);
"""
CANDIDATES = 350
STAGES = (("rejected", 0.55), ("hired", 0.7), ("waiting", 0.8), ("invited", 0.92), ("offer", 1.0))


def prepare(files: Path) -> None:
    """Make people's database in its directory, once."""
    candidates = list(_candidates())
    tables = {
        "employees": _employees(),
        "candidates": candidates,
        "interviews": _interviews(candidates),
        "leave": _leave(),
        "referrals": _referrals(),
    }
    build(files, SCHEMA, tables)


def _employees() -> Iterator[tuple[Any, ...]]:
    heads = {working(department)[0].id for department in STAFF}
    for one in employees():
        title = f"head of {one.department}" if one.id in heads else f"{one.department} associate"
        left = None if one.left is None else iso(one.left)
        yield one.id, one.name, one.department, title, f"+49 30 555 {one.id}", iso(one.hired), left, one.monthly_cents


def _candidates() -> Iterator[tuple[Any, ...]]:
    r = chance("candidates")
    departments = list(STAFF)
    for index in range(CANDIDATES):
        chosen = r()
        stage = next(stage for stage, below in STAGES if chosen < below)
        applied = -1 - int(r() * (45 if stage in ("waiting", "invited", "offer") else 500))
        hired = iso(min(applied + 15 + int(r() * 60), 0)) if stage == "hired" else None
        wanted = 300000 + int(r() * 30) * 10000
        yield 301 + index, person(11 * index + 5), departments[int(r() * 8)], stage, iso(applied), hired, wanted


def _interviews(candidates: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Those who wait have had none; those who are invited have one to come."""
    r = chance("interviews")
    number = 0
    for candidate, _, department, stage, applied, _, _ in candidates:
        if stage == "waiting" or (stage == "rejected" and r() < 0.4):
            continue
        number += 1
        panel = working(department)
        on = iso(1 + int(r() * 12)) if stage == "invited" else applied
        outcome = "" if stage == "invited" else "no" if stage == "rejected" else "yes"
        yield number, f"old-{number}", candidate, panel[number % len(panel)].id, f"{on} {9 + number % 8:02}:00", outcome


def _leave() -> Iterator[tuple[Any, ...]]:
    r = chance("leave")
    staff = [one for one in employees() if one.left is None]
    for index in range(280):
        start, days = -int(r() * 320) + 20, 1 + int(r() ** 2 * 14)
        kind = "vacation" if r() < 0.7 else "illness"
        yield 1 + index, staff[int(r() * len(staff))].id, kind, iso(start), iso(start + days - 1), days


def _referrals() -> Iterator[tuple[Any, ...]]:
    r = chance("referrals")
    for index in range(60):
        customer = 311 if index == 0 else 1 + int(r() * CUSTOMERS)
        yield 1 + index, customer, 301 + int(r() * CANDIDATES), person(3 * index)
