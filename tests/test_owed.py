"""`mai owed`: each kind of what is open is shown with who has it and until when; and what has neither is found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from mai.agents.approval_messages import Approval
from mai.agents.messages import Task
from mai.agents.order_messages import Cancelled, Doubt
from mai.agents.state import Approving, Parked, Quarantined, Work
from mai.daemon.cases import RemedyOrder
from mai.daemon.desk import Cancellation, Doubtful, Errand, Held, Passage, ReleaseOrder, Request
from mai.daemon.dispute import Case
from mai.daemon.owed import LOOK_MS, SOON_MS, TABLE, Owed, late, owed, ownerless
from mai.daemon.parking import Row
from mai.daemon.pending import Ask, Pending
from mai.daemon.records import PartAnswer, PartPlan
from mai.daemon.threads import Carry, Thread
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place
from tests.test_escalations import escalate

MAI, ME = "acme/mai", "acme/support"
PART = PartPlan("support", "do it", "", {}, "")
SAID = PartAnswer("sales", "", "answered", "", {}, "", "", ())
BODY = Task("R/1", "R", "acme/client", "", "do it", {}, 3)
DOUBT = Doubt("R/1.1/1", "R", "R/1.1", "acme/support/desk", "pay", "opaque", {}, 5, "killed", 1, 0, ended=True)
APPROVAL = Approval(
    "A", "R", "R/1.1", 1, "acme/support/desk", "tool", "support.pay", {}, "d", "o", "large", "p", at_ms=5, expires_ms=99
)
ASKED = Approving("B", "support.refund", "d", "o", "large", "p", "", 5, 99)
WORK = Work("R/1.1", "R", "R/1", 0, "board", "coordinator", "acme/client", "", "do it", {}, 70, 3, since_ms=5)
ROWS: list[tuple[str, str, str, Any, list[Owed]]] = [
    (
        MAI, "request", "R", Request("R", "acme/client", "do it", 5, 60, False, (PART, PART), {"R/2": SAID}),
        [Owed("request", "R", MAI, MAI, "acme/client", "do it", 5, 60), Owed("part", "R/1", MAI, ME, MAI, "do it", 5, 60)],
    ),
    (
        MAI, "passage", "R/1.m1", Passage("R/1.m1", "R", ME, "sales.pipeline", 50),
        [Owed("passage", "R/1.m1", MAI, "acme/sales", ME, "sales.pipeline", 0, 50)],
    ),
    (
        MAI, "errand", "R/1.m2", Errand("R/1.m2", "R", ME, "models", 40),
        [Owed("errand", "R/1.m2", MAI, "acme/models", ME, "a question to models", 0, 40)],
    ),
    (
        MAI, "waiting", "R/1", Held("R/1", "R", ME, 30, BODY, 1),
        [Owed("held task", "R/1", MAI, ME, MAI, "waits until its department takes tasks", 0, 30)],
    ),
    (
        MAI, "doubt", "R/1.1/1", Doubtful(ME, "i", 7, DOUBT),
        [Owed("effect in doubt", "R/1.1/1", MAI, "person", "acme/support/desk", "pay", 7, 7 + LOOK_MS)],
    ),
    (
        MAI, "approval", "A", Pending(ME, "i", 1, "", -1, APPROVAL),
        [Owed("approval", "A", MAI, "person (operator)", "acme/support/desk", "tool support.pay", 5, 99)],
    ),
    (
        MAI, "ask", "R/1", Ask("R/1", "R", "support.refund", {}, "ann", 7, ASKED),
        [Owed("approval", "B", MAI, ME, "acme/client", "ask support.refund", 5, 52)],
    ),
    (MAI, "ask", "R/2", Ask("R/2", "R", "support.refund", {}, "ann", 7, replace(ASKED, at="person")), []),
    (
        MAI, "escalation", "E", Row(ME, 5, 80, escalate()),
        [Owed("escalation", "E", MAI, "person", "acme/support/clerk", "too hard", 5, 80)],
    ),
    (MAI, "escalation", "F", Row(ME, 5, 80, escalate(), "answered"), []),
    (
        MAI, "conflict", "case-1", Case("case-1", "c/1", "risk", 5, owner="boards", deadline_ms=80, tasks={"case-1/1": "sales"}),
        [Owed("case", "case-1", MAI, "acme/sales", MAI, "c/1 risk: which claim stands", 5, 80)],
    ),
    (
        MAI, "conflict", "case-2", Case("case-2", "c/1", "risk", 5, owner="person", deadline_ms=80),
        [Owed("case", "case-2", MAI, "person", MAI, "c/1 risk: which claim stands", 5, 80)],
    ),
    (
        MAI, "cancel", "R", Cancellation("R", "ann", "", "o", 5, (ME, "acme/sales"), {"acme/sales": Cancelled("R", ())}),
        [Owed("cancellation", "R", MAI, ME, "ann", "stops R", 5, 5 + SOON_MS)],
    ),
    (
        MAI, "release", "0000000000aXX", ReleaseOrder("0000000000aXX", ME, "R", "R/1", "retry", "ann"),
        [Owed("release", "0000000000aXX", MAI, ME, "ann", "lets R/1 out of quarantine", 10, 10 + SOON_MS)],
    ),
    (
        MAI, "remedy", "r", RemedyOrder("r", "R", "acme/operations", "acme/operations/medic", "restart", ME, {}, "", 90),
        [Owed("remedy", "r", MAI, "watchdog", "acme/operations/medic", f"restart {ME}", 0, 90)],
    ),
    (
        MAI, "carry", "c", Carry("m", "mail/ann", 1, "answer", "Yes.", "", "", 5),
        [Owed("channel message", "m", MAI, MAI, "mail/ann", "Yes.", 5, 5 + SOON_MS)],
    ),
    (
        MAI, "thread", "mail/ann", Thread("mail/ann", 3, "m1", 60, ("m2", "m3"), 5),
        [Owed("message", name, MAI, MAI, "mail/ann", f"its turn, as number {n}", 5, 60) for n, name in ((1, "m2"), (2, "m3"))],
    ),
    (
        ME, "task", "R/1.1", WORK,
        [Owed("task", "R/1.1", ME, "acme/support/coordinator", "acme/support/board", "do it", 5, 70)],
    ),
    (
        ME, "parked", "R/1.1/0", Parked("R/1.1", 0, "desk", 60, 70, 5),
        [Owed("shift", "R/1.1/0", ME, "acme/support/desk", ME, "waits until somebody is on for desk", 5, 60)],
    ),
    (
        ME, "quarantine", "R/1.1", Quarantined(WORK, (), (), 5),
        [Owed("quarantine", "R/1.1", ME, "person", "acme/support/coordinator", "run it again, or drop it", 5, 5 + LOOK_MS)],
    ),
]  # fmt: skip
Put = Callable[[str, str, str, Any], None]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A state directory."""
    return Place(tmp_path / "s", run=tmp_path / "r")


