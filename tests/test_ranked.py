"""Mai's hint whom a free text is for: followed within the ranks, and never beyond them."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from mai.agents.events import Hopped, Received, decode, encode
from mai.agents.messages import Task
from mai.agents.organisation import Agent
from mai.agents.state import Work
from mai.daemon.records import PartPlan, RequestPlanned
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


def test_a_contract_goes_to_who_serves_it(lone: Lone) -> None:
    """Whomever the message names."""
    lone.task("", "support.refund", {"order": 1}, ranked=("clerk",))
    lone.settle()
    assert [hop.agent for hop in lone.of_kind(Hopped)] == ["board", "coordinator", "desk"]


def without(found: object, *names: str) -> object:
    """What JSON holds, but for the fields of these names."""
    if isinstance(found, dict):
        return {name: without(value, *names) for name, value in found.items() if name not in names}
    return [without(value, *names) for value in found] if isinstance(found, list) else found


def test_records_from_before_have_no_hint() -> None:
    """A journal and a state that knew none are read as they were."""
    task = Task("r/1", "r", "acme/client", "", "parcels", {}, 20)
    hop = Hopped(
        request="r", task="r/1", parent="", sender="mai", agent="board", asker="acme/client", contract="", text="parcels",
        input={}, deadline_ms=1, hops=19, rule="",
    )  # fmt: skip
    received = Received(
        sender="acme/mai", lseq=1, id="r/1", request="r", task="r/1", organisation="", deadline_ms=1, head_seq=1, head="",
        body=task,
    )  # fmt: skip
    planned = RequestPlanned(request="r", parts=(PartPlan("support", "parcels", "", {}, "why"),))
    for event in (hop, received, planned):
        old = without(json.loads(encode(event)), "ranked", "agents")
        assert decode(event.kind, json.dumps(old)) == event
    assert "ranked" not in json.loads(encode(hop))  # nor does one that has none say so
    work = Work("r/1", "r", "", 0, "mai", "board", "acme/client", "", "parcels", {}, 1, 19)
    assert msgspec.convert(without(msgspec.to_builtins(work), "ranked"), Work) == work
