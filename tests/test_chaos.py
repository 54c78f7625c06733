"""The chaos campaign in short: faults of every kind strike a real company; nothing is lost or done twice, or it is seen."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos_books import Audit
from tests.chaos_campaign import MIXED, Played, play
from tests.chaos_faults import KINDS, NEED_STRACE
from tests.chaos_report import table
from tests.chaos_strace import missing
from tests.conftest import state_directory

KILLS, OTHERS = 30, 3


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    """A round of all kinds of faults; what cannot be traced here dies in other ways."""
    kinds = [name for name in KINDS if not missing() or name not in NEED_STRACE]
    with state_directory() as room:
        yield play(MIXED, "short", room / "r", lambda done: done.kills >= KILLS and done.others >= OTHERS, kinds)


def test_killed_stopped_and_failing_processes_lose_nothing_and_repeat_nothing(played: Played) -> None:
    """Some dozens of deaths at points, system calls, in pairs, in recovery: each request answered once, each effect done once."""
    assert played.round.violations == []
    assert played.round.decisions > played.round.requests
    assert played.round.kills >= KILLS and sum(played.round.states.values()) == played.round.requests > 0


def test_each_kind_of_fault_has_struck(played: Played) -> None:
    """No kind has come to nothing. What needs strace is left out where that may not trace."""
    assert set(played.round.faults) == {name for name in KINDS if not missing() or name not in NEED_STRACE}


def test_the_points_are_reached_by_what_a_request_goes_through(played: Played) -> None:
    """Each named point was passed, but for those of undoing, which need a request cancelled in time, and those of a spool.

    The company of this campaign has no channel, rotates nothing and erases nobody: test_spool.py, test_rotation.py,
    test_retention.py and test_erasing_worlds.py have deaths there.
    """
    assert played.round.turned > 0
    unreached = [point for point, count in played.round.points.items() if not count]
    assert [point for point in unreached if not point.startswith(("undo.", "spool.", "rotation.", "retention.", "erase."))] == []


def test_what_happens_once_more_or_not_at_all_is_seen(played: Played, tmp_path: Path) -> None:
    """The audit finds a call that the bank has twice, one that it has not, and one that nobody has put on record."""
    place, lines = played.company.place, played.company.bank.read_text().splitlines()
    opaque = next(line for line in lines if " take_opaque " in line or " take_queryable " in line)
    bank = tmp_path / "bank"
    for wrong, said in (
        ([*lines, opaque], "happened 2 times"),
        ([line for line in lines if line != opaque], "happened 0 times"),
        ([*lines, opaque.replace(opaque.split()[0], "T0/9/9")], "without an intent"),
    ):
        bank.write_text("\n".join(wrong) + "\n")
        faults = Audit(place, bank, played.askers).faults
        assert any(said in fault for fault in faults) and any("was answered, the bank did" in fault for fault in faults)


def test_another_answer_than_the_one_on_record_is_seen(played: Played) -> None:
    """An asker who was told something else, or nothing, is a violation."""
    request, told = next(iter(played.askers.answers.items()))
    try:
        played.askers.answers[request] = {**told, "answer": "Yes."}
        faults = Audit(played.company.place, played.company.bank, played.askers).faults
        assert any("its asker was told" in fault for fault in faults)
    finally:
        played.askers.answers[request] = told


def test_the_table_has_a_row_for_each_kind_and_each_point(played: Played) -> None:
    """With all figures; the violations stand in the last column."""
    text = table([played.round], "short", 1.0)
    assert f"{MIXED} " in text and all(f"\n{point} " in text for point in played.round.points)
    assert text.endswith(": 0 violations")
