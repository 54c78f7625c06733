"""`verify --deep` finds a hand-over without a successor, one that comes twice, and one of what has begun an effect."""

import msgspec

from mai.agents.duty import TaskHanded
from mai.agents.events import EffectIntent, Event
from mai.agents.handover import Handover
from mai.daemon.invariant_shifts import Handed
from mai.daemon.invariants import End, Notes
from tests.test_invariant_guards import hop

HOP = hop("R/1.1", "a")
HANDED = TaskHanded(request="R", task="R/1.1", agent="a", to="b", successor="R/1.2", why="a is not on", at_ms=5)
NEXT = msgspec.structs.replace(hop("R/1.2", "b"), handover=Handover("acme/support/a", "a is not on", 5))
EFFECT = EffectIntent(request="R", task="R/1.1", agent="a", n=1, key="k", tool="pay", effect="opaque", given={})


def findings(*events: Event) -> list[str]:
    """What is wrong with a department's records."""
    notes = Notes()
    law = Handed("acme/support", notes)
    for seq, event in enumerate(events, 1):
        if handler := law.handlers().get(event.kind):
            handler(seq, event)
    law.close(End(False, 0, 0))
    return [one.what for one in notes.findings]


def test_a_task_that_changes_hands_once_breaks_no_law() -> None:
    """Its successor has it in the same commit."""
    assert findings(HOP, HANDED, NEXT) == []


def test_what_is_wrong_with_a_hand_over_is_found() -> None:
    """Nobody gets it, somebody gets it whom nobody gave it, it goes twice, or an effect was begun for it."""
    assert "b does not get it" in findings(HOP, HANDED)[0]
    assert "and it is not" in findings(HOP, NEXT)[0]
    assert any("has handed over" in one for one in findings(HOP, HANDED, NEXT, HANDED, NEXT))
    assert "has begun an effect" in findings(HOP, EFFECT, HANDED, NEXT)[0]
