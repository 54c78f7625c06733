"""What the reference organisation must answer, recomputed with plain SQL over all its databases attached.

    with closing(attach({name: directory})) as connection:
        for text, expect, compare in FACTS:
            facts = expect(connection)                      # first: what is true before the request
            ... ask `text`; answer_text, values = the whole text, one dict of values for each part
            compare(facts, answer_text, values)             # asserts

The order matters: those that change something come last, and each is followed by what must be true then. The statements
here share nothing with the organisation's own code.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pysqlite3 as sqlite3

TODAY = "2026-02-16"
DEPARTMENTS = ("marketing", "sales", "support", "engineering", "finance", "legal", "people", "operations")
PARTS = 2  # of the requests that `together` makes

Facts = dict[str, Any]
Values = list[dict[str, Any]]
Expect = Callable[[Any], Facts]
Compare = Callable[[Facts, str, Values], None]


class Fact(NamedTuple):
    """A request, how to compute what is true, and how to hold an answer against it."""

    text: str
    expect: Expect
    compare: Compare


def attach(directories: Mapping[str, Path]) -> Any:
    """A connection that reads every department's database under the department's name; it can write none."""
    connection = sqlite3.connect(":memory:", uri=True)
    connection.row_factory = sqlite3.Row
    for department in DEPARTMENTS:
        connection.execute(f"ATTACH 'file:{directories[department]}/company.db?mode=ro' AS {department}")
    return connection


# -- what is true
def row(sql: str) -> Expect:
    """The fields of a statement's first row."""
    return lambda connection: dict(connection.execute(sql, {"today": TODAY}).fetchone())


def rows(field: str, sql: str) -> Expect:
    """All rows of a statement, as one field."""
    return lambda connection: {field: [dict(one) for one in connection.execute(sql, {"today": TODAY})]}


def column(field: str, sql: str) -> Expect:
    """The first column of a statement, as one field."""
    return lambda connection: {field: [one[0] for one in connection.execute(sql, {"today": TODAY})]}


def pairs(field: str, sql: str) -> Expect:
    """The first two columns of a statement, as a dict in one field."""
    return lambda connection: {field: {one[0]: one[1] for one in connection.execute(sql, {"today": TODAY})}}


def joined(*expects: Expect) -> Expect:
    """The fields of several."""
    return lambda connection: {name: value for expect in expects for name, value in expect(connection).items()}


# -- what is answered
def says(*fields: str) -> Compare:
    """The values hold every fact, and the text names these: an amount in euros, a number, a text, or how long a list is."""

    def compare(facts: Facts, text: str, values: Values) -> None:
        for name, fact in facts.items():
            assert _same(values[0].get(name), fact), (
                f"{name} is {values[0].get(name)!r:.300}, but {fact!r:.300} is true; said was {text!r}"
            )
        for name in fields:
            assert _shown(name, facts[name]) in text, f"{name}, {_shown(name, facts[name])!r}, is not in {text!r}"

    return compare


def only(field: str, key: str, compare: Compare) -> Compare:
    """Of a list of objects in the values, hold only what stands under one key against the facts."""
    return lambda facts, text, values: compare(facts, text, [values[0] | {field: [one[key] for one in values[0][field]]}])


def with_text(field: str, compare: Compare) -> Compare:
    """One of the facts has no value of its own, it has to be in the text."""

    def both(facts: Facts, text: str, values: Values) -> None:
        assert str(facts[field]) in text, f"{field}, {facts[field]!r}, is not in {text!r}"
        compare({name: fact for name, fact in facts.items() if name != field}, text, values)

    return both


def refused(*fields: str) -> Compare:
    """The request was refused with a reason that names these facts, and nothing was answered."""

    def compare(facts: Facts, text: str, values: Values) -> None:
        assert not any(values), f"a refusal has no values, found {values}"
        for name in fields:
            assert _shown(name, facts[name]) in text, f"{name}, {_shown(name, facts[name])!r}, is not in {text!r}"

    return compare


def together(first: Fact, second: Fact) -> Fact:
    """Two requests in one; each part is held against its own facts."""

    def expect(connection: Any) -> Facts:
        return {"first": first.expect(connection), "second": second.expect(connection)}

    def compare(facts: Facts, text: str, values: Values) -> None:
        assert len(values) == PARTS, f"two parts were asked for, {len(values)} were answered: {text!r}"
        first.compare(facts["first"], text, values[:1])
        second.compare(facts["second"], text, values[1:])

    return Fact(f"{first.text.rstrip('?')} and {second.text[0].lower()}{second.text[1:]}", expect, compare)


def _same(found: Any, fact: Any) -> bool:
    if isinstance(fact, list):
        return isinstance(found, list) and len(found) == len(fact) and all(map(_same, found, fact))
    if isinstance(fact, dict):
        return isinstance(found, dict) and found.keys() == fact.keys() and all(_same(found[name], fact[name]) for name in fact)
    if isinstance(fact, float):
        return isinstance(found, int | float) and math.isclose(found, fact, abs_tol=0.051)  # rounded to one decimal
    return bool(found == fact)


def _shown(name: str, fact: Any) -> str:
    if isinstance(fact, list | dict):
        return f"{len(fact):,}"
    if name.endswith("cents"):
        return f"{fact / 100:,.2f} EUR"
    return str(fact)


UNPAID = "NOT EXISTS (SELECT 1 FROM finance.payments p WHERE p.invoice = i.id)"
OPEN_DEAL = "stage IN ('qualified', 'proposal', 'negotiation')"
OPEN_TICKETS_OF = """SELECT id AS ticket, customer, subject, priority, substr(opened_at, 1, 10) AS opened_on
    FROM support.tickets WHERE closed_at IS NULL AND"""

