"""The command `mai shift`: who is on now and who is next, and to say that somebody is or is not."""

import time
from datetime import datetime
from typing import Any, Final

import click
import msgspec

from mai.daemon.terminal import as_json, complete_client, examples, json_option, place_of, printable
from mai.sandbox.errors import UsageFault

DOOR_S: Final = 30.0
HEADINGS: Final = ("agent", "", "until", "next", "open", "")


class Shown(click.Group):
    """Without a command of its own it lists: `mai shift acme`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The same words with `list` before them, where none of the commands stands there."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=Shown,
    epilog=examples("mai shift", "mai shift acme --at 2026-12-24T23:00", "mai shift off acme/support/desk --until 18:00"),
)
def shift() -> None:
    """Who is on now, and who is next; and to say that an agent is on or off, whatever the calendar says."""


@shift.command("list", epilog=examples("mai shift list acme", "mai shift acme/support --at 23:00", "mai shift --json"))
@click.argument("client", required=False, metavar="[CLIENT]", shell_complete=complete_client)
@click.option(
    "--at", "at", metavar="TIME", help="As of then: 2026-12-24T23:00, or 23:00, in this host's time zone; by default now."
)
@json_option
@click.pass_context
def list_(context: click.Context, client: str | None, *, at: str | None, json_: bool) -> None:
    """Show who is on, until when, what each has open, and who is next."""
    from mai.daemon.roster import rosters

    found = rosters(place_of(context), client, moment(at) if at else time.time_ns() // 1_000_000)
    if json_:
        as_json({"departments": msgspec.to_builtins(found)})
    elif found:
        click.echo("\n\n".join(printable(_table(one)) for one in found))
    else:
        click.echo("no department has shifts: all agents are always on")


until_option = click.option("--until", metavar="TIME", help="Until then; by default until the next word.")
why_option = click.option("--why", default="", metavar="TEXT", help="The reason, for the record.")


@shift.command(epilog=examples("mai shift on acme/support/desk --until 18:00"))
@click.argument("agent")
@until_option
@why_option
@json_option
@click.pass_context
def on(context: click.Context, agent: str, *, until: str | None, why: str, json_: bool) -> None:
    """Say that an agent is on, whatever the calendar says."""
    _told(say(context, agent, "on", until, why), json_=json_)


@shift.command(epilog=examples('mai shift off acme/support/desk --why "is ill"'))
@click.argument("agent")
@until_option
@why_option
@json_option
@click.pass_context
def off(context: click.Context, agent: str, *, until: str | None, why: str, json_: bool) -> None:
    """Say that an agent is off. What it has, and has changed nothing for, goes to a colleague who is on."""
    _told(say(context, agent, "off", until, why), json_=json_)


@shift.command(epilog=examples("mai shift auto acme/support/desk"))
@click.argument("agent")
@json_option
@click.pass_context
def auto(context: click.Context, agent: str, *, json_: bool) -> None:
    """Let the calendar count again."""
    _told(say(context, agent, "", None, ""), json_=json_)


def _told(said: dict[str, Any], *, json_: bool) -> None:
    if json_:
        as_json(said)
    else:
        click.echo(printable(sentence(said)))


def say(context: click.Context, name: str, how: str, until: str | None, why: str) -> dict[str, Any]:
    """A person's word about an agent, to its client's Mai. Raises MaiError."""
    from mai.daemon.asking import client_of
    from mai.daemon.door import Door

    place, client = place_of(context), name.partition("/")[0]
    request = {"do": "shift", "name": name, "how": how, "until_ms": moment(until) if until else 0, "why": why}
    return Door(place.sockets(client_of(place, client)) / "door.sock", DOOR_S).call(request)


def moment(text: str) -> int:
    """A time that somebody has written, in milliseconds since 1970. Raises UsageFault."""
    try:
        if len(text) <= 5:  # a time of today
            hour, minute = map(int, text.split(":"))
            return int(datetime.now().astimezone().replace(hour=hour, minute=minute, second=0, microsecond=0).timestamp() * 1000)
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise UsageFault(f"{text!r:.40} is no time", "such as 2026-12-24T23:00, or 23:00 for today") from None


def sentence(told: dict[str, Any]) -> str:
    """What is so now."""
    how = {"on": "on", "off": "off", "pause": "paused"}.get(told["how"], "on and off as the calendar says")
    until = f" until {_when(told['until_ms'])}" if told["until_ms"] else ""
    return f"{told['agent']} is {how}{until}, says {told['by']}"


def _when(at_ms: int) -> str:
    from mai.daemon.reader import clock

    return clock(at_ms * 1_000_000).strftime("%Y-%m-%d %H:%M")


def _table(roster: Any) -> str:
    rows = [HEADINGS, *(_row(one) for one in roster.agents)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    head = f"{roster.department}, {_when(roster.at_ms)}"
    waits = [f"{roster.waiting} task{'s' * (roster.waiting != 1)} wait for a shift"] if roster.waiting else []
    return "\n".join([head, *lines, *waits])


def _row(one: Any) -> tuple[str, ...]:
    until = _when(one.until_ms) if one.until_ms else ""
    next_ = _when(one.next_ms) if one.next_ms else ""
    on = f"on, {one.shift}" if one.on and one.shift else "on" if one.on else "off"
    return one.agent, on, until, next_, str(one.open), one.why
