"""The command `mai owed`."""

import time
from typing import TYPE_CHECKING

import click
import msgspec

from mai.daemon.terminal import complete_client, examples, json_option, on_terminal, place_of, printable

if TYPE_CHECKING:
    from mai.daemon.owed import Owed

MOST = 200  # lines in words; --json has all


@click.command(
    epilog=examples("mai owed", "mai owed acme --late", "mai owed acme --json | jq '.[] | select(.owner == \"person\")'")
)
@click.argument("client", required=False, shell_complete=complete_client)
@click.option("--late", "only", is_flag=True, help="Only what should have been done by now.")
@json_option
@click.pass_context
def owed(context: click.Context, client: str | None, *, only: bool, json_: bool) -> None:
    """Show who owes whom what, by when: requests, tasks, approvals, escalations … in order of their deadlines.

    It is read from the ledgers, so that it says the same while a process is away.
    """
    from mai.daemon import owed as owing

    at_ms = time.time_ns() // 1_000_000
    found = owing.owed(place_of(context), client)
    found = owing.late(found, at_ms) if only else found
    if json_:
        rows = [{**msgspec.structs.asdict(one), "late": one.due_ms <= at_ms} for one in found]
        click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2))  # ten thousand of them, at once
        return
    for one in found[:MOST]:
        click.echo(printable(line(one, at_ms, colour=on_terminal())))
    if len(found) > MOST:
        click.echo(f"… and {len(found) - MOST} more: --json has all")
    if not found:
        click.echo("nothing is late" if only else "nobody owes anybody anything")


def line(one: "Owed", at_ms: int, *, colour: bool) -> str:
    """One thing that is open, on one line."""
    from mai.daemon.owed import text_of

    left_s = (one.due_ms - at_ms) / 1000
    when = f"{left_s:.0f} s left" if left_s > 0 else f"{-left_s:.0f} s LATE"
    when = click.style(when, fg="red") if colour and left_s <= 0 else when
    return f"{when:>12}  {one.owner} → {one.to}  {one.kind} {one.id}: {text_of(one)}"
