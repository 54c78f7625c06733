"""The commands `mai backup` and `mai restore`."""

from pathlib import Path

import click

from mai.daemon.terminal import as_json, count, examples, json_option, place_of, plain


@click.command(epilog=examples("mai backup /srv/backups/2026-11-23", "mai backup --json /srv/backups/tonight | jq .held_ms"))
@click.argument("directory", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def backup(context: click.Context, directory: Path, json_: bool) -> None:
    """Copy all ledgers, as they are at one moment, into a new DIRECTORY, while everything runs.

    With them go the organisation file and the mandates. Not in it: keys (new ones are made after a restore), credentials of
    model providers, and what departments keep in files of their own. `mai --state DIRECTORY verify` examines it.
    """
    from mai.daemon.backup import backup as copy

    made = copy(place_of(context), directory.absolute(), progress=lambda what, done, of: count(f"copying {what}", done, of))
    if json_:
        return as_json(plain(made))
    size = sum(kept.bytes for kept in made.ledgers)
    records = sum(kept.seq for kept in made.ledgers)
    click.echo(
        f"{len(made.ledgers)} ledgers, {records:,} records, {size / 1e6:.1f} MB in {directory}; held for {made.held_ms} ms"
    )


@click.command(
    epilog=examples("mai --state /var/lib/mai restore /srv/backups/tonight", "mai restore --replace /srv/backups/tonight")
)
@click.argument("directory", metavar="BACKUP", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Move a state directory that is there aside, and say which requests only it has.")
@json_option
@click.pass_context
def restore(context: click.Context, directory: Path, *, replace: bool, json_: bool) -> None:
    """Make the state directory from a BACKUP, after each file in it was held against its digest.

    Requests that were accepted after the backup are gone: ask them again, under the same id if their effects have keys. What
    they did outside (effects) is not undone. Credentials have to be put back by hand.
    """
    from mai.daemon.restore import restore as make

    made = make(directory.absolute(), place_of(context), replace=replace)
    if json_:
        return as_json(plain(made))
    click.echo(f"{made.ledgers} ledgers, {made.records:,} records are in {made.state}; start it with: mai up")
    if made.kept:
        click.echo(f"what was there lies in {made.kept}, with its keys and credentials")
    for client, requests in made.gone.items():
        click.echo(f"{client}: {len(requests)} requests came after the backup and are gone: {', '.join(requests[:20])}")
    for client, paper in made.again.items():
        click.echo(f"{client} was erased since ({paper}) and is there again: mai client erase {client}", err=True)
    for client in made.gone_unknown:
        click.echo(f"{client}: its old ledger cannot be read, so nobody knows which requests came after the backup")
