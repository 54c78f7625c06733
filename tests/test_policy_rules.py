"""What `mai check` says of policies: each mistake is one fault, with its line and what would be right."""

from pathlib import Path

import pytest

from mai.agents.check import load
from mai.agents.faults import Faulty

FILE = """
[organisation]
clients = ["acme"]

[departments.sales]
charter = "Sells."
[[departments.sales.agents]]
name = "seller"
rank = "specialist"
handler = "code.py:work"
[[departments.sales.contracts]]
name = "order"
about = "An order"
served_by = "seller"
may_ask = ["support"]
request = { order = "int", until = "date?", lines = [{ cents = "int" }], customer = { name = "str" } }

[departments.support]
charter = "Helps."
[[departments.support.agents]]
name = "desk"
rank = "operator"
handler = "code.py:work"
tools = ["pay", "look", "send"]
[[departments.support.agents]]
name = "clerk"
rank = "specialist"
handler = "code.py:work"
tools = ["look"]
[[departments.support.tools]]
name = "pay"
handler = "code.py:pay"
effect = "opaque"
[[departments.support.tools]]
name = "look"
handler = "code.py:look"
[[departments.support.tools]]
name = "send"
command = ["sh"]
[[departments.support.policies]]
name = "paying"
verdict = "allow"
tools = ["pay"]
"""
CODE = """
import datetime

async def work(ctx, task): ...

def pay(files, cents: int, share: float | None, to: "str", on: datetime.date, urgent: bool = False, *, key): ...

def look(files, name, at=None, subject=""): ...
"""
OF = "[[departments.support.policies]]\n"
WHOLE = "[[policies]]\n"


def faults(base: Path, text: str) -> list[str]:
    """What is wrong with the file, this policy standing before its others; with the line of it that is at fault."""
    (base / "code.py").write_text(CODE)
    head, _, tail = FILE.partition(OF)
    (base / "company.toml").write_text(f"{head}{text}\n{OF}{tail}" if text else FILE)
    try:
        load(base / "company.toml")
    except Faulty as faulty:
        before = head.count("\n")
        return [f"{fault.line - before}: {fault.sentence} ({fault.hint})" for fault in faulty.faults]
    return []


def policy(owner: str = OF, **given: str) -> str:
    """A policy as the file has it, `x = '...'` with TOML on the right."""
    keys = {"name": '"one"', "verdict": '"deny"', **given}
    return owner + "".join(f"{key} = {value}\n" for key, value in keys.items())


