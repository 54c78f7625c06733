"""The organisation's chart as one SVG picture that needs nothing but itself. Pure.

Each department is a card: its board, its coordinators, below each those who report to it, and what it offers. The cards
stand in columns; a line runs down beside each column, from Mai to the boards.
"""

from collections.abc import Iterator, Sequence
from html import escape
from textwrap import wrap
from typing import Final, NamedTuple

from mai.agents.organisation import Agent, Department, Organisation, Rank
from mai.agents.table import Table
from mai.agents.wording import cut, plain

COLOURS: Final[dict[Rank, str]] = {
    "mai": "#8a3ffc",
    "board": "#0f62fe",
    "coordinator": "#007d79",
    "specialist": "#198038",
    "operator": "#b28600",
}
COLUMNS: Final = 4
CARD, GUTTER, ROW, PAD = 316, 34, 19, 14  # pixels
TOP: Final = 92  # where the cards begin; Mai stands above
INDENT: Final = 18
LETTER: Final = 6.1  # the mean width of one at 11 pixels
LEGEND: Final[tuple[Rank, ...]] = ("board", "coordinator", "specialist", "operator")
MAI_WIDTH, MAI_HEIGHT = 260, 40
STYLE: Final = (
    "text{font:11px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#21272a}"
    ".n{font-weight:600}.h{font-size:14px;font-weight:700}.w{fill:#fff;font-size:15px;font-weight:700}"
    ".s{fill:#697077}.l{stroke:#a2a9b0;fill:none}.c{fill:#fff;stroke:#c1c7cd}"
)


class Line(NamedTuple):
    """One line of a card: how far in, in which rank's colour, what it is called and what is said of it."""

    indent: int
    rank: Rank | None  # None for what is no agent
    name: str
    note: str


