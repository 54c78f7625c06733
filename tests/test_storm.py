"""The day of the storm in its short form; the whole one is `make storm`."""

import pytest

from tests import storm_askers
from tests.conftest import state_directory
from tests.storm import play, table


@pytest.mark.seconds(300)
def test_a_day_of_misfortunes(monkeypatch: pytest.MonkeyPatch) -> None:
    """All scenes once: each request has its end in time, the figures are the log's, and only the script has somebody paged."""
    monkeypatch.setattr(storm_askers, "LATE_S", 20.0)  # other tests run beside it
    with state_directory() as room:
        told = play(room / "d", 20, "3")
    assert not told.faults, table(told)
    assert told.states["answered"] > 30 and told.pages == 1, table(told)
    assert told.decisions > 4 * told.states["answered"], table(told)
    assert any(what.startswith("reset") for what in told.remedies), table(told)
