"""Random policies and calls: the judge says what a reader of the file would say who knows nothing of how it works."""

import datetime
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mai.agents.comparison_rules import implied, impossible
from mai.agents.comparisons import Comparison, compare, comparisons, holds
from mai.agents.organisation import Department, Mandate, Organisation, mandate
from mai.agents.policies import Act, code_of, judge
from mai.agents.policy_scope import Policy, Verdict

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NUMBERS: tuple[Any, ...] = (-3, -1, 0, 1, 2, 3, 0.5, -1.5, 1e300)
TEXTS: tuple[Any, ...] = ("", "a", "ab", "b*", "2026-01-01", "2026-02-01", "08:00", "EUR")
VALUES: tuple[Any, ...] = (*NUMBERS, *TEXTS, True, False, None, [1], {"a": 1}, float("inf"))
FIELDS = ("cents", "to", "order.cents", "input.at")
VERDICTS: tuple[Verdict, ...] = ("allow", "deny", "board", "person")
CASES = 40  # of one seed


def operator_of(chance: Random) -> tuple[str, Any]:
    """An operator and what it compares with."""
    match chance.randrange(6):
        case 0:
            return chance.choice(["above", "at_least", "below", "at_most"]), chance.choice((*NUMBERS, "2026-01-01", "2026-01-15"))
        case 1:
            return "between", sorted(chance.choices(NUMBERS, k=2))
        case 2:
            return chance.choice(["is", "not"]), chance.choice((*NUMBERS, *TEXTS, True, False))
        case 3:
            return chance.choice(["in", "not_in"]), chance.choices(chance.choice([NUMBERS, TEXTS]), k=chance.randrange(1, 4))
        case 4:
            return chance.choice(["like", "not_like"]), chance.choice(["*", "a*", "*b", ["a", "E*"]])
    return "given", chance.random() < 0.5


def when_of(chance: Random) -> dict[str, Any]:
    """What a `when` may say."""
    found: dict[str, Any] = {}
    for _ in range(chance.randrange(3)):
        table = found
        for name in chance.choice(FIELDS).split("."):
            table = table.setdefault(name, {})
        operator, constant = operator_of(chance)
        table[operator] = constant
    if chance.random() < 0.3:
        found["at"] = {"between": chance.choice([["08:00", "18:00"], ["22:00", "06:00"]])}
    if chance.random() < 0.3:
        found["weekday"] = {"in": chance.sample(DAYS, chance.randrange(1, 7))}
    if chance.random() < 0.3:
        found["requester"] = chance.choice([{"is": "client"}, {"not": "client"}, {"given": True}])
    return found


def policy_of(chance: Random, name: str, *, own: bool) -> Policy:
    """A policy of the department, or of the organisation."""
    tools = chance.choice([("pay",), ("*",), ("look",), ("p*", "look")])
    return Policy(
        name=name, verdict=chance.choice(VERDICTS), when=when_of(chance),
        tools=tools if own else tuple(f"support.{tool}" for tool in tools),
        ranks=chance.choice([(), (), ("operator",), ("board", "specialist")]),
        agents=chance.choice([(), (), ("desk",), ("clerk", "desk")]) if own else (),
    )  # fmt: skip


def act_of(chance: Random) -> Act:
    """A call."""
    given: dict[str, Any] = {name: chance.choice(VALUES) for name in ("cents", "to", "at") if chance.random() < 0.8}
    if chance.random() < 0.7:
        given["order"] = {"cents": chance.choice(VALUES)} if chance.random() < 0.8 else chance.choice(VALUES)
    return Act(
        what="tool", name=chance.choice(["support.pay", "support.look"]), department="support",
        agent=chance.choice(["desk", "clerk"]), rank=chance.choice(["operator", "specialist"]),
        effect=chance.choice(["none", "opaque"]), arguments=given,
        requester=chance.choice(["", "client", "sales"]), at_ms=chance.randrange(7 * 86_400_000),
    )  # fmt: skip


# -- the same once more, as naively as can be
def said(field: str, operator: str, constant: Any, act: Act) -> bool | None:
    """One comparison, read aloud."""
    value = found(field, act)
    if operator == "given":
        return (value is not None) is bool(constant)
    if value is None:
        return None
    if field == "at":
        low, high = constant
        return bool(low <= value < high if low < high else not high <= value < low)
    return beside(operator, value, constant)


def found(field: str, act: Act) -> Any:
    """What stands in a field."""
    at = datetime.datetime.fromtimestamp(act.at_ms / 1000, datetime.UTC)
    words = {"at": at.strftime("%H:%M"), "weekday": at.strftime("%A").lower(), "requester": act.requester or None}
    if field in words:
        return words[field]
    if field == "order.cents":
        order = act.arguments.get("order")
        return order.get("cents") if isinstance(order, dict) else None
    return act.arguments.get(field.removeprefix("input."))


