"""`mai bench messages` and `mai bench recovery`: small runs of both, with their own processes and ledgers."""

import json
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mai.daemon import (
    bench_clients,
    bench_messages,
    bench_recovery,
    bench_restart,
    bench_talk,
    bench_verify,
    bench_walls,
    rebuild,
    relay,
)
from mai.daemon.bench_messages import NAMES, Sub
from mai.daemon.example import company
from mai.daemon.reader import Reader
from mai.daemon.verify import verify
from tests.small import MAI, PATIENCE_S, environment


def mai(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command."""
    return subprocess.run(
        [*MAI, *arguments], env=environment(), capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False
    )


def test_each_round_trip_is_on_record_in_all_three_journals(tmp_path: Path) -> None:
    """What is counted are asks that crossed both ways: a step, four messages and a verdict each; and the ledgers are sound."""
    with Sub(tmp_path) as sub:
        blocks = [sub.block(30, 4), sub.block(20, 1)]
    assert [len(block.trips_ms) for block in blocks] == [30, 20]
    assert all(block.per_s > 0 and block.commits > 0 and min(block.trips_ms) > 0 for block in blocks)
    counts = [{"message.sent": 102, "contract.checked": 50}, {"step": 50}, {"message.sent": 50}]
    for process, due in zip(NAMES, counts, strict=True):
        with closing(Reader(sub.place, process)) as reader:
            assert {kind: len(reader.records("kind = ?", kind)) for kind in due} == due
    assert verify(sub.place, state=True).sound


def test_the_bare_relay_times_each_trip(tmp_path: Path) -> None:
    """So many round trips as asked for, each with its time."""
    with relay.running(tmp_path) as block:
        for total, in_flight in ((5, 1), (50, 16)):
            done = block(total, in_flight)
            assert len(done.trips_ms) == total and 0 < max(done.trips_ms) <= done.seconds * 1e3


def test_figures_of_rounds(tmp_path: Path) -> None:
    """The ratio is the median of the rounds' own ratios, whatever the machine did between them."""
    bares = [relay.Block(1.0, [1.0] * 100), relay.Block(2.0, [2.0] * 100), relay.Block(1.0, [1.0] * 100)]
    ours = [bench_messages.Block(per_s, [float(n) for n in range(101)], 0.5) for per_s in (10.0, 20.0, 30.0)]
    trips = bench_messages.figures(64, list(zip(bares, ours, strict=True)), "ext4")
    assert (trips.ratio, trips.best, trips.per_s, trips.bare_per_s) == (0.3, 0.4, 20.0, 100.0)
    assert (trips.p50_ms, trips.p99_ms, trips.commits) == (50.0, 99.0, 0.5)
    assert "64" in bench_messages.render(trips)


def test_a_grown_journal_is_one_that_could_have_been_written(tmp_path: Path) -> None:
    """Its chain holds, its links have no gap, and it folds to the state that a rebuild writes."""
    with Sub(tmp_path) as sub:
        sub.block(40, 8)
    for process in bench_recovery.FOLDED:
        written = bench_recovery.grow(sub.place, process, 2000)
        assert written >= 2000
        assert rebuild.rebuild(sub.place, process, lambda *_: None).records == written
        report = verify(sub.place, [process], state=True)
        assert report.sound, report.findings


def test_the_restart_bench(tmp_path: Path) -> None:
    """A killed department answers, the imports are timed beside it, stock supervisord's child speaks again."""
    with bench_restart.stock(tmp_path) as kill:
        assert kill() > 0
    shown = list(bench_restart.figures([100.0, 300.0, 200.0], [100.0, 100.0, 100.0], [1000.0, 2000.0]))
    assert [one.value for one in shown] == [200.0, 200.0, 100.0, 1500.0] and "2.00 times" in shown[0].note


@pytest.mark.seconds(240)
def test_the_restart_bench_on_the_reference_organisation() -> None:
    """Two rounds of the whole."""
    shown = list(bench_restart.run(company(), lambda _: None, rounds=2))
    assert all(one.value > 0 for one in shown) and len(shown) == 4


def test_the_recovery_bench_shows_its_figures() -> None:
    """A start with a grown journal reads no more of it than a few pages; --json has every figure."""
    ran = mai("bench", "recovery", "--records", "3000", "--json")
    assert ran.returncode == 0, ran.stderr
    figures: list[dict[str, Any]] = json.loads(ran.stdout)
    for process in bench_recovery.FOLDED:
        what = [figure["what"] for figure in figures if figure["process"] == process]
        assert what == ["fold", "chain", "rebuild", "start", "read", "start", "read"]
        empty, full = (figure["value"] for figure in figures if (figure["process"], figure["what"]) == (process, "read"))
        assert full - empty < 500  # KiB, of more than a thousand


def test_records_are_for_the_recovery_alone() -> None:
    """Another part is not silently measured with its own number."""
    assert mai("bench", "messages", "--records", "5").returncode == 2


def test_the_walls_bench() -> None:
    """A start with walls and one without, and each layer that this host gives, from real children."""
    shown = list(bench_walls.run(company(), lambda _: None, rounds=3))
    assert [figure.name for figure in shown[:4]] == ["start without walls", "start with walls", "added", "added"]
    assert {figure.name for figure in shown[4:]} >= {"hygiene", "limits", "capabilities"}
    assert all(figure.value > 0 for figure in shown[:2])


@pytest.mark.seconds(300)
def test_the_bench_of_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them: both ready, one killed whole and back while the other is answered, both asleep, both waked and answered."""
    monkeypatch.setattr(bench_clients, "IDLE_S", 1.0)
    monkeypatch.setattr(bench_clients, "WAKED", 1)
    shown = {one.name: one for one in bench_clients.run(company(), lambda _: None, clients=2, asked=4, killed=1)}
    assert all(one.value > 0 for name, one in shown.items() if not name.startswith("idle"))
    assert shown["memory, asleep"].value < shown["memory, awake"].value / 3
    assert "all 18 processes of 2 clients" in shown["first start"].note
    assert "all 9 processes at once" in shown["sub-server killed"].note
    assert "median of 2 requests" in shown["waked, answered"].note


def test_a_talk_costs_its_new_turns(tmp_path: Path) -> None:
    """The same exact bytes, by pieces and whole: what the bench compares are those of a real talk."""
    figures = list(bench_talk.run(company(), lambda text: None, turns=12))
    found = {one.name: one.value for one in figures}
    assert set(found) == {"all ledgers", "requests", "kept whole", "kept by pieces", "ratio"} and found["ratio"] > 1.5, found
    assert found["requests"] > 12 * bench_talk.CHARACTERS


def test_verifying_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is read and found sound, then what is new alone; SHA-256 alone is what all of it stands beside."""
    monkeypatch.setattr(bench_verify, "REAL", (2, 20))
    monkeypatch.setattr(bench_verify, "NEW", 100)
    alone, full, clock, idle, new = bench_verify.run(Path(), lambda what: None, 1500)
    assert alone.value > full.value > 0 and clock.value > 0 and idle.value > 0 and new.value > 0
    assert "1," in full.note and "times SHA-256 alone" in full.note and "records are new" in new.note
    assert all(bench_verify.render(one) for one in (alone, full, clock, idle, new))
