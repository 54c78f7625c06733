"""The chart: every form shows every agent and contract, its figures agree with the table, and no text breaks out of it."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mai.agents.chart import FORMATS, describe, draw, figures, mermaid, sentences, tree
from mai.agents.check import load
from mai.agents.drawing import svg
from mai.agents.organisation import Agent, Contract, Department, Organisation, Rank
from mai.agents.table import Table

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted(file for file in (ROOT / "etc").glob("*.toml") if ".script" not in file.suffixes)
SVG = "{http://www.w3.org/2000/svg}"
NUMBERS: dict[Rank, int] = {"board": 1, "coordinator": 3, "specialist": 6, "operator": 4}
RANKED = [rank for rank, number in NUMBERS.items() for _ in range(number)]


def company(departments: int = 8, text: str = "something", clients: tuple[str, ...] = ("acme",)) -> Organisation:
    """An organisation of departments of fourteen, each of which asks the next for one contract."""
    made = []
    for number in range(departments):
        agents = tuple(
            Agent(name=f"{rank}-{number}-{place}", rank=rank, skills=(text,), reports_to=f"coordinator-{number}-{1 + place % 3}")
            for place, rank in enumerate(RANKED)
        )
        asked = Contract(
            name=f"c{number}", about=text, served_by=agents[-1].name, may_ask=(f"d{(number + 1) % departments}", "client")
        )
        made.append(Department(name=f"d{number}", charter=text, agents=agents, contracts=(asked,)))
    return Organisation(name=text, clients=clients, departments=tuple(made))


@pytest.mark.parametrize("form", FORMATS)
def test_everybody_is_shown(form: str) -> None:
    """Each form names every department, agent and contract of a company of more than a hundred."""
    organisation, drawn = company(), draw(company(), form)
    for department in organisation.departments:
        agents, contracts = (part.name for part in department.agents), (part.name for part in department.contracts)
        for name in (department.name, *agents, *contracts):
            assert re.search(rf"\b{name}\b", drawn), name


def test_the_figures_agree_with_the_table() -> None:
    """Agents are counted for each client with its Mai, processes for all clients, paths as the table counts them."""
    organisation = company(clients=("acme", "beta"))
    count, paths = figures(organisation), Table(organisation).paths()
    assert count.ranks == {"mai": 1, "board": 8, "coordinator": 24, "specialist": 48, "operator": 32}
    assert (count.agents, count.processes, count.contracts) == (113, 2 + 2 * 9, 8)
    assert (count.hops, count.paths, count.mesh) == (paths.hops, paths.hops + 8, 113 * 112)


def test_paths_grow_with_the_departments() -> None:
    """Twice the departments are twice the paths, while a mesh's grow with the square."""
    one, two = figures(company(4)), figures(company(8))
    assert two.paths == 2 * one.paths
    assert two.mesh > 3.9 * one.mesh


def test_the_tree_ends_with_the_figures() -> None:
    """What the tree counts is what it shows: a line for each agent, below whom it reports to."""
    organisation = company(2)
    lines = tree(organisation).splitlines()
    assert lines[-3:] == sentences(figures(organisation))
    shown = [line for line in lines if re.search(r"─ (board|coordinator|specialist|operator)-", line)]
    assert len(shown) == 2 * len(RANKED)
    above = max(at for at, line in enumerate(lines[: lines.index(shown[3])]) if "─ coordinator-" in line)
    assert "coordinator-0-1" in lines[above]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_tree_keeps_to_its_width(width: int) -> None:
    """Above the figures no line is longer than the terminal, and colour changes nothing about what is seen."""
    drawn, coloured = tree(company(text="word " * 60), width=width), tree(company(text="word " * 60), colour=True, width=width)
    assert all(len(line) <= width for line in drawn.splitlines()[:-3])
    assert coloured != drawn
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == drawn


def test_a_pipe_gets_no_colour() -> None:
    """Without being asked for colour, the tree holds no escape."""
    assert "\x1b" not in draw(company(), "tree")


@given(st.text(max_size=40))
def test_no_text_breaks_out(text: str) -> None:
    """Whatever a charter, a skill or a name holds, the SVG stays XML that a parser reads, and lines stay lines."""
    organisation, plain_one = company(2, text), company(2, "x")
    root = ElementTree.fromstring(svg(organisation, [text, text]))
    assert len(root.findall(f".//{SVG}circle")) == 2 * len(RANKED) + 4
    assert len(tree(organisation).splitlines()) == len(tree(plain_one).splitlines())
    assert len(mermaid(organisation).splitlines()) == len(mermaid(plain_one).splitlines())
    assert "\x1b" not in tree(organisation)


def test_nothing_is_drawn_over_another() -> None:
    """In the SVG, cards do not overlap, lie inside the picture, and each line of text has a height of its own."""
    root = ElementTree.fromstring(svg(company(9, text="word " * 40), ["a", "b"]))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    boxes = [
        tuple(float(card.attrib[side]) for side in ("x", "y", "width", "height"))
        for card in root.findall(f".//{SVG}rect[@class='c']")
    ]
    assert len(boxes) == 9
    for at, (x, y, w, h) in enumerate(boxes):
        assert 0 <= x <= x + w <= width and 0 <= y <= y + h <= height
        assert all(x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y for x2, y2, w2, h2 in boxes[:at])
    places = [(text.attrib["x"], text.attrib["y"]) for text in root.findall(f".//{SVG}text")]
    assert len(places) == len(set(places))
    assert all(float(y) < height for _, y in places)


def test_the_picture_needs_nothing_else() -> None:
    """The SVG names no address but its own namespace, and runs no script."""
    drawn = draw(company(), "svg")
    assert re.findall(r"https?://[^\"']+", drawn) == ["http://www.w3.org/2000/svg"]
    assert "<script" not in drawn and "href" not in drawn


def test_mermaid_draws_ranks_and_contracts() -> None:
    """Each agent hangs below one other or Mai; each contract is an arrow from who may ask."""
    drawn = mermaid(company(3))
    assert drawn.startswith("flowchart TD\n")
    assert drawn.count(" --- ") == 3 * len(RANKED)
    assert re.findall(r'(\w+) -. "([\w.]+)" .-> (\w+)', drawn)[:2] == [("d1", "d0.c0", "d0"), ("client", "d0.c0", "d0")]
    assert drawn.count("subgraph") == drawn.count("  end") == 3


def test_json_says_it_all() -> None:
    """The JSON form holds the organisation as it was completed, with the figures, and no path of this machine."""
    organisation = replace(company(2), base="/secret/place")
    drawn = json.loads(draw(organisation, "json"))
    assert drawn == json.loads(json.dumps(describe(organisation)))
    assert drawn["figures"]["paths"] == figures(organisation).paths
    assert drawn["departments"][0]["agents"][4]["reports_to"] == "coordinator-0-2"
    assert "/secret/place" not in json.dumps(drawn)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
@pytest.mark.parametrize("form", FORMATS)
def test_the_examples_can_be_drawn(file: Path, form: str) -> None:
    """Every organisation file in etc/ can be drawn in every form."""
    assert draw(load(file), form).endswith("\n")