# -- several departments
SPRING = Fact(
    "When should the spring campaign start, given the sales pipeline?",
    row(f"""
        WITH RECURSIVE plan AS (
            SELECT name, max(window_from, date(:today, lead_days || ' days')) AS earliest, window_to, least_audience
            FROM marketing.campaigns WHERE status = 'planned' AND season = 'spring'),
        mondays(monday) AS (
            SELECT date(earliest, 'weekday 1') FROM plan
            UNION ALL SELECT date(monday, '7 days') FROM mondays, plan WHERE date(monday, '7 days') <= window_to),
        deals AS (
            SELECT close_on, cents * probability AS worth FROM sales.deals, plan
            WHERE {OPEN_DEAL} AND close_on >= :today AND close_on <= window_to),
        judged AS (
            SELECT monday, 100 * (SELECT coalesce(sum(worth), 0) FROM deals WHERE close_on < monday) / (SELECT sum(worth)
            FROM deals)
                   AS closed_percent,
                   (SELECT count(DISTINCT customer) FROM legal.consents WHERE purpose = 'marketing' AND withdrawn_on IS NULL
                    AND monday BETWEEN given_on AND expires_on) AS consents
            FROM mondays)
        SELECT name AS campaign, monday AS start, closed_percent, (SELECT count(*) FROM deals) AS deals,
               (SELECT sum(worth) FROM deals) / 100 AS weighted_cents, consents
        FROM judged, plan WHERE consents >= least_audience
        ORDER BY closed_percent < 50, CASE WHEN closed_percent < 50 THEN julianday(monday) * -1
        ELSE julianday(monday) END LIMIT 1"""),
    says("campaign", "start", "closed_percent", "consents", "weighted_cents"),
)
OVERDUE = Fact(
    "Which customers with overdue invoices have open tickets?",
    joined(
        rows(
            "customers",
            f"""WITH owing AS (SELECT customer, sum(cents) AS cents, count(*) AS invoices FROM finance.invoices i
                               WHERE due_on < :today AND {UNPAID} GROUP BY customer)
                SELECT o.customer, o.cents AS overdue_cents, o.invoices, count(t.id) AS tickets
                FROM owing o JOIN support.tickets t ON t.customer = o.customer AND t.closed_at IS NULL
                GROUP BY o.customer ORDER BY o.cents DESC, o.customer""",
        ),
        row(f"SELECT count(DISTINCT customer) AS overdue_customers FROM finance.invoices i WHERE due_on < :today AND {UNPAID}"),
    ),
    says("customers", "overdue_customers"),
)
ON_CALL = Fact(
    "Who is on call?",
    rows(
        "on_call",
        """SELECT o.team, o.employee, e.name FROM engineering.on_call o JOIN people.employees e ON e.id = o.employee
           WHERE :today BETWEEN o.week_on AND date(o.week_on, '6 days') ORDER BY o.team""",
    ),
    says(),
)
ACROSS = [
    SPRING,
    OVERDUE,
    ON_CALL,
    Fact(
        "Can we afford the planned campaigns?",
        row("""
            SELECT planned_cents - spent_cents AS left_cents, sum(c.budget_cents) AS needed_cents,
                   max(0, sum(c.budget_cents) - planned_cents + spent_cents) AS missing_cents
            FROM finance.budgets b, marketing.campaigns c
            WHERE b.department = 'marketing' AND b.quarter = '2026-Q1' AND c.status = 'planned'"""),
        says("left_cents", "needed_cents"),
    ),
    Fact(
        "Which campaigns led to orders?",
        rows(
            "campaigns",
            """SELECT name AS campaign, count(*) AS buyers, sum(cents) AS cents FROM (
                   SELECT DISTINCT c.id, c.name, m.customer,
                          (SELECT sum(cents) FROM sales.orders o WHERE o.customer = m.customer
                          AND ordered_on >= date(:today, '-90 days'))
                          AS cents
                   FROM marketing.mailings m JOIN marketing.campaigns c ON c.id = m.campaign
                   WHERE m.clicked = 1 AND m.sent_on >= date(:today, '-90 days'))
               WHERE cents IS NOT NULL GROUP BY id ORDER BY sum(cents) DESC, name""",
        ),
        says(),
    ),
    Fact(
        "Which customers are at risk of leaving?",
        joined(
            row("""SELECT count(*) AS quiet FROM (SELECT customer FROM sales.orders GROUP BY customer
                   HAVING count(*) > 2 AND max(ordered_on) < date(:today, '-180 days'))"""),
            rows(
                "customers",
                """SELECT o.customer, a.name, count(*) AS orders, sum(o.cents) AS cents, max(o.ordered_on) AS last_on
                   FROM sales.orders o JOIN sales.accounts a ON a.customer = o.customer
                   WHERE o.customer IN (SELECT customer FROM support.tickets WHERE closed_at IS NULL) GROUP BY o.customer
                   HAVING count(*) > 2 AND max(o.ordered_on) < date(:today, '-180 days') ORDER BY
                   sum(o.cents) DESC, o.customer""",
            ),
        ),
        says("quiet", "customers"),
    ),
    Fact(
        "Who looks after customer 42?",
        row("""SELECT a.customer, a.rep AS employee, e.name FROM sales.accounts a JOIN people.employees e ON e.id = a.rep
               WHERE a.customer = 42"""),
        says("name"),
    ),
    Fact(
        "How many tickets were caused by incidents?",
        row("""
            SELECT count(DISTINCT t.id) AS tickets FROM support.tickets t JOIN engineering.incidents i
            ON i.service = CASE t.topic WHEN 'checkout' THEN 'checkout' WHEN 'login' THEN 'login' WHEN 'delivery' THEN 'tracking'
                                        WHEN 'invoice' THEN 'billing' END
            WHERE i.opened_at >= date(:today, '-90 days')
            AND date(t.opened_at) BETWEEN date(i.opened_at) AND coalesce(date(i.closed_at), :today)"""),
        says("tickets"),
    ),
    Fact(
        "Which customers use the API most?",
        rows("customers", "SELECT customer, calls FROM engineering.api_keys ORDER BY calls DESC, customer LIMIT 5"),
        says(),
    ),
    Fact(
        "What is the credit standing of customer 42?",
        row("""
            SELECT customer, CASE WHEN 4 * late <= invoices THEN 'good' ELSE 'poor' END AS standing,
                   (SELECT sum(cents) FROM sales.orders WHERE customer = 42) AS bought_cents, invoices, late, open_cents
            FROM (SELECT i.customer, count(*) AS invoices, sum(coalesce(p.paid_on, :today) > i.due_on) AS late,
                         sum(CASE WHEN p.id IS NULL THEN i.cents ELSE 0 END) AS open_cents
                  FROM finance.invoices i LEFT JOIN finance.payments p ON p.invoice = i.id WHERE i.customer = 42)"""),
        says("standing", "late", "open_cents", "bought_cents"),
    ),
    Fact(
        "What does the payroll cost?",
        row("""
            SELECT sum(monthly_cents) AS monthly_cents, count(*) AS employees,
                   300.0 * sum(monthly_cents) / (SELECT sum(planned_cents) FROM finance.budgets WHERE quarter = '2026-Q1')
                   AS percent_of_budgets
            FROM people.employees WHERE left_on IS NULL"""),
        says("monthly_cents", "employees"),
    ),
    Fact(
        "Can we afford the offers that are out?",
        joined(
            row("SELECT count(*) AS offers, 3 * sum(wanted_cents) AS quarter_cents FROM people.candidates WHERE stage = 'offer'"),
            rows(
                "short",
                """SELECT c.department, 3 * sum(c.wanted_cents) - (b.planned_cents - b.spent_cents) AS missing_cents
                   FROM people.candidates c JOIN finance.budgets b ON b.department = c.department AND b.quarter = '2026-Q1'
                   WHERE c.stage = 'offer' GROUP BY c.department HAVING missing_cents > 0 ORDER BY c.department""",
            ),
        ),
        says("offers", "quarter_cents"),
    ),
    Fact(
        "Which subscribers have no valid consent?",
        joined(
            row("SELECT count(*) AS subscribers FROM marketing.subscribers WHERE unsubscribed_on IS NULL"),
            column(
                "customers",
                """SELECT customer FROM marketing.subscribers WHERE unsubscribed_on IS NULL
                   EXCEPT SELECT customer FROM legal.consents
                   WHERE purpose = 'marketing' AND withdrawn_on IS NULL AND expires_on >= :today ORDER BY customer""",
            ),
        ),
        says("subscribers", "customers"),
    ),
    Fact(
        "Which suppliers have no agreement?",
        rows(
            "suppliers",
            """SELECT s.id AS supplier, s.name FROM operations.suppliers s LEFT JOIN legal.agreements a
               ON a.supplier = s.id AND a.ends_on >= :today WHERE a.id IS NULL ORDER BY s.id""",
        ),
        says("suppliers"),
    ),
    Fact(
        "How long does the stock of product 17 last?",
        row("""
            SELECT product, units, sold, units * 90 / sold AS days FROM (
                SELECT product, sum(units) AS units, (SELECT sum(units) FROM sales.orders
                       WHERE product = 17 AND ordered_on >= date(:today, '-90 days')) AS sold
                FROM operations.stock WHERE product = 17)"""),
        says("units", "sold", "days"),
    ),
    Fact(
        "Is everything running?",
        joined(
            column(
                "services",
                """SELECT DISTINCT service FROM engineering.incidents
                   WHERE closed_at IS NULL AND opened_at >= date(:today, '-30 days') ORDER BY service""",
            ),
            row("SELECT count(*) AS open_tickets FROM support.tickets WHERE closed_at IS NULL"),
            row("""SELECT count(*) AS late_deliveries FROM operations.shipments
                   WHERE shipped_on IS NOT NULL AND delivered_on IS NULL AND promised_on < :today"""),
        ),
        says("open_tickets", "late_deliveries"),
    ),
    Fact(
        "What data do we hold on customer 42?",
        row("""
            SELECT 42 AS customer, (SELECT count(*) FROM legal.consents WHERE customer = 42)
                + (SELECT count(*) FROM legal.privacy_requests WHERE customer = 42)
                + (SELECT count(*) FROM legal.agreements WHERE customer = 42)
                + (SELECT count(*) FROM marketing.mailings WHERE customer = 42)
                + (SELECT count(*) FROM marketing.subscribers WHERE customer = 42)
                + (SELECT count(*) FROM support.tickets WHERE customer = 42)
                + (SELECT count(*) FROM support.tickets t JOIN support.messages m ON m.ticket = t.id WHERE t.customer = 42)
                + (SELECT count(*) FROM support.tickets t JOIN support.notes n ON n.ticket = t.id WHERE t.customer = 42)
                + (SELECT count(*) FROM engineering.api_keys WHERE customer = 42)
                + (SELECT count(*) FROM people.referrals WHERE customer = 42)
                + (SELECT count(*) FROM operations.shipments WHERE customer = 42)
                + (SELECT count(*) FROM finance.invoices WHERE customer = 42)
                + (SELECT count(*) FROM finance.refunds WHERE customer = 42)
                + (SELECT count(*) FROM finance.invoices i JOIN finance.payments p ON p.invoice = i.id WHERE i.customer = 42)
                + (SELECT count(*) FROM finance.invoices i JOIN finance.reminders r ON r.invoice = i.id WHERE i.customer = 42)
                + (SELECT count(*) FROM sales.contacts WHERE customer = 42)
                + (SELECT count(*) FROM sales.deals WHERE customer = 42)
                + (SELECT count(*) FROM sales.orders WHERE customer = 42)
                + (SELECT count(*) FROM sales.accounts WHERE customer = 42) AS records"""),
        says("records"),
    ),
]

