"""Boards by rule, by a model, by code, and persons: the same records of an approval; and a board that is not to be had."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from mai.agents import check, events
from mai.agents.approval_messages import Consult, Opinion
from mai.agents.approval_records import ApprovalDecided, ApprovalReferred
from mai.agents.approval_scope import Approvals
from mai.agents.board_scope import Rule
from mai.agents.errand_messages import Think
from mai.agents.events import Hopped
from mai.agents.faults import Faulty
from mai.agents.organisation import Agent
from mai.agents.shell import now_ms
from mai.daemon.explaining import Call, explain, render
from tests.lone import Lone
from tests.test_approvals import acts, place, pleas, say

ACCEPTS = Rule(name="small", decision="approve", tools=("act", "look"), when={"cents": {"at_most": 5}}, why="it is small")


def ruled(base: Path, *rules: Rule, **more: Any) -> Any:
    """A desk that wants an effect of five cents; its board has these rules and nothing else."""
    made = place(base, "board", **more)
    return replace(made, departments=(replace(made.departments[0], rules=rules), *made.departments[1:]))


def thinking(base: Path, **more: Any) -> Any:
    """The same with a board that thinks."""
    made = place(base, "board", **more)
    support = made.departments[0]
    agents = tuple(Agent(name="board", rank="board", kind="model", model="m") if a.rank == "board" else a for a in support.agents)
    return replace(made, departments=(replace(support, agents=agents), *made.departments[1:]))


def minded(decision: str) -> Callable[[Lone, Think], Any]:
    """A model that routes to the coordinator, signs, and decides so."""

    def mind(lone: Lone, asked: Think) -> Any:
        wants = lone.schema(asked)["schema"]["properties"]
        if "to" in wants:
            return {"to": "coordinator", "reason": ""}
        return {"ruling": "sign", "reason": ""} if "ruling" in wants else {"decision": decision, "reason": "it is small"}

    return mind


def run(base: Path, made: Any, mind: Callable[[Lone, Think], Any] | None = None) -> Lone:
    """The desk has asked for it, and whoever decides has done so."""
    lone = Lone(base, made)
    lone.task()
    thinks = mind or minded("")
    lone.think(lambda asked: thinks(lone, asked))
    return lone


def shapes(lone: Lone) -> list[Any]:
    """What is on record of the approval, and of the board's task: kinds, fields, the types of their values, and who decides."""
    lone.shell.commit(all_of_it=True)
    found, boards = [], set[str]()
    for record in lone.ledger.records():
        body = msgspec.json.decode(lone.ledger.body(record))
        boards |= {record.task} if body.get("approves") else set()
        ends = record.kind == "task.ended" and record.task in boards
        if record.kind.startswith(("approval.", "effect.", "policy.")) or body.get("approves") or ends:
            value = sorted(body["value"]) if ends else None
            whole = msgspec.structs.asdict(events.decode(record.kind, lone.ledger.body(record)))
            found.append((record.kind, {name: type(one).__name__ for name, one in whole.items()}, body.get("who"), value))
    return found


@pytest.mark.parametrize(("word", "rule"), [("approve", "approve"), ("deny", "deny"), ("person", "person")])
def test_boards_by_rule_by_model_and_by_code_leave_the_same_records(tmp_path: Path, word: str, rule: Any) -> None:
    """Field by field, for each of the three decisions; who decides is the board each time."""
    bases = [tmp_path / name for name in ("rule", "model", "code")]
    for base in bases:
        base.mkdir()
    lones = [
        run(bases[0], ruled(bases[0], replace(ACCEPTS, decision=rule))),
        run(bases[1], thinking(bases[1]), minded(word)),
        run(bases[2], place(bases[2], "board", word=word)),
    ]
    first, *others = (shapes(lone) for lone in lones)
    assert first and all(other == first for other in others)
    for lone, base in zip(lones, bases, strict=True):
        assert bool(acts(base)) == (word == "approve") and len(pleas(lone)) == (word == "person")
        for decided in lone.of_kind(ApprovalDecided):
            assert decided.by == ("acme/support/board",) and decided.note
        lone.check()


def test_a_person_leaves_the_same_records(tmp_path: Path) -> None:
    """Asked, decided, used, and the intent: only who has decided differs, and that no board had a task."""
    bases = [tmp_path / "rule", tmp_path / "person"]
    for base in bases:
        base.mkdir()
    board, person = run(bases[0], ruled(bases[0], ACCEPTS)), run(bases[1], place(bases[1], "person"))
    say(person, True)
    one = [shape[:2] for shape in shapes(board) if shape[0].startswith(("approval", "effect", "policy"))]
    assert one == [shape[:2] for shape in shapes(person)]
    assert [lone.of_kind(ApprovalDecided)[0].who for lone in (board, person)] == ["board", "person"]


