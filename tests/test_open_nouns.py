"""What counts as open is one list: by it an erasure waits, and a journal keeps its records."""

import ast
import importlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mai.agents.open_nouns import CLOSED, OPEN, over, whose
from mai.agents.reaching import first, left_open
from mai.agents.rotating import unneeded
from mai.daemon.owed import TABLE
from mai.sandbox.ledger import Ledger

ROOT = Path(__file__).resolve().parent.parent
SPOKEN = {  # in the source, what is no constant -> the nouns that it may be, up to a slash
    "noun": {"claim", "ruled"}, "noun(name)": {"line"}, "noun(thread)": {"line"}, "shelf.items": {"memory"},
    "shelf.versions": {"version"},
}  # fmt: skip


def nouns(file: Path) -> Iterator[str]:
    """All of `state.changed(...)` in one file."""
    for call in ast.walk(ast.parse(file.read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "changed":
            match call.args[0]:
                case ast.Constant(value=str(noun)):
                    yield noun
                case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]):
                    yield start.partition("/")[0]
                case ast.Name(id=name) if name.isupper():
                    yield getattr(importlib.import_module(f"mai.{file.parent.name}.{file.stem}"), name)
                case other:
                    yield from SPOKEN[ast.unparse(other)]


def test_each_noun_is_open_or_closed() -> None:
    """Whoever adds a noun of state says whether it is work that has still to end."""
    found = {noun for layer in ("agents", "daemon") for file in sorted((ROOT / layer).glob("*.py")) for noun in nouns(file)}
    assert len(found) > 50 and found == {*OPEN, *CLOSED} and not {*OPEN} & CLOSED and len(OPEN) == len({*OPEN})
    assert {kind.noun for kind in TABLE} - {"thread"} <= {*OPEN}, "what is owed is open; a conversation has no end"


@pytest.mark.parametrize(
    ("noun", "key", "row", "open_"),
    [
        ("request", "r1", {"request": "r1"}, True),
        ("amended", "r1/1.2", {"task": "r1/1.2", "ident": "r1/1.2c1"}, True),
        ("carry", "r1!answer3", {"message": "r1!answer3"}, True),
        ("doubt", "5f3a", {"process": "acme/sales", "doubt": {"request": "r1"}}, True),
        ("approval", "9b", {"process": "acme/sales", "approval": {"request": "r1"}}, True),
        ("escalation", "e", {"process": "acme/sales", "body": {"request": "r1"}}, True),
        ("quarantine", "r1/1", {"work": {"request": "r1"}}, True),
        ("withheld", "r1/1", {"task": "r1/1", "request": "r1", "body": None}, True),
        ("cancel", "r1", {"request": "r1", "to": ["a/b"], "answers": {}}, True),
        ("cancel", "r1", {"request": "r1", "to": ["a/b"], "answers": {"a/b": {}}}, False),
        ("cancel", "r1", {"request": "r1", "stopped": []}, True),
        ("release", "o1", {"request": "r1", "answered": False}, True),
        ("release", "o1", {"request": "r1", "answered": True}, False),
        ("conflict", "r1", {"id": "r1"}, True),
        ("conflict", "r1", {"id": "r1", "state": "ruled"}, False),
    ],
)
def test_whose_a_row_is_and_whether_it_is_over(noun: str, key: str, row: dict[str, Any], open_: bool) -> None:
    """A row is of the request that it names, wherever it names it; what has its answer is over, though it is kept."""
    assert noun in OPEN and first(whose(key, row)) == "r1" and over(noun, row) is not open_
    assert bool(list(left_open([(noun, key, row)], frozenset({"r1"})))) is open_
    assert not list(left_open([(noun, key, row)], frozenset({"r2"})))


@pytest.mark.parametrize(
    ("noun", "row", "kept"),
    [
        ("request", {"request": "r5"}, True),
        ("amended", {"task": "r5/1", "ident": "r5/1c1"}, True),
        ("cancel", {"request": "r5", "to": ["a/b"], "answers": {}}, True),
        ("cancel", {"request": "r5", "to": ["a/b"], "answers": {"a/b": {}}}, False),
        ("quarantine", {"work": {"request": "r5"}}, False),
        ("answer", {"request": "r5"}, False),
    ],
)
def test_what_is_open_keeps_its_records(tmp_path: Path, noun: str, row: dict[str, Any], kept: bool) -> None:
    """The journal stays from the first record of an open request on; what may wait for years holds nothing back."""
    with closing(Ledger(tmp_path / "ledger.db", "acme/mai")) as ledger:
        for n in range(9):
            ledger.append("hop", b"{}", request=f"r{n}", task=f"r{n}/1")
        ledger.save(noun, "r5/1" if noun == "amended" else "r5", msgspec.json.encode(row))
        ledger.commit()
        assert unneeded(ledger) == (5 if kept else 9)
