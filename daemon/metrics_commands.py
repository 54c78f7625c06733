"""The command `mai metrics`."""

import click

from mai.daemon.terminal import as_json, examples, json_option, place_of


@click.command(epilog=examples("mai metrics", "mai metrics --json | jq '.metrics[] | select(.name == \"mai_requests_total\")'"))
@json_option
@click.pass_context
def metrics(context: click.Context, json_: bool) -> None:
    """Figures as Prometheus reads them, counted from the journals: requests, tasks, incidents, models, processes.

    The organisation file's [metrics] has the daemon offer the same by HTTP: listen = "socket" on RUN/metrics.sock, or
    "127.0.0.1:9464". Without the daemon the figures of its processes are left out.
    """
    from mai.daemon.meter import Meter

    found = Meter(place_of(context)).all()
    if json_:
        as_json({"metrics": found.plain()})
    else:
        click.echo(found.text(), nl=False)
