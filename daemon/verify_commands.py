"""The command `mai verify`."""

import sys
from pathlib import Path

import click

from mai.daemon.terminal import as_json, complete_process, count, examples, json_option, on_terminal, place_of
from mai.sandbox.errors import FAILED


@click.command(epilog=examples("mai verify", "mai verify --state acme/finance", "mai verify --deep", "mai verify --against FILE"))
@click.argument("processes", nargs=-1, metavar="[PROCESS]...", shell_complete=complete_process)
@click.option("--state", "how", flag_value="state", help="Fold each journal anew, and compare with the stored state.")
@click.option("--deep", "how", flag_value="deep", help="All that, and: nothing lost, nothing twice, each thing ended once.")
@click.option("--rest", "how", flag_value="rest", help="All that, and: nothing is open or on its way.")
@click.option(
    "--against",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Hold them also against a checkpoint that was kept elsewhere (`mai checkpoint export`).",
)
@json_option
@click.pass_context
def verify(context: click.Context, processes: tuple[str, ...], how: str | None, against: Path | None, json_: bool) -> None:
    """Check the journals: chains, blobs, links, and what the processes saw of each other's.

    With --deep also what the records mean: each message sent and received once, one verdict on each, each task, step and effect
    with one outcome, each request with one answer. PROCESS may be a client. Exit status 1 if anything is found.
    """
    from mai.daemon import checkpoint, deep
    from mai.daemon import verify as plainly

    place, colour = place_of(context), on_terminal()
    kept = checkpoint.read(against) if against else None
    report: plainly.Report
    if how in ("deep", "rest"):
        report = found = deep.check(place, processes, at_rest=how == "rest", against=kept, progress=count)
        text = deep.render(found, colour=colour)
    else:
        report = plainly.verify(place, processes, state=how == "state", against=kept, progress=count)
        text = plainly.render(report, colour=colour)
    if json_:
        as_json(plainly.fields(report))
    else:
        click.echo(text)
    sys.exit(0 if report.sound else FAILED)
