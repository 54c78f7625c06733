"""What engineering's agents may look up and do."""

from pathlib import Path

from company.common import Row
from company.erasure import Held, erase_of, holdings_of
from company.store import row, rows, writing

HELD = (Held("api_keys"),)
erase = erase_of(HELD)
holdings = holdings_of(HELD)


def services(files: Path) -> list[str]:
    """The names of all services."""
    return [one["name"] for one in rows(files, "SELECT name FROM services ORDER BY name")]


def errors(files: Path, service: str, since: str) -> Row | None:
    """Requests and errors of a service since a day."""
    return row(
        files,
        """SELECT service, sum(requests) AS requests, sum(errors) AS errors,
                  round(100.0 * sum(errors) / sum(requests), 3) AS percent
           FROM hours WHERE service = :service AND at >= :since GROUP BY service""",
        service=service,
        since=since,
    )


def incidents(files: Path, since: str) -> list[Row]:
    """Incidents that were opened since a day, oldest first."""
    return rows(
        files,
        """SELECT id AS incident, service, severity, opened_at, closed_at FROM incidents
           WHERE opened_at >= :since ORDER BY opened_at, id""",
        since=since,
    )


def open_incidents(files: Path) -> list[Row]:
    """Incidents that go on, the gravest first."""
    return rows(
        files,
        """SELECT id AS incident, service, severity, opened_at, summary FROM incidents
           WHERE closed_at IS NULL ORDER BY severity, opened_at""",
    )


def deployments(files: Path, since: str) -> list[Row]:
    """Deployments since a day, the latest first."""
    return rows(
        files,
        """SELECT id AS deployment, service, version, at, status FROM deployments WHERE at >= :since ORDER BY at DESC, id DESC""",
        since=since,
    )


def failures(files: Path) -> list[Row]:
    """How many deployments of each service failed, the worst first."""
    return rows(
        files,
        """SELECT service, count(*) AS deployments, sum(status = 'failed') AS failed,
                  round(100.0 * sum(status = 'failed') / count(*), 1) AS percent
           FROM deployments GROUP BY service ORDER BY 1.0 * sum(status = 'failed') / count(*) DESC, service""",
    )


def slowest(files: Path, most: int) -> list[Row]:
    """The services with the longest answers: the mean of their hourly 95th percentiles."""
    return rows(
        files,
        """SELECT service, CAST(round(avg(p95_ms)) AS INTEGER) AS p95_ms FROM hours
           GROUP BY service ORDER BY avg(p95_ms) DESC, service LIMIT :most""",
        most=most,
    )


def api_usage(files: Path, most: int) -> list[Row]:
    """The customers with most API calls."""
    return rows(
        files,
        "SELECT customer, calls FROM api_keys WHERE revoked_on IS NULL ORDER BY calls DESC, customer LIMIT :most",
        most=most,
    )


def causes(files: Path, since: str) -> Row | None:
    """How many incidents since a day were caused by a deployment, and by how many deployments."""
    return row(
        files,
        """SELECT count(*) AS incidents, count(deployment) AS caused, count(DISTINCT deployment) AS deployments
           FROM incidents WHERE opened_at >= :since""",
        since=since,
    )


def on_call(files: Path) -> list[Row]:
    """Who is on call this week, team by team."""
    sql = "SELECT team, employee FROM on_call WHERE week_on <= :today AND date(week_on, '7 days') > :today ORDER BY team"
    return rows(files, sql)


def roll_back(files: Path, service: str, *, key: str) -> Row | None:
    """Put a service back to the last version before its present one that did not fail; the same key does it once."""
    with writing(files) as db:
        done = "SELECT service, from_version, to_version FROM rollbacks WHERE key = :key"
        if found := db.row(done, key=key):
            return found
        good = db.row(
            """SELECT s.version AS present, max(d.version) AS version FROM services s
               JOIN deployments d ON d.service = s.name AND d.version < s.version AND d.status = 'done'
           WHERE s.name = :service""",
            service=service,
        )
        if not good or good["version"] is None:
            return None
        db.change("UPDATE services SET version = :version WHERE name = :service", version=good["version"], service=service)
        values = {"key": key, "service": service, "present": good["present"], "version": good["version"]}
        db.change("INSERT INTO rollbacks VALUES (:key, :service, :present, :version, :today)", **values)
        return db.row(done, key=key)


def api_key(files: Path, customer: int) -> Row | None:
    """A customer's API key, by its first letters."""
    return row(files, "SELECT customer, prefix, revoked_on FROM api_keys WHERE customer = :customer", customer=customer)


def revoke(files: Path, customer: int, *, key: str) -> None:
    """Revoke a customer's API key. Doing it again changes nothing, so the tool's key need not be kept."""
    with writing(files) as db:
        db.change("UPDATE api_keys SET revoked_on = :today WHERE customer = :customer AND revoked_on IS NULL", customer=customer)
