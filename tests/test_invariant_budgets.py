"""`verify --deep` finds what was taken beyond a grant, and a stop that refuses nothing."""

import msgspec

from mai.agents.allowance import BudgetStopped, ToolCounted
from mai.agents.amounts import Amounts
from mai.agents.events import Event, Hopped, HopRefused
from mai.daemon.granting import BudgetGranted, BudgetReturned
from mai.daemon.invariant_budgets import Budgeted
from mai.daemon.invariants import End, Notes
from tests.test_invariant_guards import hop

TOP = msgspec.structs.replace(hop("R/1", "board"), sender="mai", allow=Amounts(2, 10, 1))
HOPS = tuple(msgspec.structs.replace(hop(f"R/1{'.1' * n}", "a"), parent=f"R/1{'.1' * (n - 1)}") for n in (1, 2, 3))
CALL = ToolCounted(request="R", task="R/1.1", agent="a", n=1)
GRANT = BudgetGranted(request="R", task="R/1", to="acme/x", allow=Amounts(2, 10, 1))
STOP = BudgetStopped(request="R", task="R/1.1", agent="a", what="hops", scope="request", limit=2, used=2, why="it is spent")
REFUSED = HopRefused(request="R", task="R/1.1", sender="a", receiver="b", rule="it is spent")


def findings(*events: Event) -> list[str]:
    """What is wrong with records."""
    notes = Notes()
    law = Budgeted("acme/support", notes)
    for seq, event in enumerate(events, 1):
        if handler := law.handlers().get(event.kind):
            handler(seq, event)
    law.close(End(False, 0, 0))
    return [one.what for one in notes.findings]


def test_what_was_granted_may_be_taken() -> None:
    """All of it, and a stop beyond it is refused."""
    assert isinstance(TOP, Hopped)
    assert findings(TOP, *HOPS[:2], CALL, STOP, REFUSED, GRANT, BudgetReturned(request="R", task="R/1", used=Amounts(2))) == []


def test_more_than_was_granted_is_found() -> None:
    """Of hops, and of calls of tools, here and as it comes back to Mai."""
    assert "one more of the hops" in findings(TOP, *HOPS)[0]
    assert "one more of the tool_calls" in findings(TOP, *HOPS[:1], CALL, CALL)[0]
    assert "more used" in findings(GRANT, BudgetReturned(request="R", task="R/1", used=Amounts(3)))[0]
    assert "once more" in findings(GRANT, GRANT)[0]


def test_a_stop_that_is_none_is_found() -> None:
    """It refuses something, and the budget is spent."""
    assert "nothing is refused" in findings(TOP, STOP)[0]
    assert "at 1 of 2 hops" in findings(TOP, msgspec.structs.replace(STOP, used=1), REFUSED)[0]
