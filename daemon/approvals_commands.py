"""The commands `mai approvals`, `mai approve` and `mai deny`: which calls wait for a person, and to decide about one."""

import json
from typing import Any

import click

from mai.daemon.effects_commands import clients_of, short_json, when
from mai.daemon.following import following
from mai.daemon.terminal import as_json, complete_client, examples, json_option, on_terminal, place_of, printable

DOOR_S = 30.0
ID_CHARS = 16  # of an id, as it is shown


class _Listing(click.Group):
    """`mai approvals [CLIENT]` is `mai approvals list [CLIENT]`: what is no command of its own is a client."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """As click's; `list` is put in where no command stands."""
        if not args or (args[0] not in self.commands and args[0] not in context.help_option_names):
            args = ["list", *args]
        return super().parse_args(context, args)


@click.group(
    cls=_Listing,
    epilog=examples(
        "mai approvals", "mai approvals acme --follow", "mai approvals show 3f9a2c41d0b7e865", "mai approvals --json"
    ),
)
def approvals() -> None:
    """Calls that wait for a person's approval: list them (`mai approvals [CLIENT]`), or show all that is known of one."""


@approvals.command(
    "list", epilog=examples("mai approvals list acme", "mai approvals -f", "mai approvals acme --after 3f9a2c41d0b7e865")
)
@click.argument("client", required=False, shell_complete=complete_client)
@click.option("-f", "--follow", is_flag=True, help="Stay, and show new ones as they come, until Ctrl-C.")
@click.option("-n", "--most", type=click.IntRange(1, 1000), default=300, show_default=True, help="How many at once.")
@click.option("--after", default="", metavar="ID", help="Those behind this one; with CLIENT.")
@json_option
@click.pass_context
def list_(context: click.Context, client: str | None, *, follow: bool, most: int, after: str, json_: bool) -> None:
    """List the calls that wait for a person, those that have waited longest first."""
    from mai.sandbox.errors import UsageFault

    if after and not client:
        raise UsageFault("it is not said of which client", "mai approvals CLIENT --after ID")
    asked = [client] if client else clients_of(context)
    if follow:
        from mai.daemon.output import stream

        return stream(
            json.dumps(one, ensure_ascii=False) if json_ else printable(line(one))
            for one in following(context, asked, "approvals")
        )
    replies = {name: _ask(context, name, {"do": "approvals", "most": most, "after": after}) for name in asked}
    found = [one for reply in replies.values() for one in reply["approvals"]]
    if json_:
        return as_json(found)
    for one in found:
        click.echo(printable(line(one, colour=on_terminal())))
    for name, reply in replies.items():
        if reply["behind"]:
            last = reply["approvals"][-1]["id"][:ID_CHARS]
            click.echo(f"… and {reply['behind']} more of {name}: mai approvals {name} --after {last}")
    if not found:
        click.echo("nothing waits for an approval")
    return None


@approvals.command(epilog=examples("mai approvals show 3f9a2c41d0b7e865", "mai approvals show 3f9a2c --json"))
@click.argument("ident", metavar="ID")
@click.option("--client", help="Whose it is, if two clients have one that begins so.", shell_complete=complete_client)
@json_option
@click.pass_context
def show(context: click.Context, ident: str, client: str | None, json_: bool) -> None:
    """Show all that is known of one: the call, who wants it approved and why, until when, and who has said what."""
    _, one = _owner(context, ident, client)
    if json_:
        as_json(one)
    else:
        click.echo(printable(told(one)))


@click.command(epilog=examples("mai approve 3f9a2c41d0b7e865", 'mai approve 3f9a2c --note "as agreed on the phone"'))
@click.argument("ident", metavar="ID")
@click.option("--note", default="", help="Why, for the journal.")
@click.option("--client", help="Whose it is, if two clients have one that begins so.", shell_complete=complete_client)
@json_option
@click.pass_context
def approve(context: click.Context, ident: str, *, note: str, client: str | None, json_: bool) -> None:
    """Approve one call, just as `mai approvals show` tells it. Who has made the request does not approve what is done for it."""
    _say(context, ident, client, {"do": "approve", "note": note}, json_=json_)


@click.command(epilog=examples('mai deny 3f9a2c41d0b7e865 --reason "too much for one order"'))
@click.argument("ident", metavar="ID")
@click.option("--reason", required=True, help="Why not: the agent is told.")
@click.option("--client", help="Whose it is, if two clients have one that begins so.", shell_complete=complete_client)
@json_option
@click.pass_context
def deny(context: click.Context, ident: str, *, reason: str, client: str | None, json_: bool) -> None:
    """Deny one call: it is not made, and its task goes on without it."""
    _say(context, ident, client, {"do": "deny", "reason": reason}, json_=json_)


