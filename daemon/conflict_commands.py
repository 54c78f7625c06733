"""The commands `mai conflicts`: which claims contradict each other, who decides that, to rule a case and to appeal."""

import json
from typing import Any

import click

from mai.daemon.terminal import as_json, as_list, complete_client, examples, json_option, place_of, printable

DOOR_S = 30.0
CASE = "case-3f9c01ab2d4e"


@click.group(
    epilog=examples("mai conflicts list acme", f"mai conflicts show {CASE}", f'mai conflicts rule {CASE} --for finance --why "…"')
)
def conflicts() -> None:
    """Claims that contradict each other, and what was ruled about them."""


@conflicts.command(
    "list", epilog=examples("mai conflicts list", "mai conflicts list acme --all", "mai conflicts list --json | jq '.[].case'")
)
@click.argument("client", required=False, shell_complete=complete_client)
@click.option("--all", "all_", is_flag=True, help="Also those that were ruled, and those that have expired.")
@json_option
@click.pass_context
def list_(context: click.Context, client: str | None, *, all_: bool, json_: bool) -> None:
    """List the open cases, with who decides each and until when."""
    found, more = _cases(context, client, all_=all_)
    none = "there is no case" if all_ else "no case is open"
    as_list(found, line, json_=json_, more=f"… and {more} more" * bool(more), none=none)


@conflicts.command(epilog=examples(f"mai conflicts show {CASE}", f"mai conflicts show {CASE} --json"))
@click.argument("case")
@click.option("--client", help="Whose case it is, if two clients have one of this id.", shell_complete=complete_client)
@json_option
@click.pass_context
def show(context: click.Context, case: str, client: str | None, *, json_: bool) -> None:
    """Show a case: its claims with their grounds, how the boards have voted, what was ruled, and its history."""
    found = _owner(context, case, client)[1]
    if json_:
        as_json(found)
    else:
        click.echo(printable(told(found)))


@conflicts.command(epilog=examples(f'mai conflicts rule {CASE} --for finance --why "the invoices are overdue"'))
@click.argument("case")
@click.option("--for", "claim", required=True, metavar="CLAIM", help="The claim that stands: its id, or its department.")
@click.option("--why", required=True, help="For the record, and for the departments.")
@click.option("--client", help="Whose case it is, if two clients have one of this id.", shell_complete=complete_client)
@json_option
@click.pass_context
def rule(context: click.Context, case: str, claim: str, why: str, client: str | None, *, json_: bool) -> None:
    """Rule a case that is open: this claim stands, the others have lost; what waits for it goes on."""
    owner, known = _owner(context, case, client)
    _ordered(context, owner, {"do": "rule_case", "case": known["case"], "claim": claim, "why": why}, json_=json_)


@conflicts.command(epilog=examples(f'mai conflicts appeal {CASE} --why "the payment came in yesterday"'))
@click.argument("case")
@click.option("--why", required=True, help="For the record, and for who decides the appeal.")
@click.option("--client", help="Whose case it is, if two clients have one of this id.", shell_complete=complete_client)
@json_option
@click.pass_context
def appeal(context: click.Context, case: str, why: str, client: str | None, *, json_: bool) -> None:
    """Appeal against a ruling, which can be done once: a person decides it, and until then nobody is told what rests on it."""
    owner, known = _owner(context, case, client)
    _ordered(context, owner, {"do": "appeal_case", "case": known["case"], "why": why}, json_=json_)


# -- whom to ask
def _ask(context: click.Context, client: str, request: dict[str, Any]) -> dict[str, Any]:
    from mai.daemon.asking import client_of
    from mai.daemon.door import Door

    place = place_of(context)
    return Door(place.sockets(client_of(place, client)) / "door.sock", DOOR_S).call(request)


def _cases(context: click.Context, client: str | None, *, all_: bool) -> tuple[list[dict[str, Any]], int]:
    from mai.daemon.effects_commands import clients_of

    replies = [
        (one, _ask(context, one, {"do": "conflicts", "all": all_})) for one in ([client] if client else clients_of(context))
    ]
    found = [{"client": one, **case} for one, reply in replies for case in reply["cases"]]
    return found, sum(reply["left_out"] for _, reply in replies)


