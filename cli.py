"""The command line: one function for each command, thin over `mai.daemon`, and nothing imported before it is needed.

Exit status: 0 done, 1 failed, 2 usage or configuration, 3 not running, 4 refused, 5 deadline passed, 6 erased (`mai replay`).
Errors go to standard error: one sentence and a hint. Colour and progress only on a terminal.
"""

import os
import sys
from pathlib import Path

import click

from mai.daemon.terminal import (
    Commands,
    as_json,
    client_argument,
    complete_client,
    detach_option,
    examples,
    follow_option,
    json_option,
    lines_option,
    on_terminal,
    place_of,
    printable,
    process_argument,
    tape_argument,
)
from mai.sandbox.errors import FAILED, MaiError
from mai.sandbox.settings import SETTINGS

SETTINGS_HELP = "\b\n" + "\n".join(f"{one.name:11} {one.help}" for one in SETTINGS)


ELSEWHERE = {  # commands that lie beside what they show
    "approvals": "mai.daemon.approvals_commands",
    "approve": "mai.daemon.approvals_commands",
    "archive": "mai.daemon.archive_commands",
    "backup": "mai.daemon.backup_commands",
    "bench": "mai.daemon.bench_commands",
    "chart": "mai.daemon.file_commands",
    "chat": "mai.daemon.talk_commands",
    "check": "mai.daemon.file_commands",
    "checkpoint": "mai.daemon.checkpoint_commands",
    "client": "mai.daemon.client_commands",
    "deliver": "mai.daemon.thread_commands",
    "deny": "mai.daemon.approvals_commands",
    "conflicts": "mai.daemon.conflict_commands",
    "doctor": "mai.daemon.doctor_commands",
    "drain": "mai.daemon.holding_commands",
    "effects": "mai.daemon.effects_commands",
    "erase": "mai.daemon.person_commands",
    "escalations": "mai.daemon.escalation_commands",
    "export": "mai.daemon.export_commands",
    "verify": "mai.daemon.verify_commands",
    "cancel": "mai.daemon.cancel_commands",
    "rebuild": "mai.daemon.rebuild_commands",
    "quarantine": "mai.daemon.quarantine_commands",
    "fallback": "mai.daemon.fallback_commands",
    "keys": "mai.daemon.keys_commands",
    "incidents": "mai.daemon.incidents_commands",
    "memory": "mai.daemon.memory_commands",
    "metrics": "mai.daemon.metrics_commands",
    "otlp": "mai.daemon.otlp_commands",
    "owed": "mai.daemon.owed_commands",
    "pause": "mai.daemon.holding_commands",
    "policy": "mai.daemon.policy_commands",
    "reload": "mai.daemon.reload_commands",
    "restart": "mai.daemon.holding_commands",
    "resume": "mai.daemon.holding_commands",
    "remedies": "mai.daemon.remedies_commands",
    "replay": "mai.daemon.replay_commands",
    "restore": "mai.daemon.backup_commands",
    "shift": "mai.daemon.shift_commands",
    "sla": "mai.daemon.sla_commands",
    "sql": "mai.daemon.sql_commands",
    "status": "mai.daemon.status_commands",
    "tail": "mai.daemon.tail_commands",
    "thread": "mai.daemon.thread_commands",
    "trace": "mai.daemon.trace_commands",
    "why": "mai.daemon.why_commands",
}


SECTIONS = {  # of `mai --help`, with their commands in the order in which they are met
    "Begin": "demo check chart policy up down reload client doctor bench completion",
    "Talk": "ask chat thread deliver cancel",
    "Decide": "owed approvals approve deny escalations conflicts effects quarantine",
    "Operate": (
        "status start stop restart drain pause resume reset shift logs incidents remedies fallback budgets sla metrics keys"
    ),
    "Answer for it": "tail trace why replay memory verify checkpoint sql export otlp",
    "Keep": "archive backup restore rebuild erase",
    "Try models": "provider play record",
}


