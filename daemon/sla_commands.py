"""The command `mai sla`, and how its figures are shown."""

import click

from mai.daemon.account import Line
from mai.daemon.availability import Client
from mai.daemon.burn import days
from mai.daemon.effects_commands import when
from mai.daemon.outcomes import BAD
from mai.daemon.status import NONE, painted
from mai.daemon.terminal import as_json, complete_client, examples, json_option, on_terminal, place_of, plain

HEADINGS = ("whose", "availability", "promised", "good", "bad", "not counted", "burn 1h", "6h", "window", "budget left")
BOLD, RED, YELLOW = 1, 31, 33
FEW = 5  # kinds of ends that a line names


@click.command(epilog=examples("mai sla", "mai sla acme --since 7d", "mai sla --since 2026-11-01 --json | jq '.clients[].line'"))
@click.argument("client", required=False, shell_complete=complete_client)
@click.option("--since", metavar="DURATION|DATE", help="By default the window of the objectives: 90min, 6h, 7d, 2026-11-01.")
@json_option
@click.pass_context
def sla(context: click.Context, client: str | None, since: str | None, json_: bool) -> None:
    """Show what clients and departments have kept of their objectives: availability, latency, burn rate, error budget.

    Availability is the share of good requests among those that ended: answered in time, or refused by policy. Bad are
    those that failed, expired, or were refused because there was no room or a department is failed. Not counted are
    cancelled ones, and those that waited for a department that was paused or drained on purpose.
    """
    from mai.daemon.availability import study

    found = study(place_of(context), client, since)
    if json_:
        as_json({"clients": plain(found)})
    else:
        click.echo("\n\n".join(render(one, colour=on_terminal()) for one in found))


def render(one: Client, *, colour: bool) -> str:
    """The table of a client, and what stands beside it."""
    lines = [one.line, *one.departments]
    table = [HEADINGS, *(row(line) for line in lines)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(HEADINGS))]
    shown = [
        painted(_aligned(cells, widths), _colour(lines[number - 1]) if number else BOLD, colour)
        for number, cells in enumerate(table)
    ]
    return "\n".join([f"{one.client}, {_span(one.line)}", *shown, "", *notes(one)])


def row(line: Line) -> tuple[str, ...]:
    """One line of the table."""
    apart = sum(line.ends.values()) - line.good - line.bad
    left = f"{line.budget.left:.1%}" if line.good + line.bad else NONE
    burn = (f"{line.burn[span]:.2f}" for span in ("1h", "6h", "window"))
    promised = f"{line.objectives.availability * 100:g} %"
    return (line.scope, percent(line.availability), promised, str(line.good), str(line.bad), str(apart), *burn, left)


def notes(one: Client) -> list[str]:
    """What the table has no column for."""
    line, took = one.line, one.line.latency
    found = []
    if took and took.p50_s is not None:
        found.append(f"answers took {took.p50_s:g} s (half), {took.p95_s:g} s (95 %), {took.p99_s:g} s (99 %)")
    if took and took.within is not None:
        promised = f"{line.objectives.latency_share * 100:g} % within {line.objectives.latency_s:g} s"
        found.append(f"{percent(took.within)} came within it, promised are {promised}")
    budget = line.budget
    if line.good + line.bad:
        allowed = f"{budget.requests_left:.1f} of {budget.requests:.1f} requests may still be bad"
        found.append(f"{allowed}, that is {budget.minutes_left:.1f} of {budget.minutes:.1f} minutes")
    bad = [f"{line.ends[name]} {name}" for name in sorted(BAD) if line.ends[name]][:FEW]
    found += [f"bad: {', '.join(bad)}"] if bad else []
    apart = [f"{line.ends[name]} {name}" for name in ("cancelled", "maintenance") if line.ends[name]]
    apart += [f"{one.open} still open"] if one.open else []
    found += [f"not counted: {', '.join(apart)}"] if apart else []
    found += [f"{pause.department} was held on purpose for {days(pause.seconds)}" for pause in one.maintenance]
    if one.away_s or one.unwitnessed:
        more = f", and {one.unwitnessed} times for a time that nobody has on record" if one.unwitnessed else ""
        found.append(f"Mai was away for {one.away_s:.1f} s{more}: who gave up then is in no journal")
    return found or ["no request has ended in this time"]


def percent(share: float | None) -> str:
    """99.95 %; never rounded up to a whole that it is not."""
    if share is None:
        return NONE
    return "100 %" if share == 1 else f"{min(share * 100, 99.999):.3f} %"


def _span(line: Line) -> str:
    return f"{when(line.since_ms)} to {when(line.until_ms)} ({days((line.until_ms - line.since_ms) / 1000)})"


def _colour(line: Line) -> int:
    return RED if line.met is False else YELLOW if line.good + line.bad and line.budget.left < 0.5 else 0


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    """The name to the left, figures to the right."""
    return "  ".join(
        cell.rjust(width) if n else cell.ljust(width) for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
