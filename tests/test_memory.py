"""Memory of agents, departments and clients: what is kept, found and gone, whose it is, and that all of it is on record."""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mai.agents.events import Remembered, Stepped
from mai.agents.kept import FADING
from mai.agents.memory import MemoryExpired, MemoryRead, MemoryRefused
from mai.agents.memory_messages import Browse, Forget, Recall, Recalled, Remember
from mai.agents.memory_scope import ClientMemory, Keeping, MemoryScope, admits
from mai.agents.organisation import Agent, Organisation, mandate
from mai.daemon.desk import Memory
from mai.daemon.difference import difference
from tests.lone import Lone, desk
from tests.rememberers import PLAYER, Model, comparable, program
from tests.test_mai import Mai
from tests.test_mai import organisation as three

OTHER = Agent(name="other", rank="operator", handler="other.py:other")


def run(base: Path, code: str, *others: Agent, memory: Keeping | None = None) -> Lone:
    """A department whose desk runs this to its end, or until it waits."""
    body = "\n".join(f"    {line}" for line in code.strip().splitlines())
    whole = desk(base, f"async def desk(ctx, task):\n{body}\n", *others)
    lone = Lone(base, msgspec.structs.replace(whole, memory=memory or Keeping()))
    lone.task()
    lone.settle()
    return lone


def saw(base: Path, code: str, **given: Any) -> Any:
    """What that code returns as {"saw": …}."""
    lone = run(base, code, **given)
    lone.check()
    lone.close()
    return lone.result().value["saw"]


def refused(lone: Lone) -> list[str]:
    """The reasons of steps that were refused."""
    return [step.refused for step in lone.of_kind(Stepped) if step.refused]


# -- versions
def test_each_write_is_a_version(tmp_path: Path) -> None:
    """They count from 1 for each key; the newest is given unless another is asked for; the list says who wrote them, and when."""
    found = saw(
        tmp_path,
        """
for number in range(3):
    assert await ctx.remember("k", number) == number + 1
listed = await ctx.versions("k")
assert all(one.at_ms and one.by == "desk" and one.task == task.task for one in listed)
one, two = await ctx.recall("k"), await ctx.recall("k", version=2)
return {"saw": [one, two, await ctx.recall("k", version=9), [[v.version, v.value] for v in listed]]}
""",
    )
    assert found == [2, 1, None, [[3, 2], [2, 1], [1, 0]]]


def test_only_the_last_versions_are_kept(tmp_path: Path) -> None:
    """As many as the organisation says: the oldest goes with each new one, out of the ledger too."""
    lone = run(
        tmp_path,
        'for n in range(7): await ctx.remember("k", n, "department")\n'
        'return {"saw": [one.value for one in await ctx.versions("k", "department")]}',
        memory=Keeping(versions=3),
    )
    assert lone.result().value["saw"] == [6, 5, 4] and sorted(lone.ledger.load("version/department")) == ["k/5", "k/6", "k/7"]
    lone.check()
    lone.close()


def test_what_is_forgotten_is_gone_with_its_versions(tmp_path: Path) -> None:
    """It is not found, listed or read any more; a later write begins anew; to forget nothing is no fault."""
    found = saw(
        tmp_path,
        """
await ctx.remember("k", "late payment")
await ctx.remember("k", "late again")
gone = [await ctx.forget("k"), await ctx.forget("k")]
empty = [await ctx.recall("k"), await ctx.recall("k", version=1), list(await ctx.search("late")), list(await ctx.recall_all())]
return {"saw": [gone, empty, await ctx.remember("k", 1)]}
""",
    )
    assert found == [[True, False], [None, None, [], []], 1]


# -- expiry
def test_what_has_expired_is_gone_and_that_is_on_record(tmp_path: Path) -> None:
    """By the wall clock, whether anybody asks or not: the process wakes for it; what nobody gave a time stays."""
    lone = run(tmp_path, 'await ctx.remember("k", 1)\nawait ctx.remember("k", 2, expires_s=0.2)\nawait ctx.remember("j", 3)')
    lone.close()
    again = Lone(tmp_path, lone.organisation)  # another life knows of it
    due_ms = again.decider.next_deadline_ms()
    assert due_ms > 0 and again.ledger.load(FADING)
    while not again.of_kind(MemoryExpired):
        again.turn()
    (expired,) = again.of_kind(MemoryExpired)
    assert (expired.key, expired.n, expired.oldest, expired.whole, expired.due_ms) == ("k", 2, 1, True, due_ms)
    assert again.decider.next_deadline_ms() == 0 and not again.ledger.load(FADING)
    assert sorted(again.ledger.load("memory/agent/desk")) == ["j"] and sorted(again.ledger.load("version/agent/desk")) == ["j/1"]
    again.check()
    again.close()


