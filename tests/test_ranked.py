"""Mai's hint whom a free text is for: followed within the ranks, and never beyond them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mai.agents.events import Hopped
from mai.agents.organisation import Agent
from tests.lone import Lone, desk

CODE = """
async def desk(ctx, task): return "desk"
async def clerk(ctx, task): return "clerk"
async def asks(ctx, task): return (await ctx.ask("coordinator", "parcels")).text
"""
OTHERS = (
    Agent(name="clerk", rank="operator", handler="w.py:clerk", skills=("parcels",)),
    Agent(name="asks", rank="specialist", handler="w.py:asks"),
)


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Lone]:
    """A department with a desk, a clerk whose skill is parcels, and one who asks."""
    one = Lone(tmp_path, desk(tmp_path, CODE, *OTHERS))
    yield one
    one.check()
    one.close()


@pytest.mark.parametrize(
    ("ranked", "got"),
    [
        ((), "clerk"),  # its words fit the clerk
        (("desk",), "desk"),
        (("desk", "clerk"), "desk"),
        (("nobody", "clerk"), "clerk"),  # who there is not is passed over
        (("board", "coordinator", "desk"), "desk"),  # who hands work on is no worker
    ],
)
def test_who_is_named_first_gets_it(lone: Lone, ranked: tuple[str, ...], got: str) -> None:
    """Through board and coordinator, as ever; the hint is in the journal."""
    lone.task("parcels", ranked=ranked)
    lone.settle()
    assert lone.result().text == got
    hops = lone.of_kind(Hopped)
    assert [hop.agent for hop in hops] == ["board", "coordinator", got] and all(hop.ranked == ranked for hop in hops)


def test_a_text_that_no_word_fits_finds_its_agent(lone: Lone) -> None:
    """Which is what it is for: another language."""
    lone.task("上个月的营业额是多少?", ranked=("desk",))
    lone.settle()
    assert lone.result().text == "desk"


def test_a_question_of_an_agents_own_has_no_hint(lone: Lone) -> None:
    """What it asks is another text than the client's."""
    lone.task("x", ranked=("asks",))
    lone.settle()
    assert lone.result().text == "clerk" and [hop.ranked for hop in lone.of_kind(Hopped)][-2:] == [(), ()]
