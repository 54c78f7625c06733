"""What was spent on models, and whether one call more fits a budget. Pure.

Before an attempt its upper bound is reserved, in the budget of the client, of the department and of the agent; when it
ends, what the provider says is booked, in the period in which it ends. Spent and reserved together never exceed a limit:
a period begins with nothing spent, and what is still reserved then counts in it.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from math import ceil, floor
from typing import Final, NamedTuple

import msgspec

from mai.agents.clock import UTC, Offsets, wall
from mai.agents.errand_messages import Usage
from mai.agents.models import Budget, Period, Target

PERIODS: Final[tuple[Period, ...]] = ("hour", "day", "month", "ever")
NEARLY = 0.8  # of a limit: from here on it is said that it is nearly spent
MESSAGE_TOKENS = 64  # what a provider's chat template puts around a message, at most
TALK_TOKENS = 1024  # and around the whole: a default system text, the explanation of how to call tools
NANO = 10**9


class Spent(msgspec.Struct):
    """What was spent in one period."""

    period: str = ""
    tokens: int = 0
    cost_nano: int = 0
    warned: bool = False


class Account(msgspec.Struct):
    """All that one scope (a client, a department, an agent) has spent, as far as a budget may ask."""

    hour: Spent = msgspec.field(default_factory=Spent)
    day: Spent = msgspec.field(default_factory=Spent)
    month: Spent = msgspec.field(default_factory=Spent)
    ever: Spent = msgspec.field(default_factory=Spent)

    def of(self, per: Period, now_ms: int, offsets: Offsets = UTC) -> Spent:
        """What was spent in the period that it is now. A clock that was set back opens no period that is over."""
        return self._in(per, period(per, now_ms, offsets))

    def _in(self, per: Period, name: str) -> Spent:
        spent: Spent = getattr(self, per)
        return spent if name <= spent.period else Spent(name)

    def book(self, usage: Usage, now_ms: int, names: tuple[str, ...] = ()) -> None:
        """Add what an attempt has cost, in the periods of those names; by default those of UTC."""
        for per, name in zip(PERIODS, names or periods(now_ms), strict=True):
            spent = self._in(per, name)
            spent.tokens += usage.tokens
            spent.cost_nano += usage.cost_nano
            setattr(self, per, spent)

    def warn(self, per: Period) -> None:
        """Note that it was said that this period's budget is nearly spent."""
        spent: Spent = getattr(self, per)
        spent.warned = True


class Scoped(NamedTuple):
    """A budget, and whose it is."""

    scope: str  # "acme", "acme/support", "acme/support/desk"
    noun: str  # client, department, agent, request
    budget: Budget

    @property
    def who(self) -> str:
        """For sentences: "department acme/support", "request 19a2"."""
        return self.scope if self.noun == "request" else f"{self.noun} {self.scope}"


def scopes(agent: str) -> list[str]:
    """Whose accounts an agent's call is booked in: the client's, the department's, its own."""
    parts = agent.split("/")
    return ["/".join(parts[: length + 1]) for length in range(len(parts))]


def of_request(request: str) -> str:
    """The account of a request, which is no address."""
    return f"request {request}"


def period(per: Period, at_ms: int, offsets: Offsets = UTC) -> str:
    """The name of the calendar period of a time zone in which a time lies; later ones are greater."""
    at = wall(offsets, at_ms)
    return {"hour": f"{at.date} {at.time[:2]} h", "day": at.date, "month": at.date[:7], "ever": ""}[per]


def periods(at_ms: int, offsets: Offsets = UTC) -> tuple[str, ...]:
    """The names of all periods in which a time lies."""
    return tuple(period(per, at_ms, offsets) for per in PERIODS)


