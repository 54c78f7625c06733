"""Declared fields as JSON schema, for models and for who calls a tool. Pure.

Providers that constrain an answer to a schema want each property required and none besides; what may be missing is
null instead, which `fields.py` takes for missing. A `dict[T]` and `any` cannot be said in their strict form.
"""

import re
from typing import Any, Final

from mai.agents.fields import SCALARS, BadType
from mai.agents.parts import Fields

Schema = dict[str, Any]
WORDS: Final[dict[str, Schema]] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "any": {},
}
assert WORDS.keys() == SCALARS.keys()


def object_schema(fields: Fields) -> Schema:
    """The schema of an object with these fields. Raises BadType where `fields.flaws` finds something."""
    properties = {name: schema(declared) for name, declared in fields.items()}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def schema(declared: object) -> Schema:
    """The schema of one declared type. Raises BadType."""
    match declared:
        case str():
            return _named(declared.strip())
        case dict():
            return object_schema(declared)
        case [dict() as one]:
            return {"type": "array", "items": object_schema(one)}
    raise BadType(f"{declared!r:.60} is no type", "see the types in mai.agents.fields")


def strict(found: object) -> bool:
    """May a provider be asked to hold to this schema strictly: is nothing in it open, a `dict[T]` or `any`?"""
    match found:
        case dict():
            closed = found.get("additionalProperties") is False or found.get("type") != "object"
            inner = [*found.get("properties", {}).values(), *found.get("anyOf", ()), *filter(None, [found.get("items")])]
            return bool(found) and found.get("items") != {} and closed and all(strict(one) for one in inner)
    return False


def _named(name: str) -> Schema:
    if name.endswith("?"):
        return nullable(_named(name[:-1].rstrip()))
    if name in WORDS:
        return dict(WORDS[name])
    if inner := re.fullmatch(r"(list|dict)\[(.*)\]", name):
        of = _named(inner[2].strip())
        return {"type": "array", "items": of} if inner[1] == "list" else {"type": "object", "additionalProperties": of}
    raise BadType(f"{name!r:.60} is no type", f"the types are {', '.join(SCALARS)}, list[T], dict[T] and T?")


def nullable(one: Schema) -> Schema:
    """The same, or null."""
    match one.get("type"):
        case None:
            return one  # any, null is in it; or an anyOf that has it
        case "object" | "array":
            return {"anyOf": [one, {"type": "null"}]}
        case str() as kind:
            return {**one, "type": [kind, "null"]}
    return one
