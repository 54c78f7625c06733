"""The command `mai fallback`."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from mai.daemon.terminal import as_json, examples, json_option, place_of, printable

if TYPE_CHECKING:
    from mai.sandbox.place import Place

SWITCHED: Final = "fallback.switched"
RETURNED: Final = "fallback.returned"


class Story(msgspec.Struct):
    """From the first switch away from somebody until his work was his own again."""

    process: str  # that has it on record
    what: str  # agent, tool, model or contract
    name: str
    to: list[str]  # who stood in, in their order
    evidence: str  # of the last switch
    gives_up: str  # what the answers of who stands in may lack
    since_ms: int
    switches: int = 0
    returned_ms: int | None = None  # null: others still have his work, or nobody has asked since


@click.command(epilog=examples("mai fallback", "mai fallback acme", "mai fallback acme/support --json"))
@click.argument("what", required=False, default="")
@click.option("--open", "only", is_flag=True, help="Only those whose work is not their own again.")
@json_option
@click.pass_context
def fallback(context: click.Context, what: str, *, only: bool, json_: bool) -> None:
    """Who stands in for whom: agents, tools, models and contracts, on what evidence, what is given up, and until when.

    WHAT is a client or a process. Each switch is a receipt in the journal of who made it; this counts them together.
    """
    found = [one for one in stories(place_of(context), what or None) if not only or one.returned_ms is None]
    if json_:
        as_json({"fallbacks": msgspec.to_builtins(found)})
    else:
        click.echo(printable("\n".join(line(one) for one in found) or "nobody stands in for anybody"))


def stories(place: "Place", what: str | None) -> list[Story]:
    """All of them, in the order in which they began. Raises NotFound, LedgerFault."""
    from mai.daemon.reader import chosen

    found = [one for process in chosen(place, what) for one in _of(place, process)]
    return sorted(found, key=lambda one: one.since_ms)


def _of(place: "Place", process: str) -> Iterator[Story]:
    """Those of one journal."""
    from mai.daemon.availability import rows
    from mai.daemon.reader import Reader

    known: dict[tuple[str, str], Story] = {}
    with closing(Reader(place, process)) as reader:
        for seq, at_ns, kind, body in rows(reader, 0, reader.last(), (SWITCHED, RETURNED)):
            told: dict[str, Any] = msgspec.json.decode(reader.body_of(seq, body))
            key, at_ms = (str(told["what"]), str(told["name"])), at_ns // 1_000_000
            if kind == RETURNED:
                if story := known.pop(key, None):
                    story.returned_ms = at_ms
                    yield story
                continue
            story = known.setdefault(key, Story(process, *key, [], "", "", at_ms))
            story.to += [told["to"]] if told["to"] not in story.to else []
            story.evidence, story.gives_up = str(told["evidence"]), str(told["gives_up"])
            story.switches += 1
    yield from known.values()


def line(one: Story) -> str:
    """One of them for people."""
    since = time.strftime("%F %T", time.localtime(one.since_ms / 1000))
    took_s = None if one.returned_ms is None else (one.returned_ms - one.since_ms) / 1000
    until = "not back" if took_s is None else f"back after {took_s:.1f} s"
    times = f"{one.switches} time{'s' * (one.switches != 1)}"
    given = f"\n    given up: {one.gives_up}" if one.gives_up else ""
    return f"{since}  {one.process}  {one.what} {one.name} → {', '.join(one.to)}  {times}, {until}: {one.evidence}{given}"