def beside(operator: str, value: Any, constant: Any) -> bool | None:
    """A value that is there."""
    if operator == "between":
        both = [plainly("at_least", value, constant[0]), plainly("at_most", value, constant[1])]
        return False if False in both else None if None in both else True
    if operator in ("in", "not_in"):
        each = [plainly("is", value, one) for one in constant]
        return None if set(each) == {None} else (True in each) == (operator == "in")
    if operator in ("like", "not_like"):
        listed = [constant] if isinstance(constant, str) else constant
        return any(alike(one, value) for one in listed) == (operator == "like") if isinstance(value, str) else None
    return plainly(operator, value, constant)


def alike(pattern: str, text: str) -> bool:
    """Does the text fit, a star for anything?"""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(alike(pattern[1:], text[cut:]) for cut in range(len(text) + 1))
    return bool(text) and pattern[0] == text[0] and alike(pattern[1:], text[1:])


def plainly(operator: str, value: Any, constant: Any) -> bool | None:
    """Two values of one kind beside each other."""
    number = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in (value, constant))
    if number and abs(value) == float("inf"):
        return None
    same = (
        number
        or all(isinstance(one, str) for one in (value, constant))
        or all(isinstance(one, bool) for one in (value, constant))
    )
    if not same:
        return None
    if operator in ("is", "not"):
        return bool(value == constant) == (operator == "is")
    if isinstance(value, bool) or (isinstance(value, str) and not (value.startswith("2026") and constant.startswith("2026"))):
        return None
    if operator in ("above", "at_least"):
        return bool(value > constant or (value == constant and operator == "at_least"))
    return bool(value < constant or (value == constant and operator == "at_most"))


def fields(when: dict[str, Any], prefix: str = "") -> list[tuple[str, str, Any]]:
    """Field, operator and constant of each comparison."""
    found = []
    for name, one in when.items():
        for key, inner in one.items():
            if isinstance(inner, dict):
                found += fields({f"{name}.{key}": inner})
            else:
                found.append((prefix + name, key, inner))
    return found


def naive(policies: list[tuple[str, Policy]], act: Act) -> tuple[str, str]:
    """The verdict and the policy, as a reader would say them."""
    for name, policy in policies:
        tool = act.name.removeprefix("support.")
        named = any(alike(one.removeprefix("support."), tool) for one in policy.tools)
        who = (not policy.ranks or act.rank in policy.ranks) and (not policy.agents or act.agent in policy.agents)
        truths = [said(*one, act) for one in fields(policy.when)]
        holds = all(one is True for one in truths) if policy.verdict == "allow" else all(one is not False for one in truths)
        if named and who and holds:
            return policy.verdict, name
    return ("allow" if act.effect == "none" else "deny"), ""


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1 << 40))
def test_the_judge_says_what_the_file_says(seed: int) -> None:
    """Verdict and policy are as a naive reading gives them; a mandate that has crossed as JSON gives the same."""
    chance = Random(seed)
    for _ in range(CASES):
        general = [policy_of(chance, f"g{n}", own=False) for n in range(chance.randrange(4))]
        own = [policy_of(chance, f"o{n}", own=True) for n in range(chance.randrange(4))]
        department = Department(name="support", charter="", agents=(), policies=tuple(own))
        whole = Organisation(name="x", clients=("acme",), departments=(department,), policies=tuple(general))
        crossed = msgspec.json.decode(msgspec.json.encode(mandate(whole, "acme", "support")), type=Mandate)
        codes = code_of(whole, "support"), code_of(crossed, "support")
        for _ in range(4):
            act = act_of(chance)
            ruling = judge(codes[0], act)
            named = [*((one.name, one) for one in general), *((f"support.{one.name}", one) for one in own)]
            assert (ruling.verdict, ruling.clause) == naive(named, act)
            assert judge(codes[1], act) == ruling


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1 << 40))
def test_what_is_said_of_comparisons_is_so(seed: int) -> None:
    """What is implied by others holds wherever they hold; what can never match does not; both as `mai check` tells them."""
    chance = Random(seed)
    for _ in range(CASES):
        one, other = comparisons(when_of(chance)), comparisons(when_of(chance))
        if chance.random() < 0.5:
            one = [
                each._replace(operator=chance.choice(["above", "at_most", each.operator])) for each in other if _number(each)
            ] or one
        for _ in range(8):
            act = act_of(chance)
            words = {"at": "12:00", "weekday": chance.choice(DAYS), "requester": act.requester or None}
            if not all(holds(each, words, act.arguments) is True for each in other):
                continue
            assert not impossible(other), other
            for each in one:
                assert holds(each, words, act.arguments) is True or not implied(each, other), (each, other)


def _number(one: Comparison) -> bool:
    return isinstance(one.constant, int | float) and not isinstance(one.constant, bool)


def test_what_has_an_order() -> None:
    """Numbers of any kind, dates and times of day; nothing between kinds, and no number that is none."""
    assert compare("above", 2, 1.5) is True and compare("at_most", "2026-01-01", "2026-01-01") is True
    assert compare("above", "08:30", "08:00") is True
    for value, constant in ((True, 0), ("2", 1), (float("nan"), 1), ("b", "a"), ("2026-01-01", "08:00"), ([1], 1)):
        assert compare("above", value, constant) is None, value
    assert compare("in", float("nan"), (1.0,)) is None and compare("not", True, 1) is None
    assert holds(Comparison(("cents",), "is", 1), {}, {"cents": [1]}) is None
