"""The command `mai trace`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mai.daemon.terminal import as_json, examples, json_option, on_terminal, place_of
from mai.sandbox.errors import UsageFault
from mai.sandbox.place import Place

if TYPE_CHECKING:
    from mai.daemon.tree import Trace

FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


@click.command(
    epilog=examples(
        "mai trace 19a2b3c4d5e6f7a8b",
        "mai trace acme/r1 --json",
        "mai trace r1 --svg r1.svg",
        "mai trace r1 --html - > r1.html",
        "mai trace r1 --otlp http://127.0.0.1:4318",
    )
)
@click.argument("request")
@json_option
@click.option("--svg", type=FILE, help="Write a timeline as an SVG picture; - is standard output.")
@click.option("--html", type=FILE, help="Write it as a page, with a table of all rows.")
@click.option("--otlp", "where", help="Send it as an OpenTelemetry trace to a collector's address, or add it to a file.")
@click.option("--contents", is_flag=True, help="With --otlp: also what was said and found.")
@click.pass_context
def trace(
    context: click.Context, request: str, *, json_: bool, svg: Path | None, html: Path | None, where: str | None, contents: bool
) -> None:
    """Show the tree of a request's hops with their times. The beginning of its id is enough.

    With it stand retries, fallbacks, approvals, escalations, hand-overs, conflicts, crashes, and what models took. The pictures
    need nothing but themselves, and are for light and dark screens.
    """
    from mai.daemon.tree import render

    if json_ and (svg or html or where):
        raise UsageFault("--json and another form do not go together", "ask for one after the other")
    found = seen(place_of(context), request)
    if json_:
        from mai.daemon.trace import fields

        as_json(fields(found))
    elif svg or html or where:
        _draw(found, svg, html)
        if where:
            from mai.daemon.otlp_commands import one

            one(place_of(context), found, where, contents=contents)
    else:
        click.echo(render(found, colour=on_terminal()))


def seen(place: Place, request: str) -> "Trace":
    """The trace, read here, or by the daemon where the ledgers are not ours to read. Raises MaiError."""
    from mai.daemon import afar

    if not afar.closed(place):
        from mai.daemon.trace import trace as traced

        return traced(place, request)
    import msgspec

    from mai.daemon.tree import Trace

    return msgspec.convert(afar.document(place, "trace", request), Trace)


def _draw(found: "Trace", svg: Path | None, html: Path | None) -> None:
    if svg:
        from mai.daemon.timeline_svg import svg as drawn

        _write(svg, drawn(found))
    if html:
        from mai.daemon.timeline_html import html as page

        _write(html, page(found))


def _write(path: Path, text: str) -> None:
    with click.open_file(str(path), "w", encoding="utf-8") as file:
        file.write(text)
    if str(path) != "-":
        click.echo(f"{path}: {len(text.encode()):,} bytes")
