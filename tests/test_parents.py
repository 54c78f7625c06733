"""Supervisor, watchdog and Mai die in every combination under load: the short form of `make parents`."""

import pytest

from tests.conftest import state_directory
from tests.parents import COMBINATIONS, play, table


@pytest.mark.seconds(240)
def test_everything_comes_back_whoever_dies() -> None:
    """All seven combinations once: no orphan, no second writer, no request without its one answer."""
    with state_directory() as room:
        told = play(room / "d", sum("supervisor" in one for one in COMBINATIONS), "7")
    assert not told.faults, table(told)
    assert len(told.rounds) == len(COMBINATIONS) and told.states["answered"]
