"""The command `mai status`."""

import shutil
import time
from typing import Any

import click

from mai.daemon.terminal import as_json, complete_process, examples, json_option, on_terminal, place_of, printable
from mai.sandbox.errors import UsageFault


@click.command(
    epilog=examples("mai status", "mai status acme/support", "mai status --json | jq '.processes[].name'", "mai status --schema")
)
@click.argument("what", required=False, default="", shell_complete=complete_process)
@json_option
@click.option("--schema", "schema_", is_flag=True, help="Show what --json shows, as a JSON schema.")
@click.pass_context
def status(context: click.Context, what: str, *, json_: bool, schema_: bool) -> None:
    """Show every process: state, pid, uptime, restarts, memory, queue, last progress.

    WHAT is a client, or a process, whose last ten incidents are then shown, too.
    """
    from mai.daemon.door import Door
    from mai.daemon.status import render

    if schema_:
        from mai.daemon.status_form import schema

        return as_json(schema())
    found = Door(place_of(context).door, 10).call({"do": "status"})
    found["processes"] = chosen(found["processes"], what)
    if json_:
        return as_json(found)
    width = shutil.get_terminal_size().columns if on_terminal() else 0
    click.echo(render(found, colour=on_terminal(), width=width))
    own = [one for process in found["processes"] if process["name"] == what for one in process["incidents"]]
    if own:
        click.echo("\n" + printable("\n".join(map(line, own))))
    return None


def chosen(processes: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    """All processes, those of a client, or the one of this name. Raises UsageFault if there is none."""
    found = [one for one in processes if not what or what in (one["name"], one["name"].partition("/")[0])]
    if not found:
        names = ", ".join(one["name"] for one in processes)
        raise UsageFault(f"there is no client or process {what[:80]!r}", f"there are: {names}")
    return found


def line(incident: dict[str, Any]) -> str:
    """One incident for people; `mai incidents` shows it whole."""
    at = time.strftime("%F %T", time.localtime(incident["at_ms"] / 1000))
    return f"{at}  {incident['what']:<8}  {incident['text']}"
