"""The command `mai rebuild`."""

import click

from mai.daemon.terminal import as_json, count, examples, json_option, place_of, process_argument


@click.command(epilog=examples("mai stop acme/sales", "mai rebuild acme/sales", "mai start acme/sales"))
@process_argument
@json_option
def rebuild(process: str, json_: bool) -> None:
    """Make the state of a stopped process anew from its journal, if it was lost or `mai verify --state` finds it wrong."""
    from mai.daemon import rebuild as rebuilding

    rebuilt = rebuilding.rebuild(place_of(), process, count)
    if json_:
        as_json(rebuilt._asdict())
    else:
        click.echo(rebuilding.render(rebuilt))
