"""What a tool or a contract takes, as far as the organisation file and the users' code tell before anything runs.

A field is a number, a text, a bool, a date, a list, or `any` where only running it could tell; a table has fields of its own.
"""

import ast
import re
from collections.abc import Mapping
from typing import Final

from mai.agents.comparisons import INPUT, Path
from mai.agents.organisation import Contract, Tool
from mai.agents.sources import Sources

ANY: Final = "any"
KINDS: Final = {"int": "number", "float": "number", "str": "text", "bool": "bool", "date": "date", "any": ANY}
Taken = Mapping[str, object] | None  # name -> kind, or the fields of a table; None: nobody knows before it runs


def of_contract(contract: Contract) -> Taken:
    """The fields of its request."""
    return _fields(contract.request)


def of_tool(tool: Tool, sources: Sources) -> Taken:
    """Its arguments: of a function by its signature and what is declared, of a command by what is declared."""
    declared = _fields(tool.input)
    if not tool.handler:
        return declared or None
    found = sources.annotated(tool.handler)
    if found is None:
        return None
    return {**{name: _annotated(annotation) for name, annotation in found.items()}, **declared}


def kind_at(taken: Taken, path: Path) -> str:
    """The kind of a field; "" if there is none of that name."""
    if path[0] == INPUT:
        path = path[1:]
    found: object = ANY if taken is None else taken
    for name in path:
        if found == ANY:
            return ANY
        found = found.get(name, "") if isinstance(found, Mapping) else ""
    return "list" if isinstance(found, Mapping) else str(found)


def _fields(declared: Mapping[str, object]) -> dict[str, object]:
    return {name: _declared(one) for name, one in declared.items()}


def _declared(one: object) -> object:
    if isinstance(one, Mapping):
        return _fields(one)
    if not isinstance(one, str):
        return "list"
    name = one.strip().rstrip("?").rstrip()
    return "list" if name.startswith("list[") else KINDS.get(name, ANY)


def _annotated(annotation: ast.expr | None) -> str:
    """The kind that an annotation means."""
    if annotation is None:
        return ANY
    text = (
        annotation.value
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
        else ast.unparse(annotation)
    )
    text = re.sub(r"\|\s*None\b|\bNone\s*\|", "", text).strip()
    if optional := re.fullmatch(r"(?:typing\.)?Optional\[(.*)\]", text):
        text = optional[1]
    if text.startswith(("list[", "tuple[", "set[")) or text in ("list", "tuple", "set"):
        return "list"
    return KINDS.get(text.removeprefix("datetime."), ANY) if text != "any" else ANY
