"""What happens to a request beside its tasks and steps: waits, costs, cases, restarts; no kind of record is forgotten."""

import importlib
import pkgutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

import mai.agents
import mai.daemon
from mai.agents.approval_records import ApprovalAsked, ApprovalDecided, ApprovalExpired
from mai.agents.cancelling import TaskCancelled, UndoDone, UndoIntent, UndoPlanned, UndoUnknown
from mai.agents.errand_messages import Inquiry, Usage
from mai.agents.escalation_messages import Escalate, Plea
from mai.agents.events import KINDS, Asked, Begun, Ended, Escalated, Hopped, Sent, Stepped
from mai.agents.fallback import FallbackSwitched
from mai.agents.messages import Task
from mai.agents.quarantine import TaskQuarantined, TaskReleased
from mai.agents.sealing import Sealed
from mai.agents.state import Undo
from mai.daemon import trace_errands, trace_notes, trace_waits
from mai.daemon.calling import AttemptBegun, AttemptEnded, CallTaken, TargetLeft
from mai.daemon.cancel import RequestCancelled
from mai.daemon.dispute import STANDING, Stand, Verdict
from mai.daemon.dispute_records import (
    CaseAppealed,
    CaseAsked,
    CaseExpired,
    CaseOpened,
    CaseReopened,
    CaseRuled,
    ClaimNoted,
)
from mai.daemon.escalations import EscalationAnswered, EscalationRaised
from mai.daemon.held import TaskHeld
from mai.daemon.otlp import FINE
from mai.daemon.pending import ApprovalVoted
from mai.daemon.records import ErrandChecked, ErrandEnded, RequestAccepted, RequestEnded
from mai.daemon.trace import UNREAD, trace
from mai.daemon.trace_folding import FOLDED, STOPPED
from mai.daemon.transcript_records import ModelRequest, ModelResponse
from mai.daemon.tree import COLOURS, LAPSED, OPEN, Node, Trace, render
from mai.sandbox.place import Place
from tests.wired import Wired, bare, write

