"""The numbers in a text: did what a model says with them stand in what it was given? Pure."""

import re
from typing import Final

NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")


def invented(said: str, given: str) -> str:
    """A number that stands in `said` and not in `given`, however it is written there; "" if there is none."""
    strange = figures(said) - figures(given)
    return min(strange) if strange else ""


def figures(text: str) -> set[str]:
    """The numbers in a text, without the marks of thousands: `1,234.50` and `1234.5` are one."""
    return {_plain(found) for found in NUMBER.findall(text)}


def _plain(number: str) -> str:
    """A number without its marks. The last of them is the decimal point, unless three digits follow it."""
    head, mark, tail = number.rpartition("." if number.rfind(".") > number.rfind(",") else ",")
    if not mark or len(tail) == 3:
        return re.sub(r"[.,]", "", number).lstrip("0") or "0"
    whole = re.sub(r"[.,]", "", head).lstrip("0") or "0"
    tail = tail.rstrip("0")
    return f"{whole}.{tail}" if tail else whole
