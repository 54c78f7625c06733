"""The typed values of contracts: declared in the organisation file, compiled once, checked on each way. Pure.

A declaration maps names to types: `int`, `float`, `str`, `bool`, `date`, `any`, `list[T]`, `dict[T]` (keys are texts),
`T?` (may be missing or null), a table (an object of its own) or a list of one table (many such objects). Values are as
JSON has them; a date is the text "2025-03-31".
"""

import datetime
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mai.agents.parts import Fields
from mai.sandbox.errors import MaiError

LARGEST: Final = 1.7976931348623157e308  # also keeps out what JSON cannot say: nan and the infinities
SCALARS: Final[dict[str, Any]] = {
    "int": Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)],
    "float": Annotated[float, Meta(ge=-LARGEST, le=LARGEST)],
    "str": str,
    "bool": bool,
    "date": datetime.date,
    "any": Any,
}
WORDS: Final = {"object": "a table", "array": "a list", "null": "nothing", "str": "a text"}  # for msgspec's names of types
BOUNDS: Final = {"int": " of at most 64 bits", "float": ", a finite one"}
DEPTH: Final = 16  # of tables and lists in each other
SAID: Final = re.compile(r"(?P<what>.*?)(?: - at `(?P<key>key in )?\$?(?P<at>.*)`)?\Z", re.DOTALL)
EXPECTED: Final = re.compile(r"Expected `(?P<expected>[^`]+)`(?P<bound> [<>]=.*)?(?:, got `(?P<found>[^`]+)`)?")
STRANGE: Final = "no field that the contract names"
NAMED: Final = re.compile(r"Object (?P<how>contains unknown|missing required) field `(?P<field>.*)`\Z", re.DOTALL)


class FieldFault(MaiError):
    """Values that do not fit a contract; the sentence names the field, what was expected and what was found."""


class Flaw(NamedTuple):
    """What is wrong with a declaration: the path of the field in it, a sentence and a hint."""

    path: tuple[str | int, ...]
    sentence: str
    hint: str


class BadType(Exception):
    """Not the name of a type; the argument is a Flaw's sentence and hint."""


class Shape:
    """The compiled declaration of a contract's request or reply, or of what a tool takes."""

    def __init__(self, fields: Fields, name: str = "", strange: str = STRANGE) -> None:
        """`strange` is said of a field that is not declared. Raises BadType where `flaws` finds something."""
        self.name, self._strange = name, strange  # for the sentences: "the request of support.refund"
        self._type = _struct(fields, 0)

    def fit(self, values: object) -> dict[str, Any]:
        """The same values as JSON has them, once they are known to fit. Raises FieldFault.

        A field that the contract does not name is a fault; a whole number stands for a float, too.
        """
        try:
            plain = msgspec.to_builtins(values, str_keys=True)
            fitting: dict[str, Any] = msgspec.to_builtins(msgspec.convert(plain, self._type))
        except msgspec.ValidationError as error:
            raise FieldFault(self._about(worded(str(error), self._strange))) from None
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            raise FieldFault(self._about(f"a value that JSON cannot hold: {error}")) from None
        return fitting

    def fault(self, values: object) -> str:
        """What is wrong with these values, in one sentence; "" if they fit."""
        try:
            self.fit(values)
        except FieldFault as fault:
            return fault.sentence
        return ""

    def _about(self, sentence: str) -> str:
        return f"{self.name}: {sentence}" if self.name else sentence


def worded(message: str, strange: str = STRANGE) -> str:
    """msgspec's message in the words of the organisation file."""
    said = SAID.match(message)
    assert said is not None  # it matches every text
    what, at = said["what"], (said["at"] or "").lstrip(".")
    if named := NAMED.match(what):
        field = f"{at}.{named['field']}" if at else named["field"]
        return f"{field}: {strange if named['how'] == 'contains unknown' else 'missing'}"
    if expected := EXPECTED.match(what):
        wanted = expected["expected"].replace(" | null", "")
        found = f", found {_word(expected['found'])}" if expected["found"] else ""
        bound = BOUNDS.get(wanted, "") if expected["bound"] else ""
        what = f"expected {_word(wanted)}{bound}{found}"
    elif "date" in what:
        what = "expected a date such as 2025-03-31, found another text"
    return f"{at}: {what}" if at else what


def _word(type_name: str) -> str:
    return WORDS.get(type_name, type_name)


# -- declarations
def flaws(fields: Fields) -> list[Flaw]:
    """Everything that is wrong with a declaration; none means that `Shape` takes it."""
    return list(_flaws(fields, ()))


def _flaws(declared: object, path: tuple[str | int, ...]) -> Iterator[Flaw]:
    if isinstance(declared, dict) and len(path) <= DEPTH:
        for name, one in declared.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
                yield Flaw((*path, name), f"{name!r} is no name of a field", "use small letters, digits and _")
            yield from _flaws(one, (*path, name))
    elif isinstance(declared, list) and len(declared) == 1 and isinstance(declared[0], dict):
        yield from _flaws(declared[0], (*path, 0))
    else:
        try:
            _type(declared, len(path))
        except BadType as error:
            yield Flaw(path, *error.args)


def _struct(fields: Fields, depth: int) -> Any:
    """A msgspec type for an object; the names of its fields may be Python's keywords."""
    if depth > DEPTH:
        raise BadType(f"tables more than {DEPTH} deep in each other", "flatten them, or use `any`")
    members = []
    for number, (name, declared) in enumerate(fields.items()):
        field_type = _type(declared, depth + 1)
        optional = isinstance(declared, str) and declared.strip().endswith("?")
        default = {"default": UNSET} if optional else {}
        members.append((f"field_{number}", field_type, msgspec.field(name=name, **default)))
    return msgspec.defstruct("Fields", members, kw_only=True, forbid_unknown_fields=True)


def _type(declared: object, depth: int) -> Any:
    """The type that a declaration means. Raises BadType."""
    match declared:
        case str():
            return _named(declared.strip(), depth)
        case dict():
            return _struct(declared, depth)
        case [dict() as one]:
            return list[_struct(one, depth)]  # type: ignore[misc]  # a type made at run time
    raise BadType(f"{declared!r:.60} is no type", 'a type is a text such as "list[int]", a table, or a list of one table')


def _named(name: str, depth: int) -> Any:
    if depth > DEPTH:
        raise BadType(f"types more than {DEPTH} deep in each other", "flatten them, or use `any`")
    if name.endswith("?"):
        return _named(name[:-1].rstrip(), depth + 1) | None | UnsetType
    if name in SCALARS:
        return SCALARS[name]
    if inner := re.fullmatch(r"(list|dict)\[(.*)\]", name):
        of = _named(inner[2].strip(), depth + 1)
        return list[of] if inner[1] == "list" else dict[str, of]  # type: ignore[valid-type]  # made at run time
    raise BadType(f"{name!r:.60} is no type", f"the types are {', '.join(SCALARS)}, list[T], dict[T] and T?")
