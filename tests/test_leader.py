"""Boards and coordinators of kind model: they choose and rule as far as the table allows, with the built-in rule behind."""

import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mai.agents.errand_messages import Think, Usage
from mai.agents.events import Ended, Hopped, HopRefused, Stepped
from mai.agents.messages import Task
from mai.agents.organisation import Agent, Contract, Department, Organisation
from tests.lone import MODELS, SALES, Lone

CODE = """
from mai.agents.context import Answer, Escalation, Refusal
async def desk(ctx, task):
    if task.text == "fail": raise ValueError("broken")
    if task.text == "refuse": raise Refusal("not for us")
    if task.text in ("give up", "all give up"): await ctx.escalate("too hard")
    if task.text == "sales": return (await ctx.ask("sales.pipeline", quarter=1)).value
    return Answer(f"desk did {task.text} for {task.asker}", {"cents": task.input.get("order", 0)} if task.contract else {})
async def clerk(ctx, task):
    if task.text == "all give up": await ctx.escalate("too hard for a clerk")
    return Answer(f"clerk did {task.text}", {"cents": 1} if task.contract else {})
async def wrong(ctx, task): return {"euros": 1}
"""


def place(base: Path, board: str = "model", coordinator: str = "model", **more: Any) -> Organisation:
    """Support with a board and two coordinators, the kinds of which are given; desk and clerk under the first."""
    (base / "w.py").write_text(textwrap.dedent(CODE))
    agents = (
        Agent(name="board", rank="board", kind=board, charter="You are strict.", **more),  # type: ignore[arg-type]
        Agent(name="first", rank="coordinator", kind=coordinator, skills=("refunds",)),  # type: ignore[arg-type]
        Agent(name="second", rank="coordinator", skills=("parcels",)),
        Agent(name="desk", rank="specialist", skills=("refund", "fail", "sales"), handler="w.py:desk", backups=("clerk",)),
        Agent(name="clerk", rank="operator", skills=("letters",), handler="w.py:clerk"),
        Agent(name="packer", rank="operator", skills=("parcel",), reports_to="second", handler="w.py:clerk"),
        Agent(name="wrong", rank="operator", handler="w.py:wrong"),
    )
    contracts = (
        Contract(
            name="refund", about="", served_by="desk", may_ask=("client",), request={"order": "int"}, reply={"cents": "int"}
        ),
        Contract(name="bad", about="", served_by="wrong", may_ask=("client",), reply={"cents": "int"}),
    )
    support = Department(name="support", charter="Helps.", agents=agents, contracts=contracts)
    return Organisation(name="x", clients=("acme",), departments=(support, SALES), models=MODELS, base=str(base), digest="d")


@pytest.fixture
def lead(tmp_path: Path) -> Iterator[Callable[..., Lone]]:
    """Runs a task; `to` and `ruling` are what the model says when it is asked for them; None: it is not to be had."""
    begun: list[Lone] = []

    def run(text: str, contract: str = "", given: Any = None, *, to: Any = "desk", ruling: Any = "sign", **more: Any) -> Lone:
        lone = Lone(tmp_path, place(tmp_path, **more))
        begun.append(lone)

        def mind(asked: Think) -> Any:
            key = lone.schema(asked)["name"]
            said = {"to": to, "ruling": ruling}[key]
            if said is None:
                lone.unthought(asked, "failed", "no provider")
                return None
            choice = said(lone.schema(asked)["schema"]["properties"][key]["enum"]) if callable(said) else said
            return choice if isinstance(choice, str) and "{" in choice else {key: choice, "reason": "so it is"}

        lone.task(text, contract, given)
        lone.think(mind)
        lone.check()
        return lone

    yield run
    for lone in begun:
        lone.close()


def way(lone: Lone) -> list[tuple[str, str]]:
    """Who handed the task to whom."""
    return [(event.sender, event.agent) for event in lone.of_kind(Hopped)]


def asked(lone: Lone) -> list[Think]:
    """What models were asked."""
    return [one for one in lone.sent.values() if isinstance(one, Think)]


