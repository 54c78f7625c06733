"""The command `mai incidents`."""

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from mai.daemon.terminal import as_json, examples, json_option, place_of, printable
from mai.sandbox.errors import UsageFault

if TYPE_CHECKING:
    from mai.daemon.tail_form import Line
    from mai.sandbox.place import Place

SOUGHT = 20_000  # incidents that are looked through for those of one process
LAST_LINES = 12  # of its output


@click.command(
    epilog=examples("mai incidents", "mai incidents acme/support", "mai incidents --follow acme", "mai incidents 4711")
)
@click.argument("what", required=False, default="")
@click.option("-f", "--follow", is_flag=True, help="Show new ones as they come.")
@click.option(
    "-n", "--lines", "count", type=click.IntRange(1, 10_000), default=20, show_default=True, metavar="NUMBER", help="How many."
)
@json_option
@click.pass_context
def incidents(context: click.Context, what: str, *, follow: bool, count: int, json_: bool) -> None:
    """What the watchdog saw: deaths, hangs, bounds that were passed, processes that were given up.

    WHAT is a client, a process, or the number of an incident, which is then shown whole: with a death what it died of, what it
    said last, what it had in hand, and how soon it was back. Reads the watchdog's journal; the daemon need not run.
    """
    place = place_of(context)
    if what.isdigit():
        found = whole(place, int(what))
        return as_json(found) if json_ else click.echo(printable("\n".join(pages(found))))
    for one in _lines(place, what, count, follow=follow):
        click.echo(json.dumps(one) if json_ else printable(line(one)))
    return None


def _lines(place: "Place", what: str, count: int, *, follow: bool) -> Iterator[dict[str, Any]]:
    """The last incidents, and then what comes."""
    from mai.daemon.tail import Tail
    from mai.daemon.wanted import Wanted

    tail = Tail(place, None, Wanted(kind="incident"), alone="watchdog")
    try:
        many = SOUGHT if what or not place.sees("watchdog") else count
        found = [one for one in map(_plain, tail.latest(many)) if _of(one, what) and place.sees(one["process"])]
        yield from found[-count:]
        if follow:
            yield from (one for one in map(_plain, tail.follow()) if _of(one, what) and place.sees(one["process"]))
    finally:
        tail.close()


def _plain(line: "Line") -> dict[str, Any]:
    return {"number": line.record.seq, "at_ms": line.record.at_ns // 1_000_000, **line.body}


def _of(one: dict[str, Any], what: str) -> bool:
    return not what or one["process"] == what or one["process"].partition("/")[0] == what


def line(one: dict[str, Any]) -> str:
    """One incident for people."""
    at = time.strftime("%F %T", time.localtime(one["at_ms"] / 1000))
    return f"{one['number']:>6}  {at}  {one['process']:<18}  {one['what']:<8}  {one['text']}"


def whole(place: "Place", number: int) -> dict[str, Any]:
    """An incident, with the file of a death. Raises UsageFault."""
    from mai.daemon.reader import Reader

    reader = Reader(place, "watchdog")
    try:
        records = reader.records("seq = ? AND kind = 'incident'", number)
        if not records:
            raise UsageFault(f"record {number} of the watchdog is no incident", "see their numbers: mai incidents")
        record = records[0]
        found = {"number": number, "at_ms": record.at_ns // 1_000_000, **reader.fields(record)}
        if not place.sees(str(found["process"])):
            raise UsageFault(f"record {number} is no incident that you may see", "see their numbers: mai incidents")
    finally:
        reader.connection.close()
    if file := found.get("file"):
        try:
            found["death"] = json.loads((place.state / str(file)).read_text())
        except (OSError, ValueError):
            found["death"] = None
    return found


def pages(found: dict[str, Any]) -> Iterator[str]:
    """The whole of an incident for people."""
    yield line(found)
    if "file" not in found:
        return
    if not (death := found["death"]):
        yield f"  its file is there no more: {found['file']}"
        return
    yield f"  it lived {death['lived_s']} s and was {death['state']}{': ' * bool(death['why'])}{death['why']}"
    if death.get("task"):
        yield f"  at work was the code of {death['task']}"
    for task in death.get("tasks", ()):
        yield "  in hand  " + "  ".join(f"{name} {value}" for name, value in task.items() if name != "deadline_ms")
    if again := death.get("again"):
        yield f"  back after {again['back_s']} s as process {again['pid']}, with {again['replayed']} records and rows read back"
    if failed := death.get("failed"):
        yield f"  given up: {failed}"
    for title, text in (("traceback", death["traceback"]), ("last output", death["output"])):
        if text:
            yield f"  {title}:"
            yield from (f"    {one}" for one in text.splitlines()[-LAST_LINES:])
