"""How a view of a ledger is put together: its columns, and what their SQL is made of. Pure."""

from typing import Final, NamedTuple

BLOB: Final = '{"blob":"*'  # how a body begins that lies elsewhere, as GLOB has it


class Column(NamedTuple):
    """One column of a view."""

    name: str
    sql: str
    about: str


class View(NamedTuple):
    """One view; `also` are further SELECTs of as many columns, for what another process has on record otherwise."""

    name: str
    where: str  # whose ledgers have rows in it
    about: str
    columns: tuple[Column, ...]
    source: str  # FROM …
    also: tuple[tuple[tuple[str, ...], str], ...] = ()

    @property
    def sql(self) -> str:
        """The statement that makes it, as `CREATE VIEW` or `CREATE TEMP VIEW` is followed by it."""
        first = ",\n  ".join(f"{column.sql} AS {column.name}" for column in self.columns)
        rest = "".join(f"\n UNION ALL SELECT {', '.join(values)}\n {source}" for values, source in self.also)
        return f"{self.name} AS SELECT\n  {first}\n {self.source}{rest}"


def ns(of: str) -> str:
    """A record's time."""
    return f"strftime('%Y-%m-%dT%H:%M:%fZ', {of}.at_ns / 1e9, 'unixepoch')"


def ms(value: str) -> str:
    """A time in milliseconds; none for 0."""
    return f"strftime('%Y-%m-%dT%H:%M:%fZ', NULLIF({value}, 0) / 1e3, 'unixepoch')"


def text(name: str, of: str = "r") -> str:
    """A field of a record's body as a plain value."""
    return f"{of}.body->>'$.{name}'"


def json(name: str, of: str = "r") -> str:
    """The same as JSON."""
    return f"{of}.body->'$.{name}'"


def either(*names: str) -> str:
    """The first of some fields that is there."""
    return f"COALESCE({', '.join(text(name) for name in names)})"


def same(kind: str, of: str, more: str = "") -> str:
    """A join with the record of the same request that says what came of it."""
    extra = f" AND {more}" if more else ""
    return f"LEFT JOIN records {of} ON {of}.request = r.request AND {of}.request <> '' AND {of}.kind = '{kind}'{extra}"


def there(kind: str, more: str) -> str:
    """Is there such a record of the same request?"""
    return f"EXISTS(SELECT 1 FROM records x WHERE x.request = r.request AND x.request <> '' AND x.kind = '{kind}' AND {more})"


def of(kind: str) -> str:
    """All records of a kind that belong to requests: so said, SQLite can use the index on them."""
    return f"FROM records r {{}} WHERE r.kind = '{kind}' AND r.request <> ''"


AT: Final = Column("at", ns("r"), "when")
REQUEST: Final = Column("request", "r.request", "the client's request")
TASK: Final = Column("task", "r.task", "the task")
AGENT: Final = Column("agent", "r.agent", "who, as the department calls him")
SEQ: Final = Column("seq", "r.seq", "the record's number in the journal")
THERE: Final = ("r.seq", ns("r"), "r.request", "r.task", "r.agent")  # the same of a further SELECT
HERE: Final = (SEQ, AT, REQUEST, TASK, AGENT)
STEP: Final = "x.task = r.task AND x.body->>'$.n' = r.body->>'$.n'"  # x is of the same step
SAME_STEP: Final = "{0}.task = r.task AND {0}.body->>'$.n' = r.body->>'$.n'"
THIS: Final = "x.body->>'$.id' = r.body->>'$.id'"  # x is about the same approval
AT_MAI: Final = "x.body->>'$.approval' = r.body->>'$.approval.id'"  # the same in Mai's journal
ASKED: Final = (  # what a step asked for, where its own record does not repeat it
    "SELECT x.body->'$.given' FROM records x WHERE x.request = r.request AND x.request <> '' "
    f"AND x.kind IN ('step.asked', 'effect.intent') AND {STEP} ORDER BY x.seq DESC LIMIT 1"
)
