"""The commands `mai effects`: which effects are in doubt, and to say of one whether it happened."""

import contextlib
import json
from typing import Any

import click

from mai.daemon.terminal import as_json, as_list, complete_client, examples, json_option, place_of, printable

DOOR_S = 30.0


@click.group(
    epilog=examples("mai effects list", "mai effects show KEY", "mai effects resolve KEY --happened --value '{\"id\": 5}'")
)
def effects() -> None:
    """Effects in doubt: a tool was called, and nobody knows whether it happened."""


@effects.command(
    "list", epilog=examples("mai effects list", "mai effects list acme --all", "mai effects list --json | jq '.[].key'")
)
@click.argument("client", required=False, shell_complete=complete_client)
@click.option("--all", "all_", is_flag=True, help="Also those that were resolved.")
@json_option
@click.pass_context
def list_(context: click.Context, client: str | None, *, all_: bool, json_: bool) -> None:
    """List the effects that wait for a person."""
    found, more = _effects(context, client, all_=all_)
    as_list(found, line, json_=json_, more=f"… and {more} older ones" * bool(more), none="no effect is in doubt")


@effects.command(epilog=examples("mai effects show 19a2b3c4d5e/1.1.1/3", "mai effects show KEY --json"))
@click.argument("key")
@json_option
@click.pass_context
def show(context: click.Context, key: str, json_: bool) -> None:
    """Show all that is known of one effect: what was called, with what, when, and why it is in doubt."""
    from mai.daemon.doubt_orders import LIST
    from mai.sandbox.errors import Refused

    found, _ = _effects(context, None, key=key, all_=True)
    if not found:
        raise Refused(f"no effect with the key {key} is or was in doubt", f"those that are: {LIST.format('').strip()}")
    if json_:
        as_json(found)
    else:
        click.echo("\n\n".join(printable(told(one)) for one in found))


@effects.command(
    epilog=examples(
        "mai effects resolve KEY --happened --value 5",
        'mai effects resolve KEY --did-not --note "the bank knows of no transfer"',
    )
)
@click.argument("key")
@click.option("--happened/--did-not", "happened", default=None, help="What you have found out; one of them is needed.")
@click.option("--value", metavar="JSON", help="What the tool would have returned; by default null.")
@click.option("--note", default="", help="How you know, for the journal.")
@click.option("--client", help="Whose effect it is, if two clients have one with this key.", shell_complete=complete_client)
@json_option
@click.pass_context
def resolve(
    context: click.Context, key: str, *, happened: bool | None, value: str | None, note: str, client: str | None, json_: bool
) -> None:
    """Say whether an effect happened: its task goes on with the value, or the tool is called again with the same key."""
    from mai.sandbox.errors import UsageFault

    if happened is None:
        raise UsageFault("it is not said whether it happened", "--happened or --did-not")
    given = {"do": "resolve", "key": key, "happened": happened, "value": parsed(value), "note": note}
    reply = ask(context, client or _owner(context, key), given)["effect"]
    if json_:
        as_json(reply)
    else:
        click.echo(printable(verdict(reply)))