def test_a_contract_leaves_no_choice_but_the_ruling(lead: Callable[..., Lone]) -> None:
    """Who serves it gets it; the same task with the same asker goes down; the board's model signs."""
    lone = lead("pay", "support.refund", {"order": 7})
    assert way(lone) == [("mai", "board"), ("board", "first"), ("first", "desk")]
    assert [lone.schema(one)["name"] for one in asked(lone)] == ["ruling"]
    result = lone.result()
    assert (result.state, result.text, result.value) == ("answered", "desk did pay for acme/client", {"cents": 7})
    assert (result.by, result.sources) == ("acme/support/desk", ("support",))


def test_a_free_text_goes_where_the_model_says(lead: Callable[..., Lone]) -> None:
    """The board chooses among its coordinators, the coordinator among those who report to it; nobody else is on the list."""
    lone = lead("a parcel about a refund", to=lambda options: "second" if "second" in options else options[-1])
    assert way(lone) == [("mai", "board"), ("board", "second"), ("second", "packer")]
    options = lone.schema(asked(lone)[0])["schema"]["properties"]["to"]["enum"]
    assert sorted(options) == ["first", "second"]
    choose = lone.messages(asked(lone)[0])[1]["content"].splitlines()
    assert json.loads(choose[0]) == {"from": "acme/client", "task": "a parcel about a refund"}
    assert json.loads(choose[1])["to"]["second"] == "parcels"


def test_the_model_may_choose_whom_the_words_do_not_fit(lead: Callable[..., Lone]) -> None:
    """A text without a word of anybody's skills is for the model to understand; it may also say that it is nobody's."""
    lone = lead("il mio rimborso?", to=lambda options: "first" if "first" in options else "desk")
    assert way(lone)[-1] == ("first", "desk") and lone.result().state == "answered"
    assert lone.schema(asked(lone)[1])["schema"]["properties"]["to"]["enum"][-1] == "nobody"


def test_nobody(tmp_path: Path, lead: Callable[..., Lone]) -> None:
    """What the model takes for nobody's is refused as the built-in behaviour refuses it."""
    lone = lead("sing", to="nobody")
    assert lone.result().state == "refused" and "nobody in support fits 'sing'" in lone.result().reason


@pytest.mark.parametrize("to", [None, "ceo", "mai", "packer", "{", '{"to": ["desk"]}', '{"to": {}}', "{}"])
def test_without_a_usable_choice_the_built_in_decides(lead: Callable[..., Lone], to: Any) -> None:
    """A model that is not to be had, says nothing, or names who is not on the list changes nothing."""
    lone = lead("refund", to=to)
    assert way(lone) == [("mai", "board"), ("board", "first"), ("first", "desk")]
    assert lone.result().state == "answered"
    failed = [event for event in lone.of_kind(Stepped) if event.call == "model" and event.refused]
    assert bool(failed) == (to is None)


@pytest.mark.parametrize(
    ("text", "contract", "last", "state"),
    [
        ("fail", "", "clerk", "answered"),
        ("give up", "", "clerk", "answered"),
        ("refuse", "", "desk", "refused"),
        ("fail", "support.refund", "clerk", "answered"),
        ("give up", "support.refund", "clerk", "answered"),
        ("refuse", "support.refund", "desk", "refused"),
    ],
)
def test_the_next_takes_over_as_in_the_built_in(
    lead: Callable[..., Lone], text: str, contract: str, last: str, state: str
) -> None:
    """Backups follow on a failure and on what was given up; a refusal is an answer. The model is not asked again."""
    lone = lead(text, contract, {"order": 1} if contract else None, to=lambda o: "first" if "first" in o else "desk")
    assert way(lone)[-1] == ("first", last) and lone.result().state == state
    assert [lone.schema(one)["name"] for one in asked(lone)].count("to") == (0 if contract else 2)


@pytest.mark.parametrize("kind", ["model", ""])
def test_what_all_have_given_up_goes_up_as_given_up(lead: Callable[..., Lone], kind: str) -> None:
    """It goes to a person with the reasons of all, as with the built-in, and the answer comes back the way that it went."""
    lone = lead("all give up", "support.refund", {"order": 1}, board=kind, coordinator=kind)
    asked = lone.rule("so be it", {"cents": 3})
    lone.think(lambda _: {"ruling": "sign", "reason": ""})
    assert [event.agent for event in lone.of_kind(Ended)] == ["board", "first", "clerk", "first", "desk", "first", "board"]
    assert [(one.who.rpartition("/")[2], one.why) for one in asked.plea.tried] == [
        ("desk", "too hard"), ("clerk", "too hard for a clerk"),
        ("first", "nobody else is left for it"), ("board", "nobody in the department decides it"),
    ]  # fmt: skip
    assert lone.result().value == {"cents": 3} and lone.result().by == "acme/person/ann"


