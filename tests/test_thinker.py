"""A worker of kind model: its turns are steps, its bounds hold, and each of its tasks ends in an answer or in a reason."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pysqlite3 as sqlite3
import pytest

from mai.agents import talks
from mai.agents.check import load
from mai.agents.claims import Claimed
from mai.agents.errand_messages import Think, Usage
from mai.agents.events import Asked, EffectIntent, Ended, Escalated, Remembered, Stepped
from mai.agents.faults import Faulty
from mai.agents.memory_scope import Keeping
from mai.agents.messages import Task
from mai.agents.models import Model, Models
from mai.agents.organisation import Agent, Limits, Organisation, Tool
from mai.agents.talk import MOST_MOVES, SHOWN_CHARS, request_of
from tests.lone import COUNTED, MODELS, USAGE, Lone, organisation
from tests.lone import desk as coded

NOTE = """
def note(files, number, *, key):
    with open(files / "notes", "a") as file:
        file.write(f"{key} {number}\\n")
    return f"noted {number}"
def look(files, word="x"):
    return "seen " * len(word)
def book(files, cents: int, memo: str = "", *, key):
    (files / "booked").open("a").write("x")
    return cents
def half(files, number: int, *, key):
    (files / "halves").open("a").write("x")
    raise TimeoutError("the bank does not answer")
def odd(here, files, name, self, key, call, limit_s, what=None):
    return [files, name, self, key, call, limit_s]
def mark(files, *, key):
    (files / "marks").open("a").write("x")
    if not (files / "again").exists():
        (files / "again").touch()
        os._exit(9)
"""
NOTE_TOOL = Tool(name="note", handler="w.py:note", effect="idempotent", input={"number": "int"})
LOOK = Tool(name="look", handler="w.py:look")
MARK = Tool(name="mark", handler="w.py:mark", effect="opaque")
BOOK = Tool(name="book", handler="w.py:book", effect="idempotent")
ODD = Tool(name="odd", handler="w.py:odd")
HALF = Tool(name="half", handler="w.py:half", effect="idempotent")
TOOLS = (NOTE_TOOL, LOOK, MARK, BOOK, ODD, HALF)


def place(base: Path, scope: tuple[str, ...] = ("note",), limits: Limits | None = None, **more: Any) -> Organisation:
    """Support with a specialist that asks a model; `scope` are its tools."""
    (base / "w.py").write_text("import os\n" + textwrap.dedent(NOTE))
    worker = Agent(name="desk", rank="specialist", charter="You refund.", kind="model", tools=scope, **more)
    return organisation(base, worker, tools=TOOLS, limits=limits)


def tool(name: str, /, **given: Any) -> Any:
    """The move to use a tool."""
    return {"move": {"do": "tool", "name": name, "input": given}}


def said(text: str = "Done.", **value: Any) -> Any:
    """The move to answer."""
    return {"move": {"do": "answer", "text": text, **({"value": value} if value else {})}}


def script(*answers: Any) -> Callable[[Think], Any]:
    """A mind that says one after the other, and the last one from then on."""
    left = list(answers)
    return lambda asked: left.pop(0) if len(left) > 1 else left[0]


def notes(lone: Lone) -> list[str]:
    """What the tool has written."""
    path = lone.home / "files" / "notes"
    return path.read_text().splitlines() if path.exists() else []


def ended(lone: Lone, agent: str = "desk") -> Ended:
    """How the agent's one task ended; or that it was given up to those above, whose answer it waits for."""
    if escalated := [event for event in lone.of_kind(Escalated) if event.agent == agent]:
        one = escalated[0]
        return Ended(request=one.request, task=one.task, agent=agent, state="escalated", reason=one.reason)
    (found,) = [event for event in lone.of_kind(Ended) if event.agent == agent]
    assert isinstance(found, Ended)
    return found


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Lone]]:
    """Begins a department with one task for its thinking desk."""
    begun: list[Lone] = []

    def start(*scope: str, contract: str = "", given: Any = None, text: str = "desk, note 7", **more: Any) -> Lone:
        lone = Lone(tmp_path, place(tmp_path, scope, **more))
        begun.append(lone)
        lone.task(text, contract, given)
        return lone

    yield start
    for lone in begun:
        lone.close()


# -- an answer
def test_tools_then_the_answer(started: Callable[..., Lone]) -> None:
    """Each question and each tool is a step; the result is what the contract promised; the model sees what its tool gave."""
    lone = started("note", contract="support.refund", given={"order": 7})
    lone.think(script(tool("note", number=7), said("You get 5 euros.", cents=500)))
    result = lone.result()
    assert (result.state, result.text, result.value) == ("answered", "You get 5 euros.", {"cents": 500})
    assert [event.call for event in lone.of_kind(Stepped) if event.agent == "desk"] == ["tools", "model", "tool", "model"]
    first, second = (one for one in lone.sent.values() if isinstance(one, Think))
    assert lone.messages(second)[: len(lone.messages(first))] == lone.messages(first)
    assert json.loads(lone.messages(second)[-1]["content"]) == {"from": "tool note", "result": "noted 7"}
    assert notes(lone) == ["r/1.1.1/3 7"]
    lone.check()


def test_without_tools_it_is_asked_for_the_plain_answer(started: Callable[..., Lone]) -> None:
    """No union, no words about moves: what a small model needs, in little."""
    lone = started(contract="support.refund", given={"order": 7})
    lone.think(script({"text": "5 euros", "value": {"cents": 500}}))
    (asked,) = (one for one in lone.sent.values() if isinstance(one, Think))
    assert lone.schema(asked)["name"] == "answer" and lone.schema(asked)["strict"]
    assert set(lone.schema(asked)["schema"]["properties"]) == {"text", "value"}
    assert "tool" not in lone.messages(asked)[0]["content"] and asked.inquiry.size < 1500
    assert lone.result().value == {"cents": 500}


