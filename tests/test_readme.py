"""README says what is so: its first organisation and its examples of workers run as they stand there."""

import re
from pathlib import Path

import pytest

from mai.daemon.asking import ask, new_id
from mai.daemon.up import Start
from mai.sandbox.place import Place

README = (Path(__file__).parent.parent / "README.md").read_text()
MORE = """
[[departments.support.agents]]
name = "greeter"
rank = "operator"
skills = ["greeting"]
command = ["sh", "greeter.sh"]

[[departments.support.agents]]
name = "clerk"
rank = "operator"
skills = ["lookup"]
tools = ["find_order"]
command = ["python3", "clerk.py"]

[[departments.support.tools]]
name = "find_order"
handler = "tools.py:find_order"
"""


def example(language: str, holding: str) -> str:
    """The code block of README in which a word stands."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (found,) = [block for block in blocks if holding in block]
    return str(found)


@pytest.fixture
def place(state: Path):
    """A daemon with the first organisation of README, and its other workers beside the desk."""
    base = state / "organisation"
    (base / "first").mkdir(parents=True)
    (base / "first.toml").write_text(example("toml", "[organisation]") + MORE)
    (base / "first" / "desk.py").write_text(example("python", "async def desk"))
    (base / "greeter.sh").write_text(example("sh", "while read"))
    (base / "clerk.py").write_text(example("python", "for line in sys.stdin"))
    (base / "tools.py").write_text("def find_order(files, order):\n    return f'on its way, number {order}'\n")
    start = Start(Place(state / "state"), base / "first.toml", detach=True)
    try:
        assert start.ready()["all_ready"]
        yield start.place
    finally:
        start.stop()


def said(place: Place, text: str) -> str:
    """What the client is told."""
    *_, last = ask(place, "acme", text, request=new_id(), timeout_s=30, watch=False)
    assert last["answer"]["state"] == "answered", last["answer"]["answer"]
    return str(last["answer"]["answer"])


def test_the_examples_run(place: Place) -> None:
    """The desk remembers, the shell program recalls, the Python program uses a tool."""
    assert "question 1 that I was asked" in said(place, "What are your opening hours?")
    assert "question 2 that I was asked" in said(place, "What are your opening hours?")
    assert said(place, "a greeting").startswith("Good day. I remembered: value:null")
    assert said(place, "a lookup").startswith("It is on its way, number 10423")


def test_the_first_organisation_is_the_one_in_etc() -> None:
    """What README shows is what lies in etc/."""
    etc = Path(__file__).parent.parent / "etc"
    assert example("toml", "[organisation]") == (etc / "first.toml").read_text()
    assert example("python", "async def desk") in (etc / "first" / "desk.py").read_text()
