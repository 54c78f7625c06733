"""The command `mai why`."""

import click

from mai.daemon.terminal import as_json, examples, json_option, on_terminal, place_of, plain, printable


@click.command(
    epilog=examples(
        "mai why acme/r1", 'mai why r1 "665 customers"', "mai why r1 --json | jq '.sentences[].nowhere'", "mai why r1 --all"
    )
)
@click.argument("answer")
@click.argument("words", default="")
@click.option("--all", "whole", is_flag=True, help="Also what an agent knew that has nothing of the sentence.")
@json_option
@click.pass_context
def why(context: click.Context, answer: str, words: str, *, whole: bool, json_: bool) -> None:
    """Lead the answer to a request back to the records that it rests on.

    ANSWER is the request, as `mai trace` takes it; WORDS choose a sentence. For each: the part that gave it, who came to that
    result, and what he knew then that has the sentence's numbers, dates and words: tools, memory, replies, claims and their
    rulings, the texts that a model was given; behind a reply the same again. Each ends in a record, PROCESS:NUMBER. A number that
    stands in none of them is named: an agent's code, or a model, has made it.
    """
    from mai.daemon.why import why as explained
    from mai.daemon.why_form import render

    found = explained(place_of(context), answer, words, whole=whole)
    if json_:
        as_json(plain(found))
    else:
        click.echo(printable(render(found, colour=on_terminal())))
