"""The whole, end to end: a real daemon with a small organisation, and what its operator and its client do with it."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mai.agents import check
from mai.daemon.up import Start
from mai.sandbox.errors import MaiError, UsageFault
from mai.sandbox.place import FORMAT, Place
from tests.foreground import Foreground
from tests.gate import gate, waits
from tests.small import ORGANISATION, PATIENCE_S, PROCESSES, Daemon, environment, running, until

NOBODY = 65534
KEYS = {"name", "pid", "state", "restarts", "uptime_s", "memory_bytes", "queue", "done", "last_progress_s", "status"}
STATES = {"starting", "replaying", "ready", "draining", "stopped", "backoff", "failed"}


@pytest.fixture(scope="module")
def daemon(module_state: Path) -> Iterator[Daemon]:
    """One daemon for all tests that leave it as it was."""
    with running(module_state) as shared:
        yield shared


@pytest.fixture
def fresh(state: Path) -> Iterator[Daemon]:
    """A daemon that is not up yet, for tests of its beginning and its end."""
    mine = Daemon(state)
    yield mine
    mine.mai("down")


# -- what the client is told
def test_a_request_goes_through_both_departments(daemon: Daemon) -> None:
    """The answer says who gave it and on whose figures it rests, and the effect is there."""
    ran = daemon.mai("ask", "acme", "Please refund order 5001!")
    assert ran.returncode == 0 and ran.stdout == "Order 5001 was refunded.\n   [support/refund-desk, with finance]\n"
    assert 5001 in daemon.refunds()


def test_an_answer_as_json_has_the_promised_shape(daemon: Daemon) -> None:
    """What scripts rely on."""
    ran = daemon.mai("ask", "--json", "--id", "shape", "acme", "refund order 5002")
    answer = json.loads(ran.stdout)
    assert {"request", "state", "answer", "parts", "elapsed_ms"} <= set(answer)
    assert (answer["request"], answer["state"], type(answer["elapsed_ms"])) == ("shape", "answered", int)
    assert answer["parts"][0]["department"] == "support" and isinstance(answer["parts"][0]["value"]["refund"], int)


def test_one_voice_for_several_parts_of_which_one_fails(daemon: Daemon) -> None:
    """The parts are numbered in the order of the request; the one that was refused is quoted with its reason."""
    ran = daemon.mai("ask", "acme", "Refund order 5003. What about the budget?")
    first, second = ran.stdout.split("\n\n")
    assert ran.returncode == 4
    assert first.startswith("1. Order 5003 was refunded.")
    assert second.startswith("2. “What about the budget?” was refused by finance: the budget is secret")


@pytest.mark.parametrize("text", ["fly me to the moon", "???", "…", "12345"])
def test_what_fits_nothing_is_said_to_fit_nothing(daemon: Daemon, text: str) -> None:
    """It is refused, not guessed, and the departments that there are are named."""
    ran = daemon.mai("ask", "acme", text)
    assert ran.returncode == 4 and "nothing that this organisation offers fits" in ran.stdout and "finance, support" in ran.stdout


def test_a_request_that_is_late_says_so(daemon: Daemon) -> None:
    """A deadline that nobody can keep: status 5, and a sentence."""
    ran = daemon.mai("ask", "--timeout", "0.0001", "acme", "refund order 5004")
    assert ran.returncode == 5 and "before the deadline" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "sentence"),
    [
        (["acme", ""], b"", 2, "the request is empty"),
        (["acme", "-"], b" \n", 2, "the request is empty"),
        (["acme", "-"], b"a" * 10_000_000, 2, "more than 1048576 bytes"),
        (["acme", "-"], b"a" * 5000, 2, "5000 bytes, the limit is 4096"),
        (["acme", "-"], b"\x7fELF\x01\0\0", 2, "not a text"),
        (["acme", "-"], b"refund \xff", 2, "byte 8 is not UTF-8"),
        (["acme", os.fsdecode(b"refund \xff")], b"", 2, "byte 8 is not UTF-8"),
        (["acme", "\x1b[2J"], b"", 2, "U+001B"),
        (["nobody", "hello"], b"", 2, "the clients are: acme"),
        (["../acme", "hello"], b"", 2, "no client '../acme'"),
        (["watchdog", "hello"], b"", 2, "no client 'watchdog'"),
        (["--id", "a/b", "acme", "hello"], b"", 2, "no id"),
        (["--timeout", "0", "acme", "hello"], b"", 2, "0 s is no time-out"),
        (["--timeout", "-1", "acme", "hello"], b"", 2, "-1 s is no time-out"),
        (["--timeout", "nan", "acme", "hello"], b"", 2, "nan s is no time-out"),
        (["--timeout", "1e99", "acme", "hello"], b"", 2, "no time-out"),
        (["--timeout", "soon", "acme", "hello"], b"", 2, "not a valid float"),
    ],
)
def test_a_bad_request_is_answered_with_one_sentence(
    daemon: Daemon, arguments: list[str], stdin: bytes, status: int, sentence: str
) -> None:
    """On standard error, with the status of wrong usage; the daemon serves on."""
    ran = daemon.mai("ask", *arguments, stdin=stdin)
    assert ran.returncode == status and sentence in ran.stderr and not ran.stdout
    assert "Traceback" not in ran.stderr and len(ran.stderr) < 600
    assert daemon.ready()


def test_an_id_gives_the_same_answer_again(daemon: Daemon) -> None:
    """Asked twice, paid once; with another text it is refused."""
    first, second = (daemon.mai("ask", "--json", "--id", "again", "acme", "refund order 5005") for _ in range(2))
    assert first.returncode == 0 and first.stdout == second.stdout and daemon.refunds().count(5005) == 1
    other = daemon.mai("ask", "--id", "again", "acme", "refund order 5006")
    assert other.returncode == 4 and "used for another request" in other.stderr and 5006 not in daemon.refunds()


def test_a_conversation_through_a_pipe(daemon: Daemon) -> None:
    """One answer for each line, in order and without prompts; a line that is refused ends nothing, nor do odd bytes."""
    ran = daemon.mai("chat", "acme", stdin=b"refund order 5007\n\n\xff\xfe\n" + b"a" * 5000 + b"\nrefund order 5008")
    assert ran.returncode == 0 and "acme>" not in ran.stdout
    assert re.findall(r"Order (\d+) was refunded", ran.stdout) == ["5007", "5008"]
    assert "5000 bytes" in ran.stderr and "Traceback" not in ran.stderr


def test_a_conversation_on_a_terminal(daemon: Daemon) -> None:
    """An answer that comes while the person types is shown at once, above his line, which stays; what he typed is asked."""
    shell = Foreground(daemon.command("chat", "acme", "--last", "0"))
    shell.until_shown("acme> ")
    path, begun = gate(daemon), len(daemon.journal("acme/support", "task.begun"))
    os.write(shell.terminal, b"open the gate\n")
    until(lambda: len(daemon.journal("acme/support", "task.begun")) > begun, "the porter")
    os.write(shell.terminal, b"\x03")
    shell.until_shown("--id")
    os.write(shell.terminal, b"refund ord")
    shell.until_shown("refund ord")
    path.write_text("later\n")
    shell.until_shown("The gate is open: later.")
    shell.until_shown("acme> refund ord")
    os.write(shell.terminal, b"er 5010\n")
    shell.until_shown("Order 5010 was refunded")
    while "acme> " not in shell.shown.rpartition("Order 5010 was refunded")[2]:  # before that nobody reads what is typed
        assert shell.read(), shell.shown
    os.write(shell.terminal, b"\x04")
    assert shell.end() == 0 and shell.shown.count("The gate is open: later.") == 1
    assert shell.shown.count("Order 5010 was refunded") == 1


def test_who_stops_waiting_can_ask_again(daemon: Daemon, beside: ThreadPoolExecutor) -> None:
    """Ctrl-C in `mai ask`: it says under which id the request goes on, and there its answer is."""
    asking = subprocess.Popen(
        daemon.command("ask", "--id", "stopped", "acme", "open the gate"), env=environment(), stderr=subprocess.PIPE, text=True
    )
    path = gate(daemon)
    until(lambda: waits(daemon, "stopped"), "the porter")
    asking.send_signal(signal.SIGINT)
    _, said = asking.communicate(timeout=PATIENCE_S)
    assert asking.returncode == 1 and "--id stopped" in said and "Traceback" not in said
    again = beside.submit(daemon.ask, "open the gate", "stopped")
    path.write_text("now\n")
    assert "The gate is open: now." in again.result(PATIENCE_S)["answer"]


# -- what the operator is told
def test_status_has_the_promised_shape(daemon: Daemon) -> None:
    """The names, keys and states that scripts rely on."""
    processes = json.loads(daemon.mai("status", "--json").stdout)["processes"]
    assert sorted(one["name"] for one in processes) == sorted([*PROCESSES, "supervisor", "watchdog"])
    assert all(set(one) >= KEYS and one["state"] in STATES for one in processes)
    pids = {name: found[0] for name, found in daemon.pids().items()}
    assert {one["name"]: one["pid"] for one in processes} == pids


def test_status_for_people_is_a_tree(daemon: Daemon) -> None:
    """Clients as branches, the figures in columns; plain in a pipe, and into a pipe that closes early without complaint."""
    shown = daemon.mai("status").stdout
    assert [line.split()[0] for line in shown.splitlines()][:4] == ["process", "supervisor", "watchdog", "acme"]
    assert "├── mai" in shown and "└── finance" in shown and "\x1b" not in shown
    command = shlex.join(daemon.command("status"))
    ran = subprocess.run(["sh", "-c", f"{command} | head -1"], env=environment(), capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("process") and not ran.stderr


@pytest.mark.parametrize("more", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_any_locale_will_do(daemon: Daemon, more: dict[str, str]) -> None:
    """What the terminal cannot write becomes a mark, not a traceback."""
    ran = subprocess.run(daemon.command("status"), env=environment(**more), capture_output=True, check=False)
    assert ran.returncode == 0 and b"acme" in ran.stdout and not ran.stderr


def test_supervisorctl_works(daemon: Daemon) -> None:
    """supervisord's own tool reads the chart: clients are groups, processes their programs."""
    tool = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(daemon.place.supervisorctl), "status"]
    shown = subprocess.run(tool, env=environment(), capture_output=True, text=True, check=True).stdout
    assert {line.split()[0]: line.split()[1] for line in shown.splitlines()} == {
        "acme:mai": "RUNNING", "acme:support": "RUNNING", "acme:finance": "RUNNING", "watchdog": "RUNNING",
    }  # fmt: skip


