"""The command `mai chat`: a conversation with a client's Mai, line by line."""

from typing import Any

import click

from mai.daemon.terminal import client_argument, examples, on_terminal, place_of, printable, told
from mai.sandbox.errors import MaiError

DOOR_S = 10.0
BEHIND = 100  # lines that are fetched at once


@click.command(epilog=examples("mai chat acme", "mai chat acme --last 20", "mai chat acme --as anna"))
@client_argument
@click.option(
    "--last", "--history", "last", type=click.IntRange(0, 1000), default=5, show_default=True,
    help="Earlier lines of the conversation, on a terminal.",
)  # fmt: skip
@click.option("--as", "who", default="", metavar="WHO", help="Who speaks, of several for whom this user of the host does.")
@click.pass_context
def chat(context: click.Context, client: str, last: int, who: str) -> None:
    """Talk to a client's Mai, line by line; the history is hers and survives everything. Ctrl-D ends it."""
    from mai.daemon import asking, showing
    from mai.daemon.door import Door
    from mai.daemon.thread_commands import told as shown

    place = place_of(context)
    door = Door(place.sockets(asking.client_of(place, client)) / "door.sock", DOOR_S)
    asked: dict[str, Any] = {"do": "thread", "as": who}
    before = door.call({**asked, "last": max(last, 1)})["lines"]
    for line in before[-last:] if on_terminal() and last else []:
        click.secho(shown(line), dim=True)
    seen, ours = before[-1]["n"] if before else 0, set[str]()
    while (text := showing.line(f"{client}> ")) is not None:
        if not text.strip():
            continue
        ours.add(request := asking.new_id())
        try:
            for reply in asking.ask(place, client, text, request=request, timeout_s=None, watch=False, who=who):
                _reply(reply)
            seen = _others(door, asked, seen, ours)
        except MaiError as error:
            click.echo(told(error), err=True)
        except KeyboardInterrupt:
            ours.discard(request)  # its answer is shown when it is there
            click.echo(f"\n{asking.kept(request)}", err=True)


def _reply(reply: dict[str, Any]) -> None:
    if "notice" in reply:
        click.secho(printable(reply["notice"]), dim=True)
    elif "answer" in reply:
        note = reply["answer"].get("note", "")
        click.echo(printable(f"{note}\n" * bool(note) + reply["answer"]["answer"]) + "\n")


def _others(door: Any, asked: dict[str, Any], seen: int, ours: set[str]) -> int:
    """Show what Mai has said in this conversation beside the answers just given: answers that were late, or asked elsewhere."""
    from mai.daemon.thread_commands import told as shown

    while lines := door.call({**asked, "after": seen, "last": BEHIND})["lines"]:
        seen = lines[-1]["n"]
        for line in lines:
            if line["what"] == "later" or (line["what"] == "answer" and line["request"] not in ours):
                click.echo(shown(line) + "\n")
    return seen