# -- not to be had
def unsure(lone: Lone, asked: Think) -> Any:
    """A model that routes, and is not to be had for the decision."""
    return minded("")(lone, asked) if "decision" not in lone.schema(asked)["schema"]["properties"] else lone.unthought(
        asked, "failed", "no provider answers"
    )  # fmt: skip


@pytest.mark.parametrize("undecided", ["person", "deny"])
@pytest.mark.parametrize("kind", ["rule", "model", "code"])
def test_a_board_that_is_not_to_be_had_falls_to_the_organisation(tmp_path: Path, kind: str, undecided: Any) -> None:
    """No rule matches, no provider answers, the code fails: on record as undecided, then a person is asked, or it is denied."""
    made, mind = {
        "rule": (ruled(tmp_path, replace(ACCEPTS, when={"cents": {"above": 5}})), minded("")),
        "model": (thinking(tmp_path), unsure),
        "code": (place(tmp_path, "board", word="raise"), minded("")),
    }[kind]
    lone = run(tmp_path, replace(made, approvals=Approvals(undecided=undecided)), mind)
    assert acts(tmp_path) == []
    if undecided == "person":
        (referred,) = lone.of_kind(ApprovalReferred)
        assert referred.how == "undecided" and referred.why
        say(lone, True)
        assert len(acts(tmp_path)) == 1 and lone.result().value == {"value": 5}
    else:
        (decided,) = lone.of_kind(ApprovalDecided)
        assert (decided.approved, decided.who) == (False, "organisation") and not pleas(lone)
        assert "which is a denial here" in lone.result().value["refused"]
    lone.check()


# -- rules
@pytest.mark.parametrize(
    ("rules", "word"),
    [
        ((ACCEPTS,), "approve"),
        ((replace(ACCEPTS, when={"cents": {"at_most": 4}}),), ""),
        ((replace(ACCEPTS, when={"none": {"is": 1}}),), ""),  # what is not known approves nothing
        ((replace(ACCEPTS, decision="deny", when={"none": {"is": 1}}), ACCEPTS), "deny"),  # and keeps no denial away
        ((replace(ACCEPTS, tools=("look",)),), ""),
        ((replace(ACCEPTS, agents=("desk",)),), "approve"),
        ((replace(ACCEPTS, agents=("board",)),), ""),
        ((replace(ACCEPTS, ranks=("operator",), when={"requester": {"is": "client"}}),), "approve"),
        ((replace(ACCEPTS, decision="person"), ACCEPTS), "person"),
        ((), "person"),
    ],
)
def test_the_first_rule_that_matches_decides(tmp_path: Path, rules: tuple[Rule, ...], word: str) -> None:
    """By whom, what, and the arguments; a board that has none leaves it to a person."""
    lone = run(tmp_path, ruled(tmp_path, *rules, undecided="deny"))
    decided = [event for event in lone.of_kind(ApprovalDecided) if event.who == "board"]
    assert [event.approved for event in decided] == ([word == "approve"] if word in ("approve", "deny") else [])
    assert len(pleas(lone)) == (word == "person") and bool(acts(tmp_path)) == (word == "approve")
    lone.check()


