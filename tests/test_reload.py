"""`mai reload` against real processes: only what changes is touched, nothing is lost, and what does not work is taken back."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mai.agents.check import load
from mai.daemon.difference import difference
from tests.small import ORGANISATION, Daemon, environment, running, until
from tests.test_draining import asking, state_of

SALES = """
[departments.sales]
charter = "Sells."

[[departments.sales.agents]]
name = "seller"
rank = "operator"
charter = "Sells tulips."
skills = ["tulips"]
handler = "small.py:seller"
"""
SELLER = """

async def seller(ctx, task):
    return Answer("Sold.", {})
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Up and ready."""
    with running(tmp_path) as made:
        yield made


def write(daemon: Daemon, old: str = "", new: str = "", more: str = "") -> None:
    """Change the organisation file; each text that is replaced must be there."""
    text = daemon.file.read_text()
    assert old in text
    daemon.file.write_text(text.replace(old, new) + more)


def reload(daemon: Daemon, *options: str) -> dict[str, Any]:
    """`mai reload --json`, which must do well."""
    ran = daemon.mai("reload", "--json", *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return dict(json.loads(ran.stdout))


def others(before: dict[str, list[int]], *touched: str) -> dict[str, list[int]]:
    """The pids of all that were not touched."""
    return {name: pids for name, pids in before.items() if name not in touched}


def verified(daemon: Daemon) -> None:
    """All journals are sound."""
    ran = daemon.mai("verify", "--deep")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_differences_have_words(tmp_path: Path) -> None:
    """What has come, gone and changed, and whom it touches; a comment touches nobody."""
    daemon = Daemon(tmp_path)
    before = load(daemon.file)
    write(daemon, more="# a remark\n")
    same = difference(before, load(daemon.file))
    assert not same.changes and not same.touched and same.before != same.after
    write(daemon, '"Pays money back."', '"Pays back."', SALES)
    (daemon.file.parent / "small.py").open("a").write(SELLER)
    found = difference(before, load(daemon.file))
    assert found.changes == (
        "+ department sales",
        "  department finance: agent clerk: charter: Pays money back. → Pays back.",
    )
    assert (found.added, found.removed, set(found.changed)) == (("acme/sales",), (), {"acme/mai", "acme/finance"})
    assert found.drained == ("acme/finance",)
    back = difference(load(daemon.file), before)
    assert back.removed == ("acme/sales",) and "- department sales" in back.changes
    assert set(back.drained) == {"acme/finance", "acme/sales"}


def test_only_what_changes_is_touched(daemon: Daemon) -> None:
    """A dry run touches nothing; then finance changes and sales comes, later it goes; support never notices."""
    before = daemon.pids()
    (daemon.file.parent / "small.py").open("a").write(SELLER)
    write(daemon, '"Pays money back."', '"Pays back."', SALES)
    looked = daemon.mai("reload", "--dry-run")
    assert "+ department sales" in looked.stdout and looked.stdout.endswith("nothing was done\n"), looked.stderr
    assert daemon.pids() == before
    first = load(daemon.file).digest
    told = reload(daemon)
    assert told["state"] == "done" and told["difference"]["after"] == first
    now = daemon.pids()
    assert others(now, "acme/mai", "acme/finance", "acme/sales") == others(before, "acme/mai", "acme/finance")
    assert now["acme/finance"] != before["acme/finance"] and len(now["acme/finance"]) == len(now["acme/sales"]) == 1
    assert daemon.ask("sales: tulips", "s1")["answer"].startswith("Sold.")
    assert daemon.ask("Refund order 7", "r7")["state"] == "answered"
    assert [body["organisation"] for _, body in daemon.journal("acme/finance", "process.started")][-1] == first
    changed = [body for _, body in daemon.journal("acme/mai", "watchdog.told") if body["what"] == "reloaded"]
    assert (changed[-1]["body"]["before"], changed[-1]["body"]["after"]) == (told["difference"]["before"], first)
    write(daemon, SALES)
    assert reload(daemon)["difference"]["removed"] == ["acme/sales"]
    assert "acme/sales" not in daemon.pids() and "acme/sales" not in daemon.status()
    assert daemon.pids()["acme/support"] == before["acme/support"]
    assert daemon.ask("sales: tulips", "s2")["state"] == "refused"
    assert reload(daemon)["difference"]["changes"] == []
    verified(daemon)


def test_what_is_under_way_is_finished_before(daemon: Daemon) -> None:
    """Support has a task that asks finance; both change; it finishes under the old organisation, and what is new waits."""
    gate = daemon.place.home("acme/support") / "files" / "gate"
    os.mkfifo(gate)
    porter = subprocess.Popen(
        daemon.command("ask", "acme", "Open the gate", "--json"),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    until(lambda: daemon.journal("acme/support", "task.begun"), "the porter works")
    write(daemon, '"Opens the gate."', '"Opens gates."')
    before = daemon.pids()
    changing = subprocess.Popen(daemon.command("reload", "--json"), env=environment(), stdout=subprocess.PIPE)
    until(lambda: daemon.status()["acme/support"]["wanted"] == "drain", "support is drained")
    until(lambda: daemon.journal("acme/mai", "department.held"), "Mai has heard it")
    late = asking(daemon, 8)
    until(lambda: daemon.journal("acme/mai", "task.held"), "the new task waits")
    second = daemon.mai("reload")
    assert second.returncode == 4 and "is being changed by" in second.stderr
    assert "is part of a change" in daemon.mai("pause", "acme/support").stderr
    assert daemon.pids() == before
    gate.write_text("sesame\n")
    assert state_of(porter) == state_of(late) == "answered"
    out, _ = changing.communicate(timeout=60)
    assert json.loads(out)["state"] == "done"
    ended = next(record.seq for record, _ in daemon.journal("acme/support", "task.ended"))
    assert ended < daemon.journal("acme/support", "process.started")[-1][0].seq
    assert daemon.status()["acme/support"]["wanted"] == "run"
    verified(daemon)


def test_what_does_not_work_is_taken_back(daemon: Daemon) -> None:
    """A file with faults changes nothing; a department that does not start brings the former organisation back."""
    before = daemon.pids()
    write(daemon, 'handler = "small.py:clerk"', 'handler = "small.py:nobody"')
    ran = daemon.mai("reload")
    assert ran.returncode == 2 and "nobody" in ran.stderr, ran.stderr
    write(daemon, 'handler = "small.py:nobody"', 'handler = "small.py:clerk"')
    assert daemon.pids() == before
    with (daemon.file.parent / "small.py").open("a") as code:
        code.write(f"{SELLER}\n\ndef fail(files):\n    raise ValueError('no room for tulips')\n")
    write(daemon, '"Pays money back."', '"Pays back."', SALES.replace('"Sells."', '"Sells."\nprepare = "small.py:fail"'))
    ran = daemon.mai("reload", "--json")
    assert ran.returncode == 1 and "tulips" in ran.stderr, ran.stderr
    assert json.loads(ran.stdout)["state"] == "undone"
    until(daemon.ready, "ready")
    assert "acme/sales" not in daemon.status() and daemon.pids()["acme/support"] == before["acme/support"]
    digest = daemon.journal("acme/finance", "process.started")[0][1]["organisation"]
    assert daemon.journal("acme/finance", "process.started")[-1][1]["organisation"] == digest
    assert daemon.ask("Refund order 7", "r7")["state"] == "answered"
    verified(daemon)


@pytest.mark.parametrize("victim", ["watchdog", "acme/mai", "acme/finance"])
def test_a_death_on_the_way_changes_nothing(daemon: Daemon, victim: str) -> None:
    """Whoever dies at whatever moment: the change comes to its end, and every request is answered once."""
    (daemon.file.parent / "small.py").open("a").write(SELLER)
    for round_, delay_s in enumerate((0.1, 0.4)):
        new = round_ % 2 == 0
        write(daemon, "Pays money back." if new else "Pays back.", "Pays back." if new else "Pays money back.")
        write(daemon, "" if new else SALES, "", SALES if new else "")
        pids = daemon.pids()[victim]
        changing = subprocess.Popen(daemon.command("reload", "--json"), env=environment(), stdout=-3, stderr=-3)
        asked = asking(daemon, round_)
        time.sleep(delay_s)
        os.kill(pids[0], signal.SIGKILL) if daemon.pids().get(victim) == pids else None
        after = load(daemon.file).digest
        if changing.wait(60):  # its watchdog was gone: it went on with it, or had not begun, and now it begins or has done it
            until(lambda: daemon.mai("reload").returncode == 0, f"round {round_} is over")
        assert [body["after"] for _, body in daemon.journal("watchdog", "reloaded")][-1] == after
        assert state_of(asked) == "answered"
        until(daemon.ready, "ready")
        assert ("acme/sales" in daemon.pids()) is new and daemon.status()["acme/finance"]["wanted"] == "run"
    assert sorted(daemon.refunds()) == [0, 1]
    verified(daemon)


def test_a_new_start_of_everything_ends_it(tmp_path: Path) -> None:
    """The supervisor dies while a department is drained: the file is what runs, and nobody is held any more."""
    daemon = Daemon(tmp_path)
    supervisor = daemon.supervisor()
    try:
        until(daemon.ready, "ready")
        gate = daemon.place.home("acme/support") / "files" / "gate"
        os.mkfifo(gate)
        porter = subprocess.Popen(
            daemon.command("ask", "acme", "Open the gate", "--json", "--id", "g1"), env=environment(), stdout=-3, stderr=-3
        )
        until(lambda: daemon.journal("acme/support", "task.begun"), "the porter works")
        write(daemon, '"Opens the gate."', '"Opens gates."')
        changing = subprocess.Popen(daemon.command("reload"), env=environment(), stdout=-3, stderr=-3)
        until(lambda: daemon.status()["acme/support"]["wanted"] == "drain", "support is drained")
        supervisor.kill()
        supervisor.wait()
        changing.wait(60)
        porter.kill()
        porter.wait()
        supervisor = daemon.supervisor()
        until(daemon.ready, "ready again")
        assert daemon.status()["acme/support"]["wanted"] == "run"
        gate.write_text("sesame\n")
        assert daemon.ask("Open the gate", "g1")["state"] == "answered"
        assert reload(daemon)["difference"]["changes"] == []
    finally:
        supervisor.terminate()
        supervisor.wait(60)


def test_who_was_given_up_is_so_only_until_all_starts_again(tmp_path: Path) -> None:
    """A department whose fault is mended while nothing runs is asked again."""
    daemon = Daemon(tmp_path)
    daemon.file.write_text(ORGANISATION.replace("small.py:prepare", "broken.py:prepare"))
    broken = daemon.file.parent / "broken.py"
    broken.write_text("def prepare(files):\n    raise ValueError('broken')\n")
    daemon.mai("up", "--detach", str(daemon.file))
    try:
        assert daemon.status()["acme/finance"]["state"] == "failed"
        until(lambda: daemon.ask("Refund order 7", "r7")["state"] == "refused", "it is refused")
        daemon.down()
        broken.write_text("from small import prepare\n")
        daemon.file.write_text(ORGANISATION)
        daemon.up()
        until(lambda: daemon.journal("acme/mai", "department.freed"), "Mai has heard it")
        assert daemon.ask("Refund order 8", "r8")["state"] == "answered"
    finally:
        daemon.mai("down")
