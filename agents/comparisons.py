"""Comparisons written as data: what a policy's `when` says of the values of one call. No text is evaluated. Pure.

    when = { amount_cents = { above = 10000 }, currency = { in = ["EUR"] }, at = { between = ["08:00", "18:00"] } }

A comparison gives True, False, or None where nothing can be said: the value is missing, or is of another type than what it is
compared with. Who asks decides what None means (policies.py: it never allows anything, and it never keeps a denial away).
"""

import datetime
import math
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import translate
from functools import cache
from typing import Any, Final, NamedTuple

WORDS: Final = ("at", "weekday", "requester", "subject", "confidence")  # what a call has beside its arguments
INPUT: Final = "input"  # `input.at` is an argument of that name
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ORDERED: Final = ("above", "at_least", "below", "at_most", "between")
OPERATORS: Final = (*ORDERED, "is", "not", "in", "not_in", "like", "not_like", "given")
Truth = bool | None
Values = Mapping[str, Any]
Path = tuple[str, ...]


class Comparison(NamedTuple):
    """One operator of one field: `amount_cents = { above = 10000 }`."""

    path: Path  # the field, or a word of WORDS; an argument begins with INPUT
    operator: str
    constant: Any

    @property
    def field(self) -> str:
        """The field as the organisation file names it."""
        return ".".join(self.path)

    def __str__(self) -> str:
        return f"{self.field} {self.operator} {self.constant}"


def comparisons(when: Mapping[str, Any]) -> list[Comparison]:
    """All of a `when`, in its order. What check.py has not found sound may be left out."""
    return list(_read(when, ()))


def _read(table: Mapping[str, Any], path: Path) -> Iterator[Comparison]:
    for name, one in table.items():
        if path and name in OPERATORS:
            yield Comparison(path, name, _plain(one, path == ("at",)))
        elif isinstance(one, dict):
            yield from _read(one, (*path, name))


def _plain(constant: Any, time: bool) -> Any:
    """TOML has dates and times of its own; here they are texts, as in JSON, and a time of day is one of five characters."""
    if isinstance(constant, list | tuple):
        return tuple(_plain(one, time) for one in constant)
    if isinstance(constant, datetime.date | datetime.time):
        constant = constant.isoformat()
    return constant.removesuffix(":00") if time and isinstance(constant, str) and len(constant) == 8 else constant


# -- the values of a call
MISSING: Final = None  # as JSON's null: a value that is not there


def value_of(path: Path, words: Values, arguments: Values) -> Any:
    """What a call has there: a word of its own, or an argument, by the names of the fields on the way."""
    found: Any
    if len(path) == 1 and path[0] in WORDS:
        return words.get(path[0])
    found = arguments
    for name in path[1:] if path[0] == INPUT else path:
        if not isinstance(found, Mapping):
            return MISSING
        found = found.get(name)
    return found


def holds(comparison: Comparison, words: Values, arguments: Values) -> Truth:
    """Does it hold of these values? None if they do not say."""
    path, operator, constant = comparison
    value = value_of(path, words, arguments)
    if operator == "given":
        return (value is not MISSING) is constant
    if value is MISSING:
        return None
    if path == ("at",) and operator == "between":
        return _within_day(value, *constant)
    return compare(operator, value, constant)


def compare(operator: str, value: Any, constant: Any) -> Truth:
    """One value beside a constant; None if they are not of one kind."""
    match operator:
        case "between":
            low, high = constant
            return _both(compare("at_least", value, low), compare("at_most", value, high))
        case "in" | "not_in":
            found = _any(_equal(value, one) for one in constant)
            return found if operator == "in" or found is None else not found
        case "is" | "not":
            equal = _equal(value, constant)
            return equal if operator == "is" or equal is None else not equal
        case "like" | "not_like":
            if not isinstance(value, str):
                return None
            return any(fits(one, value) for one in patterns(constant)) is (operator == "like")
    pair = _ordered(value, constant)
    return ORDER[operator](*pair) if pair else None


ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "above": lambda one, other: one > other,
    "at_least": lambda one, other: one >= other,
    "below": lambda one, other: one < other,
    "at_most": lambda one, other: one <= other,
}


def _within_day(minute: Any, start: str, end: str) -> Truth:
    """From `start` on, and before `end`; over midnight where `end` is the earlier one."""
    if not isinstance(minute, str):
        return None
    return start <= minute < end if start <= end else minute >= start or minute < end


def patterns(constant: Any) -> tuple[str, ...]:
    """The patterns of a `like`: one text, or several."""
    return (constant,) if isinstance(constant, str) else tuple(constant)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """`*` stands for any characters; nothing else is special."""
    return re.compile(translate("".join(f"[{one}]" if one in "?[" else one for one in text)))


def fits(pattern: str, text: str) -> bool:
    """Is the text one that the pattern stands for?"""
    return _pattern(pattern).match(text) is not None


def kind_of(value: Any) -> str:
    """number, text, bool, or "" for what is compared with nothing."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number" if math.isfinite(value) else ""
    return "text" if isinstance(value, str) else ""


def _equal(value: Any, constant: Any) -> Truth:
    kind = kind_of(constant)
    return value == constant if kind and kind == kind_of(value) else None


def _ordered(value: Any, constant: Any) -> tuple[Any, Any] | None:
    """Both as something that has an order: numbers, dates or times of day."""
    kind = kind_of(constant)
    if not kind or kind != kind_of(value) or kind == "bool":
        return None
    if kind == "number":
        return value, constant
    days = date_of(value), date_of(constant)
    if days[0] and days[1]:
        return days
    return (value, constant) if is_time(value) and is_time(constant) else None


def date_of(text: str) -> datetime.date | None:
    """The date that a text is: 2025-03-31."""
    try:
        return datetime.date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


def is_time(text: str) -> bool:
    """Is it a time of day: 08:00?"""
    hour, colon, minute = text[:2], text[2:3], text[3:5]
    sound = len(text) == 5 and colon == ":" and hour.isdecimal() and minute.isdecimal()
    return sound and int(hour) < 24 and int(minute) < 60


def _any(ones: Iterator[Truth]) -> Truth:
    """True if one is; None if none can be told."""
    found = list(ones)
    if any(one is True for one in found):
        return True
    return False if any(one is False for one in found) else None


def _both(one: Truth, other: Truth) -> Truth:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True
