"""Judgement over random runs with crashes: read from the journals of worlds, and shown to find what is planted in them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import sim_judged, simulate
from tests.sim_judged import MAI, Facts
from tests.sim_world import World

WORLDS = 12  # each with some ten deaths


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A directory in memory."""
    with simulate.room() as directory:
        yield directory


def journals(seed: int, room: Path) -> Facts:
    """Those of a world that has come to rest, as their JSON."""
    found: Facts = {}

    def look(facts: Facts) -> Iterator[str]:
        found.update(facts)
        return iter(())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sim_judged, "check", look)
        World(seed, room).run()
    return found


@pytest.mark.seconds(120)
@settings(max_examples=WORLDS, deadline=None)
@given(st.integers(0, 1 << 32))
def test_what_judgement_promises_holds_over_random_runs_with_crashes(room: Path, seed: int) -> None:
    """No effect above a limit without its approval, none used twice or for another call, no answer on a lost claim."""
    facts = journals(seed, room)
    assert list(sim_judged.check(facts)) == []


# -- these checks see what they are for
class Row(NamedTuple):
    """As much of a record as they need."""

    seq: int
    kind: str
    request: str
    task: str


def fact(seq: int, kind: str, task: str = "r/1.1", **body: Any) -> tuple[Row, dict[str, Any]]:
    """One record."""
    return Row(seq, kind, task.partition("/")[0], task), {"task": task, "request": task.partition("/")[0], **body}


GIVEN = {"tool": "keyed", "input": {"cents": 101}}
ASKED = fact(1, "approval.asked", n=1, id="i", arguments="")
DECIDED = fact(2, "approval.decided", n=1, id="i", approved=True, who="person", by=["u"])
USED = fact(3, "approval.used", n=1, id="i")
INTENT = fact(4, "effect.intent", n=1, given=GIVEN)
VOTED = fact(1, "approval.voted", approval="i", approved=True, uid=7)


@pytest.mark.parametrize(
    ("finance", "mai", "found"),
    [
        ([ASKED, DECIDED, USED, INTENT], [VOTED], 0),
        ([INTENT], [], 1),
        ([ASKED, INTENT, DECIDED], [VOTED], 1),
        ([ASKED, DECIDED, USED, INTENT], [], 1),
        ([ASKED, DECIDED, USED, INTENT], [fact(1, "approval.voted", approval="i", approved=True, uid=0)], 1),
        ([ASKED, DECIDED, USED, USED], [VOTED], 1),
        ([ASKED, ASKED, DECIDED, USED], [VOTED], 1),
        ([DECIDED], [VOTED], 1),
        ([ASKED, DECIDED, fact(3, "approval.used", "r/1.2", n=1, id="i")], [VOTED], 1),
        ([ASKED, DECIDED, USED, fact(4, "effect.intent", n=1, given=GIVEN, approval="i")], [VOTED], 1),
    ],
)
def test_a_planted_approval_is_found(finance: Any, mai: Any, found: int) -> None:
    """Missing, too late, by nobody or by who has asked, used twice, asked for twice, for another step, for another input."""
    assert len(list(sim_judged.check({"acme/finance": finance, MAI: mai, "acme/stock": []}))) == found


def claim(ident: str, task: str, digest: str, state: str = "standing") -> tuple[Row, dict[str, Any]]:
    """One that Mai has noted."""
    return fact(1, "claim.noted", task, claim={"id": ident, "digest": digest, "state": state, "case": "c" * (state == "open")})


ONE, OTHER = claim("a", "r/1.1.m2.1", "x"), claim("b", "s/1", "y", "open")
OPENED = (Row(3, "case.opened", "c", ""), {"request": "c", "claims": ["a", "b"]})
RULED = (Row(4, "case.ruled", "c", ""), {"request": "c", "ruling": {"digest": "y"}})
WON = (Row(4, "case.ruled", "c", ""), {"request": "c", "ruling": {"digest": "x"}})
ENDED = fact(9, "request.ended", "r/1", parts=[{"state": "answered", "by": "acme/sales/x", "answer": "so"}])
AGAIN = fact(5, "answer.returned", "r/1", again="r/1c1")


@pytest.mark.parametrize(
    ("mai", "found"),
    [
        ([ONE, ENDED], 0),
        ([ONE, OTHER, OPENED, ENDED], 1),
        ([ONE, OTHER, OPENED, RULED, ENDED], 1),
        ([ONE, OTHER, OPENED, WON, ENDED], 0),
        ([ONE, OTHER, OPENED, RULED, AGAIN, ENDED], 0),
        ([ONE, OTHER, OPENED, RULED, fact(6, "contract.ended", "r/1.1.m2", state="failed"), ENDED], 0),
        ([claim("a", "r/11.1", "x"), OTHER, OPENED, RULED, ENDED], 0),
        ([ONE, OTHER, OPENED, WON, (Row(5, "case.appealed", "c", ""), {"request": "c"}), ENDED], 1),
    ],
)
def test_a_planted_answer_is_found(mai: Any, found: int) -> None:
    """On an open claim, a lost one, one that is open once more; not on what was done again since, nor on another part's."""
    assert len(list(sim_judged.check({MAI: mai}))) == found
