"""Named points: each is a real place in the code, and an armed process is told when it is there."""

import re
from pathlib import Path

from mai.sandbox import points

ROOT = Path(__file__).parents[1]


def test_each_point_is_reached_somewhere_and_none_has_another_name() -> None:
    """The table of the points and the places in the code name the same."""
    code = "".join(path.read_text() for layer in ("sandbox", "agents", "daemon") for path in (ROOT / layer).glob("*.py"))
    names = set(re.findall(r'"([a-z]+\.[a-z]+)"(?= if more| *\)| else "door)', "".join(re.findall(r"reach\([^\n]+", code))))
    assert names == set(points.POINTS)


def test_an_armed_process_is_told_and_a_disarmed_one_is_not() -> None:
    """`arm` sets the one trap, None takes it away."""
    told: list[str] = []
    points.arm(told.append)
    points.reach("commit.after")
    points.arm(None)
    points.reach("commit.after")
    assert told == ["commit.after"]
