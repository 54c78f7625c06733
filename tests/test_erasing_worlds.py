"""A person's values are erased in seeded worlds, whoever dies on the way: nothing of them is left, and all else is as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import simulate
from tests.rounds import rounds
from tests.sim_erasures import BUGS, Erasing, first_wrong

SEEDS = rounds(8, 1000)
MOST_SEEDS = 60  # until somebody has died at a point, and that a bug may live through


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A directory in memory."""
    with simulate.room() as directory:
        yield directory


@pytest.mark.seconds(600)
def test_what_is_erased_is_gone_and_nothing_else(room: Path) -> None:
    """No page of a ledger holds the values, others' records are as they were, all journals verify, all decisions replay."""
    erased = sum(Erasing(seed, room).run().counts["erasures"] for seed in range(SEEDS))
    assert erased > SEEDS / 2


@pytest.mark.seconds(300)
@pytest.mark.parametrize("point", ["erase.begun", "erase.committed", "erase.purged", "erase.overwritten", "commit.inside"])
def test_somebody_dies_at_every_point_of_an_erasure(room: Path, point: str) -> None:
    """Each named point of it is the end of a process, and it is whole at the end all the same."""
    for seed in range(2000, 2000 + MOST_SEEDS):
        if Erasing(seed, room, point).run().counts[f"die {point}"]:
            return
    raise AssertionError(f"nobody died at {point} in {MOST_SEEDS} worlds")


@pytest.mark.seconds(300)
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_in_it_is_caught(room: Path, bug: str) -> None:
    """A value that is left, a redaction off the record, state that stays, a process that lies, others that are taken along."""
    assert first_wrong(bug, MOST_SEEDS, room), f"{bug} lives: {BUGS[bug].__doc__}"
