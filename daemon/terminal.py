"""What all commands share: our errors as one sentence, the options that many have, completion, colour or not."""

import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from mai.daemon import readings
from mai.sandbox.errors import FAILED, REFUSED, MaiError
from mai.sandbox.place import TERMINAL, Place

WORDS = "mai.words"  # of the command, in click's context


def told(error: MaiError) -> str:
    """An error as it is shown: one sentence and a hint; of an organisation file every fault."""
    if faults := getattr(error, "faults", ()):
        count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        return "\n".join([*map(str, faults), f"mai: {faults[0].path} has {count}"])
    return f"mai: {error.sentence}" + (f"\nhint: {error.hint}" if error.hint else "")


class Commands(click.Group):
    """Turns our errors into one sentence, a hint and an exit status.

    Commands with commands of their own lie in a file each, which is imported when one of them is asked for. What reads the
    ledgers is left to the daemon where their files are not ours to read.
    """

    def __init__(
        self, *args: Any, elsewhere: Mapping[str, str] | None = None, sections: Mapping[str, str] | None = None, **named: Any
    ) -> None:
        """`elsewhere`: name of a command -> the module that has it, under the same name; `sections`: of the help -> names."""
        super().__init__(*args, **named)
        self._elsewhere, self._sections = dict(elsewhere or {}), dict(sections or {})

    def list_commands(self, context: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted({*self.commands, *self._elsewhere})

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands in their sections; what stands in none comes last."""
        named = {name for names in self._sections.values() for name in names.split()}
        rest = [name for name in self.list_commands(context) if name not in named]
        width = max(map(len, self.list_commands(context)), default=0)
        for title, names in (*self._sections.items(), ("Commands", " ".join(rest))):
            found = [(name, self.get_command(context, name)) for name in names.split()]
            short = formatter.width - 6 - width
            rows = [(name.ljust(width), command.get_short_help_str(short)) for name, command in found if command]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """A command, imported if it lies elsewhere."""
        if name in self._elsewhere and name not in self.commands:
            command: click.Command = getattr(import_module(self._elsewhere[name]), name)
            self.add_command(command, name)
        return super().get_command(context, name)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """As click's; what follows our own options is kept as it was given."""
        given = list(args)
        rest = super().parse_args(context, args)
        context.meta[WORDS] = given[max(0, len(given) - len(context.args) - 1) :]
        return rest

    def invoke(self, context: click.Context) -> Any:
        """Run the command, or have the daemon read for us."""
        words = context.meta.get(WORDS, [])
        if readings.named(words):
            from mai.daemon import afar

            place = Place(context.params.get("state"))
            if afar.wanted(place, words):
                sys.exit(afar.run(place, words))
        return super().invoke(context)

    def main(self, *args: Any, **named: Any) -> Any:
        """As click's, with our errors shown as one sentence; what cannot be read or written becomes a mark."""
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        try:
            return super().main(*args, **{"color": True if TERMINAL in os.environ else None, **named})
        except MaiError as error:
            click.echo(told(error), err=True)
            sys.exit(error.code)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader went away, and with it who could be told
            sys.exit(FAILED)
        except OSError as error:
            denied = isinstance(error, PermissionError)
            click.echo(f"mai: {error}" + ("\nhint: run the command as the daemon's user" if denied else ""), err=True)
            sys.exit(REFUSED if denied else FAILED)


def place_of(context: click.Context | None = None) -> Place:
    """The state directory that the command is about."""
    return Place((context or click.get_current_context()).find_root().obj)


def _processes(context: click.Context) -> list[str]:
    """All that can be seen here; none where the files are not ours to read."""
    try:
        return place_of(context).processes()
    except PermissionError:
        return []


def complete_process(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of process names."""
    return [name for name in _processes(context) if name.startswith(incomplete)]


def complete_client(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of clients."""
    clients = {name.split("/")[0] for name in _processes(context) if "/" in name}
    return sorted(name for name in clients if name.startswith(incomplete))


def examples(*lines: str) -> str:
    """The epilog of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def on_terminal() -> bool:
    """Are colour and progress wanted? The daemon, when it reads for somebody's terminal, is told so."""
    return (sys.stdout.isatty() or TERMINAL in os.environ) and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """A text from elsewhere, without what a terminal would take for a command."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def as_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def plain(value: Any) -> Any:
    """A Struct as JSON has it."""
    import msgspec

    return msgspec.to_builtins(value)


def count(what: str, done: int, of: int) -> None:
    """How far long work is: one line that is written over on a terminal, and gone at the end; nothing in a pipe."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K" + (f"{what}: {done:,} of {of:,}" if done < of else ""))
        sys.stderr.flush()


json_option = click.option("--json", "json_", is_flag=True, help="Print JSON.")
follow_option = click.option("-f", "--follow", is_flag=True, help="Go on as it grows, until Ctrl-C.")
lines_option = click.option(
    "-n", "--lines", type=click.IntRange(0), default=20, show_default=True, help="How many of the last to show."
)
detach_option = click.option("--detach", is_flag=True, help="Return when everything is ready; end it with `mai down`.")
tape_argument = click.argument("tape", type=click.Path(path_type=Path))
process_argument = click.argument("process", shell_complete=complete_process)
client_argument = click.argument("client", shell_complete=complete_client)


def as_list(found: list[dict[str, Any]], line: Callable[..., str], *, json_: bool, more: str = "", none: str = "") -> None:
    """Print what was listed: one line for each, and what to say of those that are left out, or if there is none."""
    if json_:
        as_json(found)
        return
    for one in found:
        click.echo(printable(line(one, colour=on_terminal())))
    if more:
        click.echo(more)
    if not found:
        click.echo(none)
