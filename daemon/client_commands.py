"""The commands `mai client add|remove|list|export|erase|certificate`."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mai.daemon.door import Door
from mai.daemon.reload_commands import carried_out
from mai.daemon.terminal import as_json, complete_client, count, examples, json_option, place_of, plain, printable
from mai.sandbox.errors import LedgerFault, MaiError, NotRunning, Refused, UsageFault

if TYPE_CHECKING:
    from mai.sandbox.place import Place

ERASE_S = 86400.0  # who waits for the end of an erasure; it goes on without him

timeout_option = click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0, 86400, min_open=True), default=60.0, show_default=True, metavar="SECONDS",
    help="How long it may take to finish what it has; what is open then goes on if the client is added again.",
)  # fmt: skip


@click.group(epilog=examples("mai client list", "mai client add beta", "mai client remove beta"))
def client() -> None:
    """The clients that the organisation works for: add and remove them while the others run.

    A client that is added here stands beside the organisation file, which is never written, and runs after every start.
    """


@client.command(epilog=examples("mai client add beta", "mai client add beta --json"))
@click.argument("name")
@json_option
@click.pass_context
def add(context: click.Context, name: str, json_: bool) -> None:
    """Run the organisation for one more client, and wait until all of its processes are ready.

    One that was removed has all that it had. If a process does not become ready the client is taken back. Ctrl-C leaves
    it to the watchdog.
    """
    last = carried_out(place_of(context), {"do": "client_add", "name": name, "timeout_s": 0.0}, quiet=json_)
    if json_:
        as_json(last)
    elif last["state"] == "done":
        click.echo(f"{name} is ready")
    if last["state"] == "undone":
        raise MaiError(f"{name} was taken back: {last['why']}", f"look at: mai logs {name}/mai, mai incidents {name}")


@client.command(epilog=examples("mai client remove beta", "mai client remove beta --timeout 300"))
@click.argument("name", shell_complete=complete_client)
@timeout_option
@json_option
@click.pass_context
def remove(context: click.Context, name: str, *, timeout_s: float, json_: bool) -> None:
    """End a client: no new requests, what is under way is finished, then its processes are stopped. Its data stays.

    mai client add brings it back with all that it had; mai client erase destroys it. Ctrl-C leaves it to the watchdog.
    """
    _removed(place_of(context), name, timeout_s, json_=json_)


def _removed(place: "Place", name: str, timeout_s: float, *, json_: bool) -> None:
    """Have it removed, and say what came of it. Raises MaiError."""
    last = carried_out(place, {"do": "client_remove", "name": name, "timeout_s": timeout_s}, quiet=json_)
    if json_:
        as_json(last)
    elif last["state"] == "done":
        click.echo("\n".join([f"{name} is removed; its data stays", *_left(name, last["open"])]))
    if last["state"] == "undone":
        raise MaiError(f"{name} runs again: {last['why']}", "look at: mai client list")


def _left(name: str, left: dict[str, int]) -> list[str]:
    """What was open at the end."""
    count = left.get(f"{name}/mai", 0)
    return [f"{count} of its requests were not finished; they go on if it is added again before their deadlines"] if count else []


@client.command(epilog=examples("mai client export beta /srv/beta", "mai client export beta /srv/beta.tar.gz --json"))
@click.argument("name", shell_complete=complete_client)
@click.argument("target", metavar="DIRECTORY|FILE.tar[.gz]", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def export(context: click.Context, name: str, target: Path, *, json_: bool) -> None:
    """Copy all that one client has, as it is at one moment: while it runs, or after it was removed.

    Its ledgers, mandates and files, with a manifest of digests and what mai verify --deep says of the copy; no keys.
    mai --state DIRECTORY verify and trace read it; mai restore makes a state directory of it, in which the client goes on.
    """
    from mai.daemon.exporting import export as copy

    place = place_of(context)
    with contextlib.suppress(NotRunning):  # then nobody is there to put it on record
        Door(place.door, 30).call({"do": "client_export", "name": name})
    made = copy(place, name, target.absolute(), progress=count)
    if json_:
        as_json(plain(made))
    else:
        size = sum(one.bytes for one in (*made.ledgers, *made.files))
        what = f"{len(made.ledgers)} ledgers, {len(made.files)} files, {size / 1e6:.1f} MB"
        click.echo(f"{what} in {target}, {'sound' if made.verdict.sound else 'not sound'}; held for {made.held_ms} ms")
        for one in made.left_out:
            click.echo(f"left out: {one}", err=True)
    if not made.verdict.sound:
        raise LedgerFault(f"the copy is not sound: {made.verdict.findings[0]}", "look at: mai verify --deep")


@client.command(epilog=examples("mai client erase beta", "mai client erase beta --yes --json"))
@click.argument("name", shell_complete=complete_client)
@click.option("--yes", is_flag=True, help="Do not ask; and remove the client first, if it still runs.")
@timeout_option
@json_option
@click.pass_context
def erase(context: click.Context, name: str, *, yes: bool, timeout_s: float, json_: bool) -> None:
    """Destroy all that a removed client has, and leave a signed certificate of it. There is no way back.

    Ledgers, files, keys, logs and files of deaths are overwritten and unlinked. Backups and exports are not touched. The death of
    the daemon on the way changes nothing: it goes on. The name can be given again, and begins with nothing.
    """
    place = place_of(context)
    if not yes:
        _confirmed(name)
    elif name in {one["name"] for one in Door(place.door, 30).call({"do": "clients"})["clients"]}:
        carried_out(place, {"do": "client_remove", "name": name, "timeout_s": timeout_s}, quiet=json_)
    last = carried_out(place, {"do": "client_erase", "name": name, "timeout_s": ERASE_S}, quiet=json_)
    if json_:
        return as_json(last)
    return click.echo(f"{name} is erased; certificate: {place.state / last['certificate']}")


def _confirmed(name: str) -> None:
    """A person has typed the name. Raises UsageFault, Refused."""
    if not sys.stdin.isatty():
        raise UsageFault("to erase a client is not asked for in a pipe", f"say --yes: mai client erase {name} --yes")
    click.echo(f"All that {name} has here will be destroyed. There is no way back.", err=True)
    if click.prompt("Type the client's name", default="", show_default=False, err=True) != name:
        raise Refused("that is another name: nothing was done")


@client.command(epilog=examples("mai client certificate beta.json", "mai client certificate beta.json --key 5f0c…"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--key", default="", metavar="HEX", help="The public key that has to have signed it; by default this installation's."
)
@json_option
@click.pass_context
def certificate(context: click.Context, file: Path, key: str, *, json_: bool) -> None:
    """Check the certificate of an erasure, of a client or a person's values: whether it is as it was signed, and by which key.

    Exit status 1 if not.
    """
    from mai.daemon import certificate as papers
    from mai.daemon import person_paper

    due = key or papers.public_key(place_of(context))
    if file.exists() and (paper := person_paper.read(file)):
        trusted = person_paper.check(paper, file, due)
        if json_:
            return as_json({"sound": True, "trusted": trusted, **plain(paper)})
        return click.echo(printable(person_paper.render(paper)))
    found = papers.check(file, due)
    if json_:
        return as_json({"sound": True, "trusted": found.trusted, **plain(found.certificate)})
    return click.echo(printable(papers.render(found)))


@client.command("list", epilog=examples("mai client list", "mai client list --json"))
@json_option
@click.pass_context
def list_(context: click.Context, json_: bool) -> None:
    """Show the clients: where each stands, how its processes are, how much it has; and those that were removed."""
    from mai.daemon import client_list

    found = client_list.look(place_of(context))
    if json_:
        as_json(found)
    else:
        click.echo(client_list.render(found))
        for remark in found["remarks"]:
            click.echo(f"note: {remark}", err=True)
