"""The command `mai otlp`, and the same for one request."""

import hashlib
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
import msgspec

from mai.daemon.terminal import (
    as_json,
    complete_client,
    examples,
    follow_option,
    json_option,
    place_of,
    plain,
    printable,
    told,
)
from mai.sandbox.errors import FAILED, UsageFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from mai.daemon.otlp import Span
    from mai.daemon.otlp_following import Following
    from mai.daemon.otlp_sending import Delivered
    from mai.daemon.tree import Trace
    from mai.sandbox.place import Place

    Send = Callable[[list[Span]], Delivered]

LOOK_S = 0.5  # between two looks at the journals


@click.command(
    epilog=examples(
        "mai otlp --to http://127.0.0.1:4318", "mai otlp acme --to traces.jsonl", "mai otlp --follow --from-now",
        "OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20… mai otlp --to https://collector.example",
    )
)  # fmt: skip
@click.argument("client", required=False, shell_complete=complete_client)
@click.option("--to", "where", envvar="OTEL_EXPORTER_OTLP_ENDPOINT", help="A collector's address, or a file that grows.")
@follow_option
@click.option(
    "--cursor",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file that says how far it has come; by default one in STATE for each --to.",
)
@click.option("--from-now", is_flag=True, help="Without a cursor: leave out what has ended already.")
@click.option("--contents", is_flag=True, help="With what was said and found: messages, arguments, results.")
@json_option
@click.pass_context
def otlp(
    context: click.Context, client: str | None, *, where: str | None, follow: bool, cursor: Path | None, from_now: bool,
    contents: bool, json_: bool,
) -> None:  # fmt: skip
    """Send requests that have ended to an OpenTelemetry collector, as traces with the gen_ai names.

    OTLP over HTTP, as JSON; or a file with a line for each portion. Each request goes once: what was sent is kept in the
    cursor's file when it has been taken, and what is not taken goes the next time. It runs beside the daemon, which itself opens
    no network for it. Headers come from OTEL_EXPORTER_OTLP_HEADERS. Nothing of what was said or found goes without --contents.
    """
    from mai.daemon.otlp_following import Cursor, Following

    place = place_of(context)
    stop = _stopped() if follow else threading.Event()
    send = sender(where, stop)
    kept = Cursor(cursor or place.state / f"otlp-{hashlib.sha256(str(where).encode()).hexdigest()[:12]}.json")
    following = Following(place, client, kept, contents=contents)
    if from_now and not kept.known():
        following.begin_now()
    counts = Counts()
    while _round(following, send, counts, follow=follow) and not stop.wait(LOOK_S):
        pass
    if json_:
        as_json(plain(counts))
    else:
        click.echo(f"{counts.requests:,} requests, {counts.spans:,} spans" + _rejected(counts.rejected, counts.said))
    sys.exit(FAILED if counts.rejected else 0)


def _stopped() -> threading.Event:
    """Set by Ctrl-C or SIGTERM, so that what is on its way is taken down as taken; a second one ends it at once."""
    stop = threading.Event()

    def asked(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, asked)
    return stop


class Counts(msgspec.Struct):
    """What has gone out."""

    requests: int = 0
    spans: int = 0
    rejected: int = 0  # by the collector
    said: str = ""  # why


def _round(following: "Following", send: "Send", counts: Counts, *, follow: bool) -> bool:
    """Send what there is; whether to look again. Raises MaiError: where it goes on, what passes is told and waited for."""
    from mai.daemon.otlp_sending import Undelivered

    try:
        for requests, taken in following.deliver(send, all_=not follow):
            counts.requests, counts.spans = counts.requests + requests, counts.spans + taken.spans
            counts.rejected, counts.said = counts.rejected + taken.rejected, taken.said or counts.said
    except Undelivered as error:
        if not follow or error.lasting:
            raise
        click.echo(f"{told(error)}; it goes on trying, nothing is left out", err=True)
    return follow


def _rejected(count: int, said: str) -> str:
    return f"; {count:,} were rejected{': ' * bool(said)}{printable(said)}" if count else ""


def sender(where: str | None, stop: threading.Event) -> "Send":
    """How spans get there: to a collector, into a file, or to standard output; `stop` ends its waits. Raises UsageFault."""
    from mai.daemon import otlp_sending

    if not where:
        raise UsageFault("it is not said where the traces go", f"say --to http://HOST:4318, or set {otlp_sending.ENDPOINT}")
    if otlp_sending.is_address(where):
        return otlp_sending.Collector(where, wait=stop.wait).send
    return lambda spans: otlp_sending.write(where, spans)


def one(place: "Place", trace: "Trace", where: str, *, contents: bool) -> None:
    """Send one request's trace, and say so. Raises MaiError, OSError."""
    from mai.daemon.otlp import export

    spans = export(trace)
    if contents:
        from mai.daemon.books import Books
        from mai.daemon.otlp_contents import Contents

        with Books(place) as books:
            spans = export(trace, Contents(books, trace.request))
    taken = sender(where, threading.Event())(spans)
    click.echo(
        f"trace {spans[0].data['traceId']}: {taken.spans:,} spans" + _rejected(taken.rejected, taken.said), err=where == "-"
    )
    if taken.rejected:
        sys.exit(FAILED)