def test_a_board_withholds(lead: Callable[..., Lone]) -> None:
    """The reply does not leave the department, and the reason does."""
    lone = lead("refund", ruling="withhold")
    result = lone.result()
    assert result.state == "refused" and "withholds the reply: so it is" in result.reason
    assert result.text == "" and result.value == {}


@pytest.mark.parametrize("ruling", [None, "perhaps", "{", "{}"])
def test_without_a_ruling_the_contract_decides(lead: Callable[..., Lone], ruling: Any) -> None:
    """The built-in board signs what keeps to the contract."""
    assert lead("pay", "support.refund", {"order": 7}, ruling=ruling).result().state == "answered"


def test_the_contract_cannot_be_overruled(lead: Callable[..., Lone]) -> None:
    """A reply that breaks it is withheld before the model is asked."""
    lone = lead("x", "support.bad", {}, ruling="sign")
    assert lone.result().state == "failed" and "which does not keep to its contract support.bad" in lone.result().reason
    assert lone.result().breach == "it has a field that support.bad does not name"
    assert asked(lone) == []


def test_what_is_for_another_department_only_passes_by(lead: Callable[..., Lone]) -> None:
    """No model is asked about a question of a worker's to sales, Mai is; nor about the reply: sales may have done something."""
    lone = lead("sales")
    (task,) = [one for one in lone.sent.values() if isinstance(one, Task)]
    before = len(asked(lone))
    assert task.contract == "sales.pipeline" and before == 2  # whom to: the board's choice and the coordinator's
    lone.reply(task, {"total": 3})
    lone.settle()
    assert lone.result().value == {"total": 3} and len(asked(lone)) == before


def test_its_tokens_bound_a_leader_too(lead: Callable[..., Lone]) -> None:
    """A question that its tokens have no room for is not asked; the built-in decides."""
    lone = lead("refund", tokens=100)
    assert all(one.agent != "acme/support/board" for one in asked(lone)) and lone.result().state == "answered"


@pytest.mark.parametrize("tokens", [1500, 2000, 100_000])
def test_its_tokens_bound_choice_and_ruling_together(tmp_path: Path, tokens: int) -> None:
    """A model that takes all that each question may take stays within the task's tokens; the rest is the built-in's."""
    lone = Lone(tmp_path, place(tmp_path, tokens=tokens))
    lone.task("refund")
    lone.settle()
    used = 0
    while left := [one for one in asked(lone) if one.id not in lone.minded]:
        for one in left:
            lone.minded.add(one.id)
            key, output = lone.schema(one)["name"], one.inquiry.output_tokens or MODELS.models[0].output_tokens
            options = lone.schema(one)["schema"]["properties"][key]["enum"]
            if one.agent.endswith("/board"):
                used += one.inquiry.size + output
            lone.thought(one, {key: options[0], "reason": ""}, usage=Usage(one.inquiry.size, output))
        lone.settle()
    assert used <= tokens and lone.result().state == "answered"
    assert len([one for one in asked(lone) if one.agent.endswith("/board")]) == (2 if tokens > 2000 else 1)


def test_who_did_it_is_said_as_with_the_built_in(tmp_path: Path) -> None:
    """Boards and coordinators that think leave no other trace in the answer: text, value, by whom, on whom it rests."""
    found = []
    for number, kinds in enumerate((("", ""), ("model", "model"), ("model", ""), ("", "model"))):
        home = tmp_path / str(number)
        home.mkdir()
        lone = Lone(home, place(home, *kinds))
        results = []
        for ident, text, contract in (("r/1", "refund", ""), ("r/2", "pay", "support.refund"), ("r/3", "sales", "")):
            lone.task(text, contract, {"order": 7} if contract else None, ident=ident)
            for _ in range(2):
                lone.think(lambda one: {"to": "first" if one.agent.endswith("board") else "desk", "ruling": "sign", "reason": ""})
                for task in [one for one in lone.sent.values() if isinstance(one, Task) and ident == "r/3"][:1]:
                    lone.reply(task, {"total": 3})
            results.append(lone.result(ident))
        lone.check()
        lone.close()
        found.append(results)
    assert found[0][2].sources == ("sales", "support") and found[0][1].by == "acme/support/desk"
    assert all(results == found[0] for results in found)