def put(place: Place, rows: list[tuple[str, str, str, Any]]) -> None:
    """Ledgers with these rows of state."""
    for process in dict.fromkeys(process for process, *_ in rows):
        place.home(process).mkdir(parents=True, exist_ok=True)
        ledger = Ledger(place.home(process) / "ledger.db", process)
        for one, noun, key, value in rows:
            if one == process:
                ledger.save(noun, key, msgspec.json.encode(value))
        ledger.append("process.stopped", b'{"why": "done"}')
        ledger.commit()
        ledger.close()


@pytest.mark.parametrize("row", ROWS, ids=[f"{noun} {key}" for _, noun, key, *_ in ROWS])
def test_each_kind(place: Place, row: tuple[str, str, str, Any, list[Owed]]) -> None:
    """Who owes it to whom, what, and by when; with an owner and a deadline always."""
    *stored, expected = row
    put(place, [tuple(stored)])
    assert sorted(owed(place), key=lambda one: one.kind, reverse=True) == expected
    assert ownerless(owed(place)) == []


def test_all_kinds_are_tried() -> None:
    """A line of the table without a row here is not tried."""
    assert {kind.noun for kind in TABLE} == {noun for _, noun, *_ in ROWS}


def test_in_order_of_their_deadlines_and_of_one_client(place: Place) -> None:
    """What is due first comes first; of all clients, or of one."""
    put(place, [(process, noun, key, value) for process, noun, key, value, _ in ROWS])
    put(place, [("beta/mai", "request", "B", Request("B", "beta/client", "x", 1, 65, False))])
    found = owed(place)
    assert [one.due_ms for one in found] == sorted(one.due_ms for one in found)
    assert [one.id for one in owed(place, "beta")] == ["B"] and len(found) == len(owed(place, "acme")) + 1
    assert [one.due_ms for one in late(found, 50)] == [30, 40, 50]


def test_what_is_parked_without_an_owner_or_a_deadline_is_found(place: Place) -> None:
    """Nothing may wait for nobody, or for ever."""
    put(place, [
        (MAI, "passage", "R/1.m1", Passage("R/1.m1", "R", ME, "sales.pipeline", 0)),
        (MAI, "waiting", "R/1", Held("R/1", "R", "", 30, BODY, 1)),
    ])  # fmt: skip
    assert [one.what for one in ownerless(owed(place))] == [
        "the passage R/1.m1 has no deadline", "the held task R/1 has no owner"
    ]  # fmt: skip
