"""What all departments of the example share: its date, its money, and how a worker reads what it is asked."""

import re
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, Protocol

from mai.agents.context import Context, Refusal

TODAY = date(2026, 2, 16)  # the example's calendar stands still on this Monday, so that every answer can be recomputed
QUARTER = "2026-Q1"
QUARTER_END = "2026-03-31"

Row = dict[str, Any]


class Asked(Protocol):
    """The part of a task that a worker reads: a contract with its typed input, or a free text and no contract."""

    @property
    def text(self) -> str: ...
    @property
    def contract(self) -> str: ...
    @property
    def input(self) -> dict[str, Any]: ...


def day(offset: int) -> str:
    """The date so many days after today, as ISO 8601."""
    return (TODAY + timedelta(days=offset)).isoformat()


def euros(cents: int) -> str:
    """Money for a person: 1,234.50 EUR."""
    return f"{cents / 100:,.2f} EUR"


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 ticket`, `3 tickets`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listing(items: Iterable[object], most: int = 5) -> str:
    """A list for a person: `a, b and c`, or `a, b, c and 4 more`."""
    texts = [str(item) for item in items]
    if len(texts) > most:
        texts = [*texts[:most], f"{len(texts) - most} more"]
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)


def sentence(head: str, named: str) -> str:
    """A head with the list that it announces, or alone."""
    return f"{head}: {named}." if named else f"{head}."


async def concluded(
    ctx: Context, customer: int, own: str, *, confidence: float, grounds: tuple[str, ...], why: str
) -> tuple[str, str]:
    """A customer's standing: what its department concludes; where that has lost, what was ruled, and who says so in words.

    Raises Refusal if it has lost to a value that is not shown here.
    """
    subject = f"customer/{customer}"
    try:
        await ctx.conclude(subject, "standing", own, confidence=confidence, grounds=grounds, why=why)
    except Refusal:
        for ruling in await ctx.rulings(subject, "standing"):
            if ruling["shown"]:
                return str(ruling["value"]), f" (it was ruled so in {ruling['case']}: {ruling['clause']})"
        raise
    return own, ""


def number(task: Asked, name: str) -> int:
    """The number that the request gives for `name`: typed input, `customer 42` in the text, or the text's only number.

    Raises Refusal that says what is missing.
    """
    if task.input.get(name) is not None:
        return int(task.input[name])
    named = re.search(rf"\b{name}s?\b\W*(?:no\b\W*|number\W*|id\W*)?(\d[\d,]*)", task.text, re.IGNORECASE)
    numbers = [named[1]] if named else re.findall(r"\d[\d,]*", task.text)
    if len(numbers) != 1:
        raise Refusal(f"tell me the number of the {name}, for example “{name} 42”")
    return int(numbers[0].replace(",", ""))


def optional(task: Asked, name: str, default: int) -> int:
    """A number that the request may give, `30 days` or `days 30` in a text, else the default."""
    if task.input.get(name) is not None:
        return int(task.input[name])
    said = re.search(rf"\b(\d+)\s+{name}\b|\b{name}\s+(\d+)\b", task.text, re.IGNORECASE)
    return int(said[1] or said[2]) if said else default


def choice(task: Asked, name: str, known: Iterable[str]) -> str:
    """Which of the known names the request means, the longest that it contains. Raises Refusal that lists them."""
    names = sorted(known, key=lambda one: (-len(one), one))
    said = str(task.input.get(name) or task.text)
    for one in names:
        if re.search(rf"\b{re.escape(one)}\b", said, re.IGNORECASE):
            return one
    raise Refusal(f"tell me which {name}: {listing(sorted(names), most=30)}")
