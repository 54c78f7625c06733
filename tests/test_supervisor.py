"""The real supervisor: start and stop, signals, systemd, neighbours, and what its children find.

Nothing is asserted about how long something takes; waits are for a state, and have a generous end.
"""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.standins import CTL, PATIENCE_S, Company, alive, until


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


# -- start and stop
def test_departments_start_when_their_mai_is_ready(company: Company) -> None:
    """As long as Mai is not ready no department is started; when she is, all are, and the door says how far it is."""
    os.mkfifo(company.place.state / "hold")
    company.mode("acme/mai", "hold")
    company.start()
    until(lambda: company.status()["acme/mai"]["state"] == "replaying", "Mai replaying")
    status = company.status()
    assert status["acme/mai"]["status"] == "replaying 42 records"
    assert [status[name]["pid"] for name in ("acme/support", "acme/sales")] == [None, None]
    (company.place.state / "hold").open("w").close()  # returns when she has opened it too
    assert company.wait_ready()["ready"] == 3
    events = company.events()
    assert events[:2] == ["acme/mai begin", "acme/mai ready"]
    assert sorted(events[2:]) == sorted(f"acme/{name} {what}" for name in ("support", "sales") for what in ("begin", "ready"))


def test_an_ordered_stop_ends_departments_before_mai(running: Company) -> None:
    """SIGTERM: departments, then Mai, each with the time to end by itself; exit status 0 and nobody left."""
    pids = running.pids()
    assert running.end() == 0
    ends = [event for event in running.events() if event.endswith(" end")]
    assert sorted(ends[:2]) == ["acme/sales end", "acme/support end"] and ends[2:] == ["acme/mai end"]
    assert not [name for name, pid in pids.items() if alive(pid)]
    assert not running.place.supervisor_socket.exists()


def test_down_at_the_door_is_the_same_ordered_stop(running: Company) -> None:
    """`down` is answered when everything but watchdog and supervisor is stopped, and the daemon ends with 0."""
    assert running.door.call({"do": "down"})["stopped"] is True
    assert running.daemon and running.daemon.wait(PATIENCE_S) == 0
    assert running.events()[-1] == "acme/mai end"


def test_a_second_signal_hurries(running: Company) -> None:
    """While a department does not end, a second SIGTERM gives up the order and a third does not ask any more."""
    running.mode("acme/support", "deaf")
    running.door.call({"do": "restart", "name": "acme/support"})
    assert running.daemon
    running.daemon.send_signal(signal.SIGTERM)
    running.until_state("acme/support", "draining")
    mai = running.pid("acme/mai")
    assert alive(mai)
    running.daemon.send_signal(signal.SIGTERM)
    until(lambda: not alive(mai), "Mai is stopped beside the deaf department")
    running.daemon.send_signal(signal.SIGTERM)
    assert running.daemon.wait(PATIENCE_S) == 0


def test_a_stop_works_without_a_watchdog(running: Company) -> None:
    """When nobody leads the ordered stop, the supervisor stops everything itself."""
    assert running.daemon
    subprocess.run([*CTL, str(running.place.supervisorctl), "stop", "watchdog"], check=True, capture_output=True)
    assert running.end() == 0


def test_hangup_restarts_nothing(running: Company) -> None:
    """SIGHUP, on which supervisord restarts everything, changes nothing here."""
    before = running.pids()
    assert running.daemon
    running.daemon.send_signal(signal.SIGHUP)
    log = running.place.log("supervisor")
    until(lambda: "SIGHUP" in log.read_text(), "the supervisor notes it")
    assert running.pids() == before


