"""A tool's function as its signature says it: the schema, and what it is called with; and fields as schema."""

import datetime
import json
from dataclasses import dataclass
from dataclasses import field as default
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict

import msgspec
import pytest

from mai.agents.fields import BadType, FieldFault, Shape
from mai.agents.schemas import object_schema, strict
from mai.agents.signatures import Signature, Unfit


class Line(TypedDict):
    """A line of an order."""

    article: int
    note: NotRequired[str]


@dataclass
class Person:
    """Somebody."""

    name: str
    tags: list[str] = default(default_factory=list)


class Colour(msgspec.Struct):
    """A colour."""

    name: Literal["red", "green"]


def everything(  # noqa: PLR0917  one of each kind
    files: Path,
    order: Annotated[int, "The order's number"],
    day: datetime.date,
    lines: list[Line],
    person: "Optional[Person]" = None,  # noqa: UP045  the old way to say it counts, too
    colour: Colour | None = None,
    shares: dict[str, float] = {},  # noqa: B006  a schema shows it, nobody changes it
    rest=3,
    *,
    key: str,
) -> None:
    """Do everything.

    And more.
    """


EVERYTHING = Signature(everything, {"rest": "int"}, "the tool everything")
LEAST: dict[str, Any] = {"order": 1, "day": "2025-03-31", "lines": [{"article": 2}]}


def test_a_signature_is_a_schema() -> None:
    """Types, descriptions and defaults of the arguments; neither the directory nor the key; the docstring's beginning."""
    schema = EVERYTHING.schema
    assert (EVERYTHING.about, EVERYTHING.keyed) == ("Do everything.", True)
    assert schema["required"] == ["order", "day", "lines"] and schema["additionalProperties"] is False
    found = schema["properties"]
    assert list(found) == ["order", "day", "lines", "person", "colour", "shares", "rest"]
    assert found["order"] == {"type": "integer", "description": "The order's number"}
    assert found["day"] == {"type": "string", "format": "date"}
    assert found["lines"] == {"type": "array", "items": {"$ref": "#/$defs/Line"}}
    assert found["shares"] == {"type": "object", "additionalProperties": {"type": "number"}, "default": {}}
    assert found["rest"] == {"type": "integer", "default": 3}
    assert schema["$defs"]["Colour"]["properties"] == {"name": {"enum": ["green", "red"]}}
    assert json.loads(json.dumps(schema)) == schema


def test_arguments_arrive_converted() -> None:
    """Where they are annotated; what is left out stays out, so that the function's own default counts."""
    given = {**LEAST, "person": {"name": "Ann"}, "colour": {"name": "red"}, "shares": {"a": 1}, "rest": 4}
    fitting = EVERYTHING.fit(given)
    assert fitting["day"] == datetime.date(2025, 3, 31) and fitting["person"] == Person("Ann")
    assert fitting["colour"] == Colour("red") and fitting["shares"] == {"a": 1.0} and fitting["rest"] == 4
    assert EVERYTHING.fit(LEAST).keys() == LEAST.keys()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"order": "1"}, "order: expected int, found a text"),
        ({"order": True}, "order: expected int, found bool"),
        ({"day": "31.3.2025"}, "day: expected a date such as 2025-03-31, found another text"),
        ({"lines": [{"article": 1}, {}]}, "lines[1].article: missing"),
        ({"colour": {"name": "blue"}}, "colour.name: Invalid enum value 'blue'"),
        ({"rest": "3"}, "rest: expected int, found a text"),
        ({"other": 1}, "other: no argument of the tool"),
        ({"key": "k"}, "key: no argument of the tool"),
        ({"files": "f"}, "files: no argument of the tool"),
    ],
)
def test_what_does_not_fit_is_named(wrong: dict[str, Any], sentence: str) -> None:
    """The argument, what was expected and what was found."""
    with pytest.raises(FieldFault) as caught:
        EVERYTHING.fit({**LEAST, **wrong})
    assert caught.value.sentence == f"the tool everything: {sentence}"


def test_a_missing_argument_is_named() -> None:
    """As the first that is not there."""
    with pytest.raises(FieldFault, match="the tool everything: order: missing"):
        EVERYTHING.fit({})


