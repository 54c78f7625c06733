"""The scripted provider's script: what it may say, which rule a request meets, which faults come, and what is invented."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents.fields import Shape
from mai.agents.schemas import object_schema
from mai.daemon import script
from mai.daemon.invented import invent
from mai.daemon.openai_form import prompt_of
from mai.daemon.saying import BadRequest, said
from mai.daemon.script import KINDS, Prompt, Prompter, Script, checked, digest_of, filled, load, tokens
from mai.sandbox.errors import UsageFault

MANUAL = (Path(__file__).parent.parent / "MANUAL.md").read_text()
SCALARS = ("int", "float", "str", "bool", "date", "any")
NAMED = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        inner.map(lambda one: f"list[{one}]"),
        inner.map(lambda one: f"dict[{one}]"),
        inner.map(lambda one: one if one.endswith("?") else f"{one}?"),
    ),
    max_leaves=3,
)
FIELDS = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True), NAMED, max_size=4)
TOOL = {"type": "function", "function": {"name": "find_order", "parameters": object_schema({"order": "int"})}}
RULING = {"type": "json_schema", "json_schema": {"name": "ruling", "schema": object_schema({"ok": "bool"})}}
CALLED = {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find_order"}}]}


def asks(text: str = "hello", **more: Any) -> dict[str, Any]:
    """The body of a request."""
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], **more}


def prompt(text: str = "hello", **more: Any) -> Prompt:
    """The same as rules see it."""
    return prompt_of(asks(text, **more))


def says(script: str, one: Prompt) -> str:
    """The text that a fresh provider with this script answers."""
    return said(Prompter(load(script)).cue(one), one).text


@pytest.mark.parametrize(
    ("rule", "fitting", "other"),
    [
        ("user = 'refund (?P<x>.+)'", prompt("please refund it"), prompt("please")),
        ("system = 'board'", prompt(messages=[{"role": "system", "content": "the board"}]), prompt("the board")),
        ("model = 'large|small'", prompt(model="small"), prompt(model="smaller")),
        ("tool = 'find_order'", prompt(tools=[TOOL]), prompt()),
        ("schema = 'ruling'", prompt(response_format=RULING), prompt(response_format={"type": "json_object"})),
        ("schema = true", prompt(response_format=RULING), prompt()),
        ("schema = false", prompt(), prompt(response_format=RULING)),
        (
            "results = 1",
            prompt(messages=[{"role": "user", "content": "x"}, CALLED, {"role": "tool", "tool_call_id": "c1", "content": "7"}]),
            prompt(),
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_rule_is_taken_where_its_condition_holds(rule: str, fitting: Prompt, other: Prompt) -> None:
    """And where it does not, the answer is invented."""
    script = f"[[rules]]\n{rule}\ntext = 'taken'"
    assert says(script, fitting) == "taken"
    assert says(script, other) != "taken"


def test_rules_count_requests() -> None:
    """`nth` counts those that meet the rest of the rule, `attempt` those that are the very same."""
    prompter = Prompter(load("[[rules]]\nuser = 'a'\nnth = [2]\ntext = 'second'\n[[rules]]\nattempt = [2]\ntext = 'again'"))
    asked = [prompt(text) for text in ("b", "a1", "a2", "a3", "a3", "b")]
    heard = [said(prompter.cue(one), one).text for one in asked]
    assert [text if text in ("second", "again") else "-" for text in heard] == ["-", "-", "second", "-", "again", "again"]


def test_what_a_group_finds_is_in_the_answer() -> None:
    """A number alone stays a number; braces that name no group stay."""
    found = {"order": "10423", "who": "Ada"}
    value = {"a": "{order}", "b": ["no {order} of {who}", "{nothing}", 3], "c": "{who}"}
    assert filled(value, found) == {"a": 10423, "b": ["no 10423 of Ada", "{nothing}", 3], "c": "Ada"}
    script = "[[rules]]\nuser = 'order (?P<n>[0-9]+)'\ncalls = [{ name = 'find_order', arguments = { order = '{n}' } }]"
    one = prompt("order 5", tools=[TOOL])
    (call,) = said(Prompter(load(script)).cue(one), one).calls
    assert (call.name, call.arguments) == ("find_order", '{"order":5}')


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sed = 7", "sed"),
        ("[[rules]]\nuser = '('", "rule 1"),
        ("[faults]\nhnag = 0.1", "hnag"),
        ("[faults]\nhang = 0.6\nhalf = 0.6", "more than 1"),
        ("[faults]\nhang = 2", "faults"),
        ("[[rules]]\nfault = '299'", "299"),
        ("[[rules]]\ntext = 'a'\necho = true", "more than one answer"),
        ("[[rules]\n", "line 1"),
    ],
)
def test_a_script_that_cannot_be_played_is_refused(text: str, named: str) -> None:
    """With the file's name, and where it is wrong."""
    with pytest.raises(UsageFault) as fault:
        load(text, "s.toml")
    assert "s.toml" in fault.value.sentence and named in fault.value.sentence and fault.value.hint


