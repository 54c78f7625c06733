"""Whatever a model answers, in whatever order, whenever the process dies: each task ends once, with a reason that has a name."""

import json
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mai.agents.claim_messages import Claim
from mai.agents.errand_messages import Think, Thought, Usage, Use
from mai.agents.escalating import waiting as waits
from mai.agents.escalation_messages import Escalate, Withdrawn
from mai.agents.events import EffectIntent, Ended, Hopped, Remembered
from mai.agents.memory_messages import Remember
from mai.agents.messages import Result, Task, address_of
from mai.agents.organisation import Agent, Contract, Department, Limits, Organisation, Tool
from tests.lone import MODELS, SALES, Lone
from tests.opened import ALLOWED

CODE = """
def note(files, number: int, *, key):
    with open(files / "notes", "a") as file:
        file.write(key + "\\n")
    return number
def pay(files, name="", self=None, files_=None, **more):
    with open(files / "paid", "a") as file:
        file.write("x")
    return sorted(more)
def look(files, what=None): return what
def fail(files): raise ValueError("no luck")
async def clerk(ctx, task): return {"cents": 1} if task.contract else "clerk"
"""
TOOLS = (
    Tool(name="note", handler="w.py:note", effect="idempotent"),
    Tool(name="pay", handler="w.py:pay", effect="opaque"),
    Tool(name="look", handler="w.py:look"),
    Tool(name="fail", handler="w.py:fail", effect="opaque"),
    Tool(name="hidden", handler="w.py:pay", effect="opaque"),
)
SCOPE = ("note", "pay", "look", "fail", "sales.pipeline", "remember", "conclude")
NAMES = (*SCOPE, "hidden", "sales.secret", "support.refund", "mai", "board", "clerk", "", "__class__")
TURNS, TOKENS = 5, 150_000


def place(base: Path, leaders: bool) -> Organisation:
    """Support, whose desk thinks, and with `leaders` its board and coordinator, too."""
    (base / "w.py").write_text(textwrap.dedent(CODE))
    kind: Any = "model" if leaders else ""
    desk = Agent(name="desk", rank="specialist", kind="model", tools=SCOPE, turns=TURNS, tokens=TOKENS, backups=("clerk",))
    agents = (
        Agent(name="board", rank="board", kind=kind),
        Agent(name="coordinator", rank="coordinator", kind=kind),
        desk,
        Agent(name="clerk", rank="operator", handler="w.py:clerk"),
    )
    refund = Contract(
        name="refund", about="", served_by="desk", may_ask=("client",), request={"order": "int"},
        reply={"cents": "int", "why": "any?"},
    )  # fmt: skip
    support = Department(name="support", charter="", agents=agents, tools=TOOLS, contracts=(refund,))
    limits = Limits(message_bytes=1 << 18)
    return Organisation(
        policies=ALLOWED,
        name="x",
        clients=("acme",),
        departments=(support, SALES),
        models=MODELS,
        base=str(base),
        digest="d",
        limits=limits,
    )


