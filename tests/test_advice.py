"""What a model may not decide: a provider that only advises, figures that nobody gave, rulings on what is done already."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mai.agents.errand_messages import Think
from mai.agents.events import EffectIntent, Escalated, Hopped, Stepped
from mai.agents.figures import invented
from mai.agents.organisation import Agent, Contract, Department, Organisation, Tool
from tests.lone import COUNTED, MODELS, SALES, TOOL, Lone
from tests.opened import ALLOWED

CODE = """
def price(files, item: str) -> dict: return {"item": item, "euros": 1249.5}
async def clerk(ctx, task): return "the clerk did it"
async def payer(ctx, task): return {"cents": await ctx.tool("count", what="paid")}
async def teller(ctx, task): return {"cents": 7}
"""
PRICE = Tool(name="price", handler="w.py:price")


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Lone]:
    """Support with a board of kind model, an analyst of kind model with a clerk behind it, and two who serve contracts."""
    (tmp_path / "w.py").write_text(COUNTED + textwrap.dedent(CODE))
    agents = (
        Agent(name="board", rank="board", kind="model"),
        Agent(name="coordinator", rank="coordinator"),
        Agent(
            name="analyst", rank="specialist", kind="model", skills=("price",), tools=("price", "count"), backups=("clerk",),
            figures="given",
        ),
        Agent(name="clerk", rank="operator", handler="w.py:clerk"),
        Agent(name="payer", rank="operator", handler="w.py:payer", tools=("count",)),
        Agent(name="teller", rank="operator", handler="w.py:teller"),
    )  # fmt: skip
    served = {"pay": "payer", "tell": "teller"}
    contracts = tuple(
        Contract(name=name, about="", served_by=by, may_ask=("client",), reply={"cents": "int"}) for name, by in served.items()
    )
    support = Department(name="support", charter="", agents=agents, contracts=contracts, tools=(TOOL, PRICE))
    one = Lone(
        tmp_path,
        Organisation(
            policies=ALLOWED,
            name="x",
            clients=("acme",),
            departments=(support, SALES),
            models=MODELS,
            base=str(tmp_path),
            digest="d",
        ),
    )
    yield one
    one.check()
    one.close()


def move(do: str, **more: Any) -> dict[str, Any]:
    """One move of the analyst's."""
    return {"move": {"do": do, **more}}


PRICED = move("tool", name="price", input={"item": "desk"})


def play(lone: Lone, *answers: Any, ruling: str = "sign") -> Any:
    """Ask for the price; the analyst's model gives these answers in turn, the board's this ruling. What comes of it."""
    left = list(answers)

    def mind(asked: Think) -> Any:
        return {"ruling": ruling, "reason": "so it is"} if asked.agent.endswith("/board") else left.pop(0)

    lone.task("the price of a desk")
    lone.think(mind)
    assert not left, "not all of it was asked for"
    return lone.result()


# -- advice
def test_advice_is_on_record_and_the_backup_answers(lone: Lone) -> None:
    """It may look up what changes nothing; its answer is not taken, and the board's ruling neither."""
    lone.advises = True
    result = play(lone, PRICED, move("answer", text="It costs 1249.50 euros."), ruling="withhold")
    assert (result.state, result.text, result.by) == ("answered", "the clerk did it", "acme/support/clerk")
    (escalated,) = lone.of_kind(Escalated)
    assert escalated.reason == "its model only advises, and it would answer"
    assert [step.value["advice"] for step in lone.of_kind(Stepped) if step.call == "model"] == [True, True, True]


@pytest.mark.parametrize(
    "wanted",
    [move("tool", name="count", input={"what": "x"}), move("remember", name="x", text="y"), move("escalate", text="nonsense")],
    ids=["effect", "memory", "escalate"],
)
def test_advice_changes_nothing(lone: Lone, wanted: Any) -> None:
    """A tool with an effect is not called on advice, nothing is remembered, and its words are nobody's reason."""
    lone.advises = True
    assert play(lone, wanted).by == "acme/support/clerk"
    assert "nonsense" not in lone.of_kind(Escalated)[0].reason
    assert not lone.of_kind(EffectIntent) and not (lone.runner.files / "x").exists()


def test_the_same_model_decides_where_it_may(lone: Lone) -> None:
    """Only the provider's word makes the difference."""
    result = play(lone, PRICED, move("answer", text="It costs 1249.50 euros."))
    assert (result.text, result.by) == ("It costs 1249.50 euros.", "acme/support/analyst")
    assert "advice" not in next(step.value for step in lone.of_kind(Stepped) if step.call == "model")


# -- figures
def test_a_figure_that_nobody_gave_goes_back_once(lone: Lone) -> None:
    """The model is told which; what our own sentence says of it is no source."""
    wrong, right = (move("answer", text=f"It costs {euros} euros.") for euros in ("49", "1,249.50"))
    assert play(lone, PRICED, wrong, right).text == "It costs 1,249.50 euros."


def test_a_figure_that_nobody_gave_is_not_said(lone: Lone) -> None:
    """The second time the clerk gets the task."""
    wrong = move("answer", text="It costs 49 euros.")
    assert play(lone, PRICED, wrong, wrong).text == "the clerk did it"
    assert "it says 49, which stands nowhere in the data" in lone.of_kind(Escalated)[0].reason


@pytest.mark.parametrize(
    ("said", "given", "strange"),
    [
        ("1.234,50", "1234.5", ""),
        ("12", "112", "12"),
        ("no number", "", ""),
        ("2026-11-22", "on 2026-11-22", ""),
        ("0.5", "5", "0.5"),
        ("007", "7", ""),
    ],
)
def test_numbers_in_texts(said: str, given: str, strange: str) -> None:
    """As numbers, not as letters."""
    assert invented(said, given) == strange


# -- too late
def test_no_ruling_on_what_is_done(lone: Lone) -> None:
    """A payment that has been made is told, whatever the board's model would say: it is not asked."""
    lone.task("pay", "support.pay", {})
    lone.think(lambda asked: {"ruling": "withhold", "reason": "no"})
    assert lone.result().value == {"cents": 1} and not [one for one in lone.sent.values() if isinstance(one, Think)]
    assert [event.agent for event in lone.of_kind(Hopped)] == ["board", "coordinator", "payer"]


def test_a_ruling_on_what_changes_nothing(lone: Lone) -> None:
    """There it is asked, and its word counts."""
    lone.task("tell", "support.tell", {})
    lone.think(lambda asked: {"ruling": "withhold", "reason": "not for clients"})
    assert lone.result().state == "refused" and "withholds the reply: not for clients" in lone.result().reason