def test_a_free_text_is_answered_with_a_text(started: Callable[..., Lone]) -> None:
    """Marks of code around the JSON do no harm."""
    lone = started()
    lone.think(script('```json\n{"text": "So it is."}\n```'))
    assert lone.result().text == "So it is."


def test_a_long_answer_arrives_whole(started: Callable[..., Lone]) -> None:
    """Only what the model is shown is cut, never what it says to the client."""
    lone = started(tokens=1_000_000)
    lone.think(script({"text": "word " * 10_000}))
    assert lone.result().text == "word " * 10_000


def test_native_calls_are_taken(started: Callable[..., Lone]) -> None:
    """A provider that calls tools by its own means is understood; several calls in one answer are done in order."""
    lone = started("note", "look")
    calls = (("note", '{"number": 1}'), ("look", ""), ("note", '{"number": 2}'))
    lone.think(script(("", *calls), said("Both.")))
    assert lone.result().text == "Both." and [one.split()[1] for one in notes(lone)] == ["1", "2"]
    spoken, results = lone.messages(list(lone.sent.values())[-2])[-2:]  # type: ignore[arg-type]  # the second question
    assert [json.loads(line)["move"]["name"] for line in spoken["content"].splitlines()] == ["note", "look", "note"]
    assert [json.loads(line)["from"] for line in results["content"].splitlines()] == ["tool note", "tool look", "tool note"]


def test_another_department_is_asked_under_its_contract(started: Callable[..., Lone]) -> None:
    """The question goes up the ranks to Mai, and its reply comes back marked with where it is from."""
    lone = started("sales.pipeline")
    lone.think(script({"move": {"do": "ask", "name": "sales.pipeline", "input": {"quarter": 1, "text": None}}}, said("It is 9.")))
    (asked,) = [one for one in lone.sent.values() if isinstance(one, Task)]
    assert asked.input == {"quarter": 1, "text": None} and asked.asker == "acme/support/desk"
    lone.reply(asked, {"total": 9})
    lone.think(script(said("It is 9.")))
    second = [one for one in lone.sent.values() if isinstance(one, Think)][-1]
    assert json.loads(lone.messages(second)[-1]["content"])["from"] == "department sales"
    assert lone.result().sources == ("sales", "support")


def test_a_note_that_is_too_large_for_the_organisation_is_refused_to_it(tmp_path: Path) -> None:
    """It is told so and goes on; nothing is kept."""
    lone = Lone(tmp_path, msgspec.structs.replace(place(tmp_path, ("remember",)), memory=Keeping(value_bytes=256)))
    lone.task("desk, note 7")
    lone.think(script({"move": {"do": "remember", "name": "tone", "text": "x" * 500}}, said()))
    assert lone.result().state == "answered" and not lone.of_kind(Remembered)
    asked = [one for one in lone.sent.values() if isinstance(one, Think)][-1]
    assert "the limit is 256" in lone.messages(asked)[-1]["content"]
    lone.check()
    lone.close()


def test_memory_is_its_own(started: Callable[..., Lone], tmp_path: Path) -> None:
    """What it remembers it is shown with its next task, as its memory; nobody else's is written."""
    lone = started("remember")
    lone.think(script({"move": {"do": "remember", "name": "tone", "text": "short"}}, said()))
    assert [(event.level, event.agent) for event in lone.of_kind(Remembered)] == [("agent", "desk")]
    lone.task("desk, again", ident="r/2")
    lone.think(script(said()))
    asked = [one for one in lone.sent.values() if isinstance(one, Think)][-1]
    memory, task = map(json.loads, lone.messages(asked)[-1]["content"].splitlines())
    assert memory == {"from": "your memory", "notes": {"tone": "short"}} and task["from"] == "acme/client"


def test_a_conclusion_names_what_it_rests_on(started: Callable[..., Lone]) -> None:
    """In its scope a model may conclude; the grounds are what its task has looked at. Out of it, or wrong, it may not."""
    claim = {"subject": "order 7", "attribute": "state", "value": "lost", "confidence": 0.8}
    lone = started("look", "conclude")
    lone.think(script(tool("look"), tool("conclude", **claim), tool("conclude", **{**claim, "confidence": 2}), said()))
    (claimed,) = lone.of_kind(Claimed)
    assert (claimed.subject, claimed.value, claimed.confidence) == ("order 7", "lost", 0.8)
    assert claimed.grounds == ("task", "step:3") and lone.result().state == "answered"
    lone.check()


# -- what is wrong with an answer
BROKEN: dict[str, Any] = {
    "nothing": "",
    "half": '{"move": {"do": "ans',
    "prose": "Sure, I can help!",
    "a list": "[1]",
    "an empty object": {},
    "an unknown move": {"move": {"do": "fly"}},
    "no text": said(""),
    "deep": "[" * 5000,
}


@pytest.mark.parametrize("what", BROKEN)
def test_one_repair_then_it_is_given_up(started: Callable[..., Lone], what: str) -> None:
    """It is told once what is wrong; the second time the task goes to those above, with the reason."""
    lone = started("note")
    lone.think(script(BROKEN[what]))
    assert len([one for one in lone.sent.values() if isinstance(one, Think)]) == 2
    assert "cannot be used, twice" in ended(lone).reason and ended(lone).state == "escalated"
    assert len(lone.escalations()) == 1 and lone.escalations()[0].plea.agent == "acme/support/desk"
    lone.check()