def test_what_has_expired_is_not_returned_before_it_is_on_record(tmp_path: Path) -> None:
    """A read at the very moment finds nothing, and puts the end on record first; an older version that expires goes alone."""
    found = saw(
        tmp_path,
        """
import time
await ctx.remember("k", "late", expires_s=0.001)
written = 0
while written != 2:  # else the first one had gone before
    await ctx.forget("j")
    await ctx.remember("j", "one", expires_s=0.05)
    written = await ctx.remember("j", "two")
until = time.time() + 0.06
while time.time() < until: pass
empty = [await ctx.recall("k"), await ctx.recall("j", version=1), list(await ctx.search("late"))]
return {"saw": [empty, await ctx.recall("j"), [one.version for one in await ctx.versions("j")]]}
""",
    )
    assert found == [[None, None, []], "two", [2]]


# -- finding
def test_listing_goes_on_behind_a_key(tmp_path: Path) -> None:
    """In the order of keys, by their beginning, in pages; none is left out and none comes twice."""
    found = saw(
        tmp_path,
        """
for key in ("b", "a.2", "a.10", "a", "a.1", "A.1", "a%", "a_"): await ctx.remember(key, key)
pages, after = [], ""
while True:
    page = await ctx.recall_all("a.", limit=2, after=after)
    pages.append([one.key for one in page])
    if not page.more: break
    after = page[-1].key
return {"saw": [pages, [one.value for one in await ctx.recall_all()]]}
""",
    )
    assert found == [[["a.1", "a.10"], ["a.2"]], ["A.1", "a", "a%", "a.1", "a.10", "a.2", "a_", "b"]]


def test_a_page_is_no_larger_than_an_answer_may_be(tmp_path: Path) -> None:
    """What does not fit comes with the next page."""
    found = saw(
        tmp_path,
        """
for n in range(20): await ctx.remember(f"k{n:02}", "x" * 50_000)
pages, after = [], ""
while True:
    page = await ctx.recall_all(after=after)
    pages.append(len(page))
    if not page.more: break
    after = page[-1].key
return {"saw": pages}
""",
    )
    assert len(found) > 1 and sum(found) == 20


def test_a_search_finds_words_and_phrases(tmp_path: Path) -> None:
    """In keys, texts and numbers of the newest version only; accents and case do not matter; the best comes first."""
    found = saw(
        tmp_path,
        """
await ctx.remember("customer.311", {"note": "pays late, always late", "city": "Zürich"})
await ctx.remember("customer.42", ["a credit note", {"deep": [7, "LATE"]}])
await ctx.remember("other", "credit of a note")
await ctx.remember("old", "late")
await ctx.remember("old", "soon")
async def keys(text, **more): return [one.key for one in await ctx.search(text, **more)]
words = ("late", "zurich", '"credit note"', "311 7", "NOT late*")
return {"saw": [*[await keys(one) for one in words], await keys("late", limit=1), await keys("")]}
""",
    )
    assert found[0] == ["customer.311", "customer.42"] and found[1] == ["customer.311"] and found[2] == ["customer.42"]
    assert sorted(found[3]) == ["customer.311", "customer.42"] and found[4] == found[0] and found[5] == ["customer.311"]
    assert found[6] == []


@settings(deadline=None, max_examples=60)
@given(asked=st.lists(st.text(), min_size=1, max_size=6))
@example(
    asked=[
        '"',
        "a OR",
        "NEAR(",
        "key:a",
        "{key}",
        "*",
        "^a",
        "-a",
        "a AND NOT",
        '""',
        "'; DROP TABLE state; --",
        "\x00",
        "_",
        '"_" OR "a',
    ]
)
def test_no_wording_of_a_search_is_a_fault(tmp_path_factory: pytest.TempPathFactory, asked: list[str]) -> None:
    """Whatever FTS5 has for signs: an agent gets what fits, and never an error of a database."""
    base = tmp_path_factory.mktemp("m")
    code = f"await ctx.remember('a', 'b')\nreturn {{'saw': [len(await ctx.search(one)) for one in {asked!r}]}}"
    assert all(number in (0, 1) for number in saw(base, code))