@pytest.mark.parametrize(
    "text",
    [
        "",
        policy(tools='["pay"]', when="{ cents = { above = 5 } }"),
        policy(tools='["pay"]', when='{ share = { between = [0, 0.5] }, to = { like = ["*@a", "b"] }, urgent = { is = true } }'),
        policy(tools='["pay"]', when="{ on = { below = 2026-01-01 } }"),
        policy(tools='["pay"]', when='{ on = { between = ["2026-01-01", "2026-02-01"] } }'),
        policy(tools='["pay"]', when='{ at = { between = [22:00:00, 06:00:00] }, weekday = { in = ["monday"] } }'),
        policy(tools='["pay", "look"]', when='{ requester = { is = "sales" }, weekday = { not = "sunday" } }'),
        policy(tools='["look"]', when='{ input.at = { is = "here" }, input.subject = { given = true } }'),
        policy(tools='["send"]', when="{ whatever = { above = 1 } }"),
        policy(contracts='["sales.order"]', when='{ customer.name = { is = "x" }, until = { above = "2026-01-01" } }'),
        policy(contracts='["sales.*"]', when="{ lines = { given = true } }", ranks='["operator"]'),
        policy(claims='["risk_*"]', when='{ confidence = { below = 0.5 }, value = { is = "high" }, subject = { like = "c/*" } }'),
        policy(WHOLE, tools='["support.pay"]', departments='["support"]', agents='["support/desk"]',
               when="{ cents = { above = 1 } }"),
        policy(WHOLE, contracts='["*"]', departments='["client"]'),
        policy(WHOLE, tools='["*.pay"]', verdict='"person"', four_eyes="true", expires_s="60", approvers='"administrator"',
               when="{ cents = { above = 5 } }"),
        # the one behind says more than the one before
        policy(tools='["pay"]', when="{ cents = { above = 5 } }")
        + policy(tools='["pay"]', name='"two"', when="{ cents = { above = 4 } }"),
        policy(tools='["pay"]', when="{ cents = { above = 5 } }", verdict='"allow"')
        + policy(tools='["pay"]', name='"two"', when="{ cents = { above = 6 } }"),
    ],
)  # fmt: skip
def test_a_sound_policy(tmp_path: Path, text: str) -> None:
    """It can be loaded."""
    assert faults(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "line", "sentence", "hint"),
    [
        (policy(), 1, "the policy one of support is about nothing", "expected tools"),
        (policy(tools='["pays"]'), 4, "a tool 'pays', which there is not", "did you mean pay?"),
        (policy(tools='["support.pay"]'), 4, "a tool 'support.pay', which there is not", ""),
        (policy(contracts='["sales.ordr"]'), 4, "a contract 'sales.ordr', which there is not", "did you mean sales.order?"),
        (policy(tools='["pay"]', agents='["desks"]'), 5, "an agent 'desks'", "did you mean desk?"),
        (policy(tools='["pay"]', departments='["support"]'), 5, "names departments, and is of one", "leave the key out"),
        (policy(tools='["pay"]', agents='["desk"]', ranks='["board"]'), 1, "is about nobody", "must all fit"),
        (policy(tools='["pay"]', agents='["clerk"]'), 4, "none of those whom it names has such a tool", ""),
        (policy(WHOLE, tools='["pay"]'), 4, "a tool 'pay', which there is not", "the tools: "),
        (policy(WHOLE, tools='["*"]', departments='["suport"]'), 5, "a department 'suport'", "did you mean support?"),
        (policy(tools='["pay"]', verdict='"never"'), 3, "verdict is 'never', expected one of allow, board, deny, person", ""),
        (policy(tools='["pay"]', four_eyes="true"), 5, "has four_eyes, and its verdict is deny", "board or person"),
        (policy(tools='["pay"]', verdict='"board"', approvers='"administrator"'), 5, "has approvers", "for the verdict person"),
        (policy(tools='["pay"]', when='"cents > 5"'), 5, "when is 'cents > 5', expected a table of comparisons", ""),
        (policy(tools='["pay"]', when="{ cents = 5 }"), 5, "cents is 5, expected a comparison", "above"),
        (policy(tools='["pay"]', when="{ cents = { over = 5 } }"), 5, "cents is compared by 'over', which means nothing", ""),
        (policy(tools='["pay"]', when="{ sents = { above = 5 } }"), 5, "tool support.pay takes no sents", "did you mean cents?"),
        (policy(tools='["pay", "look"]', when="{ cents = { above = 5 } }"), 5, "tool support.look takes no cents", ""),
        (policy(tools='["pay"]', when='{ cents = { above = "5" } }'), 5, "expected a number, a date or a time of day", ""),
        (policy(tools='["pay"]', when='{ cents = { is = "5" } }'), 5, "cents of tool support.pay is a number", ""),
        (policy(tools='["pay"]', when="{ to = { above = 5 } }"), 5, "to of tool support.pay is a text", ""),
        (policy(tools='["pay"]', when="{ urgent = { above = 5 } }"), 5, "is true or false, and has no order", ""),
        (policy(tools='["pay"]', when="{ cents = { in = [] } }"), 5, "expected a list of values of one kind", ""),
        (policy(tools='["pay"]', when='{ cents = { in = [1, "a"] } }'), 5, "expected a list of values of one kind", ""),
        (policy(tools='["pay"]', when="{ cents = { between = [5, 1] } }"), 5, "the smaller one first", ""),
        (policy(tools='["pay"]', when='{ weekday = { is = "someday" } }'), 5, "one of monday, tuesday", ""),
        (policy(tools='["pay"]', when='{ at = { between = ["8", "9"] } }'), 5, "expected two numbers, dates or times of day", ""),
        (policy(tools='["pay"]', when="{ confidence = { below = 1 } }"), 5, "tool support.pay has no confidence", "claims have"),
        (policy(tools='["look"]', when='{ at = { above = "08:00" } }'), 5, "takes an argument at, and it is", "input.at"),
        (policy(contracts='["sales.order"]', when='{ customer.nam = { is = "x" } }'), 5, "takes no customer.nam", ""),
        (policy(contracts='["sales.order"]', when="{ lines = { is = 5 } }"), 5, "of which only `given` can be said", ""),
        (policy(tools='["pay"]', when="{ cents = { above = 5, below = 5 } }"), 5, "nothing is all that it says of cents", ""),
        (policy(tools='["pay"]', when="{ cents = { in = [1, 2], above = 2 } }"), 5, "can never match", ""),
        (policy(tools='["pay"]', when="{ cents = { above = 1 } }") + policy(tools='["pay"]', when="{ cents = { is = 1 } }"), 7,
         "support has two policies named one", ""),
        (policy(WHOLE, tools='["pay*"]'), 4, "a tool 'pay*', which there is not", ""),
    ],
)  # fmt: skip
def test_a_faulty_policy(tmp_path: Path, text: str, line: int, sentence: str, hint: str) -> None:
    """One fault, at the line of the key, and what would be right."""
    (fault,) = faults(tmp_path, text)
    assert fault.startswith(f"{line}: ") and sentence in fault and hint in fault


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"when": "{ cents = { above = 5 } }"}),
        ({"when": "{ cents = { above = 5 } }"}, {"when": "{ cents = { above = 6 } }"}),
        ({"when": "{ cents = { above = 5 } }"}, {"when": '{ cents = { above = 5 }, to = { is = "x" } }', "verdict": '"person"'}),
        ({"when": "{ cents = { at_least = 5 } }"}, {"when": "{ cents = { between = [5, 9] } }"}),
        ({"when": "{ cents = { above = 5 } }"}, {"when": "{ cents = { in = [6, 7] } }", "ranks": '["operator"]'}),
        ({"when": '{ to = { like = "*@a" } }'}, {"when": '{ to = { is = "b@a" } }', "verdict": '"allow"'}),
        (
            {"verdict": '"allow"', "when": "{ cents = { below = 5 } }"},
            {"verdict": '"allow"', "when": "{ cents = { at_most = 4 } }"},
        ),
    ],
)
def test_a_policy_that_never_decides(tmp_path: Path, first: dict[str, str], second: dict[str, str]) -> None:
    """One behind another that matches wherever it would is a fault, also behind one of the organisation."""
    usual = {"tools": '["pay"]'}
    own, wide = policy(**usual | first), policy(WHOLE, **{"tools": '["support.pay"]'} | first)
    behind = policy(**usual | second, name='"two"')
    for before in (own, wide):
        found = [fault for fault in faults(tmp_path, before + behind) if "paying" not in fault and "the tool pay" not in fault]
        assert len(found) == 1 and "the policy two of support never decides: the policy one" in found[0]