def svg(organisation: Organisation, captions: Sequence[str] = ()) -> str:
    """The picture, with some lines of text below it."""
    table = Table(organisation)
    cards = [(department, list(_lines(department, table))) for department in organisation.departments]
    columns = max(1, min(COLUMNS, len(cards)))
    width = columns * (CARD + GUTTER) + GUTTER
    bottoms = [TOP] * columns
    drawn: list[str] = []
    trunks: dict[int, int] = {}
    for department, lines in cards:
        column = bottoms.index(min(bottoms))  # the shortest one so far
        x, y = GUTTER + column * (CARD + GUTTER), bottoms[column]
        drawn += _card(department, lines, x, y)
        board = y + 46 + PAD // 2 - 4
        drawn.append(f'<path class="l" d="M{x - GUTTER // 2} {board}H{x + PAD}"/>')
        trunks[x - GUTTER // 2] = board
        bottoms[column] = y + _height(lines) + GUTTER // 2
    below = list(
        _foot([line for caption in captions for line in wrap(caption, int((width - 2 * GUTTER) / LETTER))], max(bottoms))
    )
    height = max(bottoms) + (1 + len(below) - len(LEGEND)) * ROW + 4
    parts = [*_trunks(trunks, width), *_head(organisation, width), *drawn, *below]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">\n'
        f"<title>{_text(organisation.name)}</title>\n<style>{STYLE}</style>\n"
        f'<rect width="{width}" height="{height}" fill="#f7f8fa"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _lines(department: Department, table: Table) -> Iterator[Line]:
    """What stands on a department's card below its head."""
    yield _agent(department.board, 0)
    for coordinator in (agent for agent in department.agents if agent.rank == "coordinator"):
        yield _agent(coordinator, 1)
        reports = table.reports(department.name, coordinator.name)
        yield from (_agent(agent, 2) for agent in department.agents if agent.name in reports)
    for contract in department.contracts:
        yield Line(0, None, contract.name, f"for {', '.join(contract.may_ask)}")


def _agent(agent: Agent, indent: int) -> Line:
    return Line(indent, agent.rank, agent.name, plain(", ".join(agent.skills)))


def _height(lines: list[Line]) -> int:
    return 46 + len(lines) * ROW + PAD + (8 if any(line.rank is None for line in lines) else 0)


def _card(department: Department, lines: list[Line], x: int, y: int) -> Iterator[str]:
    """A card, its head, and its lines."""
    yield f'<rect class="c" x="{x}" y="{y}" width="{CARD}" height="{_height(lines)}" rx="8"/>'
    yield f'<text class="h" x="{x + PAD}" y="{y + 20}">{_text(department.name)}</text>'
    yield f'<text class="s" x="{x + PAD}" y="{y + 35}">{_text(department.charter, CARD - 2 * PAD)}</text>'
    at = y + 46
    above: dict[int, int] = {}  # indent -> height of the last line that stood there
    offering = False
    for line in lines:
        if line.rank is None and not offering:
            yield f'<path class="l" d="M{x + PAD} {at + 5}H{x + CARD - PAD}"/>'
            at, offering = at + 8, True
        yield from _line(line, x + PAD + line.indent * INDENT, at, x + CARD - PAD, above.get(line.indent - 1))
        above[line.indent] = at + ROW // 2 - 2
        at += ROW


def _line(line: Line, x: int, y: int, right: int, above: int | None) -> Iterator[str]:
    """One line of a card, tied to the one above that it belongs to."""
    middle = y + ROW // 2 - 2
    if above is not None:
        yield f'<path class="l" d="M{x - INDENT + 5} {above + 6}V{middle}H{x}"/>'
    if line.rank is None:
        yield f'<path d="M{x} {middle - 4}l8 4l-8 4z" fill="#697077"/>'
    else:
        yield f'<circle cx="{x + 5}" cy="{middle}" r="5" fill="{COLOURS[line.rank]}"/>'
    room = right - x - 15
    name = cut(line.name, int(room / LETTER / 1.1))
    note = _text(line.note, max(room - len(name) * LETTER * 1.1 - 8, 1))
    spans = f'<tspan class="n">{_text(name)}</tspan><tspan class="s" dx="8">{note}</tspan>'
    yield f'<text x="{x + 15}" y="{middle + 4}">{spans}</text>'


def _trunks(trunks: dict[int, int], width: int) -> Iterator[str]:
    """From Mai along above the cards, and down beside each column to its lowest board."""
    bus, mai = TOP - 16, width // 2
    yield f'<path class="l" d="M{mai} {16 + MAI_HEIGHT}V{bus}"/>'
    for x, lowest in trunks.items():
        yield f'<path class="l" d="M{mai} {bus}H{x}V{lowest}"/>'


def _head(organisation: Organisation, width: int) -> Iterator[str]:
    """Mai."""
    left = (width - MAI_WIDTH) // 2
    yield f'<rect x="{left}" y="16" width="{MAI_WIDTH}" height="{MAI_HEIGHT}" rx="20" fill="{COLOURS["mai"]}"/>'
    name = _text(f"Mai of {organisation.name}", MAI_WIDTH - 40, LETTER * 1.45)
    yield f'<text class="w" x="{width // 2}" y="41" text-anchor="middle">{name}</text>'


def _foot(captions: Sequence[str], y: int) -> Iterator[str]:
    """Which colour stands for which rank, and the captions."""
    for number, rank in enumerate(LEGEND):
        x = GUTTER + number * 82
        yield f'<circle cx="{x + 5}" cy="{y + 6}" r="5" fill="{COLOURS[rank]}"/><text x="{x + 14}" y="{y + 10}">{rank}</text>'
    for number, caption in enumerate(captions, 1):
        yield f'<text class="s" x="{GUTTER}" y="{y + 12 + number * ROW}">{_text(caption)}</text>'


def _text(text: str, room: float = 0, letter: float = LETTER) -> str:
    """A text for XML, cut to so many pixels; 0 for any number."""
    return escape(cut(plain(text), int(room / letter)) if room else plain(text))
