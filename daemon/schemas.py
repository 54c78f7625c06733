"""JSON schemas of records as `mai tail --json` and `mai export` write them, one for each kind; made of the Structs.

They say what this version writes. Fields that they do not know are allowed: a journal may be older, or newer. Of a client that
was erased what the watchdog had sealed is gone, and where a person's values were erased a marker stands; both are texts.
"""

from typing import Any, Final

import msgspec

from mai.daemon.kinds import kinds
from mai.daemon.levels import level_of
from mai.daemon.seals import GONE, OPEN
from mai.daemon.visits import KINDS as VISITS
from mai.daemon.watchdog_records import RECORDS
from mai.sandbox.place import FORMAT

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
BASE: Final = f"https://mai.invalid/records/{FORMAT}/"  # names them; nothing is to be had there
ALL: Final = "records.json"  # the file that names all others
UNREADABLE: Final = "Unreadable"

Schema = dict[str, Any]


def schema(kind: str) -> Schema:
    """What a record of this kind looks like. Raises KeyError if there is none."""
    struct = kinds()[kind]
    (body,), parts = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    if kind in RECORDS or kind in VISITS:
        _sealable(parts[body["$ref"].rpartition("/")[2]])
    unread = {
        "description": "what stands there is not what was written: `mai verify`",
        "type": "object",
        "properties": {"unreadable": {"type": "string"}},
        "required": ["unreadable"],
        "additionalProperties": False,
    }
    return {
        "$schema": DIALECT,
        "$id": f"{BASE}{kind}.json",
        "title": kind,
        "description": parts[body["$ref"].rpartition("/")[2]].get("description", ""),
        "type": "object",
        "properties": {
            **COLUMNS,
            "kind": {"const": kind},
            "level": {"const": level_of(kind)},
            "body": {"anyOf": [body, _ref(UNREADABLE)]},
        },
        "required": [*COLUMNS, "kind", "level", "body"],
        "additionalProperties": False,
        "$defs": {**parts, UNREADABLE: unread},
    }


COLUMNS: Final[dict[str, Schema]] = {
    "process": {"type": "string", "description": "whose journal it stands in", "examples": ["acme/support", "watchdog"]},
    "at": {"type": "string", "format": "date-time", "description": "when, in the time zone of who asked"},
    "seq": {"type": "integer", "minimum": 1, "description": "its number in that journal"},
    "at_ns": {"type": "integer", "description": "when, in nanoseconds since 1970"},
    "term": {"type": "integer", "description": "the number of the facility that was active"},
    "boot": {"type": "string", "description": "which start of the process wrote it"},
    "request": {"type": "string", "description": "the client's request; empty where it belongs to none"},
    "task": {"type": "string"},
    "agent": {"type": "string"},
    "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 over all of it and the digest before"},
}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _sealable(part: Schema) -> None:
    """What the watchdog seals with a client's key may be gone; what is about a client says so."""
    part["properties"] = {
        name: one if name in OPEN else {"anyOf": [one, {"const": GONE}]} for name, one in part["properties"].items()
    }
    part["properties"].setdefault("process", {"type": "string", "description": "of which client it is about"})


def index() -> Schema:
    """One schema for a record of any kind, by reference to the files of the others."""
    return {
        "$schema": DIALECT,
        "$id": f"{BASE}{ALL}",
        "title": "a record of a journal",
        "oneOf": [{"$ref": f"{kind}.json"} for kind in kinds()],
    }


def files() -> dict[str, Schema]:
    """What `mai export --schema` writes: the name of each file, and what is in it."""
    return {**{f"{kind}.json": schema(kind) for kind in kinds()}, ALL: index()}
