"""The command `mai sql`."""

import shutil
import sys

import click

from mai.daemon.terminal import as_json, complete_process, count, examples, json_option, on_terminal, place_of
from mai.sandbox.errors import UsageFault

LONGEST = 100_000  # characters of a question


@click.command(
    epilog=examples(
        "mai sql",
        'mai sql acme/mai "select request, state, text, answer from requests order by at desc limit 5"',
        "mai sql acme --csv \"select at, agent, tool, given, state from effects where state <> 'done'\"",
        "mai sql acme/support --json - < question.sql",
        "mai sql acme/mai 'select * from records where request = ? and request <> \"\"' --value 19a2b3c4d5e6f7a8b",
    )
)
@click.argument("what", required=False, metavar="[PROCESS|CLIENT]", shell_complete=complete_process)
@click.argument("query", required=False)
@click.option("--value", "given", multiple=True, help="The value of a ? in the question, in their order.")
@click.option("--rows", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="How many rows at most.")
@click.option(
    "--seconds", type=click.FloatRange(0, 600, min_open=True), default=30.0, show_default=True, help="How long it may take."
)
@click.option("--live", is_flag=True, help="Leave out what lies in archived segments: quicker where they are large.")
@click.option("--csv", "csv_", is_flag=True, help="Print CSV.")
@json_option
@click.pass_context
def sql(
    context: click.Context,
    *,
    what: str | None,
    query: str | None,
    given: tuple[str, ...],
    rows: int,
    seconds: float,
    live: bool,
    csv_: bool,
    json_: bool,
) -> None:
    """Ask the ledger of a process, or each of a client's, one question in SQL; without one, show the views that there are.

    Only reading is possible, also while the process works. Tables and views are described in SCHEMA.md; times are UTC.
    QUERY - is standard input. Of several ledgers each is asked alone, and its name stands in the first column.
    """
    from mai.daemon import sql_form
    from mai.daemon.reader import chosen
    from mai.daemon.sql import ask
    from mai.sandbox.views import VIEWS

    if query is None:
        if what and " " in what:
            raise UsageFault("it is not said whose ledger", f"name a process or a client first: mai sql acme/mai {what[:40]!r}")
        click.echo(sql_form.described(VIEWS, colour=on_terminal()))
        return
    query = sys.stdin.read(LONGEST + 1) if query == "-" else query
    if len(query) > LONGEST:
        raise UsageFault(f"a question has at most {LONGEST:,} characters", "make it shorter")
    place = place_of(context)
    found = ask(place, chosen(place, what), query, given, rows=rows, seconds=seconds, live=live, progress=count)
    if json_:
        as_json(sql_form.objects(found.columns, found.rows))
    elif csv_:
        click.echo(sql_form.csv_text(found.columns, found.rows))
    else:
        width = shutil.get_terminal_size().columns if on_terminal() else 0
        click.echo(sql_form.table(found.columns, found.rows, colour=on_terminal(), width=width))
    for note in (*found.notes, *((f"there are more than these {len(found.rows)} rows; say --rows",) if found.more else ())):
        click.echo(note, err=True)
