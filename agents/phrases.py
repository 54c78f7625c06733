"""How a client asks for a contract in words: `refund order {order}` against "Please refund order #10423!". Pure.

The words of a phrase must all be there, in order and next to each other; its placeholders take typed values. Around
them only courtesies may stand: a text that says anything more ("do not …", "… and then …") is not this phrase, because a
wrong match would do something that nobody asked for. All ways to read a text are followed at once, word by word, so the
time is linear in the text whatever the phrase (Thompson's construction; of equal readings the shortest values win).
"""

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from mai.agents.organisation import Contract
from mai.agents.parts import Fields

COURTESIES: Final = frozenset(
    "hi hello hey dear good morning day afternoon evening mai please pls kindly just now thanks thank you very much"
    " can could would i like to for me us".split()
)
ARTICLES: Final = frozenset("the a an my our your".split())  # may stand before any word of a phrase, and before a value
NUMBER: Final = frozenset("no nr number id".split())  # may stand before a number
AND: Final = frozenset("and or &".split())  # between the elements of a list
LONGEST: Final = 400  # words; no text beyond is the phrase of a contract
MARKS: Final = ".,;:!?#\"'`()[]{}<>*…“”„‘’«»¿¡"  # noqa: RUF001  around a word they mean nothing
MARKS_OF_PHRASES: Final = MARKS.replace("{", "").replace("}", "")
BOOLS: Final = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
SCALARS: Final = ("int", "float", "str", "bool", "date", "any")
INT: Final = re.compile(r"[+-]?([0-9]{1,18}|[0-9]{1,3}(,[0-9]{3}){1,5})")
FLOAT: Final = re.compile(r"[+-]?[$€£]?([0-9]{1,18}|[0-9]{1,3}(,[0-9]{3}){1,5})(\.[0-9]{1,18})?[€%]?")
DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class BadPhrase(Exception):
    """A phrase that cannot be compiled; the arguments are a sentence and a hint."""


class Word(NamedTuple):
    """A word of a text, in small letters and without the marks around it, and where it stands."""

    said: str
    start: int
    end: int


class Literal(NamedTuple):
    """A word of the phrase."""

    said: str


class Slot(NamedTuple):
    """A placeholder: the field that it fills, the type of one value, and whether it takes a list of them."""

    field: str
    type: str
    listed: bool

    @property
    def many(self) -> bool:
        """May it take more than one word?"""
        return self.listed or self.type in ("str", "any")


class Reading(NamedTuple):
    """A way to read the words so far: the next item, whether it has begun, and the words [start, end) of each slot."""

    item: int
    begun: bool
    spans: tuple[tuple[int, int], ...]


class Found(NamedTuple):
    """A contract that a text asks for, and its input."""

    contract: str
    input: dict[str, Any]


class Phrase:
    """A compiled phrase of a contract."""

    def __init__(self, phrase: str, request: Fields) -> None:
        """Raises BadPhrase if a placeholder names no field that words can fill, or a field that is needed has none."""
        self.items = tuple(_items(phrase, request))
        self.slots = [item for item in self.items if isinstance(item, Slot)]
        _complete(phrase, [slot.field for slot in self.slots], len(self.items), request)

    @property
    def said(self) -> tuple[str, ...]:
        """The phrase's words, and "" for each placeholder: two phrases that share them cannot be told apart."""
        return tuple(item.said if isinstance(item, Literal) else "" for item in self.items)

    def match(self, text: str) -> dict[str, Any] | None:
        """The typed input of the contract if the text says this phrase, else None."""
        return self.read(text, words(text))

    def read(self, text: str, said: list[Word]) -> dict[str, Any] | None:
        """The same, for a text whose words were found before."""
        if len(said) > LONGEST:
            return None
        readings = [Reading(0, False, ())]
        for at, word in enumerate(said):
            # Two readings at the same place have the same future: the first, with the shorter values, is kept.
            following: dict[tuple[int, bool], Reading] = {}
            for reading in readings:
                for one in self._follow(reading, at, word.said):
                    following.setdefault((one.item, one.begun), one)
            readings = list(following.values())
            if not readings:
                return None
        end = next((reading for reading in readings if reading.item == len(self.items)), None)
        return self._input(end, text, said) if end else None

    def _follow(self, reading: Reading, at: int, word: str) -> Iterator[Reading]:
        """What a reading can become with the next word, the shortest values first."""
        number, begun, spans = reading
        if number == len(self.items):
            if word in COURTESIES:
                yield reading
            return
        item = self.items[number]
        if isinstance(item, Literal):
            if item.said == word:
                yield Reading(number + 1, False, spans)
        elif _takes(item, word, begun):
            taken = (*spans[:-1], (spans[-1][0], at + 1)) if begun else (*spans, (at, at + 1))
            yield Reading(number + 1, False, taken)
            if item.many:
                yield Reading(number, True, taken)
        if not begun and (word in ARTICLES or (number == 0 and word in COURTESIES) or _numbers(item, word)):
            yield reading

    def _input(self, reading: Reading, text: str, said: list[Word]) -> dict[str, Any] | None:
        values = {}
        for slot, (start, end) in zip(self.slots, reading.spans, strict=True):
            part = " ".join(text[said[start].start : said[end - 1].end].split())
            value = _elements(slot.type, part) if slot.listed else parse(slot.type, part)
            if value is None:
                return None
            values[slot.field] = value
        return values


