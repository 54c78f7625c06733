"""What a tool's function takes, read from its signature: the JSON schema, and the check of what it is called with. Pure.

The first parameter is the department's directory, and a keyword-only `key` the idempotency key: neither is an argument.
An annotated parameter gets its value converted (a `datetime.date` from "2025-03-31"); one without gets what JSON has, held
to what `Tool.input` declares for it.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mai.agents.fields import FieldFault, Shape, worded
from mai.agents.parts import Fields
from mai.agents.plain import said
from mai.agents.schemas import Schema, object_schema, schema
from mai.sandbox.errors import MaiError

BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
STRANGE: Final = "no argument of the tool"


class Unfit(MaiError):
    """A function that cannot be a tool."""


class Signature:
    """What one function takes. `schema` and `about` are for who calls it, `keyed` says whether it wants the key."""

    def __init__(self, function: Callable[..., Any], declared: Fields, label: str) -> None:
        """`declared`: the types of what has no annotation; `label` begins the sentences. Raises Unfit."""
        parameters = _parameters(function, label)
        self._label = label
        self.about = (inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " ")
        self.keyed = _takes_key(parameters)
        self._open = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
        arguments = _arguments(parameters, label)
        if strange := [name for name in declared if name not in arguments and not self._open]:
            raise Unfit(f"{label}: its function has no parameter {strange[0]}, which its input declares")
        self._plain = {name for name, one in arguments.items() if one.annotation is inspect.Parameter.empty}
        rest = {name: type_ for name, type_ in declared.items() if name in self._plain or name not in arguments}
        self._shapes = {name: Shape({name: type_}, label, STRANGE) for name, type_ in rest.items()}
        self._type = _struct(arguments, label)
        self.schema = self._described(arguments, rest)
        self._needed = [name for name in rest if name not in arguments and not str(rest[name]).strip().endswith("?")]
        self._closed = bool(declared) or not self._open

    def _described(self, arguments: dict[str, inspect.Parameter], rest: Fields) -> Schema:
        (whole,), parts = msgspec.json.schema_components((self._type,), ref_template="#/$defs/{name}")
        found = parts.pop(str(whole["$ref"]).rpartition("/")[2])
        for name, type_ in rest.items():
            found["properties"][name] = {**found["properties"].get(name, {}), **schema(type_)}
        for name, one in arguments.items():
            if one.default is not inspect.Parameter.empty and (default := _default(one.default)) is not UNSET:
                found["properties"][name]["default"] = default
        found["required"] = [*found.get("required", []), *(name for name in rest if name not in arguments)]
        closed = bool(rest) or not self._open
        return {
            "type": "object", "properties": found["properties"], "required": found["required"],
            "additionalProperties": not closed, **({"$defs": parts} if parts else {}),
        }  # fmt: skip

    def fit(self, given: Fields) -> Fields:
        """The arguments to call it with. Raises FieldFault, which names the argument that does not fit."""
        try:
            converted = msgspec.convert(given, self._type)
        except msgspec.ValidationError as error:
            raise FieldFault(f"{self._label}: {worded(str(error), STRANGE)}") from None
        known = {field.encode_name: getattr(converted, field.name) for field in msgspec.structs.fields(converted)}
        strange = [name for name in given if name not in known and name not in self._shapes]
        if strange and self._closed:
            raise FieldFault(f"{self._label}: {strange[0]}: {STRANGE}")
        if lacking := [name for name in self._needed if name not in given]:
            raise FieldFault(f"{self._label}: {lacking[0]}: missing")
        for name in self._shapes.keys() & given.keys():
            self._shapes[name].fit({name: given[name]})
        return {name: given[name] if name in self._plain else known.get(name, given[name]) for name in given}


def _parameters(function: Callable[..., Any], label: str) -> dict[str, inspect.Parameter]:
    """The parameters without the first, with annotations that are types. Raises Unfit."""
    try:
        found = dict(inspect.signature(function, eval_str=True).parameters)
    except Exception as error:  # an annotation in quotes may be anything
        raise Unfit(f"{label}: the annotations of its function cannot be read: {said(error)}") from None
    first = next(iter(found.values()), None)
    if first is None or first.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD):
        raise Unfit(f"{label}: its function does not take the department's directory first", "expected def …(files, …)")
    if first.kind is not inspect.Parameter.VAR_POSITIONAL:
        del found[first.name]
    return found


def _takes_key(parameters: dict[str, inspect.Parameter]) -> bool:
    """Has it a keyword-only parameter `key`?"""
    key = parameters.get("key")
    return key is not None and key.kind is inspect.Parameter.KEYWORD_ONLY


def _arguments(parameters: dict[str, inspect.Parameter], label: str) -> dict[str, inspect.Parameter]:
    for one in parameters.values():
        if one.kind is inspect.Parameter.POSITIONAL_ONLY and one.default is inspect.Parameter.empty:
            raise Unfit(f"{label}: its function takes {one.name} by its place only, and a tool's arguments have names")
    keyed = _takes_key(parameters)
    return {name: one for name, one in parameters.items() if one.kind in BY_NAME and not (keyed and name == "key")}


def _struct(arguments: dict[str, inspect.Parameter], label: str) -> type[msgspec.Struct]:
    members = []
    for number, (name, one) in enumerate(arguments.items()):
        kind = Any if one.annotation is inspect.Parameter.empty else _annotation(one.annotation)
        try:
            msgspec.json.schema(kind)
        except Exception as error:  # a schema of the users' own types may raise anything
            why = f"no value in JSON becomes {said(error).splitlines()[-1].removeprefix('type ').partition(' is not')[0]}"
            raise Unfit(f"{label}: the annotation of {name} cannot be used: {why}", "annotate it with a type of JSON") from None
        default = {} if one.default is inspect.Parameter.empty else {"default": UNSET}
        members.append((f"field_{number}", kind | UnsetType if default else kind, msgspec.field(name=name, **default)))
    return msgspec.defstruct("Arguments", members, kw_only=True)  # what it does not name, `_check` looks at


def _annotation(found: Any) -> Any:
    """The type, with a text beside it as its description."""
    if get_origin(found) is not Annotated:
        return found
    kind, *beside = get_args(found)
    texts = [one for one in beside if isinstance(one, str)]
    return Annotated[(kind, *(one for one in beside if isinstance(one, Meta)), *(Meta(description=one) for one in texts[:1]))]


def _default(value: Any) -> Any:
    """A default as JSON has it; UNSET if it has none."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return UNSET


def declared_schema(declared: Fields) -> Schema:
    """The schema of what a command takes; anything if nothing is declared."""
    return object_schema(declared) if declared else {"type": "object"}