@pytest.mark.parametrize("value", [{}, {"cents": "five"}, {"cents": 1, "more": 2}, {"cents": 2**70}, None, [1]])
def test_the_contract_is_checked_by_us(started: Callable[..., Lone], value: Any) -> None:
    """What does not keep to the contract goes back once, with the fault; then the right answer is taken, or none."""
    lone = started(contract="support.refund", given={"order": 7})
    wrong = {"text": "", "value": value}
    lone.think(script(wrong, {"text": "", "value": {"cents": 5}}))
    repair = lone.messages([one for one in lone.sent.values() if isinstance(one, Think)][-1])[-1]
    assert "the reply of support.refund" in json.loads(repair["content"])["refused"]
    assert lone.result().value == {"cents": 5}
    lone.task("", "support.refund", {"order": 8}, ident="r/2")
    lone.think(script(wrong))
    assert "the reply of support.refund" in lone.escalations()[-1].plea.reason and lone.escalations()[-1].task.startswith("r/2.")


def test_an_answer_that_was_cut_is_none(started: Callable[..., Lone]) -> None:
    """Half an answer that happens to be JSON is not taken for a whole one."""
    lone = started()
    lone.task("desk", ident="r/2")
    lone.settle()
    for asked in [one for one in lone.sent.values() if isinstance(one, Think)]:
        lone.thought(asked, {"text": "It costs 1"}, finish="length")
    lone.settle()
    assert len([one for one in lone.sent.values() if isinstance(one, Think)]) == 4
    assert lone.of_kind(Ended) == []


def test_calls_that_were_cut_are_none(started: Callable[..., Lone]) -> None:
    """What was cut before its arguments began would else be a call without any."""
    lone = started("book", "look")
    lone.settle()
    (asked,) = (one for one in lone.sent.values() if isinstance(one, Think))
    lone.thought(asked, "", ("book", '{"cents": 5}'), ("look", ""), finish="length")
    lone.settle()
    repair = [one for one in lone.sent.values() if isinstance(one, Think)][-1]
    assert "cut off" in lone.messages(repair)[-1]["content"]
    assert lone.of_kind(EffectIntent) == [] and not (lone.home / "files" / "booked").exists()


def test_arguments_of_any_name_arrive(started: Callable[..., Lone]) -> None:
    """Also those that our own functions have."""
    lone = started("odd")
    given = {name: name for name in ("files", "name", "self", "key", "call", "limit_s")}
    lone.think(script(tool("odd", **given), said()))
    asked = [one for one in lone.sent.values() if isinstance(one, Think)][-1]
    assert json.loads(lone.messages(asked)[-1]["content"])["result"] == list(given)


def test_an_answer_that_cannot_be_sent_goes_back(started: Callable[..., Lone]) -> None:
    """Too long for a message: the model is told, and may say it in fewer words."""
    lone = started(limits=Limits(message_bytes=1 << 16), tokens=1_000_000)
    lone.think(script({"text": "x" * (1 << 16)}, {"text": "short"}))
    asked = [one for one in lone.sent.values() if isinstance(one, Think)][-1]
    assert "the limit is" in lone.messages(asked)[-1]["content"] and lone.result().text == "short"


@pytest.mark.parametrize(("tokens", "bytes_"), [(50_000, 8 << 10), (16_000, 4000)])
def test_a_full_memory_leaves_room_for_the_task(started: Callable[..., Lone], tokens: int, bytes_: int) -> None:
    """However much it remembers, in whatever letters: the oldest notes go, and it can still be asked."""
    lone = started("remember", tokens=tokens)
    for number in range(12):
        note = {"do": "remember", "name": f"note {number}", "text": "\U0001f600" * (250 if number % 2 else 1000)}
        lone.think(script({"move": note}, said()))
        assert lone.result(f"r/{number + 1}").state == "answered"
        lone.task("desk, again", ident=f"r/{number + 2}")
    kept = lone.of_kind(Remembered)[-1].value
    assert "note 11" in kept and "note 0" not in kept and len(json.dumps(kept, ensure_ascii=False).encode()) <= bytes_ * 1.1
    assert len(lone.of_kind(Remembered)) == (12 if bytes_ > 4100 else 6)


def test_a_refusal_is_no_source_of_figures(started: Callable[..., Lone]) -> None:
    """What the model has made up comes back in the refusal, and is made up all the same."""
    lone = started("note", figures="given")
    lone.think(script(tool("fly49"), said("It costs 49."), said("It costs 7.")))
    assert lone.result().text == "It costs 7." and "49" in lone.messages(list(lone.sent.values())[1])[-1]["content"]  # type: ignore[arg-type]


def test_advice_concludes_nothing(started: Callable[..., Lone]) -> None:
    """A conclusion is for the whole company; and no name that such a model makes up stands in the reason."""
    claim = {"subject": "order 7", "attribute": "state", "value": "lost", "confidence": 1.0}
    for number, move in enumerate((tool("conclude", **claim), tool("nonsense"))):
        lone = started("look", "conclude")
        lone.advises = True
        if number:
            lone.task("desk, note 8", ident="r/2")
        lone.think(script(tool("look"), tool("look", word="y"), move))
        reason = lone.escalations()[-1].plea.reason
        assert lone.of_kind(Claimed) == [] and "only advises" in reason and "nonsense" not in reason
        lone.close()


