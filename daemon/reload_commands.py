"""The command `mai reload`."""

import sys
from typing import TYPE_CHECKING, Any

import click

from mai.daemon.holding_commands import timeout_option
from mai.daemon.terminal import as_json, count, examples, json_option, place_of
from mai.sandbox.errors import MaiError

if TYPE_CHECKING:
    from mai.sandbox.place import Place

SHOWN = 40  # changes, without --json


@click.command(epilog=examples("mai reload --dry-run", "mai reload", "mai reload --timeout 300"))
@click.option("--dry-run", "dry", is_flag=True, help="Only check the file, and show what would change.")
@timeout_option
@json_option
@click.pass_context
def reload(context: click.Context, *, dry: bool, timeout_s: float, json_: bool) -> None:
    """Run the organisation as its file says now; processes that it does not touch run on.

    The file of the start is read again and checked. Departments that change or go finish what they have while Mai holds what is
    new for them; then they are started under the new organisation, with no request lost. If one of them does not become ready
    the former organisation is put back. Code is no part of the file: mai restart --rolling. Ctrl-C leaves it to the watchdog.
    """
    last = _asked(place_of(context), dry, timeout_s, quiet=json_)
    if json_:
        as_json(last)
    else:
        click.echo("\n".join(_words(last)))
        for remark in last["remarks"]:
            click.echo(f"note: {remark}", err=True)
    if last["state"] == "undone":
        raise MaiError(f"the former organisation runs again: {last['why']}", "look at: mai logs, mai status")


def _asked(place: "Place", dry: bool, timeout_s: float, *, quiet: bool) -> dict[str, Any]:
    """The watchdog's last reply; on the way it is shown where it stands. Raises MaiError."""
    return carried_out(place, {"do": "reload", "dry": dry, "timeout_s": timeout_s}, quiet=quiet)


def carried_out(place: "Place", order: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """The last reply to an order that changes the organisation; on a terminal it is shown where it stands. Raises MaiError."""
    from mai.daemon.door import Door, fault

    last: dict[str, Any] = {}
    for last in Door(place.door, order["timeout_s"] + 200).ask(order):
        if "error" in last:
            raise fault(last)
        if "of_bytes" in last and not quiet:
            count(last["phase"], last["done_bytes"], last["of_bytes"])
        elif "phase" in last and not quiet and sys.stderr.isatty():
            waits = ", ".join(f"{name} ({what})" for name, what in last["waits_for"].items())
            click.echo(f"{last['phase']}{': ' * bool(waits)}{waits}", err=True)
    return last


def whence(client: tuple[str, str]) -> str:
    """A client's name, and where it stands."""
    name, origin = client
    return f"{name} ({'file' if origin == 'file' else 'added at run time'})"


def _words(last: dict[str, Any]) -> list[str]:
    """What differs, what it touches, and what came of it."""
    found = last["difference"]
    changes = found["changes"]
    lines = [*changes[:SHOWN], *([f"  … and {len(changes) - SHOWN} more; all with --json"] if len(changes) > SHOWN else [])]
    again = [f"{name} (drained)" if name in found["drained"] else name for name in found["changed"]]
    for what, names in (("new", found["added"]), ("gone", found["removed"]), ("started again", again)):
        if names:
            lines.append(f"{what}: {', '.join(names)}")
    if not changes:
        lines.append("nothing differs")
    if "added" in last["clients"].values():
        lines.append(f"clients: {', '.join(map(whence, last['clients'].items()))}")
    end = {"looked": "nothing was done", "done": f"runs as {found['after']}, before {found['before']}"}
    return [*lines, *([end[last["state"]]] if last["state"] in end else [])]