# -- what the operator does
def test_a_request_waits_for_a_department_that_is_stopped(daemon: Daemon, beside: ThreadPoolExecutor) -> None:
    """It is accepted meanwhile, and answered once the department is started again."""
    assert daemon.mai("stop", "acme/finance").stdout == "acme/finance is stopped\n"
    waiting = beside.submit(daemon.ask, "refund order 5009", "waits")
    until(lambda: waits(daemon, "waits"), "support has it")
    assert not waiting.done() and daemon.status()["acme/finance"]["state"] == "stopped"
    assert "acme/finance is ready" in daemon.mai("start", "acme/finance").stdout
    assert waiting.result(PATIENCE_S)["state"] == "answered" and daemon.refunds().count(5009) == 1


def test_a_request_is_refused_clearly_while_mai_is_stopped(daemon: Daemon) -> None:
    """Not running, says the status; and the hint says what to do."""
    daemon.mai("stop", "acme/mai")
    try:
        ran = daemon.mai("ask", "acme", "refund order 5010")
        assert ran.returncode == 3 and "acme/mai is stopped" in ran.stderr and "mai start acme/mai" in ran.stderr
    finally:
        daemon.mai("start", "acme/mai")
        until(daemon.ready, "everything")


def test_a_restart_is_not_noticed_by_who_asks(daemon: Daemon, beside: ThreadPoolExecutor) -> None:
    """Each process is restarted while the porter waits; the request that he has is answered once."""
    path = gate(daemon)
    waiting = beside.submit(daemon.ask, "open the gate", "restarted")
    until(lambda: waits(daemon, "restarted"), "the porter")
    for process in ("acme/mai", "acme/support"):
        old = daemon.status()[process]["pid"]
        assert daemon.mai("restart", process).returncode == 0 and daemon.status()[process]["pid"] != old
    path.write_text("again\n")
    assert "The gate is open: again." in waiting.result(PATIENCE_S)["answer"]
    ended = [body for _, body in daemon.journal("acme/mai", "request.ended") if body["request"] == "restarted"]
    assert len(ended) == 1


