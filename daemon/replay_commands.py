"""The command `mai replay`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec

from mai.daemon.terminal import as_json, examples, json_option, on_terminal, place_of, printable
from mai.sandbox.errors import FAILED, REDACTED, UsageFault

if TYPE_CHECKING:
    from mai.daemon.replaying import Swept
    from mai.sandbox.place import Place


@click.command(
    epilog=examples(
        "mai replay acme/support:57",
        "mai replay r1 --list",
        "mai replay r1/1.1 --json",
        "mai replay --all acme",
        "mai replay --run acme/support:57 --policy other.toml",
        "mai replay --run acme/support:57 --model large --edit request.json",
    )
)
@click.argument("decision", required=False)
@click.option("--list", "how", flag_value="list", help="Only name the decisions of a request, a task, a process or a client.")
@click.option(
    "--all", "how", flag_value="all", help="Replay each of them, and say only what differs; without DECISION all that there are."
)
@click.option("--raw-request", "how", flag_value="request", help="Only write the exact bytes that a model was asked with for it.")
@click.option("--raw-response", "how", flag_value="response", help="Only write the exact bytes that it has answered.")
@click.option("--run", "how", flag_value="run", help="Make the decision once more in a scratch process, without effects.")
@click.option("--model", metavar="MODEL", help="With --run: send the exact request to this model of the organisation's.")
@click.option("--policy", metavar="FILE", help="With --run: by the policies of this organisation file.")
@click.option("--edit", metavar="FILE", help="With --run: with what this JSON says, in what brought the task or in the request.")
@click.option("--organisation", metavar="FILE", help="With --run: the organisation and its code; by default $MAI_CONFIG.")
@click.option("--full", is_flag=True, help="Show long texts to their end.")
@json_option
@click.pass_context
def replay(
    context: click.Context, *, decision: str | None, how: str | None, full: bool, json_: bool, model: str | None,
    policy: str | None, edit: str | None, organisation: str | None,
) -> None:  # fmt: skip
    """Show what an agent knew when he decided, in order, and check that it is what was sealed then.

    DECISION is PROCESS:NUMBER, as --list names them, or a request or a task with one decision. Only the ledgers are read: a copy
    of them is enough, without the daemon, the organisation file and the agents' code. Nothing is asked or called.
    Exit status 1 if anything differs from what was sealed, 6 if nothing does but values of it were erased (mai erase).

    With --run an agent's code, a rank's behaviour or policies decide once more over what is on record, and what would have come
    out is shown beside what came out. No tool is called, a model only with --model; nothing is written to the company's state.
    """
    from mai.daemon import decisions, replay_form, replaying

    place = place_of(context)
    if how == "all":
        _all(replaying.sweep(place, decision), json_)
        return
    if not decision:
        raise UsageFault("it is not said which decision", "name one, or a request: mai replay r1 --list; or say --all")
    if how != "run" and (model or policy or edit or organisation):
        raise UsageFault("--model, --policy, --edit and --organisation are for --run", "mai replay --run DECISION …")
    if how == "run":
        _run(place, decision, Wishes(model, policy, edit, organisation), json_)
        return
    if how == "list":
        found = list(decisions.decisions(place, decision))
        if json_:
            as_json(
                {"decisions": [{"decision": decisions.name_of(who, seq), **msgspec.to_builtins(one)} for who, one, seq in found]}
            )
        else:
            click.echo(printable(replay_form.listed(found)))
        return
    if how:
        click.echo(replaying.raw(place, decision, how), nl=False)
        return
    replayed = replaying.replay(place, decision)
    if json_:
        as_json(msgspec.to_builtins(replayed))
    else:
        click.echo(printable(replay_form.render(replayed, full=full, colour=on_terminal())))
    sys.exit({"differs": FAILED, "redacted": REDACTED}.get(replayed.verdict, 0))


class Wishes(NamedTuple):
    """What is said beside --run."""

    model: str | None
    policy: str | None
    edit: str | None
    organisation: str | None


def _run(place: "Place", decision: str, wishes: Wishes, json_: bool) -> None:
    from mai.daemon import reasking, rerun, rerun_form
    from mai.daemon.up import organisation_file

    file = organisation_file(wishes.organisation, place)
    if wishes.model and wishes.policy:
        raise UsageFault("a model is asked, or policies are held against it", "leave --model or --policy away")
    if wishes.model:
        found = reasking.ask(place, decision, file, wishes.model, wishes.edit)
    else:
        change = rerun.read_edit(wishes.edit) if wishes.edit else None
        found = rerun.rerun(place, decision, rerun.Wanted(file, Path(wishes.policy) if wishes.policy else None, change))
    if json_:
        as_json({"scratch": True, **msgspec.to_builtins(found)})
    else:
        click.echo(printable(rerun_form.render(found.decision, found.what, found.agent, found.outcome)))
    sys.exit(FAILED if found.outcome.fault else 0)


def _all(found: "Swept", json_: bool) -> None:
    from mai.daemon import replay_form

    if json_:
        as_json({"decisions": found.count, **msgspec.to_builtins(found)})
    else:
        click.echo(printable(replay_form.swept(found, colour=on_terminal())))
    sys.exit(FAILED if found.wrong else REDACTED if found.redacted else 0)
