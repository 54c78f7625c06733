"""`mai budgets`: what each client, department and agent has spent on models, and what it may spend."""

import time
from typing import Any

import msgspec

from mai.agents.loop import read_mandate
from mai.agents.models import Budget, Period
from mai.agents.organisation import Organisation
from mai.daemon.reader import NotFound, chosen, opened
from mai.daemon.spending import NEARLY, Account, money
from mai.daemon.status import NONE, painted
from mai.sandbox.place import Place

HEADINGS = ("whose", "period", "tokens", "of", "money", "of")
ACCOUNTS = "SELECT key, value FROM state WHERE noun = 'spent' ORDER BY key"
SHOWN: Period = "month"  # where no budget says another
BOLD, RED, YELLOW = 1, 31, 33


class Line(msgspec.Struct):
    """One scope in one period. Amounts are in the currency that the prices are in; a limit of 0 is none."""

    scope: str  # "acme", "acme/support", "acme/support/desk"
    per: Period
    period: str  # "2026-11", in UTC
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
    """The scopes of one client or of all that have spent something or have a budget. Raises NotFound, LedgerFault."""
    processes = [process for process in chosen(place, what) if process.endswith("/models")]
    if not processes:
        raise NotFound("nobody here asks models", "an organisation that does has [[models.models]]")
    now_ms, lines = time.time_ns() // 1_000_000, list[Line]()
    for reader in opened(place, processes):
        client = reader.process.partition("/")[0]
        limits = _limits(client, read_mandate(place.home(reader.process)).organisation)
        rows = reader.select(ACCOUNTS)
        accounts = {row["key"]: msgspec.json.decode(row["value"], type=Account) for row in rows}
        for scope in sorted(limits.keys() | accounts.keys()):
            budget, account = limits.get(scope, Budget(per=SHOWN)), accounts.get(scope, Account())
            spent = account.of(budget.per, now_ms)
            lines.append(Line(scope, budget.per, spent.period, spent.tokens, budget.tokens, spent.cost_nano / 1e9, budget.money))
    return lines


def _limits(client: str, organisation: Organisation) -> dict[str, Budget]:
    """The budgets that limit something, by their scope."""
    found = {client: organisation.models.budget}
    for department in organisation.departments:
        found[f"{client}/{department.name}"] = department.budget
        found |= {f"{client}/{department.name}/{agent.name}": agent.budget for agent in department.agents}
    return {scope: budget for scope, budget in found.items() if budget.tokens or budget.money}


def fields(lines: list[Line]) -> dict[str, Any]:
    """The budgets as scripts read them."""
    return {"budgets": msgspec.to_builtins(lines)}


def render(lines: list[Line], *, colour: bool) -> str:
    """A table; in colour, what is spent is red, what is nearly spent is yellow."""
    rows = [HEADINGS, *(_row(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join(
        painted(_aligned(row, widths), _colour(lines[number - 1]) if number else BOLD, colour) for number, row in enumerate(rows)
    )


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    """Words to the left, numbers to the right."""
    cells = zip(row, widths, strict=True)
    return "  ".join(cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(cells))


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