@click.group(
    cls=Commands,
    elsewhere=ELSEWHERE,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=SETTINGS_HELP,
)
@click.option("--state", metavar="DIR", help="State directory; by default $MAI_STATE.")
@click.version_option(package_name="mai-company", prog_name="mai")
@click.pass_context
def main(context: click.Context, state: str | None) -> None:
    """Run a company of AI agents on one host and make it behave like one team."""
    context.obj = state


# -- the daemon
@main.command(
    epilog=examples("mai up etc/company.toml", "mai up --detach etc/company.toml", "mai --state /tmp/try up company.toml")
)
@click.argument("file", required=False)
@detach_option
@click.pass_context
def up(context: click.Context, file: str | None, detach: bool) -> None:
    """Start the daemon, and stay in the foreground until Ctrl-C or SIGTERM."""
    _up(context, file, detach=detach)


def _up(context: click.Context, file: str | None, *, detach: bool) -> None:
    from mai.daemon.showing import stay
    from mai.daemon.up import Start, organisation_file

    place = place_of(context)
    stay(Start(place, organisation_file(file, place), detach=detach, heed=True), detach=detach)


@main.command(epilog=examples("mai down", "mai --state /tmp/try down"))
@click.pass_context
def down(context: click.Context) -> None:
    """Stop the daemon in order: departments, each Mai, watchdog, supervisor."""
    from mai.daemon.up import down as end

    place = place_of(context)
    click.echo(f"the daemon (process {end(place)}) of {place.state} has ended")


def _order(do: str, context: click.Context, name: str) -> None:
    from mai.daemon.door import Door

    reply = Door(place_of(context).door, 120).call({"do": do, "name": name})
    click.echo(f"{reply['name']} is {reply['state']}" + (f" (process {reply['pid']})" if reply.get("pid") else ""))


@main.command(epilog=examples("mai start acme/support"))
@process_argument
@click.pass_context
def start(context: click.Context, process: str) -> None:
    """Start a stopped process and wait until it is ready."""
    _order("start", context, process)


@main.command(epilog=examples("mai stop acme/support"))
@process_argument
@click.pass_context
def stop(context: click.Context, process: str) -> None:
    """Stop a process; it stays stopped, over restarts too, until it is started."""
    _order("stop", context, process)


@main.command(epilog=examples("mai reset acme/support"))
@process_argument
@click.pass_context
def reset(context: click.Context, process: str) -> None:
    """Start a process that failed too often, with a clean record."""
    _order("reset", context, process)


# -- the client
@main.command(
    epilog=examples(
        'mai ask acme "refund order 10423"', 'mai ask acme --json "who is on call?"', 'echo "who is on call?" | mai ask acme -'
    )
)
@client_argument
@click.argument("text")
@click.option("--id", "request", help="Id of the request: asked again with the same id, it gives the same answer.")
@click.option("--timeout", "timeout_s", type=float, metavar="SECONDS", help="Deadline; by default the organisation's.")
@json_option
@click.pass_context
def ask(context: click.Context, client: str, text: str, *, request: str | None, timeout_s: float | None, json_: bool) -> None:
    """Ask a client's Mai and wait for the answer; on a terminal each hop is shown as it happens. TEXT - is standard input."""
    from mai.daemon import asking, showing

    text = asking.text_of(os.fsencode(text) if text != "-" else sys.stdin.buffer.read(asking.LONGEST_BYTES + 1))
    request, live = request or asking.new_id(), on_terminal() and not json_
    try:
        for reply in asking.ask(place_of(context), client, text, request=request, timeout_s=timeout_s, watch=live):
            if "hop" in reply:
                showing.hop(reply["hop"])
            elif "notice" in reply and live:
                showing.notice(reply["notice"])
            elif "answer" in reply:
                showing.answer(reply["answer"], json_)
                sys.exit(asking.CODES.get(reply["answer"]["state"], FAILED))
    except KeyboardInterrupt:
        raise MaiError("you wait no longer", asking.kept(request)) from None