# -- one department
TICKETS_OF_42 = Fact(
    "How many open tickets does customer 42 have?",
    joined(
        row("SELECT count(*) AS open FROM support.tickets WHERE customer = 42 AND closed_at IS NULL"),
        rows("tickets", f"{OPEN_TICKETS_OF} customer = 42 ORDER BY opened_at"),
    ),
    says("open"),
)
HEADCOUNT = Fact(
    "What is our headcount by department?",
    joined(
        row("SELECT count(*) AS employees FROM people.employees WHERE left_on IS NULL"),
        pairs("departments", "SELECT department, count(*) FROM people.employees WHERE left_on IS NULL GROUP BY department"),
    ),
    says("employees"),
)
MARKETING = [
    Fact(
        "Which campaigns performed best?",
        rows(
            "campaigns",
            """SELECT c.id AS campaign, c.name, sum(spent_cents) AS spent_cents, sum(revenue_cents) AS revenue_cents,
               sum(leads) AS leads,
                      CAST(round(100.0 * sum(revenue_cents) / sum(spent_cents)) AS INTEGER) AS percent
               FROM marketing.results r JOIN marketing.campaigns c ON c.id = r.campaign
               WHERE c.status = 'finished' AND c.starts_on >= date(:today, '-365 days') GROUP BY c.id
               ORDER BY 1.0 * sum(revenue_cents) / sum(spent_cents) DESC LIMIT 3""",
        ),
        says(),
    ),
    Fact(
        "Which channel brings the cheapest leads?",
        rows(
            "channels",
            """SELECT channel, sum(leads) AS leads, sum(spent_cents) AS spent_cents, sum(spent_cents) /
               sum(leads) AS cents_per_lead
               FROM marketing.campaigns c JOIN marketing.results r ON r.campaign = c.id GROUP BY channel
               ORDER BY cents_per_lead""",
        ),
        says(),
    ),
    Fact(
        "How many subscribers do we have?",
        joined(
            row("SELECT count(*) AS subscribers FROM marketing.subscribers WHERE unsubscribed_on IS NULL"),
            pairs(
                "channels", "SELECT channel, count(*) FROM marketing.subscribers WHERE unsubscribed_on IS NULL GROUP BY channel"
            ),
        ),
        says("subscribers"),
    ),
    Fact(
        "Which subject line works best?",
        rows(
            "subjects",
            """SELECT subject, count(*) AS sent, sum(opened) AS opened, 100.0 * avg(opened) AS opened_percent
               FROM marketing.campaigns c JOIN marketing.mailings m ON m.campaign = c.id GROUP BY subject ORDER BY
               avg(opened) DESC""",
        ),
        says(),
    ),
    Fact(
        "Which campaigns are running?",
        column("campaigns", "SELECT name FROM marketing.campaigns WHERE status = 'running'"),
        only("campaigns", "campaign", says("campaigns")),
    ),
    Fact(
        "What content is due this week?",
        row("""SELECT sum(due_on < :today) AS late FROM marketing.content WHERE status IN ('draft', 'planned')
               AND due_on <= date(:today, '7 days')"""),
        says("late"),
    ),
]
SALES = [
    Fact(
        "What is the sales pipeline worth?",
        row(f"""SELECT count(*) AS deals, sum(cents) AS cents FROM sales.deals WHERE {OPEN_DEAL}"""),
        says("deals", "cents"),
    ),
    Fact(
        "Which deals above 50000 close this quarter?",
        rows(
            "deals",
            f"""SELECT id AS deal, customer, (SELECT name FROM sales.accounts a
                WHERE a.customer = d.customer) AS name, close_on, cents, stage
                FROM sales.deals d WHERE {OPEN_DEAL} AND cents > 5000000 AND close_on >= :today AND close_on < '2026-04-01'
                ORDER BY cents DESC, id""",
        ),
        says("deals"),
    ),
    Fact(
        "What is the sales forecast?",
        row(f"""
            SELECT won_cents, weighted_cents, quota_cents, won_cents + weighted_cents AS expected_cents FROM (
                SELECT sum(CASE WHEN stage = 'won' THEN cents ELSE 0 END) AS won_cents,
                       sum(CASE WHEN {OPEN_DEAL} THEN cents * probability ELSE 0 END) / 100 AS weighted_cents
                FROM sales.deals WHERE close_on >= '2026-01-01' AND close_on < '2026-04-01'),
                (SELECT sum(quarter_quota_cents) AS quota_cents FROM sales.reps)"""),
        says("won_cents", "weighted_cents", "quota_cents", "expected_cents"),
    ),
    Fact(
        "Who is customer 42?",
        row("""SELECT customer, name, region, segment, industry, since, (SELECT count(*) FROM sales.orders
               WHERE customer = 42) AS orders,
                      (SELECT sum(cents) FROM sales.orders WHERE customer = 42) AS cents FROM sales.accounts
                      WHERE customer = 42"""),
        says("name", "segment", "orders", "cents"),
    ),
    Fact(
        "What did customer 42 buy?",
        joined(
            row("SELECT customer, count(*) AS orders, sum(cents) AS cents FROM sales.orders WHERE customer = 42"),
            rows(
                "products",
                """SELECT p.id AS product, p.name, count(*) AS orders, sum(units) AS units, sum(o.cents) AS cents
                   FROM sales.products p JOIN sales.orders o ON o.product = p.id AND o.customer = 42
                   GROUP BY p.id ORDER BY sum(o.cents) DESC, p.id""",
            ),
        ),
        says("orders", "cents"),
    ),
    Fact(
        "What is in order 10423?",
        row("""SELECT o.id AS "order", o.customer, o.ordered_on, o.product, p.name, o.units, o.cents
               FROM sales.orders o, sales.products p WHERE o.id = 10423 AND p.id = o.product"""),
        says("customer", "ordered_on", "units", "name", "cents"),
    ),
]
SUPPORT = [
    TICKETS_OF_42,
    Fact(
        "How big is the ticket backlog?",
        joined(
            row("""SELECT count(*) AS open, CAST(julianday(:today) - julianday(min(date(opened_at))) AS INTEGER) AS oldest_days
                   FROM support.tickets WHERE closed_at IS NULL"""),
            pairs("by_priority", "SELECT priority, count(*) FROM support.tickets WHERE closed_at IS NULL GROUP BY priority"),
        ),
        says("open", "oldest_days"),
    ),
    Fact(
        "How long do customers wait for a first answer?",
        joined(
            row("SELECT count(*) AS tickets FROM support.tickets WHERE opened_at >= date(:today, '-90 days')"),
            row("""
                WITH waits AS (
                    SELECT CAST(round((julianday(min(m.at)) - julianday(t.opened_at)) * 1440) AS INTEGER) AS minutes
                    FROM support.tickets t JOIN support.messages m ON m.ticket = t.id
                    WHERE m.author = 'support' AND t.opened_at >= date(:today, '-90 days') GROUP BY t.id),
                numbered AS (SELECT minutes, row_number() OVER (ORDER BY minutes) AS n, count(*) OVER () AS answered FROM waits)
                SELECT answered, minutes AS median_minutes, (SELECT max(minutes) FROM waits) AS slowest_minutes
                FROM numbered WHERE n = (answered + 1) / 2"""),
        ),
        says("tickets", "answered", "median_minutes", "slowest_minutes"),
    ),
    Fact(
        "What do customers complain about most?",
        rows(
            "topics",
            """SELECT topic, count(*) AS tickets FROM support.tickets WHERE opened_at >= date(:today, '-90 days')
               GROUP BY topic ORDER BY tickets DESC, topic""",
        ),
        says(),
    ),
    Fact(
        "Which help articles are least helpful?",
        column("articles", "SELECT id FROM support.articles ORDER BY CAST(helpful AS REAL) / views LIMIT 5"),
        only("articles", "article", says()),
    ),
    *(
        Fact(
            f"What is waiting at the {region} desk?",
            joined(
                row(f"""SELECT '{region}' AS region, count(*) AS waiting FROM support.tickets
                        WHERE closed_at IS NULL AND region = '{region}'"""),
                rows(
                    "next",
                    f"""{OPEN_TICKETS_OF} region = '{region}' ORDER BY CASE priority WHEN 'urgent' THEN 1 WHEN 'high' THEN 2
                        WHEN 'normal' THEN 3 ELSE 4 END, opened_at, id LIMIT 3""",
                ),
            ),
            says("region", "waiting"),
        )
        for region in ("north", "south", "west")
    ),
]
ENGINEERING = [
    Fact(
        "What is the error rate of the checkout service?",
        row("""SELECT service, sum(requests) AS requests, sum(errors) AS errors, 100.0 * sum(errors) / sum(requests) AS percent
               FROM engineering.hours WHERE service = 'checkout'"""),
        says("service"),
    ),
    Fact(
        "Which incidents are open?",
        rows(
            "incidents",
            """SELECT id AS incident, service, severity, opened_at, summary FROM engineering.incidents WHERE closed_at IS NULL
               ORDER BY severity, opened_at""",
        ),
        says("incidents"),
    ),
    Fact(
        "How many incidents were caused by deployments?",
        row("""SELECT count(*) AS incidents, sum(deployment IS NOT NULL) AS caused, count(DISTINCT deployment) AS deployments
               FROM engineering.incidents WHERE opened_at >= date(:today, '-180 days')"""),
        says("incidents", "caused"),
    ),
    Fact(
        "What was deployed last week?",
        joined(
            row("""SELECT count(*) AS failed FROM engineering.deployments
                   WHERE status = 'failed' AND at >= date(:today, '-7 days')"""),
            rows(
                "deployments",
                """SELECT id AS deployment, service, version, at, status FROM engineering.deployments
                   WHERE at >= date(:today, '-7 days') ORDER BY at DESC, id DESC""",
            ),
        ),
        says("failed", "deployments"),
    ),
    Fact(
        "Which deployments fail most?",
        rows(
            "services",
            """SELECT service, count(*) AS deployments, sum(status = 'failed') AS failed, 100.0 *
               avg(status = 'failed') AS percent
               FROM engineering.deployments GROUP BY service ORDER BY avg(status = 'failed') DESC, service LIMIT 5""",
        ),
        says(),
    ),
    Fact(
        "Which services are slowest?",
        column("services", "SELECT service FROM engineering.hours GROUP BY service ORDER BY sum(p95_ms) DESC LIMIT 5"),
        only("services", "service", says()),
    ),
]
FINANCE = [
    Fact(
        "How much is overdue?",
        row(f"""SELECT count(*) AS invoices, count(DISTINCT customer) AS customers, sum(cents) AS cents, min(due_on) AS oldest_on
                FROM finance.invoices i WHERE due_on < :today AND {UNPAID}"""),
        says("invoices", "customers", "cents", "oldest_on"),
    ),
    Fact(
        "What was our revenue in January?",
        row("""
            SELECT month, invoiced_cents, refunded_cents, invoiced_cents - refunded_cents AS cents FROM (
                SELECT '2026-01' AS month,
                       (SELECT sum(cents) FROM finance.invoices WHERE issued_on LIKE '2026-01-%') AS invoiced_cents,
                       (SELECT coalesce(sum(cents), 0) FROM finance.refunds
                       WHERE refunded_on LIKE '2026-01-%') AS refunded_cents)"""),
        says("cents", "invoiced_cents"),
    ),
    Fact(
        "How much budget does marketing have left?",
        row("""SELECT department, planned_cents, spent_cents, planned_cents - spent_cents AS left_cents FROM finance.budgets
               WHERE department = 'marketing' AND quarter = '2026-Q1'"""),
        says("left_cents", "planned_cents", "spent_cents"),
    ),
    Fact(
        "How much cash do we expect in the next 30 days?",
        row(f"""
            SELECT 30 AS days, sum(due_on >= :today) AS invoices, sum(CASE WHEN due_on >= :today THEN cents ELSE 0 END) AS cents,
                   sum(CASE WHEN due_on < :today THEN cents ELSE 0 END) AS overdue_cents
            FROM finance.invoices i WHERE {UNPAID} AND due_on <= date(:today, '30 days')"""),
        says("invoices", "cents", "overdue_cents"),
    ),
    Fact(
        "How many refunds did we pay?",
        row("""
            SELECT count(*) AS refunds, sum(cents) AS cents, 100.0 * sum(cents) /
                   (SELECT sum(cents) FROM finance.invoices WHERE issued_on >= date(:today, '-90 days')) AS percent
            FROM finance.refunds WHERE refunded_on >= date(:today, '-90 days')"""),
        says("refunds", "cents"),
    ),
    Fact(
        "Which invoices of customer 42 are open?",
        rows(
            "invoices",
            f"""SELECT id AS invoice, "order", due_on, cents FROM finance.invoices i WHERE customer = 42 AND {UNPAID}
                ORDER BY due_on, id""",
        ),
        says("invoices"),
    ),
    Fact(
        "Can order 8000 be refunded?",
        row("""SELECT i."order", 0 AS eligible, i.cents,
               CAST(julianday(:today) - julianday(o.ordered_on) AS INTEGER) || ' days' AS age
               FROM finance.invoices i JOIN sales.orders o ON o.id = i."order" WHERE i."order" = 8000"""),
        with_text("age", says()),
    ),
]
LEGAL = [
    Fact(
        "Which consents expire in the next 30 days?",
        rows(
            "consents",
            """SELECT id AS consent, customer, purpose, expires_on FROM legal.consents
               WHERE withdrawn_on IS NULL AND julianday(expires_on) - julianday(:today) BETWEEN 0 AND 30
               ORDER BY expires_on, id""",
        ),
        says("consents"),
    ),
    Fact(
        "How long must we keep invoices?",
        row("SELECT kind, years, law FROM legal.duties WHERE kind = 'invoices'"),
        says("years", "law"),
    ),
    Fact(
        "Which agreements need notice in the next 90 days?",
        column(
            "agreements",
            """SELECT id FROM legal.agreements WHERE julianday(ends_on) - notice_days - julianday(:today) BETWEEN 0 AND 90
               ORDER BY julianday(ends_on) - notice_days, id""",
        ),
        only("agreements", "agreement", says("agreements")),
    ),
    Fact(
        "Which privacy requests are open?",
        rows(
            "requests",
            """SELECT id AS request, customer, kind, due_on FROM legal.privacy_requests WHERE closed_on IS NULL
               ORDER BY due_on, id""",
        ),
        says("requests"),
    ),
    Fact(
        "What agreement do we have with customer 311?",
        row("""SELECT id AS agreement, customer, signed_on, ends_on, cents FROM legal.agreements WHERE customer = 311"""),
        says("agreement", "signed_on", "ends_on"),
    ),
]
PEOPLE = [
    HEADCOUNT,
    Fact(
        "Which candidates are waiting for an interview?",
        rows(
            "candidates",
            """SELECT c.id AS candidate, c.name, c.department, c.applied_on FROM people.candidates c
               LEFT JOIN people.interviews i ON i.candidate = c.id WHERE c.stage = 'waiting' AND i.id IS NULL
               ORDER BY c.applied_on, c.id""",
        ),
        says("candidates"),
    ),
    Fact(
        "How long does hiring take?",
        row("""SELECT count(hired_on) AS hired, avg(julianday(hired_on) - julianday(applied_on)) AS mean_days,
                      CAST(max(julianday(hired_on) - julianday(applied_on)) AS INTEGER) AS longest_days
                      FROM people.candidates"""),
        says("hired", "longest_days"),
    ),
    Fact(
        "What is our staff turnover?",
        row("""
            SELECT departures, employees, 100.0 * departures / (departures + employees) AS percent FROM (
                SELECT sum(coalesce(left_on, '') >= date(:today, '-365 days')) AS departures, sum(left_on IS NULL) AS employees
                FROM people.employees)"""),
        says("departures", "employees"),
    ),
    Fact(
        "Who is away today?",
        rows(
            "away",
            """SELECT e.id AS employee, e.name, e.department, max(l.to_on) AS back_after
               FROM people.employees e JOIN people.leave l ON l.employee = e.id
               WHERE l.from_on <= :today AND l.to_on >= :today GROUP BY e.id ORDER BY e.id""",
        ),
        says("away"),
    ),
    Fact(
        "Who is employee 1034?",
        row("SELECT id AS employee, name, title, phone FROM people.employees WHERE id = 1034"),
        says("name", "title", "phone"),
    ),
    Fact(
        "How many vacation days has employee 1034 taken?",
        row("""SELECT 1034 AS employee, coalesce(sum(days), 0) AS vacation_days FROM people.leave
               WHERE employee = 1034 AND kind = 'vacation' AND from_on >= date(:today, '-365 days') AND from_on <= :today"""),
        says("vacation_days"),
    ),
]
OPERATIONS = [
    Fact(
        "Which deliveries are late?",
        row("""
            SELECT count(*) AS late, CAST(max(julianday(:today) - julianday(promised_on)) AS INTEGER) AS longest_days
            FROM operations.shipments WHERE shipped_on IS NOT NULL AND delivered_on IS NULL AND promised_on < :today"""),
        says("late"),
    ),
    Fact(
        "Which carrier is most reliable?",
        rows(
            "carriers",
            """SELECT carrier, count(*) AS deliveries, sum(delivered_on <= promised_on) AS on_time,
                      100.0 * avg(delivered_on <= promised_on) AS percent
               FROM operations.shipments WHERE delivered_on <> '' GROUP BY carrier ORDER BY percent DESC""",
        ),
        says(),
    ),
    Fact(
        "Which products are running low?",
        row("SELECT count(DISTINCT product) AS products FROM operations.stock WHERE reorder_at > units"),
        says("products"),
    ),
    Fact(
        "Which purchases are late?",
        column(
            "purchases",
            "SELECT id FROM operations.purchases WHERE received_on IS NULL AND expected_on < :today ORDER BY expected_on",
        ),
        only("purchases", "purchase", says("purchases")),
    ),
    Fact(
        "Which suppliers keep us waiting?",
        rows(
            "suppliers",
            """SELECT s.id AS supplier, s.name, count(*) AS purchases,
               avg(julianday(received_on) - julianday(expected_on)) AS days_late
               FROM operations.suppliers s JOIN operations.purchases p ON p.supplier = s.id AND p.received_on IS NOT NULL
               GROUP BY s.id ORDER BY days_late DESC, s.id LIMIT 5""",
        ),
        says(),
    ),
    Fact(
        "How many units of product 17 are in stock?",
        row("SELECT product, sum(units) AS units, sum(units > 0) AS warehouses FROM operations.stock WHERE product = 17"),
        says("units", "warehouses"),
    ),
    Fact(
        "Where is order 10423?",
        row("""SELECT id AS shipment, "order", customer, carrier, shipped_on, promised_on, delivered_on FROM operations.shipments
               WHERE "order" = 10423"""),
        says("carrier", "promised_on"),
    ),
]

