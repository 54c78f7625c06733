"""`mai memory`: what is kept in the client's, a department's or an agent's memory, read out of the ledgers for people.

An operator's look is no agent's read: it goes through a read-only connection, and into no journal.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import msgspec

from mai.agents.kept import Kept, Shelf, Version
from mai.daemon.reader import NotFound, Reader, clock, listed
from mai.daemon.summary import clean
from mai.sandbox import words
from mai.sandbox.errors import UsageFault
from mai.sandbox.place import Place

MOST: Final = 1000  # rows of one answer
SHOWN: Final = 80  # characters of a value in a list

Entry = dict[str, Any]


def whose(place: Place, what: str) -> tuple[str, Shelf]:
    """The process that keeps it, and the shelf; `what` is client[/department[/agent]]. Raises UsageFault."""
    client, *rest = what.split("/")
    if not client or len(rest) > 2 or not all(rest):
        raise UsageFault(f"{what!r} names no memory", "expected CLIENT, CLIENT/DEPARTMENT or CLIENT/DEPARTMENT/AGENT")
    if not rest:
        return f"{client}/mai", Shelf("client")
    return f"{client}/{rest[0]}", Shelf("agent", rest[1]) if rest[1:] else Shelf("department")


def entries(place: Place, what: str, prefix: str = "") -> list[Entry]:
    """What is kept under keys that begin so, in the order of keys. Raises NotFound, UsageFault, LedgerFault."""
    process, shelf = whose(place, what)
    with closing(Reader(place, process)) as reader:
        return [_entry(reader, shelf, key, item) for key, item in _items(reader, shelf, prefix)]


def found(place: Place, what: str, text: str) -> list[Entry]:
    """What a full-text search finds, best first, with scores."""
    process, shelf = whose(place, what)
    with closing(Reader(place, process)) as reader:
        hits = words.found(reader.connection, shelf.name, text)[:MOST]
        there = ((key, score, _item(reader, shelf, key)) for key, _, score in hits)
        return [{**_entry(reader, shelf, key, item), "score": score} for key, score, item in there if item]


def story(place: Place, what: str, key: str) -> Entry:
    """One key with all of its versions, newest first. Raises NotFound, UsageFault, LedgerFault."""
    process, shelf = whose(place, what)
    with closing(Reader(place, process)) as reader:
        item = _item(reader, shelf, key)
        if item is None:
            keys = [name for name, _ in _items(reader, shelf, "")]
            raise NotFound(f"{what} keeps nothing under {key!r}", f"there are {listed(keys)}" if keys else "it keeps nothing")
        numbers = range(item.n, item.oldest - 1, -1)
        told = [{"version": n, **msgspec.to_builtins(one)} for n in numbers if (one := _version(reader, shelf, key, n))]
        return {"memory": what, "process": process, "key": key, "versions": told}


def _items(reader: Reader, shelf: Shelf, prefix: str) -> Iterator[tuple[str, Kept]]:
    """What has not expired; the first thousand."""
    query = "SELECT key, value FROM state WHERE noun = ? AND substr(key, 1, ?) = ? ORDER BY key LIMIT ?"
    for row in reader.select(query, shelf.items, len(prefix), prefix, MOST):
        item = msgspec.json.decode(row["value"], type=Kept)
        if not _over(item.expires_ms):
            yield row["key"], item


def _item(reader: Reader, shelf: Shelf, key: str) -> Kept | None:
    return next((item for name, item in _items(reader, shelf, key) if name == key), None)


def _version(reader: Reader, shelf: Shelf, key: str, n: int) -> Version | None:
    rows = reader.select("SELECT value FROM state WHERE noun = ? AND key = ? LIMIT 1", shelf.versions, f"{key}/{n}")
    one = msgspec.json.decode(rows[0]["value"], type=Version) if rows else None
    return one if one and not _over(one.expires_ms) else None


def _over(expires_ms: int) -> bool:
    return 0 < expires_ms <= time.time_ns() // 1_000_000


def _entry(reader: Reader, shelf: Shelf, key: str, item: Kept) -> Entry:
    newest = _version(reader, shelf, key, item.n) or Version(None)
    return {
        "key": key, "version": item.n, "oldest": item.oldest, "at_ms": item.at_ms, "expires_ms": item.expires_ms,
        "by": newest.by, "task": newest.task, "value": newest.value,
    }  # fmt: skip


def table(found_: list[Entry]) -> str:
    """What people read of a list."""
    if not found_:
        return "nothing"
    return "\n".join(f"{one['key']}  version {one['version']}{_when(one)}  {clean(_json(one['value']), SHOWN)}" for one in found_)


def shown(one: Entry) -> str:
    """What people read of one key."""
    lines = [f"{one['key']} of {one['memory']}"]
    for version in one["versions"]:
        by = f", by {version['by']}" if version.get("by") else ""
        task = f" in {version['task']}" if version.get("task") else ""
        lines += [f"version {version['version']}{_when(version)}{by}{task}", f"  {_json(version['value'])}"]
    return "\n".join(lines)


def _when(one: Entry) -> str:
    at = f", {clock(one['at_ms'] * 1_000_000):%Y-%m-%d %H:%M:%S}" if one.get("at_ms") else ""
    until = f", until {clock(one['expires_ms'] * 1_000_000):%Y-%m-%d %H:%M:%S}" if one.get("expires_ms") else ""
    return at + until


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