def test_what_is_no_process_is_said_to_be_none(daemon: Daemon) -> None:
    """Unknown names, and those that are not started by themselves."""
    for name, word in (("acme/nobody", "there is no process"), ("watchdog", "mai down"), ("", "there is no process")):
        ran = daemon.mai("stop", name)
        assert ran.returncode == 2 and word in ran.stderr


# -- beginnings
def test_a_state_directory_has_one_daemon(daemon: Daemon) -> None:
    """A second `mai up` is refused, naming the process that is there, which serves on."""
    ran = daemon.mai("up", str(daemon.file))
    assert ran.returncode == 2 and f"process {daemon.status()['supervisor']['pid']}" in ran.stderr and "mai down" in ran.stderr
    assert daemon.ready()


def test_a_faulty_organisation_is_refused_whole(fresh: Daemon) -> None:
    """All its faults at once, with file and line; nothing is made."""
    fresh.file.write_text(ORGANISATION.replace("rank", "rang").replace("refund-desk", "Refund Desk"))
    ran = fresh.mai("up", str(fresh.file))
    lines = [line for line in ran.stderr.splitlines() if f"{fresh.file}:" in line or "small.toml:" in line]
    assert ran.returncode == 2 and len(lines) > 3 and not fresh.place.state.exists()


@pytest.mark.parametrize("text", ["", "\0", "[organisation]\nclients = []\n", None])
def test_what_is_no_organisation_is_refused(fresh: Daemon, text: str | None) -> None:
    """An empty file, noise, nobody in it, no file at all."""
    if text is None:
        fresh.file.unlink()
    else:
        fresh.file.write_text(text)
    ran = fresh.mai("up", str(fresh.file))
    assert ran.returncode == 2 and "Traceback" not in ran.stderr and "small.toml" in ran.stderr