# -- bounds
@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("for n in range(5): await ctx.remember(f'k{n}', n)", "the memory of desk holds 3 keys, which is its limit"),
        ("for n in range(9): await ctx.remember(f'k{n}', n, 'department')", "the memory of the department holds 4 keys"),
        ("await ctx.remember('k', 'x' * 1000)", "a value of 1003 bytes, the limit is 500"),
        ("await ctx.remember('k' * 201, 1)", "a key has to be a text of at most 200 characters"),
        ("await ctx.remember('k', 1, expires_s=0)", "expires_s has to be a number of seconds"),
        ("await ctx.remember('k', 1, expires_s=float('nan'))", "expires_s has to be a number of seconds"),
        ("await ctx.recall('k', version=-1)", "a version has to be a whole number from 1"),
        ("await ctx.recall_all(limit=1001)", "a limit has to be a whole number from 1 to 1000"),
        ("await ctx.search('x' * 3000)", "what is searched for has to be a text of at most 2000 characters"),
        ("await ctx.recall('k', 'world')", "there is no memory level 'world'"),
        ("await ctx.forget(None)", "a key has to be a str, not NoneType"),
    ],
)
def test_what_is_too_much_or_nothing_at_all_is_refused_on_record(tmp_path: Path, code: str, why: str) -> None:
    """The agent is told why, the step is in the journal, and what is kept already stays."""
    bounds = Keeping(agent_items=3, department_items=4, value_bytes=500)
    lone = run(tmp_path, f"await ctx.remember('k0', 'first')\n{code}", memory=bounds)
    assert lone.result().state in ("failed", "refused") and lone.result().reason.startswith(why)
    (on_record,) = refused(lone)
    assert on_record == lone.result().reason
    assert lone.ledger.get("memory/agent/desk", "k0") is not None
    lone.check()
    lone.close()


def test_what_was_forgotten_or_has_expired_makes_room(tmp_path: Path) -> None:
    """The bound is on what is there; a new version of a key that is there is always taken."""
    found = saw(
        tmp_path,
        """
import time
await ctx.remember("a", 1)
await ctx.remember("b", 1, expires_s=0.001)
until = time.time() + 0.003
while time.time() < until: pass
return {"saw": [await ctx.remember("c", 1), await ctx.remember("a", 2), await ctx.forget("a"), await ctx.remember("d", 1)]}
""",
        memory=Keeping(agent_items=2),
    )
    assert found == [1, 2, True, 1]


# -- whose it is
HOSTILE = (
    "desk", "../desk", "desk/secret", "agent/desk/secret", "memory/agent/desk", "%", "*", "secret", "/secret", "//secret",
    "secret/1",     "department", "client//secret", "other/../desk/secret", "\\x00", "desk\\x00secret", "' OR 1=1 --",
)  # fmt: skip
ODD_LEVELS = ("agent", "department", "agent/desk", "desk", ["agent", "desk"], None, {"level": "agent", "owner": "desk"})


def test_no_argument_reaches_another_agents_memory(tmp_path: Path) -> None:
    """Every call, at every level, with keys, beginnings, words and shapes that might mean another's: not one word of it."""
    (tmp_path / "other.py").write_text(
        "from mai.agents.context import Refusal\n"
        f"KEYS, LEVELS = {HOSTILE!r}, {ODD_LEVELS!r}\n"
        """
async def other(ctx, task):
    saw = []
    for level in LEVELS:
        for key in KEYS:
            for call in (
                lambda: ctx.recall(key, level), lambda: ctx.recall(key, level, version=1), lambda: ctx.versions(key, level),
                lambda: ctx.recall_all(key, level), lambda: ctx.recall_all("", level, after=key),
                lambda: ctx.search(key, level), lambda: ctx.search("topsecret", level), lambda: ctx.forget(key, level),
                lambda: ctx.remember(key, "mine", level), lambda: ctx.forget(key, level),
            ):
                try: saw.append(repr(await call()))
                except (Refusal, TypeError) as fault: saw.append(f"{type(fault).__name__}: {fault}")
    return {"saw": saw}
"""
    )
    code = """
await ctx.remember("secret", "topsecret")
await ctx.remember("desk/secret", ["topsecret"])
await ctx.remember("1", {"topsecret": "topsecret"})
"""
    lone = run(tmp_path, code, OTHER)
    before = {noun: lone.ledger.load(noun) for noun in ("memory/agent/desk", "version/agent/desk")}
    lone.task("other", ident="r/2", ranked=("other",))
    lone.settle()
    result = lone.result("r/2")
    assert result.by == "acme/support/other" and len(result.value["saw"]) == 7 * len(HOSTILE) * 10
    assert "topsecret" not in json.dumps(result.value), "it has read another's memory"
    assert {noun: lone.ledger.load(noun) for noun in before} == before, "it has changed another's memory"
    assert not [one for one in lone.of_kind(Remembered) if one.level == "agent" and one.agent != "other" and one.value == "mine"]
    lone.close()


