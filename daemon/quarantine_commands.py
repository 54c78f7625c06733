"""The commands `mai quarantine list|show|retry|drop`."""

import click

from mai.daemon.terminal import as_json, complete_process, examples, json_option, place_of, printable

WAIT_S = 60.0  # for the department to answer


@click.group(epilog=examples("mai quarantine list", "mai quarantine show 19a2b3c4d5e6f7a8b/1.1.1", "mai quarantine retry 19a2b3"))
def quarantine() -> None:
    """Tasks that killed their process three times: what they died of, and what becomes of them."""


@quarantine.command("list", epilog=examples("mai quarantine list", "mai quarantine list acme --json"))
@click.argument("what", required=False, metavar="[PROCESS|CLIENT]", shell_complete=complete_process)
@json_option
@click.pass_context
def list_(context: click.Context, what: str | None, json_: bool) -> None:
    """Show what is in quarantine, with the cause of the last death."""
    from mai.daemon import quarantined

    found = quarantined.entries(place_of(context), what)
    if json_:
        as_json({"tasks": found})
    else:
        click.echo(printable(quarantined.table(found)))


@quarantine.command(epilog=examples("mai quarantine show 19a2b3c4d5e6f7a8b/1.1.1", "mai quarantine show 19a2b3 --json"))
@click.argument("task")
@json_option
@click.pass_context
def show(context: click.Context, task: str, json_: bool) -> None:
    """Show a task that is or was in quarantine: its steps, the tracebacks, and what a retry gave."""
    from mai.daemon import quarantined

    found = quarantined.story(place_of(context), task)
    if json_:
        as_json(found)
    else:
        click.echo(printable(quarantined.shown(found)))


@quarantine.command(epilog=examples("mai quarantine retry 19a2b3c4d5e6f7a8b/1.1.1"))
@click.argument("task")
@click.pass_context
def retry(context: click.Context, task: str) -> None:
    """Run a task again over its recorded steps, with a new deadline. Its asker has had a refusal: `show` has the result."""
    _release(context, task, "retry", "runs again; what comes of it: mai quarantine show")


@quarantine.command(epilog=examples("mai quarantine drop 19a2b3c4d5e6f7a8b/1.1.1"))
@click.argument("task")
@click.pass_context
def drop(context: click.Context, task: str) -> None:
    """Remove a task from the quarantine for good; the journals keep what is known of it."""
    _release(context, task, "drop", "is dropped; the journals have it: mai quarantine show")


def _release(context: click.Context, task: str, how: str, said: str) -> None:
    from mai.daemon import ordering

    released = ordering.release(place_of(context), task, how, WAIT_S)
    click.echo(printable(f"{released['task']} of {released['process']} {said} {released['task']}"))