def renews(per: Period, now_ms: int, offsets: Offsets = UTC) -> str:
    """When the period after this one begins, in words."""
    at, zone = wall(offsets, now_ms), "UTC" if offsets == UTC else "by the organisation's clock"
    day = date.fromisoformat(at.date)
    match per:
        case "hour":
            hour = int(at.time[:2]) + 1
            return f"it is renewed on {day + timedelta(days=hour // 24)} at {hour % 24:02}:00 {zone}"
        case "day":
            return f"it is renewed on {day + timedelta(days=1)} at 00:00 {zone}"
        case "month":
            return f"it is renewed on {(day.replace(day=1) + timedelta(days=32)).replace(day=1)} at 00:00 {zone}"
    return "it is not renewed"


def input_bound(messages: int, size: int, twice: int) -> int:
    """The most tokens that a request can have: each token is at least one byte of it, or of the template around it.

    `size` in bytes, of which `twice` (the tools, the schema) may come a second time, or laid out with more white space.
    """
    return size + twice + MESSAGE_TOKENS * messages + TALK_TOKENS


def bound(target: Target, input_tokens: int, output_tokens: int) -> Usage:
    """The most that an attempt can cost."""
    nano = ceil(input_tokens * target.input_price * 1000 + output_tokens * target.output_price * 1000)
    return Usage(input_tokens, output_tokens, nano, estimated=True)


def used(target: Target, input_tokens: int, output_tokens: int) -> Usage:
    """What the provider says that it took, and what that costs: prices are of a million tokens."""
    nano = round(input_tokens * target.input_price * 1000 + output_tokens * target.output_price * 1000)
    return Usage(input_tokens, output_tokens, nano)


def together(usages: Iterable[Usage]) -> Usage:
    """The sum; estimated if a part of it is."""
    total = Usage()
    for one in usages:
        total = Usage(
            total.input_tokens + one.input_tokens,
            total.output_tokens + one.output_tokens,
            total.cost_nano + one.cost_nano,
            total.estimated or one.estimated,
        )
    return total


def exceeds(budget: Budget, spent: Spent, more: Usage) -> str:
    """Which limit would be exceeded by so much more, "" if none: "tokens" or "money"."""
    if budget.tokens and spent.tokens + more.tokens > budget.tokens:
        return "tokens"
    if budget.money and spent.cost_nano + more.cost_nano > floor(budget.money * NANO):
        return "money"
    return ""


def nearly(budget: Budget, spent: Spent) -> bool:
    """Is so much spent that it has to be said?"""
    tokens, money = budget.tokens, budget.money
    return bool((tokens and spent.tokens >= NEARLY * tokens) or (money and spent.cost_nano >= NEARLY * money * NANO))


def refusal(whose: Scoped, spent: Spent, more: Usage, now_ms: int, offsets: Offsets = UTC) -> str:
    """Why a call is refused: whose budget, how much of it is spent, and when there is a new one."""
    budget = whose.budget
    if exceeds(budget, spent, more) == "tokens":
        limit, has, takes = f"{budget.tokens} tokens", str(spent.tokens), str(more.tokens)
    else:
        limit, has, takes = money(budget.money * NANO), money(spent.cost_nano), money(more.cost_nano)
    span = "in all" if budget.per == "ever" else f"of this {budget.per}"
    return (
        f"the budget of the {whose.who} is {limit} {span}: {has} are spent, and this call could take {takes}; "
        f"{renews(budget.per, now_ms, offsets)}"
    )


def warning(whose: Scoped, spent: Spent) -> str:
    """That a budget is nearly spent."""
    budget = whose.budget
    of = [f"{spent.tokens} of {budget.tokens} tokens"] if budget.tokens else []
    of += [f"{money(spent.cost_nano)} of {money(budget.money * NANO)}"] if budget.money else []
    span = "" if budget.per == "ever" else f" of this {budget.per}"
    return f"the budget{span} of the {whose.who} is nearly spent: {', '.join(of)}"


def money(nano: float) -> str:
    """An amount, in the currency that the prices are in."""
    return f"{nano / NANO:.6f}".rstrip("0").rstrip(".")
