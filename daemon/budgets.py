"""`mai budgets`: what each client, department and agent has spent on models, what else was taken, and what they may."""

import time
from typing import Any

import msgspec

from mai.agents.loop import read_mandate
from mai.agents.models import Budget, Period
from mai.agents.organisation import Organisation
from mai.daemon.reader import chosen, opened
from mai.daemon.spending import NEARLY, Account, money
from mai.daemon.status import NONE, painted
from mai.daemon.taken import Taken, rows
from mai.sandbox.place import Place

HEADINGS = ("whose", "period", "tokens", "of", "money", "of")
ALSO = ("whose", "period", "what", "taken", "reserved", "of")
ACCOUNTS = "SELECT key, value FROM state WHERE noun = 'spent' ORDER BY key"
SHOWN: Period = "month"  # where no budget says another
BOLD, RED, YELLOW = 1, 31, 33


class Line(msgspec.Struct):
    """One scope in one period. Amounts are in the currency that the prices are in; a limit of 0 is none."""

    scope: str  # "acme", "acme/support", "acme/support/desk"
    per: Period
    period: str  # "2026-11"
    tokens: int
    tokens_limit: int
    money: float
    money_limit: float

    @property
    def share(self) -> float:
        """How much of the tighter limit is spent; 0 without one."""
        tokens = self.tokens / self.tokens_limit if self.tokens_limit else 0.0
        return max(tokens, self.money / self.money_limit if self.money_limit else 0.0)


def budgets(place: Place, what: str | None) -> list[Line]:
    """The scopes, of one client or of all, that have spent something or have a budget. Raises NotFound, LedgerFault."""
    processes = [process for process in chosen(place, what) if process.endswith("/models")]
    now_ms, lines = time.time_ns() // 1_000_000, list[Line]()
    for reader in opened(place, processes):
        client = reader.process.partition("/")[0]
        organisation = read_mandate(place.home(reader.process)).organisation
        limits = _limits(client, organisation)
        found = reader.select(ACCOUNTS)
        accounts = {row["key"]: msgspec.json.decode(row["value"], type=Account) for row in found}
        for scope in sorted(limits.keys() | accounts.keys()):
            account = accounts.get(scope, Account())
            for budget in limits.get(scope, [Budget(per=SHOWN)]):
                spent = account.of(budget.per, now_ms, organisation.offsets)
                nano = spent.cost_nano / 1e9
                lines.append(Line(scope, budget.per, spent.period, spent.tokens, budget.tokens, nano, budget.money))
    return lines


def _limits(client: str, organisation: Organisation) -> dict[str, list[Budget]]:
    """The budgets that limit something, by their scope."""
    found = {client: [organisation.models.budget]}
    for department in organisation.departments:
        day = Budget(tokens=department.day.tokens, money=department.day.money, per="day")
        found[f"{client}/{department.name}"] = [department.budget, day]
        found |= {f"{client}/{department.name}/{agent.name}": [agent.budget] for agent in department.agents}
    limiting = {scope: [one for one in budgets if one.tokens or one.money] for scope, budgets in found.items()}
    return {scope: budgets for scope, budgets in limiting.items() if budgets}


def fields(lines: list[Line], also: list[Taken]) -> dict[str, Any]:
    """The budgets as scripts read them."""
    more = [{**msgspec.to_builtins(one), "left": one.left} for one in also]
    return {"budgets": msgspec.to_builtins(lines), "taken": more}


def render(lines: list[Line], also: list[Taken], *, colour: bool) -> str:
    """Two tables, of models and of all else; in colour, what is spent is red, what is nearly spent is yellow."""
    if not lines and not also:
        return "nobody here asks models, and nothing else has a limit: see limits.request and departments.X.day"
    tables = [_table([HEADINGS, *map(_row, lines)], list(map(_colour, lines)), 2, colour)] if lines else []
    if also:
        shares = [RED if not one.left else YELLOW if one.left <= (1 - NEARLY) * one.limit else 0 for one in also]
        tables.append(_table([ALSO, *rows(also)], shares, 3, colour))
    return "\n\n".join(tables)


def _table(found: list[tuple[str, ...]], colours: list[int], words: int, colour: bool) -> str:
    widths = [max(len(row[column]) for row in found) for column in range(len(found[0]))]
    shown = zip(found, (BOLD, *colours), strict=True)
    return "\n".join(painted(_aligned(row, widths, words), code, colour) for row, code in shown)


def _aligned(row: tuple[str, ...], widths: list[int], words: int) -> str:
    """The first columns, which are words, to the left, numbers to the right."""
    cells = zip(row, widths, strict=True)
    return "  ".join(cell.ljust(width) if column < words else cell.rjust(width) for column, (cell, width) in enumerate(cells))


def _colour(line: Line) -> int:
    return RED if line.share >= 1 else YELLOW if line.share >= NEARLY else 0


def _row(line: Line) -> tuple[str, ...]:
    return (
        line.scope,
        line.period or "ever",
        f"{line.tokens:,}",
        f"{line.tokens_limit:,}" if line.tokens_limit else NONE,
        money(line.money * 1e9) or "0",
        money(line.money_limit * 1e9) if line.money_limit else NONE,
    )