def _owner(context: click.Context, case: str, client: str | None) -> tuple[str, dict[str, Any]]:
    """Whose case it is, and the case; the first client's fault if nobody has it."""
    from mai.daemon.effects_commands import clients_of
    from mai.sandbox.errors import Refused, UsageFault

    found: list[tuple[str, dict[str, Any]]] = []
    fault: Refused | None = None
    for one in [client] if client else clients_of(context):
        try:
            reply = _ask(context, one, {"do": "conflicts", "case": case})
        except Refused as refused:
            fault = fault or refused
            continue
        found += [(one, {"client": one, **known}) for known in reply["cases"]]
    if len(found) > 1:
        raise UsageFault(f"{' and '.join(name for name, _ in found)} have a case {case}", "say whose: --client")
    if not found:
        raise fault or Refused(f"there is no case {case}")
    return found[0]


def _ordered(context: click.Context, client: str, request: dict[str, Any], *, json_: bool) -> None:
    found = {"client": client, **_ask(context, client, request)["case"]}
    if json_:
        as_json(found)
    else:
        click.echo(printable(line(found, colour=False)))


# -- in words
def when(at_ms: int) -> str:
    """A time as people read it."""
    from mai.daemon.reader import clock

    return clock(at_ms * 1_000_000).strftime("%Y-%m-%d %H:%M:%S")


def line(one: dict[str, Any], *, colour: bool = False) -> str:
    """One case on one line."""
    state = click.style("open", fg="red") if colour and one["state"] == "open" else one["state"]
    about = f"{one['case']}  {state}  {one['subject']} {one['attribute']}, {' against '.join(one['between'])}"
    if one["state"] == "open":
        whose = "a person decides" if one["owner"] == "person" else "the boards decide"
        return f"{about}: {whose} until {when(one['deadline_ms'])}{' (an appeal)' * one['appealed']}"
    ruling = one["ruling"]
    if not ruling:
        return about
    until = f", valid until {when(ruling['until_ms'])}" if one["state"] == "ruled" else ""
    return f"{about}: {ruling['winner']} has won ({ruling['clause']}), says {ruling['by']}{until}"


def told(one: dict[str, Any]) -> str:
    """All that is known of one."""
    lines = [line(one), f"  precedence  {one['precedence']}"]
    for claim in one["claims"]:
        value = json.dumps(claim["value"], ensure_ascii=False) if claim.get("shown") else "(does not leave its department)"
        lines.append(f"  claim {claim['id']}  {claim.get('state', 'standing')}")
        lines.append(f"    {claim['agent']} ({claim['rank']}): {one['attribute']} = {value}, {claim['confidence']:.0%} sure")
        lines += [f"    because {claim['why']}"] if claim.get("why") else []
        grounds = [
            f"{ground['name']} (record {ground['seq']})" if ground["seq"] else ground["name"]
            for ground in claim.get("grounds", ())
        ]
        lines += [f"    rests on {', '.join(grounds)}"] if grounds else []
        lines.append(f"    valid until {when(claim['until_ms'])}")
    lines += [f"  vote of {name}: {vote.get('claim') or 'undecided'} ({vote['why']})" for name, vote in one["votes"].items()]
    if one["ruling"]:
        lines.append(
            f"  ruled for {one['ruling']['winner']} by {one['ruling']['by']}: {one['ruling']['clause']}; {one['ruling']['why']}"
        )
    lines += [f"  waits for it: {task}" for task in one["waiting"]]
    for entry in one["history"]:
        why = f": {entry['why']}" if entry.get("why") else ""
        lines.append(f"  {when(entry['at_ms'])}  {entry['what']} {entry.get('who', '')}".rstrip() + why)
    if one["state"] == "open":
        lines.append(f'decide it: mai conflicts rule {one["case"]} --for CLAIM --why "…"')
    return "\n".join(lines)