# -- what changes something
REFUND = """SELECT i."order", i.customer, i.cents, (SELECT max(id) + 1 FROM finance.refunds) AS refund FROM finance.invoices i
            WHERE i."order" = {order} AND EXISTS (SELECT 1 FROM finance.payments p WHERE p.invoice = i.id)
            AND NOT EXISTS (SELECT 1 FROM finance.refunds r WHERE r."order" = i."order")
            AND julianday(:today) - julianday(i.issued_on) <= 60"""
NOTED = """SELECT id FROM support.tickets WHERE "order" = {order} AND closed_at IS NULL ORDER BY id"""
ERASED_311 = row("""
    SELECT 311 AS customer,
        (SELECT count(*) FROM legal.consents WHERE customer = 311) + (SELECT count(*) FROM legal.privacy_requests
        WHERE customer = 311)
        + (SELECT count(*) FROM marketing.mailings WHERE customer = 311)
        + (SELECT count(*) FROM marketing.subscribers WHERE customer = 311)
        + (SELECT count(*) FROM support.tickets WHERE customer = 311)
        + (SELECT count(*) FROM support.messages WHERE ticket IN (SELECT id FROM support.tickets WHERE customer = 311))
        + (SELECT count(*) FROM support.notes WHERE ticket IN (SELECT id FROM support.tickets WHERE customer = 311))
        + (SELECT count(*) FROM engineering.api_keys WHERE customer = 311) + (SELECT count(*) FROM people.referrals
        WHERE customer = 311)
        + (SELECT count(*) FROM finance.invoices i JOIN finance.reminders r ON r.invoice = i.id WHERE i.customer = 311)
        + (SELECT count(*) FROM sales.contacts WHERE customer = 311) + (SELECT count(*) FROM sales.deals WHERE customer = 311)
        + (SELECT count(*) FROM sales.accounts WHERE customer = 311) AS erased,
        (SELECT count(*) FROM finance.invoices WHERE customer = 311 AND billed_to <> '')
        + (SELECT count(*) FROM finance.invoices i JOIN finance.payments p ON p.invoice = i.id WHERE i.customer = 311
        AND p.payer <> '')
        + (SELECT count(*) FROM operations.shipments WHERE customer = 311 AND recipient <> '') AS anonymised,
        (SELECT count(*) FROM finance.invoices WHERE customer = 311) + (SELECT count(*) FROM finance.refunds WHERE customer = 311)
        + (SELECT count(*) FROM finance.invoices i JOIN finance.payments p ON p.invoice = i.id WHERE i.customer = 311)
        + (SELECT count(*) FROM operations.shipments WHERE customer = 311) + (SELECT count(*) FROM sales.orders
        WHERE customer = 311)
        + (SELECT count(*) FROM legal.agreements WHERE customer = 311) AS kept""")
