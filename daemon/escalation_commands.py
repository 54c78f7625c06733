"""The commands `mai escalations`: what nobody in the company could do, and to answer it."""

import json
from typing import Any

import click

from mai.daemon.effects_commands import when
from mai.daemon.following import following
from mai.daemon.terminal import (
    as_json,
    as_list,
    client_argument,
    complete_client,
    examples,
    follow_option,
    json_option,
    printable,
)

DOOR_S = 30.0


@click.group(
    invoke_without_command=True,
    epilog=examples(
        "mai escalations",
        "mai escalations --follow",
        "mai escalations show acme ID",
        'mai escalations answer acme ID --text "Pay."',
    ),
)
@follow_option
@click.pass_context
def escalations(context: click.Context, follow: bool) -> None:
    """Escalations: what nobody in the company could do, for a person to answer. Without a command: list them."""
    if context.invoked_subcommand is None:
        _listed(context, None, all_=False, follow=follow, json_=False)


@escalations.command(
    "list",
    epilog=examples("mai escalations list", "mai escalations list acme --all", "mai escalations list --json | jq '.[].id'"),
)
@click.argument("client", required=False, shell_complete=complete_client)
@click.option("--all", "all_", is_flag=True, help="Also those that are over.")
@follow_option
@json_option
@click.pass_context
def list_(context: click.Context, client: str | None, *, all_: bool, follow: bool, json_: bool) -> None:
    """List the escalations that wait for a person, those first that are due first; with --follow each new one as it comes."""
    _listed(context, client, all_=all_, follow=follow, json_=json_)


def _listed(context: click.Context, client: str | None, *, all_: bool, follow: bool, json_: bool) -> None:
    from mai.daemon.effects_commands import clients_of
    from mai.daemon.output import stream

    if follow:
        coming = following(context, [client] if client else clients_of(context), "escalations")
        stream(json.dumps(one) if json_ else printable(line(one)) for one in coming)
        return
    found, more = _found(context, client, all_=all_)
    as_list(found, line, json_=json_, more=f"… and {more} more" * bool(more), none="nothing waits for a person")


@escalations.command(epilog=examples("mai escalations show acme 19a2b3c4d5e/1.1.1.1.1.e0", "mai escalations show acme ID --json"))
@client_argument
@click.argument("id_", metavar="ID")
@json_option
@click.pass_context
def show(context: click.Context, client: str, id_: str, json_: bool) -> None:
    """Show all that is known of one: what was asked, why nobody could do it, and what was tried."""
    from mai.sandbox.errors import Refused

    found, _ = _found(context, client, ident=id_)
    if not found:
        raise Refused(f"{client} has no escalation {id_:.200}", f"those that are: mai escalations list {client} --all")
    if json_:
        as_json(found[0])
    else:
        click.echo(printable(told(found[0], client)))


@escalations.command(
    epilog=examples(
        'mai escalations answer acme ID --text "Pay it."',
        "mai escalations answer acme ID --value '{\"cents\": 500}'",
        "mai escalations answer acme ID --to finance",
    )
)
@client_argument
@click.argument("id_", metavar="ID")
@click.option("--text", default="", help="The answer in words.")
@click.option("--value", metavar="JSON", help="The answer for programs, an object; show says which fields are wanted.")
@click.option("--to", metavar="NAME", help="Where it is in doubt: the department, or the worker, that it is for.")
@json_option
@click.pass_context
def answer(context: click.Context, client: str, id_: str, *, text: str, value: str | None, to: str | None, json_: bool) -> None:
    """Answer one: the answer goes down the way that the question came, and the task goes on."""
    from mai.daemon.effects_commands import parsed
    from mai.sandbox.errors import UsageFault

    given = parsed(value)
    if to and given:
        raise UsageFault("it is answered by --value, or given to somebody by --to", "one of the two")
    _say(context, client, {"do": "answer", "id": id_, "text": text, "value": {"to": to} if to else given}, json_)


@escalations.command(epilog=examples('mai escalations refuse acme ID --reason "not without a receipt"'))
@client_argument
@click.argument("id_", metavar="ID")
@click.option("--reason", required=True, help="Why, for who asked.")
@json_option
@click.pass_context
def refuse(context: click.Context, client: str, id_: str, *, reason: str, json_: bool) -> None:
    """Refuse one, with the reason that who asked is told."""
    from mai.sandbox.errors import UsageFault

    if not reason.strip():
        raise UsageFault("a refusal has a reason", '--reason "…"')
    _say(context, client, {"do": "answer", "id": id_, "refused": reason}, json_)


def _say(context: click.Context, client: str, request: dict[str, Any], json_: bool) -> None:
    from mai.daemon.effects_commands import ask

    reply = ask(context, client, request)["escalation"]
    if json_:
        as_json(reply)
    else:
        click.echo(printable(f"{reply['id']} is {reply['state']} by {reply['by']}; it goes back to {reply['agent']}"))


# -- whom to ask
def _found(
    context: click.Context, client: str | None, *, ident: str | None = None, all_: bool = False
) -> tuple[list[dict[str, Any]], int]:
    """What the clients' Mais know, and how many more there are."""
    from mai.daemon.effects_commands import ask, clients_of

    names = [client] if client else clients_of(context)
    replies = {one: ask(context, one, {"do": "escalations", "all": all_, "id": ident}) for one in names}
    found = [{"client": name, **one} for name, reply in replies.items() for one in reply["escalations"]]
    return found, sum(reply["left_out"] for reply in replies.values())


# -- in words
def line(one: dict[str, Any], *, colour: bool = False) -> str:
    """One escalation on one line."""
    late = " LATE" if one["late"] else ""
    state = one["state"] + late
    if colour and one["state"] == "open":
        state = click.style(state, fg="red" if late else "yellow")
    what = one["contract"] or f"“{one['text'][:80]}”"
    until = f"until {when(one['due_ms'])}" if one["state"] == "open" else one["by"]
    return f"{one['client']} {one['id']}  {state} {until}  {one['agent']}: {one['reason'][:120]} ({what})"


def told(one: dict[str, Any], client: str) -> str:
    """All that is known of one."""
    given = f" {json.dumps(one['input'], ensure_ascii=False)}" if one["input"] else ""
    lines = [
        f"{one['agent']} could not do it: {one['reason']}",
        f"  id        {one['id']}",
        f"  request   {one['request']}, of {one['asker']}",
        f"  asked     {one['contract'] or one['text']}{given}",
        f"  cause     {one['cause']}",
        f"  since     {when(one['since_ms'])}, until {when(one['due_ms'])}" + " (late)" * one["late"],
        "  tried     by whom, what, and why it did not help:",
    ]
    lines += [f"    {when(each['at_ms'])}  {each['who']} {each['what']}: {each['why']}" for each in one["tried"]]
    if one["state"] == "open":
        how = "--to NAME" if one["cause"] == "doubt" else "--text TEXT [--value JSON]"
        return "\n".join([*lines, f"answer it: mai escalations answer {client} {one['id']} {how}"])
    said = one["answer"] or one["why"] or json.dumps(one["value"], ensure_ascii=False)
    return "\n".join([*lines, f"  {one['state']}  " + (f"by {one['by']}, {when(one['ended_ms'])}: " if one["by"] else "") + said])
