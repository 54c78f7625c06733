"""The commands `mai memory list|show|search`."""

import click

from mai.daemon.terminal import as_json, examples, json_option, place_of, printable

WHAT = "CLIENT[/DEPARTMENT[/AGENT]]"


@click.group(
    epilog=examples("mai memory list acme/support/desk", "mai memory show acme customer.311", 'mai memory search acme "late"')
)
def memory() -> None:
    """What agents, departments and clients have in memory: the agent's, the department's, or the client's at her Mai."""


@memory.command("list", epilog=examples("mai memory list acme", "mai memory list acme/support/desk customer. --json"))
@click.argument("what", metavar=WHAT)
@click.argument("prefix", default="")
@json_option
@click.pass_context
def list_(context: click.Context, what: str, prefix: str, json_: bool) -> None:
    """Show the keys of a memory, or those that begin with PREFIX, with their newest values; at most a thousand."""
    from mai.daemon import remembered

    found = remembered.entries(place_of(context), what, prefix)
    if json_:
        as_json({"memories": found})
    else:
        click.echo(printable(remembered.table(found)))


@memory.command(epilog=examples("mai memory show acme/support/desk asked", "mai memory show acme customer.311 --json"))
@click.argument("what", metavar=WHAT)
@click.argument("key")
@json_option
@click.pass_context
def show(context: click.Context, what: str, key: str, json_: bool) -> None:
    """Show the versions of one key that are kept, newest first: when they were written, by whom, in which task."""
    from mai.daemon import remembered

    found = remembered.story(place_of(context), what, key)
    if json_:
        as_json(found)
    else:
        click.echo(printable(remembered.shown(found)))


@memory.command(epilog=examples("mai memory search acme late payment", "mai memory search acme/support '\"credit note\"' --json"))
@click.argument("what", metavar=WHAT)
@click.argument("text", nargs=-1, required=True)
@json_option
@click.pass_context
def search(context: click.Context, what: str, text: tuple[str, ...], json_: bool) -> None:
    """Search the newest values of a memory for any of some words, or a "phrase" in quotes; best first."""
    from mai.daemon import remembered

    found = remembered.found(place_of(context), what, " ".join(text))
    if json_:
        as_json({"memories": found})
    else:
        click.echo(printable(remembered.table(found)))