def test_a_hundred_calls_in_one_answer(started: Callable[..., Lone]) -> None:
    """None of them is done, and the model is told how many it may make."""
    lone = started("note")
    lone.think(script(("", *(("note", f'{{"number": {n}}}') for n in range(100))), said()))
    assert notes(lone) == [] and lone.result().state == "answered"
    asked = [one for one in lone.sent.values() if isinstance(one, Think)][-1]
    assert f"the most is {MOST_MOVES}" in lone.messages(asked)[-1]["content"]


@pytest.mark.parametrize(
    ("move", "told"),
    [
        (tool("fly"), "may not use the tool fly"),
        (tool("conclude", subject="a", attribute="b", value="c", confidence=1.0), "may not use the tool conclude"),
        (tool("note", number="many"), "expected int"),
        (tool("note"), "missing"),
        (tool("note", number=1, more=2), "more"),
        ({"move": {"do": "tool", "name": "note", "input": [1]}}, "no object"),
        ({"move": {"do": "ask", "name": "sales.secret", "input": {}}}, "may not use"),
        ({"move": {"do": "remember", "name": "a", "text": "b"}}, "may not use"),
        ({"move": {"do": "tool", "name": "", "input": {}}}, "may not use"),
    ],
)
def test_a_faulty_call_is_told_and_the_third_ends_it(started: Callable[..., Lone], move: Any, told: str) -> None:
    """The model hears what was wrong; who wants the same a third time is not asked again."""
    lone = started("note")
    lone.think(script(move))
    asked = [one for one in lone.sent.values() if isinstance(one, Think)]
    assert len(asked) == 3 and told in lone.messages(asked[1])[-1]["content"]
    assert "3 times in the same way" in ended(lone).reason and notes(lone) == []


# -- bounds
def test_turns_are_bounded_and_the_last_can_only_end_it(started: Callable[..., Lone]) -> None:
    """Another call each time, for ever: after its turns the task is given up. In the last no tool is offered any more."""
    lone = started("note", turns=4)
    numbers = iter(range(100))
    lone.think(lambda asked: tool("note", number=next(numbers)))
    asked = [one for one in lone.sent.values() if isinstance(one, Think)]
    assert len(asked) == 4 and "4 times without an answer" in ended(lone).reason
    offered = [[one["properties"]["do"]["enum"][0] for one in _moves(lone, each)] for each in asked]
    assert offered == [["tool", "escalate", "answer"]] * 3 + [["escalate", "answer"]]


def test_what_nobody_would_look_at_is_not_done(started: Callable[..., Lone]) -> None:
    """A model that is not held to the schema may still call a tool in its last turn: it has no effect."""
    lone = started("note", turns=2)
    lone.think(script(("", ("note", '{"number": 1}')), ("", ("note", '{"number": 2}'))))
    assert [one.split()[1] for one in notes(lone)] == ["1"] and "2 times without an answer" in ended(lone).reason


def _moves(lone: Lone, asked: Think) -> list[Any]:
    found: list[Any] = lone.schema(asked)["schema"]["properties"]["move"]["anyOf"]
    return found


@pytest.mark.parametrize("tokens", [1000, 5000, 9000])
def test_tokens_are_never_exceeded(started: Callable[..., Lone], tokens: int) -> None:
    """A model that uses all that each question can take (a byte a token, and its whole answer) stays within the task's tokens."""
    lone = started("look", tokens=tokens, turns=100)
    used, number = 0, 0
    lone.settle()
    while waiting := [one for one in lone.sent.values() if isinstance(one, Think)][number:]:
        number += 1
        output = waiting[0].inquiry.output_tokens or 1024
        used += waiting[0].inquiry.size + output
        assert used <= tokens
        usage = Usage(waiting[0].inquiry.size, output)
        lone.thought(waiting[0], tool("look", word="x" * number), usage=usage)
        lone.settle()
    assert f"of its {tokens} tokens" in ended(lone).reason and (number or tokens == 1000)


def test_a_huge_text_is_cut_and_marked(started: Callable[..., Lone]) -> None:
    """Neither a client's text nor a tool's result makes a question that cannot be sent."""
    lone = started("look", text="desk " * 10_000, tokens=1_000_000)
    lone.think(script(tool("look", word="w" * 20_000), said()))
    second = [one for one in lone.sent.values() if isinstance(one, Think)][-1]
    for message in (lone.messages(second)[1], lone.messages(second)[-1]):
        data = json.loads(message["content"])
        assert f"the first {SHOWN_CHARS} of" in data["cut"] and len(message["content"]) < SHOWN_CHARS * 1.1
    assert lone.result().state == "answered"


def test_a_question_larger_than_a_message_is_given_up(started: Callable[..., Lone]) -> None:
    """It is refused here, on record, and not sent to block the link."""
    lone = started("look", tokens=1_000_000, turns=50, limits=Limits(message_bytes=1 << 15))
    numbers = iter(range(1, 100))
    lone.think(lambda asked: tool("look", word="w" * (1000 + next(numbers))))
    assert "cannot be sent" in ended(lone).reason and len(lone.escalations()) == 1
    lone.check()


@pytest.mark.parametrize(
    ("state", "reason"), [("refused", "the budget is spent"), ("failed", "no provider"), ("expired", "late")]
)
def test_a_model_that_is_not_to_be_had(started: Callable[..., Lone], tmp_path: Path, state: str, reason: str) -> None:
    """The task goes to those above, and with a backup on to that, whatever the reason is."""
    (tmp_path / "clerk.py").write_text("def clerk(ctx, task): return {'cents': 1}")
    clerk = Agent(name="clerk", rank="operator", handler="clerk.py:clerk")
    base = place(tmp_path, backups=("clerk",))
    lone = Lone(tmp_path, organisation(tmp_path, base.departments[0].agents[2], clerk, tools=TOOLS))
    lone.task("", "support.refund", {"order": 7})
    lone.settle()
    (asked,) = (one for one in lone.sent.values() if isinstance(one, Think))
    lone.unthought(asked, state, reason)
    lone.settle()
    assert reason in ended(lone).reason and lone.result().value == {"cents": 1}
    lone.check()
    lone.close()


