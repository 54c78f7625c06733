"""What must hold of the comparisons of a policy: each is one, can hold, and one rule does not hide another. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mai.agents.comparisons import (
    DAYS,
    INPUT,
    OPERATORS,
    ORDERED,
    WORDS,
    Comparison,
    Path,
    compare,
    date_of,
    holds,
    is_time,
    kind_of,
    patterns,
)
from mai.agents.faults import nearest, shown

Flaw = tuple[Path, str, str]  # where in `when`, a sentence, a hint
EXAMPLE: Final = 'such as { above = 10000 } or { in = ["EUR"] }'
EXPECTED: Final = {
    "between": "two numbers, dates or times of day, the smaller one first",
    "in": "a list of values of one kind", "not_in": "a list of values of one kind",
    "like": "a text with * in it, or a list of such", "not_like": "a text with * in it, or a list of such",
    "given": "true or false", "is": "a number, a text, true or false", "not": "a number, a text, true or false",
}  # fmt: skip
NUMBER: Final = "a number, a date or a time of day"
WORD_KINDS: Final = {"at": "time", "weekday": "day", "requester": "text", "subject": "text", "confidence": "number"}
MEANT: Final = {
    "number": "a number", "text": "a text", "bool": "true or false", "date": "a date", "time": 'a time of day, such as "08:00"',
    "day": "a day of the week", "list": "a list",
}  # fmt: skip


# -- are they comparisons?
def flaws(when: Mapping[str, Any]) -> Iterator[Flaw]:
    """What is wrong with a `when` by itself."""
    for name, one in when.items():
        yield from _flaws(one, (name,))


def _flaws(one: Any, path: Path) -> Iterator[Flaw]:
    field = ".".join(path)
    if not isinstance(one, dict) or not one:
        yield path, f"{field} is {shown(one)}, expected a comparison", EXAMPLE
    elif any(name in OPERATORS for name in one) or not any(isinstance(inner, dict) for inner in one.values()):
        for name in one.keys() - set(OPERATORS):
            hint = nearest(name, OPERATORS, "the comparisons")
            yield (*path, name), f"{field} is compared by {shown(name)}, which means nothing", hint
    else:
        for name, inner in one.items():
            yield from _flaws(inner, (*path, name))


def unsound(comparison: Comparison) -> str:
    """What a comparison should be compared with; "" if it is."""
    path, operator, constant = comparison
    if operator == "given":
        sound = isinstance(constant, bool)
    elif operator in ("like", "not_like"):
        texts = patterns(constant) if isinstance(constant, str | tuple) else ()
        sound = bool(texts) and all(isinstance(one, str) and one for one in texts)
    elif operator in ("in", "not_in"):
        kinds = {kind_of(one) for one in constant} if isinstance(constant, tuple) else {""}
        sound = len(kinds) == 1 and "" not in kinds
    elif operator == "between":
        sound = isinstance(constant, tuple) and len(constant) == 2 and _range(path, *constant)
    elif operator in ORDERED:
        sound = bool(order_of(constant))
    else:
        sound = bool(kind_of(constant))
    return "" if sound else EXPECTED.get(operator, NUMBER)


def _range(path: Path, low: Any, high: Any) -> bool:
    kind = order_of(low)
    if not kind or kind != order_of(high):
        return False
    return low != high if path == ("at",) else compare("at_most", low, high) is True


def order_of(constant: Any) -> str:
    """number, date or time, if it is something that has an order."""
    kind = kind_of(constant)
    if kind == "text":
        return "date" if date_of(constant) else "time" if is_time(constant) else ""
    return kind if kind == "number" else ""


def unfit(comparison: Comparison, kind: str) -> str:
    """Why a field of this kind is not compared so, as the end of a sentence; "" if it may be."""
    _, operator, constant = comparison
    if operator == "given" or kind == "any":
        return ""
    ones = constant if isinstance(constant, tuple) else (constant,)
    if kind == "list":
        return "a list or a table, of which only `given` can be said"
    if kind == "bool" and operator not in ("is", "not", "in", "not_in"):
        return "true or false, and has no order"
    if operator in ("like", "not_like") and kind not in ("text", "day", "date"):
        return f"{MEANT[kind]}, and no text"
    if kind == "day":
        strange = [one for one in ones if one not in DAYS]
        return f"one of {', '.join(DAYS)}" if strange or operator in ORDERED else ""
    return "" if all(_of_kind(one, kind, operator) for one in ones) else MEANT[kind]


def _of_kind(one: Any, kind: str, operator: str) -> bool:
    order = order_of(one)
    if operator in ORDERED:
        return order == ("date" if kind == "text" else kind)
    if operator in ("like", "not_like"):
        return True
    return order == kind if kind in ("date", "time") else kind_of(one) == kind


def ambiguous(path: Path) -> bool:
    """Is it a word for what a call has beside its arguments?"""
    return len(path) == 1 and path[0] in WORDS


# -- can they hold together?
def impossible(comparisons: list[Comparison]) -> str:
    """The field of which no value can be as all of them say; "" if each has one."""
    for path in dict.fromkeys(one.path for one in comparisons):
        mine = [one for one in comparisons if one.path == path and one.operator != "given"]
        absent = any(one.path == path and one.operator == "given" and one.constant is False for one in comparisons)
        if (mine and absent) or not _possible(mine):
            return ".".join(path)
    return ""


def _possible(mine: list[Comparison]) -> bool:
    values = candidates(mine)
    if values is not None:
        return any(all(_says(one, value) is not False for one in mine) for value in values)
    low, high = bounds(mine)
    if low is None or high is None or mine[0].path == ("at",):
        return True
    return compare("below" if low[1] or high[1] else "at_most", low[0], high[0]) is not False


def candidates(mine: list[Comparison]) -> list[Any] | None:
    """The values that it may have, where they are named; else None."""
    for one in mine:
        if one.operator in ("is", "in"):
            return list(one.constant) if one.operator == "in" else [one.constant]
    return None


def _says(one: Comparison, value: Any) -> bool | None:
    return (
        holds(one._replace(path=(INPUT, "value")), {}, {"value": value}) if one.path != ("at",) else holds(one, {"at": value}, {})
    )


Bound = tuple[Any, bool] | None  # a constant, and whether it is itself outside


def bounds(mine: list[Comparison]) -> tuple[Bound, Bound]:
    """The narrowest bounds that they set; none if they are of different kinds."""
    low, high = list[tuple[Any, bool]](), list[tuple[Any, bool]]()
    for one in mine:
        match one.operator:
            case "above" | "at_least":
                low.append((one.constant, one.operator == "above"))
            case "below" | "at_most":
                high.append((one.constant, one.operator == "below"))
            case "between" if one.path != ("at",):
                low.append((one.constant[0], False))
                high.append((one.constant[1], False))
    if len({order_of(constant) for constant, _ in (*low, *high)}) > 1:
        return None, None
    return max(low, default=None), min(high, key=lambda bound: (bound[0], not bound[1]), default=None)


# -- does one say no more than another?
def implied(comparison: Comparison, by: list[Comparison]) -> bool:
    """Does it hold wherever all of these hold? False where that cannot be told."""
    mine = [one for one in by if one.path == comparison.path]
    if comparison in mine:
        return True
    if comparison.operator == "given":
        return False
    values = candidates(mine)
    if values is not None:
        values = [value for value in values if all(_says(one, value) for one in mine)]
        return bool(values) and all(_says(comparison, value) is True for value in values)
    return comparison.path != ("at",) and _bounded(comparison, mine)


def _bounded(comparison: Comparison, mine: list[Comparison]) -> bool:
    """Does it hold between the bounds that these set?"""
    path, operator, constant = comparison
    if operator == "between":
        ends = (Comparison(path, name, one) for name, one in zip(("at_least", "at_most"), constant, strict=True))
        return all(_bounded(one, mine) for one in ends)
    low, high = bounds(mine)
    bound = low if operator in ("above", "at_least") else high
    if bound is None or operator not in ORDERED:
        return False
    loose = {"above": "at_least", "below": "at_most"}  # the bound itself is outside already
    return compare(loose.get(operator, operator) if bound[1] else operator, bound[0], constant) is True