INVOICES_OF_311 = row("SELECT count(*) || ' invoices' AS invoices FROM finance.invoices WHERE customer = 311")


def erased_all(facts: Facts, text: str, values: Values) -> None:
    """Something went, finance's invoices stay by law without a name, and every department has answered."""
    assert facts["erased"] > 0 and facts["anonymised"] > 0
    with_text("invoices", says())(facts, text, values)
    by_department = {one["department"]: one for one in values[0]["departments"]}
    assert set(by_department) == set(DEPARTMENTS) and values[0]["failed"] == {}
    assert by_department["finance"]["anonymised"]["invoices"] == by_department["finance"]["kept"]["invoices"]


def nothing_left(facts: Facts, text: str, values: Values) -> None:
    """The databases hold nothing any more that names her, and the answer says so; what the law keeps is still there."""
    assert (facts["erased"], facts["anonymised"]) == (0, 0) and facts["kept"] > 0
    with_text("invoices", says())(facts, text, values)
    assert "Nothing is left" in text


EFFECTS = [
    Fact(
        "Refund order 10423",
        joined(row(REFUND.format(order=10423)), column("tickets", NOTED.format(order=10423))),
        says("customer", "cents", "refund"),
    ),
    Fact(
        "Refund order 10423",
        row('SELECT id AS refund, refunded_on, cents FROM finance.refunds WHERE "order" = 10423 AND refunded_on = :today'),
        refused("refund", "refunded_on"),
    ),
    together(
        Fact(
            "Refund order 10501",
            joined(row(REFUND.format(order=10501)), column("tickets", NOTED.format(order=10501))),
            says("customer", "cents", "refund"),
        ),
        ON_CALL,
    ),
    Fact(
        "Refund order 8000",
        row("""SELECT issued_on, CAST(julianday(:today) - julianday(issued_on) AS INTEGER) AS days FROM finance.invoices
               WHERE "order" = 8000"""),
        refused("issued_on", "days"),
    ),
    Fact(
        "Quote 12 units of product 17",
        row(
            """SELECT id AS product, 12 AS units, 12 * cents * 95 / 100 AS cents, 5 AS discount_percent
               FROM sales.products WHERE id = 17"""
        ),
        says("units", "cents"),
    ),
    Fact(
        "Withdraw the consent of customer 77",
        row("""SELECT 77 AS customer, count(*) AS withdrawn,
                      EXISTS (SELECT 1 FROM marketing.subscribers WHERE customer = 77 AND unsubscribed_on IS NULL) AS unsubscribed
               FROM legal.consents WHERE customer = 77 AND withdrawn_on IS NULL"""),
        says("withdrawn", "customer"),
    ),
    Fact(
        "Unsubscribe customer 55",
        row("SELECT customer, unsubscribed_on IS NULL AS unsubscribed FROM marketing.subscribers WHERE customer = 55"),
        says("customer"),
    ),
    Fact(
        "Roll back the billing service",
        row("""
            SELECT s.name AS service, s.version AS from_version, (SELECT d.version FROM engineering.deployments d
                   WHERE d.service = s.name AND d.version < s.version AND d.status = 'done'
                   ORDER BY d.version DESC LIMIT 1) AS to_version
            FROM engineering.services s WHERE s.name = 'billing'"""),
        says("from_version", "to_version"),
    ),
    Fact(
        "Reorder product 17",
        row("""
            SELECT p.supplier, p.product, max(p.units) AS units, (SELECT max(id) + 1 FROM operations.purchases) AS purchase,
                   date(:today, s.lead_days || ' days') AS expected_on
            FROM operations.purchases p JOIN operations.suppliers s ON s.id = p.supplier WHERE p.product = 17
            GROUP BY s.id ORDER BY s.lead_days, s.id LIMIT 1"""),
        says("units", "purchase", "expected_on"),
    ),
    Fact(
        "Close ticket 30017",
        row("SELECT id AS ticket, customer FROM support.tickets WHERE id = 30017"),
        says("ticket", "customer"),
    ),
    Fact(
        "Send a reminder for invoice 507659",
        row("""SELECT id AS invoice, customer, cents, (SELECT count(*) + 1 FROM finance.reminders WHERE invoice = 507659) AS level
               FROM finance.invoices WHERE id = 507659"""),
        says("invoice", "customer", "cents", "level"),
    ),
    Fact(
        "Schedule an interview for candidate 305",
        row("""SELECT c.id AS candidate, (SELECT max(id) + 1 FROM people.interviews) AS interview, min(e.id) AS employee
               FROM people.candidates c JOIN people.employees e ON e.department = c.department AND e.left_on IS NULL
               WHERE c.id = 305"""),
        says("candidate", "employee"),
    ),
    Fact(
        "Revoke the API key of customer 41",
        row("SELECT customer, prefix FROM engineering.api_keys WHERE customer = 41"),
        says("customer", "prefix"),
    ),
    Fact("Delete everything we hold on customer 311", joined(ERASED_311, INVOICES_OF_311), erased_all),
    Fact("Delete everything we hold on customer 311", joined(ERASED_311, INVOICES_OF_311), nothing_left),
]

FACTS: list[Fact] = [
    *ACROSS,
    *MARKETING,
    *SALES,
    *SUPPORT,
    *ENGINEERING,
    *FINANCE,
    *LEGAL,
    *PEOPLE,
    *OPERATIONS,
    together(TICKETS_OF_42, HEADCOUNT),
    *EFFECTS,
]