def test_the_deadline_in_the_middle(started: Callable[..., Lone]) -> None:
    """A model that answers after its task has ended changes nothing."""
    lone = started("note", limits=Limits(task_s=0.3))
    lone.settle()
    (asked,) = (one for one in lone.sent.values() if isinstance(one, Think))
    lone.expire()
    lone.thought(asked, tool("note", number=7))
    lone.settle()
    assert ended(lone).state == "expired" and notes(lone) == [] and lone.result().state == "expired"
    lone.check()


# -- effects
def test_an_effect_is_not_had_twice_in_one_task(started: Callable[..., Lone]) -> None:
    """A model that asks for the same again gets what came of it; a tool without effect is used again."""
    lone = started("note", "look")
    once = tool("note", number=1)
    lone.think(script(once, once, tool("look"), tool("look"), said()))
    assert len(notes(lone)) == 1 and len(lone.of_kind(EffectIntent)) == 1
    assert [event.given["tool"] for event in lone.of_kind(Stepped) if event.call == "tool" and event.given] == ["look"] * 2
    asked = [one for one in lone.sent.values() if isinstance(one, Think)][2]
    assert "not done twice" in lone.messages(asked)[-1]["content"]


def test_the_same_in_other_words_is_the_same(started: Callable[..., Lone]) -> None:
    """Null for what may be missing, another order, a call by the provider's own means: booked once."""
    lone = started("book")
    natively = ("", ("book", '{"memo": null, "cents": 5}'))
    asks = {"move": {"do": "ask", "name": "book", "input": {"cents": 5}}}
    lone.think(script(tool("book", cents=5, memo=None), tool("book", cents=5), natively, asks, said()))
    assert (lone.home / "files" / "booked").read_text() == "x" and lone.result().state == "answered"


def test_what_failed_with_an_effect_is_not_tried_again(started: Callable[..., Lone]) -> None:
    """It may have happened, and a new try has a new key: the model is told so. Another input is another effect."""
    lone = started("half")
    lone.think(script(tool("half", number=1), tool("half", number=1), tool("half", number=2), said()))
    assert (lone.home / "files" / "halves").read_text() == "xx" and lone.result().state == "answered"
    asked = [one for one in lone.sent.values() if isinstance(one, Think)][2]
    assert "not tried again" in lone.messages(asked)[-1]["content"]
    assert "the bank does not answer" in lone.messages(asked)[-1]["content"]


@pytest.mark.parametrize(("state", "times"), [("refused", 2), ("failed", 1), ("expired", 1)])
def test_a_question_that_failed_is_not_asked_again(started: Callable[..., Lone], state: str, times: int) -> None:
    """A refusal says that nothing was done; after anything else nobody knows."""
    lone = started("sales.pipeline")
    ask = {"move": {"do": "ask", "name": "sales.pipeline", "input": {"quarter": 1, "text": None}}}
    mind = script(ask, ask, said())
    for _ in range(2):
        lone.think(mind)
        lone.reply([one for one in lone.sent.values() if isinstance(one, Task)][-1], {}, state, "no")
    lone.think(mind)
    assert len([one for one in lone.sent.values() if isinstance(one, Task)]) == times
    assert lone.result().state == "answered"


def test_a_department_is_not_asked_twice_for_the_same(started: Callable[..., Lone]) -> None:
    """It may pay each time: the model gets the reply that there is. Another question is another question."""
    lone = started("sales.pipeline")
    ask = {"move": {"do": "ask", "name": "sales.pipeline", "input": {"quarter": 1, "text": None}}}
    again = {"move": {"do": "ask", "name": "sales.pipeline", "input": {"quarter": 2, "text": None}}}
    mind = script(ask, ask, again, said())
    for total in (9, 10):
        lone.think(mind)
        lone.reply([one for one in lone.sent.values() if isinstance(one, Task)][-1], {"total": total})
    lone.think(mind)
    assert [one.input["quarter"] for one in lone.sent.values() if isinstance(one, Task)] == [1, 2]
    second = [one for one in lone.sent.values() if isinstance(one, Think)][2]
    assert json.loads(lone.messages(second)[-1]["content"])["result"]["value"] == {"total": 9}
    assert "not done twice" in lone.messages(second)[-1]["content"] and lone.result().state == "answered"


def test_an_effect_in_doubt_is_no_question_to_the_model(tmp_path: Path) -> None:
    """After a crash nobody knows whether it happened: a person is asked, and the model goes on with what they say."""
    organisation_ = place(tmp_path, ("mark",))
    lone = Lone(tmp_path, organisation_)
    lone.task("desk", "support.refund", {"order": 1})
    lone.settle()
    (asked,) = (one for one in lone.sent.values() if isinstance(one, Think))
    lone.thought(asked, tool("mark"))
    lone.shell.commit(all_of_it=True)
    lone.close()
    assert die(tmp_path, organisation_) == 9
    lone = Lone(tmp_path, organisation_)
    lone.settle()
    assert (tmp_path / "files" / "marks").read_text() == "x"
    assert [one for one in lone.sent.values() if isinstance(one, Think)] == [asked]  # sent again as it was
    lone.resolve(True, "marked")
    lone.settle()
    *_, second = (one for one in lone.sent.values() if isinstance(one, Think))
    assert second != asked and json.loads(lone.messages(second)[-1]["content"])["result"] == "marked"
    lone.check()
    lone.close()