# -- what a model may say
texts = st.text(max_size=20) | st.sampled_from(["x" * 100_000, '"}\n{"from":"mai"}', "\u2028", "{}", "null"])
numbers = st.integers() | st.integers(2**64, 2**80) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = ("number", "name", "self", "key", "files", "what", "quarter", "text", "subject", "attribute", "value", "confidence")
inputs = st.dictionaries(st.sampled_from(ARGUMENTS), values, max_size=4)
right = st.fixed_dictionaries(
    {"do": st.sampled_from(["tool", "ask", "remember", "escalate", "answer"]), "name": st.sampled_from(NAMES)},
    optional={"input": inputs | values, "text": texts, "value": st.just({"cents": 5}) | values},
)
wrong = st.fixed_dictionaries({}, optional=dict.fromkeys(("do", "name", "input", "text", "value"), values))
USABLE: tuple[dict[str, Any], ...] = (
    {"do": "tool", "name": "note", "input": {"number": 1}},
    {"do": "tool", "name": "note", "input": {"number": 2}},
    {"do": "tool", "name": "pay", "input": {"name": "a", "self": "b", "key": "c", "limit_s": 1, "call": 2}},
    {"do": "tool", "name": "pay", "input": {"files": "x"}},
    {"do": "tool", "name": "look", "input": {"what": "x" * 50_000}},
    {"do": "tool", "name": "fail", "input": {}},
    {"do": "tool", "name": "hidden", "input": {}},
    {"do": "tool", "name": "conclude", "input": {"subject": "a", "attribute": "b", "value": "c", "confidence": 0.5}},
    {"do": "ask", "name": "sales.pipeline", "input": {"quarter": 1}},
    {"do": "remember", "name": "a", "text": "b" * 2000},
    {"do": "escalate", "text": "too hard"},
    *[{"do": "answer", "text": "Done.", "value": {"cents": 5, "why": None}}] * 3,
    {"to": "coordinator"}, {"to": "desk"}, {"to": "nobody"}, {"ruling": "withhold", "reason": "no"}, {"ruling": "sign"},
)  # fmt: skip
usable = st.sampled_from(USABLE).map(lambda one: {"move": one} if "do" in one else one)
TEXTS = ("[" * 5000, '{"a":' * 5000, '{"move":', "```json\n{}\n```", '{"a":' + "9" * 5000 + "}", "\x00", "")


def deep(depth: int) -> str:
    """An object so deep: about where the decoder's limit is."""
    return '{"what":' * depth + "1" + "}" * depth


depths = st.integers(50, 70) | st.integers(900, 1000)
said = st.one_of(
    usable, usable, usable,
    st.builds(lambda move: {"move": move}, right | wrong),
    values | texts | st.sampled_from(TEXTS),
    depths.map(lambda depth: f'{{"move":{{"do":"tool","name":"look","input":{deep(depth)}}}}}'),
)  # fmt: skip
good_calls = st.sampled_from(USABLE[:9]).map(lambda one: (one["name"], json.dumps(one["input"])))
wild_calls = st.tuples(st.sampled_from(NAMES) | texts, inputs.map(json.dumps) | texts | depths.map(deep))
calls = st.lists(good_calls | wild_calls, min_size=1, max_size=10) | st.lists(good_calls, min_size=1, max_size=3)
usages = st.builds(Usage, st.integers(0, 1000), st.integers(0, 1000))


def often(usual: Any, *seldom: Any) -> st.SearchStrategy[Any]:
    """The usual nine times in ten."""
    return st.sampled_from([usual] * 9 * len(seldom) + [*seldom])


answers = st.fixed_dictionaries(
    {
        "said": said,
        "calls": st.sampled_from([False, False, True]).flatmap(lambda some: calls if some else st.just([])),
        "finish": often("stop", "length", ""),
        "usage": usages,
        "advice": often(False, True),
    }
)
AWAY = ("refused", "failed", "expired", "escalated", "answered")
OTHER = (*AWAY, "kill", "kill", "kill", "kill", "a blob that is none")  # and a new life
doings = st.sampled_from([False, False, False, True]).flatmap(lambda other: st.sampled_from(OTHER) if other else answers)


def say(lone: Lone, asked: Think, doing: Any) -> None:
    """Answer one question so."""
    if doing in AWAY:
        lone.unthought(asked, doing, "")
        return
    blob = doing
    if isinstance(doing, dict):
        text = doing["said"] if isinstance(doing["said"], str) else msgspec.json.encode(doing["said"]).decode()
        called = [{"id": "", "name": name, "arguments": given} for name, given in doing["calls"]]
        blob = msgspec.json.encode({"text": text, "calls": called, "finish": doing["finish"]}).decode()
    usage, advice = (doing["usage"], doing["advice"]) if isinstance(doing, dict) else (Usage(), False)
    lone.say(Thought(asked.id, asked.request, "answered", address_of(blob), by="main/m", usage=usage, advice=advice), 0, blob)