MAI, SALES, MODELS = "acme/mai", "acme/sales", "acme/models"
OF: dict[str, Any] = {"request": "q1", "task": "q1/1", "agent": "board"}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A state directory where a test writes the journals itself."""
    place = bare(tmp_path, MAI, SALES, MODELS)
    write(place.ledger(MAI), MAI, RequestAccepted(request="q1", asker="acme/client", text="do it", accepted_ms=1, deadline_ms=2))
    write(place.ledger(SALES), SALES, hop())
    return place


def hop(request: str = "q1", task: str = "q1/1") -> Hopped:
    """A task for the board."""
    return Hopped(
        request=request, task=task, parent="", sender="mai", agent="board", asker="acme/client", contract="", text="do it",
        input={}, deadline_ms=1, hops=9, rule="it may",
    )  # fmt: skip


def board(found: Trace) -> Node:
    """The one task."""
    (node,) = found.tasks
    return node


def test_each_kind_of_record_has_its_place() -> None:
    """Whatever names a request is folded into its tree, told in words, or passed over for a reason that is written down."""
    for package in (mai.agents, mai.daemon):
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    known = {kind for kind, type_ in KINDS.items() if "request" in {field.name for field in msgspec.structs.fields(type_)}}
    placed = [*FOLDED, *STOPPED, *trace_notes.NOTES, *trace_notes.PASSED, *trace_errands.KINDS, *trace_waits.KINDS]
    assert sorted(placed) == sorted(known)


def approval(**given: Any) -> ApprovalAsked:
    """A refund waits."""
    return ApprovalAsked(
        **OF, n=1, id="a1", call="tool", name="sales.refund", given={"input": {"cents": 5}}, arguments="d", organisation="o",
        verdict="person", clause="large", policies="p", why="refunds above 3 cents", at_ms=1, expires_ms=9, **given,
    )  # fmt: skip


def test_an_approval_is_a_wait_until_it_is_decided(place: Place) -> None:
    """Who approved, with which words, and how long that took; and who voted stands at Mai."""
    write(place.ledger(SALES), SALES, approval())
    assert [(step.call, step.state, step.ms) for step in board(trace(place, "q1")).steps] == [("approval", "open", None)]
    decided = ApprovalDecided(**OF, n=1, id="a1", approved=True, who="person", by=("ann (1000)",), note="as agreed")
    write(place.ledger(SALES), SALES, decided)
    voted = ApprovalVoted(**OF, approval="a1", approved=True, user="ann", uid=1000, role="operator", last=True, at_ms=1)
    write(place.ledger(MAI), MAI, voted)
    node = board(trace(place, "q1"))
    (step,) = node.steps
    assert step.ms is not None and (step.what, step.state, step.by) == ("sales.refund cents=5", "approved", "ann (1000)")
    assert step.note == "approved by ann (1000): as agreed" and step.record == "acme/sales:3"
    assert [(note.what, note.record) for note in node.notes] == [("approval", "acme/mai:2")]
    assert "approval sales.refund cents=5 → approved by ann (1000): as agreed" in render(trace(place, "q1"))


def test_an_approval_that_nobody_gave(place: Place) -> None:
    """Once it has expired it is over, and a decision that comes after that changes nothing."""
    late = ApprovalDecided(**OF, n=1, id="a1", approved=True, who="person", by=("ann",), late="it had expired")
    write(place.ledger(SALES), SALES, approval(), ApprovalExpired(**OF, n=1, id="a1", why="its time was over"), late)
    (step,) = board(trace(place, "q1")).steps
    assert (step.state, step.note, step.record) == ("expired", "its time was over", "acme/sales:3")


def test_a_person_is_waited_for(place: Place) -> None:
    """What went up to a person stands with the task that waited, from the question to the answer."""
    plea = Plea("acme/sales/board", "no receipt", "choice")
    asks = Escalate("q1/1.e0", "q1", "q1/1", "acme/client", "", "do it", {}, plea, 9)
    write(place.ledger(SALES), SALES, Escalated(**OF, reason="no receipt", cause="choice", to="mai"))
    raised = EscalationRaised(**OF, process=SALES, id="q1/1.e0", at_ms=1, due_ms=9, body=asks)
    answered = EscalationAnswered(
        request="q1", task="q1/1", id="q1/1.e0", state="answered", text="pay it", by="ann", uid=1, role="operator", at_ms=2
    )
    write(place.ledger(MAI), MAI, raised, answered)
    node = board(trace(place, "q1"))
    assert [(step.call, step.state, step.note, step.by) for step in node.steps] == [("escalation", "answered", "pay it", "ann")]
    assert [(note.what, note.text) for note in node.notes] == [("escalation", "given up to mai: no receipt")]


def test_a_held_task_waits_until_it_goes(place: Place) -> None:
    """While its department takes nothing a task waits at Mai, and that is seen."""
    body = Task("q1/1", "q1", "acme/client", "", "do it", {}, 3)
    held = TaskHeld(request="q1", task="q1/1", to=SALES, deadline_ms=9, body=body)
    write(place.ledger(MAI), MAI, held, Sent(to=SALES, lseq=1, id="q1/1", request="q1", task="q1/1", deadline_ms=9, body=body))
    (step,) = board(trace(place, "q1")).steps
    assert (step.call, step.what, step.state, step.record) == ("held", "sales takes no tasks", "done", "acme/mai:3")


def test_what_models_took_stands_with_who_asked(place: Place) -> None:
    """Tries, tokens and costs of a question belong to its step, its task and the request; a failed provider is named."""
    asked = {"model": "small", "inquiry": {"messages": ["0" * 64], "size": 9}}
    write(
        place.ledger(SALES), SALES, Begun(**OF, attempt=1, code="c0de"), Asked(**OF, n=2, call="model", given=asked),
        Stepped(**OF, n=2, call="model", value={"answer": "", "by": "b/two", "usage": {"input_tokens": 7}, "notes": []}),
        Ended(**OF, state="answered", text="done"),
    )  # fmt: skip
    errand: dict[str, Any] = {"request": "q1", "task": "q1/1.m2"}
    usage = Usage(7, 5, 1_500_000)
    checked = ErrandChecked(
        **errand, agent="acme/sales/board", asking=SALES, service="models", what="small", allowed=True, rule="it may",
        deadline_ms=9,
    )  # fmt: skip
    write(place.ledger(MAI), MAI, checked, ErrandEnded(**errand, state="answered", by="b/two", usage=usage))
    call: dict[str, Any] = {**errand, "agent": "acme/sales/board"}
    write(
        place.ledger(MODELS), MODELS,
        CallTaken(
            **call, peer=SALES, model="small", inquiry=Inquiry(("0" * 64,), 9), input_tokens=9, output_tokens=9, deadline_ms=9
        ),
        AttemptBegun(**call, n=1, provider="a", model="one", bound=usage, at_ms=1),
        ModelRequest(**call, n=1, url="http://a/v1", digest="0" * 64, size=9),
        ModelResponse(**call, n=1, record=4, status=503, digest="0" * 64, size=9),
        AttemptEnded(**call, n=1, why="status 503", at_ms=2), TargetLeft(**call, why="a/one is given up"),
        AttemptBegun(**call, n=2, provider="b", model="two", bound=usage, at_ms=3),
        AttemptEnded(**call, n=2, answer="0" * 64, usage=usage, at_ms=4),
    )  # fmt: skip
    found = trace(place, "q1")
    (step,) = board(found).steps
    assert (step.by, step.input_tokens, step.output_tokens, step.cost_nano) == ("b/two", 7, 5, 1_500_000)
    assert [(one.who, one.why, one.tokens) for one in step.tries] == [("a/one", "status 503", 0), ("b/two", "", 12)]
    assert (step.tries[0].request, step.tries[0].url, step.tries[0].status) == ("acme/models:3", "http://a/v1", 503)
    assert (board(found).tokens, found.tokens, found.cost_nano) == (12, 12, 1_500_000)
    assert [note.text for note in board(found).notes] == ["a/one is given up"]
    assert "(tried: a/one: status 503)" in render(found) and "12 tokens of models for 0.0015" in render(found)


def test_what_mai_asks_a_model_is_hers(place: Place) -> None:
    """The wording of the answer is no task's: it stands with the request."""
    errand: dict[str, Any] = {"request": "q1", "task": "q1/wording"}
    checked = ErrandChecked(
        **errand, agent=MAI, asking=MAI, service="models", what="small", allowed=True, rule="it may", deadline_ms=9
    )
    ended = ErrandEnded(**errand, state="answered", by="b/two", usage=Usage(3, 4))
    write(place.ledger(MAI), MAI, checked, ended)
    found = trace(place, "q1")
    assert [(step.call, step.what, step.by) for step in found.steps] == [("model", "small", "b/two")] and found.tokens == 7
    assert "model small → b/two" in render(found)


