"""The commands `mai keys list` and `mai keys rotate`."""

import sys
from typing import Any

import click

from mai.daemon.terminal import as_json, examples, json_option, place_of


@click.group("keys")
def keys() -> None:
    """The keys with which processes prove to a client's Mai who they are."""


@keys.command("list", epilog=examples("mai keys list", "mai keys list acme --json"))
@click.argument("what", required=False, default="")
@json_option
@click.pass_context
def list_(context: click.Context, what: str, json_: bool) -> None:
    """Each process's key (the digest of its public half), its age, and who speaks with it; of a process, a client or all."""
    from mai.daemon.door import Door
    from mai.daemon.key_form import render

    told = Door(place_of(context).door, 30).call({"do": "keys", "name": what})
    if json_:
        as_json(told)
    else:
        click.echo(render(told))


@keys.command(epilog=examples("mai keys rotate acme/support", "mai keys rotate acme", "mai keys rotate"))
@click.argument("what", required=False, default="")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0, 86400, min_open=True), default=120.0, show_default=True, metavar="SECONDS",
    help="How long to wait; the watchdog goes on with it.",
)  # fmt: skip
@json_option
@click.pass_context
def rotate(context: click.Context, what: str, *, timeout_s: float, json_: bool) -> None:
    """Give a process, a client's processes, or all, other keys while they run; no message is lost, and nothing ends.

    Both keys are good until everybody has the new one; then the old one is refused for ever. It goes on over deaths of any
    process, the watchdog's too. Ctrl-C leaves it to the watchdog.
    """
    from mai.daemon.door import Door, fault
    from mai.daemon.key_form import render

    last: dict[str, Any] = {}
    for last in Door(place_of(context).door, timeout_s + 30).ask({"do": "rotate", "name": what, "timeout_s": timeout_s}):
        if "error" in last:
            raise fault(last)
        if "phase" in last and not json_ and sys.stderr.isatty():
            click.echo(f"{last['phase']}: waits for {', '.join(last['waits_for']) or 'nobody'}", err=True)
    if json_:
        as_json(last)
    else:
        click.echo(render(last))
