"""`verify --deep` finds a stop without its refusal, and one that counts what is not so."""

from mai.agents.events import Event, Hopped, HopRefused
from mai.agents.guards import GuardStopped
from mai.daemon.invariant_guards import Guarded
from mai.daemon.invariants import End, Notes

SUPPORT = "acme/support"


def hop(task: str, agent: str) -> Hopped:
    """A task is handed on."""
    return Hopped(
        request="R", task=task, parent="", sender="x", agent=agent, asker="", contract="", text="a", input={}, deadline_ms=9,
        hops=1, rule="",
    )  # fmt: skip


def stop(count: int = 3) -> GuardStopped:
    """The third time is stopped."""
    return GuardStopped(
        request="R", task="R/1.1.1.1", agent="b", guard="same", chain=(f"{SUPPORT}/a", f"{SUPPORT}/b", f"{SUPPORT}/a"),
        count=count, limit=3, why="it goes round",
    )  # fmt: skip


HOPS = (hop("R/1", "a"), hop("R/1.1", "b"), hop("R/1.1.1", "a"), hop("R/1.1.1.1", "b"))
REFUSED = HopRefused(request="R", task="R/1.1.1.1", sender="b", receiver="a", rule="it goes round")


def findings(*events: Event) -> list[str]:
    """What is wrong with a department's records."""
    notes = Notes()
    law = Guarded(SUPPORT, notes)
    for seq, event in enumerate(events, 1):
        if handler := law.handlers().get(event.kind):
            handler(seq, event)
    law.close(End(False, 0, 0))
    return [one.what for one in notes.findings]


def test_a_stop_that_is_so_breaks_no_law() -> None:
    """It counts the hops that are open, and what it stops is refused."""
    assert findings(*HOPS, stop(), REFUSED) == []


def test_a_stop_without_a_refusal_is_found() -> None:
    """What goes round has to be refused in the same commit."""
    (what,) = findings(*HOPS, stop())
    assert "nothing is refused because of it" in what


def test_a_stop_that_counts_too_much_is_found() -> None:
    """The records before it say how often it was."""
    assert "by the hops it is time 3" in findings(*HOPS, stop(4), REFUSED)[0]
    assert "without a reason" in findings(*HOPS, stop(2), REFUSED)[0]
