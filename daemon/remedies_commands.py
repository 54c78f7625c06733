"""The command `mai remedies`."""

import time
from typing import Any

import click

from mai.daemon.terminal import as_json, examples, json_option, place_of, printable


@click.command(
    epilog=examples("mai remedies", "mai remedies acme", "mai remedies --json | jq '.remedies[] | select(.state == \"undone\")'")
)
@click.argument("client", required=False, default="")
@json_option
@click.pass_context
def remedies(context: click.Context, client: str, json_: bool) -> None:
    """What agents of the operations department had done about incidents: by whom, why, and what came of it.

    done: its figure is still watched. kept: it did no harm. undone: it made things worse and was taken back. refused: out of
    scope, or too often. The last 500 are remembered; all of them are in the watchdog's journal (mai tail watchdog).
    """
    from mai.daemon.door import Door

    found = Door(place_of(context).door, 30).call({"do": "remedies", "client": client})["remedies"]
    if json_:
        as_json({"remedies": found})
    else:
        click.echo(printable("\n".join(line(one) for one in found) or "no remedy was asked for"))


def line(one: dict[str, Any]) -> str:
    """One remedy for people."""
    at = time.strftime("%F %T", time.localtime(one["at_ms"] / 1000))
    return f"{at}  {one['process']}  {one['remedy']} {one['state']}: {one['text']}\n    {one['by']}: {one['why']}"