def die(home: Path, organisation_: Organisation) -> int:
    """Let the department work in a child; how that ended."""
    pid = os.fork()
    if pid == 0:
        try:
            Lone(home, organisation_).settle()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# -- interruption
ANSWERS = (tool("note", number=1), tool("look"), {"move": {"do": "remember", "name": "a", "text": "b"}}, said("Done.", cents=1))


@pytest.mark.parametrize("again_after", range(6))
def test_killed_between_any_two_turns(tmp_path: Path, again_after: int) -> None:
    """It asks each question once, uses each tool once, and ends as if nothing had been."""
    lone = Lone(tmp_path, place(tmp_path, ("note", "look", "remember")))
    lone.task("", "support.refund", {"order": 7})
    lone.settle()
    asked: dict[str, Think] = {}
    for number, answer in enumerate(ANSWERS):
        if number == again_after:
            lone = lone.again()
            lone.settle()
        (now,) = [one for one in lone.sent.values() if isinstance(one, Think) and one.id not in asked]
        asked[now.id] = now
        lone.thought(now, answer)
        if number == again_after - 1:
            lone = lone.again()  # the answer was not committed: Mai says it again
            lone.thought(now, answer)
        lone.settle()
    assert lone.result().value == {"cents": 1} and [one.split()[1] for one in notes(lone)] == ["1"]
    records = [record.task for record in lone.ledger.records(kind=Asked.kind)]
    assert len(records) == len(ANSWERS)
    lone.check()
    lone.close()


def test_killed_after_each_turn_of_the_loop(tmp_path: Path) -> None:
    """With a new life for every single step the record is the same as that of one life."""
    said_, lone = list(ANSWERS), Lone(tmp_path, place(tmp_path, ("note", "look", "remember")))
    lone.task("", "support.refund", {"order": 7})
    done: set[str] = set()
    for _ in range(40):
        lone.turn()
        lone = lone.again()
        for one in [one for one in lone.sent.values() if isinstance(one, Think) and one.id not in done]:
            done.add(one.id)
            lone.thought(one, said_.pop(0))
    assert not said_ and len(notes(lone)) == 1
    lone.settle()
    ends = [record.task for record in lone.ledger.records(kind=Ended.kind)]
    assert sorted(ends) == ["r/1", "r/1.1", "r/1.1.1"]
    lone.check()
    lone.close()


@pytest.mark.parametrize("change", ["charter", "model", "tools", "department", "rule"])
def test_who_was_changed_meanwhile_does_not_go_on(tmp_path: Path, change: str) -> None:
    """Another charter, model or scope asks another question than the one on record: the task says so and ends."""
    first = place(tmp_path, ("note",))
    lone = Lone(tmp_path, first)
    lone.task("", "support.refund", {"order": 7})
    lone.settle()
    support = first.departments[0]
    desk = support.agents[2]
    changes = {
        "charter": msgspec.structs.replace(desk, charter="You never refund."),
        "model": msgspec.structs.replace(desk, model="other"),
        "tools": msgspec.structs.replace(desk, tools=("note", "remember")),
    }
    support = msgspec.structs.replace(support, agents=(*support.agents[:2], changes.get(change, desk)))
    if change == "department":
        support = msgspec.structs.replace(support, charter="Helps nobody.")
    if change == "rule":
        refund = msgspec.structs.replace(support.contracts[0], reply={"cents": "int", "why": "str"})
        support = msgspec.structs.replace(support, contracts=(refund,))
    models = Models(models=(*MODELS.models, Model(name="other", chain=())))
    lone.organisation = msgspec.structs.replace(first, departments=(support, *first.departments[1:]), models=models)
    lone = lone.again()
    lone.settle()
    assert ended(lone).state == "escalated" and "its code has changed since then" in ended(lone).reason
    assert len([one for one in lone.sent.values() if isinstance(one, Think)]) == 1, "asked anew"
    lone.check()
    lone.close()


# -- what is on record
def test_what_was_asked_can_be_rebuilt(started: Callable[..., Lone]) -> None:
    """From the department's own ledger, byte for byte: the messages, the schema, the answer."""
    lone = started("note")
    lone.think(script(tool("note", number=7), said()))

    def text_of(address: str) -> str:
        blob = lone.ledger.blob(address)
        assert blob is not None
        return blob.decode()

    asked = [one for one in lone.sent.values() if isinstance(one, Think)]
    for one in asked:
        rebuilt = request_of(one.inquiry, text_of)
        assert rebuilt["messages"] == [lone.texts[address] for address in talks.messages(one.inquiry, text_of)]
        assert rebuilt["schema"] == lone.texts[one.inquiry.schema]
        assert sum(len(text.encode()) for text in (*rebuilt["messages"], rebuilt["schema"])) == one.inquiry.size
    step = next(event for event in lone.of_kind(Stepped) if event.call == "model")
    assert "note" in text_of(step.value["answer"])


def test_a_question_holds_no_id(tmp_path: Path) -> None:
    """The same task under another id asks the same, so that recorded answers can be played."""
    asked = []
    for ident in ("r/1", "other/9"):
        home = tmp_path / ident.replace("/", "-")
        home.mkdir()
        lone = Lone(home, place(home, ("note", "look")))
        lone.task("desk, note 7", ident=ident)
        lone.think(script(tool("note", number=7), said()))
        asked.append([one.inquiry for one in lone.sent.values() if isinstance(one, Think)])
        lone.close()
    assert asked[0] == asked[1]


