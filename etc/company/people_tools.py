"""What people's agents may look up and do."""

from pathlib import Path

from company.common import Row, day
from company.erasure import Held, erase_of, holdings_of
from company.store import row, rows, writing

HELD = (Held("referrals"),)
erase = erase_of(HELD)
holdings = holdings_of(HELD)


def waiting(files: Path) -> list[Row]:
    """Candidates who wait for an interview: none had, none arranged; those who waited longest first."""
    return rows(
        files,
        """SELECT id AS candidate, name, department, applied_on FROM candidates c WHERE stage = 'waiting'
           AND NOT EXISTS (SELECT 1 FROM interviews i WHERE i.candidate = c.id) ORDER BY applied_on, id""",
    )


def headcount(files: Path) -> list[Row]:
    """Who works here, by department."""
    return rows(
        files,
        """SELECT department, count(*) AS employees, sum(monthly_cents) AS monthly_cents FROM employees WHERE left_on IS NULL
           GROUP BY department ORDER BY count(*) DESC, department""",
    )


def hiring_times(files: Path) -> Row | None:
    """From application to hiring, in days, over all who were hired."""
    return row(
        files,
        """SELECT count(*) AS hired, round(avg(julianday(hired_on) - julianday(applied_on)), 1) AS mean_days,
                  CAST(max(julianday(hired_on) - julianday(applied_on)) AS INTEGER) AS longest_days
           FROM candidates WHERE stage = 'hired'""",
    )


def turnover(files: Path) -> Row | None:
    """Who left in the last year, beside those who work here."""
    return row(
        files,
        """SELECT count(*) FILTER (WHERE left_on >= :since) AS departures, count(*) FILTER (WHERE left_on IS NULL) AS employees
           FROM employees""",
        since=day(-365),
    )


def away(files: Path) -> list[Row]:
    """Who is away today, and until when."""
    return rows(
        files,
        """SELECT e.id AS employee, e.name, e.department, l.kind, max(l.to_on) AS back_after FROM leave l
           JOIN employees e ON e.id = l.employee WHERE :today BETWEEN l.from_on AND l.to_on GROUP BY e.id ORDER BY e.id""",
    )


def offers(files: Path) -> list[Row]:
    """Candidates who have an offer, by department, with what they would cost in a month."""
    return rows(
        files,
        """SELECT department, count(*) AS candidates, sum(wanted_cents) AS monthly_cents FROM candidates
           WHERE stage = 'offer' GROUP BY department ORDER BY department""",
    )


def staff(files: Path, employees: list[int]) -> list[Row]:
    """Names of some employees; nothing that only people should know."""
    return rows(
        files,
        """SELECT id AS employee, name, title, phone FROM employees WHERE id IN (SELECT value FROM json_each(:employees))
           ORDER BY id""",
        employees=employees,
    )


def candidate(files: Path, candidate: int) -> Row | None:
    """A candidate, and when her next interview is, if one is arranged."""
    return row(
        files,
        """SELECT id AS candidate, name, department, stage,
                  (SELECT max(at) FROM interviews WHERE candidate = c.id AND outcome = '') AS interview_at
           FROM candidates c WHERE id = :candidate""",
        candidate=candidate,
    )


def schedule(files: Path, candidate: int, department: str, *, key: str) -> Row:
    """Arrange an interview with the head of a department in her next free hour; the same key arranges one."""
    done = "SELECT id AS interview, employee, at FROM interviews WHERE key = :key"
    with writing(files) as db:
        if found := db.row(done, key=key):
            return found
        head = db.row("SELECT min(id) AS id FROM employees WHERE department = :d AND left_on IS NULL", d=department) or {}
        slot = next(at for at in _hours() if not db.row(_TAKEN, employee=head["id"], at=at))
        insert = "INSERT INTO interviews SELECT max(id) + 1, :key, :candidate, :employee, :at, '' FROM interviews"
        db.change(insert, key=key, candidate=candidate, employee=head["id"], at=slot)
        db.change("UPDATE candidates SET stage = 'invited' WHERE id = :candidate", candidate=candidate)
        return db.row(done, key=key) or {}


_TAKEN = "SELECT 1 FROM interviews WHERE employee = :employee AND at = :at"


def _hours() -> list[str]:
    """The hours for interviews from tomorrow on: 9 to 16 o'clock, Monday to Friday (today is a Monday)."""
    return [f"{day(ahead)} {hour:02}:00" for ahead in range(1, 60) if ahead % 7 < 5 for hour in range(9, 17)]


def leave_taken(files: Path, employee: int) -> Row | None:
    """How many days of vacation and illness an employee had in the last 365 days."""
    return row(
        files,
        """SELECT e.id AS employee, e.name, coalesce(sum(l.days) FILTER (WHERE l.kind = 'vacation'), 0) AS vacation_days,
                  coalesce(sum(l.days) FILTER (WHERE l.kind = 'illness'), 0) AS illness_days
           FROM employees e LEFT JOIN leave l ON l.employee = e.id AND l.from_on BETWEEN :since AND :today
           WHERE e.id = :employee GROUP BY e.id""",
        employee=employee,
        since=day(-365),
    )
