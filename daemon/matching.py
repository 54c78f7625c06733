"""What of a sentence stands in a record: its dates, numbers and words, found again in decoded JSON.

A number is the same however it is written (`4,024,500.00` and `4024500`); one that is a hundred times more or less is the same
in another unit (euros and cents, percent and shares), and is called so. That something stands in a record says that it could
have been taken from there, and not that it was: who reads this is told what was found, where, and how.
"""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import msgspec

from mai.agents.figures import NUMBER, figures
from mai.agents.markers import MARK
from mai.agents.match import words

DATE: Final = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
MARKED: Final = re.compile(r"\d{1,3}[.,]\d{3}")
GONE: Final = re.compile(rf"{MARK.pattern}|\berased-e\d+\b")  # what stands for erased values says nothing of its own
KEY: Final = re.compile(r"[^\W\d_]{3,}")
STRONG: Final = 3  # digits of a number that is not found anywhere by chance
LONG: Final = 4  # letters of a word that may stand for a longer one: consent, consents
FEW: Final = 2  # words without any number that are enough
MOST: Final = 8  # places that are named of one record
MOST_PLACES: Final = 50_000  # scalars of one record that are looked at
SHOWN: Final = 60  # characters of a value
TIMES: Final = (Decimal(100), Decimal("0.01"))


class Wanted(NamedTuple):
    """What of a sentence can be found again."""

    dates: frozenset[str]
    numbers: dict[Decimal, str]  # as it stands in the sentence
    words: tuple[str, ...]

    @property
    def figures(self) -> tuple[str, ...]:
        """Dates and numbers, as they stand there."""
        return tuple(dict.fromkeys((*sorted(self.dates), *self.numbers.values())))

    def only(self, said: Iterable[str]) -> "Wanted":
        """As much of it as stands there."""
        have = set(said)
        numbers = {number: text for number, text in self.numbers.items() if text in have}
        return Wanted(self.dates & have, numbers, tuple(word for word in self.words if word in have))


class Found(msgspec.Struct, frozen=True):
    """One of them in a record."""

    said: str  # as the sentence has it
    where: str  # `value.days[5].valid`; "" for a text as a whole
    value: str  # what stands there
    how: str  # same, hundredfold (or a hundredth of it), count (of a list), word


def wanted(text: str) -> Wanted:
    """What of a sentence can be found again."""
    text = GONE.sub(" ", text)
    dates = frozenset(DATE.findall(text))
    numbers: dict[Decimal, str] = {}
    for found in NUMBER.findall(DATE.sub(" ", text)):
        for number in _readings(found):
            numbers.setdefault(number, found)
    return Wanted(dates, numbers, tuple(words(text)))


def _readings(text: str) -> Iterator[Decimal]:
    """What a number in a text can be: `1.656` is a thousand and more to some, and less than two to others."""
    yield Decimal(next(iter(figures(text))))
    if MARKED.fullmatch(text):
        yield Decimal(text.replace(",", "."))


def found(of: Wanted, value: Any) -> list[Found]:
    """What stands in a decoded value; nothing if it is no more than chance would have there."""
    figured: dict[str, Found] = {}
    worded: dict[str, Found] = {}
    for where, one in _places(value):
        for hit in _figures(of, where, one):
            known = figured.get(hit.said)
            if known is None or (known.how != "same" and hit.how == "same"):
                figured[hit.said] = hit
        for word in _words(of, where, one):
            worded.setdefault(word.said, word)
    sure = [one for one in figured.values() if _strong(one.said)]
    if not sure and len(worded) < FEW and not (figured and worded):
        return []
    return [*figured.values(), *worded.values()][:MOST]


def _strong(said: str) -> bool:
    return sum(char.isdigit() for char in said) >= STRONG or "." in said or "," in said


def _places(value: Any, where: str = "", budget: list[int] | None = None) -> Iterator[tuple[str, Any]]:
    """Every scalar with its place, and the length of every list; as many as one looks at."""
    budget = [MOST_PLACES] if budget is None else budget
    budget[0] -= 1
    if budget[0] < 0:
        return
    match value:
        case dict():
            for name, one in value.items():
                yield from _places(one, f"{where}.{name}" if where else str(name), budget)
        case list():
            yield where, _Length(len(value))
            for number, one in enumerate(value):
                yield from _places(one, f"{where}[{number}]", budget)
        case str() if "erased" in value:
            yield where, GONE.sub(" ", value)
        case _:
            yield where, value


class _Length(NamedTuple):
    """How many a list has."""

    items: int


def _figures(of: Wanted, where: str, one: Any) -> Iterator[Found]:
    match one:
        case bool() | None:
            return
        case _Length(items=items):
            if (number := Decimal(items)) in of.numbers and items > 1:
                yield Found(of.numbers[number], where, f"{items} of them", "count")
        case int() | float():
            yield from _same(of, where, Decimal(str(one)), str(one))
        case str():
            shown = one if len(one) <= SHOWN else ""
            yield from (Found(date, where, shown or date, "same") for date in of.dates if date in one)
            for text in NUMBER.findall(DATE.sub(" ", one)):
                for number in _readings(text):
                    yield from _same(of, where, number, shown or text)


def _same(of: Wanted, where: str, number: Decimal, shown: str) -> Iterator[Found]:
    try:
        if number in of.numbers:
            yield Found(of.numbers[number], where, shown, "same")
        for times in TIMES:
            if number and (other := number * times) in of.numbers and _strong(of.numbers[other] + "0" * (times < 1)):
                yield Found(of.numbers[other], where, shown, "hundredfold")
    except InvalidOperation:  # not finite
        return


def _words(of: Wanted, where: str, one: Any) -> Iterator[Found]:
    """Words that stand in a text, or in the name of its place; short ones only if they are the same."""
    named = KEY.findall(where.replace("_", " ").lower().rpartition(".")[2])
    told = KEY.findall(one.lower()) if isinstance(one, str) else []
    have = {*told, *named}
    for word in of.words:
        near = next((other for other in have if other == word or _akin(word, other)), None) if have else None
        if near:
            yield Found(word, where, near, "word")


def _akin(word: str, other: str) -> bool:
    return len(word) >= LONG and len(other) >= LONG and (word.startswith(other) or other.startswith(word))
