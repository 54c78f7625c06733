"""The commands `mai pause`, `mai resume`, `mai drain` and `mai restart`; the first two also for one agent."""

import sys
from typing import TYPE_CHECKING

import click

from mai.daemon.terminal import as_json, examples, json_option, place_of
from mai.sandbox.errors import UsageFault

if TYPE_CHECKING:
    from mai.sandbox.place import Place

why_option = click.option("--why", default="", metavar="TEXT", help="The reason; who waits too long is told it, and auditors.")
timeout_option = click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0, 86400, min_open=True), default=60.0, show_default=True, metavar="SECONDS",
    help="How long it may take to finish what it has; what is open then goes on when it runs again.",
)  # fmt: skip


@click.command(
    epilog=examples(
        "mai pause acme/finance", 'mai pause acme/finance --why "the bank is being moved"', "mai pause acme/finance/clerk"
    )
)
@click.argument("department", metavar="DEPARTMENT|AGENT")
@why_option
@json_option
@click.pass_context
def pause(context: click.Context, department: str, why: str, json_: bool) -> None:
    """Give a department, or one agent, no new tasks; a department runs on and finishes what it has.

    What is for it waits at Mai until mai resume, over restarts too. At its deadline who waits is told who paused it, and why.
    What an agent has, and has changed nothing for, goes to a colleague of its shifts or to a backup; new tasks too, or they wait.
    """
    if department.count("/") > 1:
        return _agent(context, department, "pause", why, json_=json_)
    return _hold(place_of(context), "pause", department, why, json_=json_)


@click.command(epilog=examples("mai resume acme/finance", "mai resume acme/finance/clerk"))
@click.argument("department", metavar="DEPARTMENT|AGENT")
@json_option
@click.pass_context
def resume(context: click.Context, department: str, json_: bool) -> None:
    """Give a paused department, or agent, its tasks again; those that have waited first."""
    if department.count("/") > 1:
        return _agent(context, department, "", "", json_=json_)
    return _hold(place_of(context), "resume", department, "", json_=json_)


def _agent(context: click.Context, name: str, how: str, why: str, *, json_: bool) -> None:
    from mai.daemon.shift_commands import say, sentence

    told = say(context, name, how, None, why)
    if json_:
        as_json(told)
    else:
        click.echo(sentence(told))


def _hold(place: "Place", do: str, department: str, why: str, *, json_: bool) -> None:
    from mai.daemon.door import Door

    reply = Door(place.door, 30).call({"do": do, "name": department, "why": why})
    if json_:
        as_json(reply)
    else:
        click.echo(f"{reply['name']} is {reply['state']}")


@click.command(epilog=examples("mai drain acme/finance", "mai drain acme/finance --timeout 300"))
@click.argument("department")
@why_option
@timeout_option
@json_option
@click.pass_context
def drain(context: click.Context, department: str, why: str, *, timeout_s: float, json_: bool) -> None:
    """Let a department finish what it has, then stop it. Start it again with mai start.

    What is new for it waits at Mai. Ctrl-C leaves the draining to the watchdog; mai start or mai resume takes it back.
    """
    _drain(place_of(context), department, "stop", why, timeout_s, json_=json_)


@click.command(epilog=examples("mai restart acme/support", "mai restart --rolling acme", "mai restart --rolling"))
@click.argument("process", required=False)
@click.option(
    "--rolling", is_flag=True, help="Each department of the client, or of all, after the other; each is drained before."
)
@why_option
@timeout_option
@json_option
@click.pass_context
def restart(context: click.Context, process: str | None, rolling: bool, why: str, *, timeout_s: float, json_: bool) -> None:
    """Stop a process and start it again; with --rolling departments one by one, with no request lost or late for it."""
    from mai.daemon.door import Door

    place = place_of(context)
    if not rolling:
        if not process:
            raise UsageFault(
                "which process?", "name one, such as acme/support, or restart all departments: mai restart --rolling"
            )
        reply = Door(place.door, 120).call({"do": "restart", "name": process})
        return as_json(reply) if json_ else click.echo(f"{reply['name']} is {reply['state']} (process {reply['pid']})")
    names = departments(place, process or "")
    for number, name in enumerate(names, 1):
        if not json_:
            click.echo(f"{number} of {len(names)}  ", nl=False)
        _drain(place, name, "run", why or "a rolling restart", timeout_s, json_=json_)
    return None


def departments(place: "Place", chosen: str) -> list[str]:
    """The departments that run and are wanted, of a client, or this one. Raises UsageFault if there is none."""
    from mai.agents.organisation import SERVICES
    from mai.daemon.door import Door

    processes = Door(place.door, 30).call({"do": "status"})["processes"]
    known = {one["name"]: one for one in processes if one["name"].partition("/")[2] not in ("", "mai", *SERVICES)}
    found = [name for name in known if not chosen or name == chosen or name.partition("/")[0] == chosen]
    if not found:
        clients = sorted({name.partition("/")[0] for name in known})
        raise UsageFault(f"there is no client or department {chosen[:80]!r}", f"there are: {', '.join(clients)}")
    return [name for name in found if known[name]["wanted"] == "run" and known[name]["state"] not in ("stopped", "failed")]


def _drain(place: "Place", name: str, then: str, why: str, timeout_s: float, *, json_: bool) -> None:
    from mai.daemon.door import Door, fault

    order = {"do": "drain", "name": name, "then": then, "why": why, "timeout_s": timeout_s}
    for reply in Door(place.door, timeout_s + 120).ask(order):
        if "error" in reply:
            raise fault(reply)
        if "queue" not in reply:
            process = f" (process {reply['pid']})" if reply.get("pid") else ""
            return as_json(reply) if json_ else click.echo(f"{reply['name']} is {reply['state']}{process}")
        if sys.stderr.isatty() and not json_:
            click.echo(f"{name}: {reply['queue']} open", err=True)
    return None