def test_the_script_in_the_documentation_is_one() -> None:
    """What the module's text shows can be loaded; what MANUAL.md shows does what it says there."""
    shown = (script.__doc__ or "").split(":\n\n", 1)[1].split("\n\n`{order}`")[0]
    assert len(load(shown.replace("\n    ", "\n").strip()).rules) == 3
    (found,) = [block for block in re.findall(r"```toml\n(.*?)```", MANUAL, re.DOTALL) if "[[rules]]" in block]
    prompter, order = Prompter(load(found), 2), prompt("please refund order 10423", tools=[TOOL])
    assert said(prompter.cue(order), order).calls[0].arguments == '{"order":10423}'
    ruling, hello = prompt(response_format=RULING), prompt("hello")
    assert '"approved":true' in said(prompter.cue(ruling), ruling).text
    first, second = prompter.cue(hello), prompter.cue(hello)
    assert first.fault == "503" and said(second, hello).text == "Good day." and second.rule.delay_ms == 200


def test_faults_come_as_often_as_said_and_always_the_same() -> None:
    """Which request meets one follows from the seed, the request and its attempt; not from what came before."""
    script = checked(Script(faults={"429": 0.1, "hang": 0.05, "broken": 0.05}))
    asked = [prompt(f"request {number}") for number in range(4000)]
    met = [Prompter(script, 1).cue(one).fault for one in asked]
    backwards = Prompter(script, 1)
    assert [backwards.cue(one).fault for one in reversed(asked)][::-1] == met
    assert [Prompter(script, 2).cue(one).fault for one in asked] != met
    shares = {kind: met.count(kind) / len(met) for kind in ("429", "hang", "broken", "")}
    assert shares["429"] == pytest.approx(0.1, abs=0.02) and shares[""] == pytest.approx(0.8, abs=0.02)
    assert shares["hang"] == pytest.approx(0.05, abs=0.015) and shares["broken"] == pytest.approx(0.05, abs=0.015)
    refused = asked[met.index("429")]
    prompter = Prompter(script, 1)
    assert {prompter.cue(refused).fault for _ in range(20)} > {"429"}, "another attempt is another draw"


def test_a_rule_s_own_fault_comes_first() -> None:
    """Rates are for the rest."""
    prompter = Prompter(checked(Script(faults={"500": 1.0}, rules=load("[[rules]]\nuser = 'x'\nfault = 'half'").rules)))
    assert prompter.cue(prompt("x")).fault == "half" and prompter.cue(prompt("y")).fault == "500"
    assert all(load(f"[faults]\n{kind} = 1.0") for kind in KINDS)


