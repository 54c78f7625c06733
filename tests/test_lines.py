"""Lines of an organisation file: the map agrees with tomllib about what is there, and with the text about where."""

import re
import tomllib
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents.lines import KeyPath, line_map, line_of

TEXT = """\
# [not.a.table]
top = 1
"quoted \\u0041".'x.y'.z = "a # no comment"
[departments.support]   # a comment
charter = '''
[neither]
this = 1
'''
note = \"\"\"\\
  "" \\\""" ]
end = 2\"\"\"\"\"
opened = 1979-05-27 07:32:00

[[departments.support.agents]]
name = "a"
tools = [  # ]
  "one", 'two',
  # "none",
  "three" ]
[[departments.support.agents]]
name = "b"
request = { customers = "list[int]", deep.er = [{ id = "}" }, {}] }
[departments.support.agents.sub]
rank = 3
[departments]
late = [[1,
2], [ ]]
"""
PLACES: dict[KeyPath, int] = {
    ("top",): 2,
    ("quoted A", "x.y", "z"): 3,
    ("departments",): 25,
    ("departments", "support"): 4,
    ("departments", "support", "charter"): 5,
    ("departments", "support", "note"): 9,
    ("departments", "support", "opened"): 12,
    ("departments", "support", "agents"): 14,
    ("departments", "support", "agents", 0): 14,
    ("departments", "support", "agents", 0, "tools", 1): 17,
    ("departments", "support", "agents", 0, "tools", 2): 19,
    ("departments", "support", "agents", 1): 20,
    ("departments", "support", "agents", 1, "name"): 21,
    ("departments", "support", "agents", 1, "request", "customers"): 22,
    ("departments", "support", "agents", 1, "request", "deep", "er", 0, "id"): 22,
    ("departments", "support", "agents", 1, "sub"): 23,
    ("departments", "support", "agents", 1, "sub", "rank"): 24,
    ("departments", "late", 0, 1): 27,
    ("departments", "late", 1): 27,
}


def paths(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every path of a document but the empty one, with its value."""
    if path:
        yield path, value
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from paths(part, (*path, key))


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A TOML text in which each key (k1, k2 …) and each number (from 1000) occurs once."""
    keys, numbers = count(1), count(1000)
    blank = st.sampled_from(["", " ", "\t "])
    gap = st.sampled_from(["", " ", "\n", "\n  # ], } = [x]\n", "  # 'quote\n\n"])
    inside = st.text("ab[]{}=#,. '", max_size=12).filter(lambda text: "'''" not in text and not text.endswith("'"))

    def key() -> str:
        names = [f"k{next(keys)}" for _ in range(draw(st.integers(1, 3)))]
        return draw(st.sampled_from([".", " . "])).join(draw(st.sampled_from([n, f'"{n}"', f"'{n}'"])) for n in names)

    def value(depth: int) -> str:  # noqa: PLR0911  one for each way to write a value
        match draw(st.integers(0, 9 if depth else 6)):
            case 0 | 1 | 2:
                return str(next(numbers))
            case 3:
                return f'"{draw(inside)}\\"{draw(inside)}\\\\"'
            case 4:
                return "'" + draw(inside).replace("'", '"') + "'"
            case 5:
                closing = draw(st.sampled_from(['"""', '""""', '"""""']))
                return f'"""x{draw(gap)}{draw(inside)}""{draw(inside)}x\\"" {closing}'
            case 6:
                return draw(st.sampled_from(["1979-05-27 07:32:00", "true", "-1.5e3", f"'''\n{draw(inside)}\n[k]'''"]))
            case 7 | 8:
                parts = [f"{draw(gap)}{value(depth - 1)}{draw(gap)}" for _ in range(draw(st.integers(0, 3)))]
                return f"[{','.join(parts)}{draw(gap)}]"
        parts = [
            f"{draw(blank)}{key()}{draw(blank)}={draw(blank)}{value(depth - 1)}{draw(blank)}"
            for _ in range(draw(st.integers(0, 3)))
        ]
        return "{" + ",".join(parts) + "}"

    def pair() -> str:
        return f"{draw(blank)}{key()}{draw(blank)}={draw(blank)}{value(2)}{draw(blank)}{draw(st.sampled_from(['', '# [c]']))}\n"

    text = "".join(pair() for _ in range(draw(st.integers(0, 3))))
    for _ in range(draw(st.integers(0, 5))):
        many = draw(st.booleans())
        text += draw(gap).rstrip(" ") + "\n"
        name = key()
        for _ in range(draw(st.integers(1, 3)) if many else 1):
            text += (f"[[{name}]]\n" if many else f"[ {name} ]\n") + "".join(pair() for _ in range(draw(st.integers(0, 3))))
    return text


@pytest.mark.parametrize(("path", "line"), PLACES.items(), ids=str)
def test_places(path: KeyPath, line: int) -> None:
    """Headers, keys, dotted and quoted keys, elements and the insides of inline tables have the lines that they stand on."""
    assert line_map(TEXT)[path] == line


@given(documents())
def test_it_sees_what_tomllib_sees(text: str) -> None:
    """The map holds exactly the paths that tomllib finds, and each key and number stands on the line it names."""
    found, written = dict(paths(tomllib.loads(text))), text.split("\n")
    lines = line_map(text)
    assert lines.keys() == found.keys()
    for path, value in found.items():
        here = written[lines[path] - 1]
        if isinstance(path[-1], str):
            assert re.search(rf"\b{path[-1]}\b", here), (path, here)
        if isinstance(value, int) and value >= 1000:
            assert str(value) in here, (path, here)


@given(
    st.one_of(
        st.text(), st.text("ab=[]{}.,\"'\\#\n 1"), documents().flatmap(lambda t: st.integers(0, len(t)).map(lambda n: t[:n]))
    )
)
def test_any_text_is_survived(text: str) -> None:
    """A text that is no TOML, or is cut off anywhere, gives lines that exist and no exception."""
    assert all(1 <= line <= text.count("\n") + 1 for line in line_map(text).values())


def test_the_nearest_table_stands_for_what_is_missing() -> None:
    """A path that the text does not name has the line of what would hold it, and line 1 if nothing would."""
    lines = line_map("\n[a]\n\n[a.b]\nc = 1\n")
    assert line_of(lines, ("a", "b", "missing", 3)) == 4
    assert line_of(lines, ("a", "x")) == 2
    assert line_of(lines, ("x", "b")) == 1


def test_depth_is_survived() -> None:
    """Lists as deep as no stack is are given up, not failed on."""
    assert line_map("a = 1\nb = " + "[" * 100_000)[("a",)] == 1