def test_without_annotations_values_stay_as_they_are() -> None:
    """Held to the declared types, where there are any; a date stays the text that it was."""

    def plain(files, day, more=None):
        """Nothing is said of its types."""

    given: dict[str, Any] = {"day": "2025-03-31", "more": [1, {"a": None}]}
    assert Signature(plain, {}, "t").fit(given) == given
    declared = Signature(plain, {"day": "date"}, "t")
    assert declared.fit(given)["day"] == "2025-03-31"
    assert declared.schema["properties"]["day"] == {"type": "string", "format": "date"}
    with pytest.raises(FieldFault, match="t: day: expected a date"):
        declared.fit({"day": "tomorrow"})


def test_what_takes_any_name() -> None:
    """`**values` is open, until the file declares what they are."""

    def loose(files, **values):
        """All names."""

    assert Signature(loose, {}, "t").fit({"a": 1}) == {"a": 1}
    assert Signature(loose, {}, "t").schema["additionalProperties"] is True
    declared = Signature(loose, {"a": "int", "b": "str?"}, "t")
    assert declared.fit({"a": 1}) == {"a": 1} and declared.schema == object_schema({"a": "int", "b": "str?"})
    wrongs: tuple[dict[str, Any], ...] = ({}, {"a": "1"}, {"a": 1, "c": 2})
    for wrong in wrongs:
        with pytest.raises(FieldFault):
            declared.fit(wrong)


def test_functions_that_cannot_be_tools() -> None:
    """Each is refused with what is wrong with it."""

    def strange(files, size: complex):
        """A type that JSON has not."""

    def unknown(files, size: "Sise"):  # type: ignore[name-defined]  # noqa: F821  that is the point
        """A name that is not there."""

    def nothing():
        """No directory."""

    def placed(files, size, /):
        """No names."""

    for function, why in (
        (strange, "annotation of size"),
        (unknown, "Sise"),
        (nothing, "directory first"),
        (placed, "by its place"),
    ):
        with pytest.raises(Unfit, match=why):
            Signature(function, {}, "t")
    with pytest.raises(Unfit, match="no parameter size"):
        Signature(lambda files, other: None, {"size": "int"}, "t")


# -- fields
FIELDS: dict[str, Any] = {
    "a": "int", "b": "str?", "c": "list[int?]?", "d": "date", "e": {"x": "float"}, "f": [{"y": "bool"}],
    "g": "dict[int]", "h": "any",
}  # fmt: skip


def test_fields_are_a_schema() -> None:
    """Each is required and what may be missing may be null, which fits the same declaration."""
    schema = object_schema(FIELDS)
    assert schema["required"] == list(FIELDS) and schema["additionalProperties"] is False
    assert schema["properties"] == {
        "a": {"type": "integer"},
        "b": {"type": ["string", "null"]},
        "c": {"anyOf": [{"type": "array", "items": {"type": ["integer", "null"]}}, {"type": "null"}]},
        "d": {"type": "string", "format": "date"},
        "e": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"], "additionalProperties": False},
        "f": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"y": {"type": "boolean"}},
                "required": ["y"],
                "additionalProperties": False,
            },
        },
        "g": {"type": "object", "additionalProperties": {"type": "integer"}},
        "h": {},
    }
    values = {"a": 1, "b": None, "c": None, "d": "2025-03-31", "e": {"x": 1}, "f": [{"y": True}], "g": {"k": 1}, "h": [1]}
    assert Shape(FIELDS).fault(values) == ""


def test_what_can_be_held_to_strictly() -> None:
    """All but what is open: a `dict[T]` and `any`, however deep."""
    assert strict(object_schema({name: type_ for name, type_ in FIELDS.items() if name not in "gh"}))
    for declared in ("dict[int]", "any", "list[any]", "list[dict[int]?]", {"x": "any"}, [{"x": "dict[int]"}]):
        assert not strict(object_schema({"a": declared}))


@pytest.mark.parametrize("declared", ["number", "list[", 5, [1], [{"a": "x"}]])
def test_a_bad_type_has_no_schema(declared: object) -> None:
    """It is refused, as `fields.flaws` would."""
    with pytest.raises(BadType):
        object_schema({"a": declared})
