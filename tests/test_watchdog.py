"""The real watchdog with real processes: deaths of each kind, what operators order, and what it tells.

Nothing is asserted about how long something takes; waits are for a state, and have a generous end.
"""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mai.sandbox.errors import MaiError, Refused, UsageFault
from tests.standins import Company, alive, until


@pytest.fixture
def company(state: Path) -> Iterator[Company]:
    """A daemon that is not started yet; stopped afterwards."""
    company = Company(state)
    yield company
    if company.daemon:
        company.end()


@pytest.fixture
def running(company: Company) -> Company:
    """A daemon with everything ready."""
    return company.up()


# -- deaths
def test_a_killed_department_is_started_again(running: Company) -> None:
    """SIGKILL of a department: another process of it gets ready, nobody else is touched, and the death is on record."""
    before = running.pids()
    os.kill(before["acme/support"], signal.SIGKILL)
    entry = running.until_state("acme/support", "ready", before["acme/support"])
    assert entry["restarts"] == 1
    assert "SIGKILL" in entry["incidents"][-1]["text"]
    after = running.pids()
    assert {name for name in before if before[name] != after[name]} == {"acme/support"}
    assert running.incidents("acme/support") == ["death"]


def test_a_killed_mai_is_started_again_and_her_departments_stay(running: Company) -> None:
    """The death of Mai is hers alone."""
    before = running.pids()
    os.kill(before["acme/mai"], signal.SIGKILL)
    running.until_state("acme/mai", "ready", before["acme/mai"])
    after = running.pids()
    assert {name for name in before if before[name] != after[name]} == {"acme/mai"}


def test_a_killed_watchdog_heals_without_touching_anybody(running: Company) -> None:
    """Its successor learns what runs, gets the heartbeats, and goes on with its work."""
    before = running.pids()
    os.kill(before["watchdog"], signal.SIGKILL)
    until(lambda: running.pid("watchdog") != before["watchdog"], "a new watchdog")
    assert running.wait_ready()["all_ready"]
    after = running.pids()
    assert {name for name in before if before[name] != after[name]} == {"watchdog"}
    status = running.status()
    assert status["watchdog"]["restarts"] == 1
    assert {name: [incident["what"] for incident in status[name]["incidents"]] for name in after if name != "watchdog"} == {
        name: [] for name in after if name != "watchdog"
    }
    os.kill(after["acme/sales"], signal.SIGKILL)
    running.until_state("acme/sales", "ready", after["acme/sales"])


def test_a_department_that_dies_while_there_is_no_watchdog_is_started_by_the_next(running: Company) -> None:
    """Nobody hears of this death; the comparison with the supervisor's view finds it."""
    before = running.pids()
    os.kill(before["watchdog"], signal.SIGSTOP)  # so that it cannot hear
    os.kill(before["acme/support"], signal.SIGKILL)
    until(lambda: not alive(before["acme/support"]), "it is dead")
    os.kill(before["watchdog"], signal.SIGKILL)
    running.until_state("acme/support", "ready", before["acme/support"])


def test_a_killed_supervisor_leaves_nobody_and_the_next_start_works(company: Company) -> None:
    """SIGKILL of the parent of all: no orphan, not even one that heeds nothing; stale sockets and locks disturb nobody."""
    company.mode("acme/support", "deaf")
    pids = company.up().pids()
    assert company.end(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not any(alive(pid) for pid in pids.values()), "nobody is left")
    assert company.place.door.exists() and company.place.supervisor_socket.exists()
    company.mode("acme/support", "")
    assert company.up().pids().keys() == pids.keys()


def test_a_hung_department_is_aborted_and_replaced(state: Path) -> None:
    """A process that falls silent is found by its silence, killed, and started again; nobody else is."""
    company = Company(state, heartbeat_s=2.0).up()
    before = company.pids()
    os.kill(before["acme/support"], signal.SIGSTOP)
    entry = company.until_state("acme/support", "ready", before["acme/support"])
    assert [incident["what"] for incident in entry["incidents"]] == ["hung", "death"]
    after = company.pids()
    assert {name for name in before if before[name] != after[name]} == {"acme/support"}
    assert company.end() == 0


def test_abort_leaves_a_traceback_in_the_log(running: Company) -> None:
    """What a process was doing when it got SIGABRT stands in its log, with file and function."""
    pid = running.pid("acme/support")
    os.kill(pid, signal.SIGABRT)
    running.until_state("acme/support", "ready", pid)
    log = running.place.log("acme/support").read_text()
    assert "Fatal Python error: Aborted" in log and "in serve" in log


@pytest.mark.parametrize("mode", ["crash", "fall"])
def test_a_crash_loop_ends_in_failed_and_touches_nobody(company: Company, mode: str) -> None:
    """Who never gets ready is given up with its last words; who gets ready and falls at once is slowed down meanwhile."""
    company.mode("acme/support", mode)
    company.start()
    if mode == "fall":
        company.until_state("acme/support", "backoff")
        assert company.status()["acme/sales"]["restarts"] == 0
        return
    answer = company.wait_ready()
    assert list(answer["failed"]) == ["acme/support"] and "no luck" in answer["failed"]["acme/support"]
    status = company.status()
    assert (status["acme/support"]["state"], status["acme/support"]["pid"]) == ("failed", None)
    assert [status[name]["restarts"] for name in ("acme/mai", "acme/sales")] == [0, 0]
    assert company.incidents("acme/support") == ["death"] * 5 + ["failed"]


