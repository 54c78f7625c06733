"""What departments have taken of their day, and open requests of their limits, for `mai budgets`: read from the ledgers."""

import time

import msgspec

from mai.agents.allowance import WORDS
from mai.agents.amounts import Amounts
from mai.agents.clock import wall
from mai.agents.loop import read_mandate
from mai.agents.organisation import Organisation
from mai.agents.state import Day, Work
from mai.daemon.desk import Granted, Request
from mai.daemon.reader import Reader, chosen, opened
from mai.sandbox.place import Place

ROWS = "SELECT key, value FROM state WHERE noun = ? ORDER BY key"
NEWEST = "SELECT key, value FROM state WHERE noun = 'request' ORDER BY value ->> 'accepted_ms' DESC LIMIT ?"
MOST = 20  # open requests that are shown of one client


class Taken(msgspec.Struct):
    """One count and its limit; what open tasks may still take of it is reserved."""

    scope: str  # "acme/support", "acme request 19a2…"
    period: str  # the day; "" for a request
    what: str  # tasks, hops, tool_calls, seconds, asks, turns, steps
    used: float
    reserved: float
    limit: float

    @property
    def left(self) -> float:
        """What can still be had."""
        return max(0.0, self.limit - self.used - self.reserved)


def taken(place: Place, what: str | None) -> list[Taken]:
    """Of one client or of all, departments first. Raises NotFound, LedgerFault."""
    days, requests = list[Taken](), list[Taken]()
    for reader in opened(place, [one for one in chosen(place, what) if "/" in one]):
        mandate = read_mandate(place.home(reader.process))
        if reader.process.endswith("/mai"):
            requests += _requests(reader, mandate.organisation)
        elif department := mandate.organisation.department(mandate.department):
            limits = {name: float(getattr(department.day, name)) for name in ("tasks", "hops", "tool_calls", "seconds")}
            days += _day(reader, mandate.organisation, {name: limit for name, limit in limits.items() if limit})
    return [*days, *requests]


def _day(reader: Reader, organisation: Organisation, limits: dict[str, float]) -> list[Taken]:
    if not limits:
        return []
    today = wall(organisation.offsets, time.time_ns() // 1_000_000).date
    rows = [msgspec.json.decode(row["value"], type=Day) for row in reader.select(ROWS, "day")]
    day = rows[0] if rows and rows[0].day >= today else Day(today)
    works = [msgspec.json.decode(row["value"], type=Work) for row in reader.select(ROWS, "task")]
    open_ms = sum(max(0, work.deadline_ms - work.since_ms) for work in works if not (work.parent or work.released))
    used = {"tasks": day.tasks, "hops": day.hops, "tool_calls": day.tool_calls, "seconds": day.ms / 1000}
    return [
        Taken(reader.process, day.day, name, used[name], open_ms / 1000 if name == "seconds" else 0.0, limit)
        for name, limit in limits.items()
    ]


def _requests(reader: Reader, organisation: Organisation) -> list[Taken]:
    """The newest of a client that are open, and have taken something that is limited."""
    limits, client = organisation.limits.request, reader.process.partition("/")[0]
    granted = {row["key"]: msgspec.json.decode(row["value"], type=Granted) for row in reader.select(ROWS, "granted")}
    found: list[Taken] = []
    for row in reader.select(NEWEST, MOST):
        request = msgspec.json.decode(row["value"], type=Request)
        known = granted.get(row["key"]) or Granted(row["key"])
        out = sum((grant.allow for grant in known.open.values()), Amounts())
        counts = {"asks": (request.asks, 0), "turns": (request.turns, 0)}
        counts |= {name: (getattr(known.used, name), getattr(out, name)) for name in ("hops", "steps", "tool_calls")}
        found += [
            Taken(f"{client} request {request.request}", "", name, used, reserved, getattr(limits, name))
            for name, (used, reserved) in counts.items()
            if getattr(limits, name) and (used or reserved)
        ]
    return found


def rows(lines: list[Taken]) -> list[tuple[str, ...]]:
    """For a table: whose, when, how much of what."""
    return [
        (one.scope, one.period or "open", WORDS[one.what], f"{one.used:,.0f}", f"{one.reserved:,.0f}", f"{one.limit:,.0f}")
        for one in lines
    ]
