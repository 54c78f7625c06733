"""A request as a picture and as a page: geometry, texts from outside, light and dark, nothing loaded from elsewhere."""

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from mai.cli import main
from mai.daemon.timeline import Axis, Bar, bars
from mai.daemon.timeline_html import html
from mai.daemon.timeline_svg import CHART, LABEL, LEAST, PAD, ROW, SHADES, TOP, WIDTH, svg
from mai.daemon.trace import trace
from mai.daemon.tree import Node, Note, Step, Trace, Try
from tests.wired import Wired

NS = "{http://www.w3.org/2000/svg}"
EVIL = "</text><script>alert(1)</script>&\x1b[31m\x00\ud800 \u202e"


def large(count: int = 500) -> Trace:
    """A request of so many rows, some of them in trouble, one open, with a wait of two hours."""
    nodes = [
        Node(
            f"r1/{number}", agent="acme/sales/board", text=f"{number}", started_ms=number * 1.5, ms=3.0, state="answered",
            notes=[Note(number * 1.5 + 1, "the process died", "crash", "acme/sales:1")] * (number % 7 == 0),
            steps=[Step(1, "tool", "x=1", number * 1.5 + 1, 0.0, "refused", "may not", "acme/sales:2")],
        )
        for number in range(count // 2 - 2)
    ]  # fmt: skip
    asked = Step(2, "model", "small", 400.0, 9.0, "done", "b/two", tries=[Try(400.0, "a/one", 4.0, "status 503")])
    waits = Node("r1/w", agent="acme/sales/board", started_ms=500.0, ms=None, steps=[asked])
    waits.steps.append(Step(0, "approval", "sales.refund cents=5", 800.0, 7_200_000.0, "approved", "by ann"))
    return Trace("r1", "acme", text="do it", ms=7_200_900.0, state="answered", answer="done", tasks=[*nodes, waits], records=9)


def rectangles(picture: str) -> list[tuple[str, float, float, float]]:
    """Class, x, y and width of each bar."""
    found = []
    for one in ElementTree.fromstring(picture).iter(f"{NS}rect"):
        what, x, y = one.get("class", ""), float(one.get("x", "0")), float(one.get("y", "0"))
        if what.split() and what.split()[0] in SHADES and y >= TOP:
            found.append((what, x, y, float(one.get("width", "0"))))
    return found


def test_each_row_has_its_bar_within_the_axis() -> None:
    """With 500 rows each has one bar, below the one before it, and none leaves the axis or is too narrow to be seen."""
    found, drawn = large(), rectangles(svg(large()))
    assert len(drawn) == len(bars(found)) == 500
    assert [y - TOP for _, _, y, _ in drawn] == sorted(y - TOP for _, _, y, _ in drawn)
    for number, (_, x, y, width) in enumerate(drawn):
        assert TOP + number * ROW <= y < TOP + (number + 1) * ROW
        assert x >= PAD + LABEL and x + width <= PAD + LABEL + CHART + LEAST and width >= LEAST
    root = ElementTree.fromstring(svg(found))
    assert float(root.get("height", "0")) >= TOP + 500 * ROW and float(root.get("width", "0")) == WIDTH


def test_bars_stand_where_their_times_are(tmp_path: Path) -> None:
    """What began earlier stands more to the left, and what lies within a task's time lies within its bar."""
    found = trace(Wired(tmp_path).asked("r1").close().place, "r1")
    drawn = rectangles(svg(found))
    rows = bars(found)
    assert [bar.what for bar in rows[:3]] == ["request", "task", "task"] and {"tool", "memory"} <= {bar.what for bar in rows}
    by_time = sorted(zip(rows, drawn, strict=True), key=lambda pair: pair[0].from_ms)
    assert all(one[1] <= other[1] for (_, one), (_, other) in pairwise(by_time))
    left, right = drawn[0][1], drawn[0][1] + drawn[0][3]
    assert all(left <= x and x + width <= right + LEAST + 0.1 for _, x, _, width in drawn)


def test_the_axis_never_turns_back_and_is_cut_at_long_waits() -> None:
    """Two hours for a person leave the rest its room; later is never further left; a tick stands where its time is."""
    axis = Axis(bars(large()))
    assert len(axis.cuts) == 1 and axis.cuts[0][1] - axis.cuts[0][0] > 7_000_000
    places = [axis.place(at) for at in (-5, 0, 1, 300, 799, 5_000_000, 7_200_800, 7_200_900, 9_999_999)]
    assert places == sorted(places) and (places[0], places[-1]) == (0.0, 1.0)
    assert axis.place(800) > 0.8 and axis.place(400) - axis.place(0) > 0.05
    shares = [tick.share for tick in axis.ticks()]
    assert shares == sorted(shares) and 4 <= len(shares) <= 20
    assert not any(axis.place(axis.cuts[0][0]) + 1e-6 < share < axis.place(axis.cuts[0][1]) - 1e-6 for share in shares)
    assert not Axis([Bar(0, "task", "a", 0.0, 900.0, "", (), "")]).cuts and Axis([]).place(3) == 1.0


def test_troubles_are_seen() -> None:
    """What is open, refused or died looks so, and says what it is when it is pointed at."""
    picture = svg(large())
    assert "tool b" in {what for what, *_ in rectangles(picture)} and 'fill="url(#open)"' in picture
    titles = [one.text or "" for one in ElementTree.fromstring(picture).iter(f"{NS}title")]
    assert any("crash: the process died" in title for title in titles)
    assert any("fallback: a/one: status 503" in title for title in titles)
    assert any("approval sales.refund" in title and "+2.0 h approved" in title for title in titles)


@pytest.mark.parametrize("drawn", [svg, html])
def test_texts_from_outside_stay_texts(drawn: object) -> None:
    """Whatever a client or a tool has written: it is escaped, signs that are not to be seen are written out, all is UTF-8."""
    found = Trace(EVIL, EVIL, asker=EVIL, text=EVIL, state=EVIL, answer=EVIL, ms=1.0, record=EVIL)
    step = Step(1, EVIL, EVIL, 0.0, 1.0, EVIL, EVIL, EVIL, EVIL, tries=[Try(0.0, EVIL, 1.0, EVIL)])
    found.tasks = [Node(EVIL, EVIL, EVIL, EVIL, EVIL, {EVIL: EVIL}, EVIL, steps=[step], notes=[Note(0.0, EVIL, EVIL, EVIL)])]
    page = drawn(found)  # type: ignore[operator]
    page.encode()
    assert "<script" not in page and "\x1b" not in page and "\x00" not in page and "\u202e" not in page
    assert "&lt;script&gt;" in page
    ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])


