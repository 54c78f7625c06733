"""Schemas in the strict form that providers hold answers to, and values of it given back as the schema meant them. Pure.

Strict means: each object closed, each of its properties required. What may be missing becomes null, and what cannot be said
so (anything, an object with any keys, a schema that refers to itself) becomes a text with JSON in it. Only what all of
OpenAI, Anthropic and llama.cpp's grammars know is kept; the rest is checked when the value is used.
"""

from typing import Any, Final

import msgspec

from mai.agents.schemas import Schema, nullable

DEEPEST: Final = 8  # of a schema; below it stands a text with JSON
LARGEST: Final = 8 << 10  # bytes of a strict schema
CHOICES: Final = 100  # of an enum
WORDS: Final = 120  # characters of a description
FORMATS: Final = ("date", "time", "date-time", "uuid")
SCALARS: Final = ("string", "integer", "number", "boolean", "null")
TEXT: Final[Schema] = {"type": "string"}


class Form:
    """One schema: `strict` is what the provider is told, `back` turns a value of that into a value of the schema itself."""

    def __init__(self, schema: Schema) -> None:
        self._meant = schema
        self.strict = _strict(schema, schema, 0)
        if len(msgspec.json.encode(self.strict)) > LARGEST:
            self.strict = TEXT

    def back(self, value: Any) -> Any:
        """The value as the schema means it; a value that fits neither is given back as it is."""
        if self.strict == TEXT:
            return _decoded(value, self._meant)
        return _back(value, self._meant, self._meant, 0)


def _strict(one: Any, root: Schema, depth: int) -> Schema:
    if not isinstance(one, dict) or depth > DEEPEST:
        return TEXT
    if "$ref" in one:
        return _strict(_referred(one["$ref"], root), root, depth + 1)
    if "enum" in one or "const" in one:
        return _enum(one.get("enum", [one.get("const")]))
    if among := one.get("anyOf") or one.get("oneOf"):
        return {"anyOf": [_strict(part, root, depth + 1) for part in among]} if isinstance(among, list) else TEXT
    return _typed(one, root, depth)


def _typed(one: Schema, root: Schema, depth: int) -> Schema:
    match one.get("type"):
        case "object":
            return _object(one, root, depth)
        case "array" if isinstance(one.get("items"), dict) and "prefixItems" not in one:
            return {"type": "array", "items": _strict(one["items"], root, depth + 1)}
        case "string" if one.get("format") in FORMATS:
            return {"type": "string", "format": one["format"]}
        case str() as kind if kind in SCALARS:
            return {"type": kind}
        case [*kinds] if kinds:
            return {"anyOf": [_strict({**one, "type": kind}, root, depth + 1) for kind in kinds]}
    return TEXT


def _object(one: Schema, root: Schema, depth: int) -> Schema:
    properties, more = one.get("properties") or {}, one.get("additionalProperties", True)
    if not isinstance(properties, dict) or (not properties and more is not False):
        return TEXT
    made = {name: _strict(found, root, depth + 1) for name, found in properties.items()}
    needed = _needed(one)
    made = {name: found if name in needed else _or_null(found) for name, found in made.items()}
    return {"type": "object", "properties": made, "required": list(made), "additionalProperties": False}


def _or_null(one: Schema) -> Schema:
    return nullable(one) if isinstance(one.get("type"), str) and "enum" not in one else {"anyOf": [one, {"type": "null"}]}


def _enum(values: Any) -> Schema:
    if not isinstance(values, list) or not 0 < len(values) <= CHOICES or not all(isinstance(one, str) for one in values):
        return TEXT
    return {"type": "string", "enum": values}


def _needed(one: Schema) -> set[str]:
    required = one.get("required")
    return {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()


def _referred(reference: Any, root: Schema) -> Any:
    found: Any = root
    for part in str(reference).removeprefix("#").split("/")[1:]:
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


# -- and back
def _back(value: Any, one: Any, root: Schema, depth: int) -> Any:
    if isinstance(one, dict) and "$ref" in one and depth <= DEEPEST:
        return _back(value, _referred(one["$ref"], root), root, depth + 1)
    if _strict(one, root, depth) == TEXT:
        return _decoded(value, one)
    match value, one:
        case dict(), {"properties": dict() as properties}:
            needed = _needed(one)
            kept = {name: found for name, found in value.items() if found is not None or name in needed or name not in properties}
            return {name: _back(found, properties.get(name, TEXT), root, depth + 1) for name, found in kept.items()}
        case list(), {"items": dict() as items}:
            return [_back(found, items, root, depth + 1) for found in value]
    return value


def _decoded(value: Any, meant: Any) -> Any:
    """What a text with JSON in it says, unless a text is what was meant."""
    if not isinstance(value, str) or (isinstance(meant, dict) and meant.get("type") == "string"):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


# -- for who reads
def worded(one: Any, root: Schema | None = None, depth: int = 0) -> Any:
    """A schema in few words: the names of an object's properties with their types; `?` marks what may be missing."""
    root = one if root is None else root
    if not isinstance(one, dict) or depth > DEEPEST:
        return "any"
    if "$ref" in one:
        return worded(_referred(one["$ref"], root), root, depth + 1)
    if isinstance(properties := one.get("properties"), dict):
        needed = _needed(one)
        return {
            name if name in needed else f"{name}?": worded(found, root, depth + 1)
            for name, found in list(properties.items())[:CHOICES]
        }
    if isinstance(one.get("items"), dict):
        return [worded(one["items"], root, depth + 1)]
    kind = (
        _enum_worded(one) or one.get("type") or " or ".join(str(worded(part, root, depth + 1)) for part in one.get("anyOf") or ())
    )
    said = " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind or "any")
    about = str(one.get("description", ""))[:WORDS]
    return f"{said}: {about}" if about else said


def _enum_worded(one: Schema) -> str:
    values = one.get("enum")
    return "|".join(str(value)[:40] for value in values[:CHOICES]) if isinstance(values, list) else ""