def _say(context: click.Context, ident: str, client: str | None, order: dict[str, Any], *, json_: bool) -> None:
    owner, one = _owner(context, ident, client)
    said = _ask(context, owner, {**order, "id": one["id"]})["approval"]
    if json_:
        as_json(said)
    else:
        click.echo(printable(verdict(said)))


# -- whom to ask
def _ask(context: click.Context, client: str, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of a client's Mai."""
    from mai.daemon.asking import client_of
    from mai.daemon.door import Door

    place = place_of(context)
    return Door(place.sockets(client_of(place, client)) / "door.sock", DOOR_S).call(request)


def _owner(context: click.Context, ident: str, client: str | None) -> tuple[str, dict[str, Any]]:
    """The client whose approval this is, and all that is known of it. Raises Refused, UsageFault."""
    from mai.sandbox.errors import Refused, UsageFault

    found: dict[str, dict[str, Any]] = {}
    refused: Refused | None = None
    for name in [client] if client else clients_of(context):
        try:
            found[name] = _ask(context, name, {"do": "approvals", "id": ident})["approvals"][0]
        except Refused as error:
            refused = error
    if len(found) > 1:
        raise UsageFault(f"{' and '.join(sorted(found))} have an approval that begins with {ident}", "say whose: --client")
    if not found:
        raise refused or Refused(f"no approval begins with {ident}", "those that wait are in: mai approvals")
    return next(iter(found.items()))


# -- in words
def line(one: dict[str, Any], *, colour: bool = False) -> str:
    """One that waits, on one line."""
    ident = click.style(one["id"][:ID_CHARS], bold=True) if colour else one["id"][:ID_CHARS]
    votes = f", {left(one)}" if one["persons"] > 1 else ""
    until = f"until {when(one['expires_ms'])}{votes} ({one['clause']})"
    return f"{ident}  {one['agent']}: {one['name']} {short_json(one['given'])}, {until}"


def left(one: dict[str, Any]) -> str:
    """Who has approved, of how many that have to."""
    by = [vote["who"] for vote in one["votes"] if vote["approved"]]
    return f"{len(by)} of {one['persons']} approve" + (f": {' and '.join(by)}" if by else "")


def told(one: dict[str, Any]) -> str:
    """All that is known of one."""
    asked_by = f", asked by {one['asked_by']} (uid {one['asked_by_uid']})" if one["asked_by_uid"] >= 0 else ""
    lines = [
        f"{one['name']} of {one['agent']} {STATES[one['state']]}",
        f"  id        {one['id']}",
        f"  request   {one['request']}{asked_by}, for {one['requester']}",
        f"  call      step {one['n']} of {one['task']}: {one['call']} {one['name']}",
        f"  with      {short_json(one['given'], 4000)}",
        f"  digests   its input {one['arguments'][:ID_CHARS]}, organisation {one['organisation']}, policies {one['policies']}",
        f"  why       {one['why'] or one['clause']}",
        f"  waits     since {when(one['at_ms'])}, until {when(one['expires_ms'])}",
        f"  approve   {left(one)}; the least role is {one['approvers']}",
        *([f"  announced {one['announced']}"] if one["announced"] else []),
    ]
    for vote in one["votes"]:
        word = "approved" if vote["approved"] else "denied"
        lines.append(
            f"  {word:9} by {vote['who']} as {vote['role']}, {when(vote['at_ms'])}{': ' * bool(vote['note'])}{vote['note']}"
        )
    if one["state"] == "waits":
        lines.append(f"decide: mai approve {one['id'][:ID_CHARS]} [--note TEXT] | mai deny {one['id'][:ID_CHARS]} --reason TEXT")
    elif one.get("over"):
        lines.append(f"  over      {when(one['settled_ms'])}: {one['over']}")
    return "\n".join(lines)


STATES = {
    "waits": "waits for an approval", "late": "waited for an approval, and it is too late", "approved": "is approved",
    "denied": "is denied", "over": "waits no more",
}  # fmt: skip


def verdict(one: dict[str, Any]) -> str:
    """What becomes of it."""
    by = one["votes"][-1]["who"]
    match one["state"]:
        case "approved":
            return f"{one['name']} is approved, says {by}; its task goes on with the call"
        case "denied":
            return f"{one['name']} is denied, says {by}; its task goes on without the call"
    return f"{by} approves {one['name']}; {left(one)}, so it waits for another user"
