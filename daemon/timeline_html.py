"""A request's timeline as one HTML page that loads nothing: the picture, and below it each row with what is known of it. Pure."""

from collections.abc import Iterator
from html import escape
from typing import Final

from mai.agents.wording import plain
from mai.daemon.timeline import Bar, bars
from mai.daemon.timeline_svg import BAD, headline, long, svg
from mai.daemon.tree import OPEN, Trace, duration

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
STYLE: Final = (
    ":root{color-scheme:light dark}body{margin:16px;font:13px/1.45 system-ui,-apple-system,'Segoe UI',sans-serif;"
    "background:#fff;color:#21272a}h1{font-size:18px;margin:0}h2{font-size:15px}p{margin:4px 0 12px}"
    ".w{overflow:auto;border:1px solid #c1c7cd;border-radius:6px}svg{display:block;max-width:none}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:3px 8px;"
    "border-bottom:1px solid #e0e4e8;overflow-wrap:anywhere}td.t{text-align:right}td.t,td.k{white-space:nowrap}.q{color:#5c646b}"
    ".bad{color:#da1e28}pre{white-space:pre-wrap;overflow-wrap:anywhere;border-left:3px solid #8a3ffc;padding-left:10px}"
    "@media(prefers-color-scheme:dark){body{background:#161616;color:#e8eaed}.w{border-color:#454c54}"
    "th,td{border-color:#343a40}.q{color:#a8b0b8}.bad{color:#ff8389}}"
)


def html(trace: Trace) -> str:
    """The page."""
    rows = bars(trace)
    name = _text(f"{trace.client}/{trace.request}")
    body = "\n".join(line for bar in rows for line in _row(bar))
    answer = f"<pre>{escape(_lines(trace.answer))}</pre>" if trace.answer else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{name}</title>'
        f"<style>{STYLE}</style></head><body>\n<h1>{_text(trace.text) or name}</h1>\n"
        f'<p class="q">{name}: {_text(headline(trace))}</p>\n{answer}\n<div class="w">{svg(trace)}</div>\n'
        "<h2>Row by row</h2>\n<table><thead><tr><th>what</th><th>at</th><th>took</th><th>state</th><th>record</th></tr></thead>"
        f"<tbody>\n{body}\n</tbody></table>\n</body></html>\n"
    )


def _row(bar: Bar) -> Iterator[str]:
    bad = " bad" if bar.state in BAD else ""
    detail = "".join(f'<br><span class="q">{_text(line)}</span>' for line in bar.detail)
    took = OPEN if bar.ms is None else long(bar.ms)
    yield (
        f'<tr><td style="padding-left:{8 + 14 * min(bar.depth, 16)}px">{_text(bar.label)}{detail}</td>'
        f'<td class="t">{duration(bar.from_ms)}</td><td class="t">{took}</td><td class="k{bad}">{_text(bar.state)}</td>'
        f'<td class="k q">{_text(bar.record)}</td></tr>'
    )
    for mark in bar.marks:
        yield (
            f'<tr><td style="padding-left:{22 + 14 * min(bar.depth, 16)}px">! {_text(mark.text)}</td>'
            f'<td class="t">{duration(mark.at_ms)}</td><td></td><td class="k q">{_text(mark.what)}</td><td></td></tr>'
        )


def _text(text: str) -> str:
    return escape(plain(text))


def _lines(text: str) -> str:
    """A text whose lines stay; other signs that are not to be seen are written out."""
    return "\n".join(plain(line) for line in text.splitlines())
