"""What `mai up`, `mai ask` and `mai bench` show while they wait."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from mai.daemon.door import fault
from mai.daemon.terminal import as_json, on_terminal, printable
from mai.daemon.up import Start
from mai.sandbox.errors import FAILED, MaiError

# of the bench, those that have a file of their own
PARTS = ("clients", "flood", "messages", "recovery", "restart", "routing", "talk", "verify", "walls")


def stay(start: Start, *, detach: bool) -> None:
    """Show a daemon's start, and stay until it has ended; with `detach` until it is ready. Raises MaiError, SystemExit."""
    try:
        last = progress(start.progress())
    except MaiError:
        start.stop()
        raise
    for name, why in last.get("failed", {}).items():
        click.echo(f"{name} failed: {why}", err=True)
    for warning in start.warned:
        click.echo(warning, err=True)
    if not start.asked:
        click.echo(f"{last['ready']} of {last['total']} processes are ready; state in {start.place.state}")
    if not detach or start.asked:
        start.wait()
    elif last.get("failed"):
        sys.exit(FAILED)


def progress(replies: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Show what gets ready; the last reply. Raises the fault that one tells of."""
    last: dict[str, Any] = {"ready": 0, "total": 0}
    for reply in replies:
        if "error" in reply:
            raise fault(reply)
        last = reply
        for name, state in reply.get("changed", {}).items():
            if state in ("ready", "failed") and on_terminal():
                click.echo(f"  {name} {state}  ({reply['ready']} of {reply['total']})")
    return last


def hop(told: dict[str, Any]) -> None:
    """Show a hop."""
    click.secho(f"  {printable(told['sender'])} → {printable(told['receiver'])}  {printable(told['note'])[:60]}", dim=True)


def notice(text: str) -> None:
    """Show that it takes longer."""
    click.secho(f"  {printable(text)}", dim=True)


def answer(given: dict[str, Any], json_: bool) -> None:
    """Show an answer."""
    if json_:
        as_json(given)
        return
    if on_terminal() and given.get("note"):
        click.echo(printable(given["note"]))
    click.echo(printable(given["answer"]))
    if on_terminal():
        click.secho(f"{given['state']} in {given['elapsed_ms']} ms · mai trace {given['request']}", dim=True)


def measured(what: str, json_: bool, **how: int) -> None:
    """Measure an organisation (a file, "" for the reference one), or one of PARTS, and show the figures as they come."""
    from importlib import import_module

    from mai.daemon.example import company

    benching = import_module(f"mai.daemon.bench_{what}" if what in PARTS else "mai.daemon.bench")

    def measuring(what: str) -> None:
        if sys.stderr.isatty():
            click.secho(f"measuring {what} …", dim=True, err=True)

    figures = []
    for figure in benching.run(company() if what in ("", *PARTS) else Path(what), measuring, **how):
        figures.append(figure._asdict())
        if not json_:
            click.echo(benching.render(figure))
    if json_:
        as_json(figures)