def test_without_a_file_nothing_starts(fresh: Daemon) -> None:
    """The first start needs an organisation file; the next takes the same."""
    assert "no organisation file" in fresh.mai("up", "--detach").stderr
    fresh.up()
    fresh.down()
    assert fresh.mai("up", "--detach").returncode == 0


def test_a_state_of_a_newer_version_is_left_alone(fresh: Daemon) -> None:
    """Refused in one sentence, and not touched."""
    fresh.place.state.mkdir()
    (fresh.place.state / "format").write_text(f"{FORMAT + 1}\n")
    ran = fresh.mai("up", str(fresh.file))
    assert ran.returncode == 2 and f"format {FORMAT + 1}" in ran.stderr and not (fresh.place.state / "lock").exists()


@pytest.mark.parametrize("prepared", [False, True])
def test_a_state_that_cannot_be_written_is_refused(state: Path, prepared: bool) -> None:
    """As an ordinary user, in a directory that may only be read, new or used before: one sentence, no process."""
    daemon = Daemon(state)
    state.chmod(0o755)
    daemon.place.state.mkdir(mode=0o755)
    if prepared:
        daemon.place.prepare()
    for path in (daemon.place.state, *daemon.place.state.rglob("*")):
        os.chown(path, *((NOBODY, NOBODY) if os.geteuid() == 0 else (-1, -1)))
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert "cannot be used: Permission denied" in as_ordinary(daemon.place, daemon.file)
    finally:
        for path in (daemon.place.state, *daemon.place.state.rglob("*")):
            path.chmod(0o700)


