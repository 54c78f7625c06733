"""The command `mai doctor`."""

import sys

import click

from mai.daemon.terminal import as_json, examples, json_option, on_terminal, place_of, printable


@click.command(epilog=examples("mai doctor", "sudo mai --state /var/lib/mai doctor", "mai doctor --json | jq '.processes'"))
@json_option
@click.pass_context
def doctor(context: click.Context, json_: bool) -> None:
    """Say for this host and each process whether its walls are whole, what is missing, why, and what to do.

    It tries each layer in a child, as the user to whom the state directory belongs, and changes nothing. Exit status 1 if
    anything is missing. A daemon need not run.
    """
    from mai.daemon import doctor as doctoring

    found = doctoring.examine(place_of(context))
    if json_:
        as_json(doctoring.told(found))
    else:
        text = doctoring.render(found, colour=on_terminal())
        click.echo(text if on_terminal() else printable(text))
    sys.exit(0 if found.well else 1)
