"""The command `mai bench`."""

import click

from mai.daemon.terminal import examples, json_option


@click.command(epilog=examples("mai bench", "mai bench --json", "mai bench messages", "mai bench routing"))
@click.argument("what", required=False, metavar="[FILE|messages|routing]", default="")
@json_option
def bench(what: str, json_: bool) -> None:
    """Measure start, requests, idle and memory of the reference organisation, beside a bare pyzmq relay.

    Or one part: `messages` counts round trips between two departments, everything durable, beside the relay; `routing` which
    requests find their department.
    """
    from mai.daemon.showing import measured

    measured(what, json_)
