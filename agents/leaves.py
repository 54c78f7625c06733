"""What of its values may leave a department: `[departments.finance.leaves]`, and who else sees its finished work. Pure.

A pattern is names with dots between them; `*` stands for any characters of one name. `withheld = ["salary", "*_iban"]` names
fields wherever they stand, with all that is in them. `fields = ["customer", "invoices.*"]` names them from the top of a reply.
A subject is a kind and a value: `customer/4711`; `subjects = ["customer/*"]` names those of whom something may be told.
"""

import re
from collections.abc import Iterable, Iterator
from fnmatch import translate
from functools import cache
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from mai.agents.parts import Fields, Part

Shows = Literal["result", "summary", "nothing"]
FIELD: Final = r"\A[a-z0-9_*]+(\.[a-z0-9_*]+)*\Z"
SUBJECT: Final = r"\A[a-z][a-z0-9_]*/\S+\Z"
FieldPattern = Annotated[str, Meta(pattern=FIELD, max_length=200)]
SubjectPattern = Annotated[str, Meta(pattern=SUBJECT, max_length=200)]
Path = tuple[str, ...]  # names of fields, from the top; an element of a list has its list's
ANY: Final = "*"  # in a declaration: names that are known at run time only


class Leaves(Part, frozen=True, kw_only=True):
    """What may leave a department. By default what its contracts name, and nothing else."""

    fields: tuple[FieldPattern, ...] = ()  # of its replies; none: all that the contract names
    withheld: tuple[FieldPattern, ...] = ()  # these never, wherever they stand
    subjects: tuple[SubjectPattern, ...] = ()  # of whom something may be told; none: of all
    text: bool = False  # may the text of an answer go to another department? The client is always told it


def paths(value: Any, at: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The fields of a value, those that hold others as well, each with what it holds."""
    if isinstance(value, dict):
        for name, one in value.items():
            here = (*at, str(name))
            yield here, one
            yield from paths(one, here)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from paths(one, at)


def declared(fields: Fields) -> list[tuple[Path, bool]]:
    """The fields that a declaration names, each with whether it holds no others; those of `dict` and `any` are ANY."""
    return list(_declared(fields, ()))


def _declared(one: object, at: Path) -> Iterator[tuple[Path, bool]]:
    if isinstance(one, dict):
        for name, inner in one.items():
            here = (*at, str(name))
            holds = isinstance(inner, dict | list) or _is_open(inner)
            yield here, not holds
            yield from _declared(inner, here)
    elif isinstance(one, list):
        for inner in one:
            yield from _declared(inner, at)
    elif _is_open(one):
        yield (*at, ANY), True


def _is_open(one: object) -> bool:
    """May a value of this type have fields that the declaration does not name?"""
    return isinstance(one, str) and re.search(r"\b(any|dict)\b", one) is not None


@cache
def _names(pattern: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(translate(name)) for name in pattern.split("."))


def _fits(names: Iterable[re.Pattern[str]], path: Iterable[str]) -> bool:
    return all(name.match(one) for name, one in zip(names, path, strict=False))


def withheld_by(patterns: Iterable[str], path: Path) -> str:
    """The pattern by which this field is withheld; "" if none is. What is in a withheld field comes with its path."""
    for pattern in patterns:
        names = _names(pattern)
        if len(path) >= len(names) and _fits(names, path[-len(names) :]):
            return pattern
    return ""


def covered(patterns: Iterable[str], path: Path) -> bool:
    """Is this field, or one that it lies in, among those that may leave?"""
    return any(len(path) >= len(names := _names(pattern)) and _fits(names, path) for pattern in patterns)


def could_be(pattern: str, path: Path) -> bool:
    """Could a pattern from the top name this declared field, or one that it lies in, or one that only the run knows?"""
    names = _names(pattern)
    fits = all(one == ANY or name.match(one) for name, one in zip(names, path, strict=False))
    return fits and (len(names) <= len(path) or path[-1] == ANY)


def subject(kind: str, value: object) -> str:
    """How a subject is named: `customer/4711`."""
    return f"{kind}/{value}"


def tells_of(patterns: Iterable[str], one: str) -> bool:
    """May something be told of this subject?"""
    return any(re.match(translate(pattern), one) for pattern in patterns)
