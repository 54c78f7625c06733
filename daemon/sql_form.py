"""What `mai sql` shows: a table for people, JSON, CSV; and the views that there are. Pure."""

import csv
import io
from typing import Any

from mai.daemon.status import painted
from mai.daemon.summary import clean
from mai.sandbox.view import View

LEAST = 8  # characters that a column of a table keeps
GAP = "  "


def value(one: Any) -> Any:
    """A value as JSON and CSV have it: bytes in hexadecimal digits."""
    return one.hex() if isinstance(one, bytes) else one


def objects(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Rows as JSON has them; of two columns with one name the second has its number behind it."""
    names = _distinct(columns)
    return [dict(zip(names, map(value, row), strict=True)) for row in rows]


def _distinct(columns: tuple[str, ...]) -> list[str]:
    names = list[str]()
    for number, name in enumerate(columns, 1):
        names.append(f"{name}_{number}" if name in names else name)
    return names


def csv_text(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """As RFC 4180 has it, but for the ends of lines."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if one is None else value(one) for one in row] for row in rows])
    return out.getvalue().removesuffix("\n")


def table(columns: tuple[str, ...], rows: list[tuple[Any, ...]], *, colour: bool, width: int = 0) -> str:
    """A table; with a width the widest columns are cut until a line fits it, as far as that goes."""
    cells = [[clean(name) for name in columns], *([_cell(one, width) for one in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    while width and sum(widths) + len(GAP) * (len(widths) - 1) > width and max(widths) > LEAST:
        widths[widths.index(max(widths))] -= 1
    right = [bool(rows) and all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(columns))]
    lines = [GAP.join(_fit(cell, size, r) for cell, size, r in zip(row, widths, right, strict=True)).rstrip() for row in cells]
    return "\n".join([painted(lines[0], 1, colour), *lines[1:]])


def _cell(one: Any, width: int) -> str:
    return "" if one is None else clean(str(value(one)), width or 1 << 30)


def _fit(cell: str, size: int, right: bool) -> str:
    shown = cell if len(cell) <= size else f"{cell[: size - 1]}…"
    return shown.rjust(size) if right else shown.ljust(size)


def described(views: tuple[View, ...], *, colour: bool) -> str:
    """All views with their columns."""
    blocks = []
    for view in views:
        columns = ", ".join(column.name.strip('"') for column in view.columns)
        blocks.append(f"{painted(view.name, 1, colour)} ({view.where}): {view.about}\n    {columns}")
    return "\n".join(blocks)