class Phrasebook:
    """The phrases of all contracts that one asker may use; contracts by their full names."""

    def __init__(self, contracts: Mapping[str, Contract]) -> None:
        """Raises BadPhrase; not for what `check` has let pass."""
        self._phrases = [
            (name, Phrase(phrase, contract.request)) for name, contract in contracts.items() for phrase in contract.phrases
        ]

    def find(self, text: str) -> list[Found]:
        """Every contract of which the text says a phrase, each once, in the order of the organisation."""
        said = words(text)
        found: dict[str, Found] = {}
        for name, phrase in self._phrases:
            if name not in found and (given := phrase.read(text, said)) is not None:
                found[name] = Found(name, given)
        return list(found.values())


def words(text: str, marks: str = MARKS) -> list[Word]:
    """The words of a text, without the marks around them."""
    found = []
    for match in re.finditer(r"\S+", text):
        raw = match.group()
        if said := raw.strip(marks):
            start = match.start() + len(raw) - len(raw.lstrip(marks))
            found.append(Word(said.casefold(), start, start + len(said)))
    return found


def parse(type_name: str, text: str) -> Any:
    """One value of a type from a client's words, as JSON has it; None if they are no such value."""
    match type_name:
        case "int":
            return int(text.replace(",", "")) if INT.fullmatch(text) else None
        case "float":
            return float(re.sub(r"[,$€£%]", "", text)) if FLOAT.fullmatch(text) else None
        case "bool":
            return BOOLS.get(text.casefold())
        case "date":
            return text if _is_date(text) else None
    return text


# -- compiling
def _items(phrase: str, request: Fields) -> Iterator[Literal | Slot]:
    for word in words(phrase, MARKS_OF_PHRASES):
        bare = phrase[word.start : word.end]
        if "{" not in bare and "}" not in bare:
            yield Literal(word.said)
        elif bare[0] == "{" and bare[-1] == "}" and bare[1:-1] in request:
            yield _slot(bare[1:-1], request[bare[1:-1]], phrase)
        elif re.fullmatch(r"\{[^{}]*\}", bare):
            names = ", ".join(request) or "none"
            raise BadPhrase(f"{phrase!r} has the placeholder {bare}, which is no field of the request", f"its fields: {names}")
        else:
            raise BadPhrase(f"{bare!r} in {phrase!r} is neither a word nor a placeholder", "write {field}, with blanks around it")


def _slot(field: str, declared: object, phrase: str) -> Slot:
    bare = declared.strip().rstrip("? ") if isinstance(declared, str) else ""
    listed = bare.startswith("list[")
    element = bare.removeprefix("list[").removesuffix("]").rstrip("? ") if listed else bare
    if element not in SCALARS:
        hint = f"a placeholder takes {', '.join(SCALARS)} or a list of one of them"
        raise BadPhrase(f"{{{field}}} in {phrase!r} cannot be filled from words", hint)
    return Slot(field, element, listed)


def _complete(phrase: str, filled: list[str], items: int, request: Fields) -> None:
    """A phrase has words, names each field once, and all that the request needs. Raises BadPhrase."""
    if len(filled) == items:
        raise BadPhrase(f"{phrase!r} has no words of its own", "with placeholders alone it would fit everything")
    if twice := [field for field in filled if filled.count(field) > 1]:
        raise BadPhrase(f"{{{twice[0]}}} stands twice in {phrase!r}", "name each field once")
    needed = [name for name, declared in request.items() if not (isinstance(declared, str) and declared.strip().endswith("?"))]
    if missing := [name for name in needed if name not in filled]:
        hint = f'add {{{missing[0]}}} to the phrase, or let the request do without: {missing[0]} = "…?"'
        raise BadPhrase(f"{phrase!r} does not say {', '.join(missing)}, which the request needs", hint)


# -- values
def _takes(slot: Slot, word: str, begun: bool) -> bool:
    """May this word be part of the slot's value?"""
    if slot.many and not slot.listed:
        return True
    if not slot.listed:
        return parse(slot.type, word) is not None
    return (begun and word in AND) or _elements(slot.type, word) is not None


def _numbers(item: Literal | Slot, word: str) -> bool:
    """Is this the "number" of "order number 10423"?"""
    return isinstance(item, Slot) and item.type in ("int", "float") and word in NUMBER


def _elements(type_name: str, text: str) -> list[Any] | None:
    """The values of "311, 412 and 5"; None if one of them is none. Texts may hold blanks, other values do not."""
    gap = r" ?[,;&] ?(?:and |or )?| (?:and|or) " if type_name in ("str", "any") else r"[ ,;&]+(?:(?:and|or) )?"
    parts = [part.strip(MARKS + " ") for part in re.split(gap, text)]
    values = [parse(type_name, part) for part in parts if part]
    return values if values and None not in values else None


def _is_date(text: str) -> bool:
    try:
        return bool(DATE.fullmatch(text)) and bool(datetime.date.fromisoformat(text))
    except ValueError:
        return False