COMPANY = """
[organisation]
clients = ["acme"]
[departments.support]
charter = "Pays."
[[departments.support.agents]]
name = "desk"
rank = "operator"
handler = "w.py:desk"
tools = ["pay"]
[[departments.support.tools]]
name = "pay"
handler = "w.py:pay"
effect = "idempotent"
[[departments.support.policies]]
name = "all"
verdict = "board"
tools = ["pay"]
[[departments.support.rules]]
name = "small"
decision = "approve"
tools = ["pay"]
when = { cents = { at_most = 100 } }
"""
CODE = "def pay(files, cents: int, *, key: str) -> int:\n    return cents\nasync def desk(ctx, task):\n    pass\n"
AGAIN = COMPANY[COMPANY.index("[[departments.support.rules") :].replace("small", "tiny").replace("100", "1")
OFFERS = """
[[departments.support.contracts]]
name = "back"
about = "Pay back"
served_by = "desk"
may_ask = ["client"]
request = { cents = "int" }
[[departments.support.rules]]
name = "own"
decision = "approve"
contracts = ["support.back"]
when = { cents = { below = 5 } }
"""
BOARD = '[[departments.support.agents]]\nname = "chief"\nrank = "board"\nhandler = "w.py:desk"\n'


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("", "", ""),
        ("", OFFERS, ""),
        ('tools = ["pay"]\nwhen', 'tools = ["lay"]\nwhen', "the rule small of the board of support is about a tool 'lay', which"),
        ("cents =", "sense =", "support.pay takes no sense"),
        ('"approve"', '"allow"', "decision is 'allow', expected one of approve, deny, person"),
        ("[[departments.support.tools]]", BOARD + "[[departments.support.tools]]", "has rules, and is of kind python"),
        ("", AGAIN,
         "the rule tiny of the board of support never decides"),
    ],
)  # fmt: skip
def test_rules_are_checked(tmp_path: Path, old: str, new: str, fault: str) -> None:
    """As policies are: against tools and their types, with hints; and a board with code has none."""
    (tmp_path / "w.py").write_text(CODE)
    (tmp_path / "company.toml").write_text(COMPANY.replace(old, new) if old else COMPANY + new)
    if not fault:
        assert check.load(tmp_path / "company.toml").departments[0].rules[0].decision == "approve"
        return
    with pytest.raises(Faulty) as found:
        check.load(tmp_path / "company.toml")
    (one,) = found.value.faults
    assert fault in one.sentence and one.line > 20


def test_explain_says_what_the_board_says(tmp_path: Path) -> None:
    """`mai policy explain` of a call that a board by rule decides about."""
    (tmp_path / "w.py").write_text(CODE)
    (tmp_path / "company.toml").write_text(COMPANY)
    organisation = check.load(tmp_path / "company.toml")
    for cents, said in ((100, "the board says approve: by the rule small"), (101, "the board says undecided: no rule")):
        assert said in render(explain(organisation, Call(agent="acme/support/desk", name="pay", given={"cents": cents})))


# -- what the client asks for
@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("rule", "approve"), ("rule", "deny"), ("rule", ""), ("model", "approve"), ("code", "deny"), ("code", "escalate"),
        ("code", "raise"), ("", "person"),
    ],
)  # fmt: skip
def test_a_board_is_asked_about_what_the_client_asks_for(tmp_path: Path, kind: str, word: str) -> None:
    """By Mai, as about a call of its department's: it has a task of its own, and says one word, or why none."""
    by_rule = Rule(
        name="some", decision=word or "approve", contracts=("support.refund",), why="it is small",  # type: ignore[arg-type]
        when={"order": {"is": 5 if word else 6}, "requester": {"is": "client"}},
    )  # fmt: skip
    made = {
        "rule": lambda: ruled(tmp_path, by_rule), "model": lambda: thinking(tmp_path), "": lambda: ruled(tmp_path),
        "code": lambda: place(tmp_path, "board", word=word),
    }[kind]()  # fmt: skip
    if kind == "code":
        (tmp_path / "w.py").write_text((tmp_path / "w.py").read_text().replace("['cents']", "['order']"))
    lone, now = Lone(tmp_path, made), now_ms()
    asked = Consult(
        "r/1a1", "r", "i" * 64, "acme/client/client", "support.refund", {"order": 5}, "please", "client", "", "large", "", now,
        now + 60_000,
    )  # fmt: skip
    lone.say(asked, now + 30_000)
    lone.think(lambda question: minded(word)(lone, question))
    (opinion,) = [body for body in lone.sent.values() if isinstance(body, Opinion)]
    said = {"escalate": "person", "raise": ""}.get(word, word)
    assert (opinion.task, opinion.id, opinion.word, opinion.by) == ("r/1a1", "i" * 64, said, "acme/support/board")
    assert opinion.note and (opinion.state == "answered") == (word in ("approve", "deny", "person"))
    (hop,) = [event for event in lone.of_kind(Hopped) if event.approves]
    assert hop.agent == "board" and hop.input["approval"]["name"] == "support.refund" and not hop.parent
    lone.check()


def test_a_question_that_comes_too_late_is_answered_so(tmp_path: Path) -> None:
    """No task is begun."""
    lone, now = Lone(tmp_path, ruled(tmp_path, ACCEPTS)), now_ms()
    asked = Consult("r/1a1", "r", "i" * 64, "acme/client/client", "support.refund", {}, "", "client", "", "p", "", now, now)
    lone.say(asked, now - 1)
    lone.settle()
    (opinion,) = [body for body in lone.sent.values() if isinstance(body, Opinion)]
    assert (opinion.state, opinion.word) == ("expired", "") and not lone.of_kind(Hopped)
    lone.check()
