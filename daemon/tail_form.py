"""How `mai tail` shows a record: a line for people, a line of JSON for programs."""

from typing import Any, NamedTuple

import msgspec

from mai.daemon.levels import ERROR, WARNING, level_of
from mai.daemon.reader import Body, clock
from mai.daemon.status import painted
from mai.daemon.summary import clean, summary
from mai.sandbox.record import Record

COLOURS = {"hop": 36, "message": 90, "step": 34, "effect": 35, "request": 32, "part": 32, "contract": 33, "process": 33}
LEVELLED = {WARNING: 33, ERROR: 31}
COLUMNS = ("seq", "at_ns", "term", "boot", "kind", "request", "task", "agent")


class Line(NamedTuple):
    """One record, and what it says."""

    process: str
    record: Record
    body: Body


def text(line: Line, *, colour: bool = False) -> str:
    """A record as one line for people."""
    record = line.record
    at = clock(record.at_ns).strftime("%m-%d %H:%M:%S.%f")[:-3]
    shade = LEVELLED.get(level_of(record.kind)) or COLOURS.get(record.kind.partition(".")[0], 0)
    kind = painted(f"{clean(record.kind):<16}", shade, colour and bool(shade))
    where = f"{clean(record.task or record.request):<18}  "
    what = summary(record.kind, line.body)
    return f"{painted(at, 90, colour)}  {line.process:<18}  {kind}  {painted(where, 90, colour)}{what}"


def fields(line: Line) -> dict[str, Any]:
    """A record as scripts read it, with its whole body. `schemas.py` describes it."""
    record = line.record
    at = clock(record.at_ns).isoformat(timespec="milliseconds")
    columns = {name: getattr(record, name) for name in COLUMNS}
    level = level_of(record.kind)
    return {"process": line.process, "at": at, **columns, "level": level, "body": line.body, "digest": record.digest.hex()}


def json_line(line: Line) -> str:
    """The same as one line of JSON."""
    return msgspec.json.encode(fields(line)).decode()