def play(home: Path, leaders: bool, contract: str, plan: list[Any]) -> Lone:
    """One task; the model says what is planned, one after the other, then always the last of it."""
    lone = Lone(home, place(home, leaders))
    lone.task("desk, do it", contract, {"order": 7} if contract else None)
    left: list[Any] = list(plan)
    lone.settle()
    for _ in range(100):
        waiting = [one for one in lone.sent.values() if isinstance(one, Think | Task) and not _told(lone, one)]
        if not waiting and [one for one in lone.escalations() if waits(lone.decider.state, one.id)[0]]:
            lone.rule("", state="refused", reason="no")
            lone.settle()
            continue
        if not waiting:
            break
        doing = left.pop(0) if len(left) > 1 else left[0]
        if doing == "kill":
            lone = lone.again()
            if left == ["kill"]:
                left = ["refused"]
        else:
            one = waiting[0]
            if isinstance(one, Think):
                say(lone, one, doing)
            else:
                lone.reply(one, {"total": 3})
        lone.settle()
    return lone


def _told(lone: Lone, one: Any) -> bool:
    ident = one.task if isinstance(one, Task) else one.id
    return lone.decider.asking(ident)[0] is None


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.booleans(), st.sampled_from(["", "support.refund"]), st.lists(doings, min_size=1, max_size=7))
def test_any_sequence_of_answers_ends_each_task_once(leaders: bool, contract: str, plan: list[Any]) -> None:
    """No exception of ours, one end for each task, a reason for each that is no answer, and nothing outside of the scope."""
    with tempfile.TemporaryDirectory() as directory:
        lone = play(Path(directory), leaders, contract, plan)
        try:
            records = [(record.task, lone.ledger.body(record)) for record in lone.ledger.records(kind=Ended.kind)]
            ends = {task: json.loads(body) for task, body in records}
            assert len(ends) == len(records) and not lone.decider.state.work
            for end in ends.values():
                assert end["state"] == "answered" or end["reason"]
                assert not end.get("reason", "").startswith(("desk failed", "board failed", "coordinator failed")), end["reason"]
                assert "does not do the same each time" not in end.get("reason", "")
            assert lone.result().state in ("answered", "refused", "failed", "expired", "escalated")
            within(lone, leaders)
            lone.check()
        finally:
            lone.close()


def within(lone: Lone, leaders: bool) -> None:
    """What the journal has of effects and messages is what the agent's scope holds."""

    def bodies(kind: str) -> list[Any]:
        return [json.loads(lone.ledger.body(record)) for record in lone.ledger.records(kind=kind)]

    assert {body["tool"] for body in bodies(EffectIntent.kind)} <= {"note", "pay", "fail"}
    keys = [body["key"] for body in bodies(EffectIntent.kind)]
    had = [json.dumps(body["given"], sort_keys=True) for body in bodies(EffectIntent.kind)]
    assert len(keys) == len(set(keys)) and len(had) == len(set(had)), "an effect was had twice"
    assert all((body["level"], body["agent"]) == ("agent", "desk") for body in bodies(Remembered.kind))
    hops = {(body["sender"], body["agent"]) for body in bodies(Hopped.kind)}
    assert hops <= {
        ("mai", "board"), ("board", "coordinator"), ("coordinator", "desk"), ("coordinator", "clerk"),
        ("desk", "coordinator"), ("coordinator", "board"),
    }  # fmt: skip
    paid = lone.home / "files" / "paid"
    intents = sum(body["tool"] == "pay" for body in bodies(EffectIntent.kind))
    assert (len(paid.read_text()) if paid.exists() else 0) <= intents
    for one in lone.sent.values():
        assert isinstance(one, Think | Result | Task | Claim | Escalate | Withdrawn) and not isinstance(one, Use | Remember)
        assert not isinstance(one, Task) or one.contract == "sales.pipeline"
    thinking = [body for body in bodies("step.asked") if body["call"] == "model" and body["agent"] == "desk"]
    assert len(thinking) <= TURNS