def test_supervisorctl_works_and_its_word_counts(running: Company) -> None:
    """Groups are clients, programs are processes; what supervisorctl stops is not started again behind its back."""
    ctl = [*CTL, str(running.place.supervisorctl)]
    said = subprocess.run([*ctl, "status"], capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout
    names = [line.split()[0] for line in said.splitlines() if line.split()[1] == "RUNNING"]
    assert names == ["acme:mai", "acme:sales", "acme:support", "watchdog"]
    subprocess.run([*ctl, "stop", "acme:sales"], timeout=PATIENCE_S, check=True, capture_output=True)
    running.until_state("acme/sales", "stopped")
    subprocess.run([*ctl, "start", "acme:sales"], timeout=PATIENCE_S, check=True, capture_output=True)
    running.until_state("acme/sales", "ready")
    assert running.incidents("acme/sales") == ["external", "external"]


def test_reload_by_supervisorctl_begins_anew(running: Company) -> None:
    """`supervisorctl reload` stops everything and starts it again, under the same pid of the supervisor."""
    before = running.pids()
    ctl = [*CTL, str(running.place.supervisorctl), "reload"]
    subprocess.run(ctl, timeout=PATIENCE_S, check=True, capture_output=True)
    until(lambda: running.pid("watchdog") != before["watchdog"], "a new watchdog")
    assert running.wait_ready()["all_ready"]
    after = running.pids()
    assert {name for name in before if before[name] == after[name]} == {"supervisor"}


# -- walls and neighbours
def test_two_daemons_run_side_by_side(state: Path) -> None:
    """Different state directories share nothing; two clients of one daemon share only the daemon."""
    companies = []
    for name in ("one", "two"):
        (state / name).mkdir()
        companies.append(Company(state / name, clients=("acme", "beta")).start())
    for company in companies:
        assert company.wait_ready()["ready"] == 6
    first, second = companies
    kept = second.pids()
    assert not set(first.pids().values()) & set(kept.values())
    assert first.end() == 0
    assert second.pids() == kept
    assert second.end() == 0


def test_a_second_daemon_on_the_same_state_is_refused(running: Company) -> None:
    """It ends with exit code 2 and one sentence that names the first one; the first one is not disturbed."""
    before = running.pids()
    done = subprocess.run(running.command(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert f"in use by another daemon (process {before['supervisor']})" in done.stderr
    assert len(done.stderr.splitlines()) == 2  # the sentence and the hint
    assert running.pids() == before


def test_a_missing_organisation_is_one_sentence(company: Company) -> None:
    """Exit code 2, no traceback, and nothing is left behind."""
    company.file.unlink()
    done = subprocess.run(company.command(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2 and "organisation.toml" in done.stderr and "Traceback" not in done.stderr


def test_a_ledger_that_cannot_be_read_ends_the_daemon_with_a_sentence(company: Company) -> None:
    """A watchdog that cannot work is not started for ever: the daemon ends with an error that says where to look."""
    company.place.prepare()
    company.place.ledger("watchdog").write_bytes(b"no ledger" * 1000)
    company.start()
    assert company.daemon
    assert company.daemon.wait(PATIENCE_S) == 1
    assert company.daemon.stderr and "watchdog cannot work" in company.daemon.stderr.read()
    assert "not a database" in company.place.log("watchdog").read_text()


def test_the_supervisor_holds_no_zeromq_no_sqlite_and_no_thread(running: Company) -> None:
    """It forks: none of these may be in its address space, and it runs on one thread."""
    pid = running.pid("supervisor")
    if os.geteuid() == 0:  # it hides from its own user
        assert not re.findall(r"zmq|sqlite|_zstd|libsodium", Path(f"/proc/{pid}/maps").read_text())
    assert psutil.Process(pid).num_threads() == 1


def test_children_get_a_clean_environment(company: Company) -> None:
    """systemd's sockets and whatever a shell had exported stay with the supervisor; ours are there."""
    company.start(NOTIFY_SOCKET="/nowhere.sock", WATCHDOG_USEC="10000000", WATCHDOG_PID="1", API_KEY="secret", LANG="C.UTF-8")
    company.wait_ready()
    for process in ("acme/support", "watchdog") if os.geteuid() == 0 else ("acme/support",):  # it hides from its own user
        found = psutil.Process(company.pid(process)).environ()
        assert found["NOTIFY_SOCKET"] == str(company.place.notice(process))
        assert found["WATCHDOG_USEC"] == "8000000"
        assert found["LANG"] == "C.UTF-8"
        extra = {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "PYTHONPATH", "PYTHONUNBUFFERED"}
        assert found.keys() - extra - {"MAI_CONFINE"} == {"NOTIFY_SOCKET", "WATCHDOG_USEC", "MAI_STATE", "MAI_RUN"}


def test_each_process_finds_its_quarters(running: Company) -> None:
    """Before it starts, a process has a private directory with its mandate and its keys."""
    for process in ("acme/mai", "acme/support", "acme/sales"):
        home = running.place.home(process)
        assert {"mandate", "key", "mai.key"} <= {path.name for path in home.iterdir()}
        assert home.stat().st_mode & 0o077 == 0
        assert (home / "key").stat().st_mode & 0o077 == 0


def test_systemd_is_told(company: Company, state: Path) -> None:
    """READY when all is ready and not before, WATCHDOG from the loop, STATUS with figures, STOPPING at the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(state / "systemd.sock"))
        systemd.settimeout(PATIENCE_S)
        company.start(NOTIFY_SOCKET=str(state / "systemd.sock"), WATCHDOG_USEC="200000")
        heard: list[dict[str, str]] = []

        def hear(field: str) -> str:
            while field not in (heard[-1] if heard else {}):
                heard.append(dict(line.split("=", 1) for line in systemd.recv(4096).decode().splitlines()))
            return heard[-1][field]

        assert hear("READY") == "1"
        assert heard[-1]["STATUS"] == "3 of 3 ready"
        assert company.wait_ready()["all_ready"]
        heard.append({})
        assert hear("WATCHDOG") == "1"
        assert company.daemon
        company.daemon.send_signal(signal.SIGTERM)
        assert hear("STOPPING") == "1"
        systemd.setblocking(False)
        assert company.daemon.wait(PATIENCE_S) == 0


def test_a_long_state_path_works(state: Path) -> None:
    """Sockets work below a directory whose path is longer than a socket's address may be, with blanks and % in it."""
    deep = state / "a directory with 100% blanks" / ("d" * 100)
    deep.mkdir(parents=True)
    company = Company(deep).up()
    assert company.end() == 0
