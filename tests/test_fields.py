"""Typed values: what fits a contract passes unchanged, what does not is refused in one sentence that names the field."""

import datetime
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents.fields import BadType, FieldFault, Shape, flaws

DECLARED: dict[str, object] = {
    "from": "int",
    "share": "float?",
    "day": "date?",
    "lines": [{"id": "int", "to": {"name": "str"}}],
    "by_month": "dict[list[int]]",
    "note": "any?",
    "marks": "list[bool?]?",
}
GOOD: dict[str, Any] = {"from": 1, "lines": [{"id": 1, "to": {"name": "x"}}], "by_month": {"may": [1, 2]}}
SHAPE = Shape(DECLARED, "the reply of sales.pipeline")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
DATES = st.dates().map(lambda day: day.isoformat())
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(1 << 63), (1 << 63) - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "str": st.text(),
    "bool": st.booleans(),
    "date": DATES,
    "any": JSON,
}
FIELD = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True)


@st.composite
def declared(draw: st.DrawFn, depth: int = 2) -> tuple[object, st.SearchStrategy[Any]]:
    """A type of a declaration, and the values that fit it."""
    kind = draw(st.sampled_from(["scalar", "list", "dict", "table", "tables"] if depth else ["scalar"]))
    if kind in ("table", "tables"):
        fields, values = draw(tables(depth - 1))
        return ([fields], st.lists(values, max_size=2)) if kind == "tables" else (fields, values)
    name = draw(st.sampled_from(sorted(VALUES)))
    values = VALUES[name]
    if kind == "list":
        return f"list[{name}]", st.lists(values, max_size=3)
    if kind == "dict":
        return f"dict[ {name} ]", st.dictionaries(st.text(), values, max_size=3)
    return name, values


@st.composite
def tables(draw: st.DrawFn, depth: int = 2) -> tuple[dict[str, object], st.SearchStrategy[dict[str, Any]]]:
    """A declaration, and the values that fit it; some of its fields may be missing."""
    fields: dict[str, object] = {}
    needed: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name in draw(st.lists(FIELD, unique=True, max_size=4)):
        fields[name], values = draw(declared(depth))
        if isinstance(fields[name], str) and draw(st.booleans()):
            fields[name] = f"{fields[name]}?"
            optional[name] = values | st.none()
        else:
            needed[name] = values
    return fields, st.fixed_dictionaries(needed, optional=optional)


@given(st.data())
def test_what_fits_passes_unchanged(data: st.DataObject) -> None:
    """Values of the declared types come back equal, and as JSON would carry them; so nothing is lost on the way."""
    fields, values = data.draw(tables())
    given_values = data.draw(values)
    assert flaws(fields) == []
    assert Shape(fields).fit(given_values) == given_values == json.loads(json.dumps(given_values))


@given(st.data())
def test_a_further_field_is_refused(data: st.DataObject) -> None:
    """A field that the contract does not name is never let through, and is the one that is named."""
    fields, values = data.draw(tables())
    name = data.draw(FIELD.filter(lambda name: name not in fields))
    fault = Shape(fields, "the reply").fault({**data.draw(values), name: 1})
    assert fault == f"the reply: {name}: no field that the contract names"


@given(tables(), JSON)
def test_any_values_get_an_answer(table: tuple[dict[str, object], Any], values: Any) -> None:
    """Whatever is sent fits or is refused with FieldFault; nothing else is raised."""
    shape = Shape(table[0])
    try:
        assert shape.fit(values).keys() <= table[0].keys()
    except FieldFault as fault:
        assert fault.sentence


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"from": "x"}, "from: expected int, found a text"),
        ({"from": True}, "from: expected int, found bool"),
        ({"from": 1.0}, "from: expected int, found float"),
        ({"from": None}, "from: expected int, found nothing"),
        ({"from": 1 << 63}, "from: expected int of at most 64 bits"),
        ({"share": math.nan}, "share: expected float, a finite one"),
        ({"share": math.inf}, "share: expected float, a finite one"),
        ({"share": "0.5"}, "share: expected float, found a text"),
        ({"day": "2025-02-30"}, "day: expected a date such as 2025-03-31, found another text"),
        ({"day": 20250331}, "day: expected date, found int"),
        ({"lines": {}}, "lines: expected a list, found a table"),
        ({"lines": [{"id": 1, "to": {"name": "x"}}, {"id": 1}]}, "lines[1].to: missing"),
        ({"lines": [{"id": 1, "to": {"name": "x", "age": 3}}]}, "lines[0].to.age: no field that the contract names"),
        ({"by_month": {"may": ["x"]}}, "by_month[...][0]: expected int, found a text"),
        ({"marks": [True, 1]}, "marks[1]: expected bool, found int"),
        ({"a`b": 1}, "a`b: no field that the contract names"),
    ],
)
def test_a_fault_names_field_expected_and_found(change: dict[str, Any], sentence: str) -> None:
    """A misfit is one sentence: whose values, which field, what was expected, what was found."""
    assert SHAPE.fault(GOOD) == ""
    assert SHAPE.fault({**GOOD, **change}) == f"the reply of sales.pipeline: {sentence}"


@pytest.mark.parametrize("values", [None, [], 3, "x"])
def test_values_are_a_table(values: object) -> None:
    """What is no table at all is told so."""
    assert "expected a table" in SHAPE.fault(values)


def test_python_values_become_what_json_has() -> None:
    """A worker may return dates, tuples, whole numbers for floats and other keys; they arrive as any other worker's."""
    fitting = SHAPE.fit({**GOOD, "day": datetime.date(2025, 3, 31), "share": 1, "marks": (True, None), "note": {2: "x"}})
    assert (fitting["day"], fitting["marks"], fitting["note"]) == ("2025-03-31", [True, None], {"2": "x"})
    assert isinstance(fitting["share"], float)


def test_what_json_cannot_hold_is_refused() -> None:
    """An object of a class of the user's, and a list in itself, are refused and do not end the process."""
    loop: list[Any] = []
    loop.append(loop)
    for value in (object(), loop):
        assert "a value that JSON cannot hold" in SHAPE.fault({**GOOD, "note": value})


@pytest.mark.parametrize(
    ("declaration", "path", "sentence"),
    [
        ("integer", (), "'integer' is no type"),
        ("list[int", (), "'list[int' is no type"),
        ("list[text]", (), "'text' is no type"),
        (["int"], (), "['int'] is no type"),
        ([{"id": "int"}, {"id": "int"}], (), "is no type"),
        (3, (), "3 is no type"),
        ({"deep": [{"id": "nope"}]}, ("deep", 0, "id"), "'nope' is no type"),
        ({"Deep": "int"}, ("Deep",), "'Deep' is no name of a field"),
        ("list[" * 5_000 + "int" + "]" * 5_000, (), "types more than 16 deep"),
    ],
)
def test_a_bad_declaration_is_found(declaration: object, path: tuple[str | int, ...], sentence: str) -> None:
    """`flaws` finds what is no type, and where; the compiler refuses what is found there."""
    (flaw,) = flaws({"field": declaration})
    assert flaw.path == ("field", *path)
    assert sentence in flaw.sentence
    assert flaw.hint
    if "name of a field" not in sentence:
        with pytest.raises(BadType):
            Shape({"field": declaration})


def test_tables_are_bounded_in_depth() -> None:
    """Tables as deep as no stack is are a flaw of the declaration."""
    deep: object = "int"
    for _ in range(5_000):
        deep = {"a": deep}
    assert [flaw.sentence for flaw in flaws({"a": deep})] == ["tables more than 16 deep in each other"]
