"""Big ledgers for measurements are such as the processes could have written."""

from pathlib import Path

from mai.daemon import deep
from mai.daemon.bench_grown import marks
from mai.daemon.reader import Reader
from tests.million import million


def test_a_grown_company_could_have_been(tmp_path: Path) -> None:
    """Everything holds that `mai verify --rest` looks at, each request is another one, and each decision has its seal."""
    place = million(tmp_path, 3000, seed=7)
    found = deep.check(place, at_rest=True)
    assert found.sound, deep.render(found)
    assert 3000 <= sum(marks(place, "acme").values()) < 3500 and found.heads >= 3
    reader = Reader(place, "acme/mai")
    requests = [record.request for record in reader.records("kind = 'request.ended'")]
    assert len(requests) == len(set(requests)) > 30
    assert len(reader.records("kind = 'decision'")) >= 3 * len(requests)
    reader.close()