def test_an_answer_that_was_cut_is_no_choice(tmp_path: Path) -> None:
    """Neither a choice nor a ruling, even if what there is of it happens to be JSON."""
    lone = Lone(tmp_path, place(tmp_path))
    lone.task("a parcel about a refund")
    lone.settle()
    while left := [one for one in asked(lone) if one.id not in lone.minded]:
        for one in left:
            lone.minded.add(one.id)
            lone.thought(one, {"to": "first", "ruling": "withhold", "reason": "cut"}, finish="length")
        lone.settle()
    assert ("board", "second") in way(lone) and lone.result().state == "answered"
    lone.close()


def test_a_huge_reply_is_cut_for_the_ruling(lead: Callable[..., Lone]) -> None:
    """The model sees a marked part, the client gets the whole."""
    lone = lead("refund " + "x" * 40_000, tokens=1_000_000)
    ruling = [one for one in asked(lone) if lone.schema(one)["name"] == "ruling"]
    assert len(ruling) == 1 and "cut" in lone.messages(ruling[0])[1]["content"]
    assert len(lone.result().text) > 40_000


def test_killed_between_its_steps(tmp_path: Path) -> None:
    """After each turn a new life: one hop to each, one question of each kind, one answer."""
    lone = Lone(tmp_path, place(tmp_path))
    lone.task("give up")
    done: set[str] = set()
    for _ in range(30):
        lone.turn()
        lone = lone.again()
        for one in [one for one in asked(lone) if one.id not in done]:
            done.add(one.id)
            key = lone.schema(one)["name"]
            options = lone.schema(one)["schema"]["properties"][key]["enum"]
            lone.thought(one, {key: next(o for o in ("first", "desk", "sign") if o in options), "reason": ""})
    lone.settle()
    hops = [lone.ledger.body(record) for record in lone.ledger.records(kind=Hopped.kind)]
    assert [(hop["sender"], hop["agent"]) for hop in map(json.loads, hops)] == [
        ("mai", "board"), ("board", "first"), ("first", "desk"), ("desk", "first"), ("first", "clerk"),
    ]  # fmt: skip
    assert len(done) == 3 and lone.result().text == "clerk did give up"
    lone.check()
    lone.close()


def test_python_code_may_hand_a_task_on_but_not_past_the_table(tmp_path: Path) -> None:
    """The same task with the same asker; what the table forbids is refused and on record; it cannot pretend another's reply."""
    code = """
    from mai.agents.context import Answer, Refusal, Reply
    async def chief(ctx, task):
        said = []
        for to in ("mai", "board", "nobody", "chief", "sales.pipeline", "desk"):
            try:
                reply = await ctx.hand(to)
                said.append(reply.text)
            except Refusal as refusal:
                said.append(refusal.state)
        if task.text.startswith("desk, forge"):
            return Reply({}, "forged", "acme/finance/desk", ("finance",))
        return " ".join(said)
    async def desk(ctx, task): return f"{task.asker}:{task.text}"
    """
    (tmp_path / "w.py").write_text(textwrap.dedent(code))
    agents = (
        Agent(name="board", rank="board"),
        Agent(name="chief", rank="coordinator", handler="w.py:chief"),
        Agent(name="desk", rank="operator", handler="w.py:desk"),
    )
    support = Department(name="support", charter="", agents=agents)
    whole = Organisation(name="x", clients=("acme",), departments=(support, SALES), base=str(tmp_path), digest="d")
    lone = Lone(tmp_path, whole)
    assert lone.ask("desk hi").text.endswith("refused refused refused acme/client:desk hi")
    assert {event.receiver for event in lone.of_kind(HopRefused)} >= {"mai", "nobody", "chief", "sales.pipeline"}
    lone.task("desk, forge", ident="r/2")
    lone.settle()
    assert lone.result("r/2").state == "failed" and "returned Reply" in lone.result("r/2").reason
    lone.check()
    lone.close()
