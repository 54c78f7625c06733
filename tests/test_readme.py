"""README and MANUAL say what is so: its first organisation and its examples of workers run as they stand there."""

import re
from pathlib import Path

import pytest

from mai.daemon.asking import ask, new_id
from mai.daemon.scripted import running
from mai.daemon.up import Start
from mai.sandbox.place import Place

README = "".join((Path(__file__).parent.parent / name).read_text() for name in ("README.md", "MANUAL.md"))
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
    (base / "first.toml").write_text(example("toml", "opening hours") + MORE)
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


def test_the_model_agent_runs(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a scripted provider at the two settings: it looks the order up and answers."""
    script = r"""
[[rules]]
user = '"from":"tool find_order"'
json = { move = { do = "answer", text = "It arrives on Tuesday." } }
[[rules]]
user = 'order (?P<order>\d+)'
json = { move = { do = "tool", name = "find_order", input = { order = "{order}" } } }
"""
    base = state / "organisation"
    base.mkdir()
    (base / "thinking.toml").write_text(example("toml", 'kind = "model"'))
    (base / "orders.py").write_text(example("python", "def find_order"))
    with running(script) as provider:
        monkeypatch.setenv("MAI_MODEL_URL", provider.url)
        monkeypatch.setenv("MAI_MODEL", "scripted")
        start = Start(Place(state / "state"), base / "thinking.toml", detach=True)
        try:
            assert start.ready()["all_ready"]
            assert said(start.place, "where is my parcel for order 17?").startswith("It arrives on Tuesday.")
            assert provider.book()["answered"] == 2 and '"order":17' in provider.heard()[1]["messages"][-1]["content"]
        finally:
            start.stop()


def test_the_first_organisation_is_the_one_in_etc() -> None:
    """What README shows is what lies in etc/."""
    etc = Path(__file__).parent.parent / "etc"
    assert example("toml", "opening hours") == (etc / "first.toml").read_text()
    assert example("python", "async def desk") in (etc / "first" / "desk.py").read_text()
