"""Policies: what the organisation file says may be done, by whom, with which arguments, when."""

import datetime
from pathlib import Path
from typing import Any

import pytest

from mai.agents import check
from mai.agents.organisation import mandate
from mai.agents.policies import Act, code_of, judge

COMPANY = """
[organisation]
clients = ["acme"]
timezone = "Europe/Berlin"

[[policies]]
name = "large"
verdict = "person"
tools = ["support.refund", "support.credit"]
when = { amount_cents = { above = 100_000 } }
four_eyes = true
expires_s = 600
approvers = "administrator"

[[policies]]
name = "night"
verdict = "deny"
tools = ["support.*"]
ranks = ["operator"]
when = { at = { between = ["22:00", "06:00"] }, requester = { not = "legal" } }
why = "nobody is there to help"

[departments.support]
charter = "Refunds."
tools = [
  { name = "refund", handler = "code.py:refund", effect = "idempotent" },
  { name = "credit", handler = "code.py:refund", effect = "opaque" },
  { name = "look", handler = "code.py:refund" },
]

[[departments.support.policies]]
name = "blocked"
verdict = "deny"
tools = ["refund"]
when = { currency = { not_in = ["EUR", "USD"] } }

[[departments.support.policies]]
name = "middling"
verdict = "board"
tools = ["refund"]
when = { amount_cents = { above = 10_000 } }

[[departments.support.policies]]
name = "small"
verdict = "allow"
tools = ["refund"]
agents = ["desk"]
when = { amount_cents = { between = [1, 10_000] } }

[[departments.support.policies]]
name = "quiet"
verdict = "deny"
tools = ["look"]
when = { order = { like = "secret-*" } }

[[departments.support.policies]]
name = "doubtful"
verdict = "deny"
claims = ["risk"]
when = { confidence = { below = 0.5 } }

[[departments.support.agents]]
name = "desk"
rank = "operator"
handler = "code.py:desk"
tools = ["refund", "credit", "look"]

[[departments.support.agents]]
name = "clerk"
rank = "specialist"
handler = "code.py:desk"
tools = ["refund"]
"""
CODE = """
def refund(files, order: str, amount_cents: int = 1, currency: str = "EUR"):
    return amount_cents

async def desk(ctx, task):
    return "done"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The organisation above."""
    (tmp_path / "code.py").write_text(CODE)
    found = tmp_path / "company.toml"
    found.write_text(COMPANY)
    return found


def at(text: str) -> int:
    """Milliseconds since 1970 of a time in UTC."""
    return int(datetime.datetime.fromisoformat(f"{text}+00:00").timestamp() * 1000)


NOON = at("2026-03-02 11:00")
REFUND = {"order": "A1", "amount_cents": 500, "currency": "EUR"}


@pytest.mark.parametrize(
    ("verdict", "clause", "given"),
    [
        ("allow", "support.small", {}),
        ("board", "support.middling", {"arguments": {**REFUND, "amount_cents": 10_001}}),
        ("person", "large", {"arguments": {**REFUND, "amount_cents": 100_001}}),
        ("person", "large", {"name": "support.credit", "arguments": {"amount_cents": 100_001}}),
        ("deny", "support.blocked", {"arguments": {**REFUND, "currency": "GBP"}}),
        ("deny", "", {"agent": "clerk", "rank": "specialist"}),
        ("deny", "", {"name": "support.credit"}),
        ("deny", "", {"arguments": {**REFUND, "amount_cents": 0}}),
        ("allow", "", {"name": "support.look", "effect": "none"}),
        ("deny", "support.quiet", {"name": "support.look", "effect": "none", "arguments": {"order": "secret-1"}}),
        # what is missing or of another type never allows anything, and keeps no denial away
        ("person", "large", {"arguments": {"order": "A1", "currency": "EUR"}}),
        ("person", "large", {"arguments": {**REFUND, "amount_cents": "500"}}),
        ("person", "large", {"arguments": {**REFUND, "amount_cents": True}}),
        ("deny", "support.blocked", {"arguments": {**REFUND, "currency": None}}),
        ("deny", "support.quiet", {"name": "support.look", "effect": "none", "arguments": {}}),
        # times are the organisation's: 20:59 in UTC is 22:59 in a Berlin summer and 21:59 in its winter
        ("deny", "night", {"at_ms": at("2026-07-01 20:59")}),
        ("allow", "support.small", {"at_ms": at("2026-01-05 20:59")}),
        ("deny", "night", {"at_ms": at("2026-07-01 03:59")}),
        ("allow", "support.small", {"at_ms": at("2026-07-01 04:00")}),
        ("allow", "support.small", {"at_ms": at("2026-07-01 20:59"), "requester": "legal"}),
        ("deny", "night", {"at_ms": at("2026-07-01 20:59"), "requester": ""}),
        # claims and contracts
        ("deny", "support.doubtful", {"what": "claim", "name": "risk", "arguments": {"confidence": 0.4}}),
        ("allow", "", {"what": "claim", "name": "risk", "arguments": {"confidence": 0.5}}),
        ("allow", "", {"what": "contract", "name": "sales.order", "arguments": {}}),
    ],
)
def test_each_verdict(file: Path, verdict: str, clause: str, given: dict[str, Any]) -> None:
    """The first policy that matches decides, the organisation's first; else what has an effect is denied, and nothing else."""
    usual: dict[str, Any] = {"what": "tool", "name": "support.refund", "department": "support", "agent": "desk"}
    usual |= {"rank": "operator", "arguments": REFUND, "effect": "idempotent", "requester": "client", "at_ms": NOON}
    what = {"effect": "none"} if "what" in given else {}
    act = Act(**{**usual, **what, **given})
    organisation = check.load(file)
    ruling = judge(code_of(organisation, "support"), act)
    assert (ruling.verdict, ruling.clause) == (verdict, clause)
    assert bool(ruling.why) == (verdict != "allow")


def test_a_department_and_mai_judge_alike(file: Path) -> None:
    """What a department is told of the policies has the digest of the whole, and options come with the verdict."""
    organisation = check.load(file)
    codes = [code_of(mandate(organisation, "acme", name), "support") for name in ("support", "mai")]
    assert codes[0].digest == codes[1].digest == code_of(organisation, "support").digest
    act = Act(
        what="tool", name="support.refund", department="support", agent="desk", rank="operator", effect="idempotent",
        arguments={"amount_cents": 200_000}, at_ms=NOON,
    )  # fmt: skip
    rulings = [judge(code, act) for code in codes]
    assert rulings[0] == rulings[1]
    assert (rulings[0].four_eyes, rulings[0].expires_s, rulings[0].approvers) == (True, 600, "administrator")
    assert rulings[0].digest == codes[0].digest