def test_a_case_stands_with_the_request_whose_claim_is_in_it(place: Place) -> None:
    """Its opening, its boards' tasks and its ruling are shown behind the request's own tasks."""
    stand = Stand("q1/1/1", SALES, "acme/sales/board", "board", "q1", "customer 1", "credit", "d1", 1.0, 0, 9, 1, STANDING)
    noted = ClaimNoted(**OF, claim=msgspec.structs.replace(stand, state="open", case="k1"))
    opened = CaseOpened(request="k1", subject="customer 1", attribute="credit", claims=("q0/1/1", "q1/1/1"), of="q1", at_ms=1)
    ruling = Verdict("q1/1/1", ("q0/1/1",), "d1", ("d0",), "precedence", "sales knows", MAI, 9, 2)
    asked = CaseAsked(request="k1", owner="boards", tasks={"k1/1": "sales"}, deadline_ms=9, at_ms=1)
    write(place.ledger(MAI), MAI, noted, opened, asked, CaseRuled(request="k1", ruling=ruling))
    write(place.ledger(SALES), SALES, hop("k1", "k1/1"))
    found = trace(place, "q1")
    (case,) = found.cases
    assert (case.request, case.text, case.state) == ("k1", "customer 1 credit", "ruled") and case.started_ms > 0
    assert [note.record for note in case.notes] == ["acme/mai:3", "acme/mai:4", "acme/mai:5"]
    assert [node.task for node in case.tasks] == ["k1/1"] and [note.what for note in board(found).notes] == ["conflict"]
    assert "case k1: customer 1 credit" in render(found) and "q1/1/1 has won against q0/1/1" in render(found)


def test_a_case_stands_as_its_last_record_says(place: Place) -> None:
    """A ruling that is appealed against or contradicted leaves it open, without an end; one not valid any more has lapsed."""
    stand = Stand("q1/1/1", SALES, "acme/sales/board", "board", "q1", "customer 1", "credit", "d1", 1.0, 0, 9, 1, STANDING)
    noted = ClaimNoted(**OF, claim=msgspec.structs.replace(stand, state="open", case="k1"))
    opened = CaseOpened(request="k1", subject="customer 1", attribute="credit", claims=("q0/1/1", "q1/1/1"), of="q1", at_ms=1)
    ruled = CaseRuled(request="k1", ruling=Verdict("q1/1/1", ("q0/1/1",), "d1", ("d0",), "precedence", "so", MAI, 9, 2))
    appealed = CaseAppealed(request="k1", by="ann", why="no", at_ms=3)
    reopened = CaseReopened(request="k1", claim="q1/1/2", at_ms=4)
    expired = CaseExpired(request="k1", at_ms=5, why="the ruling was valid until now")
    write(place.ledger(MAI), MAI, noted)
    for event, state in (
        (opened, OPEN), (ruled, "ruled"), (appealed, OPEN), (ruled, "ruled"), (reopened, OPEN), (expired, LAPSED), (opened, OPEN),
        (ruled, "ruled"), (expired, LAPSED),
    ):  # fmt: skip
        write(place.ledger(MAI), MAI, event)
        (case,) = trace(place, "q1").cases
        assert (case.state, case.ms is None) == (state, state == OPEN), event.kind
    assert LAPSED in COLOURS and LAPSED in FINE