def test_a_failed_process_stays_failed_until_it_is_reset(company: Company) -> None:
    """Exit code 78 is not tried again, not even by a new watchdog; `reset` starts it with a clean record."""
    company.mode("acme/support", "config")
    company.start()
    assert company.wait_ready()["failed"] == {"acme/support": "the ledger is of format 9, this version reads up to 1"}
    assert company.events().count("acme/support begin") == 1
    watchdog = company.pid("watchdog")
    os.kill(watchdog, signal.SIGKILL)
    until(lambda: company.pid("watchdog") != watchdog, "a new watchdog")
    assert "acme/support" in company.wait_ready()["failed"]
    with pytest.raises(MaiError, match="format 9"):
        company.door.call({"do": "reset", "name": "acme/support"})
    company.mode("acme/support", "")
    assert company.door.call({"do": "reset", "name": "acme/support"})["state"] == "ready"
    assert company.events().count("acme/support begin") == 3


# -- what operators do
def test_stop_start_and_restart_answer_when_they_are_done(running: Company) -> None:
    """After the answer the process is down, up, or another one."""
    first = running.pid("acme/support")
    assert running.door.call({"do": "stop", "name": "acme/support"})["state"] == "stopped"
    assert not alive(first) and running.status()["acme/support"]["state"] == "stopped"
    second = running.door.call({"do": "start", "name": "acme/support"})["pid"]
    assert alive(second)
    third = running.door.call({"do": "restart", "name": "acme/support"})["pid"]
    assert alive(third) and not alive(second) and len({first, second, third}) == 3
    assert running.incidents("acme/support") == []


def test_a_stopped_process_stays_stopped_over_a_restart_of_everything(running: Company) -> None:
    """What an operator wants is kept: a new daemon does not start what was stopped, until it is wanted again."""
    running.door.call({"do": "stop", "name": "acme/sales"})
    running.end(signal.SIGKILL)
    running.up()
    assert running.status()["acme/sales"]["state"] == "stopped"
    running.door.call({"do": "start", "name": "acme/sales"})
    running.end()
    running.up()
    assert running.status()["acme/sales"]["state"] == "ready"


@pytest.mark.parametrize(
    ("request_", "kind", "words"),
    [
        ({"do": "dance"}, UsageFault, "dance"),
        ({"do": "stop", "name": "acme/nobody"}, UsageFault, "acme/nobody"),
        ({"do": "stop", "name": "watchdog"}, UsageFault, "watchdog"),
        ({"do": 7}, UsageFault, "not an order"),
        ({}, UsageFault, "not an order"),
    ],
)
def test_an_order_that_cannot_be_is_answered_with_a_sentence(
    company: Company, request_: dict[str, Any], kind: type[MaiError], words: str
) -> None:
    """Unknown orders and names are refused with what would be right; nothing is started or stopped by them."""
    company.up()
    with pytest.raises(kind, match=words) as caught:
        company.door.call(request_)
    assert caught.value.hint
    assert company.status()["acme/support"]["restarts"] == 0


def test_a_department_cannot_be_started_without_its_mai(running: Company) -> None:
    """Who orders a start that waits in vain is told for whom."""
    for process in ("acme/support", "acme/mai"):
        running.door.call({"do": "stop", "name": process})
    with pytest.raises(Refused, match=r"acme/support waits for acme/mai"):
        running.door.call({"do": "start", "name": "acme/support"})
    running.door.call({"do": "start", "name": "acme/mai"})
    assert running.until_state("acme/support", "ready")


def test_a_stranger_is_not_heard(running: Company) -> None:
    """A heartbeat from a process that is none of ours counts for nobody and becomes an incident."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"READY=1\nSTATUS=I am support", str(running.place.notify))
    until(lambda: running.incidents("watchdog") == ["forged"], "the incident")
    status = running.status()
    assert all(entry["status"] != "I am support" for entry in status.values())
    assert str(os.getpid()) in status["watchdog"]["incidents"][0]["text"]


def test_status_tells_what_a_process_says_of_itself(running: Company) -> None:
    """Every process has an entry with the figures of its last heartbeat, of the kernel and of the supervisor."""
    status = running.status()
    assert list(status) == ["acme/mai", "acme/support", "acme/sales", "watchdog", "supervisor"]
    entry = status["acme/support"]
    assert (entry["queue"], entry["done"], entry["status"], entry["restarts"]) == (3, 7, "idle", 0)
    assert entry["memory_bytes"] > 1 << 20 and entry["uptime_s"] > 0 and entry["last_progress_s"] is not None
    assert {one["state"] for one in status.values()} == {"ready"}
    with_pss = running.door.call({"do": "status", "pss": True})["processes"]
    least = 1 if os.geteuid() == 0 else 0  # behind walls processes show it to root alone
    assert all(least <= one["pss_bytes"] <= one["memory_bytes"] for one in with_pss)


def test_many_deaths_at_once_are_all_heard(state: Path) -> None:
    """More ends than the watchdog's queue takes, while it does not listen: none is taken for something unseen."""
    company = Company(state, clients=("acme", "beta", "gamma", "delta")).up()
    before = company.pids()
    os.kill(before["watchdog"], signal.SIGSTOP)
    wards = [name for name in before if "/" in name]
    for name in wards:
        os.kill(before[name], signal.SIGKILL)
    until(lambda: not any(alive(before[name]) for name in wards), "they are dead")
    os.kill(before["watchdog"], signal.SIGCONT)
    for name in wards:
        entry = company.until_state(name, "ready", before[name])
        assert ["SIGKILL" in incident["text"] for incident in entry["incidents"]] == [True], entry
    assert company.end() == 0