def test_an_effect_that_nobody_can_have(tmp_path: Path) -> None:
    """A tool with an effect and no policy that could allow it is a fault that says how; one that is approved is allowed."""
    for given in (policy(tools='["pay"]'), policy(WHOLE, tools='["*"]', ranks='["operator"]')):
        found = [fault for fault in faults(tmp_path, given) if "the tool pay of support has an effect" in fault]
        assert len(found) == 1 and 'verdict = "allow", tools = ["pay"]' in found[0]
    (tmp_path / "company.toml").write_text(FILE[: FILE.index(OF)])
    with pytest.raises(Faulty, match="no policy can ever allow it"):
        load(tmp_path / "company.toml")
    for verdict in ("board", "person"):
        assert faults(tmp_path, policy(tools='["pay"]', verdict=f'"{verdict}"', when="{ cents = { above = 5 } }")) == []


def test_a_zone_that_the_host_does_not_know(tmp_path: Path) -> None:
    """The time zone is one, and a fault at its line if not."""
    (tmp_path / "code.py").write_text(CODE)
    (tmp_path / "company.toml").write_text(FILE.replace('["acme"]', '["acme"]\ntimezone = "Europe/Berln"'))
    with pytest.raises(Faulty, match=r"company\.toml:4: this host knows no time zone 'Europe/Berln'"):
        load(tmp_path / "company.toml")
