"""The commands `mai deliver` and `mai thread`: what comes from outside, and what was said in a conversation."""

import base64
import sys
from pathlib import Path
from typing import Any

import click

from mai.daemon.terminal import (
    as_json,
    client_argument,
    examples,
    follow_option,
    json_option,
    on_terminal,
    place_of,
    printable,
)

DOOR_S = 30.0
LARGEST = 512 << 10  # bytes of a message; a channel's own limit is lower
WHO = {"person": ">", "mai": "<"}


@click.command(
    epilog=examples(
        "mai deliver acme --channel mail letter.eml",
        "mai deliver acme --channel form --from anna@example.org --id form-4711 -",
    )
)
@client_argument
@click.argument("file", metavar="FILE|-")
@click.option("--channel", required=True, help="One of the organisation's [[channels]].")
@click.option("--from", "sender", default="", metavar="WHO", help="Who has written it; of a mail by default its From.")
@click.option("--subject", default="", help="What it is about.")
@click.option("--id", "reference", default="", metavar="MESSAGE-ID", help="Its own id; by default a mail's, or its content.")
@json_option
@click.pass_context
def deliver(
    context: click.Context, client: str, file: str, *, channel: str, sender: str, subject: str, reference: str, json_: bool
) -> None:
    """Deliver a message from outside: it is answered, once. Delivered again it is the same message, with the same receipt."""
    from mai.daemon.ordering import order

    data = _read(file)
    given = {
        "do": "deliver", "channel": channel, "sender": sender, "subject": subject, "reference": reference,
        "content": base64.b64encode(data).decode(),
    }  # fmt: skip
    found = order(place_of(context), _client(context, client), given, DOOR_S)["receipt"]
    if json_:
        as_json(found)
    else:
        click.echo(printable(f"{found['message']} is line {found['line']} of {found['thread']}"))


def _client(context: click.Context, client: str) -> str:
    from mai.daemon.asking import client_of

    return client_of(place_of(context), client)


def _read(file: str) -> bytes:
    """The message. Raises UsageFault."""
    from mai.sandbox.errors import UsageFault

    try:
        if file == "-":
            data = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(LARGEST + 1)
    except OSError as error:
        raise UsageFault(f"{file} cannot be read: {error.strerror}", "name a file, or - for standard input") from None
    if len(data) > LARGEST:
        raise UsageFault(f"the message has more than {LARGEST} bytes", "a channel's limit is message_bytes, and lower")
    return data


@click.command(
    epilog=examples(
        "mai thread acme", "mai thread acme --list", "mai thread acme mail:anna@example.org --json", "mai thread acme -f"
    )
)
@client_argument
@click.argument("name", required=False, metavar="[THREAD]")
@click.option("--list", "list_", is_flag=True, help="All conversations, the newest last.")
@click.option("-n", "--last", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many of the last to show.")
@follow_option
@json_option
@click.pass_context
def thread(context: click.Context, client: str, name: str | None, *, list_: bool, last: int, follow: bool, json_: bool) -> None:
    """Show a conversation: your own with a client's Mai, or any other, if you may read all."""
    from mai.daemon.door import Door, fault

    door = Door(place_of(context).sockets(_client(context, client)) / "door.sock", None if follow else DOOR_S)
    if list_ or name:
        asked: dict[str, Any] = {"do": "threads", "thread": "" if list_ else name, "last": last}
    else:
        asked = {"do": "thread", "last": last}
    for reply in door.ask({**asked, "follow": follow and not list_}):
        if "error" in reply:
            raise fault(reply)
        _show(reply, json_=json_, follow=follow)


def _show(reply: dict[str, Any], *, json_: bool, follow: bool) -> None:
    if json_ and not follow:
        return as_json(reply.get("threads", reply.get("lines")))
    for one in reply.get("lines", ()):
        click.echo(compact(one) if json_ else told(one), nl=True)
    for one in reply.get("threads", ()):
        waits = f", {one['waiting']} wait" if one["waiting"] else ""
        click.echo(printable(f"{when(one['last_ms'])}  {one['thread']}  {one['lines']} lines, {one['state']}{waits}"))
    sys.stdout.flush()


def compact(line: dict[str, Any]) -> str:
    """A line as one line of JSON."""
    import json

    return json.dumps(line, ensure_ascii=False)


def when(at_ms: int) -> str:
    """A time as people read it."""
    from mai.daemon.reader import clock

    return clock(at_ms * 1_000_000).strftime("%Y-%m-%d %H:%M")


def told(line: dict[str, Any], *, times: bool = True) -> str:
    """One line of a conversation."""
    what = "" if line["what"] in ("message", "answer") else f"({line['what']}) "
    subject = f"[{line['subject']}] " if line.get("subject") else ""
    text = subject + "\n".join(filter(None, (line.get("note", ""), line["text"])))
    carried = line.get("carried", "")
    tail = f"   [{carried}]" if carried and carried != "carried" else ""
    head = f"{when(line['at_ms'])} " if times else ""
    shown = printable(f"{head}{WHO.get(line['who'], '?')} {what}{text}{tail}")
    return click.style(shown, dim=True) if on_terminal() and line["what"] == "notice" else shown
