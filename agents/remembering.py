"""What reading and writing memory comes to: the facts, and what the asker gets. For departments and for Mai. Pure.

Time comes in as `now_ms`: what has expired by then is gone, whether its fact is on record already or made here.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from mai.agents.body import Fields
from mai.agents.events import Event, Remembered
from mai.agents.kept import Fading, Kept, Shelf, Version
from mai.agents.memory import MemoryExpired, MemoryForgotten
from mai.agents.state import State

READS: Final = ("recall", "recall_all", "search", "versions")
WRITES: Final = ("remember", "forget")
CALLS: Final = (*READS, *WRITES)
PAGES: Final = ("recall_all", "search", "versions")  # calls that give a Page
MOST_LISTED: Final = 1000  # memories of one page

Admits = Callable[[str], bool]  # may this key be seen?


class Memory(msgspec.Struct, frozen=True, omit_defaults=True):
    """One piece of memory as agents see it, in one of its versions."""

    key: str
    value: Any
    version: int
    at_ms: int = 0  # when it was written; 0: an earlier format did not say
    expires_ms: int = 0  # 0: never
    by: str = ""  # the agent of this department that wrote it; "" for the client's memory
    task: str = ""
    score: float = 0.0  # search: how well it fits, greater is better; not told of the client's memory


class Page(msgspec.Struct, frozen=True):
    """Some pieces of memory, in the order of their keys; a search has the best first, `versions` the newest."""

    items: tuple[Memory, ...]
    more: bool = False  # are there others behind the last one?


class Bounds(NamedTuple):
    """What a shelf may hold."""

    items: int
    versions: int
    page_bytes: int  # of one answer


class Outcome(NamedTuple):
    """What came of a call: the facts, and the answer."""

    events: list[Event]
    value: Any = None
    n: int = 0  # the version that was read or written; 0: none
    refused: str = ""


class Desk(NamedTuple):
    """Somebody at a shelf: what he may look up and see, who he is, and what time it is."""

    state: State
    shelf: Shelf
    bounds: Bounds
    now_ms: int
    agent: str  # as Remembered has it
    by: str
    task: str = ""
    request: str = ""
    admits: Admits = lambda key: True
    told: bool = True  # is he told who wrote what, and how well it fits?


def do(desk: Desk, call: str, given: Fields) -> Outcome:
    """One call; `given` as Context makes it, with `expires_ms` on the wall clock."""
    expired = sweep(desk.state, desk.now_ms)
    match call:
        case "recall":
            came = _recall(desk, str(given["key"]), int(given.get("version", 0)))
        case "remember":
            gone = {(one.shelf, one.key) for one in desk.state.fading.due(desk.now_ms) if _present(desk, one.key) is None}
            came = _remember(desk, given, sum(shelf == desk.shelf for shelf, _ in gone))
        case "forget":
            came = _forget(desk, str(given["key"]))
        case "recall_all":
            came = _listed(desk, str(given.get("prefix", "")), str(given.get("after", "")), int(given["limit"]))
        case "search":
            came = _found(desk, str(given["text"]), int(given["limit"]))
        case _:
            came = _versions(desk, str(given["key"]))
    return came._replace(events=[*expired, *came.events])


def sweep(state: State, now_ms: int) -> list[Event]:
    """The facts of what has expired; what goes with the newest version of its key has none of its own."""
    found, whole = list[Event](), set[tuple[Shelf, str]]()
    for one in state.fading.due(now_ms):
        if (one.shelf, one.key) not in whole:
            fact = _expired(one, state.memory.item(one.shelf, one.key))
            found.append(fact)
            whole |= {(one.shelf, one.key)} if fact.whole else set()
    return found


def _expired(one: Fading, item: Kept | None) -> MemoryExpired:
    whole, oldest = item is None or item.n == one.n, item.oldest if item else one.n
    return MemoryExpired(agent=one.owner, level=one.level, key=one.key, n=one.n, oldest=oldest, whole=whole, due_ms=one.at_ms)


def _present(desk: Desk, key: str) -> Kept | None:
    """What is kept under a key now."""
    item = desk.state.memory.item(desk.shelf, key)
    return item if item and not 0 < item.expires_ms <= desk.now_ms else None


def _version(desk: Desk, key: str, n: int) -> Version | None:
    found = desk.state.memory.version(desk.shelf, key, n)
    return found if found and not 0 < found.expires_ms <= desk.now_ms else None


def _recall(desk: Desk, key: str, n: int) -> Outcome:
    item = _present(desk, key)
    n = n or (item.n if item else 0)
    version = _version(desk, key, n) if item and n <= item.n else None
    return Outcome([], version.value, n) if version else Outcome([])


def _remember(desk: Desk, given: Fields, gone: int) -> Outcome:
    key, most = str(given["key"]), desk.bounds.items
    item = _present(desk, key)
    if item is None and desk.state.memory.count(desk.shelf) - gone >= most:
        whose = {"agent": f"the memory of {desk.shelf.owner}", "department": "the memory of the department"}
        name = whose.get(desk.shelf.level, "the client's memory")
        return Outcome([], refused=f"{name} holds {most} keys, which is its limit: have others forgotten first")
    n = item.n + 1 if item else 1
    oldest = max(item.oldest if item else 1, n - desk.bounds.versions + 1)
    written = Remembered(
        request=desk.request, task=desk.task, agent=desk.agent, level=desk.shelf.level, key=key, value=given["value"], n=n,
        oldest=oldest, was=item.oldest if item else n, at_ms=desk.now_ms, expires_ms=int(given.get("expires_ms", 0)), by=desk.by,
    )  # fmt: skip
    return Outcome([written], n, n)


def _forget(desk: Desk, key: str) -> Outcome:
    item = _present(desk, key)
    if item is None:
        return Outcome([], value=False)
    forgotten = MemoryForgotten(
        request=desk.request, task=desk.task, agent=desk.agent, level=desk.shelf.level, key=key, n=item.n, oldest=item.oldest,
        by=desk.by,
    )  # fmt: skip
    return Outcome([forgotten], value=True, n=item.n)


def _listed(desk: Desk, prefix: str, after: str, limit: int) -> Outcome:
    seen = desk.state.memory.listed(desk.shelf, prefix, after)
    return _page(desk, ((key, item.n, 0.0) for key, item in seen), limit)


def _found(desk: Desk, text: str, limit: int) -> Outcome:
    return _page(desk, desk.state.memory.found(desk.shelf, text), limit)


def _versions(desk: Desk, key: str) -> Outcome:
    item = _present(desk, key)
    numbers = range(item.n, item.oldest - 1, -1) if item else ()
    return _page(desk, ((key, n, 0.0) for n in numbers), MOST_LISTED)


def _page(desk: Desk, seen: Iterable[tuple[str, int, float]], limit: int) -> Outcome:
    """As many as are asked for and fit into an answer, of those that he may see and that have not expired.

    A key has expired if its newest version has.
    """
    items: list[Memory] = []
    room, more = desk.bounds.page_bytes, False
    for key, n, score in seen:
        if not desk.admits(key) or (version := _version(desk, key, n)) is None:
            continue
        one = _memory(desk, key, n, version, score)
        room -= len(msgspec.json.encode(one))
        if len(items) >= limit or (items and room < 0):
            more = True
            break
        items.append(one)
    page = {"items": [msgspec.to_builtins(one) for one in items], "more": more}  # a Page, as journals and messages have it
    return Outcome([], page, len(items))


def _memory(desk: Desk, key: str, n: int, version: Version, score: float) -> Memory:
    by, task = (version.by, version.task) if desk.told else ("", "")
    return Memory(key, version.value, n, version.at_ms, version.expires_ms, by, task, score)


def unscored(page: Fields) -> Fields:
    """A page without its scores: over the client's memory they would tell of keys that may not be seen."""
    return {**page, "items": [{name: value for name, value in one.items() if name != "score"} for one in page["items"]]}