def test_scores_tell_nothing_of_other_shelves(tmp_path: Path) -> None:
    """How rare a word is on another's shelf does not show in a search: the same memory gives the same scores."""
    (tmp_path / "other.py").write_text(
        "async def other(ctx, task):\n"
        "    if task.text == 'other fill': [await ctx.remember(f'k{n}', 'late payment') for n in range(50)]\n"
        "    return {'saw': 1}\n"
    )
    code = """
await ctx.remember("a", "late payment")
await ctx.remember("b", "soon")
return {"saw": [[one.key, one.score] for one in await ctx.search("late")]}
"""
    lone = run(tmp_path, code, OTHER)
    lone.task("other fill", ident="r/2", ranked=("other",))
    lone.settle()
    lone.task("desk", ident="r/3", ranked=("desk",))
    lone.settle()
    assert lone.result("r/2").by == "acme/support/other"
    assert lone.result("r/3").value == lone.result().value and lone.result().value["saw"][0][1] > 0
    lone.close()


# -- the client's
def scoped() -> Organisation:
    """Support may read customer.* and write customer.note, its clerk other.* too; finance may nothing."""
    whole = three()
    clerk = MemoryScope(client=ClientMemory(write=("other.*",)))
    support = MemoryScope(client=ClientMemory(read=("customer.*",), write=("customer.note",)))
    one, two, *rest = whole.departments
    agents = tuple(msgspec.structs.replace(a, memory=clerk) if a.name == "clerk" else a for a in one.agents)
    departments = (
        msgspec.structs.replace(one, memory=support, agents=agents), msgspec.structs.replace(two, memory=MemoryScope()), *rest
    )  # fmt: skip
    return msgspec.structs.replace(whole, departments=departments)


CALLS: dict[str, Recall | Remember | Forget | Browse] = {
    "a key that it may not read": Recall("R/1.m1", "acme/support/clerk", "secret"),
    "a beginning that its pattern has": Recall("R/1.m1", "acme/support/clerk", "customer"),
    "a key that it may only read": Remember("R/1.m1", "acme/support/clerk", "customer.311", 1),
    "the right of another agent": Remember("R/1.m1", "acme/support/board", "other.k", 1),
    "to forget what it may only read": Forget("R/1.m1", "acme/support/clerk", "customer.311"),
    "versions of what it may not read": Browse("R/1.m1", "acme/support/clerk", "versions", {"key": "secret"}),
    "another department's agent": Recall("R/1.m1", "acme/finance/clerk", "customer.311"),
    "an agent that is none": Recall("R/1.m1", "acme/support/nobody", "customer.311"),
    "an agent of a longer name": Recall("R/1.m1", "acme/support/clerk/x", "customer.311"),
    "a call that is none": Browse("R/1.m1", "acme/support/clerk", "remember", {"key": "customer.note", "value": 1}),
    "a list without a limit": Browse("R/1.m1", "acme/support/clerk", "recall_all", {"prefix": "", "after": ""}),
    "a limit beyond all": Browse("R/1.m1", "acme/support/clerk", "search", {"text": "a", "limit": 10**9}),
    "a key that is none": Browse("R/1.m1", "acme/support/clerk", "versions", {"key": ["customer.311"]}),
    "a key without end": Recall("R/1.m1", "acme/support/clerk", "customer." + "x" * 1000),
    "a value without end": Remember("R/1.m1", "acme/support/clerk", "customer.note", "x" * 100_000),
}


@pytest.mark.parametrize("what", CALLS)
def test_mai_refuses_a_department_that_lies(what: str) -> None:
    """Whatever it claims, whoever it says it is: refused by what Mai knows of the organisation, on record, and no more."""
    mai = Mai(scoped())
    mai.feed(Memory("acme/sales", Remember("S/1.m1", "acme/sales/clerk", "customer.311", "theirs")))
    mai.feed(Memory("acme/sales", Remember("S/1.m2", "acme/sales/clerk", "secret", "theirs")))
    before = dict(mai.state.changes)
    events, (back,) = mai.feed(Memory("acme/support", CALLS[what]))
    (on_record,) = events
    assert isinstance(on_record, MemoryRefused) and on_record.rule and on_record.peer == "acme/support"
    assert back.to == "acme/support" and isinstance(back.body, Recalled)
    assert (back.body.refused, back.body.found, back.body.value) == (on_record.rule, False, None)
    assert mai.state.changes == before