def as_ordinary(place: Place, file: Path) -> str:
    """The error that a start gives an ordinary user. In a fork, since the user might not be able to read this Python."""
    check.load(file)  # all that it imports is there now
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            Start(place, file, detach=False).stop()
            os.write(writer, b"it has started")
        except UsageFault as error:
            os.write(writer, error.sentence.encode())
        except Exception as error:
            os.write(writer, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as said:
        return said.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_state_directory_is_refused(state: Path) -> None:
    """No room for the daemon's own files: one sentence, no process."""
    room = state / "room"
    room.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(room)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mount is not allowed here")
    try:
        daemon = Daemon(room)
        (room / "rest").write_bytes(bytes((os.statvfs(room).f_bavail - 1) * 4096))
        ran = daemon.mai("up", "--detach", str(daemon.file))
        assert ran.returncode != 0 and ("No space left" in ran.stderr or "full" in ran.stderr) and "Traceback" not in ran.stderr
        assert not daemon.pids()
    finally:
        subprocess.run(["umount", "-l", str(room)], check=True)


def test_two_daemons_run_side_by_side(daemon: Daemon, fresh: Daemon) -> None:
    """Another state directory is another company: its requests, ids, effects and end are its own."""
    fresh.up()
    fresh.ask("refund order 6001", "same")
    assert daemon.ask("refund order 6002", "same")["state"] == "answered"
    assert (6001 in fresh.refunds(), 6001 in daemon.refunds(), 6002 in daemon.refunds()) == (True, False, True)
    fresh.down()
    assert not fresh.pids() and daemon.ready()


def test_nothing_is_written_outside_the_state_directory(fresh: Daemon, tmp_path: Path) -> None:
    """Home, the directory for temporary files and the working directory stay empty, whatever is done."""
    places = {name: tmp_path / name for name in ("HOME", "TMPDIR", "cwd")}
    for place in places.values():
        place.mkdir()
    more = {"HOME": str(places["HOME"]), "TMPDIR": str(places["TMPDIR"]), "PYTHONDONTWRITEBYTECODE": "1"}
    before = sorted(fresh.file.parent.rglob("*"))
    for arguments in (["up", "--detach", str(fresh.file)], ["ask", "acme", "refund order 1"], ["status"], ["down"]):
        ran = subprocess.run(
            fresh.command(*arguments), env=environment(**more), cwd=places["cwd"], capture_output=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
    assert [found for place in places.values() for found in place.rglob("*")] == []
    assert [path for path in sorted(fresh.file.parent.rglob("*")) if path not in before and "__pycache__" not in str(path)] == []


def test_an_error_of_ours_has_its_status(daemon: Daemon) -> None:
    """What `ask` raises here is what the command line shows."""
    with pytest.raises(MaiError) as refused:
        daemon.ask(" ", "blank")
    assert refused.value.code == 2


@pytest.mark.parametrize("length", [99, 103, 107, 108])
def test_a_state_directory_of_any_length_will_do(state: Path, length: int) -> None:
    """Also where the supervisor's socket just fits, and the name under which it is bound first does not."""
    directory = state / ("d" * (length - len(f"{state}//s/run/supervisor.sock")))
    directory.mkdir()
    daemon = Daemon(directory)
    assert len(str(daemon.place.supervisor_socket)) == length
    try:
        daemon.up()
        assert daemon.ready()
    finally:
        daemon.mai("down")