# -- whom to ask
def ask(context: click.Context, client: str, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of a client's Mai."""
    from mai.daemon.asking import client_of
    from mai.daemon.door import Door

    place = place_of(context)
    return Door(place.sockets(client_of(place, client)) / "door.sock", DOOR_S).call(request)


def clients_of(context: click.Context) -> list[str]:
    """All clients that there are, as far as the caller may know. Raises NotRunning."""
    from mai.daemon import afar
    from mai.daemon.door import Door
    from mai.sandbox.errors import NotRunning

    place = place_of(context)
    if afar.closed(place):
        processes = Door(place.door, DOOR_S).call({"do": "status"})["processes"]
        found = sorted({one["name"].partition("/")[0] for one in processes if "/" in one["name"]})
    else:
        found = complete_client(context, click.Argument(["client"]), "")
    if not found:
        raise NotRunning(f"nothing has run in {place.state} yet", "start the daemon with: mai up")
    return found


def _effects(
    context: click.Context, client: str | None, *, key: str | None = None, all_: bool = False
) -> tuple[list[dict[str, Any]], int]:
    """What the clients' Mais know, and how many more there are."""
    replies = [
        ask(context, one, {"do": "effects", "all": all_, "key": key}) for one in ([client] if client else clients_of(context))
    ]
    return [one for reply in replies for one in reply["effects"]], sum(reply["older"] for reply in replies)


def _owner(context: click.Context, key: str) -> str:
    """Whose effect it is: of those who have one in doubt, else of those who ever had; the first client, if nobody knows it."""
    from mai.sandbox.errors import UsageFault

    found, _ = _effects(context, None, key=key, all_=True)
    owners: set[str] = {one["process"].split("/")[0] for one in found if one["state"] == "in doubt"}
    owners = owners or {one["process"].split("/")[0] for one in found} or set(clients_of(context)[:1])
    if len(owners) > 1:
        raise UsageFault(f"{' and '.join(sorted(owners))} have an effect with the key {key}", "say whose: --client")
    return owners.pop()


def parsed(value: str | None) -> Any:
    """The value, which has to be plain JSON. Raises UsageFault."""
    from mai.sandbox.errors import UsageFault

    if value is None:
        return None
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(value, parse_constant=_none)
    raise UsageFault(f"the value {value:.80} is not JSON", "such as 5, '\"a text\"' or '{\"id\": 5}'")


def _none(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# -- in words
def when(at_ms: int) -> str:
    """A time as people read it."""
    from mai.daemon.reader import clock

    return clock(at_ms * 1_000_000).strftime("%Y-%m-%d %H:%M:%S")


def line(one: dict[str, Any], *, colour: bool = False) -> str:
    """One effect on one line."""
    state = click.style(one["state"], fg="red") if colour and one["state"] == "in doubt" else one["state"]
    ended = " (its task has ended)" if one["ended"] and one["state"] == "in doubt" else ""
    return f"{one['key']}  {state}{ended}  {one['agent']}: {one['tool']} {short_json(one['given'])}, {when(one['at_ms'])}"


def short_json(value: Any, most: int = 120) -> str:
    """A value as JSON, cut."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[:most] + "…"


def told(one: dict[str, Any]) -> str:
    """All that is known of one."""
    lines = [
        f"{one['tool']} of {one['agent']} is in doubt" if one["state"] == "in doubt" else f"{one['tool']} {one['state']}",
        f"  key       {one['key']}",
        f"  request   {one['request']}",
        f"  class     {one['effect']}, called {one['count']} time{'s' * (one['count'] != 1)} with this key",
        f"  called    {when(one['at_ms'])}, known since {when(one['since_ms'])}",
        f"  with      {short_json(one['given'], 4000)}",
        f"  why       {one['why']}",
        f"  its task  {'has ended' if one['ended'] else 'waits until ' + when(one['deadline_ms'])}",
    ]
    if one["state"] == "in doubt":
        return "\n".join([*lines, f"say what happened: mai effects resolve {one['key']} --happened [--value JSON] | --did-not"])
    said = f"  said by   {one['by']}, {when(one['resolved_ms'])}" + f": {one['note']}" * bool(one["note"])
    return "\n".join([*lines, said, *([f"  value     {short_json(one['value'], 4000)}"] if one["state"] == "happened" else [])])


def verdict(one: dict[str, Any]) -> str:
    """What becomes of it."""
    if one["ended"]:
        then = "its task had ended: this is on record, and nothing follows"
    elif one["state"] == "happened":
        then = f"its task goes on with {short_json(one['value'])}"
    else:
        then = "the tool is called again with the same key"
    return f"{one['tool']} {one['state']}, says {one['by']}; {then}"
