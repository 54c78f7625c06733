"""The production processes in seeded worlds: nothing lost, nothing twice, whatever happens. `make simulate` plays more."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mai.sandbox.points import POINTS
from tests import simulate
from tests.sim_mutation import MUTANTS
from tests.sim_policy import Watched
from tests.sim_world import World

SEEDS = 100
SHARES = 4
POLICY_SEEDS = 1000
# No tool is undone there, no key changed, nothing thinned or erased: test_retention.py and others have deaths there.
PASSED = [point for point in POINTS if not point.startswith(("undo.", "keys.", "retention.", "erase."))]
MOST_SEEDS = 300  # that a mutant may live through
ONCE_WRONG = [
    (7117, "the last word of an earlier life, read after the first one of the present life, had this one halt"),
    (419357449, "a department that had ended before it heard that its contract had paid was given the order once more"),
]
ROOT = Path(__file__).parents[1]
reached: set[str] = set()


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A directory in memory."""
    with simulate.room() as directory:
        yield directory


@pytest.mark.seconds(300)
@pytest.mark.parametrize("share", range(SHARES))
def test_no_world_sees_what_must_never_be(room: Path, share: int) -> None:
    """Deaths at every point, bad wires, bad tools, sleep: afterwards the journals, the books and the clients agree."""
    for seed in range(share, SEEDS, SHARES):
        found = simulate.play(seed, room)
        assert not found.wrong, "\n".join([*found.last, f"seed {seed}: {found.wrong}"])


@pytest.mark.seconds(300)
@pytest.mark.parametrize("point", PASSED)
def test_every_point_is_reached_and_somebody_dies_there(room: Path, point: str) -> None:
    """Each named point of a process's life is the end of one, in a world that goes well all the same."""
    for seed in range(1000, 1000 + MOST_SEEDS):
        outcome = simulate.play(seed, room, point)
        assert not outcome.wrong, f"seed {seed}, aimed at {point}: {outcome.wrong}"
        if outcome.counts[f"die {point}"]:
            return
    raise AssertionError(f"nobody died at {point} in {MOST_SEEDS} worlds")


@pytest.mark.parametrize(("seed", "what"), ONCE_WRONG)
def test_what_a_world_has_found_stays_mended(room: Path, seed: int, what: str) -> None:
    """Worlds that few seeds show, each with what was wrong in it."""
    found = simulate.play(seed, room)
    assert not found.wrong, f"{what}: {found.wrong}"


def test_one_seed_is_one_world(room: Path) -> None:
    """Played twice, a seed gives the same log and the same journals, to the last digest."""
    for seed in (3, 5, 17):
        once = World(seed, room).run()
        again = World(seed, room).run()  # made when the first has ended: both use one room
        assert (once.log, once.heads) == (again.log, again.heads)
        assert len(once.heads) == len(once.names)


@pytest.mark.seconds(300)
def test_one_seed_is_one_world_in_any_interpreter(room: Path) -> None:
    """The order of sets and the hashes of strings do not come into it."""
    code = (
        "import sys; from pathlib import Path; from tests.sim_world import World; print(World(5, Path(sys.argv[1])).run().heads)"
    )
    heads = {
        subprocess.run(
            [sys.executable, "-c", code, str(room)],
            env={"PYTHONHASHSEED": number, "PATH": ""}, cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout
        for number in ("1", "2")
    }  # fmt: skip
    assert len(heads) == 1


@pytest.mark.seconds(300)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_bug_in_the_code_is_caught(room: Path, mutant: str) -> None:
    """A deliberate bug of the production code does not live through so many worlds."""
    assert simulate.first_wrong(mutant, MOST_SEEDS, room), f"{mutant} lives: {MUTANTS[mutant].__doc__}"


@pytest.mark.parametrize("share", range(SHARES))
def test_what_is_wanted_runs_once_and_what_is_not_does_not(share: int) -> None:
    """The restart policy under deaths, words, silence and orders in any order: never two at once, and in the end as wanted."""
    for seed in range(share, POLICY_SEEDS, SHARES):
        watched = Watched(seed)
        try:
            watched.run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}: {watched.log[-8:]}") from error
