"""The command `mai cancel`."""

import sys
from typing import Any

import click

from mai.daemon.terminal import as_json, examples, json_option, place_of, printable
from mai.sandbox.errors import EXPIRED, FAILED

WELL = ("undone", "stays")


@click.command(
    epilog=examples("mai cancel 19a2b3c4d5e6f7a8b", 'mai cancel 19a2b3 --reason "asked twice"', "mai cancel 19a2b3 --json")
)
@click.argument("request")
@click.option("--reason", default="", help="Why; it stands in the answer and in the journals.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0, 86400, min_open=True), default=60.0, show_default=True, metavar="SECONDS",
    help="How long to wait until all departments have stopped and undone what they can.",
)  # fmt: skip
@json_option
@click.pass_context
def cancel(context: click.Context, request: str, reason: str, *, timeout_s: float, json_: bool) -> None:
    """Stop a request in all departments and undo what tools can undo. The beginning of its id is enough.

    Who waits for the request is told that it was refused. Exit status 1 if something is left for a person to undo.
    """
    from mai.daemon import ordering

    found = ordering.cancel(place_of(context), request, reason, timeout_s)
    if json_:
        as_json(found)
    else:
        click.echo(printable(render(found)))
    sys.exit(EXPIRED if found["waits_for"] else 0 if all(one["state"] in WELL for one in found["undone"]) else FAILED)


def render(found: dict[str, Any]) -> str:
    """What was stopped and undone, and what a person should do."""
    stopped, lines = len(found["stopped"]), [f"{found['request']} is cancelled"]
    lines[0] += f"; {stopped} open task{'s' * (stopped != 1)} stopped" if stopped else "; nothing was at work for it"
    for one in found["undone"]:
        match one["state"]:
            case "undone":
                said = f"undone by {one['undo']}"
            case "stays":
                said = f"stays as it is: {one['note']}"
            case "failed":
                said = f"NOT undone: {one['undo'] or one['tool']}: {one['note']}"
            case _:
                said = f"IN DOUBT: {one['note']}"
        lines.append(f"  {one['process']}: {one['tool']} ({one['key']}) {said}")
    if found["left_out"]:
        lines.append(f"  and {found['left_out']} more: mai trace {found['request']}")
    if found["waits_for"]:
        names = ", ".join(found["waits_for"])
        lines.append(f"  {names}: no answer yet; it stops and undoes as soon as it can: mai trace {found['request']}")
    return "\n".join(lines)
