"""The command `mai chat`: a conversation with a client's Mai, line by line."""

from typing import TYPE_CHECKING, Any

import click

from mai.daemon.terminal import client_argument, examples, on_terminal, place_of, printable, told
from mai.sandbox.errors import MaiError

if TYPE_CHECKING:
    from mai.daemon.listening import Listening

DOOR_S = 10.0


@click.command(epilog=examples("mai chat acme", "mai chat acme --last 20", "mai chat acme --as anna"))
@client_argument
@click.option(
    "--last", "--history", "last", type=click.IntRange(0, 1000), default=5, show_default=True,
    help="Earlier lines of the conversation, on a terminal.",
)  # fmt: skip
@click.option("--as", "who", default="", metavar="WHO", help="Who speaks, of several for whom this user of the host does.")
@click.pass_context
def chat(context: click.Context, client: str, last: int, who: str) -> None:
    """Talk to a client's Mai, line by line; the history is hers and survives everything. Ctrl-D ends it.

    On a terminal what she says later, or elsewhere in this conversation, is shown at once, above what you are typing.
    """
    from mai.daemon import asking
    from mai.daemon.door import Door
    from mai.daemon.listening import Listening
    from mai.daemon.prompt import Prompt
    from mai.daemon.thread_commands import told as shown

    place, prompt = place_of(context), Prompt(f"{client}> ")
    path = place.sockets(asking.client_of(place, client)) / "door.sock"
    asked: dict[str, Any] = {"do": "thread", "as": who}
    before = Door(path, DOOR_S).call({**asked, "last": max(last, 1)})["lines"]
    for line in before[-last:] if on_terminal() and last else []:
        click.secho(shown(line), dim=True)
    seen, door = before[-1]["n"] if before else 0, Door(path, None if prompt.typing else DOOR_S)
    listening = Listening(door, asked, seen, lambda line: prompt.above(shown(line)))
    if prompt.typing:
        listening.start()
    while (text := prompt.line()) is not None:
        if not text.strip():
            continue
        listening.own(request := asking.new_id())
        try:
            for reply in asking.ask(place, client, text, request=request, timeout_s=None, watch=False, who=who):
                _reply(reply)
            listening.answered(request)
        except MaiError as error:
            click.echo(told(error), err=True)
            listening.left(request)  # its answer is shown when it is there
        except KeyboardInterrupt:
            click.echo(f"\n{asking.kept(request)}", err=True)
            listening.left(request)
        if not prompt.typing:
            _look(listening)


def _look(listening: "Listening") -> None:
    try:
        listening.look()
    except MaiError as error:
        click.echo(told(error), err=True)


def _reply(reply: dict[str, Any]) -> None:
    if "notice" in reply:
        click.secho(printable(reply["notice"]), dim=True)
    elif "answer" in reply:
        note = reply["answer"].get("note", "")
        click.echo(printable(f"{note}\n" * bool(note) + reply["answer"]["answer"]) + "\n")
