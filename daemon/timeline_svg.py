"""A request's timeline as one SVG picture that needs nothing but itself, on light and on dark grounds. Pure."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from mai.agents.wording import cut, plain
from mai.daemon.timeline import Axis, Bar, Mark, bars
from mai.daemon.tree import OPEN, Trace, duration, spent

ROW, TOP, PAD = 20, 74, 14  # pixels
LABEL, CHART, AFTER = 430, 820, 84  # widths: of the names, of the axis, of the durations
WIDTH: Final = 2 * PAD + LABEL + CHART + AFTER
INDENT, LETTER = 12, 6.2
LEAST: Final = 2.0  # width of a bar
SHADES: Final = {  # of what a bar is
    "request": "#8a3ffc", "case": "#ee538b", "task": "#4589ff", "tool": "#24a148", "model": "#be7400", "ask": "#009d9a",
    "memory": "#6f8f00", "claim": "#ee538b", "wait": "#a56eff", "undo": "#b28600", "step": "#878d96",
}  # fmt: skip
BAD: Final = ("failed", "refused", "expired", "escalated", "in doubt", "denied", "withdrawn")
GRAVE: Final = ("crash", "doubt", "guard", "budget", "refusal", "late", "cut")
STYLE: Final = (
    "text{font:11px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#21272a}"
    ".h{font-size:14px;font-weight:700}.s{fill:#5c646b}.g{fill:#ffffff}.o{fill:#f2f4f8}.l{stroke:#c1c7cd;fill:none}"
    ".z{stroke:#878d96;fill:none}.b{stroke:#da1e28;stroke-width:1.5}.x{fill:#da1e28}.n{fill:#f1c21b;stroke:#5c646b}"
    + "".join(f".{what}{{fill:{shade}}}" for what, shade in SHADES.items())
    + "@media(prefers-color-scheme:dark){text{fill:#e8eaed}.s{fill:#a8b0b8}.g{fill:#161616}.o{fill:#21262c}.l{stroke:#454c54}"
    ".b{stroke:#ff8389}.x{fill:#ff8389}.n{stroke:#e8eaed}}"
)


def svg(trace: Trace) -> str:
    """The picture: a row for the request, for each task, step and wait; notes are marks on their rows."""
    rows = bars(trace)
    axis = Axis(rows)
    height = TOP + len(rows) * ROW + ROW + PAD
    name = f"{trace.client}/{trace.request}"
    parts = [*_grid(axis, height), *_head(trace, rows)]
    for number, bar in enumerate(rows):
        parts += _row(bar, axis, TOP + number * ROW, number % 2 == 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">\n'
        f"<title>{_text(f'timeline of {name}')}</title>\n<style>{STYLE}</style>\n"
        '<defs><pattern id="open" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="3" height="6" fill="#878d96" fill-opacity=".55"/></pattern></defs>\n'
        f'<rect class="g" width="{WIDTH}" height="{height}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def headline(trace: Trace) -> str:
    """`answered in 74 ms, 96 records, 120 tokens of models`."""
    took = f" in {long(trace.ms)}" if trace.ms is not None else ""
    return f"{trace.state}{took}, {trace.records} records{spent(trace)}"


def _head(trace: Trace, rows: Sequence[Bar]) -> Iterator[str]:
    name = f"{trace.client}/{trace.request}  {trace.text}"
    yield f'<text class="h" x="{PAD}" y="24">{_text(name, WIDTH - 2 * PAD, LETTER * 1.3)}</text>'
    yield f'<text class="s" x="{PAD}" y="42">{_text(headline(trace))}</text>'
    x = PAD + LABEL
    for what in dict.fromkeys(bar.what for bar in rows):
        yield f'<rect class="{what}" x="{x}" y="34" width="9" height="9" rx="2"/>'
        yield f'<text class="s" x="{x + 13}" y="42">{what}</text>'
        x += 22 + int(len(what) * LETTER)


def _grid(axis: Axis, height: int) -> Iterator[str]:
    """The lines of round times, and where the axis is cut."""
    for tick in axis.ticks():
        x = _x(tick.share)
        yield f'<path class="l" d="M{x:.1f} {TOP - 8}V{height - PAD}"/>'
        yield f'<text class="s" x="{x:.1f}" y="{TOP - 12}" text-anchor="middle">{_text(tick.text)}</text>'
    for from_ms, to_ms in axis.cuts:
        left, right = _x(axis.place(from_ms)), _x(axis.place(to_ms))
        middle = (left + right) / 2
        zigzag = "".join(f"l{5 if number % 2 else -5} 8" for number in range((height - TOP) // 8))
        yield f'<path class="z" stroke-dasharray="2 2" d="M{middle:.1f} {TOP - 8}{zigzag}"/>'
        waited = _text(f"… {long(to_ms - from_ms)} …")
        yield f'<text class="s" x="{middle:.1f}" y="{TOP - 12}" text-anchor="middle">{waited}</text>'


def long(ms: float) -> str:
    """A time that may be days: `3.2 s`, `12 min`, `5 h`, `3 d`."""
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min")):
        if ms >= 2 * size:
            return f"{ms / size:.1f} {unit}"
    return duration(ms)


def _row(bar: Bar, axis: Axis, y: int, odd: bool) -> Iterator[str]:
    left = _x(axis.place(bar.from_ms))
    right = _x(1.0) if bar.ms is None else _x(axis.place(bar.from_ms + bar.ms))
    width = max(right - left, LEAST)
    indent = PAD + min(bar.depth, 16) * INDENT
    bad = " b" if bar.state in BAD else ""
    tall, at = (10, y + 5) if bar.what in ("request", "case", "task") else (8, y + 6)
    yield f"<g><title>{_text(told(bar))}</title>" + (
        f'<rect class="o" x="0" y="{y}" width="{WIDTH}" height="{ROW}" fill-opacity=".55"/>' if odd else ""
    )
    yield f'<text x="{indent}" y="{y + 14}">{_text(bar.label, PAD + LABEL - 8 - indent)}</text>'
    yield f'<rect class="{bar.what}{bad}" x="{left:.1f}" y="{at}" width="{width:.1f}" height="{tall}" rx="2"/>'
    if bar.ms is None:
        yield f'<rect fill="url(#open)" x="{left:.1f}" y="{at}" width="{width:.1f}" height="{tall}" rx="2"/>'
    took = OPEN if bar.ms is None else long(bar.ms)
    yield f'<text class="s" x="{WIDTH - PAD}" y="{y + 14}" text-anchor="end">{_text(took)}</text></g>'
    yield from (_mark(mark, axis, y) for mark in bar.marks)


def _mark(mark: Mark, axis: Axis, y: int) -> str:
    x = _x(axis.place(mark.at_ms))
    kind = "x" if mark.what in GRAVE else "n"
    title = _text(f"{duration(mark.at_ms)} {mark.what}: {mark.text}")
    return f'<path class="{kind}" d="M{x:.1f} {y + 3}l5 8h-10z"><title>{title}</title></path>'


def told(bar: Bar) -> str:
    """All that is said of a row."""
    took = OPEN if bar.ms is None else f"+{long(bar.ms)}"
    times = f"at {duration(bar.from_ms)} {took} {bar.state}"
    return " | ".join(line for line in (bar.label, times, *bar.detail, bar.record) if line)


def _x(share: float) -> float:
    return PAD + LABEL + share * CHART


def _text(text: str, room: float = 0, letter: float = LETTER) -> str:
    """A text for XML, cut to so many pixels; 0 for any number."""
    return escape(cut(plain(text), int(room / letter)) if room else plain(text))
