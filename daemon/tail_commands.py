"""The command `mai tail`."""

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mai.daemon.levels import INFO, LEVELS
from mai.daemon.terminal import complete_process, examples, follow_option, json_option, lines_option, on_terminal, place_of

if TYPE_CHECKING:
    from mai.daemon.cursors import Reached
    from mai.daemon.tail import Tail
    from mai.daemon.tail_form import Line

ENDS = (signal.SIGINT, signal.SIGTERM)


@click.command(
    epilog=examples(
        "mai tail",
        "mai tail -f acme/finance",
        "mai tail -f --level warning",
        "mai tail -f acme --department finance --kind effect,approval",
        "mai tail --request 19a2b3c4d5e6f7a8b --json | jq .kind",
        "mai tail -f --json --cursor shipped.json >> journal.jsonl",
    )
)
@click.argument("what", required=False, metavar="[PROCESS|CLIENT]", shell_complete=complete_process)
@follow_option
@lines_option
@click.option("--client", default="", help="Only records of this client's processes.")
@click.option("--department", default="", help="Only records of this department, of whatever client.")
@click.option("--agent", default="", help="Only records of this agent: `planner`, `sales/analyst`.")
@click.option("--kind", default="", help="Only records whose kind begins so: `hop`, `message.refused`; several with commas.")
@click.option("--request", default="", help="Only records of this request.")
@click.option(
    "--level", type=click.Choice(LEVELS), default=INFO, show_default=True, help="Only records that matter as much, or more."
)
@click.option(
    "--cursor",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Begin where the last tail with this file ended; without such a file at the beginning of the journals.",
)
@json_option
@click.pass_context
def tail(
    context: click.Context,
    *,
    what: str | None,
    follow: bool,
    lines: int,
    client: str,
    department: str,
    agent: str,
    kind: str,
    request: str,
    level: str,
    cursor: Path | None,
    json_: bool,
) -> None:
    """Show the journals' last records, of one process, one client or all, in order of time.

    All conditions have to hold. Followed, each record comes once, whoever restarts, is killed or rotated meanwhile. SCHEMA.md has
    the level of each kind of record.
    """
    from mai.daemon.output import stream
    from mai.daemon.tail import Tail
    from mai.daemon.tail_form import json_line
    from mai.daemon.tail_form import text as in_words
    from mai.daemon.wanted import Wanted

    colour, wanted = on_terminal(), Wanted(kind, request, agent, client, department, level)
    place = place_of(context)
    if cursor:
        shown = _kept(Tail(place, what, wanted, places=_places(cursor), keep=partial(_keep, cursor)), cursor, follow=follow)
    else:
        shown = Tail(place, what, wanted).lines(lines, follow=follow)
    stream(json_line(line) if json_ else in_words(line, colour=colour) for line in shown)


def _places(cursor: Path) -> dict[str, "Reached"]:
    """How far the last one came. Raises UsageFault."""
    import msgspec

    from mai.daemon import cursors
    from mai.sandbox.errors import UsageFault

    try:
        return cursors.decode(cursor.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageFault(f"{cursor} is no cursor: {error}", "name another file; it is made if there is none") from error


def _keep(cursor: Path, places: dict[str, "Reached"]) -> None:
    """Replace the file. No fsync: after a power cut some lines come again."""
    from mai.daemon import cursors

    part = cursor.with_name(f"{cursor.name}.part")
    part.write_bytes(cursors.encode(places))
    part.replace(cursor)


def _kept(tail: "Tail", cursor: Path, *, follow: bool) -> Iterator["Line"]:
    """What comes behind the cursor, which is kept as far as it was shown, also at Ctrl-C and SIGTERM; a second one ends it."""

    for number in ENDS:
        signal.signal(number, lambda *_: tail.stop())
    try:
        yield from tail.follow() if follow else tail.rest()
    finally:
        for number in ENDS:
            signal.signal(number, signal.SIG_IGN)  # what was shown is kept, whoever is impatient
        _keep(cursor, tail.places)