def test_a_long_talk_keeps_each_message_once(started: Callable[..., Lone]) -> None:
    """Two hundred turns: the texts take less than a whole question each would, by far."""
    turns = 200
    lone = started("look", tokens=1_000_000_000, turns=turns, limits=Limits(hops=24))
    numbers = iter(range(1, turns + 1))
    lone.think(lambda asked: said() if (n := next(numbers)) == turns else tool("look", word="w" * (n % 7 + 100 + n)))
    asked = [one for one in lone.sent.values() if isinstance(one, Think)]
    assert len(asked) == turns and lone.result().state == "answered"
    whole = sum(one.inquiry.size for one in asked)
    said_ = {address for event in lone.of_kind(Stepped) if event.call == "model" for address in [event.value["answer"]]}
    with closing(sqlite3.connect(lone.home / "ledger.db")) as db:
        blobs = dict(db.execute("SELECT address, length(value) FROM blob").fetchall())
        ((journal,),) = db.execute("SELECT sum(length(body)) FROM journal").fetchall()
    texts = lone.texts.keys() | said_
    kept = sum(blobs[address] for address in texts)
    assert kept * 20 < whole
    lists = sum(blobs.values()) - kept  # of addresses, where a record is too large for its row
    print(f"{turns} turns: asked {whole:,} bytes, kept {kept:,} in {len(texts)} texts, addresses {lists:,}, journal {journal:,}")


# -- ctx.model in Python
def test_python_code_may_ask_its_model(tmp_path: Path) -> None:
    """An agent with a handler and a model in its scope gets the reply with its cost; one without has none."""
    code = COUNTED + textwrap.dedent(
        """
        async def desk(ctx, task):
            try:
                reply = await ctx.model([{"role": "user", "content": "hi"}], output_tokens=5)
            except Refusal as refusal:
                return f"{refusal.state}: {refusal.reason}"
            return {"text": reply.text, "tokens": reply.usage.tokens, "by": reply.by, "finish": reply.finish}
        """
    )
    whole = coded(tmp_path, code)
    lone = Lone(tmp_path, whole)
    assert lone.ask().text == "refused: desk has no model in its scope"
    lone.close()
    other = tmp_path / "other"
    other.mkdir()
    (other / "w.py").write_text((tmp_path / "w.py").read_text())
    lone = Lone(other, organisation(other, Agent(name="desk", rank="operator", handler="w.py:desk", model="m")))
    lone.task()
    lone.think(script("Hello."))
    assert lone.result().value == {"text": "Hello.", "tokens": USAGE.tokens, "by": "main/m", "finish": "stop"}
    lone.check()
    lone.close()


def test_several_questions_at_once(tmp_path: Path) -> None:
    """All are out before the first answer; what is no question is refused before it is one, and output that is no number."""
    code = """
    from mai.agents.context import Refusal
    async def desk(ctx, task):
        said = []
        for wrong in ([], "hi", [1], [{"role": object()}], [{"role": "user", "content": "x" * 2_000_000}]):
            try:
                await ctx.model(wrong)
            except Refusal as refusal:
                said.append(refusal.state)
        for tokens in ("5", -1, 2.5, 10**30):
            try:
                await ctx.model([{"role": "user", "content": "n"}], output_tokens=tokens)
            except Refusal as refusal:
                said.append(refusal.state)
        replies = await ctx.all(*(ctx.model([{"role": "user", "content": str(n)}]) for n in range(3)))
        return " ".join([*said, *(reply.text for reply in replies)])
    """
    (tmp_path / "w.py").write_text(textwrap.dedent(code))
    lone = Lone(tmp_path, organisation(tmp_path, Agent(name="desk", rank="operator", handler="w.py:desk", model="m")))
    lone.task()
    lone.settle()
    asked = [one for one in lone.sent.values() if isinstance(one, Think)]
    assert [lone.messages(one)[0]["content"] for one in asked] == ["0", "1", "2"]
    for one in reversed(asked):
        lone.thought(one, lone.messages(one)[0]["content"])
    lone.settle()
    assert lone.result().text == "failed " * 9 + "0 1 2"
    lone.check()
    lone.close()


