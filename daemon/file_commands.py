"""The commands `mai check` and `mai chart`."""

import sys
from pathlib import Path

import click

from mai.daemon.terminal import as_json, examples, json_option, on_terminal, place_of, plain


@click.command(epilog=examples("mai check etc/company.toml", "mai check --json company.toml"))
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def check(file: Path, json_: bool) -> None:
    """Report every fault of an organisation file at once, with its line.

    Users and groups of [[doors]] that this host does not know are no faults, for the file may be meant for another: they are
    warned of on standard error.
    """
    from mai.agents import check as checking
    from mai.agents import scopes
    from mai.agents.faults import Faulty
    from mai.daemon.client_list import laid_over
    from mai.daemon.roll import warnings

    try:
        organisation, clients = laid_over(place_of(), file, checking.load(file))
    except Faulty as faulty:
        if not json_:
            raise
        as_json({"file": str(file), "faults": [plain(fault) for fault in faulty.faults]})
        sys.exit(faulty.code)
    figures = {
        "clients": len(organisation.clients),
        "departments": len(organisation.departments),
        "agents": 1 + sum(len(department.agents) for department in organisation.departments),
        "contracts": sum(len(department.contracts) for department in organisation.departments),
    }
    warned = warnings(file, organisation.doors, organisation.clients)
    if json_:
        told, reach = [plain(warning) for warning in warned], scopes.told(organisation)
        as_json({"file": str(file), "faults": [], "warnings": told, **figures, **plain(clients), "client_memory": reach})
    else:
        for warning in warned:
            click.echo(str(warning), err=True)
        counts = ", ".join(f"{number} {name}" for name, number in figures.items())
        memory = f"the client's memory: {'; '.join(scopes.told(organisation)) or 'nobody may read or write it'}"
        click.echo("\n".join([f"{file}: no faults; {counts}", *clients.words(), memory]))


@click.command(epilog=examples("mai chart etc/company.toml", "mai chart --format svg company.toml > chart.svg"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--format", "format_", type=click.Choice(["tree", "svg", "mermaid", "json"]), default="tree", show_default=True, help="How."
)
def chart(file: Path, format_: str) -> None:
    """Draw an organisation, with the number of its paths beside a mesh's."""
    from mai.agents import chart as charting
    from mai.agents import check as checking
    from mai.daemon.client_list import laid_over

    organisation, clients = laid_over(place_of(), file, checking.load(file))
    click.echo(charting.draw(organisation, format_, colour=on_terminal()))
    if format_ == "tree":
        click.echo("".join(f"{line}\n" for line in clients.words()), nl=False)