@pytest.mark.parametrize("drawn", [svg, html])
def test_nothing_is_loaded(drawn: object) -> None:
    """The file needs nothing but itself: no address but XML's own, no script, no font, no picture; and it knows the dark."""
    page = drawn(large())  # type: ignore[operator]
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
    for word in ("<script", "@import", "href=", "src=", "url(h", "<image", "foreignObject"):
        assert word not in page, word
    assert "prefers-color-scheme:dark" in page


def test_the_page_has_a_row_for_each_bar_and_mark() -> None:
    """Who cannot see the picture reads the same from the table."""
    page = html(large())
    rows = bars(large())
    assert page.count("<tr>") == 1 + len(rows) + sum(len(bar.marks) for bar in rows)
    assert "default-src 'none'" in page and "approved" in page and "acme/sales:2" in page


def test_the_command_writes_them(tmp_path: Path) -> None:
    """Files, standard output, and not both forms of output at once."""
    place = Wired(tmp_path).asked("r1").close().place
    traced = ["--state", str(place.state), "trace", "r1"]
    picture, page = tmp_path / "r1.svg", tmp_path / "r1.html"
    done = CliRunner().invoke(main, [*traced, "--svg", str(picture), "--html", str(page)])
    assert done.exit_code == 0 and str(picture) in done.output and rectangles(picture.read_text())
    assert CliRunner().invoke(main, [*traced, "--svg", "-"]).output == picture.read_text()
    assert page.read_text().startswith("<!doctype html>")
    both = CliRunner().invoke(main, [*traced, "--json", "--svg", "-"])
    assert both.exit_code == 2 and "hint:" in both.output