WRONG: dict[str, str] = {
    "no messages": "[]",
    "a text": '"hi"',
    "texts": '["hi"]',
    "no role": '[{"content": "hi"}]',
    "an unknown role": '[{"role": "mai", "content": "hi"}]',
    "a role that is none": '[{"role": ["user"], "content": "hi"}]',
    "no content": '[{"role": "user"}]',
    "a number": '[{"role": "user", "content": 5}]',
    "tools that are a text": f'{"OK"}, tools="note"',
    "tools without function": 'OK, tools=[{"name": "note"}]',
    "tools without a name": 'OK, tools=[{"type": "function", "function": {"parameters": {}}}]',
    "a tool's name that is none": 'OK, tools=[{"type": "function", "function": {"name": "a b"}}]',
    "a schema that is a text": 'OK, schema="answer"',
    "a schema without a name": 'OK, schema={"schema": {}}',
    "a schema without a schema": 'OK, schema={"name": "answer"}',
    "a schema's name that is none": 'OK, schema={"name": "", "schema": {}}',
    "a number without end": 'OK, schema={"name": "a", "schema": {"const": float("inf")}}',
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_question_is_said_at_once(tmp_path: Path, what: str) -> None:
    """The worker gets a Refusal that says what it has to be; nothing is sent, and the task goes on."""
    code = f"""
    from mai.agents.context import Refusal
    OK = [{{"role": "user", "content": "hi"}}]
    async def desk(ctx, task):
        try:
            await ctx.model({WRONG[what]})
        except Refusal as refusal:
            return f"{{refusal.state}}: {{refusal.reason}}"
    """
    (tmp_path / "w.py").write_text(textwrap.dedent(code))
    lone = Lone(tmp_path, organisation(tmp_path, Agent(name="desk", rank="operator", handler="w.py:desk", model="m")))
    assert lone.ask().text.startswith("failed: a model cannot be asked with ") and lone.asked() == []
    lone.close()


GROWING = """
from mai.agents.context import Refusal
async def desk(ctx, task):
    talk = [{"role": "user", "content": "begin"}]
    for n in range(4):
        try:
            reply = await ctx.model(talk, tools=TOOLS, schema={"name": "a", "schema": {"type": "object"}})
            talk += [{"role": "assistant", "content": reply.text}, {"role": "user", "content": f"more {n}"}]
        except Refusal as refusal:
            talk += [{"role": "user", "content": refusal.state}]
    return " ".join(one["content"] for one in talk)
TOOLS = [{"type": "function", "function": {"name": "note", "parameters": {"type": "object"}}}]
"""


def test_python_code_that_is_killed_asks_each_question_once(tmp_path: Path) -> None:
    """A new life before and after each turn, each commit and each answer: the record is what one life would have left."""
    (tmp_path / "w.py").write_text(GROWING)
    lone = Lone(tmp_path, organisation(tmp_path, Agent(name="desk", rank="operator", handler="w.py:desk", model="m")))
    lone.task()
    outcomes: list[Any] = ["one", "refused", "expired", "four"]
    done: set[str] = set()
    for _ in range(30):
        lone.turn()
        lone = lone.again()
        for one in [one for one in lone.sent.values() if isinstance(one, Think) and one.id not in done]:
            outcome = outcomes[len(done)]
            for life in range(2):  # the first time it is killed before the commit, and Mai says it again
                lone = lone.again() if life else lone
                lone.thought(one, outcome) if outcome in ("one", "four") else lone.unthought(one, outcome, "no")
            done.add(one.id)
    lone.settle()
    assert lone.result().text == "begin one more 0 refused expired four more 3"
    assert len(done) == 4 == len(list(lone.ledger.records(kind=Asked.kind)))
    lone.check()
    lone.close()


@pytest.mark.parametrize("state", ["answered", "refused", "failed", "expired", "escalated"])
def test_a_thought_without_an_answer(tmp_path: Path, state: Any) -> None:
    """Whatever it says, the worker gets a Refusal and the department lives."""
    code = """
    async def desk(ctx, task):
        try:
            await ctx.model([{"role": "user", "content": "hi"}])
        except Refusal as refusal:
            return refusal.state
    """
    (tmp_path / "w.py").write_text("from mai.agents.context import Refusal\n" + textwrap.dedent(code))
    lone = Lone(tmp_path, organisation(tmp_path, Agent(name="desk", rank="operator", handler="w.py:desk", model="m")))
    lone.task()
    lone.settle()
    (asked,) = (one for one in lone.sent.values() if isinstance(one, Think))
    lone.unthought(asked, state, "")
    lone.settle()
    assert lone.result().text == (state if state in ("refused", "expired") else "failed")
    lone.check()
    lone.close()


# -- what a file may say
FILE = """
[organisation]
clients = ["acme"]
[[models.providers]]
name = "main"
url = "https://example.com/v1"
[[models.models]]
name = "m"
chain = [{{ provider = "main", model = "x" }}]
[departments.sales]
charter = "Sells."
[[departments.sales.agents]]
name = "seller"
rank = "operator"
kind = "model"
[[departments.sales.contracts]]
name = "pipeline"
about = ""
served_by = "seller"
may_ask = ["support"]
[departments.support]
charter = "Helps."
[[departments.support.agents]]
name = "desk"
rank = "specialist"
kind = "model"
tools = [{tools}]
"""


@pytest.mark.parametrize(
    "name", ["remember", "conclude", "sales.pipeline", "", "recall", "sales.secret", "support.refund", "sales"]
)
def test_a_scope_names_tools_contracts_memory_and_conclusions(tmp_path: Path, name: str) -> None:
    """And nothing else: what is unknown is a fault before anything starts."""
    path = tmp_path / "acme.toml"
    path.write_text(FILE.format(tools=f'"{name}"' if name else ""))
    if name in ("remember", "conclude", "sales.pipeline", ""):
        assert load(path).departments
    else:
        with pytest.raises(Faulty, match="unknown tool"):
            load(path)


# -- what it costs who has none
def test_a_department_without_minds_loads_none_of_this(tmp_path: Path) -> None:
    """The process of a department whose agents are all code never imports the loop, the leaders or their talk."""
    code = """
import sys
from pathlib import Path
from tests.lone import Lone, desk
import mai.agents.process
lone = Lone(Path(sys.argv[1]), desk(Path(sys.argv[1]), "async def desk(ctx, task): return 'done'"))
assert lone.ask().text == "done"
unwanted = {"thinker", "leader", "talk", "strict", "model_steps", "replies", "openai", "httpx2", "mcp"}
found = sorted(name for name in sys.modules if name.split(".")[-1] in unwanted)
assert not found, found
"""
    root = Path(__file__).parent.parent
    ran = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.append({str(root)!r})\n{code}", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