def test_what_is_not_in_the_scope_is_not_listed() -> None:
    """A list shows what may be read; what Mai read is on record as she told it."""
    mai = Mai(scoped())
    for number, key in enumerate(("customer.1", "customer.2", "secret.1", "other.1")):
        mai.feed(Memory("acme/sales", Remember(f"S/1.m{number}", "acme/sales/clerk", key, number)))
    given = {"prefix": "", "after": "", "limit": 10}
    (read,), (back,) = mai.feed(Memory("acme/support", Browse("R/1.m1", "acme/support/clerk", "recall_all", given)))
    assert isinstance(read, MemoryRead) and isinstance(back.body, Recalled)
    assert [one["key"] for one in back.body.value["items"]] == ["customer.1", "customer.2"] and read.value == back.body.value


def test_the_department_refuses_first(tmp_path: Path) -> None:
    """What is out of an agent's scope does not leave its department; the step says what would be allowed."""
    whole = desk(tmp_path, "async def desk(ctx, task):\n    await ctx.recall('secret', 'client')\n")
    scope = MemoryScope(client=ClientMemory(read=("customer.*",)))
    departments = (msgspec.structs.replace(whole.departments[0], memory=scope), *whole.departments[1:])
    lone = Lone(tmp_path, msgspec.structs.replace(whole, departments=departments))
    lone.task()
    lone.settle()
    (why,) = refused(lone)
    assert why == "support/desk may not read the key 'secret' of the client's memory; it may read customer.*"
    assert not lone.asked() and lone.result().reason == why
    lone.close()


def test_another_scope_touches_who_is_concerned() -> None:
    """A reload with other rights or bounds starts the departments that they concern, and Mai; a service knows of neither."""
    old = three()
    scope = MemoryScope(client=ClientMemory(read=("new",)))
    one, *rest = old.departments
    found = difference(old, msgspec.structs.replace(old, departments=(msgspec.structs.replace(one, memory=scope), *rest)))
    assert set(found.changed) == {"acme/mai", "acme/support"} and "memory" in found.changes[0]
    bounds = difference(old, msgspec.structs.replace(old, memory=Keeping(versions=2)))
    assert set(bounds.changed) == {f"acme/{name}" for name in ("mai", "support", "finance", "sales")}
    for service in ("models", "tools"):
        told = [mandate(one, "acme", service) for one in (old, msgspec.structs.replace(old, memory=Keeping(versions=2)))]
        assert told[0] == told[1]


@given(key=st.text(max_size=8), pattern=st.text(alphabet="ab.*", max_size=5))
def test_a_pattern_is_a_key_or_a_beginning(key: str, pattern: str) -> None:
    """Never more: no sign in a key means anything."""
    fits = key.startswith(pattern[:-1]) if pattern.endswith("*") else key == pattern
    assert admits((pattern,), key) == fits and not admits((), key)


# -- all of it
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1 << 32))
def test_what_an_agent_sees_is_what_a_dict_would_give_and_what_its_journal_has(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """Random calls, alone and beside each other, with kills between tasks: seen = recorded = predicted, and the state folds."""
    dice, base, model = random.Random(seed), tmp_path_factory.mktemp("m"), Model({})
    whole = desk(base, PLAYER + "async def desk(ctx, task):\n    return {'saw': await play(ctx, json.loads(task.text))}\n")
    lone = Lone(base, whole)
    for number in range(1, 4):
        groups = program(dice, dice.randrange(1, 25), ("agent", "department"))
        ops = [op for group in groups for op in group]
        lone.task(json.dumps(groups), ident=f"r/{number}", ranked=("desk",))
        lone.settle()
        seen = lone.result(f"r/{number}").value["saw"]
        steps = [one for one in lone.of_kind(Stepped) if one.task.startswith(f"r/{number}.") and one.agent == "desk"]
        assert [one.n for one in steps] == list(range(1, len(ops) + 1))
        for op, saw_, step in zip(ops, seen, steps, strict=True):
            assert comparable(op, saw_) == model.see("support", "desk", op), op
            assert _seen(step) == saw_
        model.expire()
        lone.check()
        lone = lone.again() if dice.random() < 0.5 else lone
        _let_expire()
    lone.close()


def _seen(step: Stepped) -> Any:
    """A recorded outcome as the player says it."""
    if isinstance(step.value, dict) and "items" in step.value:
        return {"items": [[one["key"], one["version"], one["value"]] for one in step.value["items"]], "more": step.value["more"]}
    return step.value


def _let_expire() -> None:
    """Until the wall clock is past what was to expire in a millisecond."""
    import time

    until_s = time.time() + 0.002
    while time.time() <= until_s:
        pass
