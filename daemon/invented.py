"""Values that fit a JSON schema, made up from a seed: what the scripted provider answers where its script says nothing. Pure.

The same schema and seed give the same value. What `pattern` wants is not invented: such a string may not fit.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

DEEPEST = 12  # a schema that refers to itself ends here, with its shortest form
FORMATS: Final[dict[str, str]] = {
    "date": "2026-01-{:02}",
    "date-time": "2026-01-{:02}T12:00:00Z",
    "time": "12:{:02}:00Z",
    "email": "somebody{}@example.com",
    "uri": "https://example.com/{}",
    "uuid": "00000000-0000-4000-8000-0000000000{:02}",
}
Schema = Mapping[str, Any]


def invent(schema: Any, seed: str) -> Any:
    """A value that fits the schema."""
    return _value(schema, seed, schema, 0)


def phrase(seed: str) -> str:
    """A short text, another for each seed."""
    return f"scripted {_number(seed, 1 << 24):06x}"


def _number(seed: str, below: int) -> int:
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big") % below


def _value(schema: Any, seed: str, root: Any, depth: int) -> Any:
    if not isinstance(schema, Mapping):
        return phrase(seed)  # true, or nothing: anything fits
    if choices := [schema["const"]] if "const" in schema else schema.get("enum"):
        return choices[_number(seed, len(choices))]
    if "$ref" in schema:
        return _value(_referred(schema["$ref"], root), f"{seed}$", root, depth + 1)
    if among := schema.get("anyOf") or schema.get("oneOf"):
        return _value(_one_of(among, seed, depth), f"{seed}|", root, depth + 1)
    if parts := schema.get("allOf"):
        return _value(_merged([*parts, {k: v for k, v in schema.items() if k != "allOf"}], root), seed, root, depth + 1)
    return _typed(schema, _kind(schema, seed, depth), seed, root, depth)


def _kind(schema: Schema, seed: str, depth: int) -> str:
    kinds = schema.get("type") or ("object" if "properties" in schema else "array" if "items" in schema else "string")
    if isinstance(kinds, str):
        return kinds
    if depth >= DEEPEST and "null" in kinds:
        return "null"
    return str(kinds[_number(f"{seed}?", len(kinds))])


def _typed(schema: Schema, kind: str, seed: str, root: Any, depth: int) -> Any:
    match kind:
        case "object":
            return _object(schema, seed, root, depth)
        case "array":
            return _array(schema, seed, root, depth)
        case "integer" | "number":
            return _figure(schema, seed, kind == "integer")
        case "boolean":
            return bool(_number(seed, 2))
        case "null":
            return None
    return _string(schema, seed)


def _object(schema: Schema, seed: str, root: Any, depth: int) -> dict[str, Any]:
    """All properties; the required ones alone where it is deep. An open object gets one entry."""
    needed = set(schema.get("required", ()))
    properties = {name: one for name, one in schema.get("properties", {}).items() if depth < DEEPEST or name in needed}
    made = {name: _value(one, f"{seed}.{name}", root, depth + 1) for name, one in properties.items()}
    more = schema.get("additionalProperties")
    if isinstance(more, Mapping) and not made and depth < DEEPEST:
        made["one"] = _value(more, f"{seed}.one", root, depth + 1)
    return made


def _array(schema: Schema, seed: str, root: Any, depth: int) -> list[Any]:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    count = least if depth >= DEEPEST else max(1 + _number(f"{seed}#", 2), least)
    count = count if most is None else min(count, most)
    return [_value(schema.get("items"), f"{seed}.{at}", root, depth + 1) for at in range(count)]


def _figure(schema: Schema, seed: str, whole: bool) -> float:
    low, high = schema.get("minimum"), schema.get("maximum")
    step = schema.get("multipleOf", 1)
    if (over := schema.get("exclusiveMinimum")) is not None:
        low = over + (step if whole else step / 1000)
    if (under := schema.get("exclusiveMaximum")) is not None:
        high = under - (step if whole else step / 1000)
    low = (0 if high is None else high - 100 * step) if low is None else low
    high = low + 100 * step if high is None else high
    steps = int((high - low) / step)
    first = -(-low // step) * step if whole or "multipleOf" in schema else low
    made = first + _number(seed, max(steps, 0) + 1) * step
    made = made if made <= high else first
    return int(made) if whole else made


def _string(schema: Schema, seed: str) -> str:
    if form := FORMATS.get(schema.get("format", "")):
        return form.format(1 + _number(seed, 28))
    text = phrase(seed).ljust(schema.get("minLength", 0), ".")
    return text[: schema.get("maxLength", len(text))]


def _one_of(among: list[Any], seed: str, depth: int) -> Any:
    if depth >= DEEPEST:
        return min(among, key=lambda one: len(str(one)))  # null, most of all
    return among[_number(f"{seed}/", len(among))]


def _referred(reference: str, root: Any) -> Any:
    found = root
    for part in reference.removeprefix("#").split("/")[1:]:
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found


def _merged(parts: list[Any], root: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for part in parts:
        meant = _referred(part["$ref"], root) if isinstance(part, Mapping) and "$ref" in part else part
        for key, value in meant.items() if isinstance(meant, Mapping) else ():
            if key == "properties":
                whole[key] = {**whole.get(key, {}), **value}
            elif key == "required":
                whole[key] = [*whole.get(key, ()), *value]
            else:
                whole[key] = value
    return whole
