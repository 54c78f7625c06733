"""The command `mai archive`."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mai.daemon.terminal import as_json, complete_process, count, examples, json_option, place_of
from mai.sandbox.errors import UsageFault

if TYPE_CHECKING:
    from mai.daemon.archiving import Archived
    from mai.sandbox.place import Place


@click.command(
    epilog=examples(
        "mai archive", "mai archive acme/support --json", "mai archive acme/support --before 2026-11-01",
        "mai archive acme --to /mnt/cold",
    )
)  # fmt: skip
@click.argument("what", required=False, metavar="[PROCESS|CLIENT]", shell_complete=complete_process)
@click.option(
    "--before", metavar="TIME", help="Rotate what is older than that: a date, a time, or `now`. What is open keeps its records."
)
@click.option("--to", "target", type=click.Path(path_type=Path), help="Copy the segments into this directory, each checked.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0, 86400, min_open=True), default=600.0, show_default=True,
    metavar="SECONDS", help="How long to wait for a process that runs; what it was told to do it does all the same.",
)  # fmt: skip
@json_option
@click.pass_context
def archive(
    context: click.Context, what: str | None, before: str | None, target: Path | None, *, timeout_s: float, json_: bool
) -> None:
    """List the sealed segments of journals; or rotate the oldest records into one; or copy segments to other storage.

    A process that runs rotates its own journal, a little after each turn. Readers find all records as before; where segments
    were carried away, MAI_ARCHIVE names the directory.
    """
    from mai.daemon.archiving import archived, carried, moment
    from mai.daemon.reader import chosen, opened

    if before and target:
        raise UsageFault("--before and --to are two things", "first rotate, then copy")
    place = place_of(context)
    if before:
        return _rotate(place, what, moment(before), timeout_s, json_=json_)
    if target:
        copied = [str(path) for reader in opened(place, chosen(place, what)) for path in carried(reader, target, count)]
        return as_json({"copied": copied}) if json_ else click.echo(f"{len(copied)} segments were copied to {target}")
    found = [one for reader in opened(place, chosen(place, what)) for one in archived(reader)]
    if json_:
        as_json({"segments": [_fields(one) for one in found]})
    else:
        click.echo("\n".join(map(_line, found)) if found else "nothing was rotated yet; see: mai archive --help")
    return None


def _rotate(place: "Place", what: str | None, before_ns: int, timeout_s: float, *, json_: bool) -> None:
    from mai.daemon.archiving import archived, rotate
    from mai.daemon.door import Door, fault
    from mai.daemon.reader import Reader, chosen

    made: list[dict[str, Any]] = []
    for process in chosen(place, what):
        with closing(Reader(place, process)) as reader:
            already = {one.first for one in archived(reader)}
        if rotate(place, process, before_ns, count) is None:
            order = {"do": "archive", "name": process, "before_ns": before_ns, "timeout_s": timeout_s}
            for reply in Door(place.door, timeout_s + 30).ask(order):
                if "error" in reply:
                    raise fault(reply)
                count(process, reply.get("upto", 0), reply.get("last", 0))
        with closing(Reader(place, process)) as reader:
            fresh = [one for one in archived(reader) if one.first not in already]
            made.append({"process": process, "segments": [_fields(one) for one in fresh]})
            if not json_:
                said = "\n".join(map(_line, fresh)) or f"{process}: nothing that is so old may leave the journal"
                click.echo(said)
    if json_:
        as_json({"rotated": made})


def _fields(one: "Archived") -> dict[str, Any]:
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(one)
    return fields


def _line(one: "Archived") -> str:
    from mai.daemon.reader import clock

    days = " to ".join(f"{clock(ms * 1_000_000):%Y-%m-%d %H:%M}" for ms in (one.since_ms, one.until_ms))
    kept = {"all": "", "some": "; bodies were taken out", "none": "; removed"}[one.kept]
    lost = "" if one.there or one.kept == "none" else "; THE FILE IS MISSING"
    return f"{one.process}  records {one.first} to {one.last}  {days}  {one.bytes:,} bytes  {one.file}{kept}{lost}"
