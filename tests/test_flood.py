"""One department floods its Mai, with its own key: the others are answered, the flood is refused and on record."""

import re
from pathlib import Path

import pytest

from mai.daemon.bench_flood import LOUD, WITH_LOUD, flooding, measured, refusals, render
from mai.daemon.bench_messages import NAMES, ORGANISATION, Sub
from mai.daemon.flooder import KINDS
from mai.daemon.verify import verify
from tests.small import ORGANISATION as ORDINARY
from tests.small import Daemon, until

REASONS = {"asks": "too fast|crowded", "memory": "too fast|crowded", "strangers": "unknown key"}  # the rest: too fast

WORDS = ("hellos", "notices", "malformed")  # which it sends on and on, also when it is not heard


@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_others_are_answered_while_one_floods(kind: str, tmp_path: Path) -> None:
    """Whatever it floods with, all of theirs crosses both ways, and Mai's journal says whom she refused, in a few records."""
    with Sub(tmp_path, WITH_LOUD) as sub:
        found = measured(sub, kind, rounds=2, trips=40)
        said = refusals(sub.place)
    assert found.trips == 80
    assert {one.peer for one in said if re.fullmatch(REASONS.get(kind, "too fast"), one.why)} == (
        {""} if kind == "strangers" else {LOUD}
    )
    assert not [one for one in said if one.peer in NAMES]
    assert {one.peer for one in said if one.why == "flood" and "cut off" in one.detail} == ({LOUD} if kind in WORDS else set())
    assert found.sent > 10 * len(said)  # a flood of refusals is no flood of the journal
    assert kind in render(found)
    assert not [one for one in verify(sub.place, NAMES, state=True).findings if one.process in NAMES]  # the flood keeps no ledger


def test_who_was_cut_off_is_heard_again(tmp_path: Path) -> None:
    """When its time is over, Mai answers its Hello."""
    with Sub(tmp_path, WITH_LOUD) as sub:
        with flooding(sub.place, "hellos"):
            until(lambda: "flood" in {one.why for one in refusals(sub.place)}, "it is cut off")
        with flooding(sub.place, "asks") as count:
            pass  # it has begun, which it does with what Mai answers to its Hello
        assert count() > 0


def test_who_keeps_to_the_rules_loses_nothing_by_being_too_fast(tmp_path: Path) -> None:
    """A department whose asks are above its pace is held back, told so, and sends them again: each is answered, once."""
    slow = ORGANISATION.replace("asks_per_s = 1000000", "asks_per_s = 20")
    with Sub(tmp_path, slow) as sub:
        block = sub.block(160, 64)
        said = refusals(sub.place)
    assert len(block.trips_ms) == 160
    assert {(one.peer, one.why) for one in said} == {(NAMES[1], "too fast")}
    assert verify(sub.place, NAMES, state=True).sound


def test_the_flood_that_floods_nobody_is_there_to_compare(tmp_path: Path) -> None:
    """Mai refuses nothing of it, because she hears nothing of it."""
    with Sub(tmp_path, WITH_LOUD) as sub:
        found = measured(sub, KINDS[0], rounds=1, trips=20)
    assert found.sent > 0 and found.refused == 0 and KINDS[0] in render(found)


LOUD_ONE = """
[departments.loud]
charter = "Shouts."
[[departments.loud.agents]]
name = "shouter"
rank = "operator"
charter = "Shouts."
skills = ["shouting"]
handler = "small.py:shouter"
[[departments.loud.contracts]]
name = "shout"
about = "Shout"
served_by = "shouter"
may_ask = ["client"]
request = { n = "int" }
reply = { n = "int" }
phrases = ["shout {n}"]
"""
SHOUTER = """
import os, threading, time
from mai.daemon.flooder import Flooder
from mai.sandbox.place import Place


def shout():
    for sent in Flooder(Place(os.environ["MAI_STATE"], os.environ["MAI_RUN"]), "acme/loud").flood("hellos"):
        time.sleep(0 if sent else 0.01)


async def shouter(ctx, task):
    threading.Thread(target=shout, daemon=True).start()
    return Answer("Shouting.", {"n": 1})
"""


def test_who_floods_without_end_is_stopped(state: Path) -> None:
    """A department whose code floods is cut off, and then given up; the others work, and an operator can start it again."""
    daemon = Daemon(state, ORDINARY + LOUD_ONE)
    with (daemon.file.parent / "small.py").open("a") as code:
        code.write(SHOUTER)
    try:
        daemon.up()
        before = daemon.pids()
        daemon.ask("Shout 7", "r1")
        until(lambda: daemon.status()["acme/loud"]["state"] == "failed", "it is given up")
        whats = [one["what"] for one in daemon.status()["acme/loud"]["incidents"]]
        assert whats == ["floods", "death", "failed"]
        assert daemon.ask("Refund order 7", "r2")["state"] == "answered"
        assert {**daemon.pids(), "acme/loud": before["acme/loud"]} == before
        assert daemon.mai("reset", "acme/loud").returncode == 0
        until(daemon.ready, "ready")
    finally:
        daemon.mai("down")
