"""How a replayed decision is shown to people."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from mai.agents.sealing import Sealed
from mai.daemon.replaying import ADDRESS, Item, Replayed, Swept
from mai.daemon.summary import clean, plain
from mai.daemon.verbatim import Verbatim

LONG: Final = 600  # characters of a text, unless all of it is wanted
SHOWN: Final = 20  # decisions that differ
TINTS: Final = {"verified": 32, "redacted": 33, "differs": 31}


def _tinted(word: str, colour: bool) -> str:
    return f"\x1b[{TINTS[word]}m{word}\x1b[0m" if colour else word


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"


def listed(found: Iterable[tuple[str, Sealed, int]]) -> str:
    """One line for each decision, in the order of time."""
    lines = [
        (
            sealed.at_ms,
            f"{process}:{seq}",
            f"{_time(sealed.at_ms)}  {sealed.what:<10} {sealed.agent or 'mai':<24} {sealed.task or sealed.request}",
        )
        for process, sealed, seq in found
    ]
    width = max((len(name) for _, name, _ in lines), default=0)
    return "\n".join(f"{name:<{width}}  {said}" for _, name, said in sorted(lines)) or "no decisions"


def render(found: Replayed, *, full: bool = False, colour: bool = False) -> str:
    """All that was known, in order, what was decided, and what came of it."""
    return "\n".join(
        [
            f"{found.decision}: {_tinted(found.verdict, colour)}",
            *(f"  differs: {fault}" for fault in found.faults),
            *(f"  redacted: {words}; all else is as it was sealed" for words in found.erased),
            f"  {found.what} by {found.agent or 'mai'}, {_time(found.at_ms)}, term {found.term}",
            f"  request {found.request}" + (f", task {found.task}" if found.task else ""),
            f"  context {found.context}" + (f", code {found.code}" if found.code else ", the built-in behaviour of its rank"),
            *_life(found.life),
            *_scope(found.scope),
            "what was known, in order",
            *(line for item in found.context_items for line in _item(item, full)),
            "what was decided",
            *(_item(found.decided, full) if found.decided else ["    it is missing"]),
            "what came of it at once",
            *(line for item in found.led for line in _item(item, full)),
        ]
    )


def swept(found: Swept, *, colour: bool = False) -> str:
    """What differs, and the counts."""
    lines = [
        line
        for one in found.wrong[:SHOWN]
        for line in (f"{one.decision}: {_tinted(one.verdict, colour)}", *(f"  {fault}" for fault in one.faults))
    ]
    more = [f"{len(found.wrong) - SHOWN} more"] if len(found.wrong) > SHOWN else []
    counts = f"{found.verified:,} verified" + f", {_tinted('redacted', colour)}: {found.redacted:,}" * bool(found.redacted)
    differs = f", {_tinted('differs', colour)}: {len(found.wrong):,}" if found.wrong else ""
    return "\n".join([*lines, *more, f"{found.count:,} decisions: {counts}{differs}"])


def _life(life: Item | None) -> Iterator[str]:
    if life:
        libraries = ", ".join(f"{name} {version}" for name, version in life.body.get("libraries", {}).items())
        yield f"  mai {life.body.get('version')}, organisation {life.body.get('organisation')}" + f", {libraries}" * bool(
            libraries
        )
        if policies := life.body.get("policies"):
            yield f"  policies {policies}"
        yield f"  walls: {clean(str(life.body.get('walls', '')))}"


def _scope(scope: dict[str, Any]) -> Iterator[str]:
    department = scope.get("department") or {}
    for agent in department.get("agents", ()):
        tools = ", ".join(agent.get("tools", ())) or "none"
        yield f"  {agent['name']}, {agent['rank']} of {department['name']}, tools: {tools}"
        yield f"  charter: {clean(agent.get('charter') or 'none')}"


def _item(item: Item, full: bool) -> Iterator[str]:
    yield f"  {item.seq:>7}  {_time(item.at_ms)[11:-4]}  {item.kind:<17} {item.said}"
    for address, text in item.texts.items():
        yield from _text(address, text, full)
    if item.verbatim:
        yield from _verbatim(item.verbatim, full)
    if item.kind in ("step", "hop", "task.ended", "memory.read") and item.said.endswith("…") and full:
        yield from _text("whole", plain(item.body), full)


def _verbatim(found: Verbatim, full: bool) -> Iterator[str]:
    """What went over the wire for it."""
    where, url = f"{found.process}:{found.asked}", found.url or "the local model"
    yield f"             asked with exactly {found.request_bytes:,} bytes, sha256 {found.request_digest}, to {url} ({where})"
    if found.libraries:
        yield f"             by {found.process} with {', '.join(' '.join(one) for one in found.libraries.items())}"
    given = ", ".join(f"{name} {value}" for name, value in found.parameters.items())
    yield from _text(f"request ({given})" if given else "request", found.request, full)
    kept = " of which the beginning is kept," * found.cut + " in which a key is stars," * found.masked
    yield (
        f"             answered with status {found.status} and exactly {found.response_bytes:,} bytes,{kept}"
        f" sha256 {found.response_digest} ({found.process}:{found.heard})"
    )
    yield from _text("response", found.response, full)


def _text(name: str, text: str, full: bool) -> Iterator[str]:
    shown = text if full or len(text) <= LONG else f"{text[:LONG]}… ({len(text):,} characters; --full shows all)"
    yield f"             {name[:12] if ADDRESS.fullmatch(name) else name}:"
    for line in shown.splitlines() or [""]:
        yield f"               {line}"
