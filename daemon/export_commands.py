"""The command `mai export`."""

import sys
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from mai.daemon.levels import INFO, LEVELS
from mai.daemon.terminal import complete_process, count, examples, place_of
from mai.sandbox.errors import UsageFault

if TYPE_CHECKING:
    from mai.daemon.tail import Tail
    from mai.sandbox.place import Place

EVERY = 5000  # lines between two words about how far it is


@click.command(
    epilog=examples(
        "mai export acme > acme.jsonl",
        "mai export acme/support --jsonl --output support.jsonl --kind step,effect",
        "mai export --schema schemas",
        "mai export acme --datasette site && datasette site",
    )
)
@click.argument("what", required=False, metavar="[PROCESS|CLIENT]", shell_complete=complete_process)
@click.option("--jsonl", is_flag=True, help="Write records as JSON lines: so it is if nothing else is said.")
@click.option(
    "--schema", metavar="DIRECTORY", type=click.Path(path_type=Path), help="Write a JSON schema for each kind of record there."
)
@click.option(
    "--datasette", metavar="DIRECTORY", type=click.Path(path_type=Path), help="Write copies of ledgers for Datasette there."
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A new file for the lines, instead of standard output.",
)
@click.option("--kind", default="", help="Only records whose kind begins so: `hop`, `message.refused`; several with commas.")
@click.option("--request", default="", help="Only records of this request.")
@click.option("--agent", default="", help="Only records of this agent: `planner`, `sales/analyst`.")
@click.option(
    "--level", type=click.Choice(LEVELS), default=INFO, show_default=True, help="Only records that matter as much, or more."
)
@click.pass_context
def export(
    context: click.Context,
    *,
    what: str | None,
    jsonl: bool,
    schema: Path | None,
    datasette: Path | None,
    output: Path | None,
    kind: str,
    request: str,
    agent: str,
    level: str,
) -> None:
    """Write the records of journals as JSON lines, of one process, one client or all, in order of time.

    A line is as `mai tail --json` shows it, and as the schema of its kind says. With --schema or --datasette these are written
    instead. To copy all that a client has, for restoring and verifying, there is mai client export.
    """
    if (jsonl or output is not None) + (schema is not None) + (datasette is not None) > 1:
        raise UsageFault("--jsonl, --schema and --datasette are three exports", "say one of them")
    if schema is not None:
        return _schemas(schema)
    if datasette is not None:
        return _site(place_of(context), what, datasette)
    from mai.daemon.tail import Tail
    from mai.daemon.wanted import Wanted

    with closing(Tail(place_of(context), what, Wanted(kind, request, agent, level=level), places={})) as tail:
        if output is None:
            return _records(tail, sys.stdout.buffer)
        try:
            with output.open("xb") as file:
                return _records(tail, file)
        except FileExistsError as error:
            raise UsageFault(f"{output} exists", "name a file that does not") from error


def _records(tail: "Tail", file: IO[bytes]) -> None:
    from mai.daemon.tail_form import json_line

    done, total = 0, tail.last
    for done, line in enumerate(tail.rest(), 1):
        file.write(json_line(line).encode() + b"\n")
        if done % EVERY == 0:
            count("records", min(done, total - 1), total)
    file.flush()
    count("records", done, done)


def _schemas(directory: Path) -> None:
    import msgspec

    from mai.daemon.schemas import files

    directory.mkdir(parents=True, exist_ok=True)
    found = files()
    for name, schema in found.items():
        (directory / name).write_bytes(msgspec.json.format(msgspec.json.encode(schema), indent=1) + b"\n")
    click.echo(f"{len(found)} schemas in {directory}")


def _site(place: "Place", what: str | None, directory: Path) -> None:
    from mai.daemon.reader import chosen
    from mai.daemon.site import build

    ledgers = build(place, chosen(place, what), directory.absolute(), progress=count)
    click.echo(f"{len(ledgers)} ledgers in {directory}; look at them with: datasette {directory}")