# -- the journals
@main.command(epilog=examples("mai logs acme/finance", "mai logs -f watchdog"))
@process_argument
@follow_option
@lines_option
@click.pass_context
def logs(context: click.Context, process: str, follow: bool, lines: int) -> None:
    """Show what a process printed."""
    from mai.daemon.logs import Log, log_of
    from mai.daemon.output import stream

    stream(Log(log_of(place_of(context), process)).lines(lines, follow=follow))


@main.command(epilog=examples("mai budgets", "mai budgets acme --json"))
@click.argument("client", required=False, shell_complete=complete_client)
@json_option
@click.pass_context
def budgets(context: click.Context, client: str | None, json_: bool) -> None:
    """Show what clients, departments and agents have spent on models, and taken of their other limits."""
    from mai.daemon import budgets as spending
    from mai.daemon.taken import taken

    lines, also = spending.budgets(place_of(context), client), taken(place_of(context), client)
    if json_:
        as_json(spending.fields(lines, also))
    else:
        click.echo(spending.render(lines, also, colour=on_terminal()))


# -- models without cost
@main.command(epilog=examples("mai record company.toml answers", "mai record --detach company.toml answers"))
@click.argument("file")
@tape_argument
@detach_option
@click.pass_context
def record(context: click.Context, file: str, tape: Path, detach: bool) -> None:
    """Start the daemon as `up` does and record what models answer into the directory TAPE, or go on with it."""
    from mai.daemon.playing import recorded

    os.environ |= recorded(tape)
    _up(context, file, detach=detach)


@main.command(epilog=examples("mai play company.toml answers", "mai play --detach company.toml answers"))
@click.argument("file")
@tape_argument
@detach_option
@click.pass_context
def play(context: click.Context, file: str, tape: Path, detach: bool) -> None:
    """Start the daemon as `up` does, with models that answer from TAPE, byte for byte, and without network."""
    from mai.daemon.playing import played

    os.environ |= played(tape)
    _up(context, file, detach=detach)


@main.command(epilog=examples("mai provider", "mai provider --port 8080 script.toml", "mai provider --key-file key --seed 7"))
@click.argument("script", required=False, type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where to listen on loopback; by default any free port.")
@click.option("--key-file", type=click.Path(path_type=Path), help="A file with the key that callers must bring.")
@click.option("--seed", type=int, help="Which of the script's faults come when; by default the script's.")
def provider(script: Path | None, port: int, key_file: Path | None, seed: int | None) -> None:
    """Run a scripted provider of models until Ctrl-C: what SCRIPT (TOML) says, else invented, in OpenAI's protocol."""
    from mai.daemon import playing
    from mai.daemon.scripted import Provider

    log = (lambda line: click.echo(printable(line))) if on_terminal() else (lambda line: None)
    server = Provider(playing.script_of(script), key=playing.key_of(key_file), seed=seed, log=log)
    playing.serve(server, port, lambda url: click.echo(playing.greeting(url, server.models()[0], key_file)))


# -- to try it
@main.command(epilog=examples("mai demo"))
@click.argument("file", required=False, type=click.Path(path_type=Path))
def demo(file: Path | None) -> None:
    """Start the reference organisation in a temporary place, ask it, and kill a department while it works."""
    from mai.daemon import thinking
    from mai.daemon.example import company

    thinking.demo(file or company(), click.echo, colour=on_terminal()).run()


@main.command(epilog=examples('eval "$(mai completion bash)"', "mai completion fish > ~/.config/fish/completions/mai.fish"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None, "click knows these three"
    click.echo(found(main, {}, "mai", "_MAI_COMPLETE").source())


if __name__ == "__main__":
    main(prog_name="mai")
