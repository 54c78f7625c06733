"""`mai backup` and `mai restore`: one moment of a company at work, and a company that goes on from it."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mai.daemon.backup import MANIFEST, Manifest, backup
from mai.daemon.restore import read, restore
from mai.daemon.verify import render, verify
from mai.sandbox.errors import MaiError, Refused, UsageFault
from mai.sandbox.ledger import Ledger
from mai.sandbox.lock import Lock
from mai.sandbox.place import Place
from tests.small import Daemon, running
from tests.wired import Wired

MAI, SALES = "acme/mai", "acme/sales"


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Wired]:
    """A company that has answered a request; its processes still have their ledgers open."""
    made = Wired(tmp_path / "a").asked("r1")
    yield made
    made.close()


def test_a_backup_of_a_running_company_is_one_moment(state: Path) -> None:
    """Backed up under load, restored: nobody is ahead of another, all is sound, what was answered is kept, it works."""
    copies = [state / f"copy{number}" for number in range(3)]
    with running(state) as daemon:
        asked, ended = list[int](), threading.Event()

        def load(first: int) -> None:
            for order in range(first, first + 1000):
                if ended.is_set():
                    return
                daemon.ask(f"refund order {order}", f"r{order}")
                asked.append(order)

        threads = [threading.Thread(target=load, args=(first,)) for first in (1000, 3000, 5000)]
        for thread in threads:
            thread.start()
        try:
            known = set[int]()
            for copy in copies:
                known = set(asked)
                ran = daemon.mai("backup", str(copy), "--json")
                assert ran.returncode == 0, ran.stderr
                made = json.loads(ran.stdout)
                ahead(made)
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        report = verify(Place(copies[-1]), state=True)
        assert report.sound, render(report)
    shutil.rmtree(daemon.place.state)
    ran = daemon.mai("restore", str(copies[-1]))
    assert ran.returncode == 0, ran.stderr
    try:
        daemon.up()
        assert daemon.ask("refund order 9999", "new")["state"] == "answered"
        for order in known:
            assert daemon.ask(f"refund order {order}", f"r{order}")["state"] == "answered"
        again = verify(daemon.place, state=True)
        assert again.sound, render(again)
    finally:
        daemon.mai("down")


def ahead(made: dict[str, object]) -> None:
    """No receiver is ahead of its sender, and no acknowledgement of its receipt."""
    ledgers = {one["process"]: one["links"] for one in made["ledgers"]}  # type: ignore[attr-defined]
    for process, links in ledgers.items():
        for peer, (sent, acked, received) in links.items():
            theirs = ledgers[peer].get(process, (0, 0, 0))
            assert received <= theirs[0] and acked <= theirs[2] <= sent, (process, peer)


def test_what_is_copied_is_sound_and_can_be_examined(company: Wired, tmp_path: Path) -> None:
    """A backup is a state directory for whoever only reads, and holds no key."""
    made = backup(company.place, tmp_path / "copy")
    assert {kept.process for kept in made.ledgers} == {MAI, SALES, "acme/marketing"}
    assert verify(Place(tmp_path / "copy"), state=True).sound
    assert not [path for path in (tmp_path / "copy").rglob("*") if "key" in path.name]
    assert not (tmp_path / "copy.part").exists()
    with pytest.raises(UsageFault, match="exists"):
        backup(company.place, tmp_path / "copy")


def test_one_who_does_not_let_go_is_named(company: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that holds its ledger for long makes the backup fail, and holds up nobody else."""
    monkeypatch.setattr("mai.daemon.backup.HOLD_S", 0.02)
    monkeypatch.setattr("mai.daemon.backup.BETWEEN_S", 0.001)
    company.desks[SALES].ledger._db.execute("BEGIN IMMEDIATE")
    with pytest.raises(MaiError, match=f"{SALES} did not let go"):
        backup(company.place, tmp_path / "copy")
    company.desks[SALES].ledger._db.execute("ROLLBACK")
    assert not list(tmp_path.glob("copy*"))
    company.asked("r2")


def test_a_backup_that_was_changed_is_refused(company: Wired, tmp_path: Path) -> None:
    """Any other byte in a file or in the manifest, or a file that is gone: named, before anything is touched."""
    made = backup(company.place, tmp_path / "copy")
    fresh = Place(tmp_path / "fresh")
    for kept in (*made.ledgers, *made.files):
        path = tmp_path / "copy" / kept.path
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        good = path.read_bytes()
        path.write_bytes(data)
        with pytest.raises(MaiError, match="not what was backed up") as raised:
            restore(tmp_path / "copy", fresh)
        assert kept.path in raised.value.sentence
        path.unlink()
        with pytest.raises(MaiError, match="missing"):
            restore(tmp_path / "copy", fresh)
        path.write_bytes(good)
    manifest = tmp_path / "copy" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"made_ms": 1', '"made_ms": 2'))
    with pytest.raises(MaiError, match="was changed"):
        restore(tmp_path / "copy", fresh)
    manifest.write_text("{}")
    with pytest.raises(UsageFault, match="no backup"):
        restore(tmp_path / "copy", fresh)
    assert not fresh.state.exists()


def test_nothing_is_overwritten(company: Wired, tmp_path: Path) -> None:
    """Not over a running daemon, not over a state; with --replace the old one is kept, and what only it has is named."""
    backup(company.place, tmp_path / "copy")
    company.asked("r2", "r3")
    with pytest.raises(Refused, match="not empty"):
        restore(tmp_path / "copy", company.place)
    lock = Lock(company.place.state, "daemon")
    with pytest.raises(Refused, match="a daemon runs"):
        restore(tmp_path / "copy", company.place, replace=True)
    lock.release()
    company.close()
    before = Ledger(company.place.ledger(MAI), MAI)
    seq = before.seq
    before.close()
    done = restore(tmp_path / "copy", company.place, replace=True)
    assert done.gone == {"acme": ["r2", "r3"]} and not done.gone_unknown
    old = Ledger(Place(done.kept).ledger(MAI), MAI)
    assert old.seq == seq
    old.close()
    made: Manifest = read(tmp_path / "copy")
    new = Ledger(company.place.ledger(MAI), MAI)
    assert new.seq == next(kept.seq for kept in made.ledgers if kept.process == MAI)
    new.close()


def test_without_a_daemon(state: Path) -> None:
    """No ledger, no backup; and it says so."""
    daemon = Daemon(state)
    ran = daemon.mai("backup", str(state / "copy"))
    assert ran.returncode == 2 and "no ledger lies in" in ran.stderr