def test_records_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    """A sound run has no such note; of one that was changed the tree says whose records it lacks, and how many."""
    company = Wired(tmp_path).asked("r1").close().place
    assert not [note for note in trace(company, "r1").notes if note.what == "cut"]
    with closing(sqlite3.connect(company.ledger(SALES))) as db:
        db.execute("DROP TRIGGER journal_update")
        db.execute("UPDATE journal SET body = '{}' WHERE seq IN (SELECT seq FROM journal WHERE request = 'r1' LIMIT 2)")
        db.commit()
    assert [note.text for note in trace(company, "r1").notes if note.what == "cut"] == [f"2 records of {SALES} {UNREAD}"]
    assert f"! 2 records of {SALES} cannot be read" in render(trace(company, "r1"))


def test_seals_are_named_for_replay(place: Place) -> None:
    """The end of a task leads to the seal of that decision."""
    ended = Ended(**OF, state="answered", text="done")
    sealed = Sealed(request="q1", task="q1/1", agent="board", what="answer", record=2, digest="0", context="1")
    write(place.ledger(SALES), SALES, ended, sealed)
    found = trace(place, "q1")
    assert (board(found).ended, board(found).decision, found.decisions) == ("acme/sales:2", "acme/sales:3", 1)


def test_restarts_of_mai_are_counted(place: Place) -> None:
    """That Mai herself died meanwhile stands with the whole."""
    switched = FallbackSwitched(request="q1", task="q1/1", what="contract", name="a.x", to="b.x", evidence="it failed")
    write(place.ledger(MAI), MAI, switched)
    write(place.ledger(MAI), MAI, RequestEnded(request="q1", state="failed", answer="no", parts=(), elapsed_ms=1))
    found = trace(place, "q1")
    assert found.restarts == 2 and "Mai was restarted 2 times" in render(found)
    assert [note.what for note in board(found).notes] == ["fallback"] and found.ended == "acme/mai:3"


def test_what_was_stopped_and_undone_is_told(place: Place) -> None:
    """A cancelled request: by whom, who has stopped, and each effect with what came of undoing it."""
    undo: dict[str, Any] = {**OF, "key": "u", "effect": "idempotent"}
    write(
        place.ledger(SALES), SALES, TaskCancelled(**OF, by="ann"),
        UndoPlanned(request="q1", effects=(Undo(**OF, n=3, key="k3", tool="pay", state="impossible", note="it has none"),)),
        UndoIntent(**undo, n=1, undoes="k1", tool="unpay"), UndoDone(**OF, n=1, key="u", undoes="k1", tool="unpay"),
        UndoUnknown(**OF, n=2, key="u", undoes="k2", tool="unship", why="it died"),
    )  # fmt: skip
    write(place.ledger(MAI), MAI, RequestCancelled(request="q1", by="ann", reason="twice", at_ms=1))
    found = trace(place, "q1")
    assert [(step.what, step.state, step.note) for step in board(found).steps] == [
        ("unpay k1", "done", ""), ("unship k2", "in doubt", "it died"),
    ]  # fmt: skip
    assert [note.text for note in board(found).notes] == ["stopped by ann", "pay is not undone: it has none"]
    assert [note.text for note in found.notes] == ["cancelled by ann: twice"]


def test_what_left_the_quarantine_runs_again(place: Place) -> None:
    """Steps that are begun anew go from the tree; who has let it out, and why, stands there."""
    stepped = Stepped(**OF, n=1, call="tool", given={"tool": "pay"}, value=1)
    released = TaskReleased(**OF, how="retry", by="ann", why="repaired", again=(1,))
    write(place.ledger(SALES), SALES, stepped, TaskQuarantined(**OF, attempts=3), released)
    node = board(trace(place, "q1"))
    assert node.steps == [] and [note.text for note in node.notes] == [
        "put into quarantine after 3 deaths of the process", "retry from quarantine by ann: repaired",
    ]  # fmt: skip
