"""Erasing a customer: what a department holds on her, what goes, what stays under a legal duty, and the steward who does it.

A department lists its tables with personal data as `Held`. Rows under a duty to keep lose what names a person; all
others go. Erasing again with the same key returns what was done; with another key it finds nothing left.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from company.common import TODAY, Asked, Row, count, listing, number
from company.store import Writing, row, writing

from mai.agents.context import Answer, Context, Refusal

YEAR_DAYS = 365.25


class Held(NamedTuple):
    """One table with rows on customers. `mask` and `named` say how a row that must stay loses the person."""

    table: str
    where: str = "customer = :customer"
    dated: str = ""  # the column from which a duty counts
    mask: str = ""  # assignments that take the person out
    named: str = "0"  # true for a row that still names one


def holdings_of(held: Iterable[Held]) -> Callable[[Path, int], Row]:
    """A tool: how many rows of each table the department holds on a customer."""

    def holdings(files: Path, customer: int) -> Row:
        counts = [f"(SELECT count(*) FROM {one.table} WHERE {one.where}) AS {one.table}" for one in held]
        return row(files, f"SELECT {', '.join(counts)}", customer=customer) or {}

    return holdings


def erase_of(held: Iterable[Held]) -> Callable[..., Row]:
    """A tool: erase what the department holds on a customer; `keep` has the years of each duty by table."""

    def erase(files: Path, customer: int, keep: dict[str, int], *, key: str) -> Row:
        with writing(files) as db:
            if done := db.row("SELECT body FROM erasures WHERE key = :key", key=key):
                return dict(json.loads(done["body"]))
            body: Row = {"customer": customer, "erased": {}, "anonymised": {}, "kept": {}}
            for one in held:
                _erase(db, one, customer, keep.get(one.table, 0), body)
            db.change("INSERT INTO erasures VALUES (:key, :customer, :body)", key=key, customer=customer, body=body)
            return body

    return erase


def _erase(db: Writing, one: Held, customer: int, years: int, body: Row) -> None:
    """Erase one table's rows, but those younger than the duty, which stay without the person."""
    until = TODAY.fromordinal(TODAY.toordinal() - int(years * YEAR_DAYS)).isoformat()
    old = "1" if not years else f"{one.dated} < :until" if one.dated else "0"
    if gone := db.change(f"DELETE FROM {one.table} WHERE ({one.where}) AND {old}", customer=customer, until=until):
        body["erased"][one.table] = gone
    if one.mask:
        change = f"UPDATE {one.table} SET {one.mask} WHERE ({one.where}) AND ({one.named})"
        if masked := db.change(change, customer=customer):
            body["anonymised"][one.table] = masked
    left = db.row(f"SELECT count(*) AS n FROM {one.table} WHERE {one.where}", customer=customer)
    if left and left["n"]:
        body["kept"][one.table] = left["n"]


def listed(records: dict[str, int], most: int = 9) -> str:
    """Numbers of records for a person: `1 api key and 3 invoices`."""
    return listing((count(n, table.removesuffix("s").replace("_", " ")) for table, n in records.items()), most)


def told(body: Row) -> str:
    """What an erasure did, for a person: `erased 2 contacts; made 3 invoices anonymous; keeps 3 invoices`."""
    parts = [
        f"{verb} {listed(body[field])}{after}"
        for field, verb, after in (("erased", "erased", ""), ("anonymised", "took the name out of", ""), ("kept", "keeps", ""))
        if body[field]
    ]
    return ", ".join(parts) or "holds nothing"


async def steward(ctx: Context, task: Asked) -> Answer:
    """The data steward of any department: what is held on a customer, and, for legal alone, erasing it."""
    customer = number(task, "customer")
    if task.contract.endswith(".erase"):
        body = await ctx.tool("erase", customer=customer, keep=task.input["keep"])
        return Answer(f"On customer {customer} this department {told(body)}.", body)
    if "erase" in task.text.lower() or "delete" in task.text.lower():
        raise Refusal("erasing goes through legal's privacy officer: “delete everything we hold on customer 42”")
    held = {table: n for table, n in (await ctx.tool("holdings", customer=customer)).items() if n}
    said = listed(held) or "nothing"
    records = count(sum(held.values()), "record")
    return Answer(f"On customer {customer} this department holds {records}: {said}.", {"customer": customer, "held": held})
