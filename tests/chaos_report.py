"""What a chaos campaign prints: a line that moves while it runs, and the tables at its end."""

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from mai.sandbox.points import POINTS
from tests.chaos_campaign import Round

COLUMNS = ("faults", "faults struck", "kills", "requests", "answered", "refused", "expired", "effects", "in doubt", "violations")


def progress(done: Sequence[Round], of: int, seconds: float) -> None:
    """One line, on a terminal only."""
    if sys.stderr.isatty():
        bad = sum(len(one.violations) for one in done)
        figures = f"{sum(one.kills for one in done)} kills, {sum(one.others for one in done)} other faults, {bad} violations"
        print(f"\r\033[K{len(done)} of {of} rounds, {seconds:.0f} s: {figures}", end="\r", file=sys.stderr, flush=True)


def table(done: Sequence[Round], seed: str, seconds: float) -> str:
    """The figures of all rounds, by kind of fault, then by named point."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    kinds = list(dict.fromkeys(one.kind for one in done))
    rows = [COLUMNS, *(_row(kind, [one for one in done if one.kind == kind]) for kind in kinds), _row("all", done)]
    parts = [_aligned(rows), _points(done), _foot(done, seed, seconds)]
    return "\n\n".join(parts)


def _row(name: str, rounds: Sequence[Round]) -> tuple[str, ...]:
    states = sum((one.states for one in rounds), Counter[str]())
    figures = (
        sum(sum(one.faults.values()) for one in rounds),
        sum(one.kills for one in rounds),
        sum(one.requests for one in rounds),
        states["answered"],
        states["refused"] + states["failed"],
        states["expired"],
        sum(one.effects for one in rounds),
        sum(one.doubts for one in rounds),
        sum(len(one.violations) for one in rounds),
    )
    return name, *(f"{figure:,}" for figure in figures)


def _points(done: Sequence[Round]) -> str:
    reached = sum((one.points for one in done), Counter[str]())
    struck = sum((one.struck for one in done), Counter[str]())
    rows = [
        ("point", "reached", "struck there"),
        *((name, f"{reached[name]:,}", f"{struck[name]:,}") for name in POINTS),
    ]
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join(
        " ".join(cell.rjust(width) if n else cell.ljust(width) for n, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )


def _foot(done: Sequence[Round], seed: str, seconds: float) -> str:
    def total(name: str) -> str:
        return f"{sum(getattr(one, name) for one in done):,}"

    bad = sum(len(one.violations) for one in done)
    return (
        f"{total('kills')} processes killed, {total('others')} other faults, {total('vain')} came to nothing; "
        f"{total('restarts')} starts of the whole daemon, {total('resets')} resets by the operator\n"
        f"{total('cancelled')} requests cancelled, {total('resolved')} effects in doubt resolved by the person, "
        f"{total('repeats')} requests asked again, {total('turned')} changes of keys\n"
        f"{total('decisions')} decisions replay verified, without state, organisation file and the agents' code\n"
        f"{len(done)} rounds, seed {seed}, {seconds / 60:.1f} minutes, {datetime.now(UTC):%Y-%m-%d}: {bad} violations"
    )
