"""What the built-in medic chooses, case by case."""

import pytest

from mai.agents.medicine import choose

CALM = {"process": "acme/sales", "text": "", "incidents": 1, "alike": 1, "task": "", "guilty": 0, "bound": "", "backup": False}


@pytest.mark.parametrize(
    ("what", "more", "tried", "remedy"),
    [
        ("death", {}, (), None),
        ("hung", {}, (), None),
        ("death", {"incidents": 3, "alike": 3, "department": True}, (), "pause"),
        ("death", {"incidents": 9, "alike": 9, "department": True}, ("pause",), None),
        ("death", {"incidents": 3, "task": "t", "guilty": 2}, (), "quarantine"),
        ("failed", {"incidents": 6}, (), "reset"),
        ("failed", {"incidents": 6, "backup": True}, ("reset",), "switch"),
        ("failed", {"incidents": 6, "backup": True}, ("reset", "switch"), "page"),
        ("hung", {"incidents": 5, "alike": 1, "department": True}, ("pause",), None),  # one hang among deaths
        ("hung", {"incidents": 5, "alike": 3, "department": True}, (), "pause"),
        ("hung", {"incidents": 5, "alike": 3, "department": True}, ("pause",), "page"),
        ("stuck", {"incidents": 0, "alike": 1}, (), "restart"),
        ("stuck", {"incidents": 0, "alike": 3}, ("restart",), "page"),
        ("bloated", {"bound": "memory"}, (), "raise"),
        ("bloated", {"bound": "memory", "alike": 3}, ("raise",), "page"),
    ],
)
def test_the_medic_chooses(what: str, more: dict[str, object], tried: tuple[str, ...], remedy: str | None) -> None:
    """The mildest remedy that was not tried lately; a person only when the same goes wrong again and again."""
    choice = choose({**CALM, "what": what, **more}, tried)
    assert (choice.remedy if choice else None) == remedy