@given(FIELDS, st.text(max_size=3))
def test_what_is_invented_fits_a_contract(fields: dict[str, object], seed: str) -> None:
    """A value made up for the schema of declared fields is one that our own check takes; twice the same."""
    made = invent(object_schema(fields), seed)
    assert Shape(fields, "it").fault(made) == ""
    assert made == invent(object_schema(fields), seed)


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        ({"enum": ["a", "b"]}, lambda value: value in ("a", "b")),
        ({"const": False}, lambda value: value is False),
        ({"type": "integer", "minimum": 7, "maximum": 9}, lambda value: value in (7, 8, 9)),
        ({"type": "integer", "exclusiveMinimum": 7, "exclusiveMaximum": 9}, lambda value: value == 8),
        ({"type": "integer", "maximum": -5}, lambda value: value <= -5),
        ({"type": "number", "minimum": 0.5, "maximum": 0.75}, lambda value: 0.5 <= value <= 0.75),
        ({"type": "integer", "multipleOf": 5, "minimum": 11}, lambda value: value >= 11 and value % 5 == 0),
        ({"type": "string", "minLength": 40}, lambda value: len(value) == 40),
        ({"type": "string", "maxLength": 3}, lambda value: len(value) <= 3),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 4}, lambda value: len(value) == 4),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, lambda value: value is None or isinstance(value, int)),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}}, lambda value: isinstance(value, bool)),
        ({"allOf": [{"properties": {"a": {"type": "null"}}}, {"type": "object"}]}, lambda value: value == {"a": None}),
        ({}, lambda value: isinstance(value, str)),
        (True, lambda value: isinstance(value, str)),
    ],
    ids=lambda one: "" if callable(one) else str(one),
)
def test_what_is_invented_keeps_the_bounds(schema: Any, fits: Any) -> None:
    """Of numbers, texts and lists; and choices are taken from those given."""
    for seed in map(str, range(50)):
        assert fits(invent(schema, seed)), invent(schema, seed)


def test_a_schema_that_holds_itself_ends() -> None:
    """A tree of itself is cut at some depth."""
    tree = {"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "properties": {"more": {"anyOf": [{"$ref": "#/$defs/t"}]}}}}}
    assert isinstance(invent(tree, "x"), dict)
    assert invent({"type": "array", "items": {"$ref": "#"}}, "x")


def test_tokens_are_counted() -> None:
    """Four bytes are one, a begun one counts; of canonical JSON, so that the order of keys changes nothing."""
    assert [tokens(text) for text in ("", "a", "abcd", "abcde", "éé", "你你")] == [0, 1, 1, 2, 1, 2]
    one, other = asks("hi"), dict(reversed(asks("hi").items()))
    assert digest_of(one) == digest_of(other) and prompt_of(one).input_tokens == prompt_of(other).input_tokens
    assert prompt_of(one).input_tokens == tokens('{"messages":[{"content":"hi","role":"user"}]}')


@given(st.text(max_size=60), st.integers(1, 12))
def test_an_answer_keeps_within_its_bound(text: str, bound: int) -> None:
    """No more tokens than the request allows; what is whole does not say that it was cut."""
    one = prompt(text, max_completion_tokens=bound)
    cue = Prompter(load("[[rules]]\necho = true")).cue(one)
    answer = said(cue, one)
    assert answer.output_tokens <= bound
    assert answer.cut is (tokens(text) > bound) and text.startswith(answer.text)
    assert answer.cut or answer.text == text


def test_calls_keep_within_the_bound() -> None:
    """Arguments are cut, and then they are no JSON."""
    one = prompt(tools=[TOOL], max_tokens=4)
    answer = said(Prompter(load("[[rules]]\ncalls = [{ name = 'find_order', arguments = { order = 123456789 } }]")).cue(one), one)
    assert answer.cut and answer.output_tokens == 4 and answer.calls[0].arguments == '{"orde'


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        asks(messages=[]),
        asks(messages=[{"role": "robot", "content": "x"}]),
        asks(messages=[CALLED]),
        asks(messages=[CALLED, {"role": "user", "content": "x"}]),
        asks(messages=[{"role": "tool", "tool_call_id": "c1", "content": "7"}]),
        asks(n=2),
        asks(max_tokens=0),
        asks(tools=[{"type": "function"}]),
        asks(tool_choice={"type": "function", "function": {"name": "nobody"}}),
        asks(response_format={"type": "json_schema"}),
        asks(response_format={"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "object"}}}),
    ],
    ids=str,
)
def test_what_openai_refuses_is_refused(body: Any) -> None:
    """A client's mistake is seen here, before it costs anything."""
    with pytest.raises(BadRequest) as bad:
        prompt_of(body)
    assert bad.value.status == 400 and bad.value.message
