"""The command `mai checkpoint`."""

import os
from pathlib import Path

import click

from mai.daemon.terminal import as_json, examples, json_option, place_of, plain
from mai.sandbox.errors import UsageFault


@click.group()
def checkpoint() -> None:
    """Where all journals end, signed: to keep elsewhere, and to verify against."""


@checkpoint.command(
    epilog=examples(
        "mai checkpoint export /media/usb/$(date +%F).checkpoint", "mai checkpoint export | ssh elsewhere 'cat >acme'"
    )
)
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@json_option
@click.pass_context
def export(context: click.Context, file: Path | None, json_: bool) -> None:
    """Write where each journal ends, signed with the watchdog's key, to FILE or to standard output.

    Keep it where nobody who may write the state directory can: `mai verify --against FILE` finds out whether any record up to
    then was changed, removed or written anew since, also if the whole state directory was replaced. Verify first: the text
    says where the journals end, not that they are sound. Its form is a signed note (c2sp.org/signed-note).
    """
    from mai.daemon.checkpoint import take

    taken, text = take(place_of(context))
    if file:
        _write(file, text)
    if json_:
        as_json({**plain(taken), "file": str(file or ""), "note": text})
    elif not file:
        click.echo(text, nl=False)


def _write(file: Path, text: str) -> None:
    """A new file, on the disk when this returns. Raises UsageFault, OSError."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise UsageFault(f"{file} is there already", "an older checkpoint is worth keeping: name another file") from None
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(descriptor)
